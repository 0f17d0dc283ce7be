/**
 * Texts that readings carry, numbered from 1 in the order in which they were first seen, so that windows keep a number for a
 * state. Bounded in count and bytes: what finds no room, or is long, is UNKNOWN_TEXT, and windows in which that plays a part are
 * left to an amendment. One owner: the shard's thread. A number, once given, keeps its text.
 */
import { assert } from '../base/assert.ts'
import { hashBytes } from '../base/hash.ts'
import type { Stateful, StateReader, StateWriter } from '../codecs/state.ts'

export const UNKNOWN_TEXT = 0x7fff_ffff
const TEXT_SIZE_BYTES_MAX = 256
const COUNT_MAX = 65_536
const SIZE_BYTES_MAX = 4 << 20

export class OrderedTexts implements Stateful {
  count = 0
  /** UTF-8 of all texts, one after another: that of number n is [starts[n], starts[n + 1]). */
  bytes = new Uint8Array(4096)
  starts = new Int32Array(1024)
  /** Twice as many places as texts, or more; 0 is free. */
  #table = new Int32Array(2048)

  /** The number of the text. */
  intern(bytes: Uint8Array, start: number, end: number): number {
    if (end - start > TEXT_SIZE_BYTES_MAX) return UNKNOWN_TEXT
    let at = hashBytes(bytes, start, end) & (this.#table.length - 1)
    for (; this.#table[at] !== 0; at = (at + 1) & (this.#table.length - 1)) {
      if (this.#isText(this.#table[at], bytes, start, end)) return this.#table[at]
    }
    const sizeBytes = this.starts[this.count + 1] + end - start
    if (this.count === COUNT_MAX || sizeBytes > SIZE_BYTES_MAX) return UNKNOWN_TEXT
    return this.#add(bytes, start, end, sizeBytes, at)
  }

  /** Below 0 when the first comes before the second, byte by byte; unknown texts come last, in no order. */
  compare(text: number, other: number): number {
    if (text === other) return 0
    if (text === UNKNOWN_TEXT) return 1
    if (other === UNKNOWN_TEXT) return -1
    const { bytes, starts } = this
    const end = starts[text + 1]
    const otherEnd = starts[other + 1]
    for (let at = starts[text], otherAt = starts[other]; at < end && otherAt < otherEnd; at++, otherAt++) {
      if (bytes[at] !== bytes[otherAt]) return bytes[at] - bytes[otherAt]
    }
    return end - starts[text] - (otherEnd - starts[other])
  }

  save(out: StateWriter): void {
    out.i32(this.starts, this.count + 2)
    out.u8(this.bytes, this.starts[this.count + 1])
  }

  load(from: StateReader): void {
    const starts = from.i32()
    const bytes = from.u8()
    const count = starts.length - 2
    assert(count >= 0 && count <= COUNT_MAX && starts[count + 1] === bytes.length, 'state has other texts')
    for (let text = 1; text <= count; text++) {
      assert(this.intern(bytes, starts[text], starts[text + 1]) === text, 'state has a text twice')
    }
  }

  #isText(text: number, bytes: Uint8Array, start: number, end: number): boolean {
    let at = this.starts[text]
    if (this.starts[text + 1] - at !== end - start) return false
    for (let i = start; i < end; i++, at++) if (this.bytes[at] !== bytes[i]) return false
    return true
  }

  #add(bytes: Uint8Array, start: number, end: number, sizeBytes: number, at: number): number {
    const text = ++this.count
    if (sizeBytes > this.bytes.length) {
      this.bytes = grown(this.bytes, new Uint8Array(Math.max(sizeBytes, this.bytes.length * 2)))
    }
    if (text + 2 > this.starts.length) {
      this.starts = grown(this.starts, new Int32Array(this.starts.length * 2))
    }
    let to = this.starts[text]
    for (let i = start; i < end; i++, to++) this.bytes[to] = bytes[i]
    this.starts[text + 1] = to
    this.#table[at] = text
    if (text * 2 >= this.#table.length) this.#rehash()
    return text
  }

  #rehash(): void {
    const table = new Int32Array(this.#table.length * 2)
    for (let text = 1; text <= this.count; text++) {
      let at = hashBytes(this.bytes, this.starts[text], this.starts[text + 1]) & (table.length - 1)
      while (table[at] !== 0) at = (at + 1) & (table.length - 1)
      table[at] = text
    }
    this.#table = table
  }
}

function grown<T extends { set(from: T): void }>(from: T, to: T): T {
  to.set(from)
  return to
}

/**
 * Interns metric names: bytes to a small index and back. Open addressing over the names' hashes, bounded.
 * One owner: the shard's thread. An index never changes its name.
 */
import { hashBytes } from '../base/hash.ts'
import type { StateReader, StateWriter } from './state.ts'

const NAME_SIZE_BYTES_MAX = 256

/** Who may say no to a new name. */
export interface NameGate {
  admitName(index: number): boolean
}

export class MetricNames {
  readonly countMax: number
  /** Asked before a new name gets this index; null lets all in. */
  gate: NameGate | null = null
  #slots: Int32Array
  #hashes: number[] = []
  #names: Uint8Array[] = []
  #texts: string[] = []

  constructor(countMax = 65_536) {
    this.countMax = countMax
    this.#slots = new Int32Array(256).fill(-1)
  }

  get count(): number {
    return this.#names.length
  }

  /** The name as text; for the cold paths. */
  text(index: number): string {
    return this.#texts[index]
  }

  /** The name as UTF-8. Not to be changed. */
  bytes(index: number): Uint8Array {
    return this.#names[index]
  }

  save(out: StateWriter): void {
    const sizes = Int32Array.from(this.#names, (name) => name.length)
    const bytes = new Uint8Array(sizes.reduce((sum, size) => sum + size, 0))
    let offset = 0
    for (const name of this.#names) {
      bytes.set(name, offset)
      offset += name.length
    }
    out.i32(sizes)
    out.u8(bytes)
  }

  load(from: StateReader): void {
    const sizes = from.i32()
    const bytes = from.u8()
    let offset = 0
    for (const size of sizes) {
      this.intern(bytes, offset, offset + size)
      offset += size
    }
  }

  /** The index of the name in bytes[start, end); -1 when it is new and there is no room, or when it is empty or longer than 256 bytes. */
  intern(bytes: Uint8Array, start: number, end: number): number {
    if (end <= start || end - start > NAME_SIZE_BYTES_MAX) return -1
    const hash = hashBytes(bytes, start, end)
    const slot = this.#slotOf(hash, bytes, start, end)
    const known = this.#slots[slot]
    if (known >= 0) return known
    const index = this.#names.length
    if (index >= this.countMax || (this.gate !== null && !this.gate.admitName(index))) return -1
    const name = bytes.slice(start, end)
    this.#names.push(name)
    this.#hashes.push(hash)
    this.#texts.push(new TextDecoder().decode(name))
    this.#slots[slot] = index
    if (this.#names.length * 2 > this.#slots.length) this.#rehash()
    return index
  }

  /** As intern, but a name that is new stays so: -1. */
  find(bytes: Uint8Array, start: number, end: number): number {
    if (end <= start) return -1
    return this.#slots[this.#slotOf(hashBytes(bytes, start, end), bytes, start, end)]
  }

  /** Where the name stands, or the free slot that it would take. */
  #slotOf(hash: number, bytes: Uint8Array, start: number, end: number): number {
    const mask = this.#slots.length - 1
    let slot = hash & mask
    for (; this.#slots[slot] >= 0; slot = (slot + 1) & mask) {
      const index = this.#slots[slot]
      if (this.#hashes[index] === hash && isEqual(this.#names[index], bytes, start, end)) return slot
    }
    return slot
  }

  #rehash(): void {
    const slots = new Int32Array(this.#slots.length * 2).fill(-1)
    const mask = slots.length - 1
    for (let index = 0; index < this.#names.length; index++) {
      let slot = this.#hashes[index] & mask
      while (slots[slot] >= 0) slot = (slot + 1) & mask
      slots[slot] = index
    }
    this.#slots = slots
  }
}

function isEqual(name: Uint8Array, bytes: Uint8Array, start: number, end: number): boolean {
  if (name.length !== end - start) return false
  for (let i = 0; i < name.length; i++) if (name[i] !== bytes[start + i]) return false
  return true
}

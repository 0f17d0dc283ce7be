/**
 * The devices of one shard: (stream, name) to a dense index and back. Owned by the shard's thread. Open addressing over
 * the hash that the gateway computed; names lie in one arena. Bounded; an index never changes its device.
 */
import type { StateReader, StateWriter } from '../../codecs/state.ts'
import { copied } from './typed-arrays.ts'

const NOWHERE = -1

export class DeviceTable {
  readonly countMax: number
  count = 0
  stream: Uint16Array
  nameStart: Int32Array
  nameSize: Int32Array
  names: Uint8Array
  /** The payload shape that the device's last message had; -1 for none. */
  shape: Int32Array
  /** The shape whose series lie in a row from `seriesBase` on; -1 for none. */
  baseShape: Int32Array
  seriesBase: Int32Array
  #hashes: Int32Array
  #slots: Int32Array
  #namesSizeBytes = 0

  constructor(countMax = 4_000_000, capacity = 1024) {
    this.countMax = countMax
    this.stream = new Uint16Array(capacity)
    this.nameStart = new Int32Array(capacity)
    this.nameSize = new Int32Array(capacity)
    this.shape = new Int32Array(capacity).fill(NOWHERE)
    this.baseShape = new Int32Array(capacity).fill(NOWHERE)
    this.seriesBase = new Int32Array(capacity).fill(NOWHERE)
    this.names = new Uint8Array(capacity * 16)
    this.#hashes = new Int32Array(capacity)
    this.#slots = new Int32Array(capacity * 2).fill(NOWHERE)
  }

  /** The device's index, a new one if need be; -1 when the table is full. */
  // hot: per message
  find(stream: number, hash: number, bytes: Uint8Array, start: number, size: number): number {
    const slots = this.#slots
    const mask = slots.length - 1
    const hashes = this.#hashes
    let slot = (hash ^ stream) & mask
    for (let index = slots[slot]; index >= 0; index = slots[slot]) {
      if (hashes[index] === (hash | 0) && this.#isSame(index, stream, bytes, start, size)) return index
      slot = (slot + 1) & mask
    }
    return this.#add(slot, stream, hash, bytes, start, size)
  }

  /** The name's bytes; a copy. */
  name(index: number): Uint8Array {
    return this.names.slice(this.nameStart[index], this.nameStart[index] + this.nameSize[index])
  }

  save(out: StateWriter): void {
    out.numbers(this.count, this.#namesSizeBytes)
    out.u16(this.stream, this.count)
    for (const array of [this.nameStart, this.nameSize, this.#hashes]) out.i32(array, this.count)
    out.u8(this.names, this.#namesSizeBytes)
  }

  /** The payload shapes are not state: they are learned again. */
  load(from: StateReader): void {
    const [count, namesSizeBytes] = from.numbers(2)
    while (this.stream.length < count) this.#grow()
    this.stream.set(from.u16())
    for (const array of [this.nameStart, this.nameSize, this.#hashes]) array.set(from.i32())
    this.names = copied(from.u8(), new Uint8Array(Math.max(this.names.length, namesSizeBytes)))
    this.#namesSizeBytes = namesSizeBytes
    this.count = count
    this.#rehash(this.#slots.length)
  }

  #isSame(index: number, stream: number, bytes: Uint8Array, start: number, size: number): boolean {
    if (this.nameSize[index] !== size || this.stream[index] !== stream) return false
    const names = this.names
    for (let i = this.nameStart[index], j = start, end = start + size; j < end; i++, j++) {
      if (names[i] !== bytes[j]) return false
    }
    return true
  }

  #add(slot: number, stream: number, hash: number, bytes: Uint8Array, start: number, size: number): number {
    if (this.count >= this.countMax) return NOWHERE
    const index = this.count
    if (index === this.stream.length) this.#grow()
    if (this.#namesSizeBytes + size > this.names.length) {
      this.names = copied(this.names, new Uint8Array(this.names.length * 2 + size))
    }
    this.names.set(bytes.subarray(start, start + size), this.#namesSizeBytes)
    this.stream[index] = stream
    this.nameStart[index] = this.#namesSizeBytes
    this.nameSize[index] = size
    this.#hashes[index] = hash | 0
    this.#namesSizeBytes += size
    this.#slots[slot] = index
    this.count++
    if (this.count * 2 > this.#slots.length) this.#rehash(this.#slots.length * 2)
    return index
  }

  #grow(): void {
    const capacity = this.stream.length * 2
    const unset = () => new Int32Array(capacity).fill(NOWHERE)
    this.stream = copied(this.stream, new Uint16Array(capacity))
    this.nameStart = copied(this.nameStart, new Int32Array(capacity))
    this.nameSize = copied(this.nameSize, new Int32Array(capacity))
    this.#hashes = copied(this.#hashes, new Int32Array(capacity))
    this.shape = copied(this.shape, unset())
    this.baseShape = copied(this.baseShape, unset())
    this.seriesBase = copied(this.seriesBase, unset())
  }

  #rehash(sizeMin: number): void {
    let size = sizeMin
    while (this.count * 2 > size) size *= 2
    const slots = new Int32Array(size).fill(NOWHERE)
    const mask = size - 1
    for (let index = 0; index < this.count; index++) {
      let slot = (this.#hashes[index] ^ this.stream[index]) & mask
      while (slots[slot] >= 0) slot = (slot + 1) & mask
      slots[slot] = index
    }
    this.#slots = slots
  }
}

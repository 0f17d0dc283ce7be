/**
 * The keys of the object being scanned, to find duplicates as JSON.parse does: a later key replaces the whole
 * earlier value. Open addressing over (frame, key); a frame is one `{ }` of the payload. One owner: the
 * shard's thread. Bounded by KEY_COUNT_MAX.
 */
import { randomInt } from 'node:crypto'
import { KEY_COUNT_MAX, PayloadError } from './payload-error.ts'

/** Odd and not known outside, so that nobody can send keys that all collide. No result depends on it. */
const MULTIPLIER = randomInt(2 ** 31) | 1

export class ObjectKeys {
  /** Whether the last `open` met a key again. */
  isDuplicate = false
  #count = 0
  #frames = new Int32Array(64)
  #hashes = new Int32Array(64)
  #nameStarts = new Int32Array(64)
  #nameEnds = new Int32Array(64)
  #firstRows = new Int32Array(64)
  #endRows = new Int32Array(64)
  #names = new Uint8Array(1024)
  #namesSizeBytes = 0
  /** Entry per slot, valid where the stamp is the current one. */
  #slots = new Int32Array(128)
  #stamps = new Int32Array(128)
  #stamp = 1

  clear(): void {
    this.#count = 0
    this.#namesSizeBytes = 0
    this.#stamp++
    if (this.#stamp < 0x7fffffff) return
    this.#stamps.fill(0)
    this.#stamp = 1
  }

  /** The first row of a key's value. */
  firstRow(entry: number): number {
    return this.#firstRows[entry]
  }

  /** The row after a key's last one. */
  endRow(entry: number): number {
    return this.#endRows[entry]
  }

  setRows(entry: number, firstRow: number, endRow: number): void {
    this.#firstRows[entry] = firstRow
    this.#endRows[entry] = endRow
  }

  /**
   * The entry of the key in bytes[start, end) of a frame, a new one or, for a duplicate, the old; or
   * TOO_MANY_KEYS.
   */
  // hot: per key of the general scan
  open(frame: number, bytes: Uint8Array, start: number, end: number): number {
    let hash = Math.imul(frame + 1, MULTIPLIER)
    for (let i = start; i < end; i++) {
      hash = Math.imul(hash ^ bytes[i], MULTIPLIER)
      hash ^= hash >>> 15
    }
    const mask = this.#slots.length - 1
    let slot = hash & mask
    for (; this.#stamps[slot] === this.#stamp; slot = (slot + 1) & mask) {
      const entry = this.#slots[slot]
      if (this.#hashes[entry] !== hash || this.#frames[entry] !== frame) continue
      if (!this.#isNamed(entry, bytes, start, end)) continue
      this.isDuplicate = true
      return entry
    }
    this.isDuplicate = false
    if (this.#count >= KEY_COUNT_MAX) return PayloadError.TOO_MANY_KEYS
    this.#slots[slot] = this.#count
    this.#stamps[slot] = this.#stamp
    return this.#add(frame, hash, bytes, start, end)
  }

  #add(frame: number, hash: number, bytes: Uint8Array, start: number, end: number): number {
    const entry = this.#count++
    if (entry === this.#frames.length) this.#growEntries()
    const names = this.#namesWithRoom(end - start)
    let size = this.#namesSizeBytes
    this.#frames[entry] = frame
    this.#hashes[entry] = hash
    this.#nameStarts[entry] = size
    for (let i = start; i < end; i++) names[size++] = bytes[i]
    this.#nameEnds[entry] = size
    this.#namesSizeBytes = size
    if (this.#count * 2 > this.#slots.length) this.#rehash()
    return entry
  }

  #isNamed(entry: number, bytes: Uint8Array, start: number, end: number): boolean {
    const nameStart = this.#nameStarts[entry]
    if (this.#nameEnds[entry] - nameStart !== end - start) return false
    const shift = nameStart - start
    for (let i = start; i < end; i++) if (this.#names[i + shift] !== bytes[i]) return false
    return true
  }

  #namesWithRoom(extra: number): Uint8Array {
    const needed = this.#namesSizeBytes + extra
    if (needed > this.#names.length) {
      const names = new Uint8Array(Math.max(needed, this.#names.length * 2))
      names.set(this.#names)
      this.#names = names
    }
    return this.#names
  }

  #growEntries(): void {
    this.#frames = doubled(this.#frames)
    this.#hashes = doubled(this.#hashes)
    this.#nameStarts = doubled(this.#nameStarts)
    this.#nameEnds = doubled(this.#nameEnds)
    this.#firstRows = doubled(this.#firstRows)
    this.#endRows = doubled(this.#endRows)
  }

  #rehash(): void {
    const mask = this.#slots.length * 2 - 1
    this.#slots = new Int32Array(mask + 1)
    this.#stamps = new Int32Array(mask + 1)
    for (let entry = 0; entry < this.#count; entry++) {
      let slot = this.#hashes[entry] & mask
      while (this.#stamps[slot] === this.#stamp) slot = (slot + 1) & mask
      this.#slots[slot] = entry
      this.#stamps[slot] = this.#stamp
    }
  }
}

function doubled(from: Int32Array): Int32Array<ArrayBuffer> {
  const to = new Int32Array(from.length * 2)
  to.set(from)
  return to
}

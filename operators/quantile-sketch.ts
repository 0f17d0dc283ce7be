/**
 * Quantile sketches with a relative error of at most 1/128 (0.8 %): counts of values in bins that are 64 to an octave, cut at equal
 * steps within it (as HdrHistogram does; DDSketch, Masson et al., VLDB 2019, cuts at equal ratios and needs a logarithm). A bin's
 * number is the first bits of the float itself, so it is the same on every machine and one line of SQL. One owner: the shard's thread.
 *
 * key = +-(the top 17 bits of |x|: exponent and six bits of mantissa), 0 for zero. A bin stands for the middle of its ends.
 * Magnitudes more than 64 octaves below the greatest of the slot count as zero: that bounds a slot, and since it goes by the final
 * greatest, the row is the same in every order of adding and merging. Below 2^-1022 the error is absolute: 2^-1029.
 *
 * A slot is four int32:  0 table (address, 0 is none)  1 log2 of its places  2 places in use  3 greatest magnitude
 * A table's place is two:  0 key  1 count (unsigned; 0 marks a free place), sought from a multiplicative hash onwards.
 */
import type { StateReader, StateWriter } from '../codecs/state.ts'
import { BlockArena, PAGE_LOG2, PLACE_MASK } from './block-arena.ts'
import { KeyedRows, sortKeys } from './keyed-rows.ts'
import type { SlotPool } from './slot-pool.ts'

/** Of the 31 bits of a magnitude's high word, those that do not count. */
const KEY_SHIFT = 14
/** 64 octaves of 64 bins: what is kept below the greatest magnitude. */
const SPAN = 64 * 64

const SLOT_LOG2 = 2
const TABLE = 0
const PLACES_LOG2 = 1
const USED = 2
const GREATEST = 3

/** Without a table, reads go to the arena's zeros at address 0: two free places. */
const NO_TABLE_LOG2 = 1
const PLACES_LOG2_MIN = 2
/** Three quarters of it are more than both signs of SPAN bins and zero, so a table of this size need not grow. */
const PLACES_LOG2_MAX = 14
const HASH_FACTOR = 0x9e3779b1
const COUNT_MAX = 0xffff_ffff

const float = new Float64Array(1)
const words = new Int32Array(float.buffer)

/** `rows` are for `SimpleAggregateFunction(sumMap, Tuple(Array(Int32), Array(UInt64)))`. */
export class QuantileSketches implements SlotPool {
  readonly rows = new KeyedRows()
  readonly #arena = new BlockArena()
  readonly #pages = this.#arena.pages

  take(): number {
    const slot = this.#arena.take(SLOT_LOG2)
    this.#pages[slot >>> PAGE_LOG2][(slot & PLACE_MASK) + PLACES_LOG2] = NO_TABLE_LOG2
    return slot
  }

  give(slot: number): void {
    const slots = this.#pages[slot >>> PAGE_LOG2]
    const at = slot & PLACE_MASK
    if (slots[at + TABLE] !== 0) this.#arena.give(slots[at + TABLE], slots[at + PLACES_LOG2] + 1)
    this.#arena.give(slot, SLOT_LOG2)
  }

  // hot: per reading
  add(slot: number, x: number): void {
    float[0] = x
    const high = words[1]
    const magnitude = (high & 0x7fff_ffff) >>> KEY_SHIFT
    this.#count(slot, high < 0 ? -magnitude : magnitude, magnitude, 1)
  }

  merge(into: number, from: number): void {
    const slots = this.#pages[from >>> PAGE_LOG2]
    const at = from & PLACE_MASK
    const address = slots[at + TABLE]
    if (address === 0) return
    const table = this.#pages[address >>> PAGE_LOG2]
    const start = address & PLACE_MASK
    const end = start + (2 << slots[at + PLACES_LOG2])
    for (let place = start; place < end; place += 2) {
      const key = table[place]
      const count = table[place + 1] >>> 0
      if (count !== 0) this.#count(into, key, Math.abs(key), count)
    }
  }

  appendRow(slot: number): void {
    const { rows } = this
    const slots = this.#pages[slot >>> PAGE_LOG2]
    const at = slot & PLACE_MASK
    const address = slots[at + TABLE]
    rows.begin(slots[at + USED] + 1)
    if (address === 0) {
      rows.end(0)
      return
    }
    const table = this.#pages[address >>> PAGE_LOG2]
    const start = address & PLACE_MASK
    const placesLog2 = slots[at + PLACES_LOG2]
    const floor = slots[at + GREATEST] - SPAN
    const { keys, values, entryCount } = rows
    let end = entryCount
    let zeros = 0
    for (let place = start; place < start + (2 << placesLog2); place += 2) {
      const count = table[place + 1] >>> 0
      if (count === 0) continue
      const key = table[place]
      if (key === 0 || Math.abs(key) < floor) zeros += count
      else keys[end++] = key
    }
    if (zeros > 0) keys[end++] = 0
    sortKeys(keys, entryCount, end)
    for (let entry = entryCount; entry < end; entry++) {
      const key = keys[entry]
      values[entry] = key === 0 ? zeros : table[placeOf(table, start, placesLog2, key) + 1] >>> 0
    }
    rows.end(end - entryCount)
  }

  get rowsSizeBytes(): number {
    return this.rows.count * 16 + this.rows.entryCount * 12
  }

  clearRows(): void {
    this.rows.clear()
  }

  clear(): void {
    this.#arena.clear()
  }

  save(out: StateWriter): void {
    this.#arena.save(out)
  }

  load(from: StateReader): void {
    this.#arena.load(from)
  }

  #count(slot: number, key: number, magnitude: number, count: number): void {
    const slots = this.#pages[slot >>> PAGE_LOG2]
    const at = slot & PLACE_MASK
    let kept = key
    if (magnitude > slots[at + GREATEST]) slots[at + GREATEST] = magnitude
    else if (magnitude < slots[at + GREATEST] - SPAN) kept = 0
    const address = slots[at + TABLE]
    const placesLog2 = slots[at + PLACES_LOG2]
    const table = this.#pages[address >>> PAGE_LOG2]
    const place = placeOf(table, address & PLACE_MASK, placesLog2, kept)
    const before = table[place + 1] >>> 0
    if (before !== 0) {
      table[place + 1] = Math.min(before + count, COUNT_MAX)
      return
    }
    if (address !== 0 && (slots[at + USED] + 1) * 4 <= 3 << placesLog2) {
      slots[at + USED]++
      table[place] = kept
      table[place + 1] = count
      return
    }
    this.#grow(slots, at)
    this.#count(slot, kept, Math.abs(kept), count)
  }

  /** Moves the entries to a table of twice the places, or to one of the same at the bound; what has sunk too low becomes zero. */
  #grow(slots: Int32Array, at: number): void {
    const address = slots[at + TABLE]
    const oldLog2 = slots[at + PLACES_LOG2]
    const placesLog2 = address === 0 ? PLACES_LOG2_MIN : Math.min(oldLog2 + 1, PLACES_LOG2_MAX)
    const newAddress = this.#arena.take(placesLog2 + 1)
    slots[at + TABLE] = newAddress
    slots[at + PLACES_LOG2] = placesLog2
    slots[at + USED] = 0
    if (address === 0) return
    const old = this.#pages[address >>> PAGE_LOG2]
    const start = address & PLACE_MASK
    const table = this.#pages[newAddress >>> PAGE_LOG2]
    const floor = slots[at + GREATEST] - SPAN
    for (let from = start; from < start + (2 << oldLog2); from += 2) {
      const count = old[from + 1] >>> 0
      if (count === 0) continue
      const key = Math.abs(old[from]) < floor ? 0 : old[from]
      const place = placeOf(table, newAddress & PLACE_MASK, placesLog2, key)
      const before = table[place + 1] >>> 0
      if (before === 0) slots[at + USED]++
      table[place] = key
      table[place + 1] = Math.min(before + count, COUNT_MAX)
    }
    this.#arena.give(address, oldLog2 + 1)
  }
}

/** Where the key is in the table, or the free place where it would be. Tables are never full. */
function placeOf(table: Int32Array, start: number, placesLog2: number, key: number): number {
  const mask = (1 << placesLog2) - 1
  let index = Math.imul(key, HASH_FACTOR) >>> (32 - placesLog2)
  for (;;) {
    const place = start + 2 * index
    if (table[place + 1] === 0 || table[place] === key) return place
    index = (index + 1) & mask
  }
}

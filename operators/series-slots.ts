/**
 * Which series have state in ordered windows, and what the reorder buffer knows of each. A series that has any has a slot, a
 * number from 1 up; slots of series that were forgotten are used again. One owner: the shard's thread.
 *
 * A slot's record is one cache line:  doubles 0 newestMs  1 frontierMs  2 oldestMs (first held; Infinity when none)  3 dueMs
 *   4 seenMs (engine time of the last reading)  5 dirtyUntilMs;  int32 12 block  13 head  14 count  15 sizeLog2 and QUIET
 */
import { assert } from '../base/assert.ts'
import type { StateReader, StateWriter } from '../codecs/state.ts'

export const SLOT_STRIDE = 8
export const SLOT_INT_STRIDE = 16
export const SlotField = {
  newestMs: 0,
  frontierMs: 1,
  oldestMs: 2,
  dueMs: 3,
  seenMs: 4,
  dirtyUntilMs: 5,
} as const
export const SlotInt = { block: 12, head: 13, count: 14, sizeLog2: 15 } as const
/** Set in the sizeLog2 of a slot that said all it has to say: nothing held, no window changed since it was shown. */
export const QUIET = 256

/** In `#slotOf`: a series that had a slot. */
const FORGOTTEN = -1
const CAPACITY_MIN = 64

export class SeriesSlots {
  /** Slots in use, and the greatest number of a slot so far. */
  count = 0
  slotMax = 0
  fields = new Float64Array(CAPACITY_MIN * SLOT_STRIDE)
  ints = new Int32Array(this.fields.buffer)
  /** The series of a slot, -1 for a free one. */
  seriesOf: Int32Array = new Int32Array(CAPACITY_MIN).fill(-1)
  #slotOf: Int32Array = new Int32Array(CAPACITY_MIN)
  #seriesCount = 0
  #free = 0

  // hot: per message
  find(series: number): number {
    return series < this.#seriesCount ? this.#slotOf[series] : 0
  }

  /** True when the series had a slot before, or has one. */
  isKnown(series: number): boolean {
    return this.find(series) !== 0
  }

  frontierMs(slot: number): number {
    return this.fields[slot * SLOT_STRIDE + SlotField.frontierMs]
  }

  dirtyUntilMs(slot: number): number {
    return this.fields[slot * SLOT_STRIDE + SlotField.dirtyUntilMs]
  }

  /** A slot for a series without one; its record is that of a series of which nothing came. */
  take(series: number, dirtyUntilMs: number): number {
    assert(series >= 0, 'a series number is negative')
    if (series >= this.#seriesCount) this.#growSeries(series + 1)
    let slot = this.#free
    if (slot !== 0) this.#free = this.ints[slot * SLOT_INT_STRIDE + SlotInt.block]
    else slot = ++this.slotMax
    if (slot >= this.seriesOf.length) this.#growSlots()
    this.count++
    this.seriesOf[slot] = series
    this.#slotOf[series] = slot
    const at = slot * SLOT_STRIDE
    this.fields.fill(Number.NEGATIVE_INFINITY, at, at + 6)
    this.fields[at + SlotField.oldestMs] = Number.POSITIVE_INFINITY
    this.fields[at + SlotField.dueMs] = Number.POSITIVE_INFINITY
    this.fields[at + SlotField.dirtyUntilMs] = dirtyUntilMs
    this.ints.fill(0, slot * SLOT_INT_STRIDE + SlotInt.block, (slot + 1) * SLOT_INT_STRIDE)
    return slot
  }

  /** The series is known still, but has no state any more. */
  give(slot: number): void {
    this.#slotOf[this.seriesOf[slot]] = FORGOTTEN
    this.seriesOf[slot] = -1
    this.ints[slot * SLOT_INT_STRIDE + SlotInt.block] = this.#free
    this.#free = slot
    this.count--
  }

  /** Forgets all series, keeps the memory. */
  clear(): void {
    this.#slotOf.fill(0, 0, this.#seriesCount)
    this.seriesOf.fill(-1)
    this.count = 0
    this.slotMax = 0
    this.#seriesCount = 0
    this.#free = 0
  }

  save(out: StateWriter): void {
    out.numbers(this.count, this.slotMax, this.#free)
    out.f64(this.fields, (this.slotMax + 1) * SLOT_STRIDE)
    out.i32(this.seriesOf, this.slotMax + 1)
    out.i32(this.#slotOf, this.#seriesCount)
  }

  load(from: StateReader): void {
    const [count, slotMax, free] = from.numbers(3)
    const fields = from.f64()
    const seriesOf = from.i32()
    const slotOf = from.i32()
    assert(fields.length === (slotMax + 1) * SLOT_STRIDE, 'state has another number of slots')
    assert(seriesOf.length === slotMax + 1 && count <= slotMax && free <= slotMax, 'state has other slots')
    while (this.seriesOf.length <= slotMax) this.#growSlots()
    this.fields.set(fields)
    this.seriesOf.set(seriesOf)
    this.#slotOf = slotOf
    this.#seriesCount = slotOf.length
    this.count = count | 0
    this.slotMax = slotMax | 0
    this.#free = free | 0
  }

  #growSeries(count: number): void {
    if (count > this.#slotOf.length) {
      const slotOf = new Int32Array(Math.max(count, this.#slotOf.length * 2))
      slotOf.set(this.#slotOf)
      this.#slotOf = slotOf
    }
    this.#seriesCount = count
  }

  #growSlots(): void {
    const capacity = this.seriesOf.length * 2
    const fields = new Float64Array(capacity * SLOT_STRIDE)
    fields.set(this.fields)
    this.fields = fields
    this.ints = new Int32Array(fields.buffer)
    const seriesOf: Int32Array = new Int32Array(capacity).fill(-1)
    seriesOf.set(this.seriesOf)
    this.seriesOf = seriesOf
  }
}

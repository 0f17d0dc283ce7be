/**
 * Open panes in one block of memory, with a free list; a series chains its panes in order of (level, start).
 * A pane is named by a number from 1 up, 0 is none. One owner: the shard's thread.
 *
 * A record is ten doubles:  0 startMs  1 n  2 sum  3 min  4 max  5 first  6 firstTsMs  7 last  8 lastTsMs
 *                              9 two int32: level, next pane
 * Slot numbers of what it keeps besides lie in `slots`.
 */
import { assert } from '../base/assert.ts'
import type { StateReader, StateWriter } from '../codecs/state.ts'
import type { PaneExtras } from './pane-extras.ts'

export const PaneField = {
  startMs: 0,
  n: 1,
  sum: 2,
  min: 3,
  max: 4,
  first: 5,
  firstTsMs: 6,
  last: 7,
  lastTsMs: 8,
} as const

const STRIDE = 10
const INT_STRIDE = STRIDE * 2
const INT_LEVEL = 18
const INT_NEXT = 19
const CAPACITY_MIN = 1024
const CAPACITY_COPIED_MAX = 131_072

export class PanePool {
  /** Panes in use. */
  count = 0
  /** The records; stale in locals after `take`. */
  fields: Float64Array
  /** As many for each pane as it has extras; stale in locals after `take`. */
  slots: Int32Array
  readonly #extras: PaneExtras
  #ints: Int32Array
  #free = 0
  #usedMax = 0
  readonly #countMax: number

  /**
   * Made for up to `countMax` panes; more may be taken, at the price of a pause while the records are copied.
   */
  constructor(countMax: number, extras: PaneExtras) {
    this.#countMax = countMax
    this.#extras = extras
    this.fields = new Float64Array(CAPACITY_MIN * STRIDE)
    this.slots = new Int32Array(CAPACITY_MIN * extras.count)
    this.#ints = new Int32Array(this.fields.buffer)
  }

  offset(pane: number): number {
    return pane * STRIDE
  }

  slotOffset(pane: number): number {
    return pane * this.#extras.count
  }

  level(pane: number): number {
    return this.#ints[pane * INT_STRIDE + INT_LEVEL]
  }

  next(pane: number): number {
    return this.#ints[pane * INT_STRIDE + INT_NEXT]
  }

  setNext(pane: number, next: number): void {
    this.#ints[pane * INT_STRIDE + INT_NEXT] = next
  }

  startMs(pane: number): number {
    return this.fields[pane * STRIDE + PaneField.startMs]
  }

  /** A pane with nothing in it yet. */
  take(level: number, startMs: number, next: number): number {
    let pane = this.#free
    if (pane !== 0) {
      this.#free = this.#ints[pane * INT_STRIDE + INT_NEXT]
    } else {
      pane = ++this.#usedMax
      if ((pane + 1) * STRIDE > this.fields.length) this.#adopt(this.fields, this.slots)
    }
    this.count++
    const fields = this.fields
    const at = pane * STRIDE
    fields[at + PaneField.startMs] = startMs
    fields[at + PaneField.n] = 0
    fields[at + PaneField.sum] = 0
    fields[at + PaneField.min] = Number.POSITIVE_INFINITY
    fields[at + PaneField.max] = Number.NEGATIVE_INFINITY
    fields[at + PaneField.firstTsMs] = Number.POSITIVE_INFINITY
    fields[at + PaneField.lastTsMs] = Number.NEGATIVE_INFINITY
    this.#ints[pane * INT_STRIDE + INT_LEVEL] = level
    this.#ints[pane * INT_STRIDE + INT_NEXT] = next
    return pane
  }

  give(pane: number): void {
    assert(this.count > 0, 'a pane was given back twice')
    this.count--
    if (this.#extras.count > 0) this.#extras.give(this.slots, this.slotOffset(pane))
    this.#ints[pane * INT_STRIDE + INT_NEXT] = this.#free
    this.#free = pane
  }

  /** Adds the reading in row `row` of the columns. */
  addReading(pane: number, tsMs: Float64Array, value: Float64Array, row: number, needs: number): void {
    const fields = this.fields
    const at = pane * STRIDE
    const ts = tsMs[row]
    const x = value[row]
    fields[at + PaneField.n] += 1
    fields[at + PaneField.sum] += x
    if (x < fields[at + PaneField.min]) fields[at + PaneField.min] = x
    if (x > fields[at + PaneField.max]) fields[at + PaneField.max] = x
    lowerFirst(fields, at, ts, x)
    raiseLast(fields, at, ts, x)
    if (this.#extras.count > 0) this.#extras.add(this.slots, this.slotOffset(pane), x, needs)
  }

  /** Merges the pane `from` into `into`; `needs` says which extras come along. */
  addPane(into: number, from: number, needs: number): void {
    const fields = this.fields
    const at = into * STRIDE
    const source = from * STRIDE
    fields[at + PaneField.n] += fields[source + PaneField.n]
    fields[at + PaneField.sum] += fields[source + PaneField.sum]
    const min = fields[source + PaneField.min]
    const max = fields[source + PaneField.max]
    if (min < fields[at + PaneField.min]) fields[at + PaneField.min] = min
    if (max > fields[at + PaneField.max]) fields[at + PaneField.max] = max
    lowerFirst(fields, at, fields[source + PaneField.firstTsMs], fields[source + PaneField.first])
    raiseLast(fields, at, fields[source + PaneField.lastTsMs], fields[source + PaneField.last])
    if (this.#extras.count > 0) {
      this.#extras.merge(this.slots, this.slotOffset(into), this.slots, this.slotOffset(from), needs)
    }
  }

  /** Forgets all panes, keeps the memory. Their slots were given back. */
  clear(): void {
    this.count = 0
    this.#free = 0
    this.#usedMax = 0
  }

  /** Records in use and given back, in their places, for the free list runs through them. */
  save(out: StateWriter): void {
    out.numbers(this.count, this.#free, this.#usedMax)
    out.f64(this.fields, (this.#usedMax + 1) * STRIDE)
    out.i32(this.slots, this.slotOffset(this.#usedMax + 1))
  }

  load(from: StateReader): void {
    const [count, free, usedMax] = from.numbers(3)
    const fields = from.f64()
    const slots = from.i32()
    assert(fields.length === (usedMax + 1) * STRIDE, 'state has another number of panes')
    assert(slots.length === this.slotOffset(usedMax + 1), 'state has another number of slots')
    assert(count <= usedMax && free <= usedMax, 'state has a pane past the last')
    this.#adopt(fields, slots)
    this.count = count | 0
    this.#free = free | 0
    this.#usedMax = usedMax | 0
  }

  /**
   * Takes over the records with room for one more at least. The room doubles while that is cheap, then goes
   * to the bound at once: memory that nothing was written to yet costs address space only, and copying two
   * million panes once more would stop the thread for 0.2 s.
   */
  #adopt(records: Float64Array, slots: Int32Array): void {
    let capacity = CAPACITY_MIN
    while (capacity * STRIDE <= records.length) {
      capacity *= 2
      if (capacity > CAPACITY_COPIED_MAX) capacity = Math.max(capacity, this.#countMax + CAPACITY_MIN)
    }
    this.fields = new Float64Array(capacity * STRIDE)
    this.fields.set(records)
    this.slots = new Int32Array(this.slotOffset(capacity))
    this.slots.set(slots)
    this.#ints = new Int32Array(this.fields.buffer)
  }
}

export function lowerFirst(fields: Float64Array, at: number, ts: number, x: number): void {
  const firstTs = fields[at + PaneField.firstTsMs]
  if (ts < firstTs || (ts === firstTs && x < fields[at + PaneField.first])) {
    fields[at + PaneField.firstTsMs] = ts
    fields[at + PaneField.first] = x
  }
}

export function raiseLast(fields: Float64Array, at: number, ts: number, x: number): void {
  const lastTs = fields[at + PaneField.lastTsMs]
  if (ts > lastTs || (ts === lastTs && x > fields[at + PaneField.last])) {
    fields[at + PaneField.lastTsMs] = ts
    fields[at + PaneField.last] = x
  }
}

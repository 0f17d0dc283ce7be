/**
 * Count, mean and the sum of squared differences from it, for the variance: added by Welford's method (1962), merged by Chan's (1979),
 * which is what ClickHouse's varPopStable does. Rounding depends on the order of merging. One owner: the shard's thread.
 *
 * A record is three doubles:  0 n  1 mean  2 m2
 */
import type { StateReader, StateWriter } from '../codecs/state.ts'
import { RecordPages } from './record-pages.ts'
import type { SlotPool } from './slot-pool.ts'

const STRIDE = 3
const N = 0
const MEAN = 1
const M2 = 2

/** Rows are for `AggregateFunction(varPopStable, Float64)`: rows 0 .. count-1. */
class MomentRows {
  count = 0
  n: Float64Array
  mean: Float64Array
  m2: Float64Array

  constructor(capacity = 1024) {
    this.n = new Float64Array(capacity)
    this.mean = new Float64Array(capacity)
    this.m2 = new Float64Array(capacity)
  }

  append(n: number, mean: number, m2: number): void {
    if (this.count === this.n.length) this.#grow()
    this.n[this.count] = n
    this.mean[this.count] = mean
    this.m2[this.count++] = m2
  }

  #grow(): void {
    const larger = new MomentRows(this.count * 2)
    larger.n.set(this.n)
    larger.mean.set(this.mean)
    larger.m2.set(this.m2)
    Object.assign(this, larger, { count: this.count })
  }
}

export class Moments implements SlotPool {
  readonly rows = new MomentRows()
  readonly #records = new RecordPages(STRIDE)

  take(): number {
    return this.#records.take()
  }

  give(slot: number): void {
    this.#records.give(slot)
  }

  // hot: per reading
  add(slot: number, x: number): void {
    const page = this.#records.page(slot)
    const at = this.#records.offset(slot)
    const n = page[at + N] + 1
    const difference = x - page[at + MEAN]
    const mean = page[at + MEAN] + difference / n
    page[at + N] = n
    page[at + MEAN] = mean
    page[at + M2] += difference * (x - mean)
  }

  merge(into: number, from: number): void {
    const page = this.#records.page(into)
    const at = this.#records.offset(into)
    const source = this.#records.page(from)
    const sourceAt = this.#records.offset(from)
    const otherN = source[sourceAt + N]
    if (otherN === 0) return
    const n = page[at + N] + otherN
    const difference = source[sourceAt + MEAN] - page[at + MEAN]
    const share = otherN / n
    page[at + M2] += source[sourceAt + M2] + difference * difference * page[at + N] * share
    page[at + MEAN] += difference * share
    page[at + N] = n
  }

  appendRow(slot: number): void {
    if (slot === 0) {
      this.rows.append(0, 0, 0)
      return
    }
    const page = this.#records.page(slot)
    const at = this.#records.offset(slot)
    this.rows.append(page[at + N], page[at + MEAN], page[at + M2])
  }

  get rowsSizeBytes(): number {
    return this.rows.count * 20
  }

  clearRows(): void {
    this.rows.count = 0
  }

  clear(): void {
    this.#records.clear()
  }

  save(out: StateWriter): void {
    this.#records.save(out)
  }

  load(from: StateReader): void {
    this.#records.load(from)
  }
}

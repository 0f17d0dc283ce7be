/**
 * Sums with the error of their roundings beside them (Neumaier, 1974; the error of one addition by Knuth's TwoSum): sum + error is
 * right to about n^2 * 2^-106 * the sum of |x|, before it is rounded once. One owner: the shard's thread.
 *
 * A record is two doubles:  0 sum  1 error
 */
import type { StateReader, StateWriter } from '../codecs/state.ts'
import { RecordPages } from './record-pages.ts'
import type { SlotPool } from './slot-pool.ts'

const STRIDE = 2
const SUM = 0
const ERROR = 1

/** Rows are for the columns `sum` and `sum_error`: rows 0 .. count-1. */
class SumRows {
  count = 0
  sum: Float64Array
  error: Float64Array

  constructor(capacity = 1024) {
    this.sum = new Float64Array(capacity)
    this.error = new Float64Array(capacity)
  }

  append(sum: number, error: number): void {
    if (this.count === this.sum.length) this.#grow()
    this.sum[this.count] = sum
    this.error[this.count++] = error
  }

  #grow(): void {
    const larger = new SumRows(this.count * 2)
    larger.sum.set(this.sum)
    larger.error.set(this.error)
    Object.assign(this, larger, { count: this.count })
  }
}

export class CompensatedSums implements SlotPool {
  readonly rows = new SumRows()
  readonly #records = new RecordPages(STRIDE)

  take(): number {
    return this.#records.take()
  }

  give(slot: number): void {
    this.#records.give(slot)
  }

  // hot: per reading
  add(slot: number, x: number): void {
    addTo(this.#records.page(slot), this.#records.offset(slot), x, 0)
  }

  merge(into: number, from: number): void {
    const source = this.#records.page(from)
    const sourceAt = this.#records.offset(from)
    const x = source[sourceAt + SUM]
    addTo(this.#records.page(into), this.#records.offset(into), x, source[sourceAt + ERROR])
  }

  appendRow(slot: number): void {
    if (slot === 0) {
      this.rows.append(0, 0)
      return
    }
    const page = this.#records.page(slot)
    const at = this.#records.offset(slot)
    // A sum past the largest float has no error, but NaN, which would hide the infinity.
    const error = page[at + ERROR]
    this.rows.append(page[at + SUM], Number.isFinite(error) ? error : 0)
  }

  get rowsSizeBytes(): number {
    return this.rows.count * 8
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

function addTo(page: Float64Array, at: number, x: number, error: number): void {
  const before = page[at + SUM]
  const sum = before + x
  const part = sum - before
  page[at + SUM] = sum
  page[at + ERROR] += error + (before - (sum - part) + (x - part))
}

/**
 * Columns of panes that left their windows: partial aggregates, a row each. Rows with the same series, window
 * and start merge into the exact result: n and sum add, min and max compare, `first` is the smallest
 * (firstTsMs, first) pair and `last` the greatest (lastTsMs, last) pair. One owner: the shard's thread, which
 * takes the rows and clears.
 */
import { PaneField, type PanePool } from './pane-pool.ts'

export class PaneRows {
  count = 0
  series: Int32Array
  /** Index into the widths that the windows were made with. */
  window: Int32Array
  /** The pane is [startMs, startMs + width). */
  startMs: Float64Array
  n: Float64Array
  sum: Float64Array
  min: Float64Array
  max: Float64Array
  first: Float64Array
  firstTsMs: Float64Array
  last: Float64Array
  lastTsMs: Float64Array

  constructor(capacity = 1024) {
    this.series = new Int32Array(capacity)
    this.window = new Int32Array(capacity)
    this.startMs = new Float64Array(capacity)
    this.n = new Float64Array(capacity)
    this.sum = new Float64Array(capacity)
    this.min = new Float64Array(capacity)
    this.max = new Float64Array(capacity)
    this.first = new Float64Array(capacity)
    this.firstTsMs = new Float64Array(capacity)
    this.last = new Float64Array(capacity)
    this.lastTsMs = new Float64Array(capacity)
  }

  /** Forgets the rows, keeps the memory. */
  clear(): void {
    this.count = 0
  }

  /** Appends a pane of the pool. References to columns held elsewhere are stale after it. */
  append(series: number, window: number, pool: PanePool, pane: number): void {
    if (this.count === this.series.length) this.#grow()
    const row = this.count++
    const at = pool.offset(pane)
    const fields = pool.fields
    this.series[row] = series
    this.window[row] = window
    this.startMs[row] = fields[at + PaneField.startMs]
    this.n[row] = fields[at + PaneField.n]
    this.sum[row] = fields[at + PaneField.sum]
    this.min[row] = fields[at + PaneField.min]
    this.max[row] = fields[at + PaneField.max]
    this.first[row] = fields[at + PaneField.first]
    this.firstTsMs[row] = fields[at + PaneField.firstTsMs]
    this.last[row] = fields[at + PaneField.last]
    this.lastTsMs[row] = fields[at + PaneField.lastTsMs]
  }

  #grow(): void {
    const larger = new PaneRows(this.series.length * 2)
    larger.series.set(this.series)
    larger.window.set(this.window)
    for (const column of DOUBLE_COLUMNS) larger[column].set(this[column])
    const { count } = this
    Object.assign(this, larger, { count })
  }
}

/** The columns of doubles, in the order of a table made of them. */
export const DOUBLE_COLUMNS = [
  'startMs',
  'n',
  'sum',
  'min',
  'max',
  'first',
  'firstTsMs',
  'last',
  'lastTsMs',
] as const

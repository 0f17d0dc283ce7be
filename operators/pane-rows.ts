/**
 * Columns of panes that left their windows: partial aggregates, a row each. Rows with the same series, window
 * and start merge into the exact result: n and sum add, min and max compare, `first` is the smallest
 * (firstTsMs, first) pair and `last` the greatest (lastTsMs, last) pair. One owner: the shard's thread, which
 * takes the rows and clears. What was asked for besides (variance, quantiles, ...) stands in the same rows of the
 * pools' own columns.
 */
import type { PaneExtras } from './pane-extras.ts'
import { PaneField } from './pane-pool.ts'

const CAPACITY_COPIED_MAX = 4096
const CAPACITY_BATCH = 131_072

export class PaneRows {
  count = 0
  series: Int32Array
  /** Index into the windows that the operator was made with. */
  window: Int32Array
  /** Of the window that the pane is all or part of. */
  startMs: Float64Array
  n: Float64Array
  sum: Float64Array
  min: Float64Array
  max: Float64Array
  first: Float64Array
  firstTsMs: Float64Array
  last: Float64Array
  lastTsMs: Float64Array
  readonly #extras: PaneExtras | null
  readonly #needs: readonly number[]

  /** `needs` says of each window which extras its rows have. */
  constructor(capacity = 1024, extras: PaneExtras | null = null, needs: readonly number[] = []) {
    this.#extras = extras
    this.#needs = needs
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
    this.#extras?.clearRows()
  }

  /**
   * Appends what the record at `at` holds; its slot numbers begin at `slotAt`. References to columns held elsewhere are stale
   * after it.
   */
  // hot: per pane
  append(
    series: number,
    window: number,
    startMs: number,
    fields: Float64Array,
    at: number,
    slots: Int32Array,
    slotAt: number,
  ): void {
    if (this.count === this.series.length) this.#grow()
    const row = this.count++
    this.series[row] = series
    this.window[row] = window
    this.startMs[row] = startMs
    this.n[row] = fields[at + PaneField.n]
    this.sum[row] = fields[at + PaneField.sum]
    this.min[row] = fields[at + PaneField.min]
    this.max[row] = fields[at + PaneField.max]
    this.first[row] = fields[at + PaneField.first]
    this.firstTsMs[row] = fields[at + PaneField.firstTsMs]
    this.last[row] = fields[at + PaneField.last]
    this.lastTsMs[row] = fields[at + PaneField.lastTsMs]
    if (this.#extras !== null) this.#extras.appendRow(slots, slotAt, this.#needs[window])
  }

  /** Appends what two records hold together; all in the second is later. Both have something in them. */
  // hot: per pane
  appendJoined(
    series: number,
    window: number,
    startMs: number,
    fields: Float64Array,
    earlierAt: number,
    laterAt: number,
    slots: Int32Array,
    slotAt: number,
  ): void {
    if (this.count === this.series.length) this.#grow()
    const row = this.count++
    this.series[row] = series
    this.window[row] = window
    this.startMs[row] = startMs
    this.n[row] = fields[earlierAt + PaneField.n] + fields[laterAt + PaneField.n]
    this.sum[row] = fields[earlierAt + PaneField.sum] + fields[laterAt + PaneField.sum]
    this.min[row] = Math.min(fields[earlierAt + PaneField.min], fields[laterAt + PaneField.min])
    this.max[row] = Math.max(fields[earlierAt + PaneField.max], fields[laterAt + PaneField.max])
    this.first[row] = fields[earlierAt + PaneField.first]
    this.firstTsMs[row] = fields[earlierAt + PaneField.firstTsMs]
    this.last[row] = fields[laterAt + PaneField.last]
    this.lastTsMs[row] = fields[laterAt + PaneField.lastTsMs]
    if (this.#extras !== null) this.#extras.appendRow(slots, slotAt, this.#needs[window])
  }

  /**
   * Room doubles while that is cheap, then goes to that of a flush's piece at once: memory that nothing was written to costs
   * address space only, and each doubling would lengthen the pause.
   */
  #grow(): void {
    const doubled = this.series.length * 2
    const larger = new PaneRows(doubled > CAPACITY_COPIED_MAX ? Math.max(doubled, CAPACITY_BATCH) : doubled)
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

/**
 * The operators over the same readings, and the rows they have made: windows that merge, for `rollups`, and windows that do not and
 * downsamplers, for `windows`, `points` and `amendments`. Owned by the shard's thread. Invariant: rows name series by the shard's numbers.
 */
import type { ReadingColumns } from '../../codecs/columns.ts'
import type { MetricNames } from '../../codecs/metric-names.ts'
import type { Stateful, StateReader, StateWriter } from '../../codecs/state.ts'
import { OrderedWindows } from '../../operators/ordered-windows.ts'
import { TumblingWindows } from '../../operators/tumbling-windows.ts'
import type { MergeableWindow } from '../../operators/window-plan.ts'
import { MetricFilter } from '../steps/metric-filter.ts'
import { EVERY_BRANCH, type FedRows } from '../steps/row-branches.ts'
import { LocalSeries } from './local-series.ts'
import type { OperatorSetPlan } from './operator-plan.ts'

export interface OperatorTimes {
  latenessMs: number
  idleTimeoutMs: number
  aheadGuardMs: number
}

/** What there may be of earlier readings; null: there are none. */
export type Past = { newestArrivalMs: number } | null

/** What the sets of a shard share. */
export interface SetParts {
  fed: FedRows
  metrics: MetricNames
}

/** A row of `windows` in memory, about. */
const WINDOW_ROW_SIZE_BYTES = 240

export class OperatorSet implements Stateful {
  readonly plan: OperatorSetPlan
  readonly merging: TumblingWindows | null
  readonly ordered: OrderedWindows | null
  /** Null for a set that sees all readings of the shard. */
  #local: LocalSeries | null
  #fed: FedRows
  /** Null: all metrics. */
  readonly #filter: MetricFilter | null
  /** Rows of `merging` up to here have the shard's series numbers. */
  #named = 0

  /** `past`: readings that came before, in this life or another. `isAlone`: all readings of the shard go to this set. */
  constructor(
    plan: OperatorSetPlan,
    times: OperatorTimes,
    { fed, metrics }: SetParts,
    past: Past,
    isAlone: boolean,
  ) {
    const { merging, ordered, downsamplers, sumErrors } = plan
    this.plan = plan
    this.#fed = fed
    this.#filter =
      plan.metrics === null ? null : new MetricFilter(metrics, { include: plan.metrics, exclude: [] })
    this.#local = isAlone ? null : new LocalSeries()
    const windows = merging.map(({ spec }) => spec as MergeableWindow)
    this.merging =
      merging.length === 0 ? null : new TumblingWindows({ ...times, widthsMs: [], windows, sumErrors })
    this.ordered =
      ordered.length + downsamplers.length === 0
        ? null
        : new OrderedWindows(
            {
              ...times,
              specs: ordered.map(({ spec }) => spec),
              downsamplers: downsamplers.map(({ spec }) => spec),
            },
            past === null,
            past?.newestArrivalMs,
          )
  }

  get rowCount(): number {
    const { merging, ordered } = this
    const orderedCount =
      ordered === null ? 0 : ordered.rows.count + ordered.points.count + ordered.amendments.count
    return orderedCount + (merging === null ? 0 : merging.closed.count)
  }

  /** Of the rows, beyond the 32 bytes that each counts anyway. */
  get rowsExtraSizeBytes(): number {
    const { merging, ordered } = this
    const orderedSizeBytes = ordered === null ? 0 : ordered.rows.count * WINDOW_ROW_SIZE_BYTES
    return orderedSizeBytes + (merging === null ? 0 : merging.rowsExtraSizeBytes)
  }

  /** Whether windows wait for time to pass. */
  get isOpen(): boolean {
    return (this.merging?.stats.openPanes ?? 0) > 0 || this.ordered?.isQuiet === false
  }

  get pointCount(): number {
    return this.ordered?.points.count ?? 0
  }

  get openCount(): number {
    return (this.merging?.stats.openPanes ?? 0) + (this.ordered?.stats.series ?? 0)
  }

  /** Readings that came behind their windows. */
  get lateCount(): number {
    return this.merging?.lateCount ?? this.ordered?.stats.late ?? 0
  }

  /** Takes the rows [start, end) of one stream, all arrived at `arrivalMs`. */
  // hot: per batch
  push(
    series: Int32Array,
    readings: ReadingColumns,
    bits: Int32Array,
    arrivalMs: number,
    start: number,
    end: number,
  ): void {
    const { merging, ordered } = this
    const filter = this.#filter
    if (this.#local === null && filter === null && this.plan.branches === EVERY_BRANCH) {
      if (merging !== null) merging.push(series, readings.tsMs, readings.value, arrivalMs, start, end)
      if (ordered !== null) ordered.push(series, readings, arrivalMs, start, end)
      return
    }
    const fed = this.#fed
    fed.take(this.plan.branches, filter, bits, series, readings, start, end)
    if (ordered !== null) ordered.push(fed.series, fed, arrivalMs, 0, fed.count)
    if (merging === null) return
    const local = this.#local
    if (local !== null)
      for (let row = 0; row < fed.count; row++) fed.series[row] = local.find(fed.series[row])
    merging.push(fed.series, fed.tsMs, fed.value, arrivalMs, 0, fed.count)
    this.#nameRows()
  }

  tick(nowMs: number): void {
    this.merging?.tick(nowMs)
    this.ordered?.tick(nowMs)
    this.#nameRows()
  }

  gap(durationMs: number): void {
    this.merging?.gap(durationMs)
    this.ordered?.gap(durationMs)
  }

  /** Closes every window into the rows. */
  flush(): void {
    this.merging?.flush()
    this.ordered?.flush()
    this.#nameRows()
  }

  clearRows(): void {
    this.merging?.closed.clear()
    this.ordered?.clearRows()
    this.#named = 0
  }

  save(out: StateWriter): void {
    out.numbers(this.#local === null ? 0 : 1)
    for (const part of this.#stateful()) part.save(out)
  }

  /** What was saved may have been alone, and this one not, or the other way round. */
  load(from: StateReader): void {
    const local = this.#local
    const [wasLocal] = from.numbers(1)
    this.#local = wasLocal === 1 ? new LocalSeries() : null
    for (const part of this.#stateful()) part.load(from)
    if (wasLocal === 1 || local === null) return
    this.#local = local
    if (this.merging !== null) local.takeAll(this.merging.stats.series)
  }

  #stateful(): Stateful[] {
    return [this.#local, this.merging, this.ordered].filter((part) => part !== null)
  }

  #nameRows(): void {
    if (this.#local === null || this.merging === null) return
    const { closed } = this.merging
    const { shardSeries } = this.#local
    for (let row = this.#named; row < closed.count; row++)
      closed.series[row] = shardSeries[closed.series[row]]
    this.#named = closed.count
  }
}

/**
 * Which of the shard's series a detector sees, and under which numbers: dense from 0, and of one with several metrics device *
 * dimensions + dimension. What a detector learns is large, so their number is bounded; series that come too late for that are
 * refused, and counted. Owned by the shard's thread. Series are never forgotten, as in the shard.
 */
import { assert } from '../../base/assert.ts'
import type { MetricNames } from '../../codecs/metric-names.ts'
import type { Stateful, StateReader, StateWriter } from '../../codecs/state.ts'
import { MetricFilter } from '../steps/metric-filter.ts'
import type { SeriesTable } from './series-table.ts'
import { copied } from './typed-arrays.ts'

/** In #found: a series that is not looked for, or has no room. Otherwise 0 for unknown, or its number and one more. */
const LEFT = -1
const NONE = -1

export class DetectedSeries implements Stateful {
  /** Series that have no room, since the start. */
  refused = 0
  /** Numbers that are taken. */
  count = 0
  /** The shard's number of each series here; NONE for a dimension that a device has not got yet. */
  shardSeries: Int32Array = new Int32Array(256)
  readonly #series: SeriesTable
  readonly #metrics: MetricNames
  readonly #filter: MetricFilter
  /** Names of the dimensions; null when each series is by itself. */
  readonly #dimensions: readonly string[] | null
  readonly #countMax: number
  #found: Int32Array = new Int32Array(1024)
  #places = new Map<number, number>()

  constructor(
    series: SeriesTable,
    metrics: MetricNames,
    selected: string[] | null,
    isMultivariate: boolean,
    countMax: number,
  ) {
    this.#series = series
    this.#metrics = metrics
    this.#filter = new MetricFilter(metrics, { include: selected, exclude: [] })
    this.#dimensions = isMultivariate ? selected : null
    this.#countMax = countMax
  }

  /** The number of the shard's series here; -1 when the detector does not see it. */
  // hot: per reading
  find(series: number): number {
    const found = series < this.#found.length ? this.#found[series] : 0
    if (found > 0) return found - 1
    return found === 0 ? this.#meet(series) : NONE
  }

  save(out: StateWriter): void {
    out.i32(this.shardSeries, this.count)
  }

  load(from: StateReader): void {
    assert(this.count === 0, 'series that load a state are new')
    const shardSeries = from.i32()
    this.shardSeries = copied(shardSeries, new Int32Array(Math.max(256, shardSeries.length)))
    this.count = shardSeries.length
    const size = this.#dimensions?.length ?? 1
    for (let index = 0; index < this.count; index++) {
      const series = shardSeries[index]
      if (series === NONE) continue
      this.#note(series, index + 1)
      this.#places.set(this.#series.device[series], index - (index % size))
    }
    if (this.#dimensions === null) this.#places.clear()
  }

  #meet(series: number): number {
    const metric = this.#series.metric[series]
    let index = NONE
    if (this.#filter.takes(metric)) {
      index = this.#dimensions === null ? this.#add(1) : this.#place(series, this.#dimensions)
      if (index === NONE) this.refused++
      else this.shardSeries[index] = series
    }
    this.#note(series, index === NONE ? LEFT : index + 1)
    return index
  }

  #place(series: number, dimensions: readonly string[]): number {
    const device = this.#series.device[series]
    let base = this.#places.get(device)
    if (base === undefined) {
      base = this.#add(dimensions.length)
      if (base === NONE) return NONE
      this.#places.set(device, base)
    }
    return base + dimensions.indexOf(this.#metrics.text(this.#series.metric[series]))
  }

  /** The first of so many new numbers. */
  #add(count: number): number {
    const base = this.count
    if (base + count > this.#countMax) return NONE
    if (base + count > this.shardSeries.length) {
      this.shardSeries = copied(this.shardSeries, new Int32Array(2 * (base + count)))
    }
    this.shardSeries.fill(NONE, base, base + count)
    this.count += count
    return base
  }

  #note(series: number, found: number): void {
    if (series >= this.#found.length) {
      this.#found = copied(this.#found, new Int32Array(Math.max(series + 1, this.#found.length * 2)))
    }
    this.#found[series] = found
  }
}

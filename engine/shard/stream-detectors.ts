/**
 * All detectors of a shard, and the rows of their episodes. Owned by the shard's thread. Invariant: rows name series by the
 * detector's own numbers, which its `series` knows.
 */
import { assert } from '../../base/assert.ts'
import type { ReadingColumns } from '../../codecs/columns.ts'
import type { MetricNames } from '../../codecs/metric-names.ts'
import type { Stateful, StateReader, StateWriter } from '../../codecs/state.ts'
import { createDetection } from '../../operators/detect/create-detection.ts'
import type { Detection, DetectionTimes } from '../../operators/detect/detection.ts'
import { FedRows, type RowBranches } from '../steps/row-branches.ts'
import { DetectedSeries } from './detected-series.ts'
import { type DetectorPlan, planDetectors } from './detector-plan.ts'
import type { PipelineStream } from './pipeline-stream.ts'
import type { SeriesTable } from './series-table.ts'

export interface StreamDetectorsSettings extends DetectionTimes {
  streams?: readonly PipelineStream[]
  /** Of each detector; 20,000 when left out. */
  detectedSeriesMax?: number
}

/** The default detector learns 3 KB of each. */
const DETECTED_SERIES_MAX = 20_000
/** A row of `anomalies` in memory, beyond what every row counts. */
const ROW_SIZE_BYTES = 96

export class PlannedDetector {
  readonly plan: DetectorPlan
  readonly detection: Detection
  readonly series: DetectedSeries
  readonly #fed: FedRows
  readonly #times: DetectionTimes

  constructor(plan: DetectorPlan, series: DetectedSeries, times: DetectionTimes, fed: FedRows) {
    this.plan = plan
    this.series = series
    this.detection = createDetection(plan.spec, times)
    this.#times = times
    this.#fed = fed
  }

  /** Takes the rows [start, end) of one stream, all arrived at `arrivalMs`. */
  // hot: per batch of a stream with detectors
  push(
    series: Int32Array,
    readings: ReadingColumns,
    bits: Int32Array,
    arrivalMs: number,
    start: number,
    end: number,
  ): void {
    const fed = this.#fed
    fed.take(this.plan.branches, null, bits, series, readings, start, end)
    let count = 0
    for (let row = 0; row < fed.count; row++) {
      const index = this.series.find(fed.series[row])
      if (index < 0) continue
      fed.series[count] = index
      fed.tsMs[count] = fed.tsMs[row]
      fed.value[count] = fed.value[row]
      fed.textSize[count] = fed.textSize[row]
      count++
    }
    this.detection.push(fed.series, fed, arrivalMs, 0, count)
  }

  save(out: StateWriter): void {
    const { latenessMs, idleTimeoutMs, aheadGuardMs } = this.#times
    const { held, learned } = this.detection
    this.series.save(out)
    out.state(learned)
    out.numbers(latenessMs, idleTimeoutMs, aheadGuardMs)
    if (held !== null) out.state(held)
  }

  /** Readings that were held under other times are not judged. */
  load(from: StateReader): void {
    const { latenessMs, idleTimeoutMs, aheadGuardMs } = this.#times
    this.series.load(from)
    this.detection.learned.load(from.state())
    const times = from.numbers(3)
    const isSame = [latenessMs, idleTimeoutMs, aheadGuardMs].every((time, index) => time === times[index])
    if (this.detection.held === null) return
    const held = from.state()
    if (isSame) this.detection.held.load(held)
  }
}

export class StreamDetectors implements Stateful {
  readonly all: PlannedDetector[]
  readonly #ofStream: PlannedDetector[][]

  constructor(settings: StreamDetectorsSettings, series: SeriesTable, metrics: MetricNames) {
    const { streams = [], detectedSeriesMax = DETECTED_SERIES_MAX } = settings
    const { latenessMs, idleTimeoutMs, aheadGuardMs } = settings
    const fed = new FedRows()
    this.all = planDetectors(streams).map((plan) => {
      const { kind, metrics: selected } = plan.spec
      const seen = new DetectedSeries(series, metrics, selected, kind === 'multivariate', detectedSeriesMax)
      return new PlannedDetector(plan, seen, { latenessMs, idleTimeoutMs, aheadGuardMs }, fed)
    })
    this.#ofStream = streams.map((_, stream) => this.all.filter(({ plan }) => plan.streams.includes(stream)))
  }

  get rowCount(): number {
    let count = 0
    for (let i = 0; i < this.all.length; i++) count += this.all[i].detection.rows.count
    return count
  }

  /** Of the rows, beyond what every row counts. */
  get rowsExtraSizeBytes(): number {
    return this.rowCount * ROW_SIZE_BYTES
  }

  /** Whether readings are held that a flush would judge. */
  get isOpen(): boolean {
    return this.all.some(({ detection }) => detection.isOpen)
  }

  get awaitsTime(): boolean {
    return this.all.some(({ detection }) => detection.awaitsTime)
  }

  get episodesOpen(): number {
    return this.all.reduce((sum, { detection }) => sum + detection.episodesOpen, 0)
  }

  get seriesCount(): number {
    return this.all.reduce((sum, { series }) => sum + series.count, 0)
  }

  /** Series that no detector has room for, since the start. */
  get seriesRefused(): number {
    return this.all.reduce((sum, { series }) => sum + series.refused, 0)
  }

  /** Readings that came too late to be judged, or could not be. */
  get skipped(): number {
    return this.all.reduce((sum, { detection }) => sum + detection.skipped, 0)
  }

  /** Takes the rows [start, end), all of one stream and arrival. */
  // hot: per batch
  push(
    stream: number,
    series: Int32Array,
    readings: ReadingColumns,
    { bits }: RowBranches,
    arrivalMs: number,
    start: number,
    end: number,
  ): void {
    if (this.all.length === 0) return
    const detectors = this.#ofStream[stream]
    for (let i = 0; i < detectors.length; i++)
      detectors[i].push(series, readings, bits, arrivalMs, start, end)
  }

  tick(nowMs: number): void {
    for (const { detection } of this.all) detection.tick(nowMs)
  }

  gap(durationMs: number): void {
    for (const { detection } of this.all) detection.gap(durationMs)
  }

  /** Judges what is held; what was learned stays. */
  flush(): void {
    for (const { detection } of this.all) detection.flush()
  }

  clearRows(): void {
    for (const { detection } of this.all) detection.rows.clear()
  }

  save(out: StateWriter): void {
    out.numbers(this.all.length)
    for (const detector of this.all) {
      out.u8(Buffer.from(detector.plan.key))
      out.state(detector)
    }
  }

  /** What was saved may be of other detectors: those that are the same go on. */
  load(from: StateReader): void {
    const [count] = from.numbers(1)
    for (let i = 0; i < count; i++) {
      const key = Buffer.from(from.u8()).toString()
      const state = from.state()
      const detector = this.all.find(({ plan }) => plan.key === key)
      detector?.load(state)
      assert(detector === undefined || state.isAtEnd, 'the state of a detector is read to its end')
    }
  }
}

/**
 * Blocks of `anomalies`, and the alerts that leave with them, from a detector's rows of episodes. Of an episode's rows in a batch only
 * the last goes to the table, every one is an alert. Owned by the shard's thread.
 */
import type { BlockWriter } from '../../codecs/native/block-writer.ts'
import { type EpisodeRows, EpisodeState, Severity } from '../../operators/detect/episodes.ts'
import { ANOMALIES_COLUMNS } from '../store/columns.ts'
import type { Alert } from './alert.ts'
import { cut, orderOf, type Range } from './block-ranges.ts'
import type { Pipeline } from './pipeline.ts'
import type { RowOrder } from './row-order.ts'
import type { Slices } from './slices.ts'
import type { PlannedDetector } from './stream-detectors.ts'

const ROW_SIZE_BYTES = 80

/** By number. */
const STATES = ['', ...Object.keys(EpisodeState)] as ('' | keyof typeof EpisodeState)[]
const SEVERITIES = ['', ...Object.keys(Severity)] as ('' | keyof typeof Severity)[]

export class AlertBlocks {
  readonly columns = ANOMALIES_COLUMNS.map(({ name }) => name)
  #detector: PlannedDetector
  #order: RowOrder
  #writer: BlockWriter
  /** Rows that go to the table. */
  #last: Int32Array

  constructor(detector: PlannedDetector, order: RowOrder, writer: BlockWriter) {
    this.#detector = detector
    this.#order = order
    this.#writer = writer
    this.#last = lastOfEpisodes(detector.detection.rows)
  }

  get rowCount(): number {
    return this.#last.length
  }

  *sort(): Slices<Range[]> {
    const { detection, series } = this.#detector
    const { rows } = detection
    const shardSeries = this.#last.map((row) => series.shardSeries[rows.series[row]])
    yield* this.#order.sort(shardSeries, shardSeries.length)
    yield* this.#order.sortRuns(this.#gather(rows.startMs))
    return cut(this.rowCount, ROW_SIZE_BYTES)
  }

  *write(range: Range, version: number): Slices {
    const { rows } = this.#detector.detection
    const writer = this.#writer
    const order = orderOf(this.#order, range)
    const isCleared = this.#last.map((row) => Number(rows.state[row] === EpisodeState.cleared))
    const tsMs = this.#gather(rows.tsMs)
    writer.begin(ANOMALIES_COLUMNS.length, order.length, order.length * ROW_SIZE_BYTES)
    yield* this.#order.writeColumns(writer, range)
    writer.lowCardinality(
      'detector',
      [Buffer.from(this.#detector.plan.label)],
      new Int32Array(tsMs.length),
      order,
    )
    writer.dateTime64('raised', this.#gather(rows.startMs), order)
    writer.dateTime64('updated', tsMs, order)
    writer.dateTime64(
      'cleared',
      tsMs.map((ms, at) => ms * isCleared[at]),
      order,
    )
    writer.lowCardinality(
      'state',
      STATES.map(utf8),
      this.#last.map((row) => rows.state[row]),
      order,
    )
    writer.lowCardinality(
      'severity',
      SEVERITIES.map(utf8),
      this.#last.map((row) => rows.severity[row]),
      order,
    )
    writer.float64('score', this.#gather(rows.score), order)
    writer.float64('value', this.#gather(rows.value), order)
    writer.float64('expected_low', this.#gather(rows.expectedLow), order)
    writer.float64('expected_high', this.#gather(rows.expectedHigh), order)
    writer.uint64('version', new Float64Array(tsMs.length).fill(version), order)
    yield
  }

  #gather(column: Float64Array): Float64Array {
    return Float64Array.from(this.#last, (row) => column[row])
  }
}

/** What the pipeline's rows say, in the order in which each detector found it. */
export function alertsOf(
  { detectors, devices, series, metrics }: Pipeline,
  streams: readonly string[],
): Alert[] {
  return detectors.all.flatMap(({ plan, detection, series: { shardSeries } }) => {
    const { rows } = detection
    return Array.from({ length: rows.count }, (_, row): Alert => {
      const at = shardSeries[rows.series[row]]
      const device = series.device[at]
      return {
        stream: streams[devices.stream[device]],
        device: Buffer.from(devices.name(device)).toString(),
        metric: metrics.text(series.metric[at]),
        detector: plan.label,
        state: STATES[rows.state[row]] as Alert['state'],
        severity: SEVERITIES[rows.severity[row]] as Alert['severity'],
        raisedMs: rows.startMs[row],
        atMs: rows.tsMs[row],
        score: rows.score[row],
        value: rows.value[row],
        expectedLow: rows.expectedLow[row],
        expectedHigh: rows.expectedHigh[row],
      }
    })
  })
}

/** Rows that no later one of the same episode follows. */
function lastOfEpisodes(rows: EpisodeRows): Int32Array {
  const last = new Map<string, number>()
  for (let row = 0; row < rows.count; row++) last.set(`${rows.series[row]} ${rows.startMs[row]}`, row)
  return Int32Array.from([...last.values()].sort((a, b) => a - b))
}

function utf8(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}

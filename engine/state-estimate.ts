/**
 * How much state a config's operators keep for a series, by trying: operators are fed ten minutes of a reading a second, and
 * what they would write into a snapshot is measured. For `millrace check`.
 */
import { StateWriter } from '../codecs/state.ts'
import { createDetection } from '../operators/detect/create-detection.ts'
import type { DetectorSpec } from '../operators/detect/detector-spec.ts'
import { isCompression, type PointSpec } from '../operators/downsample/point-spec.ts'
import { OrderedWindows } from '../operators/ordered-windows.ts'
import { TumblingWindows } from '../operators/tumbling-windows.ts'
import type { MergeableWindow } from '../operators/window-plan.ts'
import { rollupAggregates, type WindowSpec, windowAggregates } from '../operators/window-spec.ts'
import type { WindowConfig } from './config.ts'

const START_MS = 1_750_000_000_000
const ROUND_COUNT = 600
const SERIES_COUNTS = [32, 96] as const
/** Detectors keep series in pages of 256. */
const DETECTED_COUNTS = [256, 768] as const
/** More than the default lateness, fewer than it takes to judge anything. */
const DETECTED_ROUND_COUNT = 30
/** A series itself: its device, metric and place in the table of series. */
const SERIES_SIZE_BYTES = 24

/** Bytes of a series with these operators over the same readings, a reading a second over the last ten minutes. */
export function stateSizeBytes(
  specs: readonly WindowSpec[],
  downsamplers: readonly PointSpec[],
  windows: WindowConfig,
): number {
  const [few, many] = SERIES_COUNTS.map((count) => measure(specs, downsamplers, windows, count))
  return SERIES_SIZE_BYTES + Math.max(0, Math.round((many - few) / (SERIES_COUNTS[1] - SERIES_COUNTS[0])))
}

/** Bytes of a series that the detector learns, with the readings that are held for the lateness. */
export function detectorSizeBytes(spec: DetectorSpec, windows: WindowConfig): number {
  const [few, many] = DETECTED_COUNTS.map((count) => measureDetection(spec, windows, count))
  return Math.round((many - few) / (DETECTED_COUNTS[1] - DETECTED_COUNTS[0]))
}

function measureDetection(spec: DetectorSpec, windows: WindowConfig, seriesCount: number): number {
  const detection = createDetection(spec, windows)
  const columns = new Round(seriesCount)
  for (let round = 0; round < DETECTED_ROUND_COUNT; round++) {
    columns.fill(round)
    detection.push(columns.series, columns, columns.tsMs[0], 0, seriesCount)
    detection.tick(columns.tsMs[0])
    detection.rows.clear()
  }
  const { learned, held } = detection
  return savedSize(learned) + (held === null ? 0 : savedSize(held))
}

/** In sets as a shard has them (shard/operator-plan.ts). */
function measure(
  specs: readonly WindowSpec[],
  downsamplers: readonly PointSpec[],
  windows: WindowConfig,
  seriesCount: number,
): number {
  const merging = specs.filter((spec) => rollupAggregates(spec).length > 0)
  const ordered = specs.filter((spec) => windowAggregates(spec).length > 0)
  const points = downsamplers.filter((spec) => !isCompression(spec))
  const compressions = downsamplers.filter(isCompression)
  let sizeBytes = 0
  if (merging.length > 0) sizeBytes += measureMerging(merging as MergeableWindow[], windows, seriesCount)
  if (ordered.length + points.length > 0) sizeBytes += measureOrdered(ordered, points, windows, seriesCount)
  for (const spec of compressions) sizeBytes += measureOrdered([], [spec], windows, seriesCount)
  return sizeBytes
}

function measureMerging(specs: MergeableWindow[], windows: WindowConfig, seriesCount: number): number {
  const operator = new TumblingWindows({ ...windows, widthsMs: [], windows: specs })
  const columns = new Round(seriesCount)
  for (let round = 0; round < ROUND_COUNT; round++) {
    columns.fill(round)
    operator.push(columns.series, columns.tsMs, columns.value, columns.tsMs[0], 0, seriesCount)
    operator.tick(columns.tsMs[0])
    operator.closed.clear()
  }
  return savedSize(operator)
}

function measureOrdered(
  specs: readonly WindowSpec[],
  downsamplers: readonly PointSpec[],
  windows: WindowConfig,
  seriesCount: number,
): number {
  const operator = new OrderedWindows({ ...windows, specs, downsamplers }, true)
  const columns = new Round(seriesCount)
  for (let round = 0; round < ROUND_COUNT; round++) {
    columns.fill(round)
    operator.push(columns.series, columns, columns.tsMs[0], 0, seriesCount)
    operator.tick(columns.tsMs[0])
    operator.clearRows()
  }
  return savedSize(operator)
}

function savedSize(operator: { save(out: StateWriter): void }): number {
  const writer = new StateWriter()
  operator.save(writer)
  return writer.sizeBytes
}

/** A reading of each series, all of one time. */
class Round {
  readonly series: Int32Array
  readonly tsMs: Float64Array
  readonly value: Float64Array
  readonly textStart: Int32Array
  readonly textSize: Int32Array
  readonly text = new Uint8Array(0)

  constructor(seriesCount: number) {
    this.series = Int32Array.from({ length: seriesCount }, (_, index) => index)
    this.tsMs = new Float64Array(seriesCount)
    this.value = new Float64Array(seriesCount)
    this.textStart = new Int32Array(seriesCount)
    this.textSize = new Int32Array(seriesCount).fill(-1)
  }

  fill(round: number): void {
    this.tsMs.fill(START_MS + round * 1000)
    for (let i = 0; i < this.value.length; i++) this.value[i] = 20 + ((i * 7 + round * 13) % 997) / 100
  }
}

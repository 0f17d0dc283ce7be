/**
 * Points against `samples`, for a few series that change from hour to hour: of windows the very points that batch SQL chooses, of
 * compression that each reading is a point, or as near to the kept line as was said. Only series that have been silent for so long
 * that all of their points, and amendments of them, must be there.
 */
import { type StoredPoint, untold } from '../../operators/downsample/kept-line.ts'
import {
  type CompressionSpec,
  isCompression,
  type WindowPointSpec,
} from '../../operators/downsample/point-spec.ts'
import { batchPoints } from '../store/points-schema.ts'
import type { StoreTarget } from '../store/target.ts'
import type { ComparedPoints } from './compared-windows.ts'
import { DIFFERENCE_COUNT_MAX, type Difference, minuteText } from './difference.ts'
import type { Checked } from './ledger-check.ts'
import { boundedMs } from './rollup-check.ts'
import { chooseSeries, chosenParams, IS_CHOSEN } from './sampled-series.ts'

const READING_COUNT_MAX = 5000

export interface SampledPoints {
  stream: string
  method: string
  series: number
  /** Windows; of compression, readings. */
  compared: number
  /** Windows whose points are those that batch SQL chooses; readings that the kept line tells. */
  equal: number
}

/** Series whose last reading arrived before `quietSinceMs`; what is at or after `sinceMs`. */
export async function checkPoints(
  target: StoreTarget,
  points: ComparedPoints,
  sinceMs: number,
  quietSinceMs: number,
): Promise<Checked<SampledPoints>> {
  const { stream, label, spec, condition } = points
  const series = await chooseSeries(target, stream, condition, quietSinceMs, READING_COUNT_MAX)
  if (series.length === 0) return { sums: [], differences: [], differenceCount: 0 }
  const params = { stream, method: label, since: boundedMs(sinceMs), ...chosenParams(series) }
  const { compared, wrongCount, wrong } = isCompression(spec)
    ? await compareLine(target, spec, params, Number.isFinite(sinceMs))
    : await compareWindows(target, stream, spec, params)
  const sums = [{ stream, method: label, series: series.length, compared, equal: compared - wrongCount }]
  const differences = wrong.map((each) => differenceOf(points, each))
  return { sums, differences, differenceCount: wrongCount }
}

interface Wrong {
  device: string
  metric: string
  /** Where the window starts, or the reading is. */
  ms: number
  /** Points of the window, or 1 for a reading. */
  expected: number
  found: number
}

interface Comparison {
  compared: number
  wrongCount: number
  wrong: Wrong[]
}

/** Of means the sums may be in another order. */
const ARE_SAME = `length(batch) = length(stored)
  AND arrayAll((b, s) -> b.1 = s.1 AND abs(b.2 - s.2) <= 1e-9 * abs(b.2), batch, arrayResize(stored, length(batch)))`

async function compareWindows(
  target: StoreTarget,
  stream: string,
  spec: WindowPointSpec,
  params: Record<string, unknown>,
): Promise<Comparison> {
  const startOf = (ms: string) => `${ms} - positiveModulo(${ms}, ${spec.widthMs})`
  const side = (name: string) => `arraySort(groupUniqArrayIf(point, side = '${name}'))`
  const [row] = await target.query<{
    compared: string
    wrong_count: string
    wrong: [string, string, ...(string | number)[]][]
  }>(
    `SELECT toString(count()) AS compared, toString(countIf(NOT is_same)) AS wrong_count,
      groupArrayIf({max:UInt32})((d, m, start_ms, length(batch), length(stored)), NOT is_same) AS wrong
    FROM (
      SELECT d, m, start_ms, ${side('batch')} AS batch, ${side('stored')} AS stored, ${ARE_SAME} AS is_same
      FROM (
        SELECT toString(device) AS d, toString(metric) AS m, 'batch' AS side, (toInt64(point.1), point.2) AS point,
          ${startOf('point.1')} AS start_ms
        FROM (${batchPoints(stream, spec, IS_CHOSEN)})
        UNION ALL
        SELECT toString(device), toString(metric), 'stored', (toUnixTimestamp64Milli(ts), value), ${startOf('toUnixTimestamp64Milli(ts)')}
        FROM millrace.points_latest
        WHERE stream = {stream:String} AND method = {method:String} AND late = 0 AND ${IS_CHOSEN}
      )
      WHERE start_ms >= {since:Int64} GROUP BY d, m, start_ms ORDER BY d, m, start_ms
    )`,
    { ...params, max: DIFFERENCE_COUNT_MAX },
  )
  const wrong = row.wrong.map(([device, metric, ...rest]): Wrong => {
    const [ms, expected, found] = rest.map(Number)
    return { device, metric, ms, expected, found }
  })
  return { compared: Number(row.compared), wrongCount: Number(row.wrong_count), wrong }
}

interface Row {
  device: string
  metric: string
  ms: string
  value: number
  /** NaN comes as null. */
  deviation: number | null
  late: number
}

/** `isCut`: where the line begins in what is left of it, it need not begin. */
async function compareLine(
  target: StoreTarget,
  spec: CompressionSpec,
  params: Record<string, unknown>,
  isCut: boolean,
): Promise<Comparison> {
  const columns =
    'toString(device) AS device, toString(metric) AS metric, toString(toUnixTimestamp64Milli(ts)) AS ms, value'
  const of = `stream = {stream:String} AND ${IS_CHOSEN} AND toUnixTimestamp64Milli(ts) >= {since:Int64}`
  const readings = await target.query<Row>(
    `SELECT ${columns}, NULL AS deviation, 0 AS late FROM millrace.samples WHERE ${of} AND isFinite(value)`,
    params,
  )
  const points = await target.query<Row>(
    `SELECT ${columns}, deviation, late FROM millrace.points_latest WHERE ${of} AND method = {method:String}`,
    params,
  )
  const lines = bySeries(points)
  let compared = 0
  const all: Wrong[] = []
  for (const [name, own] of bySeries(readings)) {
    const line = lines.get(name) ?? []
    const firstMs = Math.min(...line.filter(({ isLate }) => !isLate).map(({ ts }) => ts))
    const told = isCut ? own.filter(({ ts }) => ts >= firstMs) : own
    compared += told.length
    for (const { device, metric, ts } of untold(spec, told, line, true))
      all.push({ device, metric, ms: ts, expected: 1, found: 0 })
  }
  return { compared, wrongCount: all.length, wrong: all.slice(0, DIFFERENCE_COUNT_MAX) }
}

type SeriesPoint = StoredPoint & Pick<Row, 'device' | 'metric'>

function bySeries(rows: readonly Row[]): Map<string, SeriesPoint[]> {
  const points = rows.map(({ device, metric, ms, value, deviation, late }): SeriesPoint => {
    return {
      device,
      metric,
      ts: Number(ms),
      value: value + 0,
      deviation: deviation ?? Number.NaN,
      isLate: late === 1,
    }
  })
  return Map.groupBy(points, ({ device, metric }) => JSON.stringify([device, metric]))
}

function differenceOf({ stream, label, spec }: ComparedPoints, wrong: Wrong): Difference {
  const { device, metric, ms, expected, found } = wrong
  const place = `points ${label} of ${stream} ${device} ${metric}`
  const time = new Date(ms).toISOString()
  const text = isCompression(spec)
    ? `${place}: the reading of ${time} is neither a point nor near the line`
    : `${place}, window from ${time}: samples give ${expected} points, the table has ${found}${expected === found ? ' others' : ''}`
  return { check: 'points', stream, window: label, at: minuteText(ms), expected, found, text }
}

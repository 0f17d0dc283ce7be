/**
 * For tests: `points_latest` against what downsamplers keep of the readings in `samples`, by their definitions; LTTB also against
 * ClickHouse's own function.
 */
import { isDeepStrictEqual } from 'node:util'
import type { Point } from '../operators/downsample/downsample-fixture.ts'
import { type StoredPoint, untold } from '../operators/downsample/kept-line.ts'
import { isCompression, type WindowPointSpec } from '../operators/downsample/point-spec.ts'
import { pointsOf } from '../operators/downsample/points-oracle.ts'
import type { StreamDownsampler } from './config.ts'
import { quoteString } from './store/sql-tokens.ts'
import type { Query } from './window-comparison.ts'

export interface ComparedPoints {
  query: Query
  stream: string
  /** Without metrics of their own: they take all. */
  downsamplers: readonly StreamDownsampler[]
}

export interface PointComparison {
  /** Points of each label. */
  counts: Record<string, number>
  /** Those beside lines. */
  late: number
  differences: string[]
}

/** Means are sums of one order or another. */
const ROUNDING = 1e-12

export async function comparePoints(compared: ComparedPoints): Promise<PointComparison> {
  const { query, stream, downsamplers } = compared
  const of = `WHERE stream = ${quoteString(stream)}`
  const samples = bySeries(
    await query<Row>(`SELECT device, metric, toUnixTimestamp64Milli(ts) AS ts, value + 0. AS value
      FROM millrace.samples ${of} AND isFinite(value)`),
  )
  const result: PointComparison = { counts: {}, late: 0, differences: [] }
  for (const { label, spec } of downsamplers) {
    const rows = await query<Row>(
      `SELECT device, metric, toUnixTimestamp64Milli(ts) AS ts, value, deviation, late FROM millrace.points_latest
        ${of} AND method = ${quoteString(label)}`,
    )
    const points = bySeries(rows)
    result.counts[label] = rows.length
    result.late += rows.filter(({ late }) => late === 1).length
    for (const series of points.keys())
      if (!samples.has(series)) result.differences.push(`${label} ${series}: no reading is stored`)
    for (const [series, readings] of samples) {
      const found = points.get(series) ?? []
      if (isCompression(spec)) {
        for (const { ts, value } of untold(spec, readings, found))
          result.differences.push(`${label} ${series}: ${value} at ${ts} is told by nothing`)
      } else result.differences.push(...differencesOf(`${label} ${series}`, spec, readings, found))
    }
    if (!isCompression(spec) && spec.method === 'lttb')
      result.differences.push(...(await compareLttb(compared, label, spec)))
  }
  return result
}

interface Row {
  device: string
  metric: string
  ts: string | number
  value: number
  /** NaN comes as null. */
  deviation?: number | null
  late?: number
}

function bySeries(rows: readonly Row[]): Map<string, StoredPoint[]> {
  const series = new Map<string, StoredPoint[]>()
  for (const { device, metric, ts, value, deviation, late } of rows) {
    const key = `${device} ${metric}`
    const point = { ts: Number(ts), value, deviation: deviation ?? Number.NaN, isLate: late === 1 }
    const list = series.get(key)
    if (list === undefined) series.set(key, [point])
    else list.push(point)
  }
  return series
}

function differencesOf(
  about: string,
  spec: WindowPointSpec,
  readings: readonly Point[],
  found: readonly Point[],
): string[] {
  const startOf = ({ ts }: Point) => Math.floor(ts / spec.widthMs) * spec.widthMs
  const wanted = Map.groupBy(pointsOf(spec, readings), startOf)
  const stored = Map.groupBy(found, startOf)
  const starts = [...new Set([...wanted.keys(), ...stored.keys()])]
  return starts.flatMap((startMs) => {
    const [is, should] = [stored, wanted].map((points) => points.get(startMs) ?? [])
    is.sort((a, b) => a.ts - b.ts || a.value - b.value)
    return areSame(is, should) ? [] : [`${about} ${startMs}: ${tell(is)} instead of ${tell(should)}`]
  })
}

function areSame(is: readonly Point[], should: readonly Point[]): boolean {
  const times = (points: readonly Point[]) => points.map(({ ts }) => ts)
  const isNear = ({ value }: Point, i: number) =>
    Math.abs(value - should[i].value) <= ROUNDING * Math.abs(value)
  return isDeepStrictEqual(times(is), times(should)) && is.every(isNear)
}

/** Points that only one of both has, of windows whose readings have a time each: among others ClickHouse's order is any. */
async function compareLttb(
  { query, stream }: ComparedPoints,
  label: string,
  { widthMs, points }: WindowPointSpec,
): Promise<string[]> {
  const start = `t - positiveModulo(t, ${widthMs}) AS start`
  const readings = `SELECT device, metric, toUnixTimestamp64Milli(ts) AS t, value + 0. AS x, ${start}
    FROM millrace.samples WHERE stream = ${quoteString(stream)} AND isFinite(value) ORDER BY device, metric, start, t`
  const own = `SELECT device, metric, toUnixTimestamp64Milli(ts) AS t, value AS x FROM millrace.points_latest
    WHERE stream = ${quoteString(stream)} AND method = ${quoteString(label)} AND (device, metric, ${start}) IN (
      SELECT device, metric, start FROM (${readings}) GROUP BY device, metric, start HAVING count() = uniqExact(t))`
  const theirs = `SELECT device, metric, toInt64(point.1) AS t, point.2 AS x
    FROM (
      SELECT device, metric, arrayJoin(largestTriangleThreeBuckets(${points})(t, x)) AS point
      FROM (${readings}) GROUP BY device, metric, start HAVING count() = uniqExact(t)
    )`
  const difference = async (a: string, b: string, what: string) => {
    const rows = await query<{ device: string; metric: string; t: string; x: number }>(
      `SELECT * FROM (${a} EXCEPT ${b}) LIMIT 5`,
    )
    return rows.map(({ device, metric, t, x }) => `${label} ${device} ${metric}: ${x} at ${t} ${what}`)
  }
  return [
    ...(await difference(own, theirs, 'is none for ClickHouse')),
    ...(await difference(theirs, own, 'is one for ClickHouse')),
  ]
}

function tell(points: readonly Point[]): string {
  return points.map(({ ts, value }) => `${value} at ${ts}`).join(', ') || 'none'
}

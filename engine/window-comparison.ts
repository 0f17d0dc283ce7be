/**
 * For tests: `rollups_merged` and `windows_latest` against batch SQL over `samples`, window by window, for every kind and
 * aggregate. What is exact must be equal; sums may be off by their roundings, distinct counts and quantiles of `rollups` by what
 * their sketches allow.
 */
import {
  MERGEABLE_AGGREGATES,
  ORDERED_AGGREGATES,
  rollupAggregates,
  type WindowSpec,
  windowAggregates,
  windowLabel,
} from '../operators/window-spec.ts'
import { quoteString } from './store/sql-tokens.ts'
import { batchWindows } from './store/windows-sql.ts'

export type Query = <Row>(sql: string) => Promise<Row[]>

export interface Comparison {
  /** Windows that are in both. */
  compared: number
  /** The first few, for people. */
  differences: string[]
  differenceCount: number
}

export interface ComparedWindows {
  query: Query
  stream: string
  specs: readonly WindowSpec[]
  /** Only windows with a reading that arrived at or after this must be there (and, of those that merge, count only such). */
  sinceArrivalMs?: number
}

type Row = Record<string, string | number | null | Record<string, number>>

const DIFFERENCE_COUNT_MAX = 8
const TIMES = ['start', 'end', 'first_ts', 'last_ts']
/** Of `windows` beside the times. */
const MEASURES = [
  'count',
  'sum',
  'min',
  'max',
  'mean',
  'variance',
  'first',
  'last',
  'time_weighted_mean',
  'increase',
  'rate',
  'distinct',
  'q50',
  'q90',
  'q99',
]
const EPSILON = 2 ** -52

export async function compareWindows(compared: ComparedWindows): Promise<Comparison> {
  const result: Comparison = { compared: 0, differences: [], differenceCount: 0 }
  for (const spec of compared.specs) {
    if (rollupAggregates(spec).length > 0) await compareRollups(compared, spec, result)
    if (windowAggregates(spec).length > 0) await compareOrdered(compared, spec, result)
  }
  return result
}

async function compareRollups(
  { query, stream, sinceArrivalMs = 0 }: ComparedWindows,
  spec: WindowSpec,
  result: Comparison,
): Promise<void> {
  const [found, wanted] = await Promise.all([
    query<Row>(`SELECT * REPLACE (${asMs(['start', 'first_ts', 'last_ts'])}) FROM millrace.rollups_merged
      WHERE stream = ${quoteString(stream)} AND window = ${quoteString(windowLabel(spec))}`),
    query<Row>(batchRollups(stream, spec, sinceArrivalMs)),
  ])
  const asked = new Set<string>(rollupAggregates(spec))
  const rowsFound = byKey(found)
  for (const row of wanted) {
    const key = keyOf(row)
    const other = rowsFound.get(key)
    rowsFound.delete(key)
    if (other === undefined) add(result, `rollups ${windowLabel(spec)} ${key} is missing`)
    else {
      result.compared++
      for (const text of rollupDifferences(row, other, asked))
        add(result, `rollups ${windowLabel(spec)} ${key}: ${text}`)
    }
  }
  for (const key of rowsFound.keys()) add(result, `rollups ${windowLabel(spec)} ${key} should not be there`)
}

/** Batch SQL of windows that merge, by ClickHouse's own calendar. */
function batchRollups(stream: string, spec: WindowSpec, sinceArrivalMs: number): string {
  const size = 'sum(abs(value)) AS size, max(abs(value)) AS size_max'
  return `SELECT device, metric, arrayJoin(${startsOf(spec)}) AS start, count() AS count, sumKahan(value) AS sum,
      sum / count AS mean, min(value) AS min, max(value) AS max, argMin(value, (t, value)) AS first, min(t) AS first_ts,
      argMax(value, (t, value)) AS last, max(t) AS last_ts, varPopStable(value) AS variance,
      uniqExact(value + 0.) AS distinct, ${size},
      quantileExact(0.5)(value) AS q50, quantileExact(0.9)(value) AS q90, quantileExact(0.99)(value) AS q99
    FROM (SELECT *, toUnixTimestamp64Milli(ts) AS t FROM millrace.samples)
    WHERE stream = ${quoteString(stream)} AND isFinite(value) AND toUnixTimestamp64Milli(arrival) >= ${sinceArrivalMs}
    GROUP BY device, metric, start`
}

/** The starts of the windows that hold `t`. */
function startsOf(spec: WindowSpec): string {
  if (spec.kind === 'tumbling') return `[t - positiveModulo(t, ${spec.widthMs})]`
  if (spec.kind === 'hopping') {
    const { widthMs, hopMs } = spec
    return `arrayMap(i -> t - positiveModulo(t, ${hopMs}) - i * ${hopMs}, range(${widthMs / hopMs}))`
  }
  if (spec.kind !== 'calendar') throw new Error(`${spec.kind} windows do not merge`)
  const zone = quoteString(spec.timeZone)
  const day = `toDate32(ts, ${zone})`
  const date = {
    day,
    week: `subtractDays(${day}, toDayOfWeek(${day}) - 1)`,
    month: `subtractDays(${day}, toDayOfMonth(${day}) - 1)`,
  }[spec.unit]
  return `[toUnixTimestamp64Milli(toDateTime64(toString(${date}), 3, ${zone}))]`
}

function rollupDifferences(wanted: Row, found: Row, asked: ReadonlySet<string>): string[] {
  const n = number(wanted.count)
  const rounding = n * EPSILON * number(wanted.size)
  const tolerances: Record<string, number> = {
    sum: rounding,
    mean: rounding / n + EPSILON * Math.abs(number(wanted.mean)),
    variance: 4 * n * EPSILON * number(wanted.size_max) ** 2,
    // Six deviations of HyperLogLog, and a collision or two among few.
    distinct: Math.max(2, 0.1 * number(wanted.distinct)),
  }
  for (const q of ['q50', 'q90', 'q99']) tolerances[q] = 0.01 * Math.abs(number(wanted[q]))
  const names = ['count', 'sum', 'mean', 'min', 'max', 'first', 'first_ts', 'last', 'last_ts']
  const texts = names.map((name) =>
    difference(name, number(wanted[name]), number(found[name]), tolerances[name]),
  )
  for (const [name, aggregate] of [
    ['variance', 'variance'],
    ['distinct', 'distinct'],
    ['q50', 'quantiles'],
    ['q90', 'quantiles'],
    ['q99', 'quantiles'],
  ]) {
    const value = asked.has(aggregate) ? number(wanted[name]) : Number.NaN
    texts.push(difference(name, value, number(found[name]), tolerances[name]))
  }
  return texts.filter((text) => text !== '')
}

async function compareOrdered(
  { query, stream, sinceArrivalMs }: ComparedWindows,
  spec: WindowSpec,
  result: Comparison,
): Promise<void> {
  const latest = `(SELECT * FROM millrace.windows_latest
    WHERE stream = ${quoteString(stream)} AND window = ${quoteString(windowLabel(spec))})`
  const [found, wanted] = await Promise.all([
    query<Row>(`SELECT * REPLACE (${asMs(TIMES)}) FROM ${latest}`),
    query<Row>(`SELECT * REPLACE (${asMs(TIMES)}) FROM (${batchWindows(stream, spec)})`),
  ])
  const isNeeded =
    sinceArrivalMs === undefined ? () => true : await arrivedSince(query, stream, spec, sinceArrivalMs)
  const rowsFound = byKey(found)
  for (const row of wanted) {
    const key = keyOf(row)
    const other = rowsFound.get(key)
    rowsFound.delete(key)
    if (other !== undefined) {
      result.compared++
      for (const text of windowDifferences(row, other))
        add(result, `windows ${windowLabel(spec)} ${key}: ${text}`)
    } else if (isNeeded(row)) add(result, `windows ${windowLabel(spec)} ${key} is missing`)
  }
  for (const key of rowsFound.keys()) add(result, `windows ${windowLabel(spec)} ${key} should not be there`)
}

/** Whether a window holds a reading that arrived since then, and counts. */
async function arrivedSince(
  query: Query,
  stream: string,
  { aggregates }: WindowSpec,
  arrivalMs: number,
): Promise<(row: Row) => boolean> {
  const isTaken = aggregates.includes('states') ? `(isFinite(value) OR text != '')` : 'isFinite(value)'
  const rows = await query<{ device: string; metric: string; times: (number | string)[] }>(
    `SELECT device, metric, groupArray(toUnixTimestamp64Milli(ts)) AS times FROM millrace.samples
    WHERE stream = ${quoteString(stream)} AND toUnixTimestamp64Milli(arrival) >= ${arrivalMs} AND ${isTaken}
    GROUP BY device, metric`,
  )
  const times = new Map(rows.map((row) => [`${row.device} ${row.metric}`, row.times.map(Number)]))
  return ({ device, metric, first_ts, last_ts }) =>
    (times.get(`${device} ${metric}`) ?? []).some((t) => t >= number(first_ts) && t <= number(last_ts))
}

/** Both sides compute from the same readings, in two ways: all but sums and what is made of them is exact. */
function windowDifferences(wanted: Row, found: Row): string[] {
  const n = number(wanted.count) + 1
  const magnitude = Math.max(
    ...['min', 'max', 'first', 'last'].map((name) => Math.abs(number(wanted[name]) || 0)),
    1e6,
  )
  const rounding = 4 * n * n * EPSILON * magnitude
  const seconds = Math.max(1e-3, (number(wanted.end) - number(wanted.start)) / 1000)
  const tolerances: Record<string, number> = {
    sum: rounding,
    mean: rounding,
    variance: rounding * magnitude,
    time_weighted_mean: rounding,
    increase: rounding,
    rate: rounding / seconds,
  }
  const names = ['end', 'first_ts', 'last_ts', ...MEASURES]
  const texts = names.map((name) =>
    difference(name, number(wanted[name]), number(found[name]), tolerances[name]),
  )
  const [states, others] = [wanted, found].map((row) =>
    JSON.stringify(Object.entries(row.states ?? {}).sort()),
  )
  if (states !== others) texts.push(`states are ${others}, not ${states}`)
  return texts.filter((text) => text !== '')
}

function difference(name: string, wanted: number, found: number, tolerance = 0): string {
  const isSame = Object.is(wanted + 0, found + 0) || Math.abs(wanted - found) <= tolerance
  return isSame ? '' : `${name} is ${found}, not ${wanted}`
}

function asMs(names: readonly string[]): string {
  return names.map((name) => `toUnixTimestamp64Milli(${name}) AS ${name}`).join(', ')
}

function byKey(rows: readonly Row[]): Map<string, Row> {
  const keyed = new Map(rows.map((row) => [keyOf(row), row]))
  if (keyed.size !== rows.length) throw new Error('a window is there twice')
  return keyed
}

function keyOf({ device, metric, start }: Row): string {
  return `${device} ${metric} ${Number(start)}`
}

/** What is no number comes as null, 64 bits as text. */
function number(value: Row[string]): number {
  return value === null ? Number.NaN : Number(value)
}

function add(result: Comparison, text: string): void {
  result.differenceCount++
  if (result.differences.length < DIFFERENCE_COUNT_MAX) result.differences.push(text)
}

/** All there are. */
export const EVERY_AGGREGATE = [...MERGEABLE_AGGREGATES, ...ORDERED_AGGREGATES]

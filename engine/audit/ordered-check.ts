/**
 * Windows that do not merge against batch SQL over `samples`: which readings each window is made of (its end, count, first and
 * last), for a few series that change from hour to hour, since all would be dear. Only series that have been silent for so long
 * that all of their windows, and amendments of them, must be there.
 */
import { isAlignedKind, type WindowSpec } from '../../operators/window-spec.ts'
import type { StoreTarget } from '../store/target.ts'
import { batchWindows } from '../store/windows-sql.ts'
import type { ComparedWindow } from './compared-windows.ts'
import { DIFFERENCE_COUNT_MAX, type Difference, minuteText } from './difference.ts'
import type { Checked } from './ledger-check.ts'
import type { ComparedSince } from './retention.ts'
import { boundedMs } from './rollup-check.ts'
import { chooseSeries, chosenParams, IS_CHOSEN } from './sampled-series.ts'

const READING_COUNT_MAX = 20_000

export interface SampledWindows {
  stream: string
  window: string
  series: number
  /** Windows that batch SQL gives, or that are there and should not be. */
  compared: number
  /** Those that are as batch SQL says. */
  equal: number
}

/** Series whose last reading arrived before `quietSinceMs`. */
export async function checkOrdered(
  target: StoreTarget,
  window: ComparedWindow,
  since: ComparedSince,
  quietSinceMs: number,
): Promise<Checked<SampledWindows>> {
  const none = { sums: [], differences: [], differenceCount: 0 }
  const { stream, label, spec, condition } = window
  const isKeptForEver = since.keptMs === Number.NEGATIVE_INFINITY
  if (spec.kind === 'count' && !isKeptForEver) return none // their ranks count from the first reading of all
  const series = await chooseSeries(target, stream, condition, quietSinceMs, READING_COUNT_MAX)
  if (series.length === 0) return none
  const params = {
    stream,
    window: label,
    ...chosenParams(series),
    since: boundedMs(Math.max(since.orderedMs, since.keptMs + reachMs(spec))),
    max: DIFFERENCE_COUNT_MAX,
  }
  const needsPredecessor = isAlignedKind(spec) && !isKeptForEver
  const [row] = await target.query<Compared>(comparison(window, needsPredecessor), params)
  const differences = row.wrong.map((wrong) => differenceOf(window, wrong))
  const [compared, equal] = [Number(row.compared), Number(row.equal)]
  const sums = [{ stream, window: label, series: series.length, compared, equal }]
  return { sums, differences, differenceCount: compared - equal }
}

/** How far before a window's start readings may lie that decide where it begins. */
function reachMs(spec: WindowSpec): number {
  return spec.kind === 'session' ? spec.gapMs + 1 : 0
}

interface Compared {
  compared: string
  equal: string
  /** Device, metric, start, count in batch SQL and in the table (-1 for no row). */
  wrong: [string, string, string | number, string | number, string | number][]
}

/** NaN is what was not asked for, and -0 is 0. */
const plain = (name: string): string => `if(isNaN(${name}), 0, ${name} + 0.)`
const COMPARED = `(toUnixTimestamp64Milli(end), count, toUnixTimestamp64Milli(first_ts), toUnixTimestamp64Milli(last_ts),
  ${['min', 'max', 'first', 'last'].map(plain).join(', ')})`

function comparison({ stream, spec }: ComparedWindow, needsPredecessor: boolean): string {
  const columns = (isBatch: 0 | 1): string =>
    `toString(device) AS d, toString(metric) AS m, toUnixTimestamp64Milli(start) AS start_ms, ${isBatch} AS is_batch,
      toInt64(count) AS n, ${COMPARED} AS found`
  const oldest = `SELECT toString(device) AS d, toString(metric) AS m, min(toUnixTimestamp64Milli(ts)) AS oldest_ms
    FROM millrace.samples WHERE stream = {stream:String} AND ${IS_CHOSEN} GROUP BY d, m`
  return `SELECT toString(count()) AS compared, toString(countIf(is_equal)) AS equal,
      groupArrayIf({max:UInt32})((d, m, start_ms, in_batch, in_table), NOT is_equal) AS wrong
    FROM (
      SELECT d, m, start_ms, count() = 2 AND uniqExact(found) = 1 AS is_equal,
        maxIf(n, is_batch) + if(countIf(is_batch) = 0, -1, 0) AS in_batch,
        maxIf(n, NOT is_batch) + if(countIf(NOT is_batch) = 0, -1, 0) AS in_table
      FROM (
        SELECT ${columns(1)} FROM (${batchWindows(stream, spec, IS_CHOSEN)})
        UNION ALL
        SELECT ${columns(0)} FROM millrace.windows_latest
        WHERE stream = {stream:String} AND window = {window:String} AND ${IS_CHOSEN}
      ) AS windows
      LEFT JOIN (${oldest}) AS oldest USING (d, m)
      WHERE start_ms >= {since:Int64} AND ${needsPredecessor ? 'oldest_ms < start_ms' : '1'}
      GROUP BY d, m, start_ms ORDER BY d, m, start_ms
    )`
}

function differenceOf(
  { stream, label: window }: ComparedWindow,
  [device, metric, start, inBatch, inTable]: Compared['wrong'][number],
): Difference {
  const at = minuteText(Number(start))
  const [expected, found] = [Number(inBatch), Number(inTable)]
  const place = `windows ${window} of ${stream} ${device} ${metric}, start ${new Date(Number(start)).toISOString()}`
  const text =
    expected === found
      ? `${place}: its ${found} readings are not those of samples`
      : `${place}: samples give ${told(expected)}, the table has ${told(found)}`
  return { check: 'windows', stream, window, at, expected, found, text }
}

function told(count: number): string {
  return count < 0 ? 'no such window' : `one of ${count} readings`
}

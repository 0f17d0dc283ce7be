/**
 * The rollups against the readings they are made of: for each width, how many readings its windows count, by stream and
 * hour of the windows' starts, against the finite readings in `samples`. What is missing may be in windows that are
 * still open; how many readings those can hold is asked only when something is missing.
 */
import type { StoreTarget } from '../store/target.ts'
import { DIFFERENCE_COUNT_MAX, type Difference, minuteText } from './difference.ts'
import { type Checked, sortedTriples, type Triple } from './ledger-check.ts'
import { REFUSED_READINGS, REFUSED_WINDOWS } from './refused-rows.ts'

const HOUR_MS = 3_600_000
/** Of one stream and width, that are looked at more closely. */
const HOUR_COUNT_MAX = 10_000

export interface WindowSums {
  stream: string
  window: string
  /** Finite readings in `samples`, and those that ClickHouse refused there. */
  samples: number
  /** Readings that the windows count. */
  rollups: number
  /** Readings that are missing there and explained by windows that are open. */
  open: number
}

/** What decides whether a window may be open. */
export interface OpenRule {
  latenessMs: number
  aheadGuardMs: number
  /** Series whose last reading arrived at this time or later may have open windows; Infinity when none has. */
  activeSinceMs: number
}

/** Windows that start at or after `sinceMs`. */
export async function checkRollups(
  target: StoreTarget,
  window: string,
  widthMs: number,
  sinceMs: number,
  rule: OpenRule,
): Promise<Checked<WindowSums>> {
  const params = { window, width: widthMs, since: bounded(sinceMs), max: HOUR_COUNT_MAX }
  const rows = await target.query<StreamRow>(COMPARISON, params)
  const isAnyDifferent = rows.some(({ wrong }) => wrong.length > 0)
  const openable =
    isAnyDifferent && rule.activeSinceMs !== Number.POSITIVE_INFINITY
      ? await openableReadings(target, params, rule)
      : new Map<string, number>()
  const checked = rows.map((row) => findings(window, row, openable))
  return {
    sums: checked.flatMap(({ sums }) => sums),
    differences: checked.flatMap(({ differences }) => differences).slice(0, DIFFERENCE_COUNT_MAX),
    differenceCount: checked.reduce((sum, { differenceCount }) => sum + differenceCount, 0),
  }
}

/** A stream's sums, and its first hours that differ: hour, readings in samples, readings in windows. */
interface StreamRow {
  stream: string
  samples: string
  rollups: string
  wrongCount: string
  wrong: Triple[]
}

/** Start of a reading's window, ms: whole widths from the epoch, before 1970 too. */
const START = 'tick - positiveModulo(tick, {width:Int64})'
const HOUR = `intDiv(start_ms - positiveModulo(start_ms, ${HOUR_MS}), ${HOUR_MS})`

const COMPARISON = `
  SELECT stream, toString(sum(s_count)) AS samples, toString(sum(r_count)) AS rollups,
    toString(countIf(s_count != r_count)) AS wrongCount,
    groupArrayIf({max:UInt32})((hour, s_count, r_count), s_count != r_count) AS wrong
  FROM (
    SELECT stream, hour, sum(s) AS s_count, sum(r) AS r_count
    FROM (
      SELECT toString(stream) AS stream, ${HOUR} AS hour, toInt64(count()) AS s, toInt64(0) AS r
      FROM (
        SELECT stream, tick, ${START} AS start_ms
        FROM (
          SELECT toString(stream) AS stream, toUnixTimestamp64Milli(ts) AS tick
          FROM millrace.samples WHERE isFinite(value)
          UNION ALL ${REFUSED_READINGS}
        )
      )
      WHERE start_ms >= {since:Int64} GROUP BY stream, hour
      UNION ALL
      SELECT toString(stream), ${HOUR} AS hour, toInt64(0), toInt64(sum(count))
      FROM (
        SELECT toString(stream) AS stream, toUInt64(count) AS count, toUnixTimestamp64Milli(start) AS start_ms
        FROM millrace.rollups WHERE window = {window:String}
        UNION ALL ${REFUSED_WINDOWS}
      )
      WHERE start_ms >= {since:Int64} GROUP BY stream, hour
    )
    GROUP BY stream, hour ORDER BY hour
  )
  GROUP BY stream ORDER BY stream`

/**
 * By stream and hour, how many readings lie in windows that may be open: of series that are not idle, those that the
 * watermark has not passed, and those that came lately (of late and ahead readings the engine waits for more).
 */
async function openableReadings(
  target: StoreTarget,
  params: Record<string, unknown>,
  { latenessMs, aheadGuardMs, activeSinceMs }: OpenRule,
): Promise<Map<string, number>> {
  const rows = await target.query<{ stream: string; hour: string; n: string }>(
    `SELECT stream, toString(${HOUR}) AS hour, toString(count()) AS n
    FROM (
      SELECT toString(stream) AS stream, device, metric, toUnixTimestamp64Milli(ts) AS tick, ${START} AS start_ms,
        toUnixTimestamp64Milli(arrival) AS arrival_ms
      FROM millrace.samples WHERE isFinite(value)
    ) AS readings
    INNER JOIN (
      SELECT toString(stream) AS stream, device, metric,
        maxIf(toUnixTimestamp64Milli(ts),
          toUnixTimestamp64Milli(ts) <= toUnixTimestamp64Milli(arrival) + {guard:Int64}) AS newest_ms
      FROM millrace.samples
      WHERE toUnixTimestamp64Milli(arrival) >= {active:Int64} GROUP BY stream, device, metric
    ) AS series USING (stream, device, metric)
    WHERE start_ms >= {since:Int64}
      AND (start_ms + {width:Int64} + {lateness:Int64} > newest_ms OR arrival_ms >= {active:Int64})
    GROUP BY stream, hour`,
    { ...params, guard: aheadGuardMs, lateness: latenessMs, active: Math.floor(activeSinceMs) },
  )
  return new Map(rows.map(({ stream, hour, n }) => [`${hour} ${stream}`, Number(n)]))
}

function findings(
  window: string,
  { stream, samples, rollups, wrongCount, wrong }: StreamRow,
  openable: ReadonlyMap<string, number>,
): Checked<WindowSums> {
  const differences: Difference[] = []
  let open = 0
  let openHours = 0
  for (const [hour, inSamples, inRollups] of sortedTriples(wrong)) {
    const missing = inSamples - inRollups
    if (missing > 0 && missing <= (openable.get(`${hour} ${stream}`) ?? 0)) {
      open += missing
      openHours++
      continue
    }
    const at = minuteText(hour * HOUR_MS)
    const place = `rollups ${window} of ${stream} in the hour from ${at}`
    const text = `${place}: samples has ${inSamples} readings, the windows count ${inRollups}`
    differences.push({ check: 'rollups', stream, window, at, expected: inSamples, found: inRollups, text })
  }
  const sums = [{ stream, window, samples: Number(samples), rollups: Number(rollups), open }]
  return { sums, differences, differenceCount: Number(wrongCount) - openHours }
}

function bounded(ms: number): number {
  return Number.isFinite(ms) ? Math.floor(ms) : Number.MIN_SAFE_INTEGER
}

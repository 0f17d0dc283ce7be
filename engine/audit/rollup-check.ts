/**
 * The rollups against the readings they are made of: for each window operator, how many readings its windows count, by hour of
 * the windows' starts, against the finite readings in `samples`, each as often as windows hold it. What is missing may be in
 * windows that are still open; how many readings those can hold is asked only when something is missing.
 */
import { assert } from '../../base/assert.ts'
import type { WindowSpec } from '../../operators/window-spec.ts'
import { quoteString } from '../store/sql-tokens.ts'
import type { StoreTarget } from '../store/target.ts'
import { calendarBounds } from '../store/window-bounds.ts'
import type { ComparedWindow } from './compared-windows.ts'
import { DIFFERENCE_COUNT_MAX, type Difference, minuteText } from './difference.ts'
import { type Checked, sortedTriples, type Triple } from './ledger-check.ts'
import { REFUSED_READINGS, REFUSED_WINDOWS } from './refused-rows.ts'

const HOUR_MS = 3_600_000
/** Of one stream and window, that are looked at more closely. */
const HOUR_COUNT_MAX = 10_000

export interface WindowSums {
  stream: string
  window: string
  /**
   * Finite readings in `samples`, and those that ClickHouse refused there; of hopping windows each as often as windows hold
   * it.
   */
  samples: number
  /** Readings that the windows count. */
  rollups: number
  /** Readings that are missing there and explained by windows that are open. */
  open: number
}

/** What decides whether a window may be open. */
export interface OpenRule {
  latenessMs: number
  /** Series whose last reading arrived at this time or later may have open windows; Infinity when none has. */
  activeSinceMs: number
}

/** Windows that start at or after `sinceMs`. */
export async function checkRollups(
  target: StoreTarget,
  window: ComparedWindow,
  sinceMs: number,
  rule: OpenRule,
): Promise<Checked<WindowSums>> {
  const { stream, label } = window
  const params = { stream, window: label, since: boundedMs(sinceMs), max: HOUR_COUNT_MAX }
  const [row] = await target.query<StreamRow>(comparison(window), params)
  const openable =
    row.wrong.length > 0 && rule.activeSinceMs !== Number.POSITIVE_INFINITY
      ? await openableReadings(target, window, params, rule)
      : new Map<number, number>()
  return findings(window, row, openable)
}

/** A window's sums, and the first hours that differ: hour, readings in samples, readings in windows. */
interface StreamRow {
  samples: string
  rollups: string
  wrongCount: string
  wrong: Triple[]
}

const HOUR = `intDiv(start_ms - positiveModulo(start_ms, ${HOUR_MS}), ${HOUR_MS})`

interface Place {
  /** What calendar windows are told by, before a query. */
  unit: string
  /** Of a reading's time `tick`, what it shares with all readings that are in the same windows. */
  pane: string
  /** The starts of those windows, from `pane`: an array. */
  starts: string
  /** From `start_ms`. */
  end: string
}

function placeOf(spec: WindowSpec): Place {
  if (spec.kind === 'calendar') {
    const bounds = calendarBounds(spec.timeZone)
    const unit = `WITH ${quoteString(spec.unit)} AS unit`
    return { unit, pane: bounds.first('tick'), starts: '[pane]', end: bounds.end('start_ms') }
  }
  assert(spec.kind === 'tumbling' || spec.kind === 'hopping', 'windows of this kind merge')
  const { widthMs } = spec
  const hopMs = spec.kind === 'hopping' ? spec.hopMs : widthMs
  return {
    unit: '',
    pane: `tick - positiveModulo(tick, ${hopMs})`,
    starts: `arrayMap(i -> pane - i * ${hopMs}, range(${widthMs / hopMs}))`,
    end: `start_ms + ${widthMs}`,
  }
}

function comparison({ spec, condition }: ComparedWindow): string {
  const { unit, pane, starts } = placeOf(spec)
  return `${unit}
  SELECT toString(sum(s_count)) AS samples, toString(sum(r_count)) AS rollups,
    toString(countIf(s_count != r_count)) AS wrongCount,
    groupArrayIf({max:UInt32})((hour, s_count, r_count), s_count != r_count) AS wrong
  FROM (
    SELECT hour, sum(s) AS s_count, sum(r) AS r_count
    FROM (
      SELECT ${HOUR} AS hour, toInt64(sum(n)) AS s, toInt64(0) AS r
      FROM (
        SELECT ${pane} AS pane, count() AS n
        FROM (
          SELECT toString(metric) AS metric, toUnixTimestamp64Milli(ts) AS tick
          FROM millrace.samples WHERE stream = {stream:String} AND isFinite(value)
          UNION ALL ${REFUSED_READINGS}
        )
        WHERE ${condition} GROUP BY pane
      )
      ARRAY JOIN ${starts} AS start_ms
      WHERE start_ms >= {since:Int64} GROUP BY hour
      UNION ALL
      SELECT ${HOUR} AS hour, toInt64(0), toInt64(sum(count))
      FROM (
        SELECT toUInt64(count) AS count, toUnixTimestamp64Milli(start) AS start_ms
        FROM millrace.rollups WHERE stream = {stream:String} AND window = {window:String}
        UNION ALL ${REFUSED_WINDOWS}
      )
      WHERE start_ms >= {since:Int64} GROUP BY hour
    )
    GROUP BY hour ORDER BY hour
  )`
}

/**
 * By hour, how many readings lie in windows that may be open: of series that are not idle, those that the watermark has not
 * passed, and those that came lately (of late readings the engine waits for more).
 */
async function openableReadings(
  target: StoreTarget,
  { spec, condition }: ComparedWindow,
  params: Record<string, unknown>,
  { latenessMs, activeSinceMs }: OpenRule,
): Promise<Map<number, number>> {
  const { unit, pane, starts, end } = placeOf(spec)
  const rows = await target.query<{ hour: string; n: string }>(
    `${unit} SELECT toString(${HOUR}) AS hour, toString(count()) AS n
    FROM (
      SELECT device, metric, arrival_ms, arrayJoin(${starts}) AS start_ms, ${end} AS end_ms
      FROM (
        SELECT device, metric, toUnixTimestamp64Milli(ts) AS tick, ${pane} AS pane,
          toUnixTimestamp64Milli(arrival) AS arrival_ms
        FROM millrace.samples WHERE stream = {stream:String} AND isFinite(value) AND ${condition}
      )
    ) AS readings
    INNER JOIN (
      SELECT device, metric, max(toUnixTimestamp64Milli(ts)) AS newest_ms
      FROM millrace.samples
      WHERE stream = {stream:String} AND toUnixTimestamp64Milli(arrival) >= {active:Int64} GROUP BY device, metric
    ) AS series USING (device, metric)
    WHERE start_ms >= {since:Int64} AND (end_ms + {lateness:Int64} > newest_ms OR arrival_ms >= {active:Int64})
    GROUP BY hour`,
    { ...params, lateness: latenessMs, active: Math.floor(activeSinceMs) },
  )
  return new Map(rows.map(({ hour, n }) => [Number(hour), Number(n)]))
}

function findings(
  { stream, label: window }: ComparedWindow,
  { samples, rollups, wrongCount, wrong }: StreamRow,
  openable: ReadonlyMap<number, number>,
): Checked<WindowSums> {
  const differences: Difference[] = []
  let open = 0
  let openHours = 0
  for (const [hour, inSamples, inRollups] of sortedTriples(wrong)) {
    const missing = inSamples - inRollups
    if (missing > 0 && missing <= (openable.get(hour) ?? 0)) {
      open += missing
      openHours++
      continue
    }
    const at = minuteText(hour * HOUR_MS)
    const place = `rollups ${window} of ${stream} in the hour from ${at}`
    const text = `${place}: samples has ${inSamples} readings, the windows count ${inRollups}`
    differences.push({ check: 'rollups', stream, window, at, expected: inSamples, found: inRollups, text })
  }
  const isEmpty = samples === '0' && rollups === '0'
  const sums = isEmpty ? [] : [{ stream, window, samples: Number(samples), rollups: Number(rollups), open }]
  const differenceCount = Number(wrongCount) - openHours
  return { sums, differences: differences.slice(0, DIFFERENCE_COUNT_MAX), differenceCount }
}

export function boundedMs(ms: number): number {
  return Number.isFinite(ms) ? Math.floor(ms) : Number.MIN_SAFE_INTEGER
}

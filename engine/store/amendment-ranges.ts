/**
 * The first half of an amendment, as SQL: which readings must be read, and which windows written, when readings of a
 * series in [from_ms, to_ms] came late. Each SELECT takes rows of RANGE_COLUMNS, or of `amendments`, and gives rows of
 * RANGE_COLUMNS. Pure text; series, metrics and lengths come as data, nothing in the text is a device's.
 *
 * What lies beyond a range is first looked for within a day of it, and only where it is not found there among all readings
 * of the series. These are two steps with a table between, not one query: ClickHouse plans (and for the primary key runs)
 * a subquery again for each place it stands in.
 */
import { DATABASE } from './columns.ts'
import type { Bounds } from './window-bounds.ts'
import {
  asksFor,
  IS_NUMBER,
  IS_TAKEN,
  rangeId,
  sessionRuns,
  TS_MS_MAX,
  TS_MS_MIN,
  timeOf,
} from './windows-sql.ts'

const DAY_MS = 86_400_000
const SERIES = 'stream, device, metric'

/**
 * The amendments of the inserted block that satisfy the condition: more than one of a series and label if they are apart, unless
 * they are to be joined. Nothing is known yet but the range.
 */
export function askedRanges(condition: string, isJoined: boolean): string {
  const fixed = `range_id, ${SERIES}, window, aggregates, width, hop, gap, size, unit`
  const from = 'toUnixTimestamp64Milli(from_ts)'
  const id = rangeId(SERIES, 'window', 'aggregates', ...(isJoined ? [] : ['from_ts']))
  return `SELECT ${id} AS range_id, ${SERIES}, window, ${isJoined ? `min(${from})` : from} AS from_ms,
      max(toUnixTimestamp64Milli(to_ts)) AS to_ms, aggregates,
      toInt64(greatest(width_ms, 1)) AS width, if(hop_ms = 0, width, toInt64(hop_ms)) AS hop,
      toInt64(greatest(gap_ms, 1)) AS gap, toInt64(greatest(size, 1)) AS size, unit, max(version) AS version,
      from_ms AS read_from, to_ms AS read_to, from_ms AS start_from, to_ms AS start_to,
      0 AS lacks_before, 0 AS lacks_after
    FROM ${DATABASE}.amendments WHERE ${condition} GROUP BY ${fixed}${isJoined ? '' : ', from_ms'}`
}

/** Readings with read_from <= t <= read_to of the ranges' series; `pruning` is what the primary key can tell. */
function readingsWhere(ranges: string, pruning: string): string {
  return `SELECT * EXCEPT (ts, arrival), toUnixTimestamp64Milli(ts) AS t
    FROM ${DATABASE}.samples INNER JOIN (${ranges}) AS ranges USING (${SERIES})
    WHERE t >= read_from AND t <= read_to AND ${pruning} AND ${IS_TAKEN}`
}

/** For ranges with near ends: the primary key is asked for the series' days. */
export function readingsWithin(ranges: string): string {
  const first = timeOf('read_from')
  const days = `range(dateDiff('day', ${first}, ${timeOf('read_to')}) + 1)`
  return readingsWhere(
    ranges,
    `(${SERIES}, toDate32(ts)) IN (
      SELECT ${SERIES}, addDays(toDate32(${first}), arrayJoin(${days})) FROM (${ranges}))`,
  )
}

/** For ranges without an end. */
export function readingsOfSeries(ranges: string): string {
  return readingsWhere(
    ranges,
    `(${SERIES}) IN (SELECT ${SERIES} FROM (${ranges}))
      AND ts >= (SELECT ${timeOf('min(read_from)')} FROM (${ranges}))
      AND ts <= (SELECT ${timeOf('max(read_to)')} FROM (${ranges}))`,
  )
}

const replaced = (ranges: string, columns: Readonly<Record<string, string>>): string =>
  `SELECT * REPLACE (${Object.entries(columns).map(([name, sql]) => `${sql} AS ${name}`)}) FROM ${ranges}`

/** The windows that end in [from, to + width), and what they hold. */
export function slidingRanges(asked: string): string {
  return replaced(asked, {
    read_from: 'from_ms - width + 1',
    read_to: 'to_ms + width - 1',
    start_from: 'from_ms - width',
    start_to: 'to_ms - 1',
  })
}

/**
 * The range and the sessions that come within the gap of it, as far as the readings of a day and some gaps around tell:
 * start_from and start_to.
 */
export function sessionsNearby(asked: string): string {
  const around = `greatest(${DAY_MS}, 4 * gap)`
  const ranges = replaced(asked, { read_from: `from_ms - ${around}`, read_to: `to_ms + ${around}` })
  return sessionExtents(ranges, readingsWithin(ranges))
}

/** A session that comes so close to an end of what was read that it may go on beyond it. */
const IS_OPEN = '(start_from - gap < read_from OR start_to + gap > read_to)'

/** From the first reading of the first session to the last one's last. */
export function sessionRanges(near: string): string {
  const open = replaced(`(SELECT * FROM ${near} WHERE ${IS_OPEN})`, {
    read_from: `${TS_MS_MIN}`,
    read_to: `${TS_MS_MAX}`,
  })
  const all = sessionExtents(open, readingsOfSeries(open))
  const known = `SELECT * FROM ${near} WHERE NOT ${IS_OPEN}`
  return replaced(`(${known} UNION ALL ${all})`, { read_from: 'start_from', read_to: 'start_to' })
}

function sessionExtents(ranges: string, readings: string): string {
  const extents = `SELECT range_id, toNullable(min(run_from)) AS extent_from, toNullable(max(run_to)) AS extent_to
    FROM (${sessionRuns(readings)})
    WHERE run_to >= from_ms - gap AND run_from <= to_ms + gap
    GROUP BY range_id`
  return `SELECT * EXCEPT (extent_from, extent_to)
      REPLACE (least(from_ms, ifNull(extent_from, from_ms)) AS start_from,
        greatest(to_ms, ifNull(extent_to, to_ms)) AS start_to)
    FROM (${ranges}) AS ranges LEFT JOIN (${extents}) AS extents USING (range_id)`
}

/**
 * Windows that end in the range, whose end the caller has set to where readings are settled. They are counted from where
 * the newest known window begins that is over before the range and shares no millisecond with its predecessor, so that its
 * first reading is the first at that time; without one, from the series' first reading. Hence older ones may be gone.
 */
export function countRanges(asked: string): string {
  const key = `${SERIES}, window`
  const over = `OVER (PARTITION BY range_id ORDER BY start_ms ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)`
  const anchors = `SELECT range_id, toNullable(max(start_ms)) AS anchor
    FROM (
      SELECT *, lagInFrame(toNullable(end_ms)) ${over} AS end_before
      FROM (
        SELECT range_id, toUnixTimestamp64Milli(start) AS start_ms, toUnixTimestamp64Milli(end) AS end_ms
        FROM (
          SELECT ${key}, start, end FROM ${DATABASE}.windows FINAL
          WHERE (${key}) IN (SELECT ${key} FROM ${asked}) AND deleted = 0
        ) AS known
        INNER JOIN (SELECT range_id, from_ms, ${key} FROM ${asked}) AS asked USING (${key})
        WHERE end_ms < from_ms
      )
    )
    WHERE start_ms > end_before
    GROUP BY range_id`
  const from = `ifNull(anchor, ${TS_MS_MIN})`
  return `SELECT * EXCEPT (anchor) REPLACE (${from} AS read_from, to_ms AS read_to, ${from} AS start_from, to_ms AS start_to)
    FROM ${asked} AS asked LEFT JOIN (${anchors}) AS anchors USING (range_id)`
}

/**
 * Windows aligned to the clock whose aggregates carry readings forward: those that hold a time of the range, and those
 * that hold the next reading after it, to which the range's last may now be carried. Nearby, read_from is the reading
 * before the first of them, which is carried into it, and start_to the next reading. Numbers and texts are each carried
 * to their own aggregates.
 */
export function neighboursNearby(asked: string, bounds: Bounds): string {
  const start = bounds.first('from_ms')
  const ranges = `SELECT * REPLACE (${start} AS start_from, ${start} - ${DAY_MS} AS read_from, to_ms + ${DAY_MS} AS read_to)
    FROM ${asked}`
  const found = `SELECT range_id, ${nearest('before')}, ${nearest('after')}
    FROM (${readingsWithin(ranges)}) GROUP BY range_id`
  return `SELECT * EXCEPT (number_before, number_after, state_before, state_after)
      REPLACE (least(ifNull(number_before, start_from), ifNull(state_before, start_from)) AS read_from,
        greatest(ifNull(number_after, to_ms), ifNull(state_after, to_ms)) AS start_to,
        ${lacks('before')} AS lacks_before, ${lacks('after')} AS lacks_after)
    FROM (${ranges}) AS ranges LEFT JOIN (${found}) AS found USING (range_id)`
}

/** What was not nearby, from all readings; and start_to as it is meant. */
export function carriedRanges(near: string, bounds: Bounds): string {
  const earlier = replaced(`${near} WHERE lacks_before`, {
    read_from: `${TS_MS_MIN}`,
    read_to: 'start_from - 1',
  })
  const later = replaced(`${near} WHERE lacks_after`, { read_from: 'to_ms + 1', read_to: `${TS_MS_MAX}` })
  const found = (ranges: string, side: 'before' | 'after'): string =>
    `SELECT range_id, ${nearest(side)} FROM (${readingsOfSeries(ranges)}) GROUP BY range_id`
  const newest = `if(lacks_after, greatest(ifNull(number_after, to_ms), ifNull(state_after, to_ms)), start_to)`
  return `SELECT * EXCEPT (number_before, number_after, state_before, state_after, newest)
      REPLACE (if(lacks_before, least(ifNull(number_before, start_from), ifNull(state_before, start_from)), read_from)
          AS read_from,
        ${bounds.last('newest')} AS start_to, ${bounds.end(`(${bounds.last('newest')})`)} - 1 AS read_to)
    FROM (
      SELECT *, ${newest} AS newest
      FROM ${near} AS near
      LEFT JOIN (${found(earlier, 'before')}) AS earlier USING (range_id)
      LEFT JOIN (${found(later, 'after')}) AS later USING (range_id)
    )`
}

const ASKS_NUMBERS = asksFor('time_weighted_mean', 'increase', 'rate')
const ASKS_STATES = asksFor('states')

/** The newest reading before the first window, or the next after the range; null for none, and where it is not needed. */
function nearest(side: 'before' | 'after'): string {
  const [call, is] = side === 'before' ? ['maxOrNullIf', 't < start_from'] : ['minOrNullIf', 't > to_ms']
  return `${call}(t, ${is} AND ${IS_NUMBER} AND ${ASKS_NUMBERS}) AS number_${side},
    ${call}(t, ${is} AND ${ASKS_STATES}) AS state_${side}`
}

function lacks(side: 'before' | 'after'): string {
  return `((${ASKS_NUMBERS} AND isNull(number_${side})) OR (${ASKS_STATES} AND isNull(state_${side})))`
}

/**
 * Tables, views and amendments of the windows that do not merge. A row of `amendments` says that readings of a series in
 * [from_ts, to_ts] came late; on its insert the views compute the windows it touches from `samples`, which must have the
 * readings by then, and write them to `windows` with its version, and a deleted row for each window that is none any more.
 *
 * For each kind some views, one after the other: `amend_KIND` takes its amendments, `amend_KIND_0` and so on find out what
 * must be read, the last of them writes the windows. Between them are tables that keep nothing; a step without rows ends
 * the chain, so that kinds without an amendment cost next to nothing.
 *
 * Repeating an insert is harmless (the same rows with the same version), so neither table remembers tokens: an insert
 * whose views failed must run them again.
 */

import { type WindowSpec, windowAggregates } from '../../operators/window-spec.ts'
import {
  askedRanges,
  carriedRanges,
  countRanges,
  neighboursNearby,
  readingsOfSeries,
  readingsWithin,
  sessionRanges,
  sessionsNearby,
  slidingRanges,
} from './amendment-ranges.ts'
import { AMENDMENTS_COLUMNS, columnDefinitions, DATABASE, WINDOWS_COLUMNS } from './columns.ts'
import { quoteName, quoteString } from './sql-tokens.ts'
import { type Bounds, CLOCK_BOUNDS, calendarBounds } from './window-bounds.ts'
import { MEASURES, measureColumns, RANGE_COLUMNS, storedMeasure, timeOf, windowsOf } from './windows-sql.ts'

const KEEP_AMENDMENTS_DAYS = 7

interface AmendedKind {
  /** For names of tables and views. */
  readonly name: string
  /** Which rows of `amendments` are of it. */
  readonly condition: string
  /** Ranges of a series that are inserted together are one: what is computed in one depends on the windows of those before it. */
  readonly isJoined?: boolean
  /** SELECTs from a table of ranges to another, one after the other. */
  readonly steps: readonly ((ranges: string) => string)[]
  /** Windows from a query of ranges. */
  readonly windows: (ranges: string) => string
  /** More than its start says whether a stored window is within a range `r`; SQL over its `end_ms`. */
  readonly isAffected?: string
  /** Which of those keep their place, whatever is computed with the same start. */
  readonly stands?: string
}

/**
 * Statements that may each run again. Views are made for those of the specs that need them, and stay for good: amendments of
 * an older config, or of another engine, may still come, and each of these views is the same in all of them.
 */
export function windowsStatements(specs: readonly WindowSpec[], settings: string): string[] {
  const kinds = new Map<string, AmendedKind>()
  for (const spec of specs) {
    const kind = amendedKind(spec)
    if (windowAggregates(spec).length > 0) kinds.set(kind.name, kind)
  }
  return [
    `CREATE TABLE IF NOT EXISTS ${DATABASE}.windows (${columnDefinitions(WINDOWS_COLUMNS)})
      ENGINE = ReplacingMergeTree(version) ORDER BY (stream, device, metric, window, start) ${settings}`,
    `CREATE TABLE IF NOT EXISTS ${DATABASE}.amendments (${columnDefinitions(AMENDMENTS_COLUMNS)})
      ENGINE = MergeTree ORDER BY (stream, device, arrival)
      TTL toDateTime(arrival) + INTERVAL ${KEEP_AMENDMENTS_DAYS} DAY ${settings}`,
    `CREATE OR REPLACE VIEW ${DATABASE}.windows_latest AS
      SELECT * EXCEPT (version, deleted) FROM ${DATABASE}.windows FINAL WHERE deleted = 0`,
    ...[...kinds.values()].flatMap(amendmentStatements),
  ]
}

function amendedKind(spec: WindowSpec): AmendedKind {
  switch (spec.kind) {
    case 'session':
      return {
        name: 'session',
        condition: `kind = 'session'`,
        steps: [sessionsNearby, sessionRanges],
        windows: (ranges) => windowsOf('session', readingsWithin(ranges)),
      }
    case 'count':
      return {
        name: 'count',
        condition: `kind = 'count'`,
        isJoined: true,
        steps: [countRanges],
        windows: (ranges) => windowsOf('count', readingsOfSeries(ranges)),
        isAffected: 'end_ms >= r.from_ms',
        stands: 'end_ms > r.to_ms',
      }
    case 'sliding':
      return {
        name: 'sliding',
        condition: `kind = 'sliding'`,
        steps: [slidingRanges],
        windows: (ranges) => windowsOf('sliding', readingsWithin(ranges)),
      }
    case 'calendar':
      return calendarKind(spec.timeZone)
    default:
      return {
        name: 'clock',
        condition: `kind IN ('tumbling', 'hopping')`,
        steps: carriedSteps(CLOCK_BOUNDS),
        windows: (ranges) => windowsOf('tumbling', readingsWithin(ranges)),
      }
  }
}

function calendarKind(timeZone: string): AmendedKind {
  return {
    name: `calendar_${timeZone}`,
    condition: `kind = 'calendar' AND zone = ${quoteString(timeZone)}`,
    steps: carriedSteps(calendarBounds(timeZone)),
    windows: (ranges) => windowsOf('calendar', readingsWithin(ranges), timeZone),
  }
}

function carriedSteps(bounds: Bounds): AmendedKind['steps'] {
  return [(asked) => neighboursNearby(asked, bounds), (near) => carriedRanges(near, bounds)]
}

/** The views come in the opposite order: what an earlier one passes on before there is a later one would be lost. */
function amendmentStatements(kind: AmendedKind): string[] {
  const { name, condition, isJoined = false, steps, windows } = kind
  const columns = RANGE_COLUMNS.map(([column, type]) => `${column} ${type}`).join(', ')
  const tables = [...steps, null].map((_, i) => `${DATABASE}.${quoteName(`amended_${name}_${i}`)}`)
  const view = (step: number, to: string, query: string): string =>
    `CREATE OR REPLACE MATERIALIZED VIEW ${DATABASE}.${quoteName(`amend_${name}_${step}`)} TO ${to} AS ${query}`
  const last = tables[steps.length]
  return [
    ...tables.map((table) => `CREATE TABLE IF NOT EXISTS ${table} (${columns}) ENGINE = Null`),
    view(
      steps.length,
      `${DATABASE}.windows`,
      triggeredBy(last, newVersions(kind, windows(`SELECT * FROM ${last}`), last)),
    ),
    ...steps.map((step, i) => view(i, tables[i + 1], triggeredBy(tables[i], step(tables[i])))).reverse(),
    `CREATE OR REPLACE MATERIALIZED VIEW ${DATABASE}.${quoteName(`amend_${name}`)} TO ${tables[0]} AS
      ${askedRanges(condition, isJoined)}`,
  ]
}

/** A materialized view runs on inserts into its leftmost table, and sees of it, anywhere, the inserted block alone. */
function triggeredBy(table: string, query: string): string {
  return `SELECT rows.* FROM (SELECT count() AS row_count FROM ${table}) AS inserted CROSS JOIN (${query}) AS rows`
}

/** The windows, and as deleted the rows of the affected part of the table that are none of them. */
function newVersions(
  { isAffected = '1', stands = '0' }: AmendedKind,
  windows: string,
  ranges: string,
): string {
  const key = 'stream, device, metric, window'
  const measures = MEASURES.map((name) => `${name}_`).join(', ')
  const stored = `SELECT w.stream, w.device, w.metric, w.window, r.version,
      toUnixTimestamp64Milli(w.start) AS start_ms, toUnixTimestamp64Milli(w.end) AS end_ms,
      0, if(${stands}, -1, 1), (${MEASURES.map((name) => storedMeasure(name)).join(', ')})
    FROM (
      SELECT * FROM ${DATABASE}.windows FINAL
      WHERE (${key}) IN (SELECT ${key} FROM ${ranges})
        AND start >= (SELECT ${timeOf('min(start_from)')} FROM ${ranges})
        AND start <= (SELECT ${timeOf('max(start_to)')} FROM ${ranges})
    ) AS w
    INNER JOIN ${ranges} AS r
      ON w.stream = r.stream AND w.device = r.device AND w.metric = r.metric AND w.window = r.window
    WHERE w.deleted = 0 AND start_ms >= r.start_from AND start_ms <= r.start_to AND ${isAffected}`
  const chosen = MEASURES.map((name, i) => `chosen.${i + 1} AS ${name}_`).join(', ')
  return `SELECT ${key}, fromUnixTimestamp64Milli(start_ms) AS start, ${measureColumns()}, version, deleted
    FROM (
      SELECT *, ${chosen}
      FROM (
        SELECT ${key}, start_ms, max(range_version) AS version, min(is_stored) AS deleted,
          argMin(measures, (is_stored, -order_)) AS chosen
        FROM (
          SELECT ${key}, version AS range_version, start_ms, end_ AS end_ms, order_, 0 AS is_stored, (${measures}) AS measures
          FROM (${windows}) AS windows
          INNER JOIN (SELECT range_id, ${key}, version FROM ${ranges}) AS ranges USING (range_id)
          UNION ALL ${stored}
        )
        GROUP BY ${key}, start_ms
        HAVING deleted >= 0
      )
    )`
}

/**
 * Table, view and amendments of downsampled readings (operators/downsample/point-spec.ts says what the methods are).
 *
 * Points of windows are amended as windows are (windows-schema.ts): a row of `amendments` whose kind is the method says that readings
 * of a series came late; on its insert the views choose the points of the windows it touches from `samples` anew, and write them
 * with its version, and a deleted row for each point that is none any more. Compression asks for none: a late reading
 * is a point of its own, `late`, beside the line that the others are.
 *
 * LTTB is ClickHouse's own; it takes the number of points as a constant, so each number has views of its own.
 */
import { isCompression, type PointSpec, type WindowPointSpec } from '../../operators/downsample/point-spec.ts'
import { readingsWithin } from './amendment-ranges.ts'
import { columnDefinitions, DATABASE, POINTS_COLUMNS } from './columns.ts'
import { quoteName, quoteString } from './sql-tokens.ts'
import { TS_MS_MIN, timeOf } from './windows-sql.ts'

const KEY = 'stream, device, metric, window'

/** Statements that may each run again. Views are made for those of the specs that need them, and stay for good. */
export function pointsStatements(specs: readonly PointSpec[], settings: string): string[] {
  const kinds = new Map<string, WindowPointSpec>()
  for (const spec of specs) if (!isCompression(spec)) kinds.set(nameOf(spec), spec)
  return [
    `CREATE TABLE IF NOT EXISTS ${DATABASE}.points (${columnDefinitions(POINTS_COLUMNS)})
      ENGINE = ReplacingMergeTree(version) ORDER BY (stream, device, metric, method, late, ts, value) ${settings}`,
    `CREATE OR REPLACE VIEW ${DATABASE}.points_latest AS
      SELECT * EXCEPT (version, deleted) FROM ${DATABASE}.points FINAL WHERE deleted = 0`,
    ...[...kinds].flatMap(([name, spec]) => amendmentStatements(name, spec)),
  ]
}

function nameOf({ method, points }: WindowPointSpec): string {
  return points > 0 ? `${method}_${points}` : method
}

/** The view that writes comes first: what is passed on before there is one would be lost. */
function amendmentStatements(name: string, spec: WindowPointSpec): string[] {
  const ranges = `${DATABASE}.${quoteName(`amended_points_${name}`)}`
  const view = (suffix: string, to: string, query: string): string =>
    `CREATE MATERIALIZED VIEW IF NOT EXISTS ${DATABASE}.${quoteName(`amend_points_${name}${suffix}`)} TO ${to} AS ${query}`
  return [
    `CREATE TABLE IF NOT EXISTS ${ranges} (stream LowCardinality(String), device LowCardinality(String),
      metric LowCardinality(String), window LowCardinality(String), aggregates LowCardinality(String),
      width Int64, version UInt64, read_from Int64, read_to Int64) ENGINE = Null`,
    view('_0', `${DATABASE}.points`, triggeredBy(ranges, newVersions(ranges, spec))),
    view('', ranges, askedRanges(spec)),
  ]
}

/** Whole windows; those of a series that overlap are one range. */
function askedRanges({ method, points }: WindowPointSpec): string {
  const from = 'toUnixTimestamp64Milli(from_ts)'
  const to = 'toUnixTimestamp64Milli(to_ts)'
  const asked = `SELECT ${KEY}, toInt64(greatest(width_ms, 1)) AS width, version,
      ${from} - positiveModulo(${from}, width) AS start, ${to} - positiveModulo(${to}, width) + width - 1 AS end
    FROM ${DATABASE}.amendments WHERE kind = ${quoteString(method)} AND size = ${points}`
  const before = `PARTITION BY ${KEY} ORDER BY start, end`
  return `SELECT ${KEY}, '' AS aggregates, any(width) AS width, max(version) AS version,
      min(start) AS read_from, max(end) AS read_to
    FROM (
      SELECT *, sum(is_apart) OVER (${before} ROWS UNBOUNDED PRECEDING) AS range
      FROM (
        SELECT *, start > max(end) OVER (${before} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS is_apart
        FROM (${asked})
      )
    )
    GROUP BY ${KEY}, range`
}

/** A materialized view runs on inserts into its leftmost table, and sees of it, anywhere, the inserted block alone. */
function triggeredBy(table: string, query: string): string {
  return `SELECT rows.* FROM (SELECT count() AS row_count FROM ${table}) AS inserted CROSS JOIN (${query}) AS rows`
}

/** The points, and as deleted those of the ranges in the table that are none of them. */
function newVersions(ranges: string, spec: WindowPointSpec): string {
  const columns = 'stream, device, metric, method, t, x'
  const stored = `SELECT p.stream, p.device, p.metric, p.method, toUnixTimestamp64Milli(p.ts) AS t, p.value AS x,
      r.version AS range_version, 1 AS is_stored
    FROM (
      SELECT * FROM ${DATABASE}.points FINAL
      WHERE (stream, device, metric, method) IN (SELECT ${KEY} FROM ${ranges}) AND late = 0
        AND ts >= (SELECT ${timeOf('min(read_from)')} FROM ${ranges})
        AND ts <= (SELECT ${timeOf('max(read_to)')} FROM ${ranges})
    ) AS p
    INNER JOIN ${ranges} AS r
      ON p.stream = r.stream AND p.device = r.device AND p.metric = r.metric AND p.method = r.window
    WHERE p.deleted = 0 AND t >= r.read_from AND t <= r.read_to`
  return `SELECT stream, device, metric, method, fromUnixTimestamp64Milli(t) AS ts, x AS value, nan AS deviation,
      0 AS late, max(range_version) AS version, min(is_stored) AS deleted
    FROM (
      SELECT stream, device, metric, window AS method, point.1 AS t, point.2 AS x, range_version, 0 AS is_stored
      FROM (${pointsOf(spec, readingsWithin(`SELECT * FROM ${ranges}`))})
      UNION ALL ${stored}
    )
    GROUP BY ${columns}`
}

/** Windows' points as `point`, from readings with the columns of KEY, width, version, t and value. */
function pointsOf(spec: WindowPointSpec, readings: string): string {
  const numbers = `SELECT ${KEY}, version AS range_version, width, toInt64(t) AS t, value + 0. AS x,
      t - positiveModulo(t, width) AS start
    FROM (${readings})`
  const key = `${KEY}, start`
  const of = (points: string, source: string): string =>
    `SELECT ${KEY}, any(range_version) AS range_version, arrayJoin(${points}) AS point FROM (${source}) GROUP BY ${key}`
  const least = 'argMin((t, x), (x, t))'
  const greatest = 'argMin((t, x), (-x, t))'
  switch (spec.method) {
    case 'mean':
      return of(`[(greatest(start, ${TS_MS_MIN}), sumKahan(x) / count())]`, numbers)
    case 'min-max':
      return of(`[${least}, ${greatest}]`, numbers)
    case 'm4':
      return of(`[min((t, x)), ${least}, ${greatest}, max((t, x))]`, numbers)
    case 'lttb':
      return of(triangles(spec.points), ordered(numbers, key))
    case 'minmax-lttb':
      return of(triangles(spec.points), ordered(candidates(spec, numbers, key), key))
  }
}

/** As ClickHouse takes and gives numbers: times are whole, and below 2^53. */
function triangles(points: number): string {
  return `arrayMap(p -> (toInt64(p.1), p.2), largestTriangleThreeBuckets(${points})(t, x))`
}

/** It sorts by time alone. */
function ordered(source: string, key: string): string {
  return `SELECT * FROM (${source}) ORDER BY ${key}, t, x`
}

/** First and last reading of each window, and the extremes of each bin of the others. */
function candidates({ points }: WindowPointSpec, numbers: string, key: string): string {
  const binMs = `toInt64(ceil(width / ${points * 2}))`
  const ranked = `SELECT *, row_number() OVER (PARTITION BY ${key} ORDER BY t, x) AS rank,
      count() OVER (PARTITION BY ${key}) AS size
    FROM (${numbers})`
  const all = `SELECT *, rank IN (1, size) AS is_end, if(is_end, rank, 0) AS place,
      if(is_end, 0, t - positiveModulo(t, ${binMs})) AS bin
    FROM (${ranked})`
  const extremes = 'if(min(x) = max(x), [min((t, x))], [argMin((t, x), (x, t)), argMin((t, x), (-x, t))])'
  return `SELECT ${key}, range_version, point.1 AS t, point.2 AS x
    FROM (
      SELECT ${key}, any(range_version) AS range_version, arrayJoin(${extremes}) AS point
      FROM (${all}) GROUP BY ${key}, place, bin
    )`
}

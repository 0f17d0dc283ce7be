/**
 * Table, view and amendments of downsampled readings (operators/downsample/point-spec.ts says what the methods are).
 *
 * Points of windows are amended as windows are (windows-schema.ts): a row of `amendments` whose kind is the method says that readings
 * of a series came late; on its insert the views choose the points of the windows it touches from `samples` anew, and write them
 * with its version, and a deleted row for each point that is none any more. Compression asks for none: a late reading
 * is a point of its own, `late`, beside the line that the others are.
 *
 * ClickHouse's own largestTriangleThreeBuckets is not what chooses: it puts readings of one time in any order, and takes the number of
 * points as a constant. Where times differ it is the same, and the tests' oracle.
 */
import {
  isCompression,
  type PointSpec,
  pointLabel,
  type WindowPointSpec,
} from '../../operators/downsample/point-spec.ts'
import { readingsWithin } from './amendment-ranges.ts'
import { columnDefinitions, DATABASE, POINTS_COLUMNS } from './columns.ts'
import { quoteName, quoteString } from './sql-tokens.ts'
import { TS_MS_MIN, timeOf } from './windows-sql.ts'

/** Of all windows of the readings in `samples` that satisfy `condition`: device, metric, `start`, and the `point` as (ms, value). */
export function batchPoints(stream: string, spec: WindowPointSpec, condition = '1'): string {
  const readings = `SELECT stream, device, metric, ${quoteString(pointLabel(spec))} AS window, toInt64(${spec.widthMs}) AS width,
      toInt64(${spec.points}) AS size, 0 AS version, toUnixTimestamp64Milli(ts) AS t, value
    FROM ${DATABASE}.samples WHERE stream = ${quoteString(stream)} AND isFinite(value) AND ${condition}`
  return pointsOf(spec.method, readings)
}

type Method = WindowPointSpec['method']

const KEY = 'stream, device, metric, window'

/** Statements that may each run again. Views are made for those of the specs that need them, and stay for good. */
export function pointsStatements(specs: readonly PointSpec[], settings: string): string[] {
  const methods = new Set<Method>()
  for (const spec of specs) if (!isCompression(spec)) methods.add(spec.method)
  return [
    `CREATE TABLE IF NOT EXISTS ${DATABASE}.points (${columnDefinitions(POINTS_COLUMNS)})
      ENGINE = ReplacingMergeTree(version) ORDER BY (stream, device, metric, method, late, ts, value) ${settings}`,
    `CREATE OR REPLACE VIEW ${DATABASE}.points_latest AS
      SELECT * EXCEPT (version, deleted) FROM ${DATABASE}.points FINAL WHERE deleted = 0`,
    ...[...methods].flatMap(amendmentStatements),
  ]
}

/** The view that writes comes first: what is passed on before there is one would be lost. */
function amendmentStatements(method: Method): string[] {
  const ranges = `${DATABASE}.${quoteName(`amended_points_${method}`)}`
  const view = (suffix: string, to: string, query: string): string =>
    `CREATE OR REPLACE MATERIALIZED VIEW ${DATABASE}.${quoteName(`amend_points_${method}${suffix}`)} TO ${to} AS ${query}`
  return [
    `CREATE TABLE IF NOT EXISTS ${ranges} (stream LowCardinality(String), device LowCardinality(String),
      metric LowCardinality(String), window LowCardinality(String), aggregates LowCardinality(String),
      width Int64, size Int64, version UInt64, read_from Int64, read_to Int64) ENGINE = Null`,
    view('_0', `${DATABASE}.points`, triggeredBy(ranges, newVersions(ranges, method))),
    view('', ranges, askedRanges(method)),
  ]
}

/** Whole windows; those of a series that overlap are one range. */
function askedRanges(method: Method): string {
  const from = 'toUnixTimestamp64Milli(from_ts)'
  const to = 'toUnixTimestamp64Milli(to_ts)'
  const asked = `SELECT ${KEY}, toInt64(greatest(width_ms, 1)) AS width, toInt64(size) AS points, version,
      ${from} - positiveModulo(${from}, width) AS start, ${to} - positiveModulo(${to}, width) + width - 1 AS end
    FROM ${DATABASE}.amendments WHERE kind = ${quoteString(method)}`
  const before = `PARTITION BY ${KEY} ORDER BY start, end`
  return `SELECT ${KEY}, '' AS aggregates, any(width) AS width, any(points) AS size, max(version) AS version,
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
function newVersions(ranges: string, method: Method): string {
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
      FROM (${pointsOf(method, readingsWithin(`SELECT * FROM ${ranges}`))})
      UNION ALL ${stored}
    )
    GROUP BY ${columns}`
}

/** Windows' points as `point`, from readings with the columns of KEY, width, size, version, t and value. */
function pointsOf(method: Method, readings: string): string {
  const numbers = `SELECT ${KEY}, version AS range_version, width, size AS points, toInt64(t) AS t, value + 0. AS x,
      t - positiveModulo(t, width) AS start
    FROM (${readings})`
  const of = (points: string): string =>
    `SELECT ${KEY}, any(range_version) AS range_version, arrayJoin(${points}) AS point FROM (${numbers}) GROUP BY ${WINDOW}`
  const least = 'argMin((t, x), (x, t))'
  const greatest = 'argMin((t, x), (-x, t))'
  switch (method) {
    case 'mean':
      return of(`[(greatest(start, ${TS_MS_MIN}), sumKahan(x) / count())]`)
    case 'min-max':
      return of(`[${least}, ${greatest}]`)
    case 'm4':
      return of(`[min((t, x)), ${least}, ${greatest}, max((t, x))]`)
    case 'lttb':
      return largestTriangles(numbers)
    case 'minmax-lttb':
      return largestTriangles(candidates(numbers))
  }
}

/** What names a window. */
const WINDOW = `${KEY}, start`

/** First and last reading of each window, and the extremes of each bin of the others. */
function candidates(numbers: string): string {
  const binMs = 'toInt64(ceil(width / (points * 2)))'
  const all = `SELECT *, rank IN (0, count - 1) AS is_end, if(is_end, rank, 0) AS place,
      if(is_end, 0, t - positiveModulo(t, ${binMs})) AS bin
    FROM (${ranked(numbers)})`
  const extremes = 'if(min(x) = max(x), [min((t, x))], [argMin((t, x), (x, t)), argMin((t, x), (-x, t))])'
  return `SELECT ${WINDOW}, range_version, points, point.1 AS t, point.2 AS x
    FROM (
      SELECT ${WINDOW}, any(range_version) AS range_version, any(points) AS points, arrayJoin(${extremes}) AS point
      FROM (${all}) GROUP BY ${WINDOW}, place, bin
    )`
}

function ranked(numbers: string): string {
  return `SELECT *, toInt64(row_number() OVER (PARTITION BY ${WINDOW} ORDER BY t, x)) - 1 AS rank,
      toInt64(count() OVER (PARTITION BY ${WINDOW})) AS count
    FROM (${numbers})`
}

/**
 * As operators/downsample/lttb.ts, operation by operation. Bucket -1 is the first reading, the last one has the rest of them; of each
 * the readings and their mean are put together first, then bucket after bucket is chosen from.
 */
function largestTriangles(numbers: string): string {
  const edge = (bucket: string): string => `toInt64(floor((${bucket}) * every)) + 1`
  const placed = `SELECT *, (count - 2) / (points - 2) AS every, toInt64(floor((rank - 1) / every)) AS near,
      multiIf(rank = 0 OR count <= points, -1, ${edge('near + 1')} <= rank, near + 1, ${edge('near')} > rank, near - 1, near)
        AS bucket
    FROM (${ranked(numbers)})`
  const sums = 'arrayFold((sum, r) -> (sum.1 + r.1, sum.2 + r.2), readings, (0., 0.))'
  const buckets = `SELECT ${WINDOW}, any(range_version) AS range_version, least(bucket, points - 2) AS place,
      arraySort(groupArray((toFloat64(t), x))) AS readings, ${sums} AS sum,
      (sum.1 / length(readings), sum.2 / length(readings)) AS mean
    FROM (${placed}) GROUP BY ${WINDOW}, points, place`
  const windows = `SELECT ${WINDOW}, any(range_version) AS range_version,
      arraySort(b -> b.1, groupArray((place, readings, mean))) AS buckets
    FROM (${buckets}) GROUP BY ${WINDOW}`
  const area = 'abs((ax - nx) * (r.2 - ay) - (ax - r.1) * (ny - ay))'
  const repeated = ['chosen[-1].1', 'chosen[-1].2', 'step.2.1', 'step.2.2'].map(
    (value) => `arrayWithConstant(length(step.1), ${value})`,
  )
  const areas = `arrayMap((r, ax, ay, nx, ny) -> if(isNaN(${area}), -1., ${area}), step.1, ${repeated.join(', ')})`
  const next = `step.1[indexOf(${areas}, arrayMax(${areas}))]`
  const steps = `arrayMap((bucket, after) -> (bucket.2, after.3),
      arraySlice(buckets, 2, greatest(length(buckets) - 2, 0)), arraySlice(buckets, 3))`
  const chosen = `arrayFold((chosen, step) -> arrayPushBack(chosen, ${next}), ${steps}, [buckets[1].2[1]])`
  const all = `if(length(buckets) = 1, buckets[1].2, arrayPushBack(${chosen}, buckets[-1].2[-1]))`
  return `SELECT ${KEY}, range_version, (toInt64(p.1), p.2) AS point
    FROM (SELECT ${KEY}, range_version, arrayJoin(${all}) AS p FROM (${windows}))`
}

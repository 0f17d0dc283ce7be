/**
 * The columns of each table that blocks are built for: names and ClickHouse type texts, in the order of the
 * table. Pure constants, shared by the schema (which creates them), the shards (which encode them) and the
 * tests.
 */

export interface ColumnSpec {
  readonly name: string
  readonly type: string
  /** Compression codec on disk; not a part of the type. */
  readonly codec?: string
}

export const DATABASE = 'millrace'

const LOW_CARDINALITY_STRING = 'LowCardinality(String)'
const DATE_TIME = 'DateTime64(3)'

/** A number and the event time it was read at, as `rollups` keeps them for first and last. */
const READING_AT_TYPE = 'Tuple(ts DateTime64(3), value Float64)'

export const SAMPLES_COLUMNS = [
  { name: 'stream', type: LOW_CARDINALITY_STRING },
  { name: 'device', type: LOW_CARDINALITY_STRING },
  { name: 'metric', type: LOW_CARDINALITY_STRING },
  { name: 'ts', type: DATE_TIME, codec: 'Delta, ZSTD' },
  { name: 'value', type: 'Float64', codec: 'ZSTD' },
  { name: 'text', type: 'String', codec: 'ZSTD' },
  { name: 'arrival', type: DATE_TIME, codec: 'Delta, ZSTD' },
] as const satisfies readonly ColumnSpec[]

/**
 * Partial rows that merge by plain functions, exactly whatever their order. `first` and `last` are tuples
 * (ts, value), compared as such: of equal event times (in stored milliseconds) `first` keeps the smallest
 * value and `last` the largest.
 */
export const ROLLUPS_COLUMNS = [
  { name: 'stream', type: LOW_CARDINALITY_STRING },
  { name: 'device', type: LOW_CARDINALITY_STRING },
  { name: 'metric', type: LOW_CARDINALITY_STRING },
  { name: 'window', type: LOW_CARDINALITY_STRING },
  { name: 'start', type: DATE_TIME, codec: 'Delta, ZSTD' },
  { name: 'count', type: 'SimpleAggregateFunction(sum, UInt64)', codec: 'ZSTD' },
  { name: 'sum', type: 'SimpleAggregateFunction(sum, Float64)', codec: 'ZSTD' },
  { name: 'min', type: 'SimpleAggregateFunction(min, Float64)', codec: 'ZSTD' },
  { name: 'max', type: 'SimpleAggregateFunction(max, Float64)', codec: 'ZSTD' },
  { name: 'first', type: `SimpleAggregateFunction(min, ${READING_AT_TYPE})`, codec: 'ZSTD' },
  { name: 'last', type: `SimpleAggregateFunction(max, ${READING_AT_TYPE})`, codec: 'ZSTD' },
] as const satisfies readonly ColumnSpec[]

/**
 * The columns of `rollups` that a block has only if its windows were asked for them; else they are 0 or empty. `sum_error` is what the
 * roundings of `sum` lost, `distinct` HyperLogLog registers with their values, `quantiles` bins with their counts
 * (rollups-schema.ts reads them).
 */
export const ROLLUPS_EXTRA_COLUMNS = [
  { name: 'sum_error', type: 'SimpleAggregateFunction(sum, Float64)', codec: 'ZSTD' },
  { name: 'variance', type: 'AggregateFunction(varPopStable, Float64)', codec: 'ZSTD' },
  {
    name: 'distinct',
    type: 'SimpleAggregateFunction(maxMap, Tuple(Array(UInt16), Array(UInt8)))',
    codec: 'ZSTD',
  },
  {
    name: 'quantiles',
    type: 'SimpleAggregateFunction(sumMap, Tuple(Array(Int32), Array(UInt64)))',
    codec: 'ZSTD',
  },
] as const satisfies readonly ColumnSpec[]

export const DEAD_LETTERS_COLUMNS = [
  { name: 'arrival', type: DATE_TIME, codec: 'Delta, ZSTD' },
  { name: 'stream', type: LOW_CARDINALITY_STRING },
  { name: 'device', type: LOW_CARDINALITY_STRING },
  { name: 'topic', type: 'String', codec: 'ZSTD' },
  { name: 'reason', type: LOW_CARDINALITY_STRING },
  { name: 'payload', type: 'String', codec: 'ZSTD' },
  { name: 'shard', type: 'UInt32' },
  { name: 'position', type: 'UInt64' },
] as const satisfies readonly ColumnSpec[]

/**
 * What a batch (shard, mark) did to a stream's messages of one arrival minute (UTC), as deltas that sum up. All but
 * `messages` count readings; a message that became a dead letter is one accepted and one dead_lettered, its readings
 * being unknown. accepted = stored + filtered + dead_lettered + duplicate; amended (readings that came after their
 * window had closed) is beside the balance, they are stored as well.
 */
export const LEDGER_COLUMNS = [
  { name: 'stream', type: LOW_CARDINALITY_STRING },
  { name: 'minute', type: 'DateTime', codec: 'Delta, ZSTD' },
  { name: 'shard', type: 'UInt32' },
  { name: 'mark', type: 'UInt64', codec: 'Delta, ZSTD' },
  { name: 'accepted', type: 'Int64', codec: 'ZSTD' },
  { name: 'stored', type: 'Int64', codec: 'ZSTD' },
  { name: 'filtered', type: 'Int64', codec: 'ZSTD' },
  { name: 'dead_lettered', type: 'Int64', codec: 'ZSTD' },
  { name: 'duplicate', type: 'Int64', codec: 'ZSTD' },
  { name: 'amended', type: 'Int64', codec: 'ZSTD' },
  { name: 'messages', type: 'Int64', codec: 'ZSTD' },
] as const satisfies readonly ColumnSpec[]

/**
 * Versions of windows that do not merge; the newest stands, unless it is `deleted`. NaN (an empty map) is what was not
 * asked for or is undefined; `count`, `first_ts` and `last_ts` tell of the readings that the aggregates see. `states` are
 * seconds.
 */
export const WINDOWS_COLUMNS = [
  { name: 'stream', type: LOW_CARDINALITY_STRING },
  { name: 'device', type: LOW_CARDINALITY_STRING },
  { name: 'metric', type: LOW_CARDINALITY_STRING },
  { name: 'window', type: LOW_CARDINALITY_STRING },
  { name: 'start', type: DATE_TIME, codec: 'Delta, ZSTD' },
  { name: 'end', type: DATE_TIME, codec: 'Delta, ZSTD' },
  { name: 'count', type: 'UInt64', codec: 'ZSTD' },
  { name: 'sum', type: 'Float64', codec: 'ZSTD' },
  { name: 'min', type: 'Float64', codec: 'ZSTD' },
  { name: 'max', type: 'Float64', codec: 'ZSTD' },
  { name: 'mean', type: 'Float64', codec: 'ZSTD' },
  { name: 'variance', type: 'Float64', codec: 'ZSTD' },
  { name: 'first', type: 'Float64', codec: 'ZSTD' },
  { name: 'first_ts', type: DATE_TIME, codec: 'Delta, ZSTD' },
  { name: 'last', type: 'Float64', codec: 'ZSTD' },
  { name: 'last_ts', type: DATE_TIME, codec: 'Delta, ZSTD' },
  { name: 'time_weighted_mean', type: 'Float64', codec: 'ZSTD' },
  { name: 'increase', type: 'Float64', codec: 'ZSTD' },
  { name: 'rate', type: 'Float64', codec: 'ZSTD' },
  { name: 'states', type: 'Map(String, Float64)', codec: 'ZSTD' },
  { name: 'distinct', type: 'Float64', codec: 'ZSTD' },
  { name: 'q50', type: 'Float64', codec: 'ZSTD' },
  { name: 'q90', type: 'Float64', codec: 'ZSTD' },
  { name: 'q99', type: 'Float64', codec: 'ZSTD' },
  { name: 'version', type: 'UInt64', codec: 'ZSTD' },
  { name: 'deleted', type: 'UInt8', codec: 'ZSTD' },
] as const satisfies readonly ColumnSpec[]

/**
 * Readings of a series in [from_ts, to_ts] came late: its windows of one label there are computed anew from `samples`.
 * Which of the lengths count depends on the kind; `aggregates` are the names asked for, with commas between. Arrival is
 * when it was noticed.
 */
export const AMENDMENTS_COLUMNS = [
  { name: 'stream', type: LOW_CARDINALITY_STRING },
  { name: 'device', type: LOW_CARDINALITY_STRING },
  { name: 'metric', type: LOW_CARDINALITY_STRING },
  { name: 'kind', type: LOW_CARDINALITY_STRING },
  { name: 'window', type: LOW_CARDINALITY_STRING },
  { name: 'aggregates', type: LOW_CARDINALITY_STRING },
  { name: 'width_ms', type: 'UInt64' },
  { name: 'hop_ms', type: 'UInt64' },
  { name: 'gap_ms', type: 'UInt64' },
  { name: 'size', type: 'UInt64' },
  { name: 'unit', type: LOW_CARDINALITY_STRING },
  { name: 'zone', type: LOW_CARDINALITY_STRING },
  { name: 'from_ts', type: DATE_TIME },
  { name: 'to_ts', type: DATE_TIME },
  { name: 'version', type: 'UInt64' },
  { name: 'arrival', type: DATE_TIME },
] as const satisfies readonly ColumnSpec[]

/**
 * Versions of downsampled readings; the newest of a point stands, unless it is `deleted`. The kept line of a method is what is
 * not `late`. `deviation`: how far dropped readings since the point before may lie from it; NaN where a line begins, and where
 * the method promises nothing.
 */
export const POINTS_COLUMNS = [
  { name: 'stream', type: LOW_CARDINALITY_STRING },
  { name: 'device', type: LOW_CARDINALITY_STRING },
  { name: 'metric', type: LOW_CARDINALITY_STRING },
  { name: 'method', type: LOW_CARDINALITY_STRING },
  { name: 'ts', type: DATE_TIME, codec: 'Delta, ZSTD' },
  { name: 'value', type: 'Float64', codec: 'ZSTD' },
  { name: 'deviation', type: 'Float64', codec: 'ZSTD' },
  { name: 'late', type: 'UInt8', codec: 'ZSTD' },
  { name: 'version', type: 'UInt64', codec: 'ZSTD' },
  { name: 'deleted', type: 'UInt8', codec: 'ZSTD' },
] as const satisfies readonly ColumnSpec[]

/**
 * Episodes of anomalies: versions, of which the newest stands. (stream, device, metric, detector, raised) names an episode.
 * `value`, `score` and the expected range are the worst reading's; of 'missing' detectors seconds of silence, of 'multivariate'
 * ones normal deviations. `cleared` is 1970 while it is open.
 */
export const ANOMALIES_COLUMNS = [
  { name: 'stream', type: LOW_CARDINALITY_STRING },
  { name: 'device', type: LOW_CARDINALITY_STRING },
  { name: 'metric', type: LOW_CARDINALITY_STRING },
  { name: 'detector', type: LOW_CARDINALITY_STRING },
  { name: 'raised', type: DATE_TIME, codec: 'Delta, ZSTD' },
  { name: 'updated', type: DATE_TIME, codec: 'Delta, ZSTD' },
  { name: 'cleared', type: DATE_TIME, codec: 'Delta, ZSTD' },
  { name: 'state', type: LOW_CARDINALITY_STRING },
  { name: 'severity', type: LOW_CARDINALITY_STRING },
  { name: 'score', type: 'Float64', codec: 'ZSTD' },
  { name: 'value', type: 'Float64', codec: 'ZSTD' },
  { name: 'expected_low', type: 'Float64', codec: 'ZSTD' },
  { name: 'expected_high', type: 'Float64', codec: 'ZSTD' },
  { name: 'version', type: 'UInt64', codec: 'ZSTD' },
] as const satisfies readonly ColumnSpec[]

export const TABLE_COLUMNS = {
  samples: SAMPLES_COLUMNS,
  rollups: ROLLUPS_COLUMNS,
  dead_letters: DEAD_LETTERS_COLUMNS,
  ledger: LEDGER_COLUMNS,
  windows: WINDOWS_COLUMNS,
  amendments: AMENDMENTS_COLUMNS,
  points: POINTS_COLUMNS,
  anomalies: ANOMALIES_COLUMNS,
} as const satisfies Record<string, readonly ColumnSpec[]>

export type TableName = keyof typeof TABLE_COLUMNS

/** The tables that views write when rows come into a table. */
export const TABLES_WRITTEN_BY_VIEWS: Readonly<Record<string, readonly TableName[]>> = {
  amendments: ['windows', 'points'],
}

/** The names alone, as an INSERT lists them. */
export function columnNames(columns: readonly ColumnSpec[]): string[] {
  return columns.map((column) => column.name)
}

/** As CREATE TABLE lists them. */
export function columnDefinitions(columns: readonly ColumnSpec[]): string {
  return columns
    .map(({ name, type, codec }) => `\`${name}\` ${type}${codec === undefined ? '' : ` CODEC(${codec})`}`)
    .join(', ')
}

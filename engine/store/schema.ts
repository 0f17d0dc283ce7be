/**
 * The database that the engine writes: tables, views and the record of migrations, created through any
 * executor of single statements. Every statement may run again, so a crash between two of them is repaired by
 * the next start.
 *
 * `rollups_merged` is what batch SQL over `samples` reproduces, for a window of W seconds that starts at the
 * epoch:
 *
 *     SELECT stream, device, metric, toStartOfInterval(ts, INTERVAL W SECOND) AS start, count() AS count,
 *       sum(value) AS sum, avg(value) AS mean, min(value) AS min, max(value) AS max,
 *       argMin(value, (ts, value)) AS first, min(ts) AS first_ts,
 *       argMax(value, (ts, value)) AS last, max(ts) AS last_ts
 *     FROM millrace.samples WHERE NOT isNaN(value) GROUP BY stream, device, metric, start
 */
import {
  type ColumnSpec,
  DATABASE,
  DEAD_LETTERS_COLUMNS,
  LEDGER_COLUMNS,
  ROLLUPS_COLUMNS,
  SAMPLES_COLUMNS,
} from './columns.ts'

/**
 * How many of a table's latest insert tokens ClickHouse remembers. More inserts than this must never be
 * unconfirmed at once for one table, or a repeated one would be stored twice.
 */
export const DEDUPLICATION_WINDOW = 10_000

/** 2 added `ledger`; what was stored before it has no entry there. */
export const SCHEMA_VERSION = 2

const NEWER = 'the database was written by a newer millrace; start that one'

export type Execute = (sql: string) => Promise<void>

export interface SchemaOptions {
  /** Sync each insert before it is confirmed: for the embedded store, whose replica nobody else holds. */
  syncOnInsert: boolean
}

/** Creates what is missing and brings older layouts up to date. Statements run one at a time, in order. */
export async function createSchema(execute: Execute, options: SchemaOptions): Promise<void> {
  for (const statement of schemaStatements(options)) await execute(statement)
}

/** All statements of the current version, each repeatable. */
function schemaStatements(options: SchemaOptions): string[] {
  return [
    `CREATE DATABASE IF NOT EXISTS ${DATABASE} ENGINE = Atomic`,
    `CREATE TABLE IF NOT EXISTS ${DATABASE}.migrations
      (version UInt32, applied DateTime64(3) DEFAULT now64(3)) ENGINE = ReplacingMergeTree ORDER BY version`,
    `SELECT throwIf(max(version) > ${SCHEMA_VERSION}, '${NEWER}') FROM ${DATABASE}.migrations FORMAT Null`,
    `CREATE TABLE IF NOT EXISTS ${DATABASE}.samples (${columnList(SAMPLES_COLUMNS)})
      ENGINE = MergeTree ORDER BY (stream, device, metric, ts) PARTITION BY toYYYYMM(ts)
      ${tableSettings(options)}`,
    `CREATE TABLE IF NOT EXISTS ${DATABASE}.rollups (${columnList(ROLLUPS_COLUMNS)})
      ENGINE = AggregatingMergeTree ORDER BY (stream, device, metric, window, start)
      ${tableSettings(options)}`,
    `CREATE TABLE IF NOT EXISTS ${DATABASE}.dead_letters (${columnList(DEAD_LETTERS_COLUMNS)})
      ENGINE = MergeTree ORDER BY (stream, device, arrival) ${tableSettings(options)}`,
    `CREATE TABLE IF NOT EXISTS ${DATABASE}.ledger (${columnList(LEDGER_COLUMNS)})
      ENGINE = SummingMergeTree ORDER BY (stream, minute, shard, mark) ${tableSettings(options)}`,
    ROLLUPS_MERGED,
    LEDGER_BALANCE,
    `INSERT INTO ${DATABASE}.migrations (version)
      SELECT ${SCHEMA_VERSION} WHERE ${SCHEMA_VERSION} NOT IN (SELECT version FROM ${DATABASE}.migrations)`,
  ]
}

const ROLLUPS_MERGED = `CREATE OR REPLACE VIEW ${DATABASE}.rollups_merged AS
  SELECT stream, device, metric, window, start,
    r_count AS count, r_sum AS sum, r_sum / r_count AS mean, toFloat64(r_min) AS min, toFloat64(r_max) AS max,
    r_first.value AS first, r_first.ts AS first_ts, r_last.value AS last, r_last.ts AS last_ts
  FROM (
    SELECT stream, device, metric, window, start,
      sum(count) AS r_count, sum(sum) AS r_sum, min(min) AS r_min, max(max) AS r_max,
      min(first) AS r_first, max(last) AS r_last
    FROM ${DATABASE}.rollups
    GROUP BY stream, device, metric, window, start
  )`

/** One row per stream and arrival minute; `difference` is 0 when the books balance. */
const LEDGER_BALANCE = `CREATE OR REPLACE VIEW ${DATABASE}.ledger_balance AS
  SELECT stream, minute,
    l_accepted AS accepted, l_stored AS stored, l_filtered AS filtered, l_dead_lettered AS dead_lettered,
    l_duplicate AS duplicate, l_amended AS amended, l_messages AS messages,
    toInt64(l_accepted) - l_stored - l_filtered - l_dead_lettered - l_duplicate AS difference
  FROM (
    SELECT stream, minute, sum(accepted) AS l_accepted, sum(stored) AS l_stored,
      sum(filtered) AS l_filtered, sum(dead_lettered) AS l_dead_lettered,
      sum(duplicate) AS l_duplicate, sum(amended) AS l_amended, sum(messages) AS l_messages
    FROM ${DATABASE}.ledger
    GROUP BY stream, minute
  )`

function columnList(columns: readonly ColumnSpec[]): string {
  return columns
    .map(({ name, type, codec }) => `${name} ${type}${codec === undefined ? '' : ` CODEC(${codec})`}`)
    .join(', ')
}

function tableSettings(options: SchemaOptions): string {
  const sync = 'fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1'
  const settings = `SETTINGS non_replicated_deduplication_window = ${DEDUPLICATION_WINDOW}`
  return options.syncOnInsert ? `${settings}, ${sync}` : settings
}

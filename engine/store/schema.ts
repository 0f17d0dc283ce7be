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
 *       argMax(value, (ts, value)) AS last, max(ts) AS last_ts, varPop(value) AS variance,
 *       uniq(value + 0.) AS distinct, quantileExact(0.5)(value) AS q50 (0.9: q90, 0.99: q99)
 *     FROM millrace.samples WHERE NOT isNaN(value) GROUP BY stream, device, metric, start
 *
 * The last five are NaN where the window was not asked for them; distinct is off by 1.6 % (one deviation) among thousands,
 * and hardly among few, quantiles by at most 1/128.
 */
import { createHash } from 'node:crypto'
import type { PointSpec } from '../../operators/downsample/point-spec.ts'
import type { WindowSpec } from '../../operators/window-spec.ts'
import {
  ANOMALIES_COLUMNS,
  columnDefinitions,
  DATABASE,
  DEAD_LETTERS_COLUMNS,
  LEDGER_COLUMNS,
  ROLLUPS_COLUMNS,
  ROLLUPS_EXTRA_COLUMNS,
  SAMPLES_COLUMNS,
} from './columns.ts'
import { pointsStatements } from './points-schema.ts'
import { ADD_EXTRA_COLUMNS, FUNCTIONS, ROLLUPS_MERGED } from './rollups-schema.ts'
import { StoreError } from './target.ts'
import { windowsStatements } from './windows-schema.ts'

/**
 * How many of a table's latest insert tokens ClickHouse remembers. More inserts than this must never be
 * unconfirmed at once for one table, or a repeated one would be stored twice.
 */
export const DEDUPLICATION_WINDOW = 10_000

/** 2 added `ledger`, 3 variance, sketches and `windows`; what was stored before has no entry there. */
export const SCHEMA_VERSION = 3

const NO_FUNCTIONS =
  'the functions millrace_quantile and millrace_distinct are not there (GRANT CREATE FUNCTION, DROP FUNCTION ON *.*); ' +
  'the views do without them'

const NEWER = 'the database was written by a newer millrace; start that one'

export type Execute = (sql: string) => Promise<void>

export interface SchemaOptions {
  /** Sync each insert before it is confirmed: for the embedded store, whose replica nobody else holds. */
  syncOnInsert: boolean
  /** Windows that the engine makes: those that do not merge need views, which later starts leave in place. */
  windows?: readonly WindowSpec[]
  /** Downsamplers, likewise. */
  downsamplers?: readonly PointSpec[]
  /**
   * Materialized views that are there, with their comments. One of the same version is left alone: ClickHouse takes long to analyse its
   * query. Another version, as of an older millrace, is replaced at once, without a moment in which an insert finds none.
   */
  views?: ReadonlyMap<string, string>
}

/** Those in the database. */
export const VIEWS_QUERY = `SELECT name, comment FROM system.tables
  WHERE database = '${DATABASE}' AND engine = 'MaterializedView'`

const VIEW_NAME = /^CREATE OR REPLACE MATERIALIZED VIEW \w+\.`([^`]+)`/

/**
 * Creates what is missing and brings older layouts up to date. Statements run one at a time, in order. Returns a line to
 * tell the user, or null: a server's user need not have the right to create functions.
 */
export async function createSchema(execute: Execute, options: SchemaOptions): Promise<string | null> {
  for (const statement of schemaStatements(options)) {
    const view = VIEW_NAME.exec(statement)?.[1]
    const version =
      view === undefined ? '' : createHash('sha256').update(statement).digest('hex').slice(0, 16)
    if (view === undefined) await execute(statement)
    else if (options.views?.get(view) !== version) await execute(`${statement} COMMENT '${version}'`)
  }
  try {
    for (const statement of FUNCTIONS) await execute(statement)
  } catch (error) {
    if (!(error instanceof StoreError) || error.code !== 'AUTHENTICATION') throw error
    return NO_FUNCTIONS
  }
  return null
}

/** All statements of the current version, each repeatable. */
function schemaStatements(options: SchemaOptions): string[] {
  return [
    `CREATE DATABASE IF NOT EXISTS ${DATABASE} ENGINE = Atomic`,
    `CREATE TABLE IF NOT EXISTS ${DATABASE}.migrations
      (version UInt32, applied DateTime64(3) DEFAULT now64(3)) ENGINE = ReplacingMergeTree ORDER BY version`,
    `SELECT throwIf(max(version) > ${SCHEMA_VERSION}, '${NEWER}') FROM ${DATABASE}.migrations FORMAT Null`,
    `CREATE TABLE IF NOT EXISTS ${DATABASE}.samples (${columnDefinitions(SAMPLES_COLUMNS)})
      ENGINE = MergeTree ORDER BY (stream, device, metric, ts) PARTITION BY toYYYYMM(ts)
      ${tableSettings(options)}`,
    `CREATE TABLE IF NOT EXISTS ${DATABASE}.rollups
      (${columnDefinitions([...ROLLUPS_COLUMNS, ...ROLLUPS_EXTRA_COLUMNS])})
      ENGINE = AggregatingMergeTree ORDER BY (stream, device, metric, window, start)
      ${tableSettings(options)}`,
    `CREATE TABLE IF NOT EXISTS ${DATABASE}.dead_letters (${columnDefinitions(DEAD_LETTERS_COLUMNS)})
      ENGINE = MergeTree ORDER BY (stream, device, arrival) ${tableSettings(options)}`,
    `CREATE TABLE IF NOT EXISTS ${DATABASE}.ledger (${columnDefinitions(LEDGER_COLUMNS)})
      ENGINE = SummingMergeTree ORDER BY (stream, minute, shard, mark) ${tableSettings(options)}`,
    `CREATE TABLE IF NOT EXISTS ${DATABASE}.anomalies (${columnDefinitions(ANOMALIES_COLUMNS)})
      ENGINE = ReplacingMergeTree(version) ORDER BY (stream, device, metric, detector, raised)
      ${tableSettings(options)}`,
    ANOMALIES_LATEST,
    ADD_EXTRA_COLUMNS,
    ROLLUPS_MERGED,
    LEDGER_BALANCE,
    ...windowsStatements(options.windows ?? [], tableSettings(options, false)),
    ...pointsStatements(options.downsamplers ?? [], tableSettings(options, false)),
    `INSERT INTO ${DATABASE}.migrations (version)
      SELECT ${SCHEMA_VERSION} WHERE ${SCHEMA_VERSION} NOT IN (SELECT version FROM ${DATABASE}.migrations)`,
  ]
}

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

/** One row per episode, as it stands; `cleared` is null while it is open. */
const ANOMALIES_LATEST = `CREATE OR REPLACE VIEW ${DATABASE}.anomalies_latest AS
  SELECT * EXCEPT (cleared, version), if(state = 'cleared', cleared, NULL) AS cleared
  FROM ${DATABASE}.anomalies FINAL`

/** Tables whose rows may come twice without harm need remember no tokens. */
function tableSettings(options: SchemaOptions, remembersTokens = true): string {
  const settings = [`non_replicated_deduplication_window = ${remembersTokens ? DEDUPLICATION_WINDOW : 0}`]
  if (options.syncOnInsert) {
    settings.push('fsync_after_insert = 1', 'fsync_part_directory = 1', 'min_rows_to_fsync_after_merge = 1')
  }
  return `SETTINGS ${settings.join(', ')}`
}

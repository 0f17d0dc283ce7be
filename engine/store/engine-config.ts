/**
 * The configuration files of the embedded engine: bounds on memory and threads, and one user whose grants end
 * at the database `millrace`. No session of this process, an analyst's or the sink's, can reach a file or a
 * network by SQL.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { availableParallelism, totalmem } from 'node:os'
import { join } from 'node:path'
import { DATABASE } from './columns.ts'

export interface EngineLimits {
  /** All of the engine: queries, inserts, merges and caches. */
  memorySizeBytes: number
  /** One analyst's query. */
  queryMemorySizeBytes: number
  queryTimeSecondsMax: number
  queryThreads: number
  resultSizeBytesMax: number
  resultRowsMax: number
  /** Queries of analysts that run at once, and that may wait for their turn. */
  queriesMax: number
  queriesWaitingMax: number
  /** The body of one INSERT. */
  insertSizeBytesMax: number
}

const GIB = 2 ** 30

export function defaultLimits(): EngineLimits {
  const memorySizeBytes = Math.min(8 * GIB, Math.max(GIB, Math.floor(totalmem() / 4)))
  return {
    memorySizeBytes,
    queryMemorySizeBytes: Math.floor(memorySizeBytes / 8),
    queryTimeSecondsMax: 30,
    queryThreads: Math.max(1, Math.floor(availableParallelism() / 2)),
    resultSizeBytesMax: 4 * GIB,
    resultRowsMax: 100_000_000,
    queriesMax: 4,
    queriesWaitingMax: 32,
    insertSizeBytesMax: 256 * 2 ** 20,
  }
}

const GRANTS = [
  'GRANT SELECT, INSERT, ALTER, CREATE DATABASE, CREATE TABLE, CREATE VIEW, DROP DATABASE, DROP TABLE, ' +
    `DROP VIEW, TRUNCATE, OPTIMIZE, CHECK, SHOW ON ${DATABASE}.*`,
  'GRANT CREATE FUNCTION, DROP FUNCTION ON *.*', // of SQL alone; a reader's session is read-only
  'GRANT SELECT, SHOW ON INFORMATION_SCHEMA.*',
  'GRANT SELECT, SHOW ON information_schema.*',
]

/** Writes both files into the private directory and returns the path of the main one. */
export function writeEngineConfig(runDirectory: string, limits: EngineLimits): string {
  const userFiles = join(runDirectory, 'empty')
  mkdirSync(userFiles, { recursive: true, mode: 0o700 })
  const usersPath = join(runDirectory, 'users.xml')
  const configPath = join(runDirectory, 'config.xml')
  writeFileSync(usersPath, usersXml(), { mode: 0o600 })
  writeFileSync(configPath, configXml(usersPath, userFiles, limits), { mode: 0o600 })
  return configPath
}

function configXml(usersPath: string, userFiles: string, limits: EngineLimits): string {
  const cacheSizeBytes = Math.floor(limits.memorySizeBytes / 16)
  return `<clickhouse>
  <users_config>${escapeXml(usersPath)}</users_config>
  <user_files_path>${escapeXml(userFiles)}/</user_files_path>
  <max_server_memory_usage>${limits.memorySizeBytes}</max_server_memory_usage>
  <mark_cache_size>${cacheSizeBytes}</mark_cache_size>
  <uncompressed_cache_size>0</uncompressed_cache_size>
  <background_pool_size>2</background_pool_size>
  <background_schedule_pool_size>4</background_schedule_pool_size>
</clickhouse>
`
}

function usersXml(): string {
  const grants = GRANTS.map((grant) => `<query>${grant}</query>`).join('\n        ')
  return `<clickhouse>
  <profiles><default></default></profiles>
  <quotas><default></default></quotas>
  <users>
    <default>
      <password></password>
      <networks><ip>::/0</ip></networks>
      <profile>default</profile>
      <quota>default</quota>
      <grants>
        ${grants}
      </grants>
    </default>
  </users>
</clickhouse>
`
}

function escapeXml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}

/**
 * The settings a reader may give a query in the URL: how its output looks, and its bounds when they are
 * tighter than the store's own. Everything else is refused as a read-only server refuses it.
 */
import type { EngineLimits } from './engine-config.ts'
import { ClickHouseFault, EXCEPTION_CODE } from './errors.ts'

const OUTPUT_SETTING = /^output_format_[a-z0-9_]+$/
const OTHER_SETTINGS = new Set([
  'date_time_output_format',
  'extremes',
  'format_csv_delimiter',
  'format_csv_null_representation',
  'format_tsv_null_representation',
  'join_use_nulls',
  'session_timezone',
])
/** Names among the allowed ones that stand for files. */
const FILE_SETTING = /schema|path|file|template/

const BOUNDS = {
  max_execution_time: (limits: EngineLimits): number => limits.queryTimeSecondsMax,
  max_memory_usage: (limits: EngineLimits): number => limits.queryMemorySizeBytes,
  max_result_bytes: (limits: EngineLimits): number => limits.resultSizeBytesMax,
  max_result_rows: (limits: EngineLimits): number => limits.resultRowsMax,
  max_threads: (limits: EngineLimits): number => limits.queryThreads,
} as const

/** The settings of a reader's session in order: what was asked for, the bounds, and `readonly` last. */
export function readerSettings(
  asked: ReadonlyMap<string, string>,
  limits: EngineLimits,
): ReadonlyMap<string, string> {
  const settings = new Map<string, string>()
  for (const [name, value] of asked) {
    if (Object.hasOwn(BOUNDS, name)) continue
    const isKnown = OUTPUT_SETTING.test(name) || OTHER_SETTINGS.has(name)
    if (!isKnown || FILE_SETTING.test(name) || value.length > 100) throw refused(name)
    settings.set(name, value)
  }
  for (const [name, limitOf] of Object.entries(BOUNDS)) {
    const limit = limitOf(limits)
    const wanted = Number(asked.get(name) ?? 0)
    settings.set(name, String(wanted > 0 && wanted < limit ? wanted : limit))
  }
  settings.set('max_query_size', '1048576')
  settings.set('os_thread_priority', '10')
  settings.set('allow_ddl', '0')
  settings.set('readonly', '1')
  return settings
}

function refused(name: string): ClickHouseFault {
  return new ClickHouseFault(
    EXCEPTION_CODE.READONLY,
    `Cannot modify '${name.slice(0, 80)}' setting in readonly mode. (READONLY)`,
  )
}

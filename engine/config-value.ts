/** What a value in a config may be: the small checks that all parts of a config are made of. Each throws ConfigError. */
import { inspect } from 'node:util'

export class ConfigError extends Error {
  readonly code = 'CONFIG'
  readonly path: string

  constructor(path: string, found: unknown, allowed: string) {
    super(`config: ${path} is ${show(found)}, must be ${allowed}`)
    this.path = path
  }
}

const METRIC_SIZE_BYTES_MAX = 256
const PATTERN_COUNT_MAX = 1000
const RETENTION_MS_MIN = 3_600_000
/** ClickHouse reckons a TTL in 32 bits of seconds: rows that were to stay beyond 2106 would be gone at once. */
const RETENTION_MS_MAX = 50 * 365 * 86_400_000

const UNITS_MS: Record<string, number> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 7 * 86_400_000,
  y: 365 * 86_400_000,
}

/** Milliseconds of `500ms`, `10s`, `1m`, `2h`, `7d`, `4w` or `2y`; NaN for anything else. */
export function durationMs(text: unknown): number {
  const parts = typeof text === 'string' ? /^([1-9]\d{0,8})(ms|[smhdwy])$/.exec(text) : null
  return parts === null ? Number.NaN : Number(parts[1]) * UNITS_MS[parts[2]]
}

export function checkDuration(path: string, given: unknown, minMs: number, maxMs: number): number {
  const ms = durationMs(given)
  if (ms >= minMs && ms <= maxMs) return ms
  const bounds = `${roundDuration(minMs)} to ${roundDuration(maxMs)}`
  throw new ConfigError(path, given, `a duration such as 10s, 1m or 7d, from ${bounds}`)
}

/** Rows that end before their window does would never be seen. */
export function checkRetention(path: string, given: unknown, widthMs: number): number {
  return checkDuration(path, given, Math.max(RETENTION_MS_MIN, widthMs), RETENTION_MS_MAX)
}

function roundDuration(ms: number): string {
  const [unit, size] = Object.entries(UNITS_MS).findLast(([, size]) => ms % size === 0) ?? ['ms', 1]
  return `${ms / size}${unit}`
}

export function checkWhole(path: string, given: unknown, min: number, max: number): number {
  if (typeof given === 'number' && Number.isInteger(given) && given >= min && given <= max) return given
  throw new ConfigError(path, given, `a whole number from ${min} to ${max}`)
}

export function checkOneOf<T extends string>(path: string, given: unknown, allowed: readonly T[]): T {
  if (allowed.includes(given as T)) return given as T
  throw new ConfigError(path, given, `one of ${allowed.join(', ')}`)
}

export function checkFunction<T>(path: string, given: unknown): T {
  if (typeof given !== 'function') throw new ConfigError(path, given, 'a function')
  if (Object.prototype.toString.call(given) !== '[object Function]')
    throw new ConfigError(path, given, 'a plain function, neither async nor a generator')
  return given as T
}

export function checkList(path: string, given: unknown, countMin: number, countMax: number): unknown[] {
  const isList = Array.isArray(given)
  if (isList && given.length >= countMin && given.length <= countMax) return given
  if (isList && given.length > countMax) throw new ConfigError(path, given, `a list of at most ${countMax}`)
  throw new ConfigError(path, given, countMin === 0 ? 'a list' : 'a list with at least one entry')
}

/** The name of a metric, or a pattern of names. */
export function checkMetric(path: string, given: unknown, isPattern: boolean): string {
  const isName = typeof given === 'string' && given !== '' && !given.includes('\0') && given.isWellFormed()
  const isShort = isName && Buffer.byteLength(given) <= METRIC_SIZE_BYTES_MAX
  if (isShort && (isPattern || !given.includes('*'))) return given
  const wildcard = isPattern ? '; * stands for any characters' : ' and no *'
  throw new ConfigError(path, given, `a metric's name of 1 to ${METRIC_SIZE_BYTES_MAX} bytes${wildcard}`)
}

/** Patterns of metrics' names. */
export function checkPatterns(path: string, given: unknown, countMin: number): string[] {
  return checkList(path, given, countMin, PATTERN_COUNT_MAX).map((pattern, index) =>
    checkMetric(`${path}[${index}]`, pattern, true),
  )
}

/** A plain object that has no other keys than those known. */
export function checkObject(
  path: string,
  given: unknown,
  known: readonly string[],
): Readonly<Record<string, unknown>> {
  const entries = checkRecord(path, given)
  const unknown = Object.keys(entries).find((key) => !known.includes(key))
  if (unknown === undefined) return entries
  const place = path === '' ? unknown : `${path}.${unknown}`
  throw new ConfigError(place, entries[unknown], `left out; known here are ${known.join(', ')}`)
}

/** A plain object, whatever its keys. */
export function checkRecord(path: string, given: unknown): Readonly<Record<string, unknown>> {
  const prototype = typeof given === 'object' && given !== null ? Object.getPrototypeOf(given) : undefined
  if (given === null || (prototype !== Object.prototype && prototype !== null))
    throw new ConfigError(path || 'the default export', given, 'an object')
  return given as Record<string, unknown>
}

function show(value: unknown): string {
  const text =
    typeof value === 'string' ? JSON.stringify(value) : inspect(value, { depth: 1, breakLength: Infinity })
  return text.replaceAll(/\s*\n\s*/g, ' ').slice(0, 80)
}

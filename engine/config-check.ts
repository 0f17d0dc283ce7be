/**
 * Turns what a user's config says into a whole config, or refuses it with the path of the faulty key, what was found
 * there and what is allowed. Runs once, at start.
 */
import { inspect } from 'node:util'
import { DEFAULT_CONFIG, type MillraceConfig } from './config.ts'

export class ConfigError extends Error {
  readonly code = 'CONFIG'
  readonly path: string

  constructor(path: string, found: unknown, allowed: string) {
    super(`config: ${path} is ${show(found)}, must be ${allowed}`)
    this.path = path
  }
}

const DAY_MS = 86_400_000
const WIDTH_MS_MAX = 366 * DAY_MS

/** What the numbers may be, both bounds included. The longest times are a week, which devices may be offline. */
export const RANGES: Readonly<Record<string, readonly [min: number, max: number]>> = {
  'windows.latenessMs': [0, 7 * DAY_MS],
  'windows.idleTimeoutMs': [1, 7 * DAY_MS],
  'windows.aheadGuardMs': [0, 7 * DAY_MS],
  'batch.rowsMax': [1, 2_000_000],
  'batch.sizeBytesMax': [1 << 16, 128 << 20],
  'batch.ageMsMax': [1, 600_000],
  'limits.packetSizeBytesMax': [1024, 128 << 20],
  'limits.receiveMaximum': [1, 65_535],
  'limits.subscriberQueueCountMax': [1, 1_000_000],
  'limits.subscriberQueueSizeBytesMax': [1024, 1 << 30],
  'limits.connectTimeoutMs': [100, 600_000],
  'limits.connectionsMax': [1, 1_000_000],
  'limits.ringSizeBytes': [1 << 16, 1 << 30],
}

const UNITS_MS: Record<string, number> = { s: 1000, m: 60_000, h: 3_600_000 }

/** Milliseconds of `10s`, `1m` or `2h`; NaN for anything else. */
export function durationMs(text: string): number {
  const parts = /^([1-9]\d{0,6})([smh])$/.exec(text)
  return parts === null ? Number.NaN : Number(parts[1]) * UNITS_MS[parts[2]]
}

/** What the user gave, over the defaults. Throws ConfigError. */
export function checkConfig(given: unknown): MillraceConfig {
  if (given === undefined)
    throw new ConfigError('the default export', given, 'an object: export default defineConfig({...})')
  const config = merge('', DEFAULT_CONFIG, given) as MillraceConfig
  checkStreams(config)
  checkWidths(config.windows.widths)
  const { ringSizeBytes, packetSizeBytesMax } = config.limits
  if ((ringSizeBytes & (ringSizeBytes - 1)) !== 0)
    throw new ConfigError('limits.ringSizeBytes', ringSizeBytes, 'a power of two')
  if (packetSizeBytesMax > ringSizeBytes / 8) {
    const allowed = `at most ${ringSizeBytes / 8}, an eighth of limits.ringSizeBytes`
    throw new ConfigError('limits.packetSizeBytesMax', packetSizeBytesMax, allowed)
  }
  return config
}

/** Takes `given` where it has the default's form: objects key by key, the rest as it is. */
function merge(path: string, standard: unknown, given: unknown): unknown {
  if (given === undefined) return standard
  if (Array.isArray(standard)) {
    if (Array.isArray(given) && given.length > 0) return given
    throw new ConfigError(path, given, 'a list with at least one entry')
  }
  if (typeof standard === 'number') return checkNumber(path, given)
  const known = standard as Record<string, unknown>
  const merged: Record<string, unknown> = { ...known }
  for (const [key, value] of entriesOf(path, given, Object.keys(known))) {
    merged[key] = merge(path === '' ? key : `${path}.${key}`, known[key], value)
  }
  return merged
}

function checkNumber(path: string, given: unknown): number {
  const [min, max] = RANGES[path]
  if (typeof given === 'number' && Number.isInteger(given) && given >= min && given <= max) return given
  throw new ConfigError(path, given, `a whole number from ${min} to ${max}`)
}

/** The entries of a plain object that has no other keys than those known. */
function entriesOf(path: string, given: unknown, known: string[]): [string, unknown][] {
  const prototype = typeof given === 'object' && given !== null ? Object.getPrototypeOf(given) : undefined
  if (given === null || (prototype !== Object.prototype && prototype !== null))
    throw new ConfigError(path || 'the default export', given, 'an object')
  const entries = Object.entries(given as object)
  const unknown = entries.find(([key]) => !known.includes(key))
  if (unknown === undefined) return entries
  const place = path === '' ? unknown[0] : `${path}.${unknown[0]}`
  throw new ConfigError(place, unknown[1], `left out; known here are ${known.join(', ')}`)
}

function checkStreams(config: MillraceConfig): void {
  if (config.streams.length > 1000) throw new ConfigError('streams', config.streams, 'a list of at most 1000')
  const names = new Set<string>()
  config.streams.forEach((stream, index) => {
    const path = `streams[${index}]`
    entriesOf(path, stream, Object.keys(DEFAULT_CONFIG.streams[0]))
    if (typeof stream.name !== 'string' || !/^[\w.-]{1,64}$/.test(stream.name) || names.has(stream.name)) {
      throw new ConfigError(`${path}.name`, stream.name, 'a name of its own: 1 to 64 letters, digits, _ . -')
    }
    names.add(stream.name)
    const levels = typeof stream.topic === 'string' ? stream.topic.split('/') : []
    const isLevel = (level: string) => level === '{device}' || level === '+' || /^[^+#{}\0]+$/.test(level)
    if (
      levels.filter((level) => level === '{device}').length !== 1 ||
      !levels.every(isLevel) ||
      stream.topic.startsWith('$')
    ) {
      throw new ConfigError(
        `${path}.topic`,
        stream.topic,
        'a topic with one level {device}, such as plants/+/{device}/data',
      )
    }
  })
}

function checkWidths(widths: string[]): void {
  let previousMs = 0
  if (widths.length > 32) throw new ConfigError('windows.widths', widths, 'a list of at most 32')
  widths.forEach((width, index) => {
    const widthMs = typeof width === 'string' ? durationMs(width) : Number.NaN
    if (!(widthMs > previousMs && widthMs <= WIDTH_MS_MAX))
      throw new ConfigError(
        `windows.widths[${index}]`,
        width,
        'a width such as 10s, 1m or 1h, wider than the one before, and at most 8784h',
      )
    previousMs = widthMs
  })
}

function show(value: unknown): string {
  const text =
    typeof value === 'string' ? JSON.stringify(value) : inspect(value, { depth: 1, breakLength: Infinity })
  return text.replaceAll(/\s*\n\s*/g, ' ').slice(0, 80)
}

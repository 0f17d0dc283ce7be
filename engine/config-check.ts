/**
 * Turns what a user's config says into a whole config, or refuses it with the path of the faulty key, what was found
 * there and what is allowed. Runs once, at start.
 */
import { DEFAULT_CONFIG, type MillraceConfig } from './config.ts'

export class ConfigError extends Error {
  readonly code = 'CONFIG'
  readonly path: string

  constructor(path: string, found: unknown, allowed: string) {
    super(`config: ${path} is ${show(found)}, must be ${allowed}`)
    this.path = path
  }
}

const UNITS_MS: Record<string, number> = { s: 1000, m: 60_000, h: 3_600_000 }

/** Milliseconds of `10s`, `1m` or `2h`; NaN for anything else. */
export function durationMs(text: string): number {
  const parts = /^([1-9]\d{0,6})([smh])$/.exec(text)
  return parts === null ? Number.NaN : Number(parts[1]) * UNITS_MS[parts[2]]
}

/** What the user gave, over the defaults. Throws ConfigError. */
export function checkConfig(given: unknown): MillraceConfig {
  const config = merge('', DEFAULT_CONFIG, given) as MillraceConfig
  checkStreams(config)
  checkWidths(config.windows.widths)
  const ring = config.limits.ringSizeBytes
  if ((ring & (ring - 1)) !== 0 || ring < 1 << 16 || ring > 1 << 30) {
    throw new ConfigError('limits.ringSizeBytes', ring, 'a power of two from 65536 to 1073741824')
  }
  if (config.limits.packetSizeBytesMax > ring / 8) {
    throw new ConfigError(
      'limits.packetSizeBytesMax',
      config.limits.packetSizeBytesMax,
      `at most ${ring / 8}, an eighth of a ring`,
    )
  }
  if (config.limits.receiveMaximum > 65_535) {
    throw new ConfigError('limits.receiveMaximum', config.limits.receiveMaximum, 'at most 65535')
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
  if (typeof standard === 'number') {
    if (typeof given === 'number' && Number.isSafeInteger(given) && given > 0) return given
    throw new ConfigError(path, given, 'a whole number above 0')
  }
  if (typeof given !== 'object' || given === null || Array.isArray(given))
    throw new ConfigError(path || 'the default export', given, 'an object')
  const known = standard as Record<string, unknown>
  const merged: Record<string, unknown> = { ...known }
  for (const [key, value] of Object.entries(given)) {
    const place = path === '' ? key : `${path}.${key}`
    if (!Object.hasOwn(known, key))
      throw new ConfigError(place, value, `left out; known here are ${Object.keys(known).join(', ')}`)
    merged[key] = merge(place, known[key], value)
  }
  return merged
}

function checkStreams(config: MillraceConfig): void {
  if (config.streams.length > 1000) throw new ConfigError('streams', config.streams, 'a list of at most 1000')
  const names = new Set<string>()
  config.streams.forEach((stream, index) => {
    const path = `streams[${index}]`
    if (typeof stream?.name !== 'string' || !/^[\w.-]{1,64}$/.test(stream.name) || names.has(stream.name)) {
      throw new ConfigError(`${path}.name`, stream?.name, 'a name of its own: 1 to 64 letters, digits, _ . -')
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
  widths.forEach((width, index) => {
    const widthMs = typeof width === 'string' ? durationMs(width) : Number.NaN
    if (!(widthMs > previousMs))
      throw new ConfigError(
        `windows.widths[${index}]`,
        width,
        'a width such as 10s, 1m or 1h, wider than the one before',
      )
    previousMs = widthMs
  })
}

function show(value: unknown): string {
  const text =
    typeof value === 'string'
      ? JSON.stringify(value)
      : typeof value === 'object'
        ? JSON.stringify(value)
        : String(value)
  return (text ?? 'undefined').slice(0, 80)
}

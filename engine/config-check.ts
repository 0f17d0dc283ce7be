/**
 * Turns what a user's config says into a whole config, or refuses it with the path of the faulty key, what was found
 * there and what is allowed. Runs once, at start.
 */

import { durationLabel } from '../operators/window-spec.ts'
import { DEFAULT_CONFIG, type MillraceConfig, type WindowConfig } from './config.ts'
import { checkAccess } from './config-access.ts'
import { type CheckedStream, checkStreams } from './config-streams.ts'
import { ConfigError, checkList, checkObject, checkWhole, durationMs } from './config-value.ts'

const DAY_MS = 86_400_000
const WIDTH_MS_MAX = 366 * DAY_MS
const WIDTH_COUNT_MAX = 32
const UNITS_SIZE_BYTES_MAX = 200_000

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
  'limits.sessionsMax': [1, 10_000_000],
  'limits.sessionQueueCountMax': [1, 60_000],
  'limits.sessionQueueSizeBytesMax': [1024, 1 << 30],
  'limits.queuedSizeBytesMax': [1024, 4 * 2 ** 30],
  'limits.retainedCountMax': [0, 10_000_000],
  'limits.retainedSizeBytesMax': [0, 4 * 2 ** 30],
  'limits.connectTimeoutMs': [100, 600_000],
  'limits.keepAliveMaxS': [0, 65_535],
  'limits.connectionsMax': [1, 1_000_000],
  'limits.connectionsPerAddressMax': [0, 1_000_000],
  'limits.connectsPerSMax': [0, 1_000_000],
  'limits.deviceMessagesPerSMax': [0, 10_000_000],
  'limits.deviceBytesPerSMax': [0, 1 << 30],
  'limits.topicLevelsMax': [1, 4096],
  'limits.bufferedSizeBytesMax': [4096, 128 << 20],
  'limits.ringSizeBytes': [1 << 16, 1 << 30],
  'limits.metricsPerDeviceMax': [1, 65_536],
  'limits.detectedSeriesMax': [1, 1_000_000],
}

/** What the user gave, over the defaults. Throws ConfigError. */
export function checkConfig(given: unknown): MillraceConfig {
  if (given === undefined)
    throw new ConfigError('the default export', given, 'an object: export default defineConfig({...})')
  const fields = checkObject('', given, Object.keys(DEFAULT_CONFIG))
  const windows = checkWindows(fields.windows)
  const checked = checkStreams(fields.streams ?? DEFAULT_CONFIG.streams, windows.widths)
  checkUnitsSize(checked)
  const limits = checkNumbers('limits', DEFAULT_CONFIG.limits, fields.limits)
  const { ringSizeBytes, packetSizeBytesMax } = limits
  if ((ringSizeBytes & (ringSizeBytes - 1)) !== 0)
    throw new ConfigError('limits.ringSizeBytes', ringSizeBytes, 'a power of two')
  if (packetSizeBytesMax > ringSizeBytes / 8) {
    const allowed = `at most ${ringSizeBytes / 8}, an eighth of limits.ringSizeBytes`
    throw new ConfigError('limits.packetSizeBytesMax', packetSizeBytesMax, allowed)
  }
  return {
    streams: checked.map(({ stream }) => stream),
    pipelines: checked.map(({ pipeline }) => pipeline),
    windows,
    batch: checkNumbers('batch', DEFAULT_CONFIG.batch, fields.batch),
    limits,
    access: checkAccess(fields.access),
  }
}

/** They all stand in one statement. */
function checkUnitsSize(checked: readonly CheckedStream[]): void {
  const sizes = checked.flatMap(({ stream, pipeline }) =>
    Object.entries(pipeline.units).map(
      (unit) => stream.name.length + 2 * Buffer.byteLength(unit.join()) + 16,
    ),
  )
  const sizeBytes = sizes.reduce((sum, size) => sum + size, 0)
  if (sizeBytes > UNITS_SIZE_BYTES_MAX)
    throw new ConfigError(
      'streams',
      sizes.length,
      `fewer metrics with units: their names are too many bytes in all`,
    )
}

/** Each number of `given` where there is one, else the default's. */
function checkNumbers<T extends object>(path: string, standard: T, given: unknown): T {
  if (given === undefined) return standard
  const fields = checkObject(path, given, Object.keys(standard))
  const checked = Object.entries(standard).map(([key, value]) => {
    const place = `${path}.${key}`
    const [min, max] = RANGES[place]
    return [key, fields[key] === undefined ? value : checkWhole(place, fields[key], min, max)]
  })
  return Object.fromEntries(checked) as T
}

function checkWindows(given: unknown): WindowConfig {
  const { widths: standard, ...numbers } = DEFAULT_CONFIG.windows
  const { widths, ...others } = checkObject('windows', given ?? {}, Object.keys(DEFAULT_CONFIG.windows))
  return {
    widths: widths === undefined ? standard : checkWidths(widths),
    ...checkNumbers('windows', numbers, others),
  }
}

/** As they stand in the column `window`: of 60s and 1m the latter. */
function checkWidths(given: unknown): string[] {
  let previousMs = 0
  return checkList('windows.widths', given, 1, WIDTH_COUNT_MAX).map((width, index) => {
    const widthMs = durationMs(width)
    if (!(widthMs > previousMs && widthMs <= WIDTH_MS_MAX)) {
      const allowed = 'a width such as 10s, 1m or 1h, wider than the one before, and at most 366d'
      throw new ConfigError(`windows.widths[${index}]`, width, allowed)
    }
    previousMs = widthMs
    return durationLabel(widthMs)
  })
}

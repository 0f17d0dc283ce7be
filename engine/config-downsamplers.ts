/** Checks the downsamplers of a stream's branches and makes them into specs, one for each label. Runs once, at start. */
import { isDeepStrictEqual } from 'node:util'
import {
  POINT_SPAN_MS_MAX,
  POINTS_MAX,
  POINTS_PER_HOUR_MAX,
  smallestDeviation,
} from '../operators/downsample/downsamplers.ts'
import {
  type CompressionSpec,
  isCompression,
  LONGEST_MS,
  type PointSpec,
  pointLabel,
} from '../operators/downsample/point-spec.ts'
import type { CompressionMethod, StreamDownsampler, WindowPointMethod } from './config.ts'
import {
  ConfigError,
  checkDuration,
  checkObject,
  checkOneOf,
  checkPatterns,
  checkRetention,
  checkWhole,
} from './config-value.ts'

const DOWNSAMPLER_COUNT_MAX = 32
const WINDOW_METHODS: readonly WindowPointMethod[] = ['mean', 'min-max', 'm4', 'lttb', 'minmax-lttb']
const COMPRESSION_METHODS: readonly CompressionMethod[] = ['deadband', 'swinging-door']
const COMMON_KEYS = ['metrics', 'retention']

type Fields = Readonly<Record<string, unknown>>

/** That of the branch with this number, added to those of the branches before it. */
export function addDownsampler(
  path: string,
  given: Fields,
  branch: number,
  found: StreamDownsampler[],
): void {
  const method = checkOneOf(`${path}.method`, given.method, WINDOW_METHODS)
  const widthMs = checkDuration(`${path}.width`, given.width, 1, POINT_SPAN_MS_MAX)
  const isCounted = method === 'lttb' || method === 'minmax-lttb'
  const known = isCounted ? [...COMMON_KEYS, 'points'] : COMMON_KEYS
  const options = checkObject(`${path}.options`, given.options ?? {}, known)
  const points = isCounted ? checkWhole(`${path}.options.points`, options.points, 3, POINTS_MAX) : 0
  add(path, options, { method, widthMs, points }, branch, found)
}

export function addCompression(
  path: string,
  given: Fields,
  branch: number,
  found: StreamDownsampler[],
): void {
  const method = checkOneOf(`${path}.method`, given.method, COMPRESSION_METHODS)
  const at = `${path}.options`
  const options = checkObject(at, given.options ?? {}, [
    ...COMMON_KEYS,
    'deviation',
    'pointsPerHour',
    'longest',
  ])
  const { longest } = options
  const longestMs =
    longest === undefined ? LONGEST_MS : checkDuration(`${at}.longest`, longest, 1, POINT_SPAN_MS_MAX)
  add(path, options, { method, ...checkStrength(at, method, options), longestMs }, branch, found)
}

function checkStrength(
  path: string,
  method: CompressionMethod,
  options: Fields,
): Pick<CompressionSpec, 'deviation' | 'pointsPerHour'> {
  const { deviation, pointsPerHour } = options
  if ((deviation === undefined) === (pointsPerHour === undefined))
    throw new ConfigError(path, options, 'an object with either deviation or pointsPerHour')
  if (pointsPerHour !== undefined)
    return {
      deviation: null,
      pointsPerHour: checkWhole(`${path}.pointsPerHour`, pointsPerHour, 1, POINTS_PER_HOUR_MAX),
    }
  const smallest = smallestDeviation(method)
  const isNumber = typeof deviation === 'number' && deviation >= smallest && deviation <= Number.MAX_VALUE
  if (!isNumber) throw new ConfigError(`${path}.deviation`, deviation, `a number from ${smallest} on`)
  return { deviation, pointsPerHour: null }
}

/** Two branches may ask for the same downsampler: it takes a reading that either takes. */
function add(
  path: string,
  options: Fields,
  spec: PointSpec,
  branch: number,
  found: StreamDownsampler[],
): void {
  const label = pointLabel(spec)
  const at = `${path}.options`
  const metrics = options.metrics === undefined ? null : checkPatterns(`${at}.metrics`, options.metrics, 1)
  const widthMs = isCompression(spec) ? 0 : spec.widthMs
  const retentionMs =
    options.retention === undefined ? null : checkRetention(`${at}.retention`, options.retention, widthMs)
  const same = found.find((downsampler) => downsampler.label === label)
  if (same === undefined) found.push({ label, spec, metrics, branches: [branch], retentionMs })
  else if (same.branches.includes(branch))
    throw new ConfigError(path, options, `left out: the branch has points ${label} already`)
  else if (!isDeepStrictEqual([same.metrics, same.retentionMs], [metrics, retentionMs]))
    throw new ConfigError(at, options, `those of points ${label} in the branch before: one method, one label`)
  else same.branches.push(branch)
  if (found.length > DOWNSAMPLER_COUNT_MAX)
    throw new ConfigError(path, options, `at most ${DOWNSAMPLER_COUNT_MAX} downsamplers in one stream`)
}

/** Checks the detectors of a stream's branches and makes them into specs. Runs once, at start. */
import { createDetection } from '../operators/detect/create-detection.ts'
import { type DetectorSpec, PLAIN_DETECTORS, usualTimes } from '../operators/detect/detector-spec.ts'
import { DetectorSettingsError } from '../operators/detect/series-detector.ts'
import type { StreamDetector } from './config.ts'
import {
  ConfigError,
  checkDuration,
  checkList,
  checkMetric,
  checkObject,
  checkOneOf,
  checkPatterns,
} from './config-value.ts'

const DAY_MS = 86_400_000
const DETECTOR_COUNT_MAX = 32
const DIMENSIONS_MAX = 16
const NAMES = [...PLAIN_DETECTORS, 'limits', 'missing', 'multivariate'] as const
/** Only to find out whether a detector takes its settings. */
const ANY_TIMES = { latenessMs: 0, idleTimeoutMs: 1, aheadGuardMs: 0 }

type Fields = Readonly<Record<string, unknown>>

const COMMON_KEYS = ['name', 'metrics', 'quiet', 'coolDown']
const OWN_KEYS: Readonly<Record<string, readonly string[]>> = {
  limits: ['low', 'high', 'hysteresis'],
  missing: ['intervals', 'silence'],
  multivariate: ['limit'],
}

/** The detector of the branch with this number, added to those of the branches before it. */
export function addDetector(path: string, given: Fields, branch: number, found: StreamDetector[]): void {
  const kind = checkOneOf(`${path}.detector`, given.detector, NAMES)
  const at = `${path}.options`
  const options = checkObject(at, given.options ?? {}, [...COMMON_KEYS, ...(OWN_KEYS[kind] ?? [])])
  const label = options.name === undefined ? kind : checkName(`${at}.name`, options.name)
  const spec = checkSpec(at, kind, options)
  try {
    createDetection(spec, ANY_TIMES)
  } catch (error) {
    if (!(error instanceof DetectorSettingsError)) throw error
    throw new ConfigError(at, options, `settings that go together: ${error.message}`)
  }
  const same = found.find((detector) => detector.label === label)
  if (same === undefined) found.push({ label, spec, branches: [branch] })
  else if (same.branches.includes(branch) || JSON.stringify(same.spec) !== JSON.stringify(spec))
    throw new ConfigError(`${at}.name`, options.name, `a name of its own: the stream has a detector ${label}`)
  else same.branches.push(branch)
  if (found.length > DETECTOR_COUNT_MAX)
    throw new ConfigError(path, given, `at most ${DETECTOR_COUNT_MAX} detectors in one stream`)
}

function checkSpec(path: string, kind: DetectorSpec['kind'], options: Fields): DetectorSpec {
  const usual = usualTimes(kind)
  if (kind === 'missing' && options.quiet !== undefined)
    throw new ConfigError(`${path}.quiet`, options.quiet, 'left out: the next reading ends the episode')
  const rest = {
    metrics: checkMetrics(`${path}.metrics`, kind, options.metrics),
    quietMs: optional(options.quiet, usual.quietMs, (quiet) =>
      checkDuration(`${path}.quiet`, quiet, 1, 30 * DAY_MS),
    ),
    coolDownMs: optional(options.coolDown, usual.coolDownMs, (time) =>
      checkDuration(`${path}.coolDown`, time, 1, 30 * DAY_MS),
    ),
  }
  if (kind === 'limits') {
    if (options.low === undefined && options.high === undefined)
      throw new ConfigError(path, options, 'limits: low, high or both')
    const low = optional(options.low, null, (value) => checkFinite(`${path}.low`, value))
    const high = optional(options.high, null, (value) => checkFinite(`${path}.high`, value))
    const hysteresis = optional(options.hysteresis, 0, (value) => checkFinite(`${path}.hysteresis`, value))
    return { kind, low, high, hysteresis, ...rest }
  }
  if (kind === 'missing') {
    const intervals = optional(options.intervals, 2.5, (value) => checkFinite(`${path}.intervals`, value))
    const silenceMsMin = optional(options.silence, 0, (value) =>
      checkDuration(`${path}.silence`, value, 1, 365 * DAY_MS),
    )
    return { kind, intervals, silenceMsMin, ...rest }
  }
  if (kind === 'multivariate') {
    return {
      kind,
      limit: optional(options.limit, 6, (value) => checkFinite(`${path}.limit`, value)),
      ...rest,
    }
  }
  return { kind, ...rest }
}

function checkMetrics(path: string, kind: DetectorSpec['kind'], given: unknown): string[] | null {
  if (kind === 'multivariate') {
    const names = checkList(path, given, 2, DIMENSIONS_MAX).map((name, i) =>
      checkMetric(`${path}[${i}]`, name, false),
    )
    const twice = names.findIndex((name, i) => names.indexOf(name) !== i)
    if (twice >= 0) throw new ConfigError(`${path}[${twice}]`, names[twice], 'named once')
    return names
  }
  return given === undefined ? null : checkPatterns(path, given, 1)
}

function checkName(path: string, given: unknown): string {
  if (typeof given === 'string' && /^[\w.-]{1,64}$/.test(given)) return given
  throw new ConfigError(path, given, '1 to 64 letters, digits, _ . -')
}

function checkFinite(path: string, given: unknown): number {
  if (typeof given === 'number' && Number.isFinite(given)) return given
  throw new ConfigError(path, given, 'a number')
}

function optional<T, D>(given: unknown, otherwise: D, check: (given: unknown) => T): T | D {
  return given === undefined ? otherwise : check(given)
}

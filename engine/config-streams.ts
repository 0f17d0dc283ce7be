/** Checks the streams of a config: topics, metrics, steps, branches. Runs once, at start. */
import type {
  Branch,
  Codec,
  GroupFunction,
  ReadingMap,
  ReadingTest,
  Selection,
  Step,
  StreamConfig,
  StreamPipeline,
} from './config.ts'
import { checkOperators, type OperatorsFound, operatorsOfWidths, recomputedOf } from './config-operators.ts'
import {
  ConfigError,
  checkFunction,
  checkList,
  checkMetric,
  checkObject,
  checkOneOf,
  checkPatterns,
  checkRecord,
  checkRetention,
} from './config-value.ts'
import { parseTopicPattern } from './topic-pattern.ts'

const STREAM_COUNT_MAX = 1000
const STEP_COUNT_MAX = 64
/** A reading's branches are the bits of a number. */
const BRANCH_COUNT_MAX = 31
const UNIT_COUNT_MAX = 1000

const STREAM_KEYS = ['name', 'topic', 'codec', 'metrics', 'raw', 'steps', 'operators', 'branches']

export interface CheckedStream {
  stream: StreamConfig
  pipeline: StreamPipeline
}

export function checkStreams(given: unknown, widths: readonly string[]): CheckedStream[] {
  const names = new Set<unknown>()
  return checkList('streams', given, 1, STREAM_COUNT_MAX).map((stream, index) => {
    const path = `streams[${index}]`
    const fields = checkObject(path, stream, STREAM_KEYS)
    if (typeof fields.name !== 'string' || !/^[\w.-]{1,64}$/.test(fields.name) || names.has(fields.name)) {
      throw new ConfigError(`${path}.name`, fields.name, 'a name of its own: 1 to 64 letters, digits, _ . -')
    }
    names.add(fields.name)
    const topic = checkTopic(`${path}.topic`, fields.topic)
    return { stream: { name: fields.name, topic }, pipeline: checkPipeline(path, fields, widths) }
  })
}

type Fields = Readonly<Record<string, unknown>>

function checkTopic(path: string, given: unknown): string {
  if (typeof given === 'string' && parseTopicPattern(given) !== null) return given
  const allowed =
    'a topic with one level {device}, and each other named level once, such as plants/{plant}/{device}/+'
  throw new ConfigError(path, given, allowed)
}

function checkPipeline(path: string, fields: Fields, widths: readonly string[]): StreamPipeline {
  const metrics = checkObject(`${path}.metrics`, fields.metrics ?? {}, ['include', 'exclude', 'units'])
  const { codec } = fields
  const found: OperatorsFound = { operators: [], downsamplers: [], detectors: [], raw: null }
  const branches = checkBranches(path, fields, widths, found)
  const { isRaw, rawRetentionMs } = checkRaw(`${path}.raw`, fields.raw, found)
  return {
    codec:
      codec === undefined ? 'auto' : checkOneOf<Codec>(`${path}.codec`, codec, ['auto', 'json', 'msgpack']),
    selection: checkSelection(`${path}.metrics`, metrics),
    units: checkUnits(`${path}.metrics.units`, metrics.units ?? {}),
    isRaw,
    rawRetentionMs,
    steps: checkList(`${path}.steps`, fields.steps ?? [], 0, STEP_COUNT_MAX).map((step, index) =>
      checkStep(`${path}.steps[${index}]`, step),
    ),
    branches,
    operators: found.operators,
    downsamplers: found.downsamplers,
    detectors: found.detectors,
  }
}

function checkSelection(path: string, { include, exclude }: Fields): Selection {
  return {
    include: include === undefined ? null : checkPatterns(`${path}.include`, include, 1),
    exclude: exclude === undefined ? [] : checkPatterns(`${path}.exclude`, exclude, 0),
  }
}

function checkUnits(path: string, given: unknown): Record<string, string> {
  const units = Object.entries(checkRecord(path, given))
  if (units.length > UNIT_COUNT_MAX) throw new ConfigError(path, given, `at most ${UNIT_COUNT_MAX} units`)
  for (const [metric, unit] of units) {
    checkMetric(`${path}, the key`, metric, false)
    if (typeof unit !== 'string' || unit.length > 64 || !/^[^\p{Cc}\p{Cs}]+$/u.test(unit))
      throw new ConfigError(`${path}.${metric}`, unit, 'a text of 1 to 64 characters')
  }
  return Object.fromEntries(units) as Record<string, string>
}

function checkStep(path: string, given: unknown): Step {
  const kind =
    typeof given === 'object' && given !== null && 'kind' in given ? (given as Fields).kind : undefined
  if (kind === 'filter') {
    const { fn } = checkObject(path, given, ['kind', 'fn'])
    return { kind, fn: checkFunction<ReadingTest>(`${path}.fn`, fn) }
  }
  if (kind === 'map') {
    const { fn, metric } = checkObject(path, given, ['kind', 'metric', 'fn'])
    const name = checkMetric(`${path}.metric`, metric, true)
    return { kind, metric: name, fn: checkFunction<ReadingMap>(`${path}.fn`, fn) }
  }
  if (kind === 'derive') {
    const { fn, name } = checkObject(path, given, ['kind', 'name', 'fn'])
    return {
      kind,
      name: checkMetric(`${path}.name`, name, false),
      fn: checkFunction<GroupFunction>(`${path}.fn`, fn),
    }
  }
  throw new ConfigError(path, given, 'what filter, map or derive returns')
}

function checkBranches(
  path: string,
  fields: Fields,
  widths: readonly string[],
  found: OperatorsFound,
): Branch[] {
  const whole: Branch = { selection: { include: null, exclude: [] }, filter: null }
  if (fields.operators !== undefined) {
    if (fields.branches !== undefined)
      throw new ConfigError(`${path}.branches`, fields.branches, 'left out beside operators')
    checkOperators(`${path}.operators`, fields.operators, 0, found)
    return [whole]
  }
  if (fields.branches === undefined) {
    found.operators.push(...operatorsOfWidths(widths))
    return [whole]
  }
  return checkList(`${path}.branches`, fields.branches, 1, BRANCH_COUNT_MAX).map((given, index) => {
    const at = `${path}.branches[${index}]`
    const branch = checkObject(at, given, ['metrics', 'filter', 'operators'])
    const metrics = checkObject(`${at}.metrics`, branch.metrics ?? {}, ['include', 'exclude'])
    checkOperators(`${at}.operators`, branch.operators, index, found)
    const selection = checkSelection(`${at}.metrics`, metrics)
    if (branch.filter === undefined) return { selection, filter: null }
    return { selection, filter: checkFilter(`${at}.filter`, branch.filter, index, found) }
  })
}

/** Readings that it leaves out are in `samples` all the same. */
function checkFilter(path: string, given: unknown, branch: number, found: OperatorsFound): ReadingTest {
  const filter = checkFunction<ReadingTest>(path, given)
  const recomputed = recomputedOf(found).find(({ branches }) => branches.includes(branch))
  if (recomputed === undefined) return filter
  const why = `late readings recompute ${recomputed.name} from samples, which have what it leaves out`
  throw new ConfigError(path, given, `left out (steps may filter the stream): ${why}`)
}

function checkRaw(
  path: string,
  given: unknown,
  found: OperatorsFound,
): { isRaw: boolean; rawRetentionMs: number | null } {
  const { raw } = found
  const recomputed = recomputedOf(found)
  if (given === false) {
    if (raw !== null) throw new ConfigError(raw.path, 'raw for ...', `left out beside raw: false`)
    if (recomputed.length === 0) return { isRaw: false, rawRetentionMs: null }
    const why = `late readings recompute ${recomputed[0].name} from samples`
    throw new ConfigError(path, given, `left out: ${why}`)
  }
  const { retention } = given === undefined ? {} : checkObject(path, given, ['retention'])
  if (raw !== null && retention !== undefined)
    throw new ConfigError(`${path}.retention`, retention, `left out: ${raw.path} says it already`)
  const [at, duration] = raw === null ? [`${path}.retention`, retention] : [raw.path, raw.duration]
  if (duration === undefined) return { isRaw: true, rawRetentionMs: null }
  const neededMs = Math.max(0, ...recomputed.map(({ spanMs }) => spanMs))
  return { isRaw: true, rawRetentionMs: checkRetention(at, duration, neededMs) }
}

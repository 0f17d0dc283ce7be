/** Checks the operators of a stream's branches and makes them into specs, one for each label. Runs once, at start. */
import { isCompression } from '../operators/downsample/point-spec.ts'
import {
  type Aggregate,
  durationLabel,
  isAlignedKind,
  MERGEABLE_AGGREGATES,
  ORDERED_AGGREGATES,
  PLAIN_AGGREGATES,
  type WindowKind,
  type WindowSpec,
  windowAggregates,
  windowLabel,
} from '../operators/window-spec.ts'
import type { StreamDetector, StreamDownsampler, StreamOperator } from './config.ts'
import { addDetector } from './config-detectors.ts'
import { addCompression, addDownsampler } from './config-downsamplers.ts'
import {
  ConfigError,
  checkDuration,
  checkList,
  checkObject,
  checkOneOf,
  checkRetention,
  checkWhole,
  durationMs,
} from './config-value.ts'

const SECOND_MS = 1000
const DAY_MS = 86_400_000
const WIDTH_MS_MAX = 366 * DAY_MS
/** Of one hopping window: each reading is in so many of its windows. */
const HOP_COUNT_MAX = 1440
/** Readings of a sliding window are held. */
const SLIDING_MS_MAX = DAY_MS
const SESSION_GAP_MS_MAX = 7 * DAY_MS
const COUNT_SIZE_MAX = 1_000_000
const OPERATOR_COUNT_MAX = 32
const EARLY_MS_MIN = SECOND_MS

const AGGREGATES: readonly Aggregate[] = [...MERGEABLE_AGGREGATES, ...ORDERED_AGGREGATES]
const CONSTRUCTORS =
  'tumbling, hopping, calendar, session, count, sliding, tiers, downsample, compress or detect'

/** What operators ask of the stream that they are in. */
export interface OperatorsFound {
  operators: StreamOperator[]
  downsamplers: StreamDownsampler[]
  detectors: StreamDetector[]
  /** Of `raw for ...` in tiers; null when there is none. */
  raw: { path: string; duration: string } | null
}

/** The operators of the branch with this number, added to those of the branches before it. */
export function checkOperators(path: string, given: unknown, branch: number, found: OperatorsFound): void {
  checkList(path, given, 1, OPERATOR_COUNT_MAX).forEach((operator, index) => {
    const at = `${path}[${index}]`
    const { kind } = checkOperator(at, operator)
    if (kind === 'tiers') addTiers(at, operator as Fields, branch, found)
    else if (kind === 'downsample') addDownsampler(at, operator as Fields, branch, found.downsamplers)
    else if (kind === 'compress') addCompression(at, operator as Fields, branch, found.downsamplers)
    else if (kind === 'detect') addDetector(at, operator as Fields, branch, found.detectors)
    else addOperator(at, operator, branch, found, checkWindow(at, kind, operator as Fields))
  })
  if (found.operators.length > OPERATOR_COUNT_MAX)
    throw new ConfigError(path, given, `at most ${OPERATOR_COUNT_MAX} windows in one stream`)
}

/** The tumbling windows of a stream that names no operators. */
export function operatorsOfWidths(widths: readonly string[]): StreamOperator[] {
  return widths.map((width) => {
    const spec = tumblingSpec(durationMs(width))
    return { label: windowLabel(spec), spec, branches: [0], retentionMs: null }
  })
}

type Fields = Readonly<Record<string, unknown>>

const FIELDS: Record<string, readonly string[]> = {
  tumbling: ['width', 'options'],
  hopping: ['width', 'hop', 'options'],
  calendar: ['unit', 'timeZone', 'options'],
  session: ['gap', 'options'],
  count: ['size', 'options'],
  sliding: ['width', 'options'],
  tiers: ['tiers'],
  downsample: ['method', 'width', 'options'],
  compress: ['method', 'options'],
  detect: ['detector', 'options'],
}

function checkOperator(path: string, given: unknown): { kind: string } {
  const isObject = typeof given === 'object' && given !== null
  const kind = isObject && Object.hasOwn(given, 'kind') ? (given as { kind: unknown }).kind : undefined
  if (typeof kind !== 'string' || !Object.hasOwn(FIELDS, kind))
    throw new ConfigError(path, given, `what ${CONSTRUCTORS} returns`)
  checkObject(path, given, ['kind', ...FIELDS[kind]])
  return { kind }
}

interface CheckedWindow {
  spec: WindowSpec
  retentionMs: number | null
}

function checkWindow(path: string, kind: string, fields: Fields): CheckedWindow {
  const window = checkKind(path, kind, fields)
  const isAligned = isAlignedKind(window)
  const known = isAligned ? ['aggregates', 'retention', 'early'] : ['aggregates', 'retention']
  const options = checkObject(`${path}.options`, fields.options ?? {}, known)
  const { retention, early, aggregates } = options
  const shortestMs = widthOf(window)
  if (early !== undefined && shortestMs <= EARLY_MS_MIN)
    throw new ConfigError(`${path}.options.early`, early, 'left out: the windows are no longer than that')
  const earlyMsMin = Math.max(EARLY_MS_MIN, window.kind === 'hopping' ? window.hopMs : 0)
  const earlyMs =
    early === undefined ? null : checkDuration(`${path}.options.early`, early, earlyMsMin, shortestMs - 1)
  const spec: WindowSpec = {
    ...window,
    aggregates: checkAggregates(`${path}.options.aggregates`, aggregates),
    earlyMs,
  }
  const retentionMs =
    retention === undefined ? null : checkRetention(`${path}.options.retention`, retention, shortestMs)
  return { spec, retentionMs }
}

function checkKind(path: string, kind: string, fields: Fields): WindowKind {
  switch (kind) {
    case 'tumbling':
      return { kind, widthMs: checkDuration(`${path}.width`, fields.width, 1, WIDTH_MS_MAX) }
    case 'hopping':
      return checkHopping(path, fields)
    case 'calendar':
      return {
        kind,
        unit: checkOneOf(`${path}.unit`, fields.unit, ['day', 'week', 'month']),
        timeZone: checkTimeZone(`${path}.timeZone`, fields.timeZone),
      }
    case 'session':
      return { kind, gapMs: checkDuration(`${path}.gap`, fields.gap, 1, SESSION_GAP_MS_MAX) }
    case 'count':
      return { kind, size: checkWhole(`${path}.size`, fields.size, 2, COUNT_SIZE_MAX) }
    default:
      return { kind: 'sliding', widthMs: checkDuration(`${path}.width`, fields.width, 1, SLIDING_MS_MAX) }
  }
}

function checkHopping(path: string, fields: Fields): WindowKind {
  const widthMs = checkDuration(`${path}.width`, fields.width, 2, WIDTH_MS_MAX)
  const hopMs = checkDuration(`${path}.hop`, fields.hop, 1, widthMs - 1)
  const count = widthMs / hopMs
  if (Number.isInteger(count) && count <= HOP_COUNT_MAX) return { kind: 'hopping', widthMs, hopMs }
  const allowed = `a duration that goes into the width of ${durationLabel(widthMs)} a whole number of times`
  throw new ConfigError(`${path}.hop`, fields.hop, `${allowed}, at most ${HOP_COUNT_MAX}`)
}

/** As ClickHouse knows them too: a region's name in its own letters, no offset. */
function checkTimeZone(path: string, given: unknown): string {
  const isName = typeof given === 'string' && /^[A-Z]\w*(\/[A-Z][\w+-]*)*$/.test(given)
  if (isName && isKnownZone(given)) return given
  throw new ConfigError(path, given, 'the name of a time zone such as Europe/Berlin or UTC')
}

function isKnownZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: name })
    return true
  } catch {
    return false
  }
}

function checkAggregates(path: string, given: unknown): Aggregate[] {
  if (given === undefined) return [...PLAIN_AGGREGATES]
  const names = checkList(path, given, 1, AGGREGATES.length)
  names.forEach((name, index) => {
    checkOneOf(`${path}[${index}]`, name, AGGREGATES)
    if (names.indexOf(name) !== index) throw new ConfigError(`${path}[${index}]`, name, 'named once')
  })
  return AGGREGATES.filter((name) => names.includes(name))
}

function widthOf(window: WindowKind): number {
  if (window.kind === 'calendar') return { day: 1, week: 7, month: 28 }[window.unit] * DAY_MS
  if (window.kind === 'session') return window.gapMs
  return window.kind === 'count' ? 0 : window.widthMs
}

function addTiers(path: string, fields: Fields, branch: number, found: OperatorsFound): void {
  let narrowerMs = 0
  checkList(`${path}.tiers`, fields.tiers, 1, OPERATOR_COUNT_MAX).forEach((tier, index) => {
    const at = `${path}.tiers[${index}]`
    const [, width, retention] = (typeof tier === 'string' && /^(\w+)(?: for (\w+))?$/.exec(tier)) || []
    if (index === 0 && width === 'raw' && retention !== undefined) {
      if (found.raw !== null) throw new ConfigError(at, tier, `left out: ${found.raw.path} says it already`)
      found.raw = { path: at, duration: retention }
      return
    }
    const widthMs = durationMs(width)
    const isWider = widthMs > narrowerMs && widthMs <= WIDTH_MS_MAX
    if (!isWider || (narrowerMs > 0 && widthMs % narrowerMs !== 0)) {
      const allowed = 'a width such as 10s or `10s for 7d`, a multiple of the one before'
      throw new ConfigError(at, tier, `${allowed}, at most 366d; or as the first, \`raw for 30d\``)
    }
    narrowerMs = widthMs
    const retentionMs = retention === undefined ? null : checkRetention(at, retention, widthMs)
    addOperator(at, tier, branch, found, { spec: tumblingSpec(widthMs), retentionMs })
  })
}

function tumblingSpec(widthMs: number): WindowSpec {
  return { kind: 'tumbling', widthMs, aggregates: [...PLAIN_AGGREGATES], earlyMs: null }
}

/** Two branches may ask for the same windows: these are one operator that has what either asked for. */
function addOperator(
  path: string,
  given: unknown,
  branch: number,
  found: OperatorsFound,
  { spec, retentionMs }: CheckedWindow,
): void {
  const label = windowLabel(spec)
  const same = found.operators.find((operator) => operator.label === label)
  if (same === undefined) {
    found.operators.push({ label, spec, branches: [branch], retentionMs })
    return
  }
  if (same.branches.includes(branch))
    throw new ConfigError(path, given, `left out: the branch has windows ${label} already`)
  const earlyMs = oneOf(same.spec.earlyMs, spec.earlyMs)
  const keptMs = oneOf(same.retentionMs, retentionMs)
  if (earlyMs === undefined || keptMs === undefined)
    throw new ConfigError(path, given, `as early and kept as long as windows ${label} of branches before it`)
  same.spec.earlyMs = earlyMs
  same.retentionMs = keptMs
  same.branches.push(branch)
  const asked = [...same.spec.aggregates, ...spec.aggregates]
  same.spec.aggregates = AGGREGATES.filter((name) => asked.includes(name))
}

/** What either says; undefined when they differ. */
function oneOf(a: number | null, b: number | null): number | null | undefined {
  return a === null || b === null || a === b ? (a ?? b) : undefined
}

/** What late readings recompute from `samples`. */
export interface Recomputed {
  /** For people. */
  name: string
  branches: readonly number[]
  /** How long the readings must be kept at the least, ms. */
  spanMs: number
}

export function recomputedOf({ operators, downsamplers }: OperatorsFound): Recomputed[] {
  const windows = operators.filter(({ spec }) => windowAggregates(spec).length > 0)
  return [
    ...windows.map(({ label, spec, branches }) => ({
      name: `windows ${label}`,
      branches,
      spanMs: 2 * widthOf(spec),
    })),
    ...downsamplers.flatMap(({ label, spec, branches }) =>
      isCompression(spec) ? [] : [{ name: `points ${label}`, branches, spanMs: 2 * spec.widthMs }],
    ),
  ]
}

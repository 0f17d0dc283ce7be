/**
 * What becomes of readings in a run: the default windows, or streams with steps, branches and operators of every kind, drawn
 * from the seed. The steps do simple things, so that the books can tell what comes out of them.
 */
import type { Prng } from '../../base/prng.ts'
import {
  type Aggregate,
  MERGEABLE_AGGREGATES,
  ORDERED_AGGREGATES,
  type WindowSpec,
} from '../../operators/window-spec.ts'
import {
  type AlignedOptions,
  type Branch,
  type BranchOptions,
  calendar,
  compress,
  count,
  derive,
  detect,
  downsample,
  filter,
  hopping,
  type MillraceConfig,
  map,
  type Operator,
  type OperatorOptions,
  type Selection,
  type Step,
  type StreamDownsampler,
  type StreamOperator,
  type StreamPipeline,
  session,
  sliding,
  tiers,
  tumbling,
  type WindowConfig,
} from '../config.ts'
import { checkConfig } from '../config-check.ts'
import { DERIVED_PLACE, isFilteredOut, READINGS_MAX, type SimSteps, STREAMS } from './books.ts'

/** What becomes of the readings of one stream, beside its operators. */
export interface SimStream {
  /** Null: it has none. */
  steps: SimSteps | null
  /** Null: the default windows. */
  branches: BranchOptions[] | null
}

/** The config of a life. Streams keep their steps through a run, operators may come and go. */
export interface SimPipelines {
  streams: SimStream[]
  windows: Partial<WindowConfig>
}

export const DEFAULT_PIPELINES: SimPipelines = {
  streams: STREAMS.map(() => ({ steps: null, branches: null })),
  windows: {},
}

export function drawPipelines(prng: Prng, isOrdered: boolean): SimPipelines {
  const streams = STREAMS.map(
    (): SimStream => ({
      steps: prng.unit() < 0.4 ? drawSteps(prng) : null,
      branches: prng.unit() < 0.8 ? drawBranches(prng, isOrdered) : null,
    }),
  )
  const windows = {
    latenessMs: pick(prng, [0, 2000, 10_000, 10_000, 60_000]),
    idleTimeoutMs: pick(prng, [1, 5000, 30_000, 30_000]),
  }
  return { streams, windows }
}

/** The same with other operators, some of them at least. */
export function changePipelines(
  { streams, windows }: SimPipelines,
  prng: Prng,
  isOrdered: boolean,
): SimPipelines {
  const changed = streams.map(({ steps, branches }) => ({
    steps,
    branches:
      branches === null || prng.unit() < 0.3
        ? drawBranches(prng, isOrdered)
        : changeBranches(prng, branches, isOrdered),
  }))
  return { streams: changed, windows }
}

export function configOf({ streams, windows }: SimPipelines): MillraceConfig {
  return checkConfig({
    windows,
    streams: STREAMS.map(({ name, topic }, index) => {
      const { steps, branches } = streams[index]
      return {
        name,
        topic,
        ...(steps === null ? {} : { steps: stepsOf(steps) }),
        ...(branches === null ? {} : { branches }),
      }
    }),
  })
}

/** The operators that see readings of a metric. */
export function operatorsOf(config: MillraceConfig, stream: string, metric: string): StreamOperator[] {
  const { branches, operators } = pipelineOf(config, stream)
  return operators.filter((operator) => areTaken(operator.branches, branches, metric))
}

export function downsamplersOf(config: MillraceConfig, stream: string, metric: string): StreamDownsampler[] {
  const { branches, downsamplers } = pipelineOf(config, stream)
  return downsamplers.filter(
    (downsampler) =>
      areTaken(downsampler.branches, branches, metric) &&
      takes({ include: downsampler.metrics, exclude: [] }, metric),
  )
}

function pipelineOf({ streams, pipelines }: MillraceConfig, stream: string): StreamPipeline {
  return pipelines[streams.findIndex(({ name }) => name === stream)]
}

function areTaken(fed: readonly number[], branches: readonly Branch[], metric: string): boolean {
  return fed.some((index) => takes(branches[index].selection, metric))
}

function takes({ include, exclude }: Selection, metric: string): boolean {
  const matches = (pattern: string) => new RegExp(`^${pattern.replaceAll('*', '.*')}$`).test(metric)
  return (include === null || include.some(matches)) && !exclude.some(matches)
}

function drawSteps(prng: Prng): SimSteps {
  return { filters: prng.unit() < 0.6, maps: prng.unit() < 0.5, derives: prng.unit() < 0.6 }
}

function stepsOf({ filters, maps, derives }: SimSteps): Step[] {
  const steps: Step[] = []
  if (filters)
    steps.push(filter(({ metric, value }) => !isFilteredOut(metric, Math.floor(value / READINGS_MAX))))
  if (derives) steps.push(derive('m3', (group) => group.value('m0') + DERIVED_PLACE))
  if (maps) steps.push(map('m1', ({ value }) => value + 0.25))
  return steps
}

const SELECTIONS = [
  {},
  {},
  { metrics: { include: ['m0', 'm3'] } },
  { metrics: { include: ['m*'], exclude: ['m1'] } },
  { metrics: { include: ['note', 'm2'] } },
]

function drawBranches(prng: Prng, isOrdered: boolean): BranchOptions[] {
  return Array.from({ length: pick(prng, [1, 1, 2, 3]) }, () => ({
    ...pick(prng, SELECTIONS),
    operators: drawOperators(prng, isOrdered),
  }))
}

/** Some operators less, and some more, in each. */
function changeBranches(prng: Prng, branches: readonly BranchOptions[], isOrdered: boolean): BranchOptions[] {
  return branches.map(({ operators, ...rest }) => {
    const kept = operators.filter(() => prng.unit() < 0.7)
    const more = drawOperators(prng, isOrdered).filter(({ kind }) =>
      operators.every((known) => known.kind !== kind),
    )
    return { ...rest, operators: [...kept, ...more].length > 0 ? [...kept, ...more] : operators }
  })
}

/** One of a kind, so that no label comes twice in a branch; and of one kind the same in each branch, as the config asks for. */
function drawOperators(prng: Prng, isOrdered: boolean): Operator[] {
  const kinds = [
    'tumbling',
    'hopping',
    'calendar',
    ...(isOrdered ? (['session', 'count', 'sliding'] as const) : []),
  ] as const
  const operators = kinds.filter(() => prng.unit() < 0.35).map((kind) => drawOperator(prng, kind, isOrdered))
  const detectors = isOrdered && prng.unit() < 0.8 ? DETECTORS.filter(() => prng.unit() < 0.5) : []
  const downsamplers = isOrdered && prng.unit() < 0.8 ? DOWNSAMPLERS.filter(() => prng.unit() < 0.3) : []
  const others = [...downsamplers, ...detectors]
  return operators.length > 0 ? [...operators, ...others] : [tiers('10s', '1m'), ...others]
}

/** Of each label one, likewise. */
const DOWNSAMPLERS: Operator[] = [
  downsample('mean', '700ms'),
  downsample('min-max', '20s', { metrics: ['m*'] }),
  downsample('m4', '5s'),
  downsample('lttb', '1m', { points: 4 }),
  downsample('minmax-lttb', '2m', { points: 3 }),
  compress('deadband', { deviation: 300 }),
  compress('swinging-door', { deviation: 20, metrics: ['m0', 'm1'] }),
  compress('swinging-door', { pointsPerHour: 20 }),
  compress('deadband', { pointsPerHour: 60, longest: '5m' }),
]

/** Of each name one, so that branches may share it. Values are the numbers of messages, more or less: they rise. */
const DETECTORS: Operator[] = [
  detect('limits', { low: 60, high: 300, hysteresis: 20, quiet: '1s' }),
  detect('limits', { name: 'odd', high: 2, metrics: ['m1', 'm3'], quiet: '10ms' }),
  detect('flatline', { quiet: '1s' }),
  detect('missing', { intervals: 1.5, metrics: ['m*'] }),
  detect('multivariate', { metrics: ['m0', 'm1'], limit: 1, quiet: '1s', coolDown: '1s' }),
]

function drawOperator(prng: Prng, kind: WindowSpec['kind'], isOrdered: boolean): Operator {
  switch (kind) {
    case 'tumbling': {
      const width = pick(prng, ['700ms', '5s', '20s', '5m'] as const)
      return tumbling(width, aligned(prng, isOrdered, width === '700ms' ? undefined : '2s'))
    }
    case 'hopping': {
      const [width, hop] = pick(prng, [
        ['6s', '2s'],
        ['2m', '20s'],
        ['15m', '5m'],
      ] as const)
      return hopping(width, hop, aligned(prng, isOrdered, width === '2m' ? '30s' : undefined))
    }
    case 'calendar':
      return calendar(
        pick(prng, ['day', 'week', 'month'] as const),
        pick(prng, ['Europe/Berlin', 'UTC', 'America/St_Johns'] as const),
        aligned(prng, isOrdered, '1m'),
      )
    case 'session':
      return session(pick(prng, ['50ms', '3s', '40s'] as const), plain(prng, isOrdered))
    case 'count':
      return count(pick(prng, [2, 3, 10]), plain(prng, isOrdered))
    case 'sliding':
      return sliding(pick(prng, ['1ms', '4s', '1m'] as const), plain(prng, isOrdered))
  }
}

function aligned(prng: Prng, isOrdered: boolean, early: AlignedOptions['early']): AlignedOptions {
  const isEarly = early !== undefined && prng.unit() < 0.3
  return { ...plain(prng, isOrdered), ...(isEarly ? { early } : {}) }
}

function plain(prng: Prng, isOrdered: boolean): OperatorOptions {
  const all: Aggregate[] = [...MERGEABLE_AGGREGATES, ...(isOrdered ? ORDERED_AGGREGATES : [])]
  const aggregates = all.filter(() => prng.unit() < 0.4)
  return aggregates.length === 0 ? {} : { aggregates }
}

function pick<T>(prng: Prng, all: readonly T[]): T {
  return all[prng.between(0, all.length - 1)]
}

/**
 * Which operators share their readings and so their state: a set. Streams whose operators are the same and take every reading are
 * one set, as all streams of a config that names no operators; branches that take a part of a stream's readings have sets of their
 * own. So has each compression: its line can't be computed anew, and outlives changes of its neighbours. Pure; runs once, at start.
 */
import { isCompression, type PointSpec } from '../../operators/downsample/point-spec.ts'
import { rollupAggregates, type WindowSpec, windowAggregates } from '../../operators/window-spec.ts'
import type { Branch, StreamPipeline } from '../config.ts'
import { fingerprint } from '../config-layout.ts'
import { takesAll } from '../steps/metric-filter.ts'
import { EVERY_BRANCH } from '../steps/row-branches.ts'
import type { PipelineStream } from './pipeline-stream.ts'

export interface PlannedWindow {
  /** As the column `window` names it. */
  label: string
  spec: WindowSpec
}

export interface PlannedDownsampler {
  /** As the column `method` names it. */
  label: string
  spec: PointSpec
}

export type PlannedOperator = PlannedWindow | PlannedDownsampler

export interface OperatorSetPlan {
  /** The streams whose readings it sees. */
  streams: number[]
  /** Which readings of them, whatever the bits are; empty for all. */
  sees: string
  /** The branches whose readings it sees, as bits. */
  branches: number
  /** Of those the metrics that it sees; null for all. */
  metrics: string[] | null
  /** Whether sums carry their rounding error along. */
  sumErrors: boolean
  /** Those with rows in `rollups`, and those with rows in `windows`; the same one may be in both. */
  merging: PlannedWindow[]
  ordered: PlannedWindow[]
  /** Those with rows in `points`. */
  downsamplers: PlannedDownsampler[]
  /** All of them. */
  operators: PlannedOperator[]
}

/** One set of tumbling windows for all streams, whichever they are. */
export function planOfWidths(operators: readonly PlannedWindow[]): OperatorSetPlan[] {
  return [makeSetPlan({ streams: [], branches: EVERY_BRANCH, metrics: null, sees: '' }, operators)]
}

export function planOperatorSets(streams: readonly PipelineStream[]): OperatorSetPlan[] {
  const plans = new Map<string, OperatorSetPlan>()
  for (const [index, { stream, pipeline }] of streams.entries()) {
    const { branches } = pipeline
    for (const { metrics, branches: fed, operators } of groupByReadings(pipeline)) {
      const isWhole = fed.some((branch) => isWholeBranch(branches[branch]))
      const bits = isWhole ? EVERY_BRANCH : fed.reduce((sum, branch) => sum | (1 << branch), 0)
      const some = isWhole ? '' : JSON.stringify([stream.name, fed.map((at) => nameOf(branches[at]))])
      const sees = metrics === null ? some : JSON.stringify([some, metrics])
      const plan = makeSetPlan({ streams: [index], branches: bits, metrics, sees }, operators)
      const key = JSON.stringify([sees, plan.operators])
      const same = plans.get(key)
      if (same === undefined) plans.set(key, plan)
      else same.streams.push(index)
    }
  }
  return [...plans.values()]
}

interface Group {
  branches: number[]
  metrics: string[] | null
  operators: PlannedOperator[]
}

function groupByReadings({ operators, downsamplers }: StreamPipeline): Group[] {
  const groups = new Map<string, Group>()
  const add = (operator: PlannedOperator, branches: number[], metrics: string[] | null, apart: string) => {
    const key = JSON.stringify([branches, metrics, apart])
    const group = groups.get(key)
    if (group === undefined) groups.set(key, { branches, metrics, operators: [operator] })
    else group.operators.push(operator)
  }
  for (const operator of operators) add(operator, operator.branches, null, '')
  for (const downsampler of downsamplers) {
    const { label, spec, branches, metrics } = downsampler
    add(downsampler, branches, metrics, isCompression(spec) ? label : '')
  }
  return [...groups.values()]
}

function isWholeBranch({ filter, selection }: Branch): boolean {
  return filter === null && takesAll(selection)
}

function nameOf({ filter, selection }: Branch): unknown {
  return [selection, filter === null ? null : fingerprint(filter)]
}

/** What a set sees, and of whom. */
export type SeenReadings = Pick<OperatorSetPlan, 'streams' | 'branches' | 'metrics' | 'sees'>

export function makeSetPlan(seen: SeenReadings, given: readonly PlannedOperator[]): OperatorSetPlan {
  const operators = given.map(({ label, spec }) => ({ label, spec }) as PlannedOperator)
  const merging: PlannedWindow[] = []
  const ordered: PlannedWindow[] = []
  for (const { label, spec } of operators.filter(isWindow)) {
    const rollups = rollupAggregates(spec)
    const windows = windowAggregates(spec)
    if (rollups.length > 0) merging.push({ label, spec: { ...spec, aggregates: rollups } })
    if (windows.length > 0) ordered.push({ label, spec: { ...spec, aggregates: windows } })
  }
  const sumErrors = merging.some(
    ({ spec }) => spec.aggregates.includes('sum') || spec.aggregates.includes('mean'),
  )
  const downsamplers = operators.filter(isDownsampler)
  return { ...seen, sumErrors, merging, ordered, downsamplers, operators }
}

export function isWindow(operator: PlannedOperator): operator is PlannedWindow {
  return 'kind' in operator.spec
}

function isDownsampler(operator: PlannedOperator): operator is PlannedDownsampler {
  return !isWindow(operator)
}

/**
 * Which operators share their readings and so their state: a set. Streams whose operators are the same and take every reading are
 * one set, as all streams of a config that names no operators; branches that take a part of a stream's readings have sets of their
 * own. Pure; runs once, at start.
 */
import { rollupAggregates, type WindowSpec, windowAggregates } from '../../operators/window-spec.ts'
import type { Branch, StreamOperator } from '../config.ts'
import { fingerprint } from '../config-layout.ts'
import { takesAll } from '../steps/metric-filter.ts'
import { EVERY_BRANCH } from '../steps/row-branches.ts'
import type { PipelineStream } from './pipeline-stream.ts'

export interface PlannedOperator {
  /** As the column `window` names it. */
  label: string
  spec: WindowSpec
}

export interface OperatorSetPlan {
  /** The streams whose readings it sees. */
  streams: number[]
  /** Which readings of them, whatever the bits are; empty for all. */
  sees: string
  /** The branches whose readings it sees, as bits. */
  branches: number
  /** Whether sums carry their rounding error along. */
  sumErrors: boolean
  /** Those with rows in `rollups`, and those with rows in `windows`; the same one may be in both. */
  merging: PlannedOperator[]
  ordered: PlannedOperator[]
  /** All of them. */
  operators: PlannedOperator[]
}

/** One set of tumbling windows for all streams, whichever they are. */
export function planOfWidths(operators: readonly PlannedOperator[]): OperatorSetPlan[] {
  return [makeSetPlan([], EVERY_BRANCH, '', operators)]
}

export function planOperatorSets(streams: readonly PipelineStream[]): OperatorSetPlan[] {
  const plans = new Map<string, OperatorSetPlan>()
  for (const [index, { stream, pipeline }] of streams.entries()) {
    const { branches, operators } = pipeline
    for (const group of groupByBranches(operators)) {
      const isWhole = group[0].branches.some((branch) => isWholeBranch(branches[branch]))
      const bits = isWhole ? EVERY_BRANCH : group[0].branches.reduce((sum, branch) => sum | (1 << branch), 0)
      const sees = isWhole
        ? ''
        : JSON.stringify([stream.name, group[0].branches.map((at) => nameOf(branches[at]))])
      const plan = makeSetPlan([index], bits, sees, group)
      const key = JSON.stringify([sees, plan.operators])
      const same = plans.get(key)
      if (same === undefined) plans.set(key, plan)
      else same.streams.push(index)
    }
  }
  return [...plans.values()]
}

function groupByBranches(operators: readonly StreamOperator[]): StreamOperator[][] {
  const groups = new Map<string, StreamOperator[]>()
  for (const operator of operators) {
    const key = operator.branches.join()
    const group = groups.get(key)
    if (group === undefined) groups.set(key, [operator])
    else group.push(operator)
  }
  return [...groups.values()]
}

function isWholeBranch({ filter, selection }: Branch): boolean {
  return filter === null && takesAll(selection)
}

function nameOf({ filter, selection }: Branch): unknown {
  return [selection, filter === null ? null : fingerprint(filter)]
}

export function makeSetPlan(
  streams: number[],
  branches: number,
  sees: string,
  given: readonly PlannedOperator[],
): OperatorSetPlan {
  const operators = given.map(({ label, spec }) => ({ label, spec }))
  const merging: PlannedOperator[] = []
  const ordered: PlannedOperator[] = []
  for (const { label, spec } of operators) {
    const rollups = rollupAggregates(spec)
    const windows = windowAggregates(spec)
    if (rollups.length > 0) merging.push({ label, spec: { ...spec, aggregates: rollups } })
    if (windows.length > 0) ordered.push({ label, spec: { ...spec, aggregates: windows } })
  }
  const sumErrors = merging.some(
    ({ spec }) => spec.aggregates.includes('sum') || spec.aggregates.includes('mean'),
  )
  return { streams, branches, sees, sumErrors, merging, ordered, operators }
}

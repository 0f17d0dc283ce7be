/**
 * Operator sets in a snapshot, and what becomes of them under another config. Pure. A set whose operators are all asked for still,
 * over the same readings, goes on; what else is asked for makes sets anew, which know that readings came before them. A set that
 * can't go on is retired: its open windows leave as rows, which merge with later ones or are amended.
 */
import { isDeepStrictEqual } from 'node:util'
import { EVERY_BRANCH } from '../steps/row-branches.ts'
import { makeSetPlan, type OperatorSetPlan, type PlannedOperator } from './operator-plan.ts'

/** What a snapshot tells of a set, beside its state. */
export type SavedSet = Pick<OperatorSetPlan, 'streams' | 'sees' | 'operators'>

export function describeSet({ streams, sees, operators }: OperatorSetPlan): Uint8Array {
  return new TextEncoder().encode(JSON.stringify({ streams, sees, operators }))
}

export function readSet(bytes: Uint8Array): SavedSet {
  return JSON.parse(new TextDecoder().decode(bytes))
}

/** A set that gets no readings any more. */
export function planRetired({ sees, operators }: SavedSet): OperatorSetPlan {
  return makeSetPlan({ streams: [], branches: EVERY_BRANCH, metrics: null, sees }, operators)
}

export interface SetsPlan {
  plans: OperatorSetPlan[]
  /** By saved set, the plan that goes on with it; null for one that is retired. */
  heirs: (OperatorSetPlan | null)[]
}

/**
 * `plans` dealt out anew: each saved set goes on that all of its streams still ask for, and plans keep what is left. A set that
 * lost a stream could not: what it holds of that stream's series would come out later than what others say of them.
 */
export function planBeside(plans: readonly OperatorSetPlan[], saved: readonly SavedSet[]): SetsPlan {
  let open = [...plans]
  const heirs = saved.map(({ sees, operators, streams }) => {
    const matches = open.filter(
      (plan) => plan.sees === sees && hasAll(plan.operators, operators) && sharesStream(plan, streams),
    )
    const isWhole = streams.every((stream) => matches.some((plan) => plan.streams.includes(stream)))
    if (matches.length === 0 || !isWhole) return null
    open = open.flatMap((plan) => (matches.includes(plan) ? restOf(plan, streams, operators) : plan))
    return makeSetPlan({ ...matches[0], streams }, operators)
  })
  return { plans: [...heirs.filter((plan) => plan !== null), ...open], heirs }
}

/** A set without a list of streams has all of them. */
function sharesStream(plan: OperatorSetPlan, streams: readonly number[]): boolean {
  return streams.length === 0
    ? plan.streams.length === 0
    : plan.streams.some((stream) => streams.includes(stream))
}

/** Those streams' other operators, and the other streams' all. */
function restOf(
  plan: OperatorSetPlan,
  takenStreams: readonly number[],
  taken: readonly PlannedOperator[],
): OperatorSetPlan[] {
  const rest: OperatorSetPlan[] = []
  const isTaken = (stream: number) => takenStreams.includes(stream)
  const others = plan.operators.filter((operator) => !hasAll(taken, [operator]))
  const otherStreams = plan.streams.filter((stream) => !isTaken(stream))
  if (otherStreams.length > 0) rest.push(makeSetPlan({ ...plan, streams: otherStreams }, plan.operators))
  if (others.length > 0) rest.push(makeSetPlan({ ...plan, streams: plan.streams.filter(isTaken) }, others))
  return rest
}

function hasAll(operators: readonly PlannedOperator[], asked: readonly PlannedOperator[]): boolean {
  return asked.every((one) => operators.some((other) => isDeepStrictEqual(one, other)))
}

/**
 * What the reorder buffer feeds: an operator that sees each series' readings in the order (ts, value; texts last, by bytes).
 * Series that have state are named by slots, small numbers that are used again. One owner: the shard's thread.
 *
 * A window is dirty when readings that the operator never saw may belong to it: late ones, or those of an earlier life. Each slot
 * knows up to which event time there may be such (SeriesSlots.dirtyUntilMs), and that is all that a window needs to know. A
 * dirty window leaves no row, it asks for an amendment.
 */
import type { Stateful } from '../codecs/state.ts'
import type { AmendmentRows, WindowRows } from './ordered-rows.ts'
import type { SeriesSlots } from './series-slots.ts'
import type { Aggregate } from './window-spec.ts'

export interface OrderedOperator extends Stateful {
  /** Text readings come, and count as readings. */
  readonly takesTexts: boolean
  /** Makes room for slots up to this one. */
  admit(slot: number): void
  /** The slot is a new series'. */
  open(slot: number): void
  /**
   * Takes the readings in `pairs` from `start` up to `end`: ts and x side by side. Runs instead of single readings, because a
   * double that is handed to a function not known beforehand becomes an object (bench downsampling).
   */
  take(slot: number, pairs: Float64Array, start: number, end: number): void
  addText(slot: number, ts: number, text: number): void
  /** All readings below the slot's frontier have come: closes windows that end before it. */
  settle(slot: number): void
  /** `settle` does nothing while the frontier is at or below this event time. */
  dueMs(slot: number): number
  /** A reading below the frontier that will not come; the slot's dirtyUntilMs tells of it already. `x` as it would have come. */
  late(slot: number, ts: number, x: number): void
  /** Open windows leave as they stand, if they changed since they last did. */
  show(slot: number): void
  /** Forgets the slot's series. */
  release(slot: number): void
  /** Forgets all. */
  clear(): void
}

/** Where operators put what they have to say. `series` of a slot is known to the slots. */
export interface OrderedOutput {
  rows: WindowRows
  amendments: AmendmentRows
  slots: SeriesSlots
}

/** Aggregates as bits. */
export const Wants = {
  sum: 1,
  min: 2,
  max: 4,
  mean: 8,
  first: 16,
  last: 32,
  variance: 64,
  distinct: 128,
  quantiles: 256,
  timeWeightedMean: 512,
  increase: 1024,
  rate: 2048,
  states: 4096,
  /** Those that need all values of the window. */
  values: 128 | 256,
} as const

const WANTS_OF: Record<Aggregate, number> = {
  count: 0,
  sum: Wants.sum,
  min: Wants.min,
  max: Wants.max,
  mean: Wants.mean,
  first: Wants.first,
  last: Wants.last,
  variance: Wants.variance,
  distinct: Wants.distinct,
  quantiles: Wants.quantiles,
  time_weighted_mean: Wants.timeWeightedMean,
  increase: Wants.increase,
  rate: Wants.rate,
  states: Wants.states,
}

export function wantsOf(aggregates: readonly Aggregate[]): number {
  return aggregates.reduce((wants, aggregate) => wants | WANTS_OF[aggregate], 0)
}

/** What a counter grew by from x to the next reading: a smaller one says that it began anew from 0. */
export function increaseBetween(x: number, next: number): number {
  return next >= x ? next - x : next
}

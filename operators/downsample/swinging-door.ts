/**
 * Swinging door: readings are dropped as long as one straight line, from the last kept reading to the newest, passes each of them
 * within the deviation; the reading before the one that breaks this is kept. (Bristol's trending of 1990 keeps doors by the newest
 * slope alone and can overshoot the deviation; here the line that is kept is the one that was checked.)
 *
 * The bound is proved as follows. Let a be the last kept reading, and for each reading i since, D = x_i - x_a and t = t_i - t_a, the
 * latter exact. A line from a with slope s passes i within the deviation d exactly when (D - d) / t <= s <= (D + d) / t. A reading e
 * becomes the line's possible end only if its slope is within these bounds for all i before it, so the line to any possible end
 * holds the bound, and only possible ends are kept. In floating point, with unit roundoff u = 2^-53: D, D +- d', their quotient,
 * and the slope of e are each rounded once, which moves the line at i by less than 6 u (|D| + d); bounds are made with
 * d' = d - 8 u (|D| + d) instead of d, so that the bound holds for the exact line through the kept doubles. Where d' < 0, or
 * an infinity or NaN comes out, no slope is within the bounds, and the reading is kept. Quotients that underflow are covered since
 * d >= DEVIATION_MIN. Of readings at one time the line is vertical, and passes those between.
 *
 * With a budget (point-budget.ts), when the hour's points are used up, the end moves on regardless; the line and all it passes are then
 * between the smallest and the greatest reading since a, and the next point says how far apart these are.
 *
 * A series that falls silent keeps its newest reading, unless its readings come so rarely that it is always silent.
 * One owner: the shard's thread.
 *
 * A slot's record is one cache line:  0 time of the last kept (-Infinity: none)  1 its value  2 time of the newest, the line's
 *   possible end  3 its value  4 5 bounds of slopes  6 time between the newest two  7 greatest deviation since the last kept
 */
import type { StateReader, StateWriter } from '../../codecs/state.ts'
import type { OrderedOperator } from '../ordered-operator.ts'
import { isWithin, roundUp } from './deadband.ts'
import { PointBudget } from './point-budget.ts'
import { withRoom } from './point-panes.ts'
import { PointKind } from './point-rows.ts'
import type { CompressionSpec } from './point-spec.ts'
import type { PointOutput } from './window-points.ts'

const STRIDE = 8
const VALUE = 1
const END_MS = 2
const END = 3
const SLOPE_MIN = 4
const SLOPE_MAX = 5
const INTERVAL_MS = 6
const DEVIATION = 7
/** 8 u. */
const SLACK = 4 * Number.EPSILON

/** With a budget, a second record:  0 smallest and 1 greatest value since the last kept  2 whether the end moved on regardless */
const RANGE_STRIDE = 4
const GREATEST = 1
const IS_FORCED = 2

export class SwingingDoor implements OrderedOperator {
  readonly takesTexts = false
  readonly #deviation: number
  readonly #longestMs: number
  readonly #idleTimeoutMs: number
  readonly #budget: PointBudget | null
  readonly #index: number
  readonly #output: PointOutput
  #records: Float64Array = new Float64Array(64 * STRIDE)
  #ranges: Float64Array = new Float64Array(0)

  constructor(spec: CompressionSpec, index: number, output: PointOutput, idleTimeoutMs: number) {
    this.#deviation = spec.deviation ?? 0
    this.#budget = spec.pointsPerHour === null ? null : new PointBudget(spec.pointsPerHour)
    this.#longestMs = spec.longestMs
    this.#idleTimeoutMs = idleTimeoutMs
    this.#index = index
    this.#output = output
  }

  admit(slot: number): void {
    this.#records = withRoom(this.#records, slot, STRIDE)
    if (this.#budget === null) return
    this.#budget.admit(slot)
    this.#ranges = withRoom(this.#ranges, slot, RANGE_STRIDE)
  }

  open(slot: number): void {
    const at = slot * STRIDE
    this.#records.fill(0, at, at + STRIDE)
    this.#records[at] = Number.NEGATIVE_INFINITY
    this.#records[at + END_MS] = Number.NEGATIVE_INFINITY
    this.#budget?.open(slot)
  }

  // hot: per reading
  take(slot: number, pairs: Float64Array, start: number, end: number): void {
    for (let at = start; at < end; at += 2) this.#add(slot, pairs[at], pairs[at + 1])
  }

  // hot: per reading
  #add(slot: number, ts: number, x: number): void {
    const records = this.#records
    const at = slot * STRIDE
    const endMs = records[at + END_MS]
    if (endMs === Number.NEGATIVE_INFINITY) {
      this.#begin(slot, ts, x)
      return
    }
    this.#budget?.see(slot, ts, x - records[at + END])
    let t = ts - records[at]
    let difference = x - records[at + VALUE]
    const slope = difference / t
    if (t === 0 || !(slope >= records[at + SLOPE_MIN] && slope <= records[at + SLOPE_MAX])) {
      if (!this.#turn(slot, ts, x)) return
      t = ts - records[at]
      difference = x - records[at + VALUE]
    }
    if (this.#budget !== null) this.#extend(slot, x)
    records[at + INTERVAL_MS] = ts - endMs
    records[at + END_MS] = ts
    records[at + END] = x
    const deviation = this.#budget === null ? this.#deviation : this.#deviationNow(this.#budget, slot)
    const within = deviation - SLACK * (Math.abs(difference) + deviation)
    const slopeMin = (difference - within) / t
    const slopeMax = (difference + within) / t
    if (!(slopeMin <= records[at + SLOPE_MIN])) records[at + SLOPE_MIN] = slopeMin
    if (!(slopeMax >= records[at + SLOPE_MAX])) records[at + SLOPE_MAX] = slopeMax
    if (t >= this.#longestMs) this.#keepEnd(slot)
  }

  addText(): void {}

  settle(): void {}

  dueMs(): number {
    return Number.POSITIVE_INFINITY
  }

  /** Late is only what is before the line's end, in the order (ts, value). */
  late(slot: number, ts: number, x: number): void {
    const { points, slots } = this.#output
    const at = slot * STRIDE
    const endMs = this.#records[at + END_MS]
    const isAfter = ts > endMs || (ts === endMs && x >= this.#records[at + END])
    if (endMs > Number.NEGATIVE_INFINITY && isAfter) this.#add(slot, ts, x)
    else points.append(slots.seriesOf[slot], this.#index, ts, x, 0, PointKind.late)
  }

  show(slot: number): void {
    if (this.#records[slot * STRIDE + INTERVAL_MS] < this.#idleTimeoutMs) this.#keepEnd(slot)
  }

  release(slot: number): void {
    this.#keepEnd(slot)
  }

  clear(): void {}

  save(out: StateWriter): void {
    out.f64(this.#records)
    out.f64(this.#ranges)
    this.#budget?.save(out)
  }

  load(from: StateReader): void {
    this.#records = from.f64()
    this.#ranges = from.f64()
    this.#budget?.load(from)
  }

  /** The first reading of a line; what may lie among the readings of an earlier life is beside it. */
  #begin(slot: number, ts: number, x: number): void {
    if (ts <= this.#output.slots.dirtyUntilMs(slot)) this.late(slot, ts, x)
    else this.#keep(slot, ts, x, Number.NaN)
  }

  /**
   * No line from the last kept reading to this one passes all between: the line's end is kept, if there is one. Returns whether the
   * reading is the next possible end; else it is done with.
   */
  #turn(slot: number, ts: number, x: number): boolean {
    const records = this.#records
    const at = slot * STRIDE
    if (records[at + END_MS] > records[at] && !this.#keepEnd(slot)) {
      this.#force(slot)
      return true
    }
    if (ts > records[at]) return true
    if (isWithin(x, records[at + VALUE], records[at + DEVIATION])) {
      if (this.#budget !== null) this.#extend(slot, x)
    } else if (this.#budget === null || this.#budget.allows(slot, ts)) {
      this.#keep(slot, ts, x, records[at + DEVIATION])
    } else {
      this.#force(slot)
      this.#extend(slot, x)
    }
    return false
  }

  /** False when there is nothing to keep, or no room for it in the hour. */
  #keepEnd(slot: number): boolean {
    const records = this.#records
    const at = slot * STRIDE
    const endMs = records[at + END_MS]
    if (!(endMs > records[at])) return false
    if (this.#budget !== null && !this.#budget.allows(slot, endMs)) return false
    this.#keep(slot, endMs, records[at + END], this.#deviationSince(slot))
    return true
  }

  /** A line begins at the reading. */
  #keep(slot: number, ts: number, x: number, deviation: number): void {
    const records = this.#records
    const at = slot * STRIDE
    const { points, slots } = this.#output
    points.append(slots.seriesOf[slot], this.#index, ts, x, deviation, PointKind.kept)
    this.#budget?.keep(slot, ts, ts - records[at])
    records[at] = ts
    records[at + VALUE] = x
    records[at + END_MS] = ts
    records[at + END] = x
    records[at + SLOPE_MIN] = Number.NEGATIVE_INFINITY
    records[at + SLOPE_MAX] = Number.POSITIVE_INFINITY
    records[at + DEVIATION] = this.#budget === null ? this.#deviation : this.#budget.deviation(slot)
    if (this.#budget !== null) this.#ranges.fill(x, slot * RANGE_STRIDE, slot * RANGE_STRIDE + IS_FORCED)
    if (this.#budget !== null) this.#ranges[slot * RANGE_STRIDE + IS_FORCED] = 0
  }

  /** Until the end may be kept, each reading is the next one, whatever its slope. */
  #force(slot: number): void {
    this.#ranges[slot * RANGE_STRIDE + IS_FORCED] = 1
    this.#records[slot * STRIDE + SLOPE_MIN] = Number.POSITIVE_INFINITY
    this.#records[slot * STRIDE + SLOPE_MAX] = Number.NEGATIVE_INFINITY
  }

  #extend(slot: number, x: number): void {
    const ranges = this.#ranges
    const at = slot * RANGE_STRIDE
    if (x < ranges[at]) ranges[at] = x
    if (x > ranges[at + GREATEST]) ranges[at + GREATEST] = x
  }

  #deviationNow(budget: PointBudget, slot: number): number {
    const deviation = budget.deviation(slot)
    const at = slot * STRIDE + DEVIATION
    if (deviation > this.#records[at]) this.#records[at] = deviation
    return deviation
  }

  #deviationSince(slot: number): number {
    const ranges = this.#ranges
    const at = slot * RANGE_STRIDE
    const isForced = this.#budget !== null && ranges[at + IS_FORCED] === 1
    return isForced ? roundUp(ranges[at + GREATEST] - ranges[at]) : this.#records[slot * STRIDE + DEVIATION]
  }
}

/**
 * Deadband: a reading is kept when it is further than the deviation from the last that was kept. The kept line is a staircase; no
 * dropped reading lies further from it than the deviation, rounding included: |x - kept| is compared exactly.
 *
 * With a budget, what the hour has no room for is dropped too, and each point says how far the dropped before it are from the line.
 * One owner: the shard's thread.
 *
 * A slot's record is 4 doubles:  0 time of the last kept (-Infinity: none)  1 its value  2 the newest value
 *   3 greatest distance of what was dropped since
 */
import type { StateReader, StateWriter } from '../../codecs/state.ts'
import type { OrderedOperator } from '../ordered-operator.ts'
import { PointBudget } from './point-budget.ts'
import { withRoom } from './point-panes.ts'
import { PointKind } from './point-rows.ts'
import type { CompressionSpec } from './point-spec.ts'
import type { PointOutput } from './window-points.ts'

const STRIDE = 4
const VALUE = 1
const NEWEST = 2
const DISTANCE = 3

export class Deadband implements OrderedOperator {
  readonly takesTexts = false
  readonly #deviation: number
  readonly #longestMs: number
  readonly #budget: PointBudget | null
  readonly #index: number
  readonly #output: PointOutput
  #records: Float64Array = new Float64Array(64 * STRIDE)

  constructor({ deviation, pointsPerHour, longestMs }: CompressionSpec, index: number, output: PointOutput) {
    this.#deviation = deviation ?? 0
    this.#budget = pointsPerHour === null ? null : new PointBudget(pointsPerHour)
    this.#longestMs = longestMs
    this.#index = index
    this.#output = output
  }

  admit(slot: number): void {
    this.#records = withRoom(this.#records, slot, STRIDE)
    this.#budget?.admit(slot)
  }

  open(slot: number): void {
    this.#records[slot * STRIDE] = Number.NEGATIVE_INFINITY
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
    const sinceMs = ts - records[at]
    if (sinceMs === Number.POSITIVE_INFINITY) this.#begin(slot, ts, x)
    else if (this.#budget !== null) this.#addWithin(this.#budget, slot, ts, x)
    else if (sinceMs >= this.#longestMs || !isWithin(x, records[at + VALUE], this.#deviation))
      this.#keep(slot, ts, x, this.#deviation)
  }

  addText(): void {}

  settle(): void {}

  dueMs(): number {
    return Number.POSITIVE_INFINITY
  }

  /** The line has passed it. */
  late(slot: number, ts: number, x: number): void {
    const { points, slots } = this.#output
    points.append(slots.seriesOf[slot], this.#index, ts, x, 0, PointKind.late)
  }

  /** The line is complete at any time. */
  show(): void {}

  release(): void {}

  clear(): void {}

  save(out: StateWriter): void {
    out.f64(this.#records)
    this.#budget?.save(out)
  }

  load(from: StateReader): void {
    this.#records = from.f64()
    this.#budget?.load(from)
  }

  /** The first reading of a line; what may lie among the readings of an earlier life is beside it. */
  #begin(slot: number, ts: number, x: number): void {
    if (ts <= this.#output.slots.dirtyUntilMs(slot)) this.late(slot, ts, x)
    else this.#keep(slot, ts, x, Number.NaN)
  }

  #addWithin(budget: PointBudget, slot: number, ts: number, x: number): void {
    const records = this.#records
    const at = slot * STRIDE
    budget.see(slot, ts, x - records[at + NEWEST])
    records[at + NEWEST] = x
    const isLong = ts - records[at] >= this.#longestMs
    const isWanted = isLong || !isWithin(x, records[at + VALUE], budget.deviation(slot))
    if (isWanted && budget.allows(slot, ts)) {
      this.#keep(slot, ts, x, records[at + DISTANCE])
      return
    }
    const distance = roundUp(Math.abs(x - records[at + VALUE]))
    if (distance > records[at + DISTANCE]) records[at + DISTANCE] = distance
  }

  #keep(slot: number, ts: number, x: number, deviation: number): void {
    const records = this.#records
    const at = slot * STRIDE
    const { points, slots } = this.#output
    points.append(slots.seriesOf[slot], this.#index, ts, x, deviation, PointKind.kept)
    this.#budget?.keep(slot, ts, ts - records[at])
    records[at] = ts
    records[at + VALUE] = x
    records[at + NEWEST] = x
    records[at + DISTANCE] = 0
  }
}

/** Whether |x - y| <= deviation, exactly: what the subtraction rounds off decides where its result is the deviation. */
// hot: per reading
export function isWithin(x: number, y: number, deviation: number): boolean {
  const difference = x - y
  const distance = Math.abs(difference)
  if (distance !== deviation) return distance < deviation
  const part = difference - x
  const error = x - (difference - part) - (y + part)
  return difference > 0 ? error <= 0 : error >= 0
}

/** Not below the exact value of which x is the rounding. */
export function roundUp(x: number): number {
  return x * (1 + Number.EPSILON)
}

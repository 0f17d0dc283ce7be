/**
 * A deviation that follows from how many points a series may keep in each hour of event time. Never more are kept: when an hour's
 * are used up, compression goes on without a bound of its own and says afterwards how far it went. So that this is rare, the
 * deviation grows with points that come sooner than the rest of the hour allows, and shrinks while none comes, or late.
 * One owner: the downsampler.
 *
 * A slot's record is 8 doubles:  0 scale: the mean step between readings that differ  1 log2 of deviation / scale  2 deviation
 *   3 hour of the newest point  4 points kept in it  5 when the deviation next shrinks, unless a point comes  6 and how long after again
 */
import type { Stateful, StateReader, StateWriter } from '../../codecs/state.ts'
import { withRoom } from './point-panes.ts'

const STRIDE = 8
const SCALE = 0
const STRENGTH = 1
const DEVIATION = 2
const HOUR = 3
const KEPT = 4
const SHRINK_MS = 5
const WANTED_MS = 6
const HOUR_MS = 3_600_000
/** The newest step counts for so much of the scale. */
const SCALE_SHARE = 1 / 64
const STRENGTH_MIN = -10
const STRENGTH_MAX = 30
/** A point, or a time without one, changes the deviation twofold at most. */
const CHANGE_MAX = 1
const SHRINK = 0.5
/** Smaller ones could be lost in divisions. */
export const DEVIATION_MIN = 1e-200

export class PointBudget implements Stateful {
  readonly #perHour: number
  #records: Float64Array = new Float64Array(64 * STRIDE)

  constructor(perHour: number) {
    this.#perHour = perHour
  }

  admit(slot: number): void {
    this.#records = withRoom(this.#records, slot, STRIDE)
  }

  open(slot: number): void {
    const at = slot * STRIDE
    this.#records.fill(0, at, at + STRIDE)
    this.#records[at + HOUR] = Number.NEGATIVE_INFINITY
    this.#records[at + DEVIATION] = DEVIATION_MIN
  }

  /** A reading came, and the series went on by that much. */
  // hot: per reading
  see(slot: number, ts: number, step: number): void {
    const records = this.#records
    const at = slot * STRIDE
    const size = Math.abs(step)
    if (size > 0 && size < Number.POSITIVE_INFINITY) {
      const scale = records[at + SCALE]
      records[at + SCALE] = scale === 0 ? size : scale + (size - scale) * SCALE_SHARE
      if (scale === 0) this.#change(at, 0)
    }
    if (ts < records[at + SHRINK_MS]) return
    records[at + SHRINK_MS] = ts + records[at + WANTED_MS]
    this.#change(at, -SHRINK)
  }

  // hot: per reading
  deviation(slot: number): number {
    return this.#records[slot * STRIDE + DEVIATION]
  }

  /** Whether a point of that time may be kept. */
  // hot: per reading
  allows(slot: number, ts: number): boolean {
    const at = slot * STRIDE
    return this.#records[at + KEPT] < this.#perHour || Math.floor(ts / HOUR_MS) > this.#records[at + HOUR]
  }

  /** A point was kept, `sinceMs` after the one before. */
  keep(slot: number, ts: number, sinceMs: number): void {
    const records = this.#records
    const at = slot * STRIDE
    const hour = Math.floor(ts / HOUR_MS)
    if (hour > records[at + HOUR]) {
      records[at + HOUR] = hour
      records[at + KEPT] = 0
    }
    records[at + KEPT]++
    const restMs = (hour + 1) * HOUR_MS - ts
    const wantedMs = restMs / Math.max(this.#perHour - records[at + KEPT], 0.5)
    const change = Math.log2(wantedMs / Math.max(sinceMs, 1)) / 2
    this.#change(at, Math.min(Math.max(change, -CHANGE_MAX), CHANGE_MAX))
    records[at + WANTED_MS] = wantedMs
    records[at + SHRINK_MS] = ts + 2 * wantedMs
  }

  save(out: StateWriter): void {
    out.f64(this.#records)
  }

  load(from: StateReader): void {
    this.#records = from.f64()
  }

  #change(at: number, by: number): void {
    const records = this.#records
    const strength = Math.min(Math.max(records[at + STRENGTH] + by, STRENGTH_MIN), STRENGTH_MAX)
    const deviation = records[at + SCALE] * 2 ** strength
    records[at + STRENGTH] = strength
    records[at + DEVIATION] = Math.min(Math.max(deviation, DEVIATION_MIN), Number.MAX_VALUE)
  }
}

/**
 * The panes of mean, min-max and M4: a record of constant size per slot. Of equal extremes the earliest counts.
 */
import type { StateReader, StateWriter } from '../../codecs/state.ts'
import { type ChosenPoints, type PointPanes, withRoom } from './point-panes.ts'

/** A record:  0 sum  1 what its roundings lost (Neumaier)  2 count  3 unused */
const MEAN_STRIDE = 4

export class MeanPanes implements PointPanes {
  #records: Float64Array = new Float64Array(64 * MEAN_STRIDE)

  admit(slot: number): void {
    this.#records = withRoom(this.#records, slot, MEAN_STRIDE)
  }

  open(): void {}

  begin(slot: number, pairs: Float64Array, from: number): void {
    const at = slot * MEAN_STRIDE
    this.#records[at] = pairs[from + 1]
    this.#records[at + 1] = 0
    this.#records[at + 2] = 1
  }

  // hot: per run of readings
  take(slot: number, pairs: Float64Array, start: number, end: number): void {
    const records = this.#records
    const at = slot * MEAN_STRIDE
    let sum = records[at]
    let lost = records[at + 1]
    for (let from = start + 1; from < end; from += 2) {
      const x = pairs[from]
      const before = sum
      sum = before + x
      const part = sum - before
      lost += before - (sum - part) + (x - part)
    }
    records[at] = sum
    records[at + 1] = lost
    records[at + 2] += (end - start) >> 1
  }

  choose(slot: number, startMs: number, chosen: ChosenPoints): boolean {
    const at = slot * MEAN_STRIDE
    const sum = this.#records[at]
    const error = this.#records[at + 1]
    chosen.count = 0
    chosen.add(startMs, (Number.isFinite(error) ? sum + error : sum) / this.#records[at + 2])
    return true
  }

  free(): void {}

  clear(): void {}

  save(out: StateWriter): void {
    out.f64(this.#records)
  }

  load(from: StateReader): void {
    this.#records = from.f64()
  }
}

/** A record is one cache line, (ts, value) of:  0 first  2 last  4 smallest  6 greatest */
const STRIDE = 8
const LAST = 2
const MIN = 4
const MAX = 6

/** Min-max, or M4 with first and last. */
export class ExtremePanes implements PointPanes {
  readonly #hasEnds: boolean
  #records: Float64Array = new Float64Array(64 * STRIDE)

  constructor(hasEnds: boolean) {
    this.#hasEnds = hasEnds
  }

  admit(slot: number): void {
    this.#records = withRoom(this.#records, slot, STRIDE)
  }

  open(): void {}

  begin(slot: number, pairs: Float64Array, from: number): void {
    const records = this.#records
    for (let at = slot * STRIDE; at < (slot + 1) * STRIDE; at += 2) {
      records[at] = pairs[from]
      records[at + 1] = pairs[from + 1]
    }
  }

  // hot: per run of readings
  take(slot: number, pairs: Float64Array, start: number, end: number): void {
    const records = this.#records
    const at = slot * STRIDE
    let min = records[at + MIN + 1]
    let max = records[at + MAX + 1]
    for (let from = start; from < end; from += 2) {
      const x = pairs[from + 1]
      if (x < min) {
        min = x
        records[at + MIN] = pairs[from]
        records[at + MIN + 1] = x
      } else if (x > max) {
        max = x
        records[at + MAX] = pairs[from]
        records[at + MAX + 1] = x
      }
    }
    records[at + LAST] = pairs[end - 2]
    records[at + LAST + 1] = pairs[end - 1]
  }

  choose(slot: number, _startMs: number, chosen: ChosenPoints): boolean {
    const records = this.#records
    const at = slot * STRIDE
    const isMinFirst = records[at + MIN] <= records[at + MAX]
    const one = at + (isMinFirst ? MIN : MAX)
    const other = at + (isMinFirst ? MAX : MIN)
    chosen.count = 0
    if (this.#hasEnds) chosen.add(records[at], records[at + 1])
    chosen.add(records[one], records[one + 1])
    chosen.add(records[other], records[other + 1])
    if (this.#hasEnds) chosen.add(records[at + LAST], records[at + LAST + 1])
    return true
  }

  free(): void {}

  clear(): void {}

  save(out: StateWriter): void {
    out.f64(this.#records)
  }

  load(from: StateReader): void {
    this.#records = from.f64()
  }
}

/**
 * The multivariate detector with its episodes: readings of a device and a time are judged together, in event-time order, once the
 * lateness has passed. Times that not every metric has are not judged. An episode's value is the distance in normal deviations, its
 * expected range ends at the limit. One owner: the shard's thread.
 */
import { assert } from '../../base/assert.ts'
import type { Stateful, StateReader, StateWriter } from '../../codecs/state.ts'
import type { OrderedReadings } from '../ordered-windows.ts'
import { allOf } from './all-of.ts'
import type { Detection, DetectionTimes } from './detection.ts'
import type { DetectorSpec } from './detector-spec.ts'
import { Episodes } from './episodes.ts'
import { MultivariateDetector } from './multivariate.ts'
import { VectorBuffer } from './vector-buffer.ts'

/** Room for readings that are held, in all. */
const HELD_MAX = 8_000_000

export class VectorDetection implements Detection {
  readonly #dimensions: number
  readonly #limit: number
  readonly #times: DetectionTimes
  readonly #detector: MultivariateDetector
  readonly #episodes: Episodes
  readonly #buffer: VectorBuffer
  readonly held: Stateful
  readonly learned: Stateful
  #gapMs = 0
  #skipped = 0

  /** Throws DetectorSettingsError. */
  constructor(
    spec: Extract<DetectorSpec, { kind: 'multivariate' }>,
    times: DetectionTimes,
    heldMax = HELD_MAX,
  ) {
    const dimensions = spec.metrics?.length ?? 0
    this.#detector = new MultivariateDetector({ dimensions, limit: spec.limit })
    this.#episodes = new Episodes({ quietMs: spec.quietMs, coolDownMs: spec.coolDownMs })
    this.#dimensions = dimensions
    this.#limit = spec.limit
    this.#times = times
    this.#buffer = new VectorBuffer(dimensions, Math.ceil(heldMax / dimensions), (device, ts, start) =>
      this.#judge(device, ts, start),
    )
    this.held = allOf([this.#buffer, { save: (out) => this.#save(out), load: (from) => this.#load(from) }])
    this.learned = allOf([this.#detector, this.#episodes])
  }

  get rows() {
    return this.#episodes.rows
  }

  get episodesOpen(): number {
    return this.#episodes.open
  }

  get skipped(): number {
    return this.#skipped + this.#buffer.late + this.#detector.skipped
  }

  get isOpen(): boolean {
    return this.#buffer.held > 0
  }

  get awaitsTime(): boolean {
    return this.isOpen
  }

  // hot: per message
  push(series: Int32Array, readings: OrderedReadings, arrivalMs: number, start: number, end: number): void {
    const { tsMs, value } = readings
    const dimensions = this.#dimensions
    const nowMs = arrivalMs - this.#gapMs
    for (let row = start; row < end; row++) {
      const device = Math.trunc(series[row] / dimensions)
      const x = value[row]
      const ts = Math.floor(tsMs[row])
      if (!(x - x === 0 && ts - ts === 0)) {
        this.#skipped++
        continue
      }
      this.#buffer.add(device, series[row] % dimensions, ts, x, nowMs)
      this.#buffer.advance(device, this.#times.latenessMs)
    }
  }

  tick(nowMs: number): void {
    this.#buffer.settle(nowMs - this.#gapMs - this.#times.idleTimeoutMs)
  }

  gap(durationMs: number): void {
    assert(durationMs >= 0, 'a gap has a duration')
    this.#gapMs += durationMs
  }

  flush(): void {
    this.#buffer.settle(Number.POSITIVE_INFINITY)
  }

  #save(out: StateWriter): void {
    out.numbers(this.#gapMs, this.#skipped)
  }

  #load(from: StateReader): void {
    const [gapMs, skipped] = from.numbers(2)
    this.#gapMs = gapMs
    this.#skipped = skipped
  }

  #judge(device: number, ts: number, start: number): void {
    const { values } = this.#buffer
    const dimensions = this.#dimensions
    for (let i = 0; i < dimensions; i++) {
      if (!Number.isNaN(values[start + i])) continue
      this.#skipped++
      return
    }
    const score = this.#detector.take(device, ts, values, start)
    const limit = this.#limit
    const deviations = score < 1 ? (limit * score) / (1 - score) : Number.POSITIVE_INFINITY
    this.#episodes.take(device * dimensions, ts, deviations, score, 0, limit)
  }
}

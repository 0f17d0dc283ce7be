/**
 * A detector over single series, fed through the reorder buffer: it judges each series' readings in event-time order, held for
 * the lateness. A reading that comes later than that is not judged. What was learned belongs to the series for good; the
 * buffer's slots come and go.
 */
import type { Stateful } from '../../codecs/state.ts'
import type { OrderedOperator } from '../ordered-operator.ts'
import { type OrderedReadings, OrderedWindows } from '../ordered-windows.ts'
import type { SeriesSlots } from '../series-slots.ts'
import { allOf } from './all-of.ts'
import type { Detection, DetectionTimes } from './detection.ts'
import type { DetectorSpec } from './detector-spec.ts'
import { createDetector } from './detectors.ts'
import { Episodes } from './episodes.ts'
import { DetectorSettingsError, type SeriesDetector } from './series-detector.ts'

type SeriesSpec = Exclude<DetectorSpec, { kind: 'missing' | 'multivariate' }>

export class SeriesDetection implements Detection {
  readonly held: Stateful
  readonly learned: Stateful
  readonly #windows: OrderedWindows
  readonly #detector: SeriesDetector
  readonly #episodes: Episodes

  /** Throws DetectorSettingsError. */
  constructor(spec: SeriesSpec, times: DetectionTimes) {
    this.#detector = makeDetector(spec)
    this.#episodes = new Episodes({ quietMs: spec.quietMs, coolDownMs: spec.coolDownMs })
    // Nothing of it is amended, so that nothing depends on what came before.
    this.#windows = new OrderedWindows({ ...times, specs: [] }, true, undefined, (slots) => [
      new OrderedDetector(slots, this.#detector, this.#episodes),
    ])
    this.held = this.#windows
    this.learned = allOf([this.#detector, this.#episodes])
  }

  get rows() {
    return this.#episodes.rows
  }

  get episodesOpen(): number {
    return this.#episodes.open
  }

  get skipped(): number {
    const { late, skipped } = this.#windows.stats
    return late + skipped + this.#detector.skipped
  }

  get isOpen(): boolean {
    return !this.#windows.isQuiet
  }

  get awaitsTime(): boolean {
    return this.isOpen
  }

  push(series: Int32Array, readings: OrderedReadings, arrivalMs: number, start: number, end: number): void {
    this.#windows.push(series, readings, arrivalMs, start, end)
  }

  tick(nowMs: number): void {
    this.#windows.tick(nowMs)
  }

  gap(durationMs: number): void {
    this.#windows.gap(durationMs)
  }

  flush(): void {
    this.#windows.flush()
  }
}

function makeDetector(spec: SeriesSpec): SeriesDetector {
  const limits =
    spec.kind === 'limits'
      ? {
          low: spec.low ?? Number.NEGATIVE_INFINITY,
          high: spec.high ?? Number.POSITIVE_INFINITY,
          hysteresis: spec.hysteresis,
        }
      : {}
  const detector = createDetector(spec.kind, limits)
  if (detector === undefined) throw new DetectorSettingsError(`there is no detector ${spec.kind}`)
  return detector
}

/** The detector as the buffer calls it. What it learned is not the buffer's to save. */
class OrderedDetector implements OrderedOperator {
  readonly takesTexts = false
  readonly #slots: SeriesSlots
  readonly #detector: SeriesDetector
  readonly #episodes: Episodes

  constructor(slots: SeriesSlots, detector: SeriesDetector, episodes: Episodes) {
    this.#slots = slots
    this.#detector = detector
    this.#episodes = episodes
  }

  // hot: per reading
  take(slot: number, pairs: Float64Array, start: number, end: number): void {
    for (let at = start; at < end; at += 2) this.#add(slot, pairs[at], pairs[at + 1])
  }

  // hot: per reading
  #add(slot: number, ts: number, x: number): void {
    const series = this.#slots.seriesOf[slot]
    const detector = this.#detector
    const score = detector.take(series, ts, x)
    this.#episodes.take(series, ts, x, score, detector.expectedLow, detector.expectedHigh)
  }

  /** Nobody waits for the series any more. */
  release(slot: number): void {
    const series = this.#slots.seriesOf[slot]
    if (this.#episodes.isOpen(series)) this.#episodes.end(series, this.#slots.frontierMs(slot))
  }

  dueMs(): number {
    return Number.POSITIVE_INFINITY
  }

  admit(): void {}
  open(): void {}
  addText(): void {}
  settle(): void {}
  late(): void {}
  show(): void {}
  clear(): void {}
  save(): void {}
  load(): void {}
}

/**
 * Missing data (heartbeat.ts) with its episodes: raised by a tick, cleared by the next reading. Times of its rows are the
 * journal's, not the readings'. A time in which the engine could not listen is nobody's silence: one that it was down, and one
 * in which it stood still, which the ticks tell.
 */
import type { Stateful, StateReader, StateWriter } from '../../codecs/state.ts'
import type { OrderedReadings } from '../ordered-windows.ts'
import { allOf } from './all-of.ts'
import type { Detection } from './detection.ts'
import type { DetectorSpec } from './detector-spec.ts'
import { Episodes } from './episodes.ts'
import { Heartbeat } from './heartbeat.ts'

/** Silence knows no degrees. */
const MISSING_SCORE = 0.8
/** Ticks come every second while there is anything to wait for. */
const STANDSTILL_MS_MIN = 5000
/** Only a reading clears. */
const NEVER_MS = 1e12

export class MissingDetection implements Detection {
  readonly skipped = 0
  readonly isOpen = false
  readonly held = null
  readonly learned: Stateful
  readonly #heartbeat: Heartbeat
  readonly #episodes: Episodes
  #tickMs = Number.NEGATIVE_INFINITY

  constructor({
    intervals,
    silenceMsMin,
    coolDownMs,
  }: Pick<Extract<DetectorSpec, { kind: 'missing' }>, 'intervals' | 'silenceMsMin' | 'coolDownMs'>) {
    this.#heartbeat = new Heartbeat({ intervals, silenceMsMin })
    this.#episodes = new Episodes({ quietMs: NEVER_MS, coolDownMs })
    const own = { save: (out: StateWriter) => this.#save(out), load: (from: StateReader) => this.#load(from) }
    this.learned = allOf([own, this.#heartbeat, this.#episodes])
  }

  get rows() {
    return this.#episodes.rows
  }

  get episodesOpen(): number {
    return this.#episodes.open
  }

  get awaitsTime(): boolean {
    return this.#heartbeat.isWaiting
  }

  // hot: per message
  push(series: Int32Array, _readings: OrderedReadings, arrivalMs: number, start: number, end: number): void {
    // What waited in a ring was not silent meanwhile.
    const atMs = Math.max(arrivalMs, this.#tickMs)
    for (let row = start; row < end; row++) {
      const index = series[row]
      this.#heartbeat.beat(index, atMs)
      if (this.#episodes.isOpen(index)) this.#episodes.end(index, atMs)
    }
  }

  tick(nowMs: number): void {
    if (nowMs - this.#tickMs > STANDSTILL_MS_MIN && this.#heartbeat.isWaiting)
      this.#heartbeat.standstill(nowMs)
    this.#tickMs = Math.max(this.#tickMs, nowMs)
    this.#heartbeat.tick(nowMs)
    for (const { series, dueMs, silenceMs } of this.#heartbeat.overdue) {
      const seconds = silenceMs / 1000
      this.#episodes.take(series, dueMs, seconds, MISSING_SCORE, 0, seconds)
    }
  }

  gap(durationMs: number): void {
    this.#heartbeat.gap(durationMs)
    this.#tickMs += durationMs
  }

  flush(): void {}

  #save(out: StateWriter): void {
    out.numbers(this.#tickMs)
  }

  #load(from: StateReader): void {
    this.#tickMs = from.numbers(1)[0]
  }
}

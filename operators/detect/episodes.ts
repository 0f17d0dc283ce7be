/**
 * Alerts as episodes, shared by all detectors: raised when a score reaches the raise score, updated when it
 * becomes more severe, cleared when nothing of note came for the quiet time; then the series is left in
 * peace for the cool-down, unless something more severe comes. Pure and deterministic: time comes with the
 * readings and the ticks. One owner: the shard's thread. Invariant: rows of a series alternate: raised, any
 * number of updated, cleared.
 */
import { assert } from '../../base/assert.ts'
import type { Stateful, StateReader, StateWriter } from '../../codecs/state.ts'
import { checkSavedSettings, checkSetting, RAISE_SCORE } from './series-detector.ts'

export interface EpisodeSettings {
  raiseScore: number
  /** An episode ends when nothing reached the raise score for this long. */
  quietMs: number
  /** No new episode for this long after one, unless it is more severe. */
  coolDownMs: number
}

export const EpisodeState = { raised: 1, updated: 2, cleared: 3 } as const
export type EpisodeState = (typeof EpisodeState)[keyof typeof EpisodeState]

export const Severity = { warning: 1, major: 2, critical: 3 } as const
export type Severity = (typeof Severity)[keyof typeof Severity]

const STATE_VERSION = 1
/** Shares of the way from the raise score to 1 at which an episode is major, and critical. */
const MAJOR_SHARE = 0.4
const CRITICAL_SHARE = 0.8

/** Rows for the table `anomalies`, as columns; grown as needed. */
export class EpisodeRows {
  count = 0
  series = new Int32Array(64)
  state = new Uint8Array(64)
  severity = new Uint8Array(64)
  /** When the episode began, and when this happened. */
  startMs = new Float64Array(64)
  tsMs = new Float64Array(64)
  /** The reading that caused the row; of a cleared row, the worst of the episode. */
  value = new Float64Array(64)
  score = new Float64Array(64)
  expectedLow = new Float64Array(64)
  expectedHigh = new Float64Array(64)

  clear(): void {
    this.count = 0
  }

  /** The index of a new row. */
  next(): number {
    if (this.count === this.series.length) this.#grow()
    return this.count++
  }

  #grow(): void {
    const capacity = 2 * this.series.length
    const grown = <A extends Int32Array | Uint8Array | Float64Array>(old: A, next: A): A => {
      next.set(old)
      return next
    }
    this.series = grown(this.series, new Int32Array(capacity))
    this.state = grown(this.state, new Uint8Array(capacity))
    this.severity = grown(this.severity, new Uint8Array(capacity))
    for (const name of ['startMs', 'tsMs', 'value', 'score', 'expectedLow', 'expectedHigh'] as const) {
      this[name] = grown(this[name], new Float64Array(capacity))
    }
  }
}

/** Slots of a series: its open episode (severity 0: none), and the last one's end and severity. */
const SLOTS = 9
const SEVERITY = 0
const START = 1
const LAST = 2
const WORST_VALUE = 3
const WORST_SCORE = 4
const WORST_LOW = 5
const WORST_HIGH = 6
const ENDED = 7
const ENDED_SEVERITY = 8

export class Episodes implements Stateful {
  /** What happened. The owner takes the rows and clears them. */
  readonly rows = new EpisodeRows()
  /** Episodes that are open. */
  open = 0
  readonly #settings: Float64Array
  readonly #raiseScore: number
  readonly #quietMs: number
  readonly #coolDownMs: number
  #state: Float64Array = new Float64Array(256 * SLOTS)
  #series = 0

  constructor(settings: Partial<EpisodeSettings> = {}) {
    const { raiseScore = RAISE_SCORE, quietMs = 3_600_000, coolDownMs = 3_600_000 } = settings
    checkSetting('raiseScore', raiseScore, Number.MIN_VALUE, 1)
    checkSetting('quietMs', quietMs, 1, 1e12)
    checkSetting('coolDownMs', coolDownMs, 0, 1e12)
    this.#settings = Float64Array.of(STATE_VERSION, raiseScore, quietMs, coolDownMs)
    this.#raiseScore = raiseScore
    this.#quietMs = quietMs
    this.#coolDownMs = coolDownMs
  }

  /** A reading was scored. `tsMs` is its own time or that of its arrival, the same kind throughout. */
  // hot: per reading
  take(series: number, tsMs: number, value: number, score: number, low: number, high: number): void {
    if (series >= this.#series) this.#grow(series)
    const state = this.#state
    const at = series * SLOTS
    if (!(score >= this.#raiseScore)) {
      // Only a reading that is not of note says that it is over: of a slow series each may come after the quiet time.
      if (state[at + SEVERITY] > 0 && tsMs - state[at + LAST] >= this.#quietMs)
        this.#clear(series, at, state[at + LAST] + this.#quietMs)
      return
    }
    const severity = this.#severityOf(score)
    if (state[at + SEVERITY] === 0) this.#raise(series, at, tsMs, value, score, low, high, severity)
    else this.#update(series, at, tsMs, value, score, low, high, severity)
  }

  /** Time has come to `nowMs`, of the kind that take() gets: clears what has been quiet. */
  tick(nowMs: number): void {
    if (this.open === 0) return
    const state = this.#state
    for (let series = 0; series < this.#series; series++) {
      const at = series * SLOTS
      if (state[at + SEVERITY] === 0 || nowMs - state[at + LAST] < this.#quietMs) continue
      this.#clear(series, at, state[at + LAST] + this.#quietMs)
    }
  }

  /** Whether the series has an open episode. */
  // hot: per reading
  isOpen(series: number): boolean {
    return series < this.#series && this.#state[series * SLOTS + SEVERITY] > 0
  }

  /** What the open episode was about is known to be over. */
  end(series: number, tsMs: number): void {
    assert(this.isOpen(series), 'an episode that ends is open')
    this.#clear(series, series * SLOTS, Math.max(tsMs, this.#state[series * SLOTS + LAST]))
  }

  save(out: StateWriter): void {
    assert(this.rows.count === 0, 'rows were not taken before the state was saved')
    out.f64(this.#settings)
    out.numbers(this.#series, this.open)
    out.f64(this.#state, this.#series * SLOTS)
  }

  load(from: StateReader): void {
    assert(this.#series === 0, 'episodes that load a state are new')
    checkSavedSettings(from.f64(), this.#settings)
    const [series, open] = from.numbers(2)
    this.#state = from.f64()
    this.#series = series
    this.open = open
  }

  #raise(
    series: number,
    at: number,
    tsMs: number,
    value: number,
    score: number,
    low: number,
    high: number,
    severity: Severity,
  ): void {
    const state = this.#state
    const isCoolingDown = state[at + ENDED_SEVERITY] > 0 && tsMs - state[at + ENDED] < this.#coolDownMs
    if (isCoolingDown && severity <= state[at + ENDED_SEVERITY]) return
    this.open++
    state[at + START] = tsMs
    state[at + WORST_SCORE] = 0
    this.#note(at, tsMs, value, score, low, high)
    state[at + SEVERITY] = severity
    this.#addRow(series, at, EpisodeState.raised, tsMs)
  }

  #update(
    series: number,
    at: number,
    tsMs: number,
    value: number,
    score: number,
    low: number,
    high: number,
    severity: Severity,
  ): void {
    const state = this.#state
    this.#note(at, tsMs, value, score, low, high)
    if (severity <= state[at + SEVERITY]) return
    state[at + SEVERITY] = severity
    this.#addRow(series, at, EpisodeState.updated, tsMs)
  }

  #clear(series: number, at: number, tsMs: number): void {
    const state = this.#state
    this.#addRow(series, at, EpisodeState.cleared, tsMs)
    this.open--
    state[at + ENDED] = tsMs
    state[at + ENDED_SEVERITY] = state[at + SEVERITY]
    state[at + SEVERITY] = 0
  }

  #note(at: number, tsMs: number, value: number, score: number, low: number, high: number): void {
    const state = this.#state
    state[at + LAST] = Math.max(tsMs, state[at + LAST])
    if (score <= state[at + WORST_SCORE]) return
    state[at + WORST_VALUE] = value
    state[at + WORST_SCORE] = score
    state[at + WORST_LOW] = low
    state[at + WORST_HIGH] = high
  }

  #addRow(series: number, at: number, event: EpisodeState, tsMs: number): void {
    const { rows } = this
    const state = this.#state
    const row = rows.next()
    rows.series[row] = series
    rows.state[row] = event
    rows.severity[row] = state[at + SEVERITY]
    rows.startMs[row] = state[at + START]
    rows.tsMs[row] = tsMs
    rows.value[row] = state[at + WORST_VALUE]
    rows.score[row] = state[at + WORST_SCORE]
    rows.expectedLow[row] = state[at + WORST_LOW]
    rows.expectedHigh[row] = state[at + WORST_HIGH]
  }

  #severityOf(score: number): Severity {
    const share = (score - this.#raiseScore) / (1 - this.#raiseScore)
    if (share >= CRITICAL_SHARE) return Severity.critical
    return share >= MAJOR_SHARE ? Severity.major : Severity.warning
  }

  #grow(series: number): void {
    assert(Number.isInteger(series) && series >= 0 && series < 2 ** 27, 'series are dense numbers')
    const capacity = this.#state.length / SLOTS
    if (series >= capacity) {
      const state = new Float64Array(Math.max(2 * capacity, series + 1) * SLOTS)
      state.set(this.#state)
      this.#state = state
    }
    this.#series = series + 1
  }
}

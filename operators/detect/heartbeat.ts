/**
 * Missing data: raised by journalled time, not by a reading. Learns the usual interval between the arrivals
 * of a series and says when a reading is overdue: after `intervals` usual intervals and never before the
 * greatest pause seen lately. One owner, deterministic: time comes in. Invariant: a series is overdue once
 * per silence.
 */
import { assert } from '../../base/assert.ts'
import type { Stateful, StateReader, StateWriter } from '../../codecs/state.ts'
import { checkSavedSettings, checkSetting } from './series-detector.ts'

export interface HeartbeatSettings {
  /** A reading is overdue after this many usual intervals. */
  intervals: number
  /** Nothing is overdue earlier than this. */
  silenceMsMin: number
}

const STATE_VERSION = 2
/** Intervals that are seen before the first alarm. */
const WARMUP_READINGS = 16
/** How fast the usual interval follows, and how slowly a long pause is forgotten. */
const INTERVAL_GAIN = 1 / 16
const PAUSE_DECAY = 1 / 512
/** A pause raises the bar for later ones only up to so many usual intervals. */
const PAUSE_INTERVALS_MAX = 8
const PAUSE_MARGIN = 1.25
/** After a time in which nobody could be heard, devices have at least so long to be back. */
const RETURN_MS_MIN = 60_000

/** Per series, in one array: all of it is walked at each tick. */
const SLOTS = 5
const LAST = 0
const INTERVAL = 1
const PAUSE = 2
const DUE = 3
const COUNT = 4

export class Heartbeat implements Stateful {
  /**
   * Series found overdue by the last tick, when each was due, and after what silence. The owner reads them before
   * the next tick.
   */
  readonly overdue: { series: number; dueMs: number; silenceMs: number }[] = []
  /** Whether any series may become overdue. */
  isWaiting = false
  readonly #settings: Float64Array
  readonly #intervals: number
  readonly #silenceMsMin: number
  #rows: Float64Array = new Float64Array(256 * SLOTS)
  #series = 0
  #gapMs = 0
  /** The latest time, without the gaps. */
  #nowMs = Number.NEGATIVE_INFINITY

  constructor({ intervals = 2.5, silenceMsMin = 0 }: Partial<HeartbeatSettings> = {}) {
    checkSetting('intervals', intervals, 1.1, 1e6)
    checkSetting('silenceMsMin', silenceMsMin, 0, 1e12)
    this.#intervals = intervals
    this.#silenceMsMin = silenceMsMin
    this.#settings = Float64Array.of(STATE_VERSION, intervals, silenceMsMin)
  }

  /** A reading of the series came at `atMs` (journalled time). */
  // hot: per reading
  beat(series: number, atMs: number): void {
    assert(atMs - atMs === 0, 'a beat has a time')
    if (series >= this.#series) this.#grow(series)
    const rows = this.#rows
    const at = series * SLOTS
    const nowMs = atMs - this.#gapMs
    if (nowMs > this.#nowMs) this.#nowMs = nowMs
    const count = rows[at + COUNT]
    const elapsedMs = nowMs - rows[at + LAST]
    if (count > 0 && elapsedMs <= 0) return
    if (count > 0) this.#learn(rows, at, count, elapsedMs)
    rows[at + LAST] = nowMs
    rows[at + COUNT] = count + 1
    if (count < WARMUP_READINGS) return
    rows[at + DUE] = nowMs + this.#silenceMs(rows, at)
    this.isWaiting = true
  }

  /** When the series will be overdue if nothing comes; Infinity while that is unknown, or it is already. */
  dueMs(series: number): number {
    return series < this.#series ? this.#rows[series * SLOTS + DUE] + this.#gapMs : Number.POSITIVE_INFINITY
  }

  /** Journalled time has come to `nowMs`. */
  tick(nowMs: number): void {
    assert(nowMs - nowMs === 0, 'a tick has a time')
    this.overdue.length = 0
    this.isWaiting = false
    this.#nowMs = Math.max(this.#nowMs, nowMs - this.#gapMs)
    const rows = this.#rows
    const end = this.#series * SLOTS
    for (let at = 0; at < end; at += SLOTS) {
      const dueMs = rows[at + DUE]
      if (dueMs > nowMs - this.#gapMs) {
        if (dueMs < Number.POSITIVE_INFINITY) this.isWaiting = true
        continue
      }
      this.overdue.push({
        series: at / SLOTS,
        dueMs: dueMs + this.#gapMs,
        silenceMs: dueMs - rows[at + LAST],
      })
      rows[at + DUE] = Number.POSITIVE_INFINITY
    }
  }

  /** The engine was down that long before the next call: nobody was silent in it. */
  gap(durationMs: number): void {
    assert(durationMs >= 0, 'a gap has a duration')
    this.#gapMs += durationMs
    this.#giveTime(this.#nowMs)
  }

  /** The engine stood still until `nowMs` and heard of nobody. */
  standstill(nowMs: number): void {
    this.#nowMs = Math.max(this.#nowMs, nowMs - this.#gapMs)
    this.#giveTime(this.#nowMs)
    const rows = this.#rows
    for (let at = 0, end = this.#series * SLOTS; at < end; at += SLOTS) rows[at + LAST] = this.#nowMs
  }

  save(out: StateWriter): void {
    out.f64(this.#settings)
    out.numbers(this.#series, this.#gapMs, this.#nowMs)
    out.f64(this.#rows, this.#series * SLOTS)
  }

  load(from: StateReader): void {
    assert(this.#series === 0, 'a heartbeat that loads a state is new')
    checkSavedSettings(from.f64(), this.#settings)
    const [series, gapMs, nowMs] = from.numbers(3)
    this.#rows = from.f64()
    this.#series = series
    this.#gapMs = gapMs
    this.#nowMs = nowMs
    this.isWaiting = true // the next tick knows better
  }

  /** Who is to come back has a whole silence to do so. */
  #giveTime(fromMs: number): void {
    const rows = this.#rows
    for (let at = 0, end = this.#series * SLOTS; at < end; at += SLOTS) {
      const silenceMs = rows[at + DUE] - rows[at + LAST]
      if (silenceMs < Number.POSITIVE_INFINITY)
        rows[at + DUE] = Math.max(rows[at + DUE], fromMs + Math.max(silenceMs, RETURN_MS_MIN))
    }
  }

  #learn(rows: Float64Array, at: number, count: number, elapsedMs: number): void {
    const interval = rows[at + INTERVAL]
    if (count === 1) {
      rows[at + INTERVAL] = elapsedMs
      rows[at + PAUSE] = elapsedMs
      return
    }
    const gain = Math.max(INTERVAL_GAIN, 1 / count)
    rows[at + INTERVAL] = interval + gain * (Math.min(elapsedMs, 2 * interval) - interval)
    const pauseMs = Math.min(elapsedMs, PAUSE_INTERVALS_MAX * interval)
    const kept = rows[at + PAUSE] + PAUSE_DECAY * (rows[at + INTERVAL] - rows[at + PAUSE])
    rows[at + PAUSE] = Math.max(kept, pauseMs)
  }

  /** Whole: when a series was due is told, and stored, in ms. */
  #silenceMs(rows: Float64Array, at: number): number {
    const usual = Math.max(this.#intervals * rows[at + INTERVAL], PAUSE_MARGIN * rows[at + PAUSE])
    return Math.ceil(Math.max(usual, this.#silenceMsMin))
  }

  #grow(series: number): void {
    assert(Number.isInteger(series) && series >= 0 && series < 2 ** 28, 'series are dense numbers')
    const capacity = this.#rows.length / SLOTS
    if (series >= capacity) {
      const rows = new Float64Array(Math.max(2 * capacity, series + 1) * SLOTS)
      rows.set(this.#rows)
      this.#rows = rows
    }
    for (let i = this.#series; i <= series; i++) this.#rows[i * SLOTS + DUE] = Number.POSITIVE_INFINITY
    this.#series = series + 1
  }
}

/**
 * What all detectors over single series share: a row of numbers per series in pages, guards against readings
 * that nothing can be learned from, the expected range of the last reading, and state that is saved and
 * loaded. Pure and deterministic: no clock, no randomness; the same readings give the same scores, bit for
 * bit. One owner: the shard's thread, or the job that reads a file. Invariant: what follows a reading in
 * time never changes its score.
 *
 * A score lies in [0, 1]: 0 is nothing to see, RAISE_SCORE is where the detector's own limit lies.
 */
import { assert } from '../../base/assert.ts'
import type { Stateful, StateReader, StateWriter } from '../../codecs/state.ts'
import { SeriesRows } from './series-rows.ts'

/** What a score must reach to raise an alert. */
export const RAISE_SCORE = 0.5

/** Each detector's row begins with these two. */
const LAST_TS = 0
const COUNT = 1
/** Where a detector's own numbers begin. */
export const OWN_SLOTS = 2

/** To be raised when a row's layout changes, or a rule that decides the next scores. */
const STATE_VERSION = 1
/** Larger magnitudes would overflow when squared: they are as good as none. */
const MAGNITUDE_MAX = 1e150

export class DetectorSettingsError extends Error {
  readonly code = 'DETECTOR_SETTINGS'
}

export abstract class SeriesDetector implements Stateful {
  /** Range in which the last reading was expected; NaN while nothing is known. */
  expectedLow = Number.NaN
  expectedHigh = Number.NaN
  /** Readings that were not judged: not finite, or earlier than one that came before them. */
  skipped = 0
  readonly #settings: Float64Array
  readonly #rows: SeriesRows

  /**
   * `slots` numbers per series, the first OWN_SLOTS of them ours; settings are what the state depends on.
   */
  constructor(slots: number, settings: readonly number[]) {
    assert(slots >= OWN_SLOTS, 'a row has room for time and count')
    this.#rows = new SeriesRows(slots)
    this.#settings = Float64Array.of(STATE_VERSION, slots, ...settings)
  }

  /** Bytes of state per series. */
  get sizeBytesPerSeries(): number {
    return this.#rows.slots * 8
  }

  /** Judges one reading, then learns from it. Series are dense numbers. Returns the score. */
  // hot: per reading
  take(series: number, tsMs: number, value: number): number {
    const page = this.#rows.page(series)
    const at = this.#rows.offset(series)
    const isUsable = value > -MAGNITUDE_MAX && value < MAGNITUDE_MAX && tsMs - tsMs === 0
    const count = page[at + COUNT]
    if (!isUsable || (count > 0 && tsMs < page[at + LAST_TS])) {
      this.expectedLow = Number.NaN
      this.expectedHigh = Number.NaN
      this.skipped++
      return 0
    }
    const elapsedMs = count === 0 ? 0 : tsMs - page[at + LAST_TS]
    const score = this.judge(page, at, count, elapsedMs, tsMs, value)
    page[at + LAST_TS] = tsMs
    page[at + COUNT] = count + 1
    return score
  }

  save(out: StateWriter): void {
    out.f64(this.#settings)
    out.numbers(this.skipped)
    this.#rows.save(out)
  }

  /** Only into a new detector of the same settings. */
  load(from: StateReader): void {
    checkSavedSettings(from.f64(), this.#settings)
    this.skipped = from.numbers(1)[0]
    this.#rows.load(from)
  }

  /**
   * Scores the reading against `row[at + OWN_SLOTS ...]`, sets the expected range and learns. `count`
   * readings came before, the last one `elapsedMs` earlier. New rows are zero.
   */
  protected abstract judge(
    row: Float64Array,
    at: number,
    count: number,
    elapsedMs: number,
    tsMs: number,
    value: number,
  ): number
}

/** Throws DetectorSettingsError unless the state was saved under the same settings. */
export function checkSavedSettings(saved: Float64Array, own: Float64Array): void {
  if (saved.length === own.length && saved.every((value, i) => value === own[i])) return
  throw new DetectorSettingsError(`state of a detector with settings ${saved}, not ${own}`)
}

/** A score of a statistic and the limit it should stay below: RAISE_SCORE at the limit, 1 far beyond. */
// hot: per reading
export function scoreOf(statistic: number, limit: number): number {
  return statistic > 0 ? 1 - limit / (statistic + limit) : 0
}

/** Throws DetectorSettingsError unless min <= value <= max. */
export function checkSetting(name: string, value: number, min: number, max: number): void {
  if (!(value >= min && value <= max)) {
    throw new DetectorSettingsError(`${name} is a number from ${min} to ${max}, not ${value}`)
  }
}

/**
 * Stuck sensor: the same value, over and over, longer than this series usually keeps one. What is usual is the greatest
 * run of equal values seen, forgotten slowly; a series that has always kept its values is left alone.
 */
import { checkSetting, OWN_SLOTS, SeriesDetector, scoreOf } from './series-detector.ts'

export interface FlatlineSettings {
  /** No shorter run is ever of note. */
  readingsMin: number
  /** How many times longer than the usual longest run. */
  factor: number
}

const RUN = OWN_SLOTS
const USUAL = OWN_SLOTS + 1
const VALUE = OWN_SLOTS + 2
const SLOTS = OWN_SLOTS + 3
const WARMUP_READINGS = 32
/** The usual longest run shrinks by this share with every reading. */
const FORGETTING = 1 / 4096

export class FlatlineDetector extends SeriesDetector {
  readonly #readingsMin: number
  readonly #factor: number

  constructor({ readingsMin = 8, factor = 2 }: Partial<FlatlineSettings> = {}) {
    checkSetting('readingsMin', readingsMin, 2, 1e9)
    checkSetting('factor', factor, 1, 1e6)
    super(SLOTS, [readingsMin, factor])
    this.#readingsMin = readingsMin
    this.#factor = factor
  }

  // hot: per reading
  protected judge(
    row: Float64Array,
    at: number,
    count: number,
    _ms: number,
    _ts: number,
    value: number,
  ): number {
    const isSame = count > 0 && value === row[at + VALUE]
    const run = isSame ? row[at + RUN] + 1 : 1
    if (!isSame) {
      row[at + USUAL] = Math.max(row[at + USUAL], row[at + RUN])
      row[at + VALUE] = value
    }
    row[at + RUN] = run
    row[at + USUAL] -= row[at + USUAL] * FORGETTING
    const limit = Math.max(this.#readingsMin, this.#factor * row[at + USUAL])
    // A run that began with the series is what the series is like.
    const isJudged = count >= WARMUP_READINGS && run <= count
    return isJudged && run >= limit ? scoreOf(run, limit) : 0
  }
}

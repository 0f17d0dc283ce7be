/**
 * Stuck sensor: the same value, over and over, longer than this series usually keeps one. What is usual is
 * the greatest run of equal values seen, forgotten slowly; a series that has always kept its values is left
 * alone.
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
const LEARNED = 1
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
    const limit = Math.max(this.#readingsMin, this.#factor * row[at + USUAL])
    const last = row[at + RUN]
    const isSame = count > 0 && value === row[at + VALUE]
    const run = isSame ? last + 1 : 1
    row[at + RUN] = run
    row[at + VALUE] = value
    row[at + USUAL] -= row[at + USUAL] * FORGETTING
    // What was an alert becomes usual only when it comes again and again.
    if (!isSame && last > row[at + USUAL]) row[at + USUAL] = last < limit ? last : row[at + USUAL] + LEARNED
    // A run that began with the series is what the series is like.
    return count >= WARMUP_READINGS && run <= count && run >= limit ? scoreOf(run, limit) : 0
  }
}

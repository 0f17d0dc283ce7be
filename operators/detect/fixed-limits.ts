/**
 * Fixed limits with hysteresis: a reading outside them is an alert, and the series stays one until it is
 * back inside by the hysteresis, so that a value that dances on its limit is one alert.
 */
import {
  checkSetting,
  DetectorSettingsError,
  OWN_SLOTS,
  RAISE_SCORE,
  SeriesDetector,
} from './series-detector.ts'

export interface LimitSettings {
  /** Either may be infinite. */
  low: number
  high: number
  /** How far back inside it must be to be well again. */
  hysteresis: number
}

const IS_OUTSIDE = OWN_SLOTS
const SLOTS = OWN_SLOTS + 1

export class FixedLimitsDetector extends SeriesDetector {
  readonly #low: number
  readonly #high: number
  readonly #hysteresis: number

  constructor({ low, high, hysteresis }: LimitSettings) {
    checkSetting('low', low, Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY)
    checkSetting('high', high, Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY)
    checkSetting('hysteresis', hysteresis, 0, 1e150)
    if (!(low + hysteresis <= high - hysteresis)) {
      throw new DetectorSettingsError(
        `between the limits ${low} and ${high} is no room for ${hysteresis} on each side`,
      )
    }
    super(SLOTS, [low, high, hysteresis])
    this.#low = low
    this.#high = high
    this.#hysteresis = hysteresis
  }

  // hot: per reading
  protected judge(
    row: Float64Array,
    at: number,
    _count: number,
    _ms: number,
    _ts: number,
    value: number,
  ): number {
    this.expectedLow = this.#low
    this.expectedHigh = this.#high
    const beyond = Math.max(this.#low - value, value - this.#high)
    if (beyond <= -this.#hysteresis) row[at + IS_OUTSIDE] = 0
    if (beyond > 0) row[at + IS_OUTSIDE] = 1
    if (row[at + IS_OUTSIDE] === 0) return 0
    // The further beyond, in widths of what is allowed, the higher: a whole width is 0.75.
    const width = this.#high - this.#low
    const excess = beyond > 0 && width > 0 && width < Number.POSITIVE_INFINITY ? beyond / width : 0
    return RAISE_SCORE + (1 - RAISE_SCORE) * (excess / (excess + 1))
  }
}

/**
 * Exponentially weighted moving average and variance of a series; a reading further than so many deviations
 * from the average is one of note. (Roberts 1959; the variance as in Finch 2009.) Learns outliers only up to
 * its limit, so that one spike neither moves the average nor hides the next.
 */
import { checkSetting, OWN_SLOTS, SeriesDetector, scoreOf } from './series-detector.ts'

export interface EwmaSettings {
  /** How many readings back the average reaches. */
  span: number
  /** Deviations at which a reading is beyond its limit. */
  limit: number
}

const MEAN = OWN_SLOTS
const VARIANCE = OWN_SLOTS + 1
const SLOTS = OWN_SLOTS + 2
const WARMUP_READINGS = 16

export class EwmaDetector extends SeriesDetector {
  readonly #span: number
  readonly #limit: number

  constructor({ span = 64, limit = 6 }: Partial<EwmaSettings> = {}) {
    checkSetting('span', span, 2, 1e6)
    checkSetting('limit', limit, 1, 1e6)
    super(SLOTS, [span, limit])
    this.#span = span
    this.#limit = limit
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
    if (count === 0) row[at + MEAN] = value
    const mean = row[at + MEAN]
    const deviation = Math.sqrt(row[at + VARIANCE])
    const reach = this.#limit * deviation
    this.expectedLow = mean - reach
    this.expectedHigh = mean + reach
    const isKnown = count >= WARMUP_READINGS
    let error = value - mean
    const statistic = Math.abs(error) / (deviation + Number.EPSILON * Math.abs(mean) + Number.MIN_VALUE)
    if (isKnown && statistic > this.#limit) error = Math.sign(error) * (reach + deviation)
    const gain = Math.max(2 / (this.#span + 1), 1 / (count + 1))
    row[at + MEAN] = mean + gain * error
    row[at + VARIANCE] = (1 - gain) * (row[at + VARIANCE] + gain * error * error)
    return isKnown ? scoreOf(statistic, this.#limit) : 0
  }
}

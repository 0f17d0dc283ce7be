/**
 * How fast the value changes, per second, against a fixed limit or against what is usual: so many times the
 * mean rate of this series. Equal times have no rate: the step is then taken over a millisecond.
 */
import { checkSetting, OWN_SLOTS, SeriesDetector, scoreOf } from './series-detector.ts'

export interface RateSettings {
  /** The fastest change per second that is no anomaly; learned when it is 0. */
  perSecondMax: number
  /** When it is learned: so many times the mean. */
  factor: number
}

const VALUE = OWN_SLOTS
const MEAN_RATE = OWN_SLOTS + 1
const SLOTS = OWN_SLOTS + 2
const WARMUP_READINGS = 32
const GAIN = 1 / 256

export class RateDetector extends SeriesDetector {
  readonly #perSecondMax: number
  readonly #factor: number

  constructor({ perSecondMax = 0, factor = 12 }: Partial<RateSettings> = {}) {
    checkSetting('perSecondMax', perSecondMax, 0, 1e150)
    checkSetting('factor', factor, 1, 1e6)
    super(SLOTS, [perSecondMax, factor])
    this.#perSecondMax = perSecondMax
    this.#factor = factor
  }

  // hot: per reading
  protected judge(
    row: Float64Array,
    at: number,
    count: number,
    ms: number,
    _ts: number,
    value: number,
  ): number {
    const last = row[at + VALUE]
    row[at + VALUE] = value
    if (count === 0) return 0
    const seconds = Math.max(ms, 1) / 1000
    const rate = Math.abs(value - last) / seconds
    const mean = row[at + MEAN_RATE]
    const isLearned = this.#perSecondMax === 0
    const limit = isLearned ? this.#factor * mean : this.#perSecondMax
    const isKnown = limit > 0 && (!isLearned || count > WARMUP_READINGS)
    const reach = isKnown ? limit * seconds : Number.NaN
    this.expectedLow = last - reach
    this.expectedHigh = last + reach
    const usual = isKnown && rate > limit ? limit : rate
    row[at + MEAN_RATE] = mean + Math.max(GAIN, 1 / count) * (usual - mean)
    return isKnown ? scoreOf(rate, limit) : 0
  }
}

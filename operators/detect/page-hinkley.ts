/**
 * Change points: the cumulative sum of how far readings lie above (or below) their mean, less an allowance,
 * in deviations (Page 1954, Hinkley 1971). Finds lasting shifts too small for any single reading to tell.
 * After a change it learns the new level.
 */
import { checkSetting, OWN_SLOTS, SeriesDetector, scoreOf } from './series-detector.ts'

export interface PageHinkleySettings {
  /** Deviations per reading that count as no change. */
  allowance: number
  /** Sum of deviations that is one. */
  limit: number
}

const MEAN = OWN_SLOTS
const VARIANCE = OWN_SLOTS + 1
const UP = OWN_SLOTS + 2
const DOWN = OWN_SLOTS + 3
const SINCE = OWN_SLOTS + 4
const SLOTS = OWN_SLOTS + 5
const WARMUP_READINGS = 48
const GAIN = 1 / 512
/** No reading adds more: a spike is no change. */
const DEVIATIONS_MAX = 5

export class PageHinkleyDetector extends SeriesDetector {
  readonly #allowance: number
  readonly #limit: number

  constructor({ allowance = 0.75, limit = 25 }: Partial<PageHinkleySettings> = {}) {
    checkSetting('allowance', allowance, 0, 10)
    checkSetting('limit', limit, 1, 1e6)
    super(SLOTS, [allowance, limit])
    this.#allowance = allowance
    this.#limit = limit
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
    const since = row[at + SINCE]
    row[at + SINCE] = since + 1
    if (since === 0) {
      row[at + MEAN] = value
      row[at + VARIANCE] = 0
    }
    const error = value - row[at + MEAN]
    const deviation = Math.sqrt(row[at + VARIANCE])
    this.expectedLow = row[at + MEAN] - DEVIATIONS_MAX * deviation
    this.expectedHigh = row[at + MEAN] + DEVIATIONS_MAX * deviation
    let score = 0
    if (since >= WARMUP_READINGS && deviation > 0) {
      const off = Math.max(-DEVIATIONS_MAX, Math.min(DEVIATIONS_MAX, error / deviation))
      row[at + UP] = Math.max(0, row[at + UP] + off - this.#allowance)
      row[at + DOWN] = Math.max(0, row[at + DOWN] - off - this.#allowance)
      const sum = Math.max(row[at + UP], row[at + DOWN])
      score = scoreOf(sum, this.#limit)
      if (sum >= this.#limit) startAnew(row, at)
    }
    const gain = Math.max(GAIN, 1 / (since + 1))
    row[at + MEAN] += gain * error
    row[at + VARIANCE] = (1 - gain) * (row[at + VARIANCE] + gain * error * error)
    return score
  }
}

function startAnew(row: Float64Array, at: number): void {
  row[at + UP] = 0
  row[at + DOWN] = 0
  row[at + SINCE] = 0
}

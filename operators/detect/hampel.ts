/**
 * Robust z (Hampel 1974): how many robust deviations a reading lies from the median of the last WINDOW
 * readings; the deviation is the median distance from that median. Half of the window may be outliers
 * without moving either.
 */
import { checkSetting, OWN_SLOTS, SeriesDetector, scoreOf } from './series-detector.ts'

export interface HampelSettings {
  /** Robust deviations at which a reading is beyond its limit. */
  limit: number
}

const WINDOW = 31
/** The window in the order of arrival, and sorted. */
const RING = OWN_SLOTS
const SORTED = RING + WINDOW
const SLOTS = SORTED + WINDOW
/** Of a normal distribution: deviation per median distance. */
const DEVIATION_PER_DISTANCE = 1.4826

export class HampelDetector extends SeriesDetector {
  readonly #limit: number

  constructor({ limit = 8 }: Partial<HampelSettings> = {}) {
    checkSetting('limit', limit, 1, 1e6)
    super(SLOTS, [limit])
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
    const isFull = count >= WINDOW
    let score = 0
    if (isFull) {
      const sorted = at + SORTED
      const median = row[sorted + (WINDOW >> 1)]
      const deviation = DEVIATION_PER_DISTANCE * medianDistance(row, sorted, median)
      this.expectedLow = median - this.#limit * deviation
      this.expectedHigh = median + this.#limit * deviation
      // When half of the window is one value, every other is beyond any limit, and that says nothing.
      if (deviation > 0) score = scoreOf(Math.abs(value - median) / deviation, this.#limit)
    } else {
      this.expectedLow = Number.NaN
      this.expectedHigh = Number.NaN
    }
    replace(row, at, count, value)
    return score
  }
}

/** Walks outwards from the median over the sorted window until half of it is passed. */
function medianDistance(row: Float64Array, sorted: number, median: number): number {
  let below = (WINDOW >> 1) - 1
  let above = (WINDOW >> 1) + 1
  let distance = 0
  for (let passed = 0; passed < WINDOW >> 1; passed++) {
    const down = below >= 0 ? median - row[sorted + below] : Number.POSITIVE_INFINITY
    const up = above < WINDOW ? row[sorted + above] - median : Number.POSITIVE_INFINITY
    if (down < up) {
      distance = down
      below--
    } else {
      distance = up
      above++
    }
  }
  return distance
}

/** Takes the oldest value out of both orders, and the new one in. */
function replace(row: Float64Array, at: number, count: number, value: number): void {
  const slot = at + RING + (count % WINDOW)
  const sorted = at + SORTED
  let end = Math.min(count, WINDOW)
  if (end === WINDOW) {
    const oldest = row[slot]
    let i = 0
    while (row[sorted + i] !== oldest) i++
    for (; i < WINDOW - 1; i++) row[sorted + i] = row[sorted + i + 1]
    end--
  }
  let i = end
  for (; i > 0 && row[sorted + i - 1] > value; i--) row[sorted + i] = row[sorted + i - 1]
  row[sorted + i] = value
  row[slot] = value
}

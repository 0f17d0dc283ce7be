/**
 * Several metrics of a device at one time: each may be ordinary and all of them together not. The distance
 * of the vector from the mean, in the metric of its own covariance (Mahalanobis 1936), both exponentially
 * weighted; how rare it is, is told by the cube-root normal approximation of chi-square (Wilson and Hilferty
 * 1931). Dimensions are bounded, so is the cost: one Cholesky decomposition per vector. Deterministic; one
 * owner, see series-detector.ts.
 */
import type { Stateful, StateReader, StateWriter } from '../../codecs/state.ts'
import { checkSavedSettings, checkSetting, scoreOf } from './series-detector.ts'
import { SeriesRows } from './series-rows.ts'

const DIMENSIONS_MAX = 16

export interface MultivariateSettings {
  /** How many metrics a vector has. */
  dimensions: number
  /** Normal deviations at which a vector is beyond its limit. */
  limit: number
}

const STATE_VERSION = 1
const LAST_TS = 0
const COUNT = 1
const MEANS = 2
const GAIN = 1 / 512
const WARMUP_PER_DIMENSION = 24
/**
 * Added to the variances, as a share of them: metrics that are copies of one another have a singular
 * covariance.
 */
const RIDGE = 1e-6

export class MultivariateDetector implements Stateful {
  /** Vectors that were not judged: a value not finite, or earlier than one that came before. */
  skipped = 0
  readonly #dimensions: number
  readonly #limit: number
  readonly #rows: SeriesRows
  readonly #settings: Float64Array
  readonly #off: Float64Array
  readonly #white: Float64Array
  readonly #factor: Float64Array

  constructor({ dimensions, limit = 6 }: { dimensions: number } & Partial<MultivariateSettings>) {
    checkSetting('dimensions', dimensions, 2, DIMENSIONS_MAX)
    checkSetting('limit', limit, 1, 1e6)
    this.#dimensions = dimensions
    this.#limit = limit
    this.#rows = new SeriesRows(MEANS + dimensions + (dimensions * (dimensions + 1)) / 2)
    this.#settings = Float64Array.of(STATE_VERSION, dimensions, limit)
    this.#off = new Float64Array(dimensions)
    this.#white = new Float64Array(dimensions)
    this.#factor = new Float64Array((dimensions * (dimensions + 1)) / 2)
  }

  /** Judges the vector values[start ...] of a device, then learns from it. Returns the score. */
  // hot: per message
  take(device: number, tsMs: number, values: Float64Array, start = 0): number {
    const row = this.#rows.page(device)
    const at = this.#rows.offset(device)
    const count = row[at + COUNT]
    if (
      !(tsMs - tsMs === 0) ||
      (count > 0 && tsMs < row[at + LAST_TS]) ||
      !this.#setOff(row, at, values, start)
    ) {
      this.skipped++
      return 0
    }
    row[at + LAST_TS] = tsMs
    row[at + COUNT] = count + 1
    const isKnown = count >= WARMUP_PER_DIMENSION * this.#dimensions
    const deviations = isKnown ? this.#deviations(row, at) : 0
    this.#learn(row, at, count, deviations > this.#limit ? this.#limit / deviations : 1)
    return isKnown ? scoreOf(deviations, this.#limit) : 0
  }

  save(out: StateWriter): void {
    out.f64(this.#settings)
    out.numbers(this.skipped)
    this.#rows.save(out)
  }

  load(from: StateReader): void {
    checkSavedSettings(from.f64(), this.#settings)
    this.skipped = from.numbers(1)[0]
    this.#rows.load(from)
  }

  /** The vector less the mean; false when it is not finite. */
  #setOff(row: Float64Array, at: number, values: Float64Array, start: number): boolean {
    const isFirst = row[at + COUNT] === 0
    for (let i = 0; i < this.#dimensions; i++) {
      const value = values[start + i]
      if (!(Math.abs(value) < 1e150)) return false
      this.#off[i] = isFirst ? 0 : value - row[at + MEANS + i]
    }
    if (isFirst) for (let i = 0; i < this.#dimensions; i++) row[at + MEANS + i] = values[start + i]
    return true
  }

  /**
   * Squared distance by forward substitution in the covariance's Cholesky factor, then as normal deviations.
   */
  #deviations(row: Float64Array, at: number): number {
    const factor = this.#factor
    const white = this.#white
    const covariance = at + MEANS + this.#dimensions
    let squared = 0
    let used = 0
    for (let i = 0, base = 0; i < this.#dimensions; base += ++i) {
      let rest = this.#off[i]
      for (let j = 0, other = 0; j < i; other += ++j) {
        let sum = row[covariance + base + j]
        for (let k = 0; k < j; k++) sum -= factor[base + k] * factor[other + k]
        const pivot = factor[other + j]
        factor[base + j] = pivot > 0 ? sum / pivot : 0
      }
      const variance = row[covariance + base + i]
      let pivot = variance * (1 + RIDGE)
      for (let k = 0; k < i; k++) pivot -= factor[base + k] ** 2
      const root = pivot > RIDGE * variance * 0.1 ? Math.sqrt(pivot) : 0
      factor[base + i] = root
      for (let k = 0; k < i; k++) rest -= factor[base + k] * white[k]
      white[i] = root > 0 ? rest / root : 0
      if (root > 0) used++
      squared += white[i] ** 2
    }
    if (used === 0) return 0
    const spread = 2 / (9 * used)
    return Math.max(0, (Math.cbrt(squared / used) - (1 - spread)) / Math.sqrt(spread))
  }

  /** What is beyond the limit counts only up to it. */
  #learn(row: Float64Array, at: number, count: number, share: number): void {
    const dimensions = this.#dimensions
    const off = this.#off
    const gain = Math.max(GAIN, 1 / (count + 1))
    const covariance = at + MEANS + dimensions
    for (let i = 0, base = 0; i < dimensions; base += ++i) {
      const own = share * off[i]
      for (let j = 0; j <= i; j++) {
        const slot = covariance + base + j
        row[slot] = (1 - gain) * (row[slot] + gain * own * share * off[j])
      }
    }
    for (let i = 0; i < dimensions; i++) row[at + MEANS + i] += gain * share * off[i]
  }
}

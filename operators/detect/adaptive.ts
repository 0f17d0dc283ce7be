/**
 * The default detector: an ensemble that needs no settings. Statistics of the last reading (its
 * distance from the hull of what the last readings and this hour of other days predict), of the hours before
 * it (shifts between moving averages, the distance from the day's profile where there is one: day-profile.ts)
 * and of its restlessness are each told rare or not from their own recent maxima (peaks.ts), and joined by
 * their quartic mean. What was alerted lately is held against what follows (attention.ts). A value that got
 * stuck is told by its run (stuck-run.ts).
 *
 * Bounded: SLOTS numbers per series. Deterministic; one owner, see series-detector.ts.
 */
import { ADAPTIVE_SETTINGS, type AdaptiveSettings } from './adaptive-settings.ts'
import { ATTENTION_SLOTS, attention, beginAttention } from './attention.ts'
import {
  beginProfile,
  binOf,
  isRhythmic,
  learnProfile,
  offProfile,
  PROFILE_SLOTS,
  usualHigh,
  usualLow,
} from './day-profile.ts'
import { Peaks } from './peaks.ts'
import { OWN_SLOTS, SeriesDetector } from './series-detector.ts'
import { isStuck, STUCK_SLOTS } from './stuck-run.ts'

/** Moving averages, each of half a decade less gain than the one before. */
const MEAN_COUNT = 5
/** Pairs of them whose distance is a statistic: a fast and a slow one. */
const SHIFT_FAST = Int32Array.of(0, 1, 1, 2)
const SHIFT_SLOW = Int32Array.of(2, 3, 4, 4)
/** The expected range ends where a reading's distance from the hull would be rare by so much. */
const EXPECTED_RARITY = 1
/** A stuck value is told by no degrees. */
const STUCK_SCORE = 0.9

/** The row of a series. */
const VALUE = OWN_SLOTS
const SHORT = VALUE + 1
const LONG = SHORT + 1
const REACH_BELOW = LONG + 1
const REACH_ABOVE = REACH_BELOW + 1
const MEANS = REACH_ABOVE + 1
const SLOWEST = MEANS + MEAN_COUNT - 1
const STUCK = SLOWEST + 1
const ATTENTION = STUCK + STUCK_SLOTS
const PROFILE = ATTENTION + ATTENTION_SLOTS
const PEAKS = PROFILE + PROFILE_SLOTS
/** The statistics; of those with a sign, both. */
const ABOVE = 0
const BELOW = 1
const SHIFTS = 2
const RESTLESS = SHIFTS + 2 * SHIFT_FAST.length
const SEASON = RESTLESS + 2
const STATISTICS = SEASON + 2
/** What the mean goes over; the season's comes on top, where there is one. */
const JOINED = 3 + SHIFT_FAST.length

export class AdaptiveDetector extends SeriesDetector {
  #low = 0
  #high = 0
  readonly #settings: AdaptiveSettings
  readonly #gains: Float64Array
  readonly #peaks: Peaks
  readonly #statistics = new Float64Array(STATISTICS)

  constructor(changed: Partial<AdaptiveSettings> = {}) {
    const settings = { ...ADAPTIVE_SETTINGS, ...changed }
    const peaks = new Peaks(STATISTICS, settings)
    super(PEAKS + peaks.slots, Object.values(settings))
    this.#settings = settings
    this.#peaks = peaks
    this.#gains = Float64Array.from({ length: MEAN_COUNT }, (_, i) => settings.gain * 10 ** (-i / 2))
  }

  // hot: per reading
  protected judge(
    row: Float64Array,
    at: number,
    count: number,
    _elapsedMs: number,
    tsMs: number,
    value: number,
  ): number {
    const settings = this.#settings
    if (count === 0) begin(row, at, tsMs, value)
    if (this.#peaks.move(row, at + PEAKS, tsMs)) {
      row[at + REACH_BELOW] = this.#peaks.usual(row, at + PEAKS, BELOW, EXPECTED_RARITY)
      row[at + REACH_ABOVE] = this.#peaks.usual(row, at + PEAKS, ABOVE, EXPECTED_RARITY)
    }
    const bin = binOf(tsMs)
    // The hull of the fast average and of this time of day.
    this.#low = usualLow(row, at + PROFILE, bin, row[at + MEANS])
    this.#high = usualHigh(row, at + PROFILE, bin, row[at + MEANS])
    this.expectedLow = this.#low - row[at + REACH_BELOW]
    this.expectedHigh = this.#high + row[at + REACH_ABOVE]
    this.#gather(row, at, bin, tsMs, value)
    const isAnyRare = this.#peaks.judge(row, at + PEAKS, this.#statistics)
    const score = isAnyRare
      ? attention(row, at + ATTENTION, this.#joined(row, at, tsMs), tsMs, count, settings)
      : 0
    this.#learn(row, at, count, value)
    learnProfile(row, at + PROFILE, bin, tsMs, value, settings)
    return isStuck(row, at + STUCK, count, value) ? Math.max(score, STUCK_SCORE) : score
  }

  #gather(row: Float64Array, at: number, bin: number, tsMs: number, value: number): void {
    const statistics = this.#statistics
    const { restlessShort, restlessLong } = this.#settings
    const step = Math.abs(value - row[at + VALUE])
    row[at + SHORT] += (step - row[at + SHORT]) / restlessShort
    row[at + LONG] += (step - row[at + LONG]) / restlessLong
    statistics[ABOVE] = Math.max(value - this.#high, 0)
    statistics[BELOW] = Math.max(this.#low - value, 0)
    for (let i = 0; i < SHIFT_FAST.length; i++) {
      const shift = row[at + MEANS + SHIFT_FAST[i]] - row[at + MEANS + SHIFT_SLOW[i]]
      statistics[SHIFTS + 2 * i] = Math.max(shift, 0)
      statistics[SHIFTS + 2 * i + 1] = Math.max(-shift, 0)
    }
    statistics[RESTLESS] = row[at + SHORT]
    statistics[RESTLESS + 1] = row[at + LONG]
    const off = offProfile(row, at + PROFILE, bin, tsMs, value, row[at + SLOWEST], this.#settings)
    statistics[SEASON] = Math.max(off, 0)
    statistics[SEASON + 1] = Math.max(-off, 0)
  }

  /** The quartic mean. */
  #joined(row: Float64Array, at: number, tsMs: number): number {
    const { rare } = this.#peaks
    let sum = quartic(rare[RESTLESS]) + quartic(rare[RESTLESS + 1])
    for (let i = ABOVE; i < RESTLESS; i += 2) sum += quartic(Math.max(rare[i], rare[i + 1]))
    if (isRhythmic(row, at + PROFILE, tsMs, this.#settings))
      sum += quartic(Math.max(rare[SEASON], rare[SEASON + 1]))
    return Math.sqrt(Math.sqrt(sum / JOINED))
  }

  #learn(row: Float64Array, at: number, count: number, value: number): void {
    const gains = this.#gains
    const young = 1 / (count + 1)
    for (let i = 0; i < MEAN_COUNT; i++) {
      const mean = at + MEANS + i
      row[mean] += Math.max(gains[i], young) * (value - row[mean])
    }
    row[at + VALUE] = value
  }
}

function quartic(found: number): number {
  const square = found * found
  return square * square
}

function begin(row: Float64Array, at: number, tsMs: number, value: number): void {
  row[at + VALUE] = value
  row[at + REACH_BELOW] = Number.NaN
  row[at + REACH_ABOVE] = Number.NaN
  for (let i = 0; i < MEAN_COUNT; i++) row[at + MEANS + i] = value
  beginProfile(row, at + PROFILE, tsMs)
  beginAttention(row, at + ATTENTION, tsMs)
}

/**
 * The default detector: an ensemble that needs no settings. Statistics of the last reading (its step, its
 * distance from the hull of what the last readings and this hour of other days predict), of the hours before
 * it (shifts between moving averages, the distance from the day's profile where there is one: day-profile.ts)
 * and of its restlessness are each told rare or not from their own recent maxima (peaks.ts), and joined by
 * their quartic mean. What was alerted lately is held against what follows (attention.ts). A value that got
 * stuck is told by its run (stuck-run.ts).
 *
 * Bounded: SLOTS numbers per series. Deterministic; one owner, see series-detector.ts.
 */
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
import { CLOCK_SLOTS, movePeaks, PEAK_SLOTS, rarity, usualPeak } from './peaks.ts'
import { OWN_SLOTS, SeriesDetector } from './series-detector.ts'
import { isStuck, STUCK_SLOTS } from './stuck-run.ts'

/** Gains of the moving averages. */
const GAINS = Float64Array.of(0.3, 0.1, 0.03, 0.01, 0.003)
/** Pairs of them whose distance is a statistic: a fast and a slow one. */
const SHIFT_FAST = Int32Array.of(0, 1, 1, 2)
const SHIFT_SLOW = Int32Array.of(2, 3, 4, 4)
/** Readings over which steps are averaged. */
const RESTLESS_SHORT = 12
const RESTLESS_LONG = 48
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
const SLOWEST = MEANS + GAINS.length - 1
const STUCK = SLOWEST + 1
const ATTENTION = STUCK + STUCK_SLOTS
const PROFILE = ATTENTION + ATTENTION_SLOTS
const CLOCK = PROFILE + PROFILE_SLOTS
const PEAKS = CLOCK + CLOCK_SLOTS
/** The statistics, in the order of their peaks; those with a sign have two. */
const STEP = PEAKS
const ABOVE = STEP + PEAK_SLOTS
const BELOW = ABOVE + PEAK_SLOTS
const SHIFTS = BELOW + PEAK_SLOTS
const RESTLESS = SHIFTS + 2 * SHIFT_FAST.length * PEAK_SLOTS
const SEASON = RESTLESS + 2 * PEAK_SLOTS
const SLOTS = SEASON + 2 * PEAK_SLOTS
const STATISTICS = (SLOTS - PEAKS) / PEAK_SLOTS
/** What the mean goes over; the season's comes on top, where there is one. */
const JOINED = 4 + SHIFT_FAST.length

export class AdaptiveDetector extends SeriesDetector {
  #low = 0
  #high = 0

  constructor() {
    super(SLOTS, [])
  }

  // hot: per reading
  protected judge(
    row: Float64Array,
    at: number,
    count: number,
    elapsedMs: number,
    tsMs: number,
    value: number,
  ): number {
    if (count === 0) begin(row, at, tsMs, value)
    if (movePeaks(row, at + CLOCK, at + PEAKS, STATISTICS, tsMs)) {
      row[at + REACH_BELOW] = usualPeak(row, at + CLOCK, at + BELOW, EXPECTED_RARITY)
      row[at + REACH_ABOVE] = usualPeak(row, at + CLOCK, at + ABOVE, EXPECTED_RARITY)
    }
    const bin = binOf(tsMs)
    // The hull of the fast average and of this time of day.
    this.#low = usualLow(row, at + PROFILE, bin, row[at + MEANS])
    this.#high = usualHigh(row, at + PROFILE, bin, row[at + MEANS])
    this.expectedLow = this.#low - row[at + REACH_BELOW]
    this.expectedHigh = this.#high + row[at + REACH_ABOVE]
    const rare = this.#rarityOf(row, at, value, seasonRarity(row, at, tsMs, bin, value))
    learn(row, at, count, value)
    learnProfile(row, at + PROFILE, bin, tsMs, value)
    const score = attention(row, at + ATTENTION, rare, elapsedMs, tsMs)
    return isStuck(row, at + STUCK, count, value) ? Math.max(score, STUCK_SCORE) : score
  }

  #rarityOf(row: Float64Array, at: number, value: number, season: number): number {
    const clock = at + CLOCK
    const step = Math.abs(value - row[at + VALUE])
    row[at + SHORT] += (step - row[at + SHORT]) / RESTLESS_SHORT
    row[at + LONG] += (step - row[at + LONG]) / RESTLESS_LONG
    const above = value > this.#high ? value - this.#high : 0
    const below = value < this.#low ? this.#low - value : 0
    let sum = quartic(season) + quartic(rarity(row, clock, at + STEP, step))
    sum += quartic(Math.max(rarity(row, clock, at + ABOVE, above), rarity(row, clock, at + BELOW, below)))
    for (let i = 0, peak = at + SHIFTS; i < SHIFT_FAST.length; i++, peak += 2 * PEAK_SLOTS) {
      const shift = row[at + MEANS + SHIFT_FAST[i]] - row[at + MEANS + SHIFT_SLOW[i]]
      const up = rarity(row, clock, peak, Math.max(shift, 0))
      const down = rarity(row, clock, peak + PEAK_SLOTS, shift < 0 ? -shift : 0)
      sum += quartic(Math.max(up, down))
    }
    sum += quartic(rarity(row, clock, at + RESTLESS, row[at + SHORT]))
    sum += quartic(rarity(row, clock, at + RESTLESS + PEAK_SLOTS, row[at + LONG]))
    return Math.sqrt(Math.sqrt(sum / JOINED))
  }
}

/** How far off the day's profile the last readings are together, where there is a rhythm worth the name. */
function seasonRarity(row: Float64Array, at: number, tsMs: number, bin: number, value: number): number {
  const off = offProfile(row, at + PROFILE, bin, tsMs, value, row[at + SLOWEST])
  if (Number.isNaN(off)) return 0
  const above = rarity(row, at + CLOCK, at + SEASON, Math.max(off, 0))
  const below = rarity(row, at + CLOCK, at + SEASON + PEAK_SLOTS, off < 0 ? -off : 0)
  return isRhythmic(row, at + PROFILE, tsMs) ? Math.max(above, below) : 0
}

function quartic(found: number): number {
  const square = found * found
  return square * square
}

function begin(row: Float64Array, at: number, tsMs: number, value: number): void {
  row[at + VALUE] = value
  row[at + REACH_BELOW] = Number.NaN
  row[at + REACH_ABOVE] = Number.NaN
  for (let i = 0; i < GAINS.length; i++) row[at + MEANS + i] = value
  beginProfile(row, at + PROFILE, tsMs)
  beginAttention(row, at + ATTENTION, tsMs)
}

function learn(row: Float64Array, at: number, count: number, value: number): void {
  const young = 1 / (count + 1)
  for (let i = 0; i < GAINS.length; i++) {
    const mean = at + MEANS + i
    row[mean] += Math.max(GAINS[i], young) * (value - row[mean])
  }
  row[at + VALUE] = value
}

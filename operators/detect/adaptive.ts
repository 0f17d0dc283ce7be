/**
 * The default detector: an ensemble that needs no settings. Statistics of the last reading (its step, its
 * distance from the hull of what the last readings and this hour of other days predict), of the hours before
 * it (shifts between moving averages, the distance from the day's profile where it deserves the name) and of
 * its restlessness are each told rare or not from their own recent maxima (peaks.ts), and joined by their
 * quartic mean. What was alerted lately is held against what follows, so that one event is one alert. A
 * value that got stuck is told by its run.
 *
 * Bounded: SLOTS numbers per series. Deterministic; one owner, see series-detector.ts.
 */
import { CLOCK_SLOTS, movePeaks, PEAK_SLOTS, rarity, usualPeak } from './peaks.ts'
import { OWN_SLOTS, SeriesDetector } from './series-detector.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

/** Gains of the moving averages. */
const GAINS = Float64Array.of(0.3, 0.1, 0.03, 0.01, 0.003)
/** Pairs of them whose distance is a statistic: a fast and a slow one. */
const SHIFT_FAST = Int32Array.of(0, 1, 1, 2)
const SHIFT_SLOW = Int32Array.of(2, 3, 4, 4)
/** Readings over which steps are averaged. */
const RESTLESS_SHORT = 12
const RESTLESS_LONG = 48

/** Bins of the day's profile, and how fast it follows. */
const BINS = 96
const BIN_MS = DAY_MS / BINS
const PROFILE_GAIN = 0.1

/**
 * Equal values in a row that are a stuck sensor: so many, and so many times the longest run before, which
 * fades.
 */
const STUCK_READINGS = 7
const STUCK_FACTOR = 3
/**
 * A series that repeats its values more often than that, per other reading, is one of few values: none is
 * stuck.
 */
const REPEATS_MAX = 0.1
const REPEATS_GAIN = 1 / 512
const STUCK_LEARNED = 0.5
const RUN_FADING = 1 / 4096
const STUCK_SCORE = 0.9

/**
 * The day's profile is learned for so many days before its residuals are, and those before they are judged.
 */
const SEASON_DAYS_LEARNING = 1
const SEASON_DAYS_MIN = 3
/** Readings over which residuals are averaged; and their own scale. */
const SEASON_READINGS = 12
const SEASON_GAIN = 1 / 288
const SEASON_ERROR_GAIN = 1 / 576
/** A profile is one when its error is below this share of the spread without it. */
const SEASON_ERROR_SHARE = 0.45
/** The profile follows what is further off only up to so many mean errors. */
const SEASON_REACH = 2.5

/** The expected range ends where a reading's distance from the hull would be rare by so much. */
const EXPECTED_RARITY = 1

/** What is an alert, in units of the joined rarity: see attention(). */
const UNIT = 2.7
const FADE_MS = 24 * HOUR_MS
const FADE_FACTOR = 1.6
const BASE = 0.08
/** How much the base grows each time, and for how long. */
const HABIT_STEP = 0.02
const HABIT_MS = 7 * DAY_MS
const PATIENCE = 0.4
const PATIENCE_MS = 14 * DAY_MS
const PATIENCE_MS_MAX = 120 * DAY_MS
/** Rarity above the base at which the score is RAISE_SCORE. */
const RAISE = 0.12

/** The row of a series. */
const FIRST_TS = OWN_SLOTS
const VALUE = FIRST_TS + 1
const RUN = VALUE + 1
const USUAL_RUN = RUN + 1
const REPEATS = USUAL_RUN + 1
const FADED = REPEATS + 1
const HABIT = FADED + 1
const SHORT = HABIT + 1
const LONG = SHORT + 1
const OFF_SEASON = LONG + 1
const SEASON_ERROR = OFF_SEASON + 1
const SPREAD = SEASON_ERROR + 1
const MEANS = SPREAD + 1
const SLOWEST = MEANS + GAINS.length - 1
const PROFILE = SLOWEST + 1
const REACH_BELOW = PROFILE + BINS
const REACH_ABOVE = REACH_BELOW + 1
const CLOCK = REACH_ABOVE + 1
const PEAKS = CLOCK + CLOCK_SLOTS
/** The statistics, in the order of their peaks; those with a sign have two. */
const STEP = PEAKS
const ABOVE = STEP + PEAK_SLOTS
const BELOW = ABOVE + PEAK_SLOTS
const SHIFTS = BELOW + PEAK_SLOTS
const RESTLESS = SHIFTS + 2 * SHIFT_FAST.length * PEAK_SLOTS
const SEASON = RESTLESS + 2 * PEAK_SLOTS
const STATISTICS = (SEASON - PEAKS) / PEAK_SLOTS + 2
const SLOTS = SEASON + 2 * PEAK_SLOTS
/** Statistics of which one at a time can be rare. */
const JOINED = 3 + SHIFT_FAST.length + 1

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
    const bin = Math.floor((((tsMs % DAY_MS) + DAY_MS) % DAY_MS) / BIN_MS)
    this.#predict(row, at, bin)
    const joined = this.#joinedRarity(row, at, value, seasonRarity(row, at, tsMs, bin, value))
    const stuck = stuckScore(row, at, count, value)
    this.expectedLow = this.#low - row[at + REACH_BELOW]
    this.expectedHigh = this.#high + row[at + REACH_ABOVE]
    learn(row, at, count, tsMs, bin, value)
    return Math.max(attention(row, at, joined, elapsedMs, tsMs), stuck)
  }

  /** The hull of the fast average and of this time of day. */
  #predict(row: Float64Array, at: number, bin: number): void {
    let low = row[at + MEANS]
    let high = low
    for (let near = BINS - 1; near <= BINS + 1; near++) {
      const usual = row[at + PROFILE + ((bin + near) % BINS)]
      if (usual < low) low = usual
      else if (usual > high) high = usual
    }
    this.#low = low
    this.#high = high
  }

  #joinedRarity(row: Float64Array, at: number, value: number, season: number): number {
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

/** How far off the day's profile the last hours are together, where there is a profile worth the name. */
function seasonRarity(row: Float64Array, at: number, tsMs: number, bin: number, value: number): number {
  const usual = row[at + PROFILE + bin]
  const days = (tsMs - row[at + FIRST_TS]) / DAY_MS
  if (Number.isNaN(usual) || days < SEASON_DAYS_LEARNING) return 0
  const off = value - usual
  learnSeasonError(row, at, days, Math.abs(off))
  row[at + SPREAD] += SEASON_GAIN * (Math.abs(value - row[at + SLOWEST]) - row[at + SPREAD])
  const sum = row[at + OFF_SEASON] + (off - row[at + OFF_SEASON]) / SEASON_READINGS
  row[at + OFF_SEASON] = sum
  const above = rarity(row, at + CLOCK, at + SEASON, Math.max(sum, 0))
  const below = rarity(row, at + CLOCK, at + SEASON + PEAK_SLOTS, sum < 0 ? -sum : 0)
  return isSeasonal(row, at) && days >= SEASON_DAYS_MIN ? Math.max(above, below) : 0
}

/**
 * A mean while the profile is young, then a median that follows slowly: an anomaly does not make itself
 * usual.
 */
function learnSeasonError(row: Float64Array, at: number, days: number, size: number): void {
  const error = row[at + SEASON_ERROR]
  if (days < SEASON_DAYS_MIN || error === 0) row[at + SEASON_ERROR] = error + SEASON_GAIN * (size - error)
  else row[at + SEASON_ERROR] = error * (size > error ? 1 + SEASON_ERROR_GAIN : 1 - SEASON_ERROR_GAIN)
}

function quartic(found: number): number {
  const square = found * found
  return square * square
}

/**
 * Told once, when a run of equal values becomes longer than is usual; a series that began with it knows no
 * other.
 */
function stuckScore(row: Float64Array, at: number, count: number, value: number): number {
  const usual = row[at + USUAL_RUN] * (1 - RUN_FADING)
  const limit = Math.floor(STUCK_READINGS + STUCK_FACTOR * usual)
  row[at + USUAL_RUN] = usual
  if (value === row[at + VALUE]) {
    const run = ++row[at + RUN]
    return run === limit && run < count && row[at + REPEATS] < REPEATS_MAX ? STUCK_SCORE : 0
  }
  const run = row[at + RUN]
  row[at + RUN] = 0
  row[at + REPEATS] += (run - row[at + REPEATS]) * REPEATS_GAIN
  // What was an alert becomes usual only when it comes again and again.
  if (run > usual) row[at + USUAL_RUN] = run < limit ? run : usual + STUCK_LEARNED
  return 0
}

function begin(row: Float64Array, at: number, tsMs: number, value: number): void {
  row[at + FIRST_TS] = tsMs
  row[at + VALUE] = value
  for (let i = 0; i < GAINS.length; i++) row[at + MEANS + i] = value
  for (let i = 0; i < BINS; i++) row[at + PROFILE + i] = Number.NaN
  row[at + REACH_BELOW] = Number.NaN
  row[at + REACH_ABOVE] = Number.NaN
}

function learn(row: Float64Array, at: number, count: number, tsMs: number, bin: number, value: number): void {
  const young = 1 / (count + 1)
  for (let i = 0; i < GAINS.length; i++) {
    const mean = at + MEANS + i
    row[mean] += Math.max(GAINS[i], young) * (value - row[mean])
  }
  learnProfile(row, at, tsMs, bin, value)
  row[at + VALUE] = value
}

function learnProfile(row: Float64Array, at: number, tsMs: number, bin: number, value: number): void {
  const usual = row[at + PROFILE + bin]
  if (Number.isNaN(usual)) {
    row[at + PROFILE + bin] = value
    return
  }
  const days = (tsMs - row[at + FIRST_TS]) / DAY_MS
  const reach = isSeasonal(row, at) ? SEASON_REACH * row[at + SEASON_ERROR] : Number.POSITIVE_INFINITY
  const off = Math.min(reach, Math.max(-reach, value - usual))
  row[at + PROFILE + bin] = usual + Math.max(PROFILE_GAIN, 1 / (days + 1)) * off
}

function isSeasonal(row: Float64Array, at: number): boolean {
  const error = row[at + SEASON_ERROR]
  return error > 0 && error < SEASON_ERROR_SHARE * row[at + SPREAD]
}

/**
 * What of the rarity deserves attention now, as a score: more than the base, which grows with the time that
 * the series has been watched, since the rarest of more time is rarer, and with every recent time it asked
 * for attention; and more than what got it lately, which fades.
 */
function attention(row: Float64Array, at: number, joined: number, elapsedMs: number, tsMs: number): number {
  if (elapsedMs > 0) {
    row[at + FADED] *= Math.exp(-elapsedMs / FADE_MS)
    row[at + HABIT] *= Math.exp(-elapsedMs / HABIT_MS)
  }
  if (joined === 0) return 0
  const watchedMs = Math.min(tsMs - row[at + FIRST_TS], PATIENCE_MS_MAX)
  const found = joined / UNIT - PATIENCE * Math.log10(1 + watchedMs / PATIENCE_MS)
  const base = BASE + HABIT_STEP * row[at + HABIT]
  if (found <= FADE_FACTOR * row[at + FADED] + base) return 0
  row[at + FADED] = Math.max(found, row[at + FADED])
  row[at + HABIT]++
  const excess = found - base
  return excess / (excess + RAISE)
}

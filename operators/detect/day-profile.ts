/**
 * The day's rhythm of a series, in slots of its row: what each quarter of an hour usually brings (UTC), how far
 * readings usually are from that, and how far the last ones were together. Invariant: while the profile holds,
 * an anomaly neither moves it nor its error by more than a little.
 */

const DAY_MS = 86_400_000
const BINS = 96
const BIN_MS = DAY_MS / BINS

export interface ProfileSettings {
  /** How fast the profile follows, once as many days were seen. */
  profileGain: number
  /** It follows what is further off only up to so many errors. */
  reachErrors: number
  /** A profile is one when its error is below this share of the spread without it. */
  errorShare: number
  /** Readings over which distances from the profile are averaged. */
  offReadings: number
}

/** The profile is learned for so many days before its error is, and those before it is relied on. */
const DAYS_LEARNING = 1
const DAYS_MIN = 3
const SPREAD_GAIN = 1 / 288
const ERROR_GAIN = 1 / 576

const FIRST_TS = 0
const ERROR = 1
const SPREAD = 2
const OFF = 3
const PROFILE = 4
export const PROFILE_SLOTS = PROFILE + BINS

/** The series' first reading. */
export function beginProfile(row: Float64Array, at: number, tsMs: number): void {
  row[at + FIRST_TS] = tsMs
  row.fill(Number.NaN, at + PROFILE, at + PROFILE_SLOTS)
}

/** The bin of a time. */
export function binOf(tsMs: number): number {
  const bins = Math.floor(tsMs / BIN_MS)
  return bins - Math.floor(bins / BINS) * BINS
}

/** The lowest that the bin or its neighbours usually bring, or `otherwise` when that is lower; unknown bins are NaN. */
export function usualLow(row: Float64Array, at: number, bin: number, otherwise: number): number {
  const first = at + PROFILE
  const before = row[first + (bin === 0 ? BINS - 1 : bin - 1)]
  const after = row[first + (bin === BINS - 1 ? 0 : bin + 1)]
  let low = otherwise
  if (row[first + bin] < low) low = row[first + bin]
  if (before < low) low = before
  if (after < low) low = after
  return low
}

/** The highest, likewise. */
export function usualHigh(row: Float64Array, at: number, bin: number, otherwise: number): number {
  const first = at + PROFILE
  const before = row[first + (bin === 0 ? BINS - 1 : bin - 1)]
  const after = row[first + (bin === BINS - 1 ? 0 : bin + 1)]
  let high = otherwise
  if (row[first + bin] > high) high = row[first + bin]
  if (before > high) high = before
  if (after > high) high = after
  return high
}

/**
 * How far the last readings, this one included, are off the profile together; NaN while nothing is known.
 * `level` is what would be expected without a profile.
 */
export function offProfile(
  row: Float64Array,
  at: number,
  bin: number,
  tsMs: number,
  value: number,
  level: number,
  settings: ProfileSettings,
): number {
  const days = (tsMs - row[at + FIRST_TS]) / DAY_MS
  const off = value - row[at + PROFILE + bin]
  if (Number.isNaN(off) || days < DAYS_LEARNING) return Number.NaN
  learnError(row, at, days, Math.abs(off))
  row[at + SPREAD] += SPREAD_GAIN * (Math.abs(value - level) - row[at + SPREAD])
  row[at + OFF] += (off - row[at + OFF]) / settings.offReadings
  return row[at + OFF]
}

/** A mean while the profile is young, then a median that follows slowly. */
function learnError(row: Float64Array, at: number, days: number, size: number): void {
  const error = row[at + ERROR]
  if (days < DAYS_MIN || error === 0) row[at + ERROR] = error + SPREAD_GAIN * (size - error)
  else row[at + ERROR] = error * (size > error ? 1 + ERROR_GAIN : 1 - ERROR_GAIN)
}

/** Whether the series has a rhythm that is known well enough to rely on. */
export function isRhythmic(row: Float64Array, at: number, tsMs: number, settings: ProfileSettings): boolean {
  return hasRhythm(row, at, settings) && tsMs - row[at + FIRST_TS] >= DAYS_MIN * DAY_MS
}

function hasRhythm(row: Float64Array, at: number, settings: ProfileSettings): boolean {
  const error = row[at + ERROR]
  return error > 0 && error < settings.errorShare * row[at + SPREAD]
}

export function learnProfile(
  row: Float64Array,
  at: number,
  bin: number,
  tsMs: number,
  value: number,
  settings: ProfileSettings,
): void {
  const usual = row[at + PROFILE + bin]
  if (Number.isNaN(usual)) {
    row[at + PROFILE + bin] = value
    return
  }
  const days = (tsMs - row[at + FIRST_TS]) / DAY_MS
  const reach = hasRhythm(row, at, settings)
    ? settings.reachErrors * row[at + ERROR]
    : Number.POSITIVE_INFINITY
  const off = Math.min(reach, Math.max(-reach, value - usual))
  row[at + PROFILE + bin] = usual + Math.max(settings.profileGain, 1 / (days + 1)) * off
}

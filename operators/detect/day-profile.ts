/**
 * The day's rhythm of a series, in slots of its row: what each quarter of an hour usually brings (UTC), how far
 * readings usually are from that, and how far the last ones were together. Invariant: while the profile holds,
 * an anomaly neither moves it nor its error by more than a little.
 */

const DAY_MS = 86_400_000
const BINS = 96
const BIN_MS = DAY_MS / BINS
/** How fast the profile follows, once as many days were seen. */
const PROFILE_GAIN = 0.1
/** It follows what is further off only up to so many errors. */
const REACH_ERRORS = 2.5

/** The profile is learned for so many days before its error is, and those before it is relied on. */
const DAYS_LEARNING = 1
const DAYS_MIN = 3
/** A profile is one when its error is below this share of the spread without it. */
const ERROR_SHARE = 0.45
const SPREAD_GAIN = 1 / 288
const ERROR_GAIN = 1 / 576
/** Readings over which distances from the profile are averaged. */
const OFF_READINGS = 12

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
  return Math.floor((((tsMs % DAY_MS) + DAY_MS) % DAY_MS) / BIN_MS)
}

/** The lowest that the bin or its neighbours usually bring, or `otherwise` when that is lower. */
export function usualLow(row: Float64Array, at: number, bin: number, otherwise: number): number {
  let low = otherwise
  for (let near = BINS - 1; near <= BINS + 1; near++) {
    const usual = row[at + PROFILE + ((bin + near) % BINS)]
    if (usual < low) low = usual
  }
  return low
}

/** The highest, likewise. */
export function usualHigh(row: Float64Array, at: number, bin: number, otherwise: number): number {
  let high = otherwise
  for (let near = BINS - 1; near <= BINS + 1; near++) {
    const usual = row[at + PROFILE + ((bin + near) % BINS)]
    if (usual > high) high = usual
  }
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
): number {
  const days = (tsMs - row[at + FIRST_TS]) / DAY_MS
  const off = value - row[at + PROFILE + bin]
  if (Number.isNaN(off) || days < DAYS_LEARNING) return Number.NaN
  learnError(row, at, days, Math.abs(off))
  row[at + SPREAD] += SPREAD_GAIN * (Math.abs(value - level) - row[at + SPREAD])
  row[at + OFF] += (off - row[at + OFF]) / OFF_READINGS
  return row[at + OFF]
}

/** A mean while the profile is young, then a median that follows slowly. */
function learnError(row: Float64Array, at: number, days: number, size: number): void {
  const error = row[at + ERROR]
  if (days < DAYS_MIN || error === 0) row[at + ERROR] = error + SPREAD_GAIN * (size - error)
  else row[at + ERROR] = error * (size > error ? 1 + ERROR_GAIN : 1 - ERROR_GAIN)
}

/** Whether the series has a rhythm that is known well enough to rely on. */
export function isRhythmic(row: Float64Array, at: number, tsMs: number): boolean {
  return hasRhythm(row, at) && tsMs - row[at + FIRST_TS] >= DAYS_MIN * DAY_MS
}

function hasRhythm(row: Float64Array, at: number): boolean {
  const error = row[at + ERROR]
  return error > 0 && error < ERROR_SHARE * row[at + SPREAD]
}

export function learnProfile(row: Float64Array, at: number, bin: number, tsMs: number, value: number): void {
  const usual = row[at + PROFILE + bin]
  if (Number.isNaN(usual)) {
    row[at + PROFILE + bin] = value
    return
  }
  const days = (tsMs - row[at + FIRST_TS]) / DAY_MS
  const reach = hasRhythm(row, at) ? REACH_ERRORS * row[at + ERROR] : Number.POSITIVE_INFINITY
  const off = Math.min(reach, Math.max(-reach, value - usual))
  row[at + PROFILE + bin] = usual + Math.max(PROFILE_GAIN, 1 / (days + 1)) * off
}

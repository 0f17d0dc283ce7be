/**
 * What of a rarity deserves attention now, as a score, in slots of a series' row: more than a base, which grows
 * with the time that the series has been watched, since the rarest of more time is rarer, and with every
 * recent time it asked for attention; and more than what got it lately, which fades. So one event is one
 * alert, and a restless series does not cry wolf.
 */

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

/** Deviations of rarity (peaks.ts) that count as one. */
const UNIT = 2.7
const BASE = 0.08
/** How the base grows with tenfold time. */
const PATIENCE = 0.4
const PATIENCE_MS = 14 * DAY_MS
const PATIENCE_MS_MAX = 120 * DAY_MS
/** How the base grows each time, and for how long. */
const HABIT_STEP = 0.02
const HABIT_MS = 7 * DAY_MS
/** What must be exceeded so many times, and how it fades. */
const FADE_FACTOR = 1.6
const FADE_MS = 24 * HOUR_MS
/** What above the base makes the score RAISE_SCORE. */
const RAISE = 0.12

const FIRST_TS = 0
const FADED = 1
const HABIT = 2
export const ATTENTION_SLOTS = 3

/** The series' first reading. */
export function beginAttention(row: Float64Array, at: number, tsMs: number): void {
  row[at + FIRST_TS] = tsMs
}

// hot: per reading
export function attention(
  row: Float64Array,
  at: number,
  rare: number,
  elapsedMs: number,
  tsMs: number,
): number {
  if (elapsedMs > 0 && row[at + FADED] > 0) {
    row[at + FADED] *= Math.exp(-elapsedMs / FADE_MS)
    row[at + HABIT] *= Math.exp(-elapsedMs / HABIT_MS)
  }
  if (rare === 0) return 0
  const watchedMs = Math.min(tsMs - row[at + FIRST_TS], PATIENCE_MS_MAX)
  const found = rare / UNIT - PATIENCE * Math.log10(1 + watchedMs / PATIENCE_MS)
  const base = BASE + HABIT_STEP * row[at + HABIT]
  if (found <= FADE_FACTOR * row[at + FADED] + base) return 0
  row[at + FADED] = Math.max(found, row[at + FADED])
  row[at + HABIT]++
  const excess = found - base
  return excess / (excess + RAISE)
}

/**
 * What of a rarity deserves attention now, as a score, in slots of a series' row: more than a base, which grows
 * with the time that the series has been watched, since the rarest of more time is rarer, and with every
 * recent time it asked for attention; and more than what got it lately, which fades. So one event is one
 * alert, and a restless series does not cry wolf. Days are of DAY_READINGS readings at least: a series with one an
 * hour has as much to say in four days as others in one.
 */

const DAY_MS = 86_400_000
const DAY_READINGS = 96
/** What above the base makes the score RAISE_SCORE: a false alert in a month, on the synthetic series of the bench. */
const RAISE = 0.16

/** A series' first days are new in everything: they are learned from, and raise no alert. */
const PROBATION_DAYS = 2
const PROBATION_SCORE_MAX = 0.49

export interface AttentionSettings {
  /** In deviations of rarity (peaks.ts). */
  base: number
  /** How the base grows with tenfold time, from how long on. */
  patience: number
  patienceDays: number
  /** How the base grows each time, and for how long. */
  habitStep: number
  habitDays: number
  /** What must be exceeded so many times, and how it fades. */
  fadeFactor: number
  fadeDays: number
}

const FIRST_TS = 0
/** When the following two were right, as time and as count of readings; they fade. */
const LAST_TS = 1
const LAST_COUNT = 2
const FADED = 3
const HABIT = 4
export const ATTENTION_SLOTS = 5

/** The series' first reading. */
export function beginAttention(row: Float64Array, at: number, tsMs: number): void {
  row[at + FIRST_TS] = tsMs
  row[at + LAST_TS] = tsMs
}

/** Of a reading that is rare; `count` came before it. */
export function attention(
  row: Float64Array,
  at: number,
  rare: number,
  tsMs: number,
  count: number,
  settings: AttentionSettings,
): number {
  if (rare <= settings.base) return 0
  const days = daysOf(tsMs - row[at + LAST_TS], count - row[at + LAST_COUNT])
  row[at + LAST_TS] = tsMs
  row[at + LAST_COUNT] = count
  row[at + FADED] *= Math.exp(-days / settings.fadeDays)
  row[at + HABIT] *= Math.exp(-days / settings.habitDays)
  const watchedDays = daysOf(tsMs - row[at + FIRST_TS], count)
  const found = rare - settings.patience * Math.log10(1 + watchedDays / settings.patienceDays)
  const base = settings.base + settings.habitStep * row[at + HABIT]
  if (found <= settings.fadeFactor * row[at + FADED] + base) return 0
  row[at + FADED] = Math.max(found, row[at + FADED])
  row[at + HABIT]++
  const excess = Math.sqrt((found - base) / RAISE)
  const score = excess / (excess + 1)
  return watchedDays < PROBATION_DAYS ? Math.min(score, PROBATION_SCORE_MAX) : score
}

function daysOf(ms: number, readings: number): number {
  return Math.min(ms / DAY_MS, readings / DAY_READINGS)
}

/**
 * A value that got stuck, in slots of a series' row: told once, when a run of equal values becomes longer than
 * is usual for the series. A series of few values, and one that began with the run, is left alone.
 */

/** So many repeats, and so many times the longest run before, which fades. */
const REPEATS_MIN = 7
const FACTOR = 3
const FADING = 1 / 4096
/** What was an alert becomes usual only when it comes again and again, by so much each time. */
const LEARNED = 0.5
/** A series that repeats its values more often than that, per other reading, is one of few values. */
const SHARE_MAX = 0.1
const SHARE_GAIN = 1 / 512

const VALUE = 0
const RUN = 1
const USUAL_RUN = 2
const SHARE = 3
export const STUCK_SLOTS = 4

/** Whether this reading, after `count` others, is the one that tells. */
// hot: per reading
export function isStuck(row: Float64Array, at: number, count: number, value: number): boolean {
  const usual = row[at + USUAL_RUN] * (1 - FADING)
  const limit = Math.floor(REPEATS_MIN + FACTOR * usual)
  row[at + USUAL_RUN] = usual
  if (value === row[at + VALUE] && count > 0) {
    const run = ++row[at + RUN]
    return run === limit && run < count && row[at + SHARE] < SHARE_MAX
  }
  const run = row[at + RUN]
  row[at + VALUE] = value
  row[at + RUN] = 0
  row[at + SHARE] += (run - row[at + SHARE]) * SHARE_GAIN
  if (run > usual) row[at + USUAL_RUN] = run < limit ? run : usual + LEARNED
  return false
}

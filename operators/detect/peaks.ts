/**
 * How rare a statistic is, told from its own recent maxima: the greatest value of each window of time is remembered as
 * mean and deviation of its logarithm (a log-normal fit of block maxima, by moments), and a new greatest value is so many
 * deviations above them. Steps that come every day are maxima of every day, so they become ordinary by themselves, and
 * series of all kinds and units become comparable. Windows overlap: each is the last SUBS parts, and moves on by one.
 *
 * All of it are slots in a series' row: a clock per horizon, shared by the statistics of the series, then for each
 * statistic SUBS part maxima and five numbers per horizon. Invariant: nothing is learned from a part before it ended.
 */

const HOUR_MS = 3_600_000
/** Parts of a window. */
const SUBS = 4

/** A quarter and a full day: habits of a day are told from those within one. */
export const HORIZONS = 2
const PART_MS = Float64Array.of((6 * HOUR_MS) / SUBS, (24 * HOUR_MS) / SUBS)
/** How many windows back the moments reach, and how many parts must have ended before anything is judged. */
const MEMORY_PARTS = Float64Array.of(40 * SUBS, 14 * SUBS)
const PARTS_MIN = Float64Array.of(13, 7)
/** Slow series: a part ends with so many readings at the earliest. */
const PART_READINGS_MIN = 3

/** Weight of an assumed deviation of logarithms before many windows were seen, in windows; and that deviation. */
const PRIOR_WINDOWS = 2
const PRIOR_VARIANCE = 0.4 ** 2
/** Added to the deviation, so that maxima that were all equal do not make the next one infinitely rare. */
const DEVIATION_FLOOR = 0.2
/** Maxima far below their mean are as good as this share of it: silence is no evidence of smallness. */
const FLOOR_SHARE = 0.05
export const RARITY_MAX = 12

export const CLOCK_SLOTS = 3
const END = 0
const READINGS = 1
const PARTS = 2

const HORIZON_SLOTS = SUBS + 5
/** Slots of one statistic. */
export const PEAK_SLOTS = HORIZONS * HORIZON_SLOTS
/** Greatest of the running part, and of the running window. */
const CURRENT = SUBS
const TOP = SUBS + 1
/** Of the logarithms of the maxima; the mean of the maxima themselves. */
const MEAN = SUBS + 2
const VARIANCE = SUBS + 3
const LEVEL = SUBS + 4

/** Moves the clocks of a series on, and ends the parts of its `count` statistics that are over. */
// hot: per reading
export function movePeaks(
  row: Float64Array,
  clocks: number,
  peaks: number,
  count: number,
  tsMs: number,
): void {
  for (let horizon = 0; horizon < HORIZONS; horizon++) {
    const clock = clocks + horizon * CLOCK_SLOTS
    if (row[clock + END] === 0) row[clock + END] = tsMs + PART_MS[horizon]
    const readings = ++row[clock + READINGS]
    if (tsMs < row[clock + END] || readings < PART_READINGS_MIN) continue
    const parts = ++row[clock + PARTS]
    row[clock + READINGS] = 0
    row[clock + END] = tsMs + PART_MS[horizon]
    const oldest = (parts - 1) % SUBS
    const windows = parts - SUBS + 1
    const gain = Math.max(1 / windows, 1 / MEMORY_PARTS[horizon])
    let at = peaks + horizon * HORIZON_SLOTS
    for (let i = 0; i < count; i++, at += PEAK_SLOTS) endPart(row, at, oldest, windows > 0, gain)
  }
}

function endPart(row: Float64Array, at: number, oldest: number, isWindow: boolean, gain: number): void {
  row[at + oldest] = row[at + CURRENT]
  row[at + CURRENT] = 0
  let top = 0
  let recent = 0
  const next = (oldest + 1) % SUBS
  for (let part = 0; part < SUBS; part++) {
    const peak = row[at + part]
    if (peak > top) top = peak
    if (part !== next && peak > recent) recent = peak
  }
  row[at + TOP] = recent
  if (isWindow) learn(row, at, top, gain)
}

function learn(row: Float64Array, at: number, top: number, gain: number): void {
  if (row[at + LEVEL] === 0) {
    if (top === 0) return
    // The first window with anything in it.
    row[at + LEVEL] = top
    row[at + MEAN] = Math.log(top * (1 + FLOOR_SHARE))
    return
  }
  const level = row[at + LEVEL] + gain * (top - row[at + LEVEL])
  row[at + LEVEL] = level
  const off = Math.log(top + FLOOR_SHARE * level) - row[at + MEAN]
  row[at + MEAN] += gain * off
  row[at + VARIANCE] = (1 - gain) * (row[at + VARIANCE] + gain * off * off)
}

/**
 * Deviations by which `statistic`, not negative, lies above the usual maxima, the mean over the horizons; 0 when it is
 * not the greatest of its window. Notes it for the windows to come.
 */
// hot: per reading and statistic
export function rarity(row: Float64Array, clocks: number, peak: number, statistic: number): number {
  let sum = 0
  let count = 0
  for (let horizon = 0; horizon < HORIZONS; horizon++) {
    const at = peak + horizon * HORIZON_SLOTS
    if (statistic > row[at + CURRENT]) row[at + CURRENT] = statistic
    const parts = row[clocks + horizon * CLOCK_SLOTS + PARTS]
    const isKnown = parts >= PARTS_MIN[horizon]
    if (isKnown) count++
    if (!(statistic > row[at + TOP])) {
      if (isKnown) sum -= 1
      continue
    }
    row[at + TOP] = statistic
    if (isKnown)
      sum += deviations(row, at, statistic, Math.min(parts - SUBS + 1, MEMORY_PARTS[horizon]) / SUBS)
  }
  return sum > 0 ? sum / count : 0
}

function deviations(row: Float64Array, at: number, statistic: number, windows: number): number {
  const level = row[at + LEVEL]
  if (level === 0) return RARITY_MAX
  const variance = (windows * row[at + VARIANCE] + PRIOR_WINDOWS * PRIOR_VARIANCE) / (windows + PRIOR_WINDOWS)
  const off = Math.log(statistic + FLOOR_SHARE * level) - row[at + MEAN]
  const found = off / (Math.sqrt(variance) + DEVIATION_FLOOR)
  return found < -1 ? -1 : Math.min(found, RARITY_MAX)
}

/** What the statistic may reach without being rare by `rare` deviations within a quarter of a day; NaN while unknown. */
export function usualPeak(row: Float64Array, clocks: number, peak: number, rare: number): number {
  const parts = row[clocks + PARTS]
  const level = row[peak + LEVEL]
  if (parts < PARTS_MIN[0]) return Number.NaN
  if (level === 0) return 0
  const windows = Math.min(parts - SUBS + 1, MEMORY_PARTS[0]) / SUBS
  const variance =
    (windows * row[peak + VARIANCE] + PRIOR_WINDOWS * PRIOR_VARIANCE) / (windows + PRIOR_WINDOWS)
  const reach = row[peak + MEAN] + rare * (Math.sqrt(variance) + DEVIATION_FLOOR)
  return Math.max(0, Math.exp(reach) - FLOOR_SHARE * level)
}

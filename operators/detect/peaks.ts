/**
 * How rare a statistic is, told from its own recent maxima: the greatest value of each window of time is
 * remembered as mean and deviation of its logarithm (a log-normal fit of block maxima, by moments), and a
 * new greatest value is so many deviations above them. Steps that come every day are maxima of every day, so
 * they become ordinary by themselves, and series of all kinds and units become comparable. Two horizons, a
 * quarter and a full day, tell habits of a day from those within one. Windows overlap: each is the last
 * PARTS parts, and moves on by one; a window of the short horizon is a part of the long one.
 *
 * All of it are slots in a series' row: a clock, shared by the statistics of the series, then PEAK_SLOTS for
 * each. Invariant: nothing is learned from a part before it ended.
 */

const PARTS = 4
/** The short horizon's. */
const PART_MS = (6 * 3_600_000) / PARTS
/** Slow series: a part ends with so many readings at the earliest. */
const PART_READINGS_MIN = 3
/**
 * How many windows back the moments reach, and how many of its parts a horizon must have seen before it
 * judges.
 */
const SHORT_MEMORY = 40 * PARTS
const LONG_MEMORY = 14 * PARTS
const SHORT_PARTS_MIN = 13
const LONG_PARTS_MIN = 7

/**
 * Weight of an assumed deviation of logarithms before many windows were seen, in windows; and that
 * deviation.
 */
const PRIOR_WINDOWS = 2
const PRIOR_VARIANCE = 0.4 ** 2
/** Added to the deviation, so that maxima that were all equal do not make the next one infinitely rare. */
const DEVIATION_FLOOR = 0.2
/** Maxima far below their mean are as good as this share of it: silence is no evidence of smallness. */
const FLOOR_SHARE = 0.05
/** What the long horizon says counts that much more than the short one. */
const LONG_WEIGHT = 1.5
const RARITY_MAX = 12

export const CLOCK_SLOTS = 3
const END = 0
const READINGS = 1
const ENDED_PARTS = 2

/**
 * Greatest of the running part, and of the running window: the last parts but the oldest, and the running
 * one.
 */
const CURRENT = 0
const SHORT_TOP = 1
const LONG_TOP = 2
/** Of the windows' maxima: mean and variance of the logarithms, and their own mean. */
const SHORT_MOMENTS = 3
const LONG_MOMENTS = 6
const MEAN = 0
const VARIANCE = 1
const LEVEL = 2
const SHORT_PARTS = 9
const LONG_PARTS = SHORT_PARTS + PARTS
/** Slots of one statistic. */
export const PEAK_SLOTS = LONG_PARTS + PARTS

/** Moves the clock of a series on; when a part is over, ends it for the `count` statistics, and says so. */
// hot: per reading
export function movePeaks(
  row: Float64Array,
  clock: number,
  peaks: number,
  count: number,
  tsMs: number,
): boolean {
  if (row[clock + END] === 0) row[clock + END] = tsMs + PART_MS
  const readings = ++row[clock + READINGS]
  if (tsMs < row[clock + END] || readings < PART_READINGS_MIN) return false
  const ended = ++row[clock + ENDED_PARTS]
  row[clock + READINGS] = 0
  row[clock + END] = tsMs + PART_MS
  for (let i = 0, peak = peaks; i < count; i++, peak += PEAK_SLOTS) {
    const current = row[peak + CURRENT]
    row[peak + CURRENT] = 0
    const window = endPart(row, peak + SHORT_PARTS, peak + SHORT_TOP, ended, current)
    if (ended >= PARTS) learn(row, peak + SHORT_MOMENTS, window, ended - PARTS + 1, SHORT_MEMORY)
    if (ended % PARTS !== 0) continue
    const endedLong = ended / PARTS
    const day = endPart(row, peak + LONG_PARTS, peak + LONG_TOP, endedLong, window)
    if (endedLong >= PARTS) learn(row, peak + LONG_MOMENTS, day, endedLong - PARTS + 1, LONG_MEMORY)
  }
  return true
}

/** The maximum of the window that ends with the part; what stays in the running one goes to `row[top]`. */
function endPart(row: Float64Array, parts: number, top: number, ended: number, peak: number): number {
  row[parts + ((ended - 1) % PARTS)] = peak
  const oldest = ended % PARTS
  let recent = 0
  for (let part = 0; part < PARTS; part++) {
    if (part !== oldest && row[parts + part] > recent) recent = row[parts + part]
  }
  row[top] = recent
  return Math.max(recent, row[parts + oldest])
}

function learn(row: Float64Array, at: number, peak: number, windows: number, memory: number): void {
  if (row[at + LEVEL] === 0) {
    if (peak === 0) return
    // The first window with anything in it.
    row[at + LEVEL] = peak
    row[at + MEAN] = Math.log(peak * (1 + FLOOR_SHARE))
    return
  }
  const gain = Math.max(1 / windows, 1 / memory)
  const level = row[at + LEVEL] + gain * (peak - row[at + LEVEL])
  row[at + LEVEL] = level
  const off = Math.log(peak + FLOOR_SHARE * level) - row[at + MEAN]
  row[at + MEAN] += gain * off
  row[at + VARIANCE] = (1 - gain) * (row[at + VARIANCE] + gain * off * off)
}

/**
 * Deviations by which `statistic`, not negative, lies above the usual maxima, the mean over the horizons; 0
 * when it is not the greatest of its window. Notes it for the windows to come.
 */
// hot: per reading and statistic
export function rarity(row: Float64Array, clock: number, peak: number, statistic: number): number {
  if (statistic > row[peak + CURRENT]) row[peak + CURRENT] = statistic
  return statistic > row[peak + SHORT_TOP] ? rarityOfTop(row, clock, peak, statistic) : 0
}

function rarityOfTop(row: Float64Array, clock: number, peak: number, statistic: number): number {
  row[peak + SHORT_TOP] = statistic
  const isTopOfDay = statistic > row[peak + LONG_TOP]
  if (isTopOfDay) row[peak + LONG_TOP] = statistic
  const parts = row[clock + ENDED_PARTS]
  if (parts < SHORT_PARTS_MIN) return 0
  const short = deviations(row, peak + SHORT_MOMENTS, statistic, Math.min(parts - PARTS + 1, SHORT_MEMORY))
  const longParts = Math.floor(parts / PARTS)
  if (longParts < LONG_PARTS_MIN) return Math.max(0, short)
  const windows = Math.min(longParts - PARTS + 1, LONG_MEMORY)
  const long = isTopOfDay ? deviations(row, peak + LONG_MOMENTS, statistic, windows) : -1
  return Math.max(0, (short + LONG_WEIGHT * long) / (1 + LONG_WEIGHT))
}

function deviations(row: Float64Array, at: number, statistic: number, parts: number): number {
  const level = row[at + LEVEL]
  if (level === 0) return RARITY_MAX
  const off = Math.log(statistic + FLOOR_SHARE * level) - row[at + MEAN]
  return Math.min(RARITY_MAX, Math.max(-1, off / usualDeviation(row, at, parts / PARTS)))
}

function usualDeviation(row: Float64Array, at: number, windows: number): number {
  const prior = PRIOR_WINDOWS * PRIOR_VARIANCE
  return DEVIATION_FLOOR + Math.sqrt((windows * row[at + VARIANCE] + prior) / (windows + PRIOR_WINDOWS))
}

/**
 * What the statistic may reach without being rare by `rare` deviations of the short horizon; NaN while
 * unknown.
 */
export function usualPeak(row: Float64Array, clock: number, peak: number, rare: number): number {
  const parts = row[clock + ENDED_PARTS]
  if (parts < SHORT_PARTS_MIN) return Number.NaN
  const at = peak + SHORT_MOMENTS
  if (row[at + LEVEL] === 0) return 0
  const windows = Math.min(parts - PARTS + 1, SHORT_MEMORY) / PARTS
  const reach = Math.exp(row[at + MEAN] + rare * usualDeviation(row, at, windows))
  return Math.max(0, reach - FLOOR_SHARE * row[at + LEVEL])
}

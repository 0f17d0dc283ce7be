/**
 * How rare statistics of a series are, each told from its own recent maxima: the greatest value of each window of time is
 * remembered as mean and deviation of its logarithm (a log-normal fit of block maxima, by moments), and a
 * new greatest value is so many deviations above them. Steps that come every day are maxima of every day, so
 * they become ordinary by themselves, and series of all kinds and units become comparable. Two horizons, a
 * quarter and a full day, tell habits of a day from those within one. Windows overlap: each is the last
 * PARTS parts, and moves on by one; a window of the short horizon is a part of the long one.
 *
 * All of it are slots in a series' row, a field of all statistics side by side, after a clock that they share:
 * the usual reading exceeds no maximum and touches one field. Invariant: nothing is learned from a part before it ended.
 */

const PARTS = 4
/** The short horizon's. */
const PART_MS = (6 * 3_600_000) / PARTS
/** Slow series: a part ends with so many readings at the earliest. */
const PART_READINGS_MIN = 3
/** How many of its parts a horizon must have seen before it judges. */
const SHORT_PARTS_MIN = 13
const LONG_PARTS_MIN = 7
const RARITY_MAX = 12
/** More than rounding takes. */
const BAR_SLACK = 1e-9

export interface PeakSettings {
  /** How many windows back the moments reach. */
  shortMemory: number
  longMemory: number
  /** Weight of an assumed deviation of logarithms before many windows were seen, in windows; and that deviation. */
  priorWindows: number
  priorDeviation: number
  /** Added to the deviation, so that maxima that were all equal do not make the next one infinitely rare. */
  deviationFloor: number
  /** Maxima far below their mean are as good as this share of it: silence is no evidence of smallness. */
  floorShare: number
  /** What the long horizon says counts that much more than the short one. */
  longWeight: number
}

/** The clock. */
const END = 0
const READINGS = 1
const ENDED_PARTS = 2
const FIELDS = 3
/** The fields: greatest of the running part, and of the running windows: the last parts but the oldest, and the running one. */
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
/** What is not above it can't be rare before the part ends; 0 until somebody asks. */
const BAR = LONG_PARTS + PARTS
const FIELD_COUNT = BAR + 1

export class Peaks {
  /** Slots of a series. */
  readonly slots: number
  /** Of the reading that was judged last, deviations by which each statistic lies above its usual maxima. */
  readonly rare: Float64Array
  readonly #settings: PeakSettings
  readonly #count: number

  /** For `count` statistics. */
  constructor(count: number, settings: PeakSettings) {
    this.slots = FIELDS + count * FIELD_COUNT
    this.rare = new Float64Array(count)
    this.#settings = settings
    this.#count = count
  }

  /** Moves the clock of a series on; when a part is over, ends it for all statistics, and says so. */
  // hot: per reading
  move(row: Float64Array, at: number, tsMs: number): boolean {
    if (row[at + END] === 0) row[at + END] = tsMs + PART_MS
    const readings = ++row[at + READINGS]
    if (tsMs < row[at + END] || readings < PART_READINGS_MIN) return false
    const ended = ++row[at + ENDED_PARTS]
    row[at + READINGS] = 0
    row[at + END] = tsMs + PART_MS
    for (let i = 0; i < this.#count; i++) this.#endPart(row, at + FIELDS + i, ended)
    return true
  }

  /**
   * Sets `rare` for the statistics, none of them negative: the mean over the horizons, 0 for one that is not the greatest of
   * its window. Notes them for the windows to come. Whether any is rare.
   */
  // hot: per reading
  judge(row: Float64Array, at: number, statistics: Float64Array): boolean {
    const count = this.#count
    const current = at + FIELDS + CURRENT * count
    const { rare } = this
    let isAny = false
    for (let i = 0; i < count; i++) {
      rare[i] = 0
      if (!(statistics[i] > row[current + i])) continue
      row[current + i] = statistics[i]
      if (!(statistics[i] > row[current + SHORT_TOP * count + i])) continue
      rare[i] = this.#rarityOfTop(row, at, i, statistics)
      if (rare[i] > 0) isAny = true
    }
    return isAny
  }

  /** What the statistic may reach without being rare by `rare` deviations of the short horizon; NaN while unknown. */
  usual(row: Float64Array, at: number, index: number, rare: number): number {
    const parts = row[at + ENDED_PARTS]
    if (parts < SHORT_PARTS_MIN) return Number.NaN
    const count = this.#count
    const { shortMemory, floorShare } = this.#settings
    const moments = at + FIELDS + SHORT_MOMENTS * count + index
    const level = row[moments + LEVEL * count]
    if (level === 0) return 0
    const windows = Math.min((parts - PARTS + 1) / PARTS, shortMemory)
    const reach = row[moments] + rare * this.#deviation(row[moments + VARIANCE * count], windows)
    return Math.max(0, Math.exp(reach) - floorShare * level)
  }

  #endPart(row: Float64Array, field: number, ended: number): void {
    const count = this.#count
    const { shortMemory, longMemory } = this.#settings
    const current = row[field]
    row[field] = 0
    row[field + BAR * count] = 0
    const window = endWindow(
      row,
      field + SHORT_PARTS * count,
      field + SHORT_TOP * count,
      count,
      ended,
      current,
    )
    if (ended >= PARTS)
      this.#learn(row, field + SHORT_MOMENTS * count, window, ended - PARTS + 1, shortMemory * PARTS)
    if (ended % PARTS !== 0) return
    const endedLong = ended / PARTS
    const day = endWindow(row, field + LONG_PARTS * count, field + LONG_TOP * count, count, endedLong, window)
    if (endedLong >= PARTS)
      this.#learn(row, field + LONG_MOMENTS * count, day, endedLong - PARTS + 1, longMemory * PARTS)
  }

  #learn(row: Float64Array, moments: number, peak: number, windows: number, memory: number): void {
    const count = this.#count
    const { floorShare } = this.#settings
    const mean = moments + MEAN * count
    const variance = moments + VARIANCE * count
    const levelAt = moments + LEVEL * count
    if (row[levelAt] === 0) {
      if (peak === 0) return
      // The first window with anything in it.
      row[levelAt] = peak
      row[mean] = Math.log(peak * (1 + floorShare))
      return
    }
    const gain = Math.max(1 / windows, 1 / memory)
    const level = row[levelAt] + gain * (peak - row[levelAt])
    row[levelAt] = level
    const off = Math.log(peak + floorShare * level) - row[mean]
    row[mean] += gain * off
    row[variance] = (1 - gain) * (row[variance] + gain * off * off)
  }

  #rarityOfTop(row: Float64Array, at: number, index: number, statistics: Float64Array): number {
    const count = this.#count
    const { shortMemory, longMemory, longWeight } = this.#settings
    const field = at + FIELDS + index
    const statistic = statistics[index]
    row[field + SHORT_TOP * count] = statistic
    const isTopOfDay = statistic > row[field + LONG_TOP * count]
    if (isTopOfDay) row[field + LONG_TOP * count] = statistic
    const parts = row[at + ENDED_PARTS]
    if (parts < SHORT_PARTS_MIN) return 0
    const bar = row[field + BAR * count]
    if (statistic <= (bar === 0 ? this.#setBar(row, field) : bar)) return 0
    const windows = Math.min((parts - PARTS + 1) / PARTS, shortMemory)
    const short = this.#deviations(row, field + SHORT_MOMENTS * count, statistic, windows)
    const longParts = Math.floor(parts / PARTS)
    if (longParts < LONG_PARTS_MIN) return Math.max(0, short)
    const days = Math.min((longParts - PARTS + 1) / PARTS, longMemory)
    const long = isTopOfDay ? this.#deviations(row, field + LONG_MOMENTS * count, statistic, days) : -1
    return Math.max(0, (short + longWeight * long) / (1 + longWeight))
  }

  /**
   * Where neither horizon finds a deviation above 0. A trend sets many new maxima before it comes near the usual ones, and
   * logarithms are dear (bench detection).
   */
  #setBar(row: Float64Array, field: number): number {
    const count = this.#count
    const short = this.#usualMaximum(row, field + SHORT_MOMENTS * count)
    const long = this.#usualMaximum(row, field + LONG_MOMENTS * count)
    const bar = (1 - BAR_SLACK) * Math.min(short, long)
    row[field + BAR * count] = bar
    return bar
  }

  /** By the mean of the logarithms. */
  #usualMaximum(row: Float64Array, moments: number): number {
    const level = row[moments + LEVEL * this.#count]
    return level === 0 ? 0 : Math.exp(row[moments]) - this.#settings.floorShare * level
  }

  #deviations(row: Float64Array, moments: number, statistic: number, windows: number): number {
    const count = this.#count
    const level = row[moments + LEVEL * count]
    if (level === 0) return RARITY_MAX
    const off = Math.log(statistic + this.#settings.floorShare * level) - row[moments]
    const deviation = this.#deviation(row[moments + VARIANCE * count], windows)
    return Math.min(RARITY_MAX, Math.max(-1, off / deviation))
  }

  #deviation(variance: number, windows: number): number {
    const { priorWindows, priorDeviation, deviationFloor } = this.#settings
    const prior = priorWindows * priorDeviation * priorDeviation
    return deviationFloor + Math.sqrt((windows * variance + prior) / (windows + priorWindows))
  }
}

/** The maximum of the window that ends with the part; what stays in the running one goes to `row[top]`. Parts lie `stride` apart. */
function endWindow(
  row: Float64Array,
  parts: number,
  top: number,
  stride: number,
  ended: number,
  peak: number,
): number {
  row[parts + ((ended - 1) % PARTS) * stride] = peak
  const oldest = ended % PARTS
  let recent = 0
  for (let part = 0; part < PARTS; part++) {
    if (part !== oldest && row[parts + part * stride] > recent) recent = row[parts + part * stride]
  }
  row[top] = recent
  return Math.max(recent, row[parts + oldest * stride])
}

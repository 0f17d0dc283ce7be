/**
 * The rhythm of a week: what this hour of the day, and this hour of the week once it is known, usually
 * brings (UTC), and how far readings usually are from that. A reading too far off is one of note, however
 * ordinary its value is at other hours.
 */
import { checkSetting, OWN_SLOTS, SeriesDetector, scoreOf } from './series-detector.ts'

export interface SeasonalSettings {
  /** Deviations at which a reading is beyond its limit. */
  limit: number
}

const HOUR_MS = 3_600_000
const HOURS = 24
const WEEK_HOURS = 168
/** 1 January 1970 was a Thursday: hours of the week count from then. */
const DAY_MEAN = OWN_SLOTS
const DAY_COUNT = DAY_MEAN + HOURS
const DAY_VARIANCE = DAY_COUNT + HOURS
const WEEK_MEAN = DAY_VARIANCE + HOURS
const WEEK_COUNT = WEEK_MEAN + WEEK_HOURS
const SLOTS = WEEK_COUNT + WEEK_HOURS
/** Readings of an hour before it is judged, and before the hour of the week takes over. */
const READINGS_MIN = 12
/** Two days of a reading a minute, a month of one in ten. */
const GAIN = 1 / 128
const VARIANCE_GAIN = 1 / 256

export class SeasonalDetector extends SeriesDetector {
  readonly #limit: number

  constructor({ limit = 6 }: Partial<SeasonalSettings> = {}) {
    checkSetting('limit', limit, 1, 1e6)
    super(SLOTS, [limit])
    this.#limit = limit
  }

  // hot: per reading
  protected judge(
    row: Float64Array,
    at: number,
    _count: number,
    _ms: number,
    tsMs: number,
    value: number,
  ): number {
    const hours = Math.floor(tsMs / HOUR_MS)
    const hour = ((hours % HOURS) + HOURS) % HOURS
    const weekHour = ((hours % WEEK_HOURS) + WEEK_HOURS) % WEEK_HOURS
    const isWeekKnown = row[at + WEEK_COUNT + weekHour] >= READINGS_MIN
    const usual = isWeekKnown ? row[at + WEEK_MEAN + weekHour] : row[at + DAY_MEAN + hour]
    const seen = row[at + DAY_COUNT + hour]
    const deviation = Math.sqrt(row[at + DAY_VARIANCE + hour])
    const isKnown = seen >= READINGS_MIN && deviation > 0
    const reach = isKnown ? this.#limit * deviation : Number.NaN
    this.expectedLow = usual - reach
    this.expectedHigh = usual + reach
    const score = isKnown ? scoreOf(Math.abs(value - usual) / deviation, this.#limit) : 0
    const off = score >= 0.5 ? Math.sign(value - usual) * reach : value - usual
    learn(row, at, hour, weekHour, seen, usual + off, off)
    return score
  }
}

function learn(
  row: Float64Array,
  at: number,
  hour: number,
  weekHour: number,
  seen: number,
  value: number,
  off: number,
): void {
  if (seen > 0) {
    const gain = Math.max(VARIANCE_GAIN, 1 / seen)
    row[at + DAY_VARIANCE + hour] += gain * (off * off - row[at + DAY_VARIANCE + hour])
  }
  row[at + DAY_COUNT + hour] = seen + 1
  row[at + DAY_MEAN + hour] += Math.max(GAIN, 1 / (seen + 1)) * (value - row[at + DAY_MEAN + hour])
  const weekSeen = ++row[at + WEEK_COUNT + weekHour]
  row[at + WEEK_MEAN + weekHour] += Math.max(GAIN, 1 / weekSeen) * (value - row[at + WEEK_MEAN + weekHour])
}

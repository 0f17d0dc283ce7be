/**
 * Days, weeks from Monday, and months of a time zone, as half-open spans of instants. A unit begins with the first instant at
 * which the clocks show its first midnight or later, as in ClickHouse's toStartOfDay and its like: a midnight that comes twice
 * counts the first time, and a day that was skipped is no span. Spans are computed when first asked for and kept in a small table.
 */

import { TimeZone } from './time-zone.ts'
import type { CalendarUnit } from './window-spec.ts'

const DAY_MS = 86_400_000
/** A span is shorter than a day by less than this, so a quarter of a day touches two spans at most. */
const QUARTER_MS = DAY_MS / 4
/** Quarters of days kept: a year and more of them. */
const TABLE_SIZE = 2048

export class Calendar {
  readonly unit: CalendarUnit
  readonly timeZone: string
  /** The span that was located last. */
  startMs = 0
  endMs = 0
  readonly #zone: TimeZone
  /** Two spans for each quarter: the one that was there when it began, and the one that begins in it. */
  readonly #starts = new Float64Array(TABLE_SIZE * 2)
  readonly #ends = new Float64Array(TABLE_SIZE * 2)

  /** Throws RangeError for a name that is no time zone. */
  constructor(unit: CalendarUnit, timeZone: string) {
    this.unit = unit
    this.timeZone = timeZone
    this.#zone = new TimeZone(timeZone)
  }

  /** Sets `startMs` and `endMs` to those of the span that holds the instant. */
  locate(ts: number): void {
    if (ts >= this.startMs && ts < this.endMs) return
    const quarter = Math.floor(ts / QUARTER_MS)
    let at = (((quarter % TABLE_SIZE) + TABLE_SIZE) % TABLE_SIZE) * 2
    if (!(ts >= this.#starts[at] && ts < this.#ends[at])) {
      at++
      if (!(ts >= this.#starts[at] && ts < this.#ends[at])) {
        this.#compute(ts)
        if (this.startMs <= quarter * QUARTER_MS) at--
        this.#starts[at] = this.startMs
        this.#ends[at] = this.endMs
        return
      }
    }
    this.startMs = this.#starts[at]
    this.endMs = this.#ends[at]
  }

  startOf(ts: number): number {
    this.locate(ts)
    return this.startMs
  }

  endOf(ts: number): number {
    this.locate(ts)
    return this.endMs
  }

  #compute(ts: number): void {
    const localDay = Math.floor((Math.floor(ts) + this.#zone.offsetMs(ts)) / DAY_MS)
    let first = firstDayOf(this.unit, localDay)
    let next = dayAfter(this.unit, first)
    let startMs = this.#zone.firstAt(first * DAY_MS)
    let endMs = this.#zone.firstAt(next * DAY_MS)
    // Where clocks were set back over midnight the next unit may have begun; a day that was skipped is empty.
    while (endMs <= ts) {
      first = next
      next = dayAfter(this.unit, first)
      startMs = endMs
      endMs = this.#zone.firstAt(next * DAY_MS)
    }
    this.startMs = startMs + 0
    this.endMs = endMs + 0
  }
}

/** The first day of the unit that holds the day; days are counted from 1970-01-01. */
function firstDayOf(unit: CalendarUnit, day: number): number {
  if (unit === 'day') return day
  if (unit === 'week') return Math.floor((day + 3) / 7) * 7 - 3
  return firstOfMonth(monthOf(day))
}

function dayAfter(unit: CalendarUnit, first: number): number {
  if (unit === 'day') return first + 1
  if (unit === 'week') return first + 7
  return firstOfMonth(monthOf(first) + 1)
}

/** In the Gregorian calendar 400 years are this many days; years that begin in March end with the leap day. */
const CYCLE_DAYS = 146_097
const CYCLE_MONTHS = 4800
/** From 0000-03-01 to 1970-01-01. */
const EPOCH_DAYS = 719_468

/** The month's number, 12 a year, counted from March of the year 0. */
function monthOf(day: number): number {
  const cycle = Math.floor((day + EPOCH_DAYS) / CYCLE_DAYS)
  const dayOfCycle = day + EPOCH_DAYS - cycle * CYCLE_DAYS
  let month = cycle * CYCLE_MONTHS + Math.min(CYCLE_MONTHS - 1, Math.floor(dayOfCycle / 30.436875))
  while (firstOfMonth(month) > day) month--
  while (firstOfMonth(month + 1) <= day) month++
  return month
}

function firstOfMonth(month: number): number {
  const cycle = Math.floor(month / CYCLE_MONTHS)
  const monthOfCycle = month - cycle * CYCLE_MONTHS
  const year = Math.floor(monthOfCycle / 12)
  // Five months from March on, and from August on, are 153 days: 31 30 31 30 31.
  const dayOfYear = Math.floor((153 * (monthOfCycle % 12) + 2) / 5)
  const leapDays = Math.floor(year / 4) - Math.floor(year / 100)
  return cycle * CYCLE_DAYS + year * 365 + leapDays + dayOfYear - EPOCH_DAYS
}

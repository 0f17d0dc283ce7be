import { describe, expect, test } from 'vitest'
import { Prng } from '../base/prng.ts'
import { Calendar } from './calendar.ts'
import { TimeZone } from './time-zone.ts'
import type { CalendarUnit } from './window-spec.ts'

const ZONES = [
  'UTC',
  'Europe/Berlin',
  'America/New_York',
  'Australia/Lord_Howe',
  'Asia/Kolkata',
  'Pacific/Chatham',
  'Pacific/Apia',
  'America/St_Johns',
  'America/Sao_Paulo',
  'America/Havana',
  'Asia/Beirut',
  'Africa/Casablanca',
  'Africa/Monrovia',
  'Europe/Amsterdam',
  'Asia/Manila',
  'America/Juneau',
  'Pacific/Kwajalein',
  'Antarctica/Troll',
  'Asia/Gaza',
]
const UNITS: CalendarUnit[] = ['day', 'week', 'month']
const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

/** What the clocks show, as a count of the unit that only grows with the date shown: by Intl's fields, not its offsets. */
function makeShown(timeZone: string): (unit: CalendarUnit, ts: number) => number {
  const format = new Intl.DateTimeFormat('en-US', {
    timeZone,
    hourCycle: 'h23',
    era: 'short',
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
  })
  return (unit, ts) => {
    const match = /^(\d+)\/(\d+)\/(\d+) (AD|BC)$/.exec(
      format.format(ts).replace(/ A$/, ' AD').replace(/ B$/, ' BC'),
    )
    if (match === null) throw new Error(`unexpected ${format.format(ts)}`)
    const year = match[4] === 'AD' ? Number(match[3]) : 1 - Number(match[3])
    if (unit === 'month') return year * 12 + Number(match[1]) - 1
    const date = new Date(0)
    date.setUTCFullYear(year, Number(match[1]) - 1, Number(match[2]))
    const day = date.getTime() / DAY_MS
    return unit === 'day' ? day : Math.floor((day + 3) / 7)
  }
}

/**
 * The span by its definition: it begins with the first instant that shows this unit or a later one. Changes of more than two days
 * do not occur, so before `ts` less two days and the unit nothing later was shown.
 */
function spanByIntl(shown: (ts: number) => number, ts: number, unitMsMax: number, stepMs: number) {
  const firstShowing = (unit: number, fromMs: number, toMs: number): number => {
    // Steps that miss no date shown for a while before the clocks go back, then ms by bisection.
    let at = fromMs
    while (at < toMs && shown(at) < unit) at += stepMs
    let low = at - stepMs
    let high = at
    while (high - low > 1) {
      const middle = Math.floor((low + high) / 2)
      if (shown(middle) < unit) low = middle
      else high = middle
    }
    return high
  }
  let newest = shown(ts)
  for (let at = ts - 2 * DAY_MS; at < ts; at += stepMs) newest = Math.max(newest, shown(at))
  const nearStart = coarse(shown, newest, ts - unitMsMax - 2 * DAY_MS, ts)
  const nearEnd = coarse(shown, newest + 1, ts, ts + unitMsMax + 2 * DAY_MS)
  return {
    startMs: firstShowing(newest, nearStart - 3 * DAY_MS, ts + 1),
    endMs: firstShowing(newest + 1, nearEnd - 3 * DAY_MS, nearEnd + 3 * DAY_MS),
  }
}

function coarse(shown: (ts: number) => number, unit: number, fromMs: number, toMs: number): number {
  let low = fromMs
  let high = toMs
  while (high - low > HOUR_MS) {
    const middle = Math.floor((low + high) / 2)
    if (shown(middle) < unit) low = middle
    else high = middle
  }
  return high
}

/** St. John's clocks went back at a minute past midnight. */
const stepOf = (timeZone: string) => (timeZone === 'America/St_Johns' ? 60_000 : 900_000)
const UNIT_MS_MAX = { day: 2 * DAY_MS, week: 8 * DAY_MS, month: 33 * DAY_MS }

/** Instants at which the zone's offset changes, looked for in steps of ten days. */
function changesOf(zone: TimeZone, fromMs: number, toMs: number): number[] {
  const changes: number[] = []
  for (let at = fromMs; at < toMs; at += 10 * DAY_MS) {
    let low = at
    let high = at + 10 * DAY_MS
    if (zone.offsetMs(low) === zone.offsetMs(high)) continue
    while (high - low > 1) {
      const middle = Math.floor((low + high) / 2)
      if (zone.offsetMs(middle) === zone.offsetMs(low)) low = middle
      else high = middle
    }
    changes.push(high)
  }
  return changes
}

describe.each(ZONES)('%s', (timeZone) => {
  const shownIn = makeShown(timeZone)
  const zone = new TimeZone(timeZone)
  const changes = changesOf(zone, Date.UTC(1840, 0), Date.UTC(2040, 0))
  const prng = new Prng(timeZone.length * 7919 + timeZone.charCodeAt(timeZone.length - 1))
  const instants: number[] = []
  const pick = () => changes[prng.between(0, changes.length - 1)]
  for (let i = 0; i < 14; i++) {
    instants.push(
      prng.between(Date.UTC(2015, 0) / 1000, Date.UTC(2035, 0) / 1000) * 1000 + prng.between(0, 999),
    )
    if (changes.length > 0) instants.push(pick() + prng.between(-DAY_MS, DAY_MS), pick() - 1, pick())
  }

  test('spans are those that its clocks show', () => {
    for (const unit of UNITS) {
      const calendar = new Calendar(unit, timeZone)
      const shown = (ts: number) => shownIn(unit, ts)
      for (const ts of unit === 'day' ? instants : instants.slice(0, 9)) {
        calendar.locate(ts)
        const { startMs, endMs } = calendar
        const about = `${unit} of ${new Date(ts).toISOString()}`
        expect({ startMs, endMs }, about).toEqual(spanByIntl(shown, ts, UNIT_MS_MAX[unit], stepOf(timeZone)))
      }
    }
  })

  test('spans adjoin, whatever the order they are asked for in', () => {
    for (const unit of UNITS) {
      const calendar = new Calendar(unit, timeZone)
      const fresh = new Calendar(unit, timeZone)
      for (const ts of [
        ...instants,
        ...instants.map((instant) => -instant * 20),
        -8.64e15,
        8.64e15,
        0.5,
        -0.5,
      ]) {
        calendar.locate(ts)
        const { startMs, endMs } = calendar
        const about = `${unit} of ${ts}`
        expect(startMs <= ts && ts < endMs, about).toBe(true)
        expect(calendar.startOf(endMs), about).toBe(endMs)
        expect(calendar.endOf(startMs - 1), about).toBe(startMs)
        expect([calendar.startOf(ts), calendar.endOf(ts)], about).toEqual([startMs, endMs])
        expect([fresh.startOf(ts), fresh.endOf(ts)], about).toEqual([startMs, endMs])
      }
    }
  })
})

test('known days', () => {
  const apia = new Calendar('day', 'Pacific/Apia')
  // Friday 30 December 2011 was skipped.
  expect(apia.endOf(Date.UTC(2011, 11, 30, 9, 59))).toBe(Date.UTC(2011, 11, 30, 10))
  expect(apia.startOf(Date.UTC(2011, 11, 30, 10))).toBe(Date.UTC(2011, 11, 30, 10))
  expect(apia.endOf(Date.UTC(2011, 11, 30, 10))).toBe(Date.UTC(2011, 11, 31, 10))
  const berlin = new Calendar('day', 'Europe/Berlin')
  expect(berlin.endOf(Date.UTC(2026, 2, 29, 5)) - berlin.startOf(Date.UTC(2026, 2, 29, 5))).toBe(23 * HOUR_MS)
  expect(berlin.endOf(Date.UTC(2026, 9, 25, 5)) - berlin.startOf(Date.UTC(2026, 9, 25, 5))).toBe(25 * HOUR_MS)
  const lordHowe = new Calendar('day', 'Australia/Lord_Howe')
  const day = Date.UTC(2026, 3, 4, 20)
  expect(lordHowe.endOf(day) - lordHowe.startOf(day)).toBe(24.5 * HOUR_MS)
  // Clocks went back a minute after midnight: the day had begun, and goes on.
  const stJohns = new Calendar('day', 'America/St_Johns')
  expect(stJohns.startOf(Date.UTC(2006, 9, 29, 2, 45))).toBe(Date.UTC(2006, 9, 29, 2, 30))
  const week = new Calendar('week', 'Asia/Kolkata')
  expect(new Date(week.startOf(Date.UTC(2026, 10, 20))).toISOString()).toBe('2026-11-15T18:30:00.000Z')
})

test('a name that is no time zone is refused', () => {
  expect(() => new Calendar('day', 'Mars/Olympus')).toThrow(RangeError)
})

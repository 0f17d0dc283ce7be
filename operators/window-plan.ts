/**
 * Which windows are fed by which. A level is a kind of panes; a pane that leaves hands what it holds to the wider levels it feeds
 * and to the hopping windows that contain it, so a reading is added once per family, not once per window. Pure; runs once, at the
 * start. Invariant: panes of a level are never cut by the boundaries of one that it feeds.
 */
import { Calendar } from './calendar.ts'
import type { HoppingPlan } from './hopping-panes.ts'
import type { Aggregate, WindowKind } from './window-spec.ts'

/** A setting that makes no sense; `message` names it. */
export class WindowSettingsError extends Error {
  readonly code = 'WINDOW_SETTINGS'
}

/** A window whose partial rows merge. Every WindowSpec of these kinds is one. */
export type MergeableWindow = Extract<WindowKind, { kind: 'tumbling' | 'hopping' | 'calendar' }> & {
  /** Of these, variance, distinct and quantiles cost extra; the others come with every row. */
  readonly aggregates?: readonly Aggregate[]
  /** Open panes leave this often, as partial rows; null or absent: only when they close. */
  readonly earlyMs?: number | null
}

export interface Level {
  /** Index in the list of windows; -1 for a level that has no rows and only feeds others. */
  window: number
  /** Of a calendar's level the longest that its panes can be. */
  widthMs: number
  /** What its panes are spans of; null for multiples of the width. */
  calendar: Calendar | null
  /** Calendars fed from here, directly or not: panes are cut at their boundaries. */
  cuts: Calendar[]
  /** The levels that a pane feeds when it leaves. Always higher ones. */
  children: number[]
  /** Indices of the family's hopping windows that share its panes. */
  hoppings: number[]
  /** Infinity when panes leave only when they close. */
  earlyMs: number
  /** A bit for each extra that its rows, or those of what it feeds, have. */
  needs: number
}

/** Levels of which the first takes readings; narrow before wide, tumbling before calendars. */
export interface FamilyPlan {
  levels: Level[]
  hoppings: HoppingPlan[]
}

/** What panes keep beside their records when asked for, as bits of `needs`. */
export const EXTRA_BITS = { variance: 1, distinct: 2, quantiles: 4, sum_error: 8 } as const

const DAY_MS = 86_400_000
const WIDTH_MS_MAX = 366 * DAY_MS
/** Panes in a hopping window; a late pane gives up to that many rows. */
const HOPPING_PANES_MAX = 1440
/** The longest feeder of a calendar: it is cut where a zone's days do not begin with its panes. */
const CALENDAR_FEEDER_MS_MAX = 3_600_000
const UNIT_MS_MAX = { day: 2 * DAY_MS, week: 8 * DAY_MS, month: 32 * DAY_MS }
const UNITS = ['day', 'week', 'month'] as const

/** `needsAll` has bits that every window needs. Throws WindowSettingsError. */
export function planFamilies(windows: readonly MergeableWindow[], needsAll = 0): FamilyPlan[] {
  if (windows.length === 0) throw new WindowSettingsError('at least one window is needed')
  const labels = windows.map(describeWindow)
  for (const [index, label] of labels.entries()) {
    if (labels.indexOf(label) !== index) throw new WindowSettingsError(`${label} stands twice`)
    checkWindow(windows[index], label)
  }
  const families: FamilyPlan[] = []
  for (const level of tumblingLevels(windows, needsAll)) {
    const feeder = findFeeder(families, ({ calendar, widthMs }) => {
      return calendar === null && level.widthMs % widthMs === 0 ? widthMs : 0
    })
    addLevel(families, level, feedsInTime(feeder, level.earlyMs) ? feeder : null)
  }
  addHoppings(families, windows, needsAll)
  for (const unit of UNITS) {
    for (const [index, window] of windows.entries()) {
      if (window.kind === 'calendar' && window.unit === unit) addCalendar(families, window, index, needsAll)
    }
  }
  for (const { levels } of families) passDown(levels)
  return families
}

/** For messages, and to tell whether two are the same. */
function describeWindow(window: MergeableWindow): string {
  if (window.kind === 'calendar') return `calendar window ${window.unit} ${window.timeZone}`
  if (window.kind === 'hopping') return `hopping window ${window.widthMs}/${window.hopMs}`
  return `tumbling window ${window.widthMs}`
}

function checkWindow(window: MergeableWindow, label: string): void {
  const { kind, earlyMs } = window
  const fail = (what: string): never => {
    throw new WindowSettingsError(`${label}: ${what}`)
  }
  const isWidth = (ms: number) => Number.isInteger(ms) && ms >= 1 && ms <= WIDTH_MS_MAX
  if (kind === 'calendar') {
    if (!UNITS.includes(window.unit)) fail('the unit is day, week or month')
  } else if (!isWidth(window.widthMs)) {
    fail(`the width is not a whole number of 1 to ${WIDTH_MS_MAX} ms`)
  }
  if (kind === 'hopping') {
    const { widthMs, hopMs } = window
    if (!isWidth(hopMs) || hopMs > widthMs) fail('the hop is not a whole number of 1 ms up to the width')
    const panes = widthMs / divisorOf(widthMs, hopMs)
    if (panes > HOPPING_PANES_MAX) fail(`it would have ${panes} panes, more than ${HOPPING_PANES_MAX}`)
  }
  if (earlyMs === null || earlyMs === undefined) return
  if (!isWidth(earlyMs)) fail(`earlyMs: ${earlyMs} is not a whole number of 1 to ${WIDTH_MS_MAX} ms`)
  if (kind === 'hopping' && earlyMs < window.hopMs)
    fail('earlyMs: a hopping window has a row each hop anyway')
}

/** Which extras the rows of a window have. */
export function needsOf(window: MergeableWindow, needsAll: number): number {
  const bitOf = (name: Aggregate): number => {
    return name === 'variance' || name === 'distinct' || name === 'quantiles' ? EXTRA_BITS[name] : 0
  }
  return (window.aggregates ?? []).reduce((bits, name) => bits | bitOf(name), needsAll)
}

function makeLevel(window: number, widthMs: number, earlyMs: number, needs: number): Level {
  return { window, widthMs, calendar: null, cuts: [], children: [], hoppings: [], earlyMs, needs }
}

/** Ascending: those asked for, and the panes of hopping windows. */
function tumblingLevels(windows: readonly MergeableWindow[], needsAll: number): Level[] {
  const levels: Level[] = []
  for (const [index, window] of windows.entries()) {
    if (window.kind !== 'tumbling') continue
    const { widthMs, earlyMs } = window
    levels.push(makeLevel(index, widthMs, earlyMs ?? Number.POSITIVE_INFINITY, needsOf(window, needsAll)))
  }
  for (const window of windows) {
    if (window.kind !== 'hopping') continue
    const paneMs = divisorOf(window.widthMs, window.hopMs)
    if (levels.every(({ widthMs }) => widthMs !== paneMs))
      levels.push(makeLevel(-1, paneMs, Number.POSITIVE_INFINITY, 0))
  }
  return levels.sort((a, b) => a.widthMs - b.widthMs)
}

interface Place {
  family: FamilyPlan
  index: number
}

/** The level of the greatest `fitness`, of equal ones the first; null when all have 0. */
function findFeeder(families: FamilyPlan[], fitness: (level: Level) => number): Place | null {
  let best: Place | null = null
  let bestFitness = 0
  for (const family of families) {
    for (const [index, level] of family.levels.entries()) {
      const fits = fitness(level)
      if (fits > bestFitness) {
        bestFitness = fits
        best = { family, index }
      }
    }
  }
  return best
}

/** Early results are no older than what feeds them holds back. */
function feedsInTime(feeder: Place | null, earlyMs: number): boolean {
  if (feeder === null) return false
  const { widthMs, earlyMs: feederEarlyMs } = feeder.family.levels[feeder.index]
  return Math.min(widthMs, feederEarlyMs) <= earlyMs
}

function addLevel(families: FamilyPlan[], level: Level, feeder: Place | null): void {
  if (feeder === null) {
    families.push({ levels: [level], hoppings: [] })
  } else {
    const { levels } = feeder.family
    levels[feeder.index].children.push(levels.length)
    levels.push(level)
  }
}

function addHoppings(families: FamilyPlan[], windows: readonly MergeableWindow[], needsAll: number): void {
  for (const [index, window] of windows.entries()) {
    if (window.kind !== 'hopping') continue
    const paneMs = divisorOf(window.widthMs, window.hopMs)
    const place = findFeeder(families, ({ widthMs }) => (widthMs === paneMs ? 1 : 0))
    if (place === null) throw new WindowSettingsError(`${describeWindow(window)}: it has no panes`)
    const { levels, hoppings } = place.family
    levels[place.index].hoppings.push(hoppings.length)
    const needs = needsOf(window, needsAll)
    levels[place.index].needs |= needs
    hoppings.push({
      window: index,
      paneMs,
      length: window.widthMs / paneMs,
      hop: window.hopMs / paneMs,
      earlyMs: window.earlyMs ?? Number.POSITIVE_INFINITY,
      needs,
    })
  }
}

/** Weeks and months are fed by days of the same zone, days by the widest panes of up to an hour. */
function addCalendar(
  families: FamilyPlan[],
  window: Extract<MergeableWindow, { kind: 'calendar' }>,
  index: number,
  needsAll: number,
): void {
  const { unit, timeZone } = window
  const earlyMs = window.earlyMs ?? Number.POSITIVE_INFINITY
  const calendar = makeCalendar(window)
  const fits = (level: Level): number => {
    if (Math.min(level.widthMs, level.earlyMs) > earlyMs) return 0
    if (level.calendar === null) return level.widthMs <= CALENDAR_FEEDER_MS_MAX ? level.widthMs : 0
    const isNested = level.calendar.unit === 'day' && unit !== 'day' && level.calendar.timeZone === timeZone
    return isNested ? DAY_MS : 0
  }
  const level = { ...makeLevel(index, UNIT_MS_MAX[unit], earlyMs, needsOf(window, needsAll)), calendar }
  addLevel(families, level, findFeeder(families, fits))
}

function makeCalendar({ unit, timeZone }: Extract<MergeableWindow, { kind: 'calendar' }>): Calendar {
  try {
    return new Calendar(unit, timeZone)
  } catch (cause) {
    throw new WindowSettingsError(`calendar window ${unit}: ${timeZone} is no time zone`, { cause })
  }
}

/** What a level feeds decides where its panes are cut and what they keep. Children stand behind their feeders. */
function passDown(levels: Level[]): void {
  for (let i = levels.length - 1; i >= 0; i--) {
    const level = levels[i]
    for (const child of level.children) {
      const { calendar, cuts, needs } = levels[child]
      level.needs |= needs
      // Days of the same zone begin wherever its weeks and months do.
      const all = calendar === null ? cuts : [calendar]
      if (level.calendar === null) level.cuts.push(...all.filter((cut) => !level.cuts.includes(cut)))
    }
  }
}

/** The greatest number that divides both. */
function divisorOf(a: number, b: number): number {
  return b === 0 ? a : divisorOf(b, a % b)
}

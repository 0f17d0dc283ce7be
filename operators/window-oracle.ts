/**
 * For tests: plays steps through the windows; the oracle computes the same panes at once from all readings.
 */
import { expect } from 'vitest'
import { Calendar } from './calendar.ts'
import { DOUBLE_COLUMNS, type PaneRows } from './pane-rows.ts'
import { type TumblingSettings, TumblingWindows } from './tumbling-windows.ts'
import type { MergeableWindow } from './window-plan.ts'

export interface Reading {
  series: number
  ts: number
  value: number
}
export type Step = { arrivalMs: number; readings: Reading[] } | { tickMs: number } | { gapMs: number }
/** series, window, then the columns of doubles. */
export type Row = number[]
export interface Pane {
  n: number
  sum: number
  sumOfSizes: number
  min: number
  max: number
  first: number
  firstTs: number
  last: number
  lastTs: number
}

export function takeRows(closed: PaneRows, into: Row[]): void {
  for (let row = 0; row < closed.count; row++) {
    into.push([
      closed.series[row],
      closed.window[row],
      ...DOUBLE_COLUMNS.map((column) => closed[column][row]),
    ])
  }
  closed.clear()
}

export function pushReadings(windows: TumblingWindows, readings: Reading[], arrivalMs: number): void {
  const series = Int32Array.from(readings, (reading) => reading.series)
  const tsMs = Float64Array.from(readings, (reading) => reading.ts)
  const value = Float64Array.from(readings, (reading) => reading.value)
  windows.push(series, tsMs, value, arrivalMs, 0, readings.length)
}

export function playStep(windows: TumblingWindows, step: Step, rows: Row[]): void {
  if ('readings' in step) pushReadings(windows, step.readings, step.arrivalMs)
  else if ('tickMs' in step) windows.tick(step.tickMs)
  else windows.gap(step.gapMs)
  takeRows(windows.closed, rows)
}

/** Plays the steps, flushes at the end, and returns all rows in the order they left. */
export function play(settings: TumblingSettings, steps: Step[]): Row[] {
  const windows = new TumblingWindows(settings)
  const rows: Row[] = []
  for (const step of steps) playStep(windows, step, rows)
  windows.flush()
  takeRows(windows.closed, rows)
  return rows
}

const isBefore = (ts: number, x: number, otherTs: number, other: number) =>
  ts < otherTs || (ts === otherTs && x < other)

function mergeInto(panes: Map<string, Pane>, key: string, pane: Pane): void {
  const into = panes.get(key)
  if (into === undefined) {
    panes.set(key, { ...pane })
    return
  }
  into.n += pane.n
  into.sum += pane.sum
  into.sumOfSizes += pane.sumOfSizes
  into.min = Math.min(into.min, pane.min)
  into.max = Math.max(into.max, pane.max)
  if (isBefore(pane.firstTs, pane.first, into.firstTs, into.first)) {
    into.first = pane.first
    into.firstTs = pane.firstTs
  }
  if (isBefore(into.lastTs, into.last, pane.lastTs, pane.last)) {
    into.last = pane.last
    into.lastTs = pane.lastTs
  }
}

export function mergeRows(rows: Row[]): Map<string, Pane> {
  const panes = new Map<string, Pane>()
  for (const [series, window, startMs, n, sum, min, max, first, firstTs, last, lastTs] of rows) {
    const pane = { n, sum, sumOfSizes: 0, min, max, first, firstTs, last, lastTs }
    mergeInto(panes, `${series} ${window} ${startMs}`, pane)
  }
  return panes
}

/** The windows in the order of their indices in the rows. */
export function windowsOf(settings: TumblingSettings): MergeableWindow[] {
  const tumbling = settings.widthsMs.map((widthMs) => ({ kind: 'tumbling', widthMs }) as const)
  return [...tumbling, ...(settings.windows ?? [])]
}

/** Where the windows start that hold the time. */
function makeStartsOf(window: MergeableWindow): (ts: number) => number[] {
  if (window.kind === 'calendar') {
    const calendar = new Calendar(window.unit, window.timeZone)
    return (ts) => [calendar.startOf(ts)]
  }
  const { widthMs } = window
  const hopMs = window.kind === 'hopping' ? window.hopMs : widthMs
  return (ts) => {
    // Whole milliseconds below ts, so that the division by the hop is exact arithmetic.
    const floor = BigInt(Math.floor(ts))
    const starts: number[] = []
    for (
      let start = floor - modulo(floor, BigInt(hopMs));
      start + BigInt(widthMs) > floor;
      start -= BigInt(hopMs)
    ) {
      starts.push(Number(start.toString()))
    }
    return starts
  }
}

export interface ValuesOfWindow {
  window: number
  values: number[]
}

/** The values of each series and window, by the keys that `computeAtOnce` has. */
export function gatherValues(steps: Step[], settings: TumblingSettings): Map<string, ValuesOfWindow> {
  const gathered = new Map<string, ValuesOfWindow>()
  forEachInWindow(steps, settings, (key, window, { value }) => {
    const known = gathered.get(key)
    if (known === undefined) gathered.set(key, { window, values: [value] })
    else known.values.push(value)
  })
  return gathered
}

/** What the panes of all readings are, whatever the order they came in. */
export function computeAtOnce(steps: Step[], settings: TumblingSettings): Map<string, Pane> {
  const panes = new Map<string, Pane>()
  forEachInWindow(steps, settings, (key, _window, { ts, value }) => {
    const same = { min: value, max: value, first: value, last: value, firstTs: ts, lastTs: ts }
    mergeInto(panes, key, { n: 1, sum: value, sumOfSizes: Math.abs(value), ...same })
  })
  return panes
}

function forEachInWindow(
  steps: Step[],
  settings: TumblingSettings,
  act: (key: string, window: number, reading: Reading) => void,
): void {
  const startsOf = windowsOf(settings).map(makeStartsOf)
  for (const step of steps) {
    if (!('readings' in step)) continue
    for (const reading of step.readings) {
      const { series, ts, value } = reading
      if (!Number.isFinite(value) || Number.isNaN(new Date(ts).getTime())) continue
      for (const [window, starts] of startsOf.entries()) {
        for (const startMs of starts(ts)) act(`${series} ${window} ${startMs}`, window, reading)
      }
    }
  }
}

const modulo = (a: bigint, b: bigint) => ((a % b) + b) % b

/** Equal but for the rounding of sums. */
export function expectSamePanes(got: Map<string, Pane>, expected: Map<string, Pane>, seed: number): void {
  const wrong: string[] = []
  for (const [key, pane] of expected) {
    const other = got.get(key)
    const tolerance = pane.n * 2 ** -52 * pane.sumOfSizes
    const { sum: _s, sumOfSizes: _z, ...exact } = pane
    if (
      other === undefined ||
      Math.abs(other.sum - pane.sum) > tolerance ||
      Object.entries(exact).some(([name, value]) => other[name as keyof Pane] !== value)
    ) {
      wrong.push(`seed ${seed}, pane ${key}: ${JSON.stringify(other)} is not ${JSON.stringify(pane)}`)
    }
  }
  expect(wrong).toEqual([])
  expect(got.size, `seed ${seed}`).toBe(expected.size)
}

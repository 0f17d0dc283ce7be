/**
 * For tests: plays steps through the windows; the oracle computes the same panes at once from all readings.
 */
import { DOUBLE_COLUMNS, type PaneRows } from './pane-rows.ts'
import { type TumblingSettings, TumblingWindows } from './tumbling-windows.ts'

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

/** What the panes of all readings are, whatever the order they came in. */
export function computeAtOnce(steps: Step[], widthsMs: readonly number[]): Map<string, Pane> {
  const panes = new Map<string, Pane>()
  for (const step of steps) {
    if (!('readings' in step)) continue
    for (const { series, ts, value } of step.readings) {
      if (!Number.isFinite(value) || Number.isNaN(new Date(ts).getTime())) continue
      for (const [window, width] of widthsMs.entries()) {
        // Whole milliseconds below ts, so that the division by the width is exact arithmetic.
        const startMs = Number(
          (BigInt(Math.floor(ts)) - modulo(BigInt(Math.floor(ts)), BigInt(width))).toString(),
        )
        const sumOfSizes = Math.abs(value)
        const pane = {
          n: 1,
          sum: value,
          sumOfSizes,
          min: value,
          max: value,
          first: value,
          firstTs: ts,
          last: value,
          lastTs: ts,
        }
        mergeInto(panes, `${series} ${window} ${startMs}`, pane)
      }
    }
  }
  return panes
}

const modulo = (a: bigint, b: bigint) => ((a % b) + b) % b

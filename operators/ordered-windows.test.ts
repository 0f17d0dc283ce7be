import { describe, expect, test } from 'vitest'
import { Prng } from '../base/prng.ts'
import { Calendar } from './calendar.ts'
import { type OracleRow, type SpansOf, WindowTable } from './ordered-oracle.ts'
import { WindowCell } from './ordered-rows.ts'
import type { OrderedSettings } from './ordered-settings.ts'
import { makeSettings, makeSteps, type OrderedStep, playStep } from './ordered-streams.ts'
import { OrderedWindows } from './ordered-windows.ts'
import type { WindowSpec } from './window-spec.ts'

const KINDS = ['session', 'count', 'sliding', 'tumbling', 'hopping', 'calendar'] as const

function spansOf(spec: WindowSpec): SpansOf {
  if (spec.kind === 'calendar') {
    const calendar = new Calendar(spec.unit, spec.timeZone)
    return (ts) => [{ startMs: calendar.startOf(ts), endMs: calendar.endOf(ts) }]
  }
  const widthMs = 'widthMs' in spec ? spec.widthMs : 1
  const hopMs = spec.kind === 'hopping' ? spec.hopMs : widthMs
  return (ts) => {
    const spans = []
    for (let startMs = Math.floor(ts / hopMs) * hopMs; startMs > ts - widthMs; startMs -= hopMs) {
      spans.push({ startMs: startMs + 0, endMs: startMs + widthMs })
    }
    return spans
  }
}

function expectRow(row: OracleRow, expected: OracleRow, about: string): void {
  const names = Object.keys(WindowCell) as (keyof typeof WindowCell)[]
  for (const name of names) {
    const actual = row.cells[WindowCell[name]]
    const exact = expected.cells[WindowCell[name]]
    const size = expected.sizes[name]
    const factor = (expected.cells[WindowCell.count] + 4) * 2 ** -50
    const tolerance = size === undefined ? 0 : factor * (size + Math.abs(exact || 0))
    const isSame = Object.is(actual, exact) || Math.abs(actual - exact) <= tolerance
    if (!isSame) expect.fail(`${about}: ${name} is ${actual}, not ${exact}`)
  }
  expect([...row.states].sort(), about).toEqual([...expected.states].sort())
}

function expectTable(table: WindowTable, about: string): void {
  const expected = table.expected()
  for (const [key, row] of expected) {
    const actual = table.rows.get(key)
    if (actual === undefined) expect.fail(`${about}: no row ${key}`)
    expectRow(actual.row, row, `${about}, ${key}`)
  }
  for (const key of table.rows.keys()) if (!expected.has(key)) expect.fail(`${about}: ${key} is no window`)
}

/** Plays the steps in batches; now and then flushes, or goes on with new windows that know nothing. */
function playAll(settings: OrderedSettings, steps: OrderedStep[], prng: Prng, about: string): WindowTable {
  const table = new WindowTable(settings.specs, settings.specs.map(spansOf))
  let windows = new OrderedWindows(settings, true)
  const flushRate = prng.unit() < 0.5 ? 0 : 0.01
  for (const step of steps) {
    playStep(windows, step)
    if ('readings' in step) table.store(step.readings)
    if (prng.unit() < 0.1) table.take(windows)
    if (prng.unit() >= flushRate) continue
    windows.flush()
    table.take(windows)
    expectTable(table, about)
    if (prng.unit() < 0.5) windows = new OrderedWindows(settings, false)
  }
  windows.flush()
  table.take(windows)
  expectTable(table, about)
  return table
}

describe('any stream ends as its readings in order would', () => {
  for (const kind of KINDS) {
    test(kind, () => {
      for (let seed = 1; seed <= 60; seed++) {
        const prng = new Prng(seed)
        const settings = makeSettings(prng, [kind])
        const steps = makeSteps(prng, 150, settings.aheadGuardMs)
        playAll(settings, steps, prng, `seed ${seed}`)
      }
    })
  }
})

import { describe, expect, test } from 'vitest'
import { Prng } from '../base/prng.ts'
import { type OracleRow, type OrderedReading, rowsOf, spansOf, WindowTable } from './ordered-oracle.ts'
import { WindowCell } from './ordered-rows.ts'
import type { OrderedSettings } from './ordered-settings.ts'
import {
  BASE_MS,
  makeSettings,
  makeSteps,
  type OrderedStep,
  playStep,
  pushReadings,
} from './ordered-streams.ts'
import { OrderedWindows } from './ordered-windows.ts'
import type { WindowSpec } from './window-spec.ts'

const KINDS = ['session', 'count', 'sliding', 'tumbling', 'hopping', 'calendar'] as const

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
      for (let seed = 1; seed <= 25; seed++) {
        const prng = new Prng(seed)
        const settings = makeSettings(prng, [kind])
        const steps = makeSteps(prng, 150, settings.aheadGuardMs)
        playAll(settings, steps, prng, `seed ${seed}`)
      }
    })
  }
})

const ALL_KINDS: WindowSpec[] = [
  { kind: 'session', gapMs: 2000, aggregates: ['count', 'sum', 'quantiles', 'rate'], earlyMs: null },
  { kind: 'count', size: 10, aggregates: ['mean', 'variance', 'distinct'], earlyMs: null },
  { kind: 'sliding', widthMs: 5000, aggregates: ['min', 'max', 'increase'], earlyMs: null },
  { kind: 'tumbling', widthMs: 10_000, aggregates: ['time_weighted_mean', 'states'], earlyMs: null },
  { kind: 'hopping', widthMs: 10_000, hopMs: 2000, aggregates: ['increase', 'rate'], earlyMs: null },
  { kind: 'calendar', unit: 'month', timeZone: 'Europe/Berlin', aggregates: ['rate'], earlyMs: null },
]
const SETTINGS: OrderedSettings = {
  specs: ALL_KINDS,
  latenessMs: 10_000,
  idleTimeoutMs: 30_000,
  aheadGuardMs: 300_000,
}

function tableOf(settings: OrderedSettings): WindowTable {
  return new WindowTable(settings.specs, settings.specs.map(spansOf))
}

/** Pushes the readings at one arrival, and flushes; nothing is taken before. */
function pushAll(settings: OrderedSettings, readings: OrderedReading[], arrivalMs: number): OrderedWindows {
  const windows = new OrderedWindows(settings, true)
  pushReadings(windows, readings, arrivalMs)
  windows.flush()
  return windows
}

function expectOf(
  settings: OrderedSettings,
  readings: OrderedReading[],
  windows: OrderedWindows,
): WindowTable {
  const table = tableOf(settings)
  table.store(readings)
  table.take(windows)
  expectTable(table, 'all at once')
  return table
}

test('readings that come in order, or no later than the lateness, need no amendment and leave each row once', () => {
  const prng = new Prng(1)
  const readings = Array.from({ length: 2000 }, (_, index) => ({
    series: index % 3,
    ts: BASE_MS + index * 100 - prng.between(0, 9000),
    value: prng.between(0, 5),
  }))
  const windows = pushAll(SETTINGS, readings, BASE_MS)
  expect(windows.amendments.count).toBe(0)
  const keys = [...rowsOf(windows)].map(({ series, operator, row }) => `${series} ${operator} ${row.startMs}`)
  expect(new Set(keys).size).toBe(keys.length)
  expectOf(SETTINGS, readings, windows)
})

test('ten years without a reading leave no rows, and take no time', () => {
  const yearMs = 365.25 * 86_400_000
  const readings = Array.from({ length: 40 }, (_, index) => ({
    series: 0,
    ts: index * 10 * yearMs,
    value: index % 7,
  }))
  expectOf(SETTINGS, readings, pushAll(SETTINGS, readings, BASE_MS))
})

test('a device whose clock is a day ahead changes nothing for others', () => {
  for (let seed = 1; seed <= 10; seed++) {
    const steps = makeSteps(new Prng(seed), 200, 86_400_000)
    const settings = {
      ...makeSettings(new Prng(seed), ['session', 'sliding', 'hopping']),
      heldMax: 1_000_000,
    }
    const rowsWithout = (extra: OrderedReading[]) => {
      const windows = new OrderedWindows({ ...settings, keptMax: 64_000_000 }, true)
      for (const step of steps) {
        if ('readings' in step) pushReadings(windows, extra, step.arrivalMs)
        playStep(windows, step)
      }
      windows.flush()
      const asked = [...windows.amendments.series.subarray(0, windows.amendments.count)]
      const rows = [...rowsOf(windows)].filter(({ series }) => series !== 99)
      return [rows, asked.filter((series) => series !== 99)]
    }
    const ahead = [{ series: 99, ts: BASE_MS + 86_400_000, value: 1 }]
    expect(rowsWithout(ahead), `seed ${seed}`).toEqual(rowsWithout([]))
  }
})

describe('bounds', () => {
  test('a series that holds too many readings lets the older half go, in order', () => {
    const prng = new Prng(2)
    const readings = Array.from({ length: 10_000 }, () => {
      return { series: 0, ts: BASE_MS - prng.between(0, 9999), value: prng.between(0, 9) }
    })
    const settings = { ...SETTINGS, specs: ALL_KINDS.slice(1, 2) }
    const windows = new OrderedWindows(settings, true)
    for (const reading of readings) {
      pushReadings(windows, [reading], BASE_MS)
      expect(windows.stats.held).toBeLessThanOrEqual(4096)
    }
    expect(windows.stats.hurried).toBeGreaterThanOrEqual(2048)
    expect(windows.stats.late).toBeGreaterThan(0)
    windows.flush()
    expectOf(settings, readings, windows)
  })

  test('with no room left in all, series in turn let go what they hold', () => {
    const prng = new Prng(3)
    const readings = Array.from({ length: 3000 }, (_, index) => {
      return { series: index % 50, ts: BASE_MS + index - prng.between(0, 1000), value: prng.between(0, 9) }
    })
    const settings = { ...SETTINGS, heldMax: 400 }
    const windows = new OrderedWindows(settings, true)
    for (const reading of readings) {
      pushReadings(windows, [reading], BASE_MS)
      expect(windows.stats.held).toBeLessThanOrEqual(408)
    }
    expect(windows.stats.hurried).toBeGreaterThan(0)
    windows.flush()
    expectOf(settings, readings, windows)
  })

  test('a window with more values, readings or states than are kept is amended', () => {
    const wide: WindowSpec[] = [
      { kind: 'session', gapMs: 1000, aggregates: ['quantiles'], earlyMs: null },
      { kind: 'sliding', widthMs: 1_000_000, aggregates: ['max'], earlyMs: null },
      { kind: 'tumbling', widthMs: 86_400_000, aggregates: ['states'], earlyMs: null },
    ]
    const settings = { ...SETTINGS, specs: wide }
    const readings = Array.from({ length: 10_000 }, (_, index) => {
      return { series: 0, ts: BASE_MS + index, value: index % 65 }
    })
    const windows = pushAll(settings, readings, BASE_MS)
    const { operator, count } = windows.amendments
    expect([...operator.subarray(0, count)].sort()).toEqual([0, 1, 2])
    const rows = [...rowsOf(windows)]
    expect(rows.length).toBe(8192)
    expect(rows.every((row) => row.operator === 1)).toBe(true)
  })

  test('with no room left for values, open windows that would need it are amended', () => {
    const settings = { ...SETTINGS, specs: ALL_KINDS.slice(0, 1), keptMax: 80 }
    const readings = Array.from({ length: 50 }, (_, series) => ({ series, ts: BASE_MS, value: 1 }))
    const windows = pushAll(settings, readings, BASE_MS)
    expect([windows.rows.count, windows.amendments.count]).toEqual([10, 40])
  })

  test('a text that is too long to be kept leaves its windows to amendments', () => {
    const settings = { ...SETTINGS, specs: ALL_KINDS.slice(3, 4) }
    const readings = ['on', 'x'.repeat(257), 'off', 'on'].map((value, index) => {
      return { series: 0, ts: BASE_MS + 1 + index * 10_000, value }
    })
    const windows = pushAll(settings, readings, BASE_MS)
    expect([windows.rows.count, windows.amendments.count]).toEqual([2, 1])
    expectOf(settings, readings, windows)
  })

  test('texts without end fill their table and no more', () => {
    const settings = { ...SETTINGS, specs: ALL_KINDS.slice(3, 4) }
    const windows = new OrderedWindows(settings, true)
    for (let batch = 0; batch < 70; batch++) {
      const readings = Array.from({ length: 1000 }, (_, index) => {
        return { series: 0, ts: BASE_MS + batch * 1000 + index, value: `${batch} ${index}` }
      })
      pushReadings(windows, readings, BASE_MS)
      windows.clearRows()
    }
    expect(windows.texts.count).toBe(65_536)
  })
})

describe('results before a window closes', () => {
  const early = (earlyMs: number | null): OrderedSettings => {
    const specs = [ALL_KINDS[0], ALL_KINDS[4]].map((spec) => ({ ...spec, earlyMs }))
    return { ...SETTINGS, specs, latenessMs: 0 }
  }

  test('come every so often while readings come, and the last is the row that stays', () => {
    const windows = new OrderedWindows(early(5000), true)
    const table = tableOf(early(5000))
    const shownAtMs: number[] = []
    for (let ms = 0; ms <= 20_000; ms += 500) {
      const readings = ms <= 12_000 ? [{ series: 0, ts: BASE_MS + ms, value: ms }] : []
      pushReadings(windows, readings, BASE_MS + ms)
      windows.tick(BASE_MS + ms)
      if ([...rowsOf(windows)].some(({ operator }) => operator === 0)) shownAtMs.push(ms)
      table.store(readings)
      table.take(windows)
    }
    expect(shownAtMs).toEqual([5000, 10_000, 15_000])
    windows.flush()
    table.take(windows)
    expectTable(table, 'early')
  })

  test('of a series that fell silent come once, and what follows joins', () => {
    const windows = new OrderedWindows(early(null), true)
    const shown = (): number[] => {
      const counts = [...rowsOf(windows)].filter(({ operator }) => operator === 0)
      windows.clearRows()
      return counts.map(({ row }) => row.cells[WindowCell.count])
    }
    pushReadings(windows, [{ series: 0, ts: BASE_MS, value: 1 }], BASE_MS)
    windows.gap(100_000)
    windows.tick(BASE_MS + 129_999)
    expect(shown()).toEqual([])
    windows.tick(BASE_MS + 130_000)
    expect(shown()).toEqual([1])
    windows.tick(BASE_MS + 200_000)
    expect(shown()).toEqual([])
    pushReadings(windows, [{ series: 0, ts: BASE_MS + 2000, value: 1 }], BASE_MS + 210_000)
    windows.tick(BASE_MS + 240_000)
    expect(shown()).toEqual([2])
    expect(windows.amendments.count).toBe(0)
  })
})

test('a series that stays away loses its state; when it is back, its first windows are amended', () => {
  const settings = { ...SETTINGS, specs: ALL_KINDS.slice(0, 1), forgetMs: 1_000_000 }
  const windows = new OrderedWindows(settings, true)
  const table = tableOf(settings)
  const push = (ts: number, arrivalMs: number) => {
    const readings = [{ series: 7, ts, value: 1 }]
    pushReadings(windows, readings, arrivalMs)
    table.store(readings)
  }
  push(BASE_MS, BASE_MS)
  windows.tick(BASE_MS + 999_999)
  expect(windows.stats.series).toBe(1)
  windows.tick(BASE_MS + 1_000_000)
  expect(windows.stats.series).toBe(0)
  push(BASE_MS + 1000, BASE_MS + 2_000_000)
  push(BASE_MS + 2_000_000, BASE_MS + 2_000_000)
  windows.flush()
  expect([windows.rows.count, windows.amendments.count]).toEqual([2, 1])
  table.take(windows)
  expectTable(table, 'back')
})

describe('late readings at the edge', () => {
  /** What is asked for of the last reading, once the ones before it were settled by silence. */
  function askedFor(spec: WindowSpec, readings: OrderedReading[]): number[][] {
    const settings = { ...SETTINGS, specs: [spec], amendEveryMs: 0 }
    const windows = new OrderedWindows(settings, true)
    const table = tableOf(settings)
    for (const [index, reading] of readings.entries()) {
      const arrivalMs = BASE_MS + index * 100_000
      pushReadings(windows, [reading], arrivalMs)
      table.store([reading])
      windows.tick(arrivalMs + 30_000)
      if (index < readings.length - 1) table.take(windows)
    }
    windows.flush()
    const { fromMs, toMs, count } = windows.amendments
    const asked = Array.from({ length: count }, (_, row) => [fromMs[row] - BASE_MS, toMs[row] - BASE_MS])
    table.take(windows)
    expectTable(table, 'edge')
    return asked
  }
  const read = (ms: number, value: number) => ({ series: 0, ts: BASE_MS + ms, value })

  test('a reading a gap before a session belongs to it, one a millisecond further does not', () => {
    const spec: WindowSpec = { kind: 'session', gapMs: 1000, aggregates: ['sum'], earlyMs: null }
    const of = (lateMs: number) => askedFor(spec, [read(0, 1), read(5000, 1), read(lateMs, 1), read(5500, 1)])
    expect(of(4000)).toEqual([[5000, 5500]])
    expect(of(3999)).toEqual([])
  })

  test('a reading of the time of the one in force may be the one in force', () => {
    const spec: WindowSpec = { kind: 'tumbling', widthMs: 10, aggregates: ['increase'], earlyMs: null }
    const of = (lateMs: number) => askedFor(spec, [read(0, 1), read(5, 1), read(lateMs, 3), read(15, 4)])
    expect(of(5)).toEqual([[15, 15]])
    expect(of(4)).toEqual([])
  })
})

test('a window that was shown leaves again only if it changed', () => {
  const settings = { ...SETTINGS, latenessMs: 0, specs: [ALL_KINDS[0], ALL_KINDS[4]] }
  const windows = new OrderedWindows(settings, true)
  pushReadings(windows, [{ series: 0, ts: BASE_MS, value: 1 }], BASE_MS)
  windows.tick(BASE_MS + 30_000)
  expect(windows.rows.count).toBe(1 + 5)
  windows.clearRows()
  pushReadings(windows, [{ series: 0, ts: BASE_MS + 60_000, value: 1 }], BASE_MS + 60_000)
  expect(windows.rows.count).toBe(0)
})

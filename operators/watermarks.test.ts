import { describe, expect, test } from 'vitest'
import { type TumblingSettings, TumblingWindows } from './tumbling-windows.ts'
import { play, pushReadings, type Row, takeRows } from './window-oracle.ts'
import { WindowSettingsError } from './window-plan.ts'

const SETTINGS: TumblingSettings = {
  widthsMs: [10_000],
  latenessMs: 5000,
  idleTimeoutMs: 30_000,
}

/** Windows, and what lets a test say `push(time, series)` and read the rows since the last look. */
function open(settings: Partial<TumblingSettings> = {}) {
  const windows = new TumblingWindows({ ...SETTINGS, ...settings })
  return {
    windows,
    push: (ts: number, series = 0, arrivalMs = ts, value = 1) =>
      pushReadings(windows, [{ series, ts, value }], arrivalMs),
    /** [series, window, start, n] of each. */
    rows: () => {
      const rows: Row[] = []
      takeRows(windows.closed, rows)
      return rows.map((row) => row.slice(0, 4))
    },
  }
}

describe('late readings', () => {
  test('amend their pane with the next tick, and are counted', () => {
    const { windows, push, rows } = open()
    push(1000)
    push(15_000)
    expect(rows()).toEqual([[0, 0, 0, 1]])
    push(2000, 0, 15_000)
    push(3000, 0, 15_000)
    expect(rows()).toEqual([])
    expect(windows.stats).toEqual({ late: 2, skipped: 0, openPanes: 2, series: 1 })
    windows.tick(15_001)
    expect(rows()).toEqual([[0, 0, 0, 2]])
    windows.tick(16_000)
    expect(rows()).toEqual([])
  })

  test('within the lateness are not late', () => {
    const { windows, push, rows } = open()
    push(1000)
    push(14_999)
    push(2000, 0, 14_999)
    windows.tick(15_000)
    expect(rows()).toEqual([])
    push(15_000)
    expect(rows()).toEqual([[0, 0, 0, 2]])
    expect(windows.stats.late).toBe(0)
  })

  test('within the lateness join their pane: it leaves once, however many there are', () => {
    const { push, rows } = open({ latenessMs: 15_000 })
    const left: number[][] = []
    for (let ts = 0; ts < 3_600_000; ts += 1000) {
      push(ts)
      if (ts > 14_000) push(ts - 14_500, 0, ts)
      left.push(...rows())
    }
    expect(new Set(left.map(([, , start]) => start)).size).toBe(left.length)
    expect(left.length).toBeGreaterThan(350)
  })

  test('within the lateness open a pane that leaves amid the current one, as the watermark says', () => {
    const { push, rows } = open()
    push(21_000)
    push(19_000, 0, 21_000)
    push(24_999)
    expect(rows()).toEqual([])
    push(25_000)
    expect(rows()).toEqual([[0, 0, 10_000, 1]])
  })

  test('do not hurry the panes that still wait for the watermark, however long it takes', () => {
    const { windows, push, rows } = open({ latenessMs: 100_000 })
    push(200_000)
    push(110_000, 0, 200_000)
    for (let nowMs = 201_000; nowMs < 219_000; nowMs += 1000) {
      push(nowMs)
      push(50_000, 0, nowMs)
      windows.tick(nowMs + 20_000)
      expect(rows()).toEqual([[0, 0, 50_000, 1]])
    }
  })

  test('of a wider window that is still open wait for it', () => {
    const { windows, push, rows } = open({ widthsMs: [10_000, 60_000] })
    push(1000)
    push(30_000)
    push(2000, 0, 30_000)
    windows.tick(30_000)
    expect(rows()).toEqual([
      [0, 0, 0, 1],
      [0, 0, 0, 1],
    ])
    push(65_000)
    expect(rows()).toEqual([
      [0, 0, 30_000, 1],
      [0, 1, 0, 3],
    ])
  })

  test('of a week of buffered data hold a bounded number of panes', () => {
    const { windows, push } = open({ widthsMs: [10_000, 60_000] })
    const weekMs = 7 * 86_400_000
    push(weekMs)
    for (let ts = 0; ts < weekMs; ts += 9973) push(ts, 0, weekMs)
    expect(windows.stats.openPanes).toBeLessThan(200)
  })
})

describe('readings ahead of their arrival', () => {
  test('move the watermark of their own series, and of no other', () => {
    const { windows, push, rows } = open()
    push(1000)
    push(1000, 1)
    push(100_000, 0, 2000)
    expect(rows()).toEqual([[0, 0, 0, 1]])
    push(9000)
    push(9000, 1)
    expect(windows.stats).toMatchObject({ late: 1, openPanes: 3 })
    windows.tick(9001)
    expect(rows()).toEqual([[0, 0, 0, 1]])
  })

  test('of a clock that is always a day ahead hold a bounded number of panes', () => {
    const { windows, push } = open({ widthsMs: [10_000, 60_000] })
    let openMax = 0
    for (let nowMs = 0; nowMs < 3_600_000; nowMs += 1000) {
      push(nowMs + 86_400_000, 0, nowMs)
      windows.tick(nowMs)
      openMax = Math.max(openMax, windows.stats.openPanes)
    }
    expect(openMax).toBeLessThan(10)
  })
})

describe('silence', () => {
  test('of the idle timeout lets all panes of that series go, and only of that one', () => {
    const { windows, push, rows } = open({ widthsMs: [10_000, 60_000] })
    push(1000, 0)
    push(2000, 1)
    windows.tick(30_999)
    expect(rows()).toEqual([])
    windows.tick(31_000)
    expect(rows()).toEqual([
      [0, 0, 0, 1],
      [0, 1, 0, 1],
    ])
    expect(windows.stats.openPanes).toBe(1)
  })

  test('ends with the next reading; one for a pane that left opens it again', () => {
    const { windows, push, rows } = open()
    push(1000)
    windows.tick(40_000)
    expect(rows()).toHaveLength(1)
    push(2000, 0, 40_000)
    push(15_000, 0, 40_000)
    expect(rows()).toEqual([[0, 0, 0, 1]])
    expect(windows.stats.late).toBe(0)
  })

  test('does not turn the watermark back', () => {
    const { windows, push, rows } = open()
    push(100_000)
    windows.tick(140_000)
    expect(rows()).toHaveLength(1)
    push(1000, 0, 140_000)
    expect(windows.stats.late).toBe(1)
    windows.tick(140_001)
    expect(rows()).toEqual([[0, 0, 0, 1]])
  })

  test('is counted from the reading also after a gap', () => {
    const { windows, push, rows } = open()
    windows.gap(3_600_000)
    push(3_601_000)
    windows.tick(3_630_999)
    expect(rows()).toEqual([])
    windows.tick(3_631_000)
    expect(rows()).toHaveLength(1)
  })

  test('does not count the time that the engine was down', () => {
    const { windows, push, rows } = open()
    push(1000)
    windows.tick(20_000)
    windows.gap(3_600_000)
    windows.tick(3_620_000)
    expect(rows()).toEqual([])
    windows.tick(3_631_000)
    expect(rows()).toHaveLength(1)
  })

  test('of a whole fleet is worked off over several ticks', () => {
    const { windows } = open()
    const count = 150_000
    const series = Int32Array.from({ length: count }, (_, index) => index)
    windows.push(series, new Float64Array(count), new Float64Array(count), 0, 0, count)
    const rows: Row[] = []
    for (let tick = 0; tick < 3; tick++) {
      windows.tick(30_000 + tick)
      expect(windows.closed.count).toBeLessThan(70_000)
      takeRows(windows.closed, rows)
    }
    expect(new Set(rows.map(([one]) => one)).size).toBe(count)
  })

  test('is noticed also after a flush in the middle of that work', () => {
    const { windows, push, rows } = open()
    for (let series = 0; series < 70_000; series++) push(0, series)
    windows.tick(30_000)
    windows.flush()
    rows()
    push(40_000)
    windows.tick(70_000)
    expect(rows()).toEqual([[0, 0, 40_000, 1]])
  })
})

test('a full pool lets panes go early, and stays within its bound', () => {
  const panesMax = 50
  const { windows, push } = open({ panesMax, latenessMs: 20_000 })
  for (let ts = 0; ts < 200_000; ts += 1000) for (let series = 0; series < 40; series++) push(ts, series)
  expect(windows.stats.openPanes).toBeLessThanOrEqual(panesMax + 40)
})

test('a flush forgets the watermarks, and what was to be looked after', () => {
  const { windows, push, rows } = open()
  push(100_000)
  push(1000, 0, 100_000)
  windows.flush()
  expect(windows.stats).toEqual({ late: 1, skipped: 0, openPanes: 0, series: 0 })
  expect(rows()).toHaveLength(2)
  push(1000)
  windows.tick(2000)
  expect(windows.stats).toEqual({ late: 1, skipped: 0, openPanes: 1, series: 1 })
  push(100_000)
  push(1000, 0, 100_000)
  windows.tick(100_001)
  expect(rows()).toEqual([
    [0, 0, 0, 1],
    [0, 0, 0, 1],
  ])
})

test('series that come later leave the open panes of others as they are', () => {
  const { windows, push } = open()
  push(21_000, 0, 21_000, 3)
  push(22_000, 0, 22_000, 4)
  push(19_000, 0, 22_000, 5)
  for (const series of [1023, 1024, 5000, 4000]) push(1000, series)
  windows.flush()
  const rows: Row[] = []
  takeRows(windows.closed, rows)
  expect(rows.map(([series]) => series)).toEqual([0, 0, 1023, 1024, 4000, 5000])
  expect(rows[0]).toEqual([0, 0, 10_000, 1, 5, 5, 5, 5, 19_000, 5, 19_000])
  expect(rows[1]).toEqual([0, 0, 20_000, 2, 7, 3, 4, 3, 21_000, 4, 22_000])
})

test('many series, touched ahead of their use, count like few', () => {
  const { windows } = open()
  const count = 40_000
  const series = Int32Array.from({ length: count }, (_, index) => (index * 7919) % count)
  const value = Float64Array.from(series, (one) => one)
  for (const ts of [1000, 2000, 11_000, 15_000]) {
    windows.push(series, new Float64Array(count).fill(ts), value, ts, 0, count)
  }
  const { closed } = windows
  expect(closed.count).toBe(count)
  expect(closed.n.subarray(0, count).every((n) => n === 2)).toBe(true)
  expect(closed.sum.subarray(0, count).every((sum, row) => sum === 2 * closed.series[row])).toBe(true)
})

test('panes before 1970 start at the multiple below', () => {
  const rows = play(SETTINGS, [
    {
      arrivalMs: 0,
      readings: [-Number.MIN_VALUE, -1, -10_000, -10_001, -0, 0].map((ts) => ({ series: 0, ts, value: ts })),
    },
  ])
  expect(rows.map((row) => row.slice(2, 4)).sort((a, b) => a[0] - b[0])).toEqual([
    [-20_000, 1],
    [-10_000, 3],
    [0, 2],
  ])
})

test('readings of one time: the smallest value is the first, the greatest the last', () => {
  const values = [5, 3, 9, 4]
  const [row] = play(SETTINGS, [
    { arrivalMs: 0, readings: values.map((value) => ({ series: 0, ts: 7, value })) },
  ])
  expect(row).toEqual([0, 0, 0, 4, 21, 3, 9, 3, 7, 9, 7])
})

test('what is no number and what is no time is in no window, and is counted', () => {
  const { windows, push } = open()
  push(1000, 0, 1000, Number.NaN)
  push(1000, 0, 1000, Number.POSITIVE_INFINITY)
  push(Number.NaN, 0, 1000)
  push(8.64e15 + 2, 0, 1000)
  expect(windows.stats).toEqual({ late: 0, skipped: 4, openPanes: 0, series: 1 })
})

test.each([
  [{ widthsMs: [] }, 'at least one window is needed'],
  [{ widthsMs: [0] }, 'tumbling window 0: the width is not'],
  [{ widthsMs: [1.5] }, 'tumbling window 1.5: the width is not'],
  [{ widthsMs: [4e10] }, 'tumbling window 40000000000: the width is not'],
  [{ widthsMs: [10, 10] }, 'tumbling window 10 stands twice'],
  [{ latenessMs: -1 }, 'latenessMs: -1 is not'],
  [{ idleTimeoutMs: Number.NaN }, 'idleTimeoutMs: NaN is not'],
  [{ panesMax: 0 }, 'panesMax: 0 is not'],
  [{ panesMax: 1e9 }, 'panesMax: 1000000000 is not'],
])('settings %j are refused', (settings, message) => {
  expect(() => new TumblingWindows({ ...SETTINGS, ...settings })).toThrow(message)
  expect(() => new TumblingWindows({ ...SETTINGS, ...settings })).toThrow(WindowSettingsError)
})

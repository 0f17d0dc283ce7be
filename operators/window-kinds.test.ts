import { describe, expect, test } from 'vitest'
import { Prng } from '../base/prng.ts'
import { DistinctCounts } from './distinct-count.ts'
import { QuantileSketches } from './quantile-sketch.ts'
import { type TumblingSettings, TumblingWindows } from './tumbling-windows.ts'
import {
  computeAtOnce,
  expectSamePanes,
  gatherValues,
  mergeRows,
  play,
  playStep,
  pushReadings,
  type Row,
  type Step,
  takeRows,
  windowsOf,
} from './window-oracle.ts'
import { BASE_MS, makeAllKinds, makeSteps } from './window-streams.ts'

const SETTINGS: TumblingSettings = {
  widthsMs: [],
  latenessMs: 10_000,
  idleTimeoutMs: 30_000,
}
const bytesOf = (rows: Row[]) => Buffer.from(Float64Array.from(rows.flat()).buffer)

describe('any windows over any stream', () => {
  test('have rows that merge to what a batch computes', () => {
    for (let seed = 1; seed <= 60; seed++) {
      const prng = new Prng(seed)
      const settings = makeAllKinds(prng)
      const steps = makeSteps(prng, 250)
      expectSamePanes(mergeRows(play(settings, steps)), computeAtOnce(steps, settings), seed)
    }
  })

  test('replayed, and cut into other pushes, have the same rows', () => {
    for (let seed = 1; seed <= 15; seed++) {
      const prng = new Prng(seed)
      const bounds = { panesMax: 4_000_000, hoppingPanesMax: 1_000_000 }
      const settings = { ...makeAllKinds(prng), ...bounds }
      const steps = makeSteps(prng, 200)
      const cut = steps.flatMap((step): Step[] =>
        'readings' in step ? step.readings.map((reading) => ({ ...step, readings: [reading] })) : [step],
      )
      const whole = play(settings, steps)
      expect(bytesOf(play(settings, steps)).equals(bytesOf(whole)), `seed ${seed}`).toBe(true)
      const pieces = play(settings, cut)
      for (const window of windowsOf(settings).keys()) {
        const ofWindow = (rows: Row[]) => rows.filter((row) => row[1] === window)
        expect(bytesOf(ofWindow(pieces)).equals(bytesOf(ofWindow(whole))), `seed ${seed}`).toBe(true)
      }
    }
  })

  test("do not notice one another's series", () => {
    for (let seed = 1; seed <= 10; seed++) {
      const prng = new Prng(seed)
      const settings = { ...makeAllKinds(prng), panesMax: 4_000_000, hoppingPanesMax: 1_000_000 }
      const steps = makeSteps(prng, 200)
      const disturbed = steps.map((step) => {
        if (!('readings' in step)) return step
        const strays = [86_400_000, -BASE_MS].map((ms, i) => ({
          series: 30 + i,
          ts: step.arrivalMs + ms,
          value: i,
        }))
        return { ...step, readings: [...strays, ...step.readings] }
      })
      const others = play(settings, disturbed).filter((row) => row[0] < 30)
      expect(bytesOf(others).equals(bytesOf(play(settings, steps))), `seed ${seed}`).toBe(true)
    }
  })
})

/** Rows of extras, merged as the tables do: moments by key, the others' entries by key and key of the entry. */
function takeExtras(windows: TumblingWindows, into: Extras): void {
  const { closed, moments, distinct, quantiles, sums } = windows
  for (let row = 0; row < closed.count; row++) {
    const key = `${closed.series[row]} ${closed.window[row]} ${closed.startMs[row]}`
    if (moments !== null && moments.rows.n[row] > 0) {
      const { n, mean, m2 } = moments.rows
      const known = into.moments.get(key) ?? { n: 0, mean: 0, m2: 0 }
      const all = known.n + n[row]
      const difference = mean[row] - known.mean
      known.m2 += m2[row] + (difference * difference * known.n * n[row]) / all
      known.mean += (difference * n[row]) / all
      known.n = all
      into.moments.set(key, known)
    }
    for (const [name, pool] of [
      ['distinct', distinct],
      ['quantiles', quantiles],
    ] as const) {
      if (pool === null || pool.rows.size[row] === 0) continue
      const { start, size, keys, values } = pool.rows
      const entries = into[name].get(key) ?? new Map<number, number>()
      into[name].set(key, entries)
      for (let at = start[row]; at < start[row] + size[row]; at++) {
        const known = entries.get(keys[at]) ?? 0
        entries.set(keys[at], name === 'distinct' ? Math.max(known, values[at]) : known + values[at])
      }
    }
    if (sums !== null) {
      const { sum, error } = sums.rows
      into.sums.set(key, [...(into.sums.get(key) ?? []), sum[row], error[row]])
    }
  }
  for (const pool of [moments, distinct, quantiles, sums]) {
    if (pool !== null) expect(pool.rows.count).toBe(closed.count)
  }
  closed.clear()
  for (const pool of [moments, distinct, quantiles, sums]) expect(pool?.rows.count ?? 0).toBe(0)
}

function makeExtras() {
  return {
    moments: new Map<string, { n: number; mean: number; m2: number }>(),
    distinct: new Map<string, Map<number, number>>(),
    quantiles: new Map<string, Map<number, number>>(),
    sums: new Map<string, number[]>(),
  }
}
type Extras = ReturnType<typeof makeExtras>

/** The row of all values at once, from a pool of its own. */
function rowOf(pool: DistinctCounts | QuantileSketches, values: number[]): Map<number, number> {
  const slot = pool.take()
  for (const value of values) pool.add(slot, value)
  pool.appendRow(slot)
  const { keys, values: counts, size } = pool.rows
  const row = new Map(Array.from({ length: size[0] }, (_, at) => [keys[at], counts[at]]))
  pool.clearRows()
  pool.give(slot)
  return row
}

test('variance, distinct, quantiles and errors of sums are those of a batch, in the windows that asked', () => {
  const distinct = new DistinctCounts()
  const quantiles = new QuantileSketches()
  let checked = 0
  for (let seed = 1; seed <= 25; seed++) {
    const prng = new Prng(seed)
    const settings = makeAllKinds(prng)
    const steps = makeSteps(prng, 120)
    const windows = new TumblingWindows(settings)
    const extras = makeExtras()
    for (const step of steps) {
      if ('readings' in step) pushReadings(windows, step.readings, step.arrivalMs)
      else if ('tickMs' in step) windows.tick(step.tickMs)
      takeExtras(windows, extras)
    }
    while (!windows.flush(3)) takeExtras(windows, extras)
    takeExtras(windows, extras)
    const specs = windowsOf(settings)
    for (const [key, { window, values }] of gatherValues(steps, settings)) {
      const about = `seed ${seed}, ${key}`
      const { aggregates = [] } = specs[window]
      expect(extras.moments.has(key), about).toBe(aggregates.includes('variance'))
      expect(extras.distinct.has(key), about).toBe(aggregates.includes('distinct'))
      expect(extras.quantiles.has(key), about).toBe(aggregates.includes('quantiles'))
      if (aggregates.includes('distinct'))
        expect(extras.distinct.get(key), about).toEqual(rowOf(distinct, values))
      if (aggregates.includes('quantiles'))
        expect(extras.quantiles.get(key), about).toEqual(rowOf(quantiles, values))
      const moments = extras.moments.get(key)
      if (moments !== undefined) {
        const mean = values.reduce((sum, x) => sum + x / values.length, 0)
        const m2 = values.reduce((sum, x) => sum + (x - mean) ** 2, 0)
        const scale = values.reduce((sum, x) => sum + x * x, 0)
        expect(moments.n, about).toBe(values.length)
        expect(Math.abs(moments.m2 - m2), about).toBeLessThanOrEqual(1e-12 * values.length * scale)
        checked++
      }
      if (settings.sumErrors) {
        const parts = extras.sums.get(key) ?? []
        expect(compareSums(parts, values), about).toBe(true)
        checked++
      }
    }
  }
  expect(checked).toBeGreaterThan(1000)
})

/** Both exactly, in fractions of 2^-1074, for values that are far from the ends of the range. */
function compareSums(parts: number[], values: number[]): boolean {
  const exact = (numbers: number[]) => numbers.reduce((sum, x) => sum + toFraction(x), 0n)
  const difference = exact(parts) - exact(values)
  const size = values.reduce((sum, x) => sum + Math.abs(x), 0)
  const allowed = toFraction(size * values.length * 2 ** -90)
  return (difference < 0n ? -difference : difference) <= allowed
}

/** In units of 2^-300; what is finer is cut off. */
function toFraction(x: number): bigint {
  const exponent = x === 0 ? 0 : Math.floor(Math.log2(Math.abs(x))) - 60
  const mantissa = BigInt(x / 2 ** exponent)
  return exponent >= -300 ? mantissa << BigInt(exponent + 300) : mantissa >> BigInt(-300 - exponent)
}

/** One series, and what a test says of it: `push(time)`, rows as [window, start, n]. */
function open(settings: Partial<TumblingSettings>) {
  const windows = new TumblingWindows({ ...SETTINGS, ...settings })
  return {
    windows,
    push: (ts: number, arrivalMs = ts) => pushReadings(windows, [{ series: 0, ts, value: 1 }], arrivalMs),
    rows: () => {
      const rows: Row[] = []
      takeRows(windows.closed, rows)
      return rows.map((row) => row.slice(1, 4))
    },
  }
}

describe('hopping windows', () => {
  const hopping = { kind: 'hopping', widthMs: 60_000, hopMs: 10_000 } as const

  test('in order: each leaves once, with the very reading that brings the watermark to its end', () => {
    for (let seed = 1; seed <= 30; seed++) {
      const prng = new Prng(seed)
      const widthMs = [60_000, 45_000, 10_000][prng.between(0, 2)]
      const latenessMs = [0, 4000, 25_000][prng.between(0, 2)]
      const hopMs = 10_000
      const { windows, push, rows } = open({
        latenessMs,
        windows: [{ kind: 'hopping', widthMs, hopMs }],
        idleTimeoutMs: 1e9,
        forgetAfterMs: 1e9,
      })
      const expected = new Map<number, number>()
      for (let ts = prng.between(-200_000, 0), i = 0; i < 600; i++) {
        windows.tick(ts)
        push(ts)
        const due: number[][] = []
        for (const [startMs, n] of expected) {
          if (startMs + widthMs + latenessMs > ts) continue
          due.push([0, startMs, n])
          expected.delete(startMs)
        }
        expect(rows(), `seed ${seed}`).toEqual(due.sort((a, b) => a[1] - b[1]))
        for (let start = Math.ceil((ts - widthMs + 1) / hopMs) * hopMs + 0; start <= ts; start += hopMs) {
          expected.set(start, (expected.get(start) ?? 0) + 1)
        }
        ts += prng.unit() < 0.03 ? prng.between(0, 300_000) : prng.between(0, 6000)
      }
    }
  })

  test('take in a late pane where they are open, and get a row where they had left', () => {
    const { windows, push, rows } = open({ latenessMs: 0, windows: [hopping] })
    for (const ts of [0, 70_000, 80_000]) push(ts)
    expect(rows().map(([, start]) => start)).toEqual(
      [-50_000, -40_000, -30_000, -20_000, -10_000, 0, 20_000].filter((start) => start + 60_000 <= 80_000),
    )
    push(35_000, 80_000)
    windows.tick(80_000)
    expect(rows()).toEqual([-20_000, -10_000, 0, 10_000, 20_000].map((start) => [0, start, 1]))
    push(90_000)
    expect(rows()).toEqual([[0, 30_000, 3]])
  })

  test('of a silent series leave one by one, as its time would have gone on, and once each', () => {
    const { windows, push, rows } = open({ windows: [hopping] })
    push(1000)
    const left: number[][] = []
    for (let nowMs = 2000; nowMs <= 120_000; nowMs += 1000) {
      windows.tick(nowMs)
      left.push(...rows())
      if (nowMs === 35_000) expect(left.map(([, start]) => start)).toEqual([-50_000, -40_000])
    }
    expect(left).toEqual([-50_000, -40_000, -30_000, -20_000, -10_000, 0].map((start) => [0, start, 1]))
    expect(windows.stats.openPanes).toBe(0)
  })

  test('at their bound leave early, series by series', () => {
    const { windows, rows } = open({ windows: [hopping], hoppingPanesMax: 16 })
    for (let series = 0; series < 5; series++) {
      pushReadings(
        windows,
        [0, 25_000].map((ts) => ({ series, ts, value: 1 })),
        25_000,
      )
      expect(windows.stats.openPanes).toBeLessThanOrEqual(2 + series + 1)
    }
    expect(rows().length).toBeGreaterThanOrEqual(3 * 5)
  })

  test('after ten years of nothing cost no more than after a minute', () => {
    const { push, rows } = open({ windows: [hopping] })
    push(0)
    push(3.2e11)
    expect(rows()).toHaveLength(6)
  })
})

describe('wide windows', () => {
  test('of a series that is silent now and then have one row', () => {
    const { windows, push, rows } = open({
      widthsMs: [10_000, 3_600_000],
      windows: [{ kind: 'calendar', unit: 'day', timeZone: 'Asia/Kolkata' }],
    })
    const begin = Date.UTC(2026, 10, 18, 18, 30)
    const all: number[][] = []
    for (let ts = begin; ts < begin + 2 * 86_400_000; ts += 300_000) {
      push(ts)
      for (let nowMs = ts; nowMs < ts + 300_000; nowMs += 10_000) windows.tick(nowMs)
      all.push(...rows())
    }
    const ofWindow = (window: number) => all.filter((row) => row[0] === window)
    expect(ofWindow(2)).toEqual([[2, begin, 288]])
    // Of 48 hours the first and the last are halves, and one is cut by the midnight of Kolkata.
    expect(ofWindow(1).filter(([, , n]) => n === 12).length).toBe(46)
    expect(ofWindow(0)).toHaveLength(576)
  })

  test('leave when their series stays away for as long as is stated, and its watermark is forgotten', () => {
    const { windows, push, rows } = open({
      widthsMs: [3_600_000],
      windows: [{ kind: 'calendar', unit: 'month', timeZone: 'UTC' }],
      forgetAfterMs: 7_200_000,
    })
    push(86_400_000)
    for (let nowMs = 86_400_000; nowMs < 86_400_000 + 7_200_000; nowMs += 60_000) windows.tick(nowMs)
    expect(rows()).toEqual([[0, 86_400_000, 1]])
    expect(windows.stats.openPanes).toBe(1)
    windows.tick(86_400_000 + 7_200_000)
    expect(rows()).toEqual([[1, 0, 1]])
    expect(windows.stats.openPanes).toBe(0)
    push(0, 100_000_000)
    expect(windows.stats.late).toBe(0)
  })
})

describe('early results', () => {
  test('show open windows every so often, and add up', () => {
    const day = { kind: 'calendar', unit: 'day', timeZone: 'UTC', earlyMs: 60_000 } as const
    const minute = { kind: 'tumbling', widthMs: 60_000, earlyMs: 15_000 } as const
    const hopping = { kind: 'hopping', widthMs: 120_000, hopMs: 60_000, earlyMs: 60_000 } as const
    const { windows, push, rows } = open({ windows: [day, minute, hopping] })
    const all: number[][] = []
    for (let ts = 0; ts < 600_000; ts += 1000) {
      push(ts)
      windows.tick(ts)
      all.push(...rows())
      if (ts % 60_000 !== 59_000 || ts < 180_000) continue
      const shown = (window: number, start: number) =>
        all.reduce((sum, row) => (row[0] === window && row[1] === start ? sum + row[2] : sum), 0)
      expect(shown(1, ts - 59_000)).toBeGreaterThanOrEqual(45)
      expect(shown(0, 0)).toBeGreaterThanOrEqual(ts / 1000 - 75 - 60)
      expect(shown(2, ts - 119_000)).toBeGreaterThanOrEqual(50)
    }
    expect(all.filter(([window]) => window === 0).length).toBeLessThanOrEqual(10)
    expect(all.filter(([window]) => window === 1).length).toBeLessThanOrEqual(50)
    windows.flush()
    all.push(...rows())
    expect(all.reduce((sum, row) => (row[0] === 0 ? sum + row[2] : sum), 0)).toBe(600)
  })
})

test('a flush in the middle, and going on after it, loses nothing', () => {
  for (let seed = 1; seed <= 12; seed++) {
    const prng = new Prng(seed)
    const settings = makeAllKinds(prng)
    const steps = makeSteps(prng, 200)
    const windows = new TumblingWindows(settings)
    const rows: Row[] = []
    for (const step of steps) {
      playStep(windows, step, rows)
      if (prng.unit() < 0.03) while (!windows.flush(3)) takeRows(windows.closed, rows)
      takeRows(windows.closed, rows)
    }
    windows.flush()
    takeRows(windows.closed, rows)
    expectSamePanes(mergeRows(rows), computeAtOnce(steps, settings), seed)
  }
})

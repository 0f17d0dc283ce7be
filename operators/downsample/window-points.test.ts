import { describe, expect, test } from 'vitest'
import { Prng } from '../../base/prng.ts'
import { bare, Downsampled, downsample, makeReadings, type Point } from './downsample-fixture.ts'
import { PointKind } from './point-rows.ts'
import type { WindowPointSpec } from './point-spec.ts'
import { pointsOfWindow } from './points-oracle.ts'

const METHODS = ['mean', 'min-max', 'm4', 'lttb', 'minmax-lttb'] as const

function makeSpec(method: WindowPointSpec['method'], prng: Prng): WindowPointSpec {
  const widthMs = [1, 10, 1000, 60_000][prng.between(0, 3)]
  return { method, widthMs, points: method.endsWith('lttb') ? prng.between(3, 20) : 0 }
}

function byWindow(readings: readonly Point[], widthMs: number): Point[][] {
  return [...Map.groupBy(readings, ({ ts }) => Math.floor(ts / widthMs)).values()]
}

describe('each window has the points of its definition', () => {
  for (const method of METHODS) {
    test(method, () => {
      for (let seed = 1; seed <= 60; seed++) {
        const prng = new Prng(seed)
        const spec = makeSpec(method, prng)
        const readings = makeReadings(prng, prng.between(1, 600))
        const expected = byWindow(readings, spec.widthMs).flatMap((own) => pointsOfWindow(spec, own))
        expect(bare(downsample(spec, readings)), `seed ${seed}`).toEqual(expected)
      }
    })
  }
})

test('what is shown early ends as what is shown once', () => {
  for (let seed = 1; seed <= 200; seed++) {
    const prng = new Prng(seed)
    const spec = makeSpec(METHODS[prng.between(0, METHODS.length - 1)], prng)
    const readings = makeReadings(prng, prng.between(1, 100))
    const downsampled = new Downsampled(spec)
    for (const reading of readings) {
      downsampled.add([reading])
      if (prng.unit() < 0.2) downsampled.operator.show(downsampled.slot)
    }
    downsampled.end()
    const table = new Map<string, Point>()
    for (const { ts, value, kind } of downsampled.said) {
      if (kind === PointKind.deleted) expect(table.delete(`${ts} ${value}`), `seed ${seed}`).toBe(true)
      else table.set(`${ts} ${value}`, { ts, value })
    }
    const points = [...table.values()].sort((a, b) => a.ts - b.ts || a.value - b.value)
    expect(points, `seed ${seed}`).toEqual(bare(downsample(spec, readings)))
  }
})

test('a series of any rate costs MinMaxLTTB no more than four readings a point', () => {
  const spec: WindowPointSpec = { method: 'minmax-lttb', widthMs: 60_000, points: 10 }
  const prng = new Prng(1)
  const readings = Array.from({ length: 60_000 }, (_, ts) => ({ ts, value: prng.normal() }))
  const points = downsample(spec, readings)
  expect(points).toHaveLength(10)
})

describe('a line chart of M4, a window to a pixel column, is pixel for pixel that of all readings', () => {
  const HEIGHT = 40
  for (const columns of [7, 50]) {
    test(`${columns} columns`, () => {
      for (let seed = 1; seed <= 40; seed++) {
        const prng = new Prng(seed)
        const widthMs = [10, 1000][prng.between(0, 1)]
        const spanMs = widthMs * columns
        const readings = Array.from({ length: prng.between(2, 2000) }, () => ({
          ts: prng.between(0, spanMs - 1),
          value: prng.normal(),
        })).sort((a, b) => a.ts - b.ts || a.value - b.value)
        const points = downsample({ method: 'm4', widthMs, points: 0 }, readings)
        const draw = (line: Point[]) => raster(line, widthMs, columns, HEIGHT, readings)
        expect(draw(points), `seed ${seed}`).toEqual(draw(readings))
      }
    })
  }
})

/** The pixels that a line touches: in each column all between the least and the greatest height the line has there. */
function raster(line: Point[], widthMs: number, columns: number, height: number, all: Point[]): string[] {
  const values = all.map(({ value }) => value)
  const low = Math.min(...values)
  const scale = (height - 1) / (Math.max(...values) - low || 1)
  const pixels = Array.from({ length: height }, () => new Array<string>(columns).fill('.'))
  for (let i = 1; i < line.length; i++) {
    const [a, b] = [line[i - 1], line[i]]
    const last = Math.floor(b.ts / widthMs)
    for (let column = Math.floor(a.ts / widthMs); column <= last; column++) {
      const at = (ts: number) =>
        b.ts === a.ts ? b.value : a.value + ((b.value - a.value) * (ts - a.ts)) / (b.ts - a.ts)
      const from = column * widthMs <= a.ts ? a.value : at(column * widthMs)
      const to = (column + 1) * widthMs > b.ts ? b.value : at((column + 1) * widthMs)
      const rows = [from, to].map((value) => Math.round((value - low) * scale)).sort((x, y) => x - y)
      for (let row = rows[0]; row <= rows[1]; row++) pixels[row][column] = '#'
    }
  }
  return pixels.map((row) => row.join(''))
}

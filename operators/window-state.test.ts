import { describe, expect, test } from 'vitest'
import { AssertionError } from '../base/assert.ts'
import { Prng } from '../base/prng.ts'
import { StateReader, StateWriter } from '../codecs/state.ts'
import { type TumblingSettings, TumblingWindows } from './tumbling-windows.ts'
import { playStep, pushReadings, type Row, takeRows } from './window-oracle.ts'
import { WindowSettingsError } from './window-plan.ts'
import { makeAllKinds, makeSettings, makeSteps } from './window-streams.ts'

const SETTINGS: TumblingSettings = {
  widthsMs: [10_000, 60_000, 15_000],
  latenessMs: 10_000,
  idleTimeoutMs: 30_000,
}

function imageOf(windows: TumblingWindows): Uint8Array {
  const out = new StateWriter()
  windows.save(out)
  const image = Buffer.concat(out.parts)
  expect(image.length).toBe(out.sizeBytes)
  return new Uint8Array(image)
}

function openImage(settings: TumblingSettings, image: Uint8Array): TumblingWindows {
  const windows = new TumblingWindows(settings)
  const from = new StateReader(image)
  windows.load(from)
  expect(from.isAtEnd).toBe(true)
  return windows
}

const bytesOf = (rows: Row[]) => Buffer.from(Float64Array.from(rows.flat()).buffer)
const isSame = (image: Uint8Array, other: Uint8Array) => Buffer.compare(image, other) === 0

/** One that is never saved, one that is saved and goes on, and one that is loaded anew at each cut. */
class Trio {
  readonly settings: TumblingSettings
  readonly plain: TumblingWindows
  readonly kept: TumblingWindows
  moved: TumblingWindows
  readonly rows: [Row[], Row[], Row[]] = [[], [], []]

  constructor(settings: TumblingSettings) {
    this.settings = settings
    this.plain = new TumblingWindows(settings)
    this.kept = new TumblingWindows(settings)
    this.moved = new TumblingWindows(settings)
  }

  each(act: (windows: TumblingWindows, rows: Row[]) => void): void {
    for (const [index, windows] of [this.plain, this.kept, this.moved].entries()) {
      act(windows, this.rows[index])
      takeRows(windows.closed, this.rows[index])
    }
  }

  cut(about: string): void {
    const image = imageOf(this.kept)
    expect(isSame(imageOf(this.kept), image), `${about}: saved twice`).toBe(true)
    expect(isSame(imageOf(this.moved), image), `${about}: saved by the one that was loaded`).toBe(true)
    this.moved = openImage(this.settings, image)
    expect(isSame(imageOf(this.moved), image), `${about}: saved after the load`).toBe(true)
    expect(this.moved.stats, about).toEqual(this.kept.stats)
  }

  expectSame(about: string): void {
    const [plain, kept, moved] = this.rows.map(bytesOf)
    expect(kept.equals(plain), `${about}: a save changed what followed`).toBe(true)
    expect(moved.equals(plain), `${about}: a load changed what followed`).toBe(true)
    expect(isSame(imageOf(this.kept), imageOf(this.plain)), `${about}: the state at the end`).toBe(true)
    expect(isSame(imageOf(this.moved), imageOf(this.plain)), `${about}: the state at the end`).toBe(true)
    expect([this.kept.stats, this.moved.stats], about).toEqual([this.plain.stats, this.plain.stats])
  }
}

describe('windows that are saved and loaded', () => {
  test('go on with the same rows, whatever the stream and wherever the cut', () => {
    for (let seed = 1; seed <= 150; seed++) {
      const prng = new Prng(seed)
      const trio = new Trio(prng.unit() < 0.5 ? makeSettings(prng) : makeAllKinds(prng))
      if (prng.unit() < 0.1) trio.cut(`seed ${seed}, at the start`)
      for (const [index, step] of makeSteps(prng, 300).entries()) {
        trio.each((windows, rows) => playStep(windows, step, rows))
        if (prng.unit() < 0.02) trio.cut(`seed ${seed}, step ${index}`)
        if (prng.unit() < 0.01) {
          trio.each((windows) => windows.flush(3))
          if (prng.unit() < 0.5) trio.cut(`seed ${seed}, step ${index}, amid a flush`)
          trio.each((windows) => windows.flush())
          if (prng.unit() < 0.5) trio.cut(`seed ${seed}, step ${index}, after a flush`)
        }
      }
      trio.expectSame(`seed ${seed}`)
      trio.each((windows) => windows.flush())
      trio.expectSame(`seed ${seed}, flushed`)
    }
  })

  test('go on with a fleet of which a tick takes a part', () => {
    const count = 300_000
    const series = Int32Array.from({ length: count }, (_, index) => index)
    const tsMs = Float64Array.from(series, (one) => (one * 7) % 40_000)
    const value = Float64Array.from(series, (one) => one / 8)
    const all = [new TumblingWindows(SETTINGS)]
    all[0].push(series, tsMs, value, 40_000, 0, count)
    all[0].closed.clear()
    for (let nowMs = 70_000; nowMs < 150_000; nowMs += 16_000) {
      const rows = all.map((windows) => {
        windows.tick(nowMs)
        const { closed } = windows
        const columns = [closed.series, closed.window, closed.startMs, closed.sum, closed.lastTsMs]
        const left = columns.map((column) => column.slice(0, closed.count))
        closed.clear()
        // These are idle again before the sweep is through: it must go on from where it stood.
        if (nowMs === 70_000) windows.push(series, tsMs, value, nowMs, 0, 10_000)
        closed.clear()
        return left
      })
      expect(rows[0][0].length, `at ${nowMs}`).toBeGreaterThan(100_000)
      if (rows.length > 1) expect(rows[1], `at ${nowMs}`).toEqual(rows[0])
      const images = all.map(imageOf)
      if (images.length > 1) expect(isSame(images[1], images[0]), `at ${nowMs}`).toBe(true)
      all[1] = openImage(SETTINGS, images[0])
    }
  })

  test('have room for more series and panes', () => {
    const { kept, settings } = new Trio({ ...SETTINGS, panesMax: 200_000 })
    for (let one = 0; one < 1024; one++) pushReadings(kept, [{ series: one, ts: one, value: 1 }], 1000)
    const loaded = openImage(settings, imageOf(kept))
    const [rows, loadedRows]: Row[][] = [[], []]
    for (let one = 1000; one < 5000; one++) {
      const readings = [20_000, 9000].map((ts) => ({ series: one, ts, value: one }))
      for (const windows of [kept, loaded]) pushReadings(windows, readings, 20_000)
    }
    for (const windows of [kept, loaded]) windows.flush()
    takeRows(kept.closed, rows)
    takeRows(loaded.closed, loadedRows)
    expect(rows.length).toBeGreaterThan(5000)
    expect(bytesOf(loadedRows).equals(bytesOf(rows))).toBe(true)
  })
})

test('a save gathers views and copies nothing that grows with the series', () => {
  const windows = new TumblingWindows(SETTINGS)
  for (let one = 0; one < 3000; one++) pushReadings(windows, [{ series: one, ts: 5, value: 1 }], 5)
  const out = new StateWriter()
  windows.save(out)
  const before = Buffer.concat(out.parts)
  pushReadings(windows, [{ series: 7, ts: 6, value: 8 }], 6)
  expect(Buffer.concat(out.parts).equals(before)).toBe(false)
  expect(out.sizeBytes / 3000 / 2).toBeLessThan(110)
})

/** Where each section begins and ends, padding included. */
function sectionsOf(image: Uint8Array): { start: number; end: number }[] {
  const view = new DataView(image.buffer, image.byteOffset)
  const sections: { start: number; end: number }[] = []
  for (let start = 0; start < image.length; ) {
    const end = start + 16 + Math.ceil(view.getFloat64(start + 8, true) / 8) * 8
    sections.push({ start, end })
    start = end
  }
  return sections
}

describe('refused:', () => {
  const windows = new TumblingWindows(SETTINGS)
  for (let nowMs = 0; nowMs < 90_000; nowMs += 700) {
    for (const series of [0, 3, 4]) {
      pushReadings(windows, [{ series, ts: nowMs, value: nowMs }], nowMs)
      pushReadings(windows, [{ series, ts: nowMs + series * 200_000, value: 1 }], nowMs)
    }
    windows.closed.clear()
  }
  pushReadings(windows, [{ series: 4, ts: 0, value: 9 }], 90_000)
  const image = imageOf(windows)
  const sections = sectionsOf(image)
  const load = (bytes: Uint8Array) => new TumblingWindows(SETTINGS).load(new StateReader(bytes))

  test('a state that ends early, at whatever byte', () => {
    expect(sections.length).toBeGreaterThan(20)
    for (let size = 0; size < image.length; size++) {
      expect(() => load(image.slice(0, size)), `${size} bytes`).toThrow(AssertionError)
    }
  })

  test('sections of another type or size, left out, or out of order', () => {
    for (const [index, { start, end }] of sections.entries()) {
      for (const type of [0, 1, 2, 3, 4, 5]) {
        const other = image.slice()
        if (other[start] === type) continue
        other[start] = type
        expect(() => load(other), `section ${index} as type ${type}`).toThrow(AssertionError)
      }
      const cut = Buffer.concat([image.subarray(0, start), image.subarray(end)])
      expect(() => load(new Uint8Array(cut)), `without section ${index}`).toThrow()
      if (end - start === 16) continue
      const shorter = Buffer.concat([image.subarray(0, end - 8), image.subarray(end)])
      const size = new DataView(shorter.buffer, shorter.byteOffset + start + 8)
      size.setFloat64(0, Math.max(0, size.getFloat64(0, true) - 8), true)
      expect(() => load(new Uint8Array(shorter)), `section ${index}, shorter`).toThrow()
    }
  })

  test.each([
    { widthsMs: [10_000, 60_000] },
    { widthsMs: [60_000, 10_000, 15_000] },
    { forgetAfterMs: 30_000 },
    { sumErrors: true },
    { latenessMs: 10_001 },
    { idleTimeoutMs: 0 },
    { panesMax: 100 },
  ])('a state of other settings, %j', (other) => {
    const others = new TumblingWindows({ ...SETTINGS, ...other })
    expect(() => others.load(new StateReader(image))).toThrow(WindowSettingsError)
    expect(() => others.load(new StateReader(image))).toThrow('state of windows with settings 3,10000,')
  })

  test('windows with rows to be taken, or with series', () => {
    const busy = new TumblingWindows(SETTINGS)
    pushReadings(busy, [{ series: 0, ts: 1, value: 1 }], 1)
    expect(() => busy.load(new StateReader(image))).toThrow('not new')
    pushReadings(busy, [{ series: 0, ts: 50_000, value: 1 }], 50_000)
    expect(() => busy.save(new StateWriter())).toThrow('rows were not taken')
  })
})

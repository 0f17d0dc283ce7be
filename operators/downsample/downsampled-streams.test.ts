/** Downsamplers behind the reorder buffer: streams of every wrong kind, late readings, amendments, flushes and new lives. */
import { expect, test } from 'vitest'
import { Prng } from '../../base/prng.ts'
import { StateReader, StateWriter } from '../../codecs/state.ts'
import type { OrderedReading } from '../ordered-oracle.ts'
import type { OrderedSettings } from '../ordered-settings.ts'
import { makeSettings, makeSteps, type OrderedStep, playStep, pushReadings } from '../ordered-streams.ts'
import { OrderedWindows } from '../ordered-windows.ts'
import type { Point, SaidPoint } from './downsample-fixture.ts'
import { untold } from './kept-line.ts'
import { PointKind } from './point-rows.ts'
import {
  type CompressionSpec,
  isCompression,
  LONGEST_MS,
  type PointSpec,
  type WindowPointSpec,
} from './point-spec.ts'
import { pointsOf } from './points-oracle.ts'

const WINDOWS: WindowPointSpec[] = [
  { method: 'mean', widthMs: 10_000, points: 0 },
  { method: 'min-max', widthMs: 1000, points: 0 },
  { method: 'm4', widthMs: 60_000, points: 0 },
  { method: 'lttb', widthMs: 60_000, points: 4 },
  { method: 'minmax-lttb', widthMs: 60_000, points: 3 },
]
const COMPRESSION: PointSpec[] = [
  { method: 'deadband', deviation: 1, pointsPerHour: null, longestMs: LONGEST_MS },
  { method: 'swinging-door', deviation: 1, pointsPerHour: null, longestMs: LONGEST_MS },
  { method: 'swinging-door', deviation: null, pointsPerHour: 20, longestMs: LONGEST_MS },
]

function settingsOf(prng: Prng, downsamplers: PointSpec[]): OrderedSettings {
  return { ...makeSettings(prng, prng.unit() < 0.3 ? ['session'] : []), downsamplers }
}

function isTaken({ ts, value }: OrderedReading): boolean {
  return typeof value === 'number' && Number.isFinite(value) && Math.abs(ts) <= 2 ** 51
}

/** `samples` and `points` as the store has them. */
class PointTable {
  readonly samples = new Map<number, Point[]>()
  /** By series and downsampler, what stands. */
  readonly points = new Map<string, Map<string, SaidPoint>>()
  readonly #settings: OrderedSettings

  constructor(settings: OrderedSettings) {
    this.#settings = settings
  }

  store(readings: readonly OrderedReading[]): void {
    for (const { series, ts, value } of readings.filter(isTaken)) {
      const list = this.samples.get(series) ?? []
      this.samples.set(series, [...list, { ts: Math.floor(ts) + 0, value: (value as number) + 0 }])
    }
  }

  take(windows: OrderedWindows): void {
    const { points, amendments } = windows
    for (let row = 0; row < points.count; row++) {
      const kind = points.kind[row] as PointKind
      const of = this.#of(points.series[row], points.downsampler[row])
      const point = { ts: points.tsMs[row], value: points.value[row], deviation: points.deviation[row], kind }
      const key = `${kind === PointKind.late ? 'late ' : ''}${point.ts} ${point.value}`
      if (kind === PointKind.deleted) of.delete(key)
      else of.set(key, point)
    }
    const first = this.#settings.specs.length
    for (let row = 0; row < amendments.count; row++) {
      const downsampler = amendments.operator[row] - first
      if (downsampler < 0) continue
      this.#amend(amendments.series[row], downsampler, amendments.fromMs[row], amendments.toMs[row])
    }
    windows.clearRows()
  }

  expectWindows(about: string): void {
    for (const [downsampler, spec] of (this.#settings.downsamplers ?? []).entries()) {
      if (isCompression(spec)) continue
      for (const [series, samples] of this.samples) {
        const expected = pointsOf(spec, samples)
        const found = [...this.#of(series, downsampler).values()].map(({ ts, value }) => ({ ts, value }))
        expect(inOrder(found), `${about}, ${spec.method}, series ${series}`).toEqual(expected)
      }
    }
  }

  /** Each reading is a point, late or not, or within the deviation of the line. */
  expectLine(downsampler: number, about: string): void {
    const spec = (this.#settings.downsamplers ?? [])[downsampler] as CompressionSpec
    for (const [series, samples] of this.samples) {
      const points = [...this.#of(series, downsampler).values()].map((point) => ({
        ...point,
        isLate: point.kind === PointKind.late,
      }))
      expect(untold(spec, samples, points), `${about}, ${spec.method}, series ${series}`).toEqual([])
    }
  }

  #of(series: number, downsampler: number): Map<string, SaidPoint> {
    const key = `${series} ${downsampler}`
    const of = this.points.get(key) ?? new Map()
    this.points.set(key, of)
    return of
  }

  #amend(series: number, downsampler: number, fromMs: number, toMs: number): void {
    const spec = (this.#settings.downsamplers ?? [])[downsampler] as WindowPointSpec
    const { widthMs } = spec
    const isTouched = ({ ts }: Point) =>
      ts >= Math.floor(fromMs / widthMs) * widthMs && ts < (Math.floor(toMs / widthMs) + 1) * widthMs
    const of = this.#of(series, downsampler)
    for (const [key, point] of of) if (isTouched(point)) of.delete(key)
    for (const point of pointsOf(spec, (this.samples.get(series) ?? []).filter(isTouched)))
      of.set(`${point.ts} ${point.value}`, { ...point, deviation: Number.NaN, kind: PointKind.kept })
  }
}

function inOrder<T extends Point>(points: readonly T[]): T[] {
  return [...points].sort((a, b) => a.ts - b.ts || a.value - b.value)
}

function playAll(settings: OrderedSettings, steps: OrderedStep[], prng: Prng, about: string): PointTable {
  const table = new PointTable(settings)
  let windows = new OrderedWindows(settings, true)
  const flushRate = prng.unit() < 0.5 ? 0 : 0.02
  for (const step of steps) {
    playStep(windows, step)
    if ('readings' in step) table.store(step.readings)
    if (prng.unit() < 0.1) table.take(windows)
    if (prng.unit() >= flushRate) continue
    windows.flush()
    table.take(windows)
    table.expectWindows(about)
    if (prng.unit() < 0.5) windows = new OrderedWindows(settings, false)
  }
  windows.flush()
  table.take(windows)
  return table
}

test('points of windows end as those of all readings, whatever comes late', () => {
  for (let seed = 1; seed <= 60; seed++) {
    const prng = new Prng(seed)
    const settings = settingsOf(prng, WINDOWS)
    const steps = makeSteps(prng, 150, settings.aheadGuardMs)
    playAll(settings, steps, prng, `seed ${seed}`).expectWindows(`seed ${seed}`)
  }
})

test('compression holds its bound, whatever comes late', () => {
  for (let seed = 1; seed <= 60; seed++) {
    const prng = new Prng(seed)
    const settings = settingsOf(prng, COMPRESSION)
    const steps = makeSteps(prng, 150, settings.aheadGuardMs)
    const table = playAll(settings, steps, prng, `seed ${seed}`)
    for (const downsampler of COMPRESSION.keys()) table.expectLine(downsampler, `seed ${seed}`)
  }
})

test('lines go on after a flush and a snapshot: nothing that comes in time is late', () => {
  const settings = { ...makeSettings(new Prng(1), []), latenessMs: 1000, downsamplers: COMPRESSION }
  const values = (from: number, to: number) =>
    Array.from({ length: to - from }, (_, i) => ({ series: 0, ts: (from + i) * 2000, value: (from + i) % 7 }))
  let windows = new OrderedWindows(settings, true)
  for (const reading of values(0, 50)) pushReadings(windows, [reading], reading.ts)
  windows.flush()
  windows.clearRows()
  expect(windows.isQuiet).toBe(true)
  const out = new StateWriter()
  windows.save(out)
  windows = new OrderedWindows(settings, true)
  windows.load(new StateReader(new Uint8Array(Buffer.concat(out.parts))))
  for (const reading of values(50, 100)) pushReadings(windows, [reading], reading.ts)
  windows.flush()
  const { count, downsampler, kind, deviation } = windows.points
  expect(new Set(downsampler.subarray(0, count))).toEqual(new Set([0, 1, 2]))
  expect(new Set(kind.subarray(0, count))).toEqual(new Set([PointKind.kept]))
  expect(deviation.subarray(0, count).some(Number.isNaN)).toBe(false)
})

function pointsText({ points }: OrderedWindows): string {
  const { count, series, downsampler, tsMs, value, deviation, kind } = points
  return Array.from({ length: count }, (_, row) =>
    [series, downsampler, tsMs, value, deviation, kind].map((column) => column[row]).join(),
  ).join('\n')
}

test('saved and loaded anywhere they go on the same, and pushes may be cut anywhere', () => {
  for (let seed = 1; seed <= 40; seed++) {
    const prng = new Prng(seed)
    const settings = settingsOf(prng, [...WINDOWS, ...COMPRESSION])
    const steps = makeSteps(prng, 120, settings.aheadGuardMs)
    const one = new OrderedWindows(settings, true)
    let other = new OrderedWindows(settings, true)
    for (const step of steps) {
      playStep(one, step)
      if ('readings' in step)
        for (const reading of step.readings) pushReadings(other, [reading], step.arrivalMs)
      else playStep(other, step)
      expect(pointsText(other), `seed ${seed}`).toBe(pointsText(one))
      one.clearRows()
      other.clearRows()
      if (prng.unit() > 0.1) continue
      const out = new StateWriter()
      other.save(out)
      other = new OrderedWindows(settings, true)
      other.load(new StateReader(new Uint8Array(Buffer.concat(out.parts))))
    }
    one.flush()
    other.flush()
    expect(pointsText(other), `seed ${seed}`).toBe(pointsText(one))
  }
})

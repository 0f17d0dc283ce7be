import { describe, expect, test } from 'vitest'
import { Prng } from '../../base/prng.ts'
import { StateReader, StateWriter } from '../../codecs/state.ts'
import { SLOT_STRIDE, SlotField } from '../series-slots.ts'
import {
  bare,
  Downsampled,
  downsample,
  makeReadings,
  type Point,
  type SaidPoint,
} from './downsample-fixture.ts'
import { PointKind } from './point-rows.ts'
import type { CompressionSpec } from './point-spec.ts'

const METHODS = ['deadband', 'swinging-door'] as const
const HOUR_MS = 3_600_000

function fixed(method: CompressionSpec['method'], deviation: number, longestMs = HOUR_MS): CompressionSpec {
  return { method, deviation, pointsPerHour: null, longestMs }
}

function budgeted(method: CompressionSpec['method'], pointsPerHour: number): CompressionSpec {
  return { method, deviation: null, pointsPerHour, longestMs: HOUR_MS }
}

/** The double times 2^1074: a whole number. */
function whole(x: number): bigint {
  const bits = new BigUint64Array(Float64Array.of(x).buffer)[0]
  const exponent = Number((bits >> 52n) & 0x7ffn)
  const fraction = bits & 0xfffffffffffffn
  const size = exponent === 0 ? fraction : (fraction | (1n << 52n)) << BigInt(exponent - 1)
  return bits >> 63n === 1n ? -size : size
}

const size = (x: bigint): bigint => (x < 0n ? -x : x)

/** Whether the kept line from `a` to `b` passes the reading within the deviation: exactly, without rounding. */
function isPassed(
  method: CompressionSpec['method'],
  a: Point,
  b: Point,
  reading: Point,
  deviation: number,
): boolean {
  if (deviation === Number.POSITIVE_INFINITY) return true
  const [low, high, x, bound] = [a.value, b.value, reading.value, deviation].map(whole)
  if (method === 'deadband') return size(x - low) <= bound
  if (a.ts === b.ts) {
    const [least, greatest] = low < high ? [low, high] : [high, low]
    return x >= least - bound && x <= greatest + bound
  }
  const span = BigInt(b.ts - a.ts)
  const t = BigInt(reading.ts - a.ts)
  return size(low * span + (high - low) * t - x * span) <= bound * span
}

/** Checks that points are readings in order, from the first to the last, and that the line holds what the points promise. */
function expectLine(
  method: CompressionSpec['method'],
  readings: readonly Point[],
  points: readonly SaidPoint[],
  about: string,
): void {
  let at = 0
  for (const [i, point] of points.entries()) {
    const before = points[i - 1]
    for (; readings[at]?.ts !== point.ts || readings[at]?.value !== point.value; at++) {
      const reading = readings[at]
      if (reading === undefined) expect.fail(`${about}: point ${i} is no reading, or out of order`)
      if (before === undefined) expect.fail(`${about}: a reading before the first point`)
      if (!isPassed(method, before, point, reading, point.deviation))
        expect.fail(`${about}: at ${reading.ts} the line is further than ${point.deviation} from the reading`)
    }
    at++
  }
  const last = points[points.length - 1]
  for (const reading of readings.slice(at)) {
    if (method !== 'deadband') expect(reading.ts, about).toBe(last.ts)
    const isSame = isPassed(method, last, last, { ...reading, ts: last.ts }, last.deviation)
    if (!isSame && !Number.isNaN(last.deviation)) expect.fail(`${about}: the tail leaves the line`)
  }
}

/** Readings that try to slip through: on the doors' edges, steps, spikes, one time, huge and tiny numbers. */
function makeAdversary(prng: Prng, count: number, deviation: number): Point[] {
  const kind = prng.between(0, 6)
  const slope = prng.normal() * deviation
  const offset = [0, 1e6, 1e15, 1e300][prng.between(0, 3)] * prng.normal()
  let ts = prng.between(0, 10)
  let level = offset
  const readings = Array.from({ length: count }, (_, i) => {
    ts += prng.between(0, 3) === 0 ? 0 : prng.between(1, 1000)
    const edge = prng.unit() < 0.5 ? 1 : -1
    level += deviation * (prng.between(-2, 2) / 2)
    const values = [
      offset + slope * ts + edge * deviation,
      offset + edge * deviation * (1 + prng.between(-2, 2) * Number.EPSILON),
      level,
      i % prng.between(2, 30) === 0 ? 1e308 * edge : offset,
      offset + (prng.unit() < 0.05 ? deviation * 100 * edge : 0),
      offset + slope * ts * ts * 1e-5,
      prng.unit() * Number.MIN_VALUE * 1e10 * edge,
    ]
    const value = values[kind] + 0
    return { ts, value: Number.isFinite(value) ? value : 0 }
  })
  return readings.sort((a, b) => a.ts - b.ts || a.value - b.value)
}

describe.each(METHODS)('%s', (method) => {
  test('passes every reading within the deviation', () => {
    for (let seed = 1; seed <= 400; seed++) {
      const prng = new Prng(seed)
      const deviation =
        [0.5, 1, 0.1, 1e-9, 1e6][prng.between(0, 4)] * (prng.unit() < 0.5 ? 1 : prng.unit() + 0.1)
      const readings = prng.unit() < 0.5 ? makeReadings(prng, 300) : makeAdversary(prng, 300, deviation)
      const points = downsample(fixed(method, deviation), readings)
      const stated = points.slice(1).every((point) => point.deviation === deviation)
      expect(stated, `seed ${seed}`).toBe(true)
      expectLine(method, readings, points, `seed ${seed}, deviation ${deviation}`)
    }
  })

  test('keeps no more points than a budget allows, and says how far the line is then', () => {
    for (let seed = 1; seed <= 200; seed++) {
      const prng = new Prng(seed)
      const pointsPerHour = prng.between(1, 30)
      const scale = prng.between(1, 100)
      const readings = (prng.unit() < 0.5 ? makeReadings(prng, 600) : makeAdversary(prng, 600, 1)).map(
        ({ ts, value }) => ({ ts: ts * scale, value }),
      )
      const downsampled = new Downsampled(budgeted(method, pointsPerHour))
      downsampled.add(readings)
      const points = downsampled.said
      const hours = Map.groupBy(points, ({ ts }) => Math.floor(ts / HOUR_MS))
      for (const kept of hours.values())
        expect(kept.length, `seed ${seed}`).toBeLessThanOrEqual(pointsPerHour)
      const lastAt = readings.findIndex(
        ({ ts, value }) => ts === points[points.length - 1].ts && value === points[points.length - 1].value,
      )
      expectLine(method, readings.slice(0, lastAt + 1), points, `seed ${seed}`)
    }
  })

  test('goes on after it was saved and loaded', () => {
    for (let seed = 1; seed <= 50; seed++) {
      const prng = new Prng(seed)
      const spec = prng.unit() < 0.5 ? fixed(method, 1) : budgeted(method, 20)
      const readings = makeReadings(prng, 300)
      const whole = downsample(spec, readings)
      const one = new Downsampled(spec)
      const cut = prng.between(0, 299)
      one.add(readings.slice(0, cut))
      const out = new StateWriter()
      one.operator.save(out)
      const other = new Downsampled(spec)
      other.operator.load(new StateReader(new Uint8Array(Buffer.concat(out.parts))))
      other.add(readings.slice(cut))
      other.end()
      expect([...one.said, ...other.said], `seed ${seed}`).toEqual(whole)
    }
  })

  test('keeps late readings, and those of an earlier life, beside the line', () => {
    const downsampled = new Downsampled(fixed(method, 1))
    downsampled.slots.fields[downsampled.slot * SLOT_STRIDE + SlotField.dirtyUntilMs] = 1000
    downsampled.add([
      { ts: 900, value: 5 },
      { ts: 1000, value: 6 },
      { ts: 2000, value: 0 },
      { ts: 3000, value: 0 },
    ])
    downsampled.operator.late(downsampled.slot, 1500, 7)
    downsampled.add([{ ts: 4000, value: 100 }])
    downsampled.end()
    const late = downsampled.said.filter(({ kind }) => kind === PointKind.late)
    expect(bare(late)).toEqual([
      { ts: 900, value: 5 },
      { ts: 1000, value: 6 },
      { ts: 1500, value: 7 },
    ])
    expect(downsampled.said.filter(({ kind }) => kind === PointKind.kept)[0]).toMatchObject({
      ts: 2000,
      value: 0,
    })
  })

  test('keeps a reading at least as often as was asked', () => {
    const readings = Array.from({ length: 1000 }, (_, i) => ({ ts: i * 1000, value: 3 }))
    const points = downsample(fixed(method, 1, 60_000), readings)
    const gaps = points.slice(1).map(({ ts }, i) => ts - points[i].ts)
    expect(Math.max(...gaps)).toBe(60_000)
  })
})

test('a straight line is its ends', () => {
  const readings = Array.from({ length: 1000 }, (_, i) => ({ ts: i * 1000, value: i * 3 }))
  expect(bare(downsample(fixed('swinging-door', 1e-6), readings))).toEqual([readings[0], readings[999]])
})

test('a deadband of 0 drops what repeats', () => {
  const readings = [1, 1, 1, 2, 2, 1, 1].map((value, i) => ({ ts: i, value }))
  expect(downsample(fixed('deadband', 0), readings).map(({ ts }) => ts)).toEqual([0, 3, 5])
})

describe('a swinging door that falls silent', () => {
  const readings = [0, 1, 2].map((i) => ({ ts: i * 1000, value: i }))
  test('keeps its newest reading', () => {
    const downsampled = new Downsampled(fixed('swinging-door', 1))
    downsampled.add(readings)
    downsampled.operator.show(downsampled.slot)
    expect(bare(downsampled.said)).toEqual([readings[0], readings[2]])
  })
  test('unless readings always come that rarely', () => {
    const downsampled = new Downsampled(fixed('swinging-door', 1))
    downsampled.add(readings.map(({ ts, value }) => ({ ts: ts * 60, value })))
    downsampled.operator.show(downsampled.slot)
    expect(downsampled.said).toHaveLength(1)
  })
})

test.each(METHODS)('%s: a budget is used up to a good part, whatever the signal', (method) => {
  for (let shape = 0; shape < 3; shape++) {
    const prng = new Prng(shape + 1)
    let level = 0
    const readings = Array.from({ length: 10 * 3600 }, (_, i) => {
      level += prng.normal()
      const values = [
        level,
        1000 * Math.sin(i / 500) + prng.normal(),
        (i % 7200 < 600 ? 10 : 0.01) * prng.normal(),
      ]
      return { ts: i * 1000, value: values[shape] }
    })
    const points = downsample(budgeted(method, 60), readings)
    expect(points.length, `shape ${shape}`).toBeGreaterThan(300)
    expect(points.length, `shape ${shape}`).toBeLessThanOrEqual(600)
  }
})

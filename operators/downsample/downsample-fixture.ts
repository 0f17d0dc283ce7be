/** For tests: downsamplers fed in order, without a buffer, and what they say. */
import type { Prng } from '../../base/prng.ts'
import { OrderedMemory } from '../ordered-memory.ts'
import type { OrderedOperator } from '../ordered-operator.ts'
import { AmendmentRows } from '../ordered-rows.ts'
import { SeriesSlots, SLOT_STRIDE, SlotField } from '../series-slots.ts'
import { makeDownsampler } from './downsamplers.ts'
import { type PointKind, PointRows } from './point-rows.ts'
import type { PointSpec } from './point-spec.ts'

export interface Point {
  ts: number
  value: number
}

export interface SaidPoint extends Point {
  deviation: number
  kind: PointKind
}

const IDLE_TIMEOUT_MS = 30_000

/** One downsampler with one series. */
export class Downsampled {
  readonly points = new PointRows()
  readonly amendments = new AmendmentRows()
  readonly slots = new SeriesSlots()
  operator: OrderedOperator
  readonly slot: number
  readonly #spec: PointSpec

  constructor(spec: PointSpec) {
    this.#spec = spec
    this.operator = this.#make(new OrderedMemory(64_000_000))
    this.slot = this.slots.take(0, Number.NEGATIVE_INFINITY)
    this.operator.admit(this.slot)
    this.operator.open(this.slot)
  }

  add(readings: readonly Point[]): void {
    const pairs = Float64Array.from(readings.flatMap(({ ts, value }) => [ts, value]))
    this.operator.take(this.slot, pairs, 0, pairs.length)
    const newest = readings.at(-1)
    if (newest) this.slots.fields[this.slot * SLOT_STRIDE + SlotField.newestMs] = newest.ts
  }

  /** Closes what is open. */
  end(): void {
    this.slots.fields[this.slot * SLOT_STRIDE + SlotField.frontierMs] = Number.POSITIVE_INFINITY
    this.operator.settle(this.slot)
    this.operator.show(this.slot)
    this.operator.release(this.slot)
  }

  get said(): SaidPoint[] {
    const { count, tsMs, value, deviation, kind } = this.points
    return Array.from({ length: count }, (_, row) => ({
      ts: tsMs[row],
      value: value[row],
      deviation: deviation[row],
      kind: kind[row] as PointKind,
    }))
  }

  #make(memory: OrderedMemory): OrderedOperator {
    return makeDownsampler(this.#spec, 0, 0, this, memory, IDLE_TIMEOUT_MS)
  }
}

/** What one series' readings in order become. */
export function downsample(spec: PointSpec, readings: readonly Point[]): SaidPoint[] {
  const downsampled = new Downsampled(spec)
  downsampled.add(readings)
  downsampled.end()
  return downsampled.said
}

export function bare(points: readonly Point[]): Point[] {
  return points.map(({ ts, value }) => ({ ts, value }))
}

/** Readings of one series in order, of some character. */
export function makeReadings(prng: Prng, count: number): Point[] {
  const shape = prng.between(0, 5)
  const stepMax = prng.between(0, 3) === 0 ? 2 : prng.between(2, 3000)
  const size = 10 ** prng.between(-3, 6)
  let ts = prng.between(-1_000_000, 1_000_000)
  let level = 0
  const readings = Array.from({ length: count }, (_, i) => {
    ts += prng.between(0, stepMax)
    level += prng.normal()
    const values = [
      prng.normal(),
      level,
      prng.between(-2, 2),
      Math.sin(i / 10),
      i % 2 === 0 ? 1 : -1,
      Math.floor(i / 20) + 0.1 * prng.unit(),
    ]
    return { ts, value: values[shape] * size + 0 }
  })
  return readings.sort((a, b) => a.ts - b.ts || a.value - b.value)
}

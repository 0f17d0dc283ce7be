/**
 * What a pane's sketches cost per value: to one slot that stays in the cache, to 10,000 slots in random order, to merge, to make a
 * row of, and how large they are when saved. Values are a sensor's (a slow wave with noise) unless the name says otherwise.
 */
import { Prng } from '../base/prng.ts'
import { StateWriter } from '../codecs/state.ts'
import { CompensatedSums } from '../operators/compensated-sum.ts'
import { DistinctCounts } from '../operators/distinct-count.ts'
import { Moments } from '../operators/moments.ts'
import { QuantileSketches } from '../operators/quantile-sketch.ts'
import type { SlotPool } from '../operators/slot-pool.ts'
import type { Bench, BenchSize, Measure } from './bench.ts'

const VALUES = 1 << 16
const SLOTS = 10_000

type Values = (prng: Prng, index: number) => number
const sensor: Values = (prng, index) => 21 + 3 * Math.sin(index / 500) + prng.normal() * 0.05
const wide: Values = (prng) => Math.exp(prng.normal() * 3) * (prng.unit() < 0.5 ? -1 : 1)

interface Load {
  values: Float64Array
  slotOf: Int32Array
}

function makeLoad(values: Values, slots: Int32Array): Load {
  const prng = new Prng(11)
  return {
    values: Float64Array.from({ length: VALUES }, (_, index) => values(prng, index)),
    slotOf: Int32Array.from({ length: VALUES }, () => slots[prng.between(0, slots.length - 1)]),
  }
}

function nsPer(count: number, work: () => void): number {
  const startMs = performance.now()
  work()
  return ((performance.now() - startMs) * 1e6) / count
}

/** The best round's cost of an add to slots that are empty, or hold as many values already. */
function measureAdd(
  pool: SlotPool,
  slotCount: number,
  values: Values,
  isEmpty: boolean,
  rounds: number,
): number {
  let best = Infinity
  for (let round = 0; round < rounds; round++) {
    pool.clear()
    const slots = Int32Array.from({ length: slotCount }, () => pool.take())
    const load = makeLoad(values, slots)
    if (!isEmpty) addAll(pool, load)
    best = Math.min(
      best,
      nsPer(VALUES, () => addAll(pool, load)),
    )
  }
  return best
}

function addAll(pool: SlotPool, { values, slotOf }: Load): void {
  for (let i = 0; i < VALUES; i++) pool.add(slotOf[i], values[i])
}

interface PaneFigures {
  bytesPerSlot: number
  rowNs: number
  mergeNs: number
}

/** Panes of so many values each: their state, and the best round's cost of a row and of a merge of two. */
function measurePanes(pool: SlotPool, perSlot: number, slotCount: number, rounds: number): PaneFigures {
  const figures = { bytesPerSlot: 0, rowNs: Infinity, mergeNs: Infinity }
  for (let round = 0; round < rounds; round++) {
    const prng = new Prng(12)
    pool.clear()
    const slots = Int32Array.from({ length: slotCount }, () => pool.take())
    for (let i = 0; i < perSlot; i++) for (const slot of slots) pool.add(slot, sensor(prng, i))
    const out = new StateWriter()
    pool.save(out)
    figures.bytesPerSlot = out.sizeBytes / slotCount
    const appendAll = (): void => {
      for (const slot of slots) pool.appendRow(slot)
    }
    figures.rowNs = Math.min(figures.rowNs, nsPer(slotCount, appendAll))
    pool.clearRows()
    const mergePairs = (): void => {
      for (let i = 1; i < slotCount; i += 2) pool.merge(slots[i - 1], slots[i])
    }
    figures.mergeNs = Math.min(figures.mergeNs, nsPer(slotCount / 2, mergePairs))
  }
  return figures
}

const POOLS: Record<string, () => SlotPool> = {
  quantiles: () => new QuantileSketches(),
  distinct: () => new DistinctCounts(),
  moments: () => new Moments(),
  'compensated sum': () => new CompensatedSums(),
}

async function run(size: BenchSize): Promise<Measure[]> {
  const isFull = size === 'full'
  const rounds = isFull ? 15 : 2
  const slotCount = isFull ? SLOTS : 200
  const measures: Measure[] = []
  for (const [name, make] of Object.entries(POOLS)) {
    const isQuantiles = name === 'quantiles'
    const atMost = isQuantiles ? 30 : undefined
    const add = (what: string, count: number, values: Values, isEmpty: boolean): void => {
      const value = measureAdd(make(), count, values, isEmpty, rounds)
      measures.push({ name: `${name}, ${what}`, value, unit: 'ns/add', atMost: isEmpty ? undefined : atMost })
    }
    add('one slot', 1, sensor, false)
    add('10,000 slots', slotCount, sensor, false)
    add('10,000 slots, from empty to 7 values each', slotCount, sensor, true)
    if (isQuantiles) add('one slot, wide and of both signs', 1, wide, false)
    for (const perSlot of [10, 600]) {
      const { bytesPerSlot, rowNs, mergeNs } = measurePanes(make(), perSlot, slotCount, isFull ? 5 : 1)
      const what = `${name}, panes of ${perSlot} values`
      measures.push({ name: `${what}, state`, value: bytesPerSlot, unit: 'bytes/slot' })
      measures.push({ name: `${what}, row`, value: rowNs, unit: 'ns' })
      measures.push({ name: `${what}, merge`, value: mergeNs, unit: 'ns' })
    }
  }
  return measures
}

export const bench: Bench = {
  name: 'sketches',
  about: 'values into the sketches, moments and sums of panes, on one thread',
  run,
}

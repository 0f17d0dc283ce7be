import { expect, test } from 'vitest'
import { Prng } from '../base/prng.ts'
import { StateWriter } from '../codecs/state.ts'
import { QuantileSketches } from './quantile-sketch.ts'

/** The bins of the values, as entries of a row. */
function binsOf(values: Iterable<number>): [key: number, count: number][] {
  const sketches = new QuantileSketches()
  const slot = sketches.take()
  for (const value of values) sketches.add(slot, value)
  sketches.appendRow(slot)
  const { keys, values: counts, size } = sketches.rows
  return Array.from({ length: size[0] }, (_, i) => [keys[i], counts[i]])
}

/** The middle of a bin, from the description in the module's head. */
function middleOf(key: number): number {
  if (key === 0) return 0
  const view = new DataView(new ArrayBuffer(8))
  view.setUint32(0, (Math.abs(key) * 2 + 1) * 2 ** 13)
  return Math.sign(key) * view.getFloat64(0)
}

function quantileOf(bins: [key: number, count: number][], rank: number): number {
  let seen = 0
  for (const [key, count] of bins) {
    seen += count
    if (seen > rank) return middleOf(key)
  }
  return Number.NaN
}

const DISTRIBUTIONS: Record<string, (prng: Prng) => number> = {
  constant: () => 21.5,
  'even over 0 .. 100': (prng) => prng.unit() * 100,
  'normal around 0': (prng) => prng.normal(),
  'over ten decades, of both signs': (prng) => prng.normal() * 10 ** prng.between(-5, 5),
  'whole numbers': (prng) => prng.between(-3, 3),
  'the smallest': (prng) => 2 ** -1022 * (1 + prng.unit() * 1e9),
  'the largest': (prng) => (prng.unit() - 0.5) * 2 * Number.MAX_VALUE,
}

for (const [name, draw] of Object.entries(DISTRIBUTIONS)) {
  test(`every quantile is within 1/128: ${name}`, () => {
    for (let seed = 1; seed <= 5; seed++) {
      const prng = new Prng(seed)
      const values = Array.from({ length: prng.between(1, 3000) }, () => draw(prng))
      const bins = binsOf(values)
      const sorted = Float64Array.from(values).sort()
      for (const [rank, exact] of sorted.entries()) {
        const error = Math.abs(quantileOf(bins, rank) - exact)
        expect(error, `seed ${seed}, rank ${rank}`).toBeLessThanOrEqual(Math.abs(exact) / 128)
      }
    }
  })
}

test('ends of bins: a power of two begins one, zeros of both signs share one with the smallest', () => {
  expect(binsOf([1, 1 + 63 / 64])).toEqual([
    [1023 * 64, 1],
    [1023 * 64 + 63, 1],
  ])
  expect(binsOf([2 - 2 ** -52, 2])).toEqual([
    [1024 * 64 - 1, 1],
    [1024 * 64, 1],
  ])
  expect(binsOf([0, -0, Number.MIN_VALUE, -Number.MIN_VALUE])).toEqual([[0, 4]])
  expect(binsOf([-1, Number.MAX_VALUE, -Number.MAX_VALUE]).map(([key]) => key)).toEqual([
    -131_007, 0, 131_007,
  ])
})

test('what is 64 octaves below the greatest counts as zero, in whatever order they come', () => {
  const values = [2 ** 40, -(2 ** 40), 2 ** -24, 2 ** -24 * 0.99, -(2 ** -30), 0, 3]
  const expected = [
    [-(1023 + 40) * 64, 1],
    [0, 3],
    [(1023 - 24) * 64, 1],
    [1024 * 64 + 32, 1],
    [(1023 + 40) * 64, 1],
  ]
  expect(binsOf(values)).toEqual(expected)
  expect(binsOf(values.reverse())).toEqual(expected)
})

test('values of all sizes end in a bounded slot, as they would in order', () => {
  const prng = new Prng(3)
  const view = new DataView(new ArrayBuffer(8))
  const values = Array.from({ length: 150_000 }, () => {
    do {
      view.setUint32(0, prng.u32())
      view.setUint32(4, prng.u32())
    } while (!Number.isFinite(view.getFloat64(0)))
    return view.getFloat64(0)
  })
  // Upwards, so that the bound is met again and again.
  const upwards = values.slice().sort((a, b) => Math.abs(a) - Math.abs(b))
  const sketches = new QuantileSketches()
  const slot = sketches.take()
  for (const value of upwards) sketches.add(slot, value)
  sketches.appendRow(slot)
  const out = new StateWriter()
  sketches.save(out)
  expect(out.sizeBytes).toBeLessThan(1 << 20)
  const bins = binsOf(values)
  expect(bins.length).toBeLessThanOrEqual(2 * (4096 + 1) + 1)
  expect(bins.reduce((sum, [, count]) => sum + count, 0)).toBe(values.length)
  expect([...sketches.rows.keys.subarray(0, sketches.rows.size[0])]).toEqual(bins.map(([key]) => key))
  expect([...sketches.rows.values.subarray(0, sketches.rows.size[0])]).toEqual(bins.map(([, count]) => count))
})

test('a bin counts to 2^32 - 1 and stays there', () => {
  const sketches = new QuantileSketches()
  const slots = [sketches.take(), sketches.take()]
  sketches.add(slots[0], 5)
  for (let doubling = 0; doubling < 31; doubling++) {
    sketches.merge(slots[1 - (doubling & 1)], slots[doubling & 1])
    sketches.merge(slots[doubling & 1], slots[1 - (doubling & 1)])
  }
  sketches.appendRow(slots[0])
  sketches.add(slots[0], 5)
  sketches.appendRow(slots[0])
  expect([...sketches.rows.values.subarray(0, 2)]).toEqual([2 ** 32 - 1, 2 ** 32 - 1])
})

import { describe, expect, test } from 'vitest'
import { Prng } from './prng.ts'

const SEEDS = [0, 1, 42, 0xffff_ffff, 0x1_0000_0000, Number.MAX_SAFE_INTEGER]
const DRAWS = 100_000

/** sfc32 as published (PractRand), in 32-bit BigInt arithmetic: the seed in a and b, our constant in c. */
function* reference(seed: number): Generator<number> {
  const mask = 0xffff_ffffn
  let a = BigInt(seed) & mask
  let b = (BigInt(seed) >> 32n) & mask
  let c = 0x9e37_79b9n
  for (let counter = 1n; ; counter++) {
    const sum = (a + b + counter) & mask
    a = b ^ (b >> 9n)
    b = (c + (c << 3n)) & mask
    c = ((((c << 21n) | (c >> 11n)) & mask) + sum) & mask
    if (counter > 12n) yield Number(sum)
  }
}

function draw(seed: number, count: number): number[] {
  const prng = new Prng(seed)
  return Array.from({ length: count }, () => prng.u32())
}

test.each(SEEDS)('seed %d gives the published algorithm, again and again', (seed) => {
  const expected = reference(seed)
  const values = draw(seed, 1_000)
  expect(values).toEqual(values.map(() => expected.next().value))
  expect(draw(seed, 1_000)).toEqual(values)
})

test('different seeds give different sequences, also when only the upper half differs', () => {
  expect(new Set(SEEDS.map((seed) => draw(seed, 4).join())).size).toBe(SEEDS.length)
})

describe.each(SEEDS)('seed %d', (seed) => {
  test('every bit of u32 is set about half of the time', () => {
    const counts = new Array<number>(32).fill(0)
    for (const value of draw(seed, DRAWS))
      for (let bit = 0; bit < 32; bit++) counts[bit] += (value >>> bit) & 1
    // 6 deviations of a binomial with p = 1/2.
    for (const count of counts) expect(Math.abs(count - DRAWS / 2)).toBeLessThan(6 * Math.sqrt(DRAWS / 4))
  })

  test('unit stays in [0, 1) and is level over 16 parts', () => {
    const prng = new Prng(seed)
    const counts = new Array<number>(16).fill(0)
    for (let i = 0; i < DRAWS; i++) {
      const value = prng.unit()
      if (value < 0 || value >= 1) expect.fail(`unit gave ${value}`)
      counts[Math.floor(value * 16)]++
    }
    const expected = DRAWS / 16
    const chiSquare = counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0)
    // 15 degrees of freedom: above 50 once in 80,000 seeds.
    expect(chiSquare).toBeLessThan(50)
  })

  test('normal has mean 0, deviation 1 and the tails of a bell', () => {
    const prng = new Prng(seed)
    const values = Array.from({ length: DRAWS }, () => prng.normal())
    const moment = (power: number): number => values.reduce((sum, value) => sum + value ** power, 0) / DRAWS
    expect(values.every(Number.isFinite)).toBe(true)
    expect(Math.abs(moment(1))).toBeLessThan(6 / Math.sqrt(DRAWS))
    expect(Math.abs(moment(2) - 1)).toBeLessThan(6 * Math.sqrt(2 / DRAWS))
    expect(Math.abs(moment(4) - 3)).toBeLessThan(6 * Math.sqrt(96 / DRAWS))
  })
})

test.each([
  [0, 0],
  [-3, 3],
  [7, 8],
  [0, 0xffff_ffff],
])('between %d and %d keeps to its bounds', (min, max) => {
  const prng = new Prng(7)
  const seen = new Set<number>()
  for (let i = 0; i < 10_000; i++) seen.add(prng.between(min, max))
  for (const value of seen) {
    if (!Number.isInteger(value) || value < min || value > max) expect.fail(`between gave ${value}`)
  }
  if (max - min < 10) expect(seen.size).toBe(max - min + 1)
})

import { expect, test } from 'vitest'
import { Prng } from '../base/prng.ts'
import { DistinctCounts } from './distinct-count.ts'

const REGISTERS = 4096

function registersOf(values: Iterable<number>): [register: number, value: number][] {
  const counts = new DistinctCounts()
  const slot = counts.take()
  for (const value of values) counts.add(slot, value)
  counts.appendRow(slot)
  const { keys, values: ranks, size } = counts.rows
  return Array.from({ length: size[0] }, (_, i) => [keys[i], ranks[i]])
}

/** Ertl's estimator without its correction for full registers (arXiv 1702.01284). */
function estimate(registers: [register: number, value: number][]): number {
  const empty = 1 - registers.length / REGISTERS
  if (empty === 1) return 0
  let sigma = empty
  for (let k = 1, power = empty * empty; power > 0; k++, power *= power) sigma += power * 2 ** (k - 1)
  const sum = registers.reduce((total, [, value]) => total + 2 ** -value, REGISTERS * sigma)
  return REGISTERS ** 2 / (2 * Math.LN2 * sum)
}

const SEQUENCES: Record<string, (index: number, seed: number) => number> = {
  'whole numbers': (index, seed) => seed * 1e6 + index,
  tenths: (index, seed) => (seed * 1e6 + index) / 10,
  'neighbouring floats': (index, seed) => 1 + (seed * 1e6 + index) * 2 ** -52,
  'powers of two, then their neighbours': (index, seed) =>
    2 ** ((index % 1000) - 500) * (seed * 64 + 2 * Math.floor(index / 1000) + 1),
  'both signs': (index, seed) => (index % 2 === 0 ? 1 : -1) * (seed * 1e5 + (index >> 1) + 0.5),
}

for (const [name, valueAt] of Object.entries(SEQUENCES)) {
  test(`is off by 1.6 % and no bias: ${name}`, () => {
    for (const count of [1, 10, 100, 3000, 20_000]) {
      let squares = 0
      let sum = 0
      const runs = 24
      for (let seed = 1; seed <= runs; seed++) {
        const error =
          estimate(registersOf(Array.from({ length: count }, (_, i) => valueAt(i, seed)))) / count - 1
        squares += error * error
        sum += error
      }
      // Of ten values, two meet in a register in one run of 90, which is a tenth off.
      expect(Math.sqrt(squares / runs), `${count} values`).toBeLessThan(count === 10 ? 0.05 : 0.025)
      expect(Math.abs(sum / runs), `${count} values`).toBeLessThan(0.012)
    }
  })
}

test('repetition changes nothing, and -0 is 0', () => {
  const prng = new Prng(2)
  for (const count of [1, 300, 400, 5000]) {
    const values = Array.from({ length: count }, () => prng.normal())
    expect(registersOf([...values, ...values.reverse(), ...values])).toEqual(registersOf(values))
  }
  expect(registersOf([0, -0])).toEqual(registersOf([0]))
  expect(registersOf([0]).length).toBe(1)
})

test('registers and values are in their ranges, in order', () => {
  for (const count of [0, 1, 2, 3, 4, 380, 385, 390, 100_000]) {
    const registers = registersOf(Array.from({ length: count }, (_, i) => i * 0.7))
    expect(registers.length).toBeLessThanOrEqual(Math.min(count, REGISTERS))
    for (const [i, [register, value]] of registers.entries()) {
      expect(register).toBeGreaterThan(i === 0 ? -1 : registers[i - 1][0])
      expect(register).toBeLessThan(REGISTERS)
      expect(value).toBeGreaterThanOrEqual(1)
      expect(value).toBeLessThanOrEqual(33)
    }
  }
})

import { expect, test } from 'vitest'
import { Prng } from '../base/prng.ts'
import { CompensatedSums } from './compensated-sum.ts'
import { Moments } from './moments.ts'

/** The values dealt to slots and merged in a random order into one. */
function merged(pool: Moments | CompensatedSums, values: Float64Array, prng: Prng): void {
  const slots = Array.from({ length: prng.between(1, 9) }, () => pool.take())
  for (const value of values) pool.add(slots[prng.between(0, slots.length - 1)], value)
  while (slots.length > 1) {
    const from = slots.splice(prng.between(0, slots.length - 1), 1)[0]
    pool.merge(slots[prng.between(0, slots.length - 1)], from)
    pool.give(from)
  }
  pool.appendRow(slots[0])
}

test('variance is right where sums of squares are not: a small deviation far from zero', () => {
  for (let seed = 1; seed <= 20; seed++) {
    const prng = new Prng(seed)
    const offset = 10 ** prng.between(0, 9)
    // Multiples of 2^-20 near the offset: differences and their mean are exact.
    const values = Float64Array.from(
      { length: prng.between(2, 3000) },
      () => offset + prng.between(0, 1000) / 2 ** 10,
    )
    const differences = values.map((value) => value - offset)
    const mean = differences.reduce((sum, value) => sum + value, 0) / values.length
    const m2 = differences.reduce((sum, value) => sum + (value - mean) ** 2, 0)
    const pool = new Moments()
    merged(pool, values, prng)
    expect(pool.rows.n[0], `seed ${seed}`).toBe(values.length)
    expect(Math.abs(pool.rows.mean[0] / (offset + mean) - 1)).toBeLessThan(1e-14)
    expect(Math.abs(pool.rows.m2[0] / m2 - 1), `seed ${seed}`).toBeLessThan(1e-5 * (offset / 1e9) + 1e-11)
  }
})

test('a compensated sum is the exact one, rounded once', () => {
  for (let seed = 1; seed <= 30; seed++) {
    const prng = new Prng(seed)
    // Multiples of 2^-30 below 2^70: a BigInt adds them exactly. They cancel, so that a plain sum is far off.
    const parts = Array.from(
      { length: prng.between(1, 1000) },
      () => prng.normal() * 2 ** prng.between(-25, 60),
    )
    const values = [...parts, ...parts.map((value, i) => (i % 3 === 0 ? 0.1 : -value))].map(
      (value) => Math.round(value * 2 ** 30) / 2 ** 30,
    )
    const exact = values.reduce((sum, value) => sum + BigInt(value * 2 ** 30), 0n)
    const pool = new CompensatedSums()
    merged(pool, Float64Array.from(values), prng)
    const found = pool.rows.sum[0] + pool.rows.error[0]
    expect(found, `seed ${seed}`).toBe(Number(exact) / 2 ** 30)
  }
})

test('a sum past the largest float is infinite and has no error', () => {
  const pool = new CompensatedSums()
  const slot = pool.take()
  for (let i = 0; i < 3; i++) pool.add(slot, -Number.MAX_VALUE)
  pool.appendRow(slot)
  expect([pool.rows.sum[0], pool.rows.error[0]]).toEqual([-Infinity, 0])
})

import { describe, expect, test } from 'vitest'
import { Prng } from '../base/prng.ts'
import { StateReader, StateWriter } from '../codecs/state.ts'
import { CompensatedSums } from './compensated-sum.ts'
import { DistinctCounts } from './distinct-count.ts'
import type { KeyedRows } from './keyed-rows.ts'
import { Moments } from './moments.ts'
import { QuantileSketches } from './quantile-sketch.ts'
import type { SlotPool } from './slot-pool.ts'

// What every pool must do, whatever it keeps: any calls give the rows that adding the same values to a new pool gives.

/** A pool whose rows can be read; of what is rounded, `scale` says how much of it is noise. */
interface Subject {
  pool: SlotPool
  row: (index: number) => number[]
  isExact: boolean
}

const keyedRow = (rows: KeyedRows) => (index: number) => {
  const [start, end] = [rows.start[index], rows.start[index] + rows.size[index]]
  return [...rows.keys.subarray(start, end), ...rows.values.subarray(start, end)]
}

const SUBJECTS: Record<string, () => Subject> = {
  quantiles: () => {
    const pool = new QuantileSketches()
    return { pool, row: keyedRow(pool.rows), isExact: true }
  },
  distinct: () => {
    const pool = new DistinctCounts()
    return { pool, row: keyedRow(pool.rows), isExact: true }
  },
  moments: () => {
    const pool = new Moments()
    const { rows } = pool
    return { pool, row: (i) => [rows.n[i], rows.mean[i], rows.m2[i]], isExact: false }
  },
  sums: () => {
    const pool = new CompensatedSums()
    const { rows } = pool
    return { pool, row: (i) => [rows.sum[i] + rows.error[i]], isExact: false }
  },
}

function rowOf(make: () => Subject, values: readonly number[]): number[] {
  const { pool, row } = make()
  const slot = pool.take()
  for (const value of values) pool.add(slot, value)
  pool.appendRow(slot)
  return row(0)
}

function reopened(subject: Subject, make: () => Subject): Subject {
  const out = new StateWriter()
  subject.pool.save(out)
  const image = new Uint8Array(out.sizeBytes)
  let offset = 0
  for (const part of out.parts) {
    image.set(part, offset)
    offset += part.length
  }
  const next = make()
  const reader = new StateReader(image)
  next.pool.load(reader)
  expect(reader.isAtEnd).toBe(true)
  return next
}

function expectRow(found: number[], expected: number[], isExact: boolean, what: string): void {
  if (isExact) expect(found, what).toEqual(expected)
  else for (const [index, value] of expected.entries()) expect(found[index], what).toBeCloseTo(value, 6)
}

const randomValue = (prng: Prng): number => {
  const kind = prng.between(0, 9)
  if (kind === 0) return 0
  if (kind < 4) return prng.between(-5, 5)
  return prng.normal() * 10 ** prng.between(-2, 2)
}

for (const [name, make] of Object.entries(SUBJECTS)) {
  describe(name, () => {
    test('any calls give the rows that the values alone give', () => {
      for (let seed = 1; seed <= 8; seed++) {
        const prng = new Prng(seed)
        let subject = make()
        let slots: { slot: number; values: number[] }[] = []
        const any = () => slots[prng.between(0, slots.length - 1)]
        const expected: number[][] = []
        for (let step = 0; step < 1500; step++) {
          const what = prng.between(0, 99)
          if (what < 12 || slots.length === 0) slots.push({ slot: subject.pool.take(), values: [] })
          else if (what < 17) {
            const gone = slots.splice(prng.between(0, slots.length - 1), 1)[0]
            subject.pool.give(gone.slot)
          } else if (what < 27 && slots.length > 1) {
            const into = any()
            const from = any()
            if (into === from || into.values.length > 20_000) continue
            subject.pool.merge(into.slot, from.slot)
            into.values.push(...from.values)
          } else if (what < 35) {
            const { slot, values } = any()
            subject.pool.appendRow(slot)
            expected.push(values.slice())
          } else if (what === 99) {
            subject.pool.appendRow(0)
            expected.push([])
          } else if (what === 98 && prng.between(0, 3) === 0) {
            checkRows(subject, expected, make, prng, `seed ${seed}, step ${step}`)
            subject = reopened(subject, make)
          } else if (what === 97 && prng.between(0, 9) === 0) {
            subject.pool.clear()
            slots = []
          } else {
            const { slot, values } = any()
            for (let count = prng.between(1, 40); count > 0; count--) {
              const value = randomValue(prng)
              subject.pool.add(slot, value)
              values.push(value)
            }
          }
        }
        checkRows(subject, expected, make, prng, `seed ${seed}`)
      }
    })

    test('equal calls give equal states and rows', () => {
      const run = (): Uint8Array => {
        const prng = new Prng(7)
        const { pool } = make()
        const slots = Array.from({ length: 50 }, () => pool.take())
        for (let i = 0; i < 5000; i++) pool.add(slots[prng.between(0, 49)], randomValue(prng))
        for (let i = 0; i < 20; i++) pool.give(slots[i])
        const out = new StateWriter()
        pool.save(out)
        return Buffer.concat(out.parts)
      }
      expect(run()).toEqual(run())
    })

    test('tells how large its rows are, and forgets them', () => {
      const { pool, row } = make()
      const slot = pool.take()
      pool.add(slot, 4)
      expect(pool.rowsSizeBytes).toBe(0)
      pool.appendRow(slot)
      const first = pool.rowsSizeBytes
      expect(first).toBeGreaterThan(0)
      for (let i = 0; i < 5000; i++) pool.appendRow(slot)
      expect(pool.rowsSizeBytes).toBe(5001 * first)
      expect(row(5000)).toEqual(row(0))
      pool.clearRows()
      expect(pool.rowsSizeBytes).toBe(0)
    })
  })
}

/** Compares the rows with those of new pools, in which the values go in another order. */
function checkRows(
  subject: Subject,
  expected: number[][],
  make: () => Subject,
  prng: Prng,
  what: string,
): void {
  for (const [index, values] of expected.entries()) {
    const shuffled = values.slice()
    for (let i = shuffled.length - 1; i > 0; i--) {
      const other = prng.between(0, i)
      const kept = shuffled[i]
      shuffled[i] = shuffled[other]
      shuffled[other] = kept
    }
    expectRow(subject.row(index), rowOf(make, shuffled), subject.isExact, `${what}, row ${index}`)
  }
  expected.length = 0
  subject.pool.clearRows()
}

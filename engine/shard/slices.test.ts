import { expect, test } from 'vitest'
import { Prng } from '../../base/prng.ts'
import { rowSlices, runSlices, sortSlices } from './slices.ts'

test('a sort in slices is stable and like the runtime’s, whatever the length', () => {
  for (const count of [0, 1, 2, 1023, 1024, 1025, 2048, 5000, 40_000]) {
    const prng = new Prng(count + 1)
    const keys = Int32Array.from({ length: count }, () => prng.between(0, 50))
    const compare = (a: number, b: number) => keys[a] - keys[b]
    const values = Int32Array.from({ length: count }, (_, index) => index)
    const expected = values.slice().sort((a, b) => keys[a] - keys[b] || a - b)
    let slices = 0
    for (const _ of sortSlices(values, compare)) slices++
    expect(values).toEqual(expected)
    expect(slices).toBeGreaterThanOrEqual(Math.ceil(count / 1024) - 1)
  }
})

test('slices of rows cover each row once, in order', () => {
  for (const count of [0, 1, 65_536, 65_537, 200_000]) {
    let next = 0
    const pass = (start: number, end: number) => {
      expect(start).toBe(next)
      expect(end).toBeGreaterThan(start)
      next = end
    }
    runSlices(rowSlices(count, pass))
    expect(next).toBe(count)
  }
})

test('the result comes after the last slice', () => {
  function* work() {
    yield
    yield
    return 7
  }
  expect(runSlices(work())).toBe(7)
})

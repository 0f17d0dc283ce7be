import { expect, test } from 'vitest'
import { Prng } from '../base/prng.ts'
import { SeriesQueue } from './series-queue.ts'

test('gives back in order what it took, growing and wrapping', () => {
  const prng = new Prng(1)
  const queue = new SeriesQueue()
  const expected: number[] = []
  for (let step = 0, next = 0; step < 20_000; step++) {
    if (prng.unit() < 0.6) {
      queue.append(next)
      expected.push(next++)
    } else if (expected.length > 0) {
      expect(queue.take()).toBe(expected.shift())
    }
  }
  expect(queue.length).toBe(expected.length)
  expect(queue.length).toBeGreaterThan(2048)
  queue.clear()
  expect(queue.length).toBe(0)
})

import { expect, test } from 'vitest'
import { Prng } from '../base/prng.ts'
import { StateReader, StateWriter } from '../codecs/state.ts'
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

test('goes on where it was saved, wrapped or not', () => {
  const prng = new Prng(2)
  let queue = new SeriesQueue()
  const expected: number[] = []
  let wrappedCount = 0
  for (let step = 0, next = 0; step < 30_000; step++) {
    if (prng.unit() < (expected.length < 900 ? 0.6 : 0.45)) {
      queue.append(next)
      expected.push(next++)
    } else if (expected.length > 0) {
      expect(queue.take()).toBe(expected.shift())
    }
    if (step % 97 !== 0) continue
    const out = new StateWriter()
    queue.save(out)
    const image = Uint8Array.from(Buffer.concat(out.parts))
    queue = new SeriesQueue()
    queue.load(new StateReader(image))
    const again = new StateWriter()
    queue.save(again)
    expect(Buffer.concat(again.parts).equals(image)).toBe(true)
    const reader = new StateReader(image)
    reader.numbers(3)
    reader.i32()
    if (reader.i32().length > 0) wrappedCount++
  }
  expect(wrappedCount).toBeGreaterThan(20)
  while (expected.length > 0) expect(queue.take()).toBe(expected.shift())
})

test('a state of another length than it says is refused', () => {
  const image = (length: number, head: number, capacity: number, tail: number, wrapped: number) => {
    const out = new StateWriter()
    out.numbers(length, head, capacity)
    out.i32(new Int32Array(tail))
    out.i32(new Int32Array(wrapped))
    return new StateReader(Uint8Array.from(Buffer.concat(out.parts)))
  }
  const load = (from: StateReader) => () => new SeriesQueue().load(from)
  expect(load(image(1000, 100, 1024, 924, 76))).not.toThrow()
  expect(load(image(1000, 100, 1024, 923, 77))).toThrow('another queue length')
  expect(load(image(1000, 100, 1024, 924, 77))).toThrow('another queue length')
  expect(load(image(1025, 0, 1024, 1024, 1))).toThrow('no such queue')
  expect(load(image(0, 1024, 1024, 0, 0))).toThrow('no such queue')
  expect(load(image(0, 0, 1000, 0, 0))).toThrow('no such queue')
  expect(load(image(0, 0, 0, 0, 0))).toThrow('no such queue')
})

import { expect, test } from 'vitest'
import { ManualClock, systemClock } from './clock.ts'

test('the system clock gives whole milliseconds of wall time', () => {
  const beforeMs = Date.now()
  const nowMs = systemClock.nowMs()
  expect(Number.isInteger(nowMs)).toBe(true)
  expect(nowMs).toBeGreaterThanOrEqual(beforeMs)
  expect(nowMs).toBeLessThanOrEqual(Date.now())
})

test('a manual clock stands still until it is moved', () => {
  const clock = new ManualClock(1_000)
  expect([clock.nowMs(), clock.nowMs()]).toEqual([1_000, 1_000])
  clock.advance(250)
  expect(clock.nowMs()).toBe(1_250)
  clock.advance(0)
  expect(clock.nowMs()).toBe(1_250)
})

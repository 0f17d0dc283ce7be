import { expect, test } from 'vitest'
import { durationLabel, rollupAggregates, windowAggregates, windowLabel } from './window-spec.ts'

test('a duration is written in the widest unit that fits', () => {
  const texts = [1, 500, 1000, 90_000, 120_000, 3_600_000, 86_400_000, 7 * 86_400_000].map(durationLabel)
  expect(texts).toEqual(['1ms', '500ms', '1s', '90s', '2m', '1h', '1d', '7d'])
  expect(() => durationLabel(0.5)).toThrow(RangeError)
})

test('a label says the kind and what makes it', () => {
  expect(windowLabel({ kind: 'tumbling', widthMs: 10_000 })).toBe('10s')
  expect(windowLabel({ kind: 'hopping', widthMs: 600_000, hopMs: 10_000 })).toBe('10m/10s')
  expect(windowLabel({ kind: 'calendar', unit: 'day', timeZone: 'Europe/Berlin' })).toBe('day Europe/Berlin')
  expect(windowLabel({ kind: 'session', gapMs: 30_000 })).toBe('session 30s')
  expect(windowLabel({ kind: 'count', size: 100 })).toBe('count 100')
  expect(windowLabel({ kind: 'sliding', widthMs: 300_000 })).toBe('sliding 5m')
})

test('each aggregate of a spec goes to one of the two tables', () => {
  const hopping = { kind: 'hopping', widthMs: 2000, hopMs: 1000, earlyMs: null } as const
  const spec = { ...hopping, aggregates: ['count' as const, 'rate' as const] }
  expect(rollupAggregates(spec)).toEqual(['count'])
  expect(windowAggregates(spec)).toEqual(['rate'])
  const session = { kind: 'session' as const, gapMs: 1, earlyMs: null, aggregates: ['count' as const] }
  expect(rollupAggregates(session)).toEqual([])
  expect(windowAggregates(session)).toEqual(['count'])
})

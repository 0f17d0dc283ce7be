import { expect, test } from 'vitest'
import { FaultLog } from './fault-log.ts'

const fault = (code: string, message: string, isOver = false) => ({ code, message, isOver })

test('a fault is said once, until it is over, for each source and code', () => {
  const log = new FaultLog()
  const away = fault('STORE_AWAY', 'nobody answers')
  expect(log.take('store', away, 0)).toBe(away)
  expect(log.take('store', away, 60_000)).toBeNull()
  expect(log.take('shard 0', away, 60_000)).toBe(away)
  const back = fault('STORE_AWAY', 'back', true)
  expect([log.take('store', back, 61_000), log.take('store', back, 62_000)]).toEqual([back, null])
  expect(log.take('store', away, 63_000)).toBe(away)
})

test('other words are said, 10 s after the last ones at the soonest', () => {
  const log = new FaultLog()
  log.take('store', fault('STORE_AWAY', 'nobody answers'), 0)
  const refused = fault('STORE_AWAY', 'refused')
  expect(log.take('store', refused, 10_000)).toBe(refused)
  expect(log.take('store', fault('STORE_AWAY', 'reset'), 12_000)).toBeNull()
  const last = fault('STORE_AWAY', 'out of memory')
  expect(log.take('store', last, 13_000)).toBeNull()
  expect(log.due(19_999)).toEqual([])
  expect(log.due(20_000)).toEqual([last])
  expect(log.due(40_000)).toEqual([])
})

test('words that changed and changed back in the meantime are not said again', () => {
  const log = new FaultLog()
  const first = fault('STORE_AWAY', 'nobody answers')
  log.take('store', first, 0)
  log.take('store', fault('STORE_AWAY', 'refused'), 1000)
  log.take('store', first, 2000)
  expect(log.due(60_000)).toEqual([])
})

test('what is active can be asked for by its code', () => {
  const log = new FaultLog()
  expect(log.messageOf(['A', 'B'])).toBeNull()
  log.take('shard 1', fault('B', 'b broke'), 0)
  log.take('shard 1', fault('B', 'b burns'), 1)
  expect([log.messageOf(['A', 'B']), log.messageOf(['A'])]).toEqual(['b burns', null])
  log.take('shard 1', fault('B', 'b is well', true), 2)
  expect(log.messageOf(['A', 'B'])).toBeNull()
})

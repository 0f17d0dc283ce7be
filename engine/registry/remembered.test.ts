import { expect, test } from 'vitest'
import { Remembered } from './remembered.ts'

const secret = Buffer.from('secret')

test('only the same secret of the same owner finds it, and no other process could', () => {
  const one = new Remembered<string>(10, 1000)
  one.put(one.keyOf('a', secret), 'grant', 0)
  expect(one.find(one.keyOf('a', secret), 1)).toBe('grant')
  for (const key of [one.keyOf('a', Buffer.from('Secret')), one.keyOf('b', secret), one.keyOf('a', null)])
    expect(one.find(key, 1)).toBeNull()
  const other = new Remembered<string>(10, 1000)
  expect(other.keyOf('a', secret)).not.toBe(one.keyOf('a', secret))
  expect(one.keyOf('a', secret)).not.toContain('secret')
})

test('it lasts as long as a connection uses it, and a while after', () => {
  const remembered = new Remembered<string>(10, 1000)
  remembered.put('k', 'v', 0)
  remembered.visit('k', 1, 0)
  remembered.visit('k', 1, 0)
  expect(remembered.find('k', 1_000_000)).toBe('v')
  remembered.visit('k', -1, 2_000_000)
  remembered.sweep(3_000_000)
  remembered.visit('k', -1, 4_000_000)
  expect(remembered.find('k', 4_001_000)).toBe('v')
  expect(remembered.find('k', 4_002_001)).toBeNull()
  expect(remembered.count).toBe(0)
})

test('it is bounded: what was not used for longest goes first, what is in use last', () => {
  const remembered = new Remembered<number>(3, 1000)
  for (const key of [1, 2, 3]) remembered.put(String(key), key, 0)
  remembered.visit('1', 1, 0)
  expect(remembered.find('2', 0)).toBe(2)
  remembered.put('4', 4, 0)
  expect(['1', '2', '3', '4'].filter((key) => remembered.has(key))).toEqual(['1', '2', '4'])
  for (const key of ['2', '4']) remembered.visit(key, 1, 0)
  remembered.put('5', 5, 0)
  expect(remembered.count).toBe(3)
  expect(remembered.has('5')).toBe(false)
})

test('a sweep lets go of what is over, and `forgetWhere` of what is wrong now', () => {
  const remembered = new Remembered<number>(10, 1000)
  for (const key of [1, 2, 3]) remembered.put(String(key), key, key * 1000)
  remembered.sweep(2500)
  expect(remembered.count).toBe(2)
  remembered.forgetWhere((value) => value === 2)
  expect([remembered.has('2'), remembered.has('3')]).toEqual([false, true])
})

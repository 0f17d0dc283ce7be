import { expect, test } from 'vitest'
import { PaneExtras } from './pane-extras.ts'
import { PaneField, PanePool } from './pane-pool.ts'

const NO_EXTRAS = new PaneExtras([], [])

test('panes keep what they hold while the pool grows, to its bound and past it', () => {
  const countMax = 300_000
  const pool = new PanePool(countMax, NO_EXTRAS)
  const panes = Array.from({ length: countMax + 5000 }, (_, index) => {
    const pane = pool.take(index % 3, index * 10, 0)
    pool.setNext(pane, index + 1)
    pool.fields[pool.offset(pane) + PaneField.sum] = -index
    return pane
  })
  expect(new Set(panes).size).toBe(panes.length)
  const areKept = panes.every((pane, index) => {
    const isKept = pool.fields[pool.offset(pane) + PaneField.sum] === -index && pool.next(pane) === index + 1
    return isKept && pool.level(pane) === index % 3 && pool.startMs(pane) === index * 10
  })
  expect(areKept).toBe(true)
  for (const pane of panes) pool.give(pane)
  expect(pool.count).toBe(0)
  expect(() => pool.give(1)).toThrow('given back twice')
})

test('a pane that was given back is taken again, empty', () => {
  const pool = new PanePool(10, NO_EXTRAS)
  const pane = pool.take(0, 5, 0)
  pool.addReading(pane, Float64Array.of(7), Float64Array.of(3), 0, 0)
  pool.give(pane)
  expect(pool.take(1, 9, 4)).toBe(pane)
  const fields = pool.fields.subarray(pool.offset(pane))
  expect([pool.level(pane), pool.next(pane), fields[PaneField.startMs], fields[PaneField.n]]).toEqual([
    1, 4, 9, 0,
  ])
  expect([fields[PaneField.min], fields[PaneField.max]]).toEqual([Infinity, -Infinity])
})

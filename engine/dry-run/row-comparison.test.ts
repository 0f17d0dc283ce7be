/** Rows of two configs, compared: windows in parts and in any order, rows of one key, and what is told of differences. */
import { expect, test } from 'vitest'
import { Prng } from '../../base/prng.ts'
import { mergeFindings, type Pane, RowComparison, type SideRow } from './row-comparison.ts'

function sample(key: string, value: string): SideRow {
  return { table: 'samples', stream: 's', window: null, key, value }
}

function pane(key: string, tsMs: number, value: number): SideRow {
  const of: Pane = { count: 1, sum: value, min: value, max: value, first: [tsMs, value], last: [tsMs, value] }
  return { table: 'rollups', stream: 's', window: '1m', key, pane: of }
}

test('rows of one key are compared as they are, whatever their order', () => {
  const comparison = new RowComparison()
  comparison.add([sample('a', '1'), sample('a', '2'), sample('b', '1')], [sample('a', '2'), sample('a', '1')])
  comparison.add([sample('c', '1')], [sample('c', '9'), sample('d', '4')])
  expect(comparison.finish()).toEqual([
    {
      table: 'samples',
      stream: 's',
      window: null,
      running: 4,
      tried: 4,
      onlyRunning: 1,
      onlyTried: 1,
      different: 1,
      examples: ['b: 1 -> no row', 'c: 1 -> 9', 'd: no row -> 4'],
    },
  ])
})

test('windows are the same however their parts come', () => {
  for (let seed = 1; seed <= 100; seed++) {
    const prng = new Prng(seed)
    const rows = Array.from({ length: 50 }, () =>
      pane(`k${prng.between(0, 4)}`, prng.between(0, 9), prng.between(0, 9)),
    )
    const shuffled = rows.map((row) => [prng.unit(), row] as const).sort(([a], [b]) => a - b)
    const comparison = new RowComparison()
    for (const row of rows) comparison.add([structuredClone(row)], [])
    comparison.add(
      [],
      shuffled.map(([, row]) => structuredClone(row)),
    )
    const count = new Set(rows.map(({ key }) => key)).size
    expect(comparison.finish(), `seed ${seed}`).toMatchObject([
      { running: count, tried: count, onlyRunning: 0, onlyTried: 0, different: 0, examples: [] },
    ])
  }
})

test('a window that differs is told with both values; of many the oldest are settled early', () => {
  const comparison = new RowComparison(10)
  comparison.add([pane('a', 1, 5)], [pane('a', 1, 5), pane('a', 2, 7)])
  for (let i = 0; i < 30; i++) comparison.add([pane(`k${i}`, 1, i)], [pane(`k${i}`, 1, i)])
  const [kind] = comparison.finish()
  expect(kind).toMatchObject({ running: 31, tried: 31, different: 1 })
  expect(kind.examples).toEqual([
    'a: count 1, sum 5, min 5, max 5, first 5, last 5 -> count 2, sum 12, min 5, max 7, first 5, last 7',
  ])
})

test('of rows that replace one another the last counts', () => {
  const latest = (said: string): SideRow => ({
    table: 'windows',
    stream: 's',
    window: 'session 30s',
    key: 'k',
    latest: said,
  })
  const comparison = new RowComparison()
  comparison.add([latest('count 1')], [])
  comparison.add([latest('count 2')], [latest('count 2')])
  expect(comparison.finish()).toMatchObject([{ running: 1, tried: 1, different: 0 }])
  comparison.add([latest('count 1'), latest('count 3')], [latest('count 2')])
  expect(comparison.finish()).toMatchObject([
    { running: 2, tried: 2, different: 1, examples: ['k: count 3 -> count 2'] },
  ])
})

test('what was taken back is no row', () => {
  const point = (latest: string | null): SideRow => ({
    ...{ table: 'points', stream: 's', window: 'm4 1m', key: 'k' },
    latest,
  })
  const comparison = new RowComparison()
  comparison.add([point('kept'), point(null)], [])
  expect(comparison.finish()).toMatchObject([{ running: 0, tried: 0, onlyRunning: 0, different: 0 }])
  comparison.add([point('kept')], [point('kept'), point(null)])
  expect(comparison.finish()).toMatchObject([{ running: 1, tried: 0, onlyRunning: 1, different: 0 }])
})

test('findings of shards add up', () => {
  const one = new RowComparison()
  one.add([sample('a', '1')], [])
  const other = new RowComparison()
  other.add([], [sample('b', '1')])
  const [kind, ...others] = mergeFindings([one.finish(), other.finish()])
  expect(others).toEqual([])
  expect(kind).toMatchObject({ running: 1, tried: 1, onlyRunning: 1, onlyTried: 1, different: 0 })
  expect(kind.examples).toHaveLength(2)
})

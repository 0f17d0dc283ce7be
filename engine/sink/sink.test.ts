import { expect, test } from 'vitest'
import { ManualClock } from '../../base/clock.ts'
import { Prng } from '../../base/prng.ts'
import { StoreError } from '../store/target.ts'
import { Sink } from './sink.ts'

test('troubles are said when they begin and when their reason changes, and once when they are over', async () => {
  const answers = ['away', 'away', 'refused', 'away', '', 'away', '']
  const said: string[] = []
  const clock = new ManualClock(0)
  const insert = async () => {
    const message = answers.shift()
    if (message !== '') throw new StoreError('UNREACHABLE', true, message ?? 'no more answers')
  }
  const sink = new Sink(
    { target: { insert }, prng: new Prng(1), clock },
    {
      onConfirmed: () => said.push('confirmed'),
      onRefused: () => said.push('a row is refused'),
      onTrouble: ({ message }) => said.push(message),
      onRecovered: () => said.push('over'),
      wake: () => {},
    },
  )
  const part = { table: 'samples', columns: [], block: new Uint8Array(0), token: 't', rowCount: 1 }
  for (let i = 0; i < 2; i++) sink.send({ mark: i, parts: [part], alerts: [], rowCount: 1, sizeBytes: 0 })
  while (answers.length > 0) {
    clock.advance(60_000)
    sink.step(clock.nowMs())
    await new Promise((resolve) => setImmediate(resolve))
  }
  expect(said).toEqual(['away', 'refused', 'away', 'over', 'confirmed', 'away', 'over', 'confirmed'])
})

test('amendments that are beyond a bound of ClickHouse are refused after some tries, samples never', async () => {
  const memory = () => new StoreError('OVERLOADED', true, 'too much memory', 241)
  const timeout = () => new StoreError('TIMEOUT', true, 'no answer')
  const other = () => new StoreError('OVERLOADED', true, 'too many parts', 252)
  const refused = () => new StoreError('ROW_REFUSED', false, 'a constraint', 469)
  const cases: [string, number, () => StoreError, number][] = [
    ['amendments', 1, memory, 6],
    ['amendments', 8, memory, 2],
    ['amendments', 1, timeout, 2],
    ['amendments', 8, timeout, 1],
    ['amendments', 8, other, Number.POSITIVE_INFINITY],
    ['amendments', 8, refused, 1],
    ['windows', 8, refused, 1],
    ['windows', 8, memory, Number.POSITIVE_INFINITY],
    ['samples', 8, memory, Number.POSITIVE_INFINITY],
    ['ledger', 8, refused, Number.POSITIVE_INFINITY],
  ]
  for (const [table, rowCount, fault, triesExpected] of cases) {
    const clock = new ManualClock(0)
    let tries = 0
    let isRefused = false
    const insert = async () => {
      tries++
      throw fault()
    }
    const sink = new Sink(
      { target: { insert }, prng: new Prng(1), clock },
      {
        onConfirmed: () => {},
        onRefused: () => {
          isRefused = true
        },
        onTrouble: () => {},
        onRecovered: () => {},
        wake: () => {},
      },
    )
    const part = { table, columns: [], block: new Uint8Array(0), token: 't', rowCount }
    sink.send({ mark: 1, parts: [part], alerts: [], rowCount, sizeBytes: 0 })
    while (!isRefused && tries < 20) {
      clock.advance(60_000)
      sink.step(clock.nowMs())
      await new Promise((resolve) => setImmediate(resolve))
    }
    const name = `${table} of ${rowCount}, ${fault().message}`
    expect([name, isRefused ? tries : Number.POSITIVE_INFINITY]).toEqual([name, triesExpected])
  }
})

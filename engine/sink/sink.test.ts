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
  for (let i = 0; i < 2; i++) sink.send({ mark: i, parts: [part], rowCount: 1, sizeBytes: 0 })
  while (answers.length > 0) {
    clock.advance(60_000)
    sink.step(clock.nowMs())
    await new Promise((resolve) => setImmediate(resolve))
  }
  expect(said).toEqual(['away', 'refused', 'away', 'over', 'confirmed', 'away', 'over', 'confirmed'])
})

import { expect, test } from 'vitest'
import { type RunResult, simulate } from './simulation.ts'

/** `SEED=7 RUNS=1 npm test -- engine/simulation/simulation` runs others; `npm run simulate` runs thousands. */
const SEED = Number(process.env.SEED ?? 1)
const RUNS = Number(process.env.RUNS ?? 60)

/** What so many runs have met, all of it together. */
const MET = [
  ...['kill', 'power-cut', 'stop', 'start failed', 'connection lost', 'released again'],
  ...['no-room', 'sync-fails', 'DISK_FULL', 'JOURNAL_SYNC', 'SNAPSHOT'],
  ...['away', 'too-many-parts', 'reply-lost', 'late-commit', 'ROW_REFUSED'],
  ...['reading stored', 'dead letter', 'row refused', 'duplicate', 'filtered'],
  ...['amendment', 'window version', 'config changed in mid-window'],
]

test('through deaths, power cuts, faults of disks and store and lost connections, all promises are kept', async () => {
  const results: RunResult[] = []
  for (let seed = SEED; seed < SEED + RUNS; seed++) {
    const result = await simulate(seed)
    if (result.failure !== null)
      throw new Error(`seed ${seed}: ${result.failure}\n${result.trace.join('\n')}`)
    results.push(result)
  }
  if (RUNS < 60) return
  for (const name of MET)
    expect(results.filter(({ tallies }) => (tallies[name] ?? 0) > 0).length, name).toBeGreaterThan(2)
}, 600_000)

test('a seed always gives the same run', async () => {
  for (const seed of [3, 8, 21]) expect(await simulate(seed)).toEqual(await simulate(seed))
})

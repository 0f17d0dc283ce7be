/** Sessions through kills in short; `npm run crash:sessions` is the long form. */
import { expect, test } from 'vitest'
import { runSessionCrash } from './crash/session-crash.ts'

test('nothing acknowledged is lost, QoS 2 comes exactly once, what is retained is the last', async () => {
  const seed = Math.floor(Math.random() * 2 ** 32)
  const report = await runSessionCrash({ seed, rounds: 3, gateways: 2, shards: 1 })
  expect(report.failures, `seed ${seed}, kept ${report.directory}`).toEqual([])
  expect(report.acknowledged[1]).toBeGreaterThan(0)
  expect(report.acknowledged[2]).toBeGreaterThan(0)
  expect(report.acknowledged.state).toBeGreaterThan(0)
})

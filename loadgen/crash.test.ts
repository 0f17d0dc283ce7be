/** The crash harness in short: real processes killed in mid-load, real replies cut. `npm run crash` is the long form. */
import { expect, test } from 'vitest'
import type { CrashOptions, CrashReport } from './crash/crash-contract.ts'
import { runCrash } from './crash/crash-run.ts'

const SEED = Math.floor(Math.random() * 2 ** 32)

async function crash(options: Partial<CrashOptions>): Promise<CrashReport> {
  const report = await runCrash({
    seed: SEED,
    rounds: 0,
    faults: [],
    proxyFaultCount: 0,
    redeliveries: ['dup', 'anew'],
    checkEvery: 0,
    gateways: 1,
    shards: 2,
    keepDirectory: false,
    ...options,
  })
  const { seed, directory, failedRound, failures } = report
  const story = `seed ${seed}, round ${failedRound}, kept ${directory}: ${failures.join('; ')}`
  expect(failures.length, story).toBe(0)
  expect(report.checks?.audit).toMatchObject({ exists: true, code: 0 })
  return report
}

test('kills of engine, store and both: what was acknowledged is stored, each message once', async () => {
  const report = await crash({ rounds: 4, faults: ['kill-engine', 'kill-store', 'kill-both', 'cut-devices'] })
  expect(report.rounds).toBe(4)
  expect(report.devices.acknowledged).toBe(report.devices.sent)
  for (const { rows, rollups } of report.checks?.groups ?? []) {
    expect(rows.acknowledged).toBeGreaterThan(0)
    expect(rollups.map(({ window }) => window)).toEqual(['10s', '1m'])
  }
})

test('replies cut after ClickHouse stored the insert: it is sent again and stored once', async () => {
  const report = await crash({ faults: ['cut-reply'], proxyFaultCount: 30 })
  expect(report.faultCounts['cut-reply']).toBeGreaterThanOrEqual(30)
  expect(report.proxy?.answeredAgain).toBeGreaterThan(0)
  expect(report.devices.sent).toBeGreaterThan(0)
})

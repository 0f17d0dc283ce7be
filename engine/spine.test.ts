/** The promises of the spine, on real processes and sockets: exactly the rows that were sent, whatever the threads. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { EngineProcess, runMillrace, temporaryDirectory } from './engine-process.ts'

const cleanups: (() => unknown)[] = []

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

/** Windows that close soon, so that a test sees it. */
const QUICK_CONFIG = `export default { windows: { latenessMs: 500, idleTimeoutMs: 1500 } }\n`

async function start(args: string[]): Promise<EngineProcess> {
  const directory = temporaryDirectory()
  cleanups.push(directory.remove)
  const config = join(directory.path, 'config.ts')
  writeFileSync(config, QUICK_CONFIG)
  const engine = await EngineProcess.start([config, '--data', join(directory.path, 'data'), ...args])
  cleanups.push(() => engine.stop())
  return engine
}

interface Report {
  counters: { sent: number; acknowledged: number; connectionsLost: number; overtakingAcks: number }
  verification: {
    isOk: boolean
    rows: { stored: number; missing: number; duplicated: number; wrong: number; foreign: number }
    windows: { window: string; compared: number; equal: number; open: number; wrong: number }[]
  }
}

async function load(engine: EngineProcess, args: string[]): Promise<Report> {
  const { mqtt, store } = engine.addresses
  const door = args.includes('--ws') ? [] : ['--mqtt', mqtt]
  const common = ['--store', store, '--verify', '--json', '--rollups-wait', '40']
  const { stdout, stderr, code } = await runMillrace(['load', ...door, ...args, ...common])
  if (stdout === '') throw new Error(`load ended with ${code}: ${stderr}`)
  return JSON.parse(stdout)
}

function expectExact({ counters, verification }: Report, readings: number): void {
  expect(counters.acknowledged).toBe(counters.sent)
  expect(counters.overtakingAcks).toBe(0)
  expect(verification.rows).toMatchObject({
    stored: readings,
    missing: 0,
    duplicated: 0,
    wrong: 0,
    foreign: 0,
  })
  for (const window of verification.windows) {
    expect(window.compared).toBeGreaterThan(0)
    expect(window).toMatchObject({ open: 0, wrong: 0, equal: window.compared })
  }
  expect(verification.isOk).toBe(true)
}

describe('a million readings from 10,000 devices are a million rows, and the rollups are theirs', () => {
  const million = ['--devices', '10000', '--metrics', '2', '--messages', '500000', '--connections', '100']

  test.each([
    ['one gateway, one shard', ['--gateways', '1', '--shards', '1'], []],
    ['three gateways, three shards', ['--gateways', '3', '--shards', '3'], []],
    ['both on one thread', ['--gateways', '0'], ['--codec', 'msgpack']],
  ])(
    'over TCP: %s',
    async (_, threads, options) => {
      const engine = await start(threads)
      expectExact(await load(engine, [...million, ...options]), 1_000_000)
    },
    120_000,
  )

  test('over WebSocket: two gateways, two shards', async () => {
    const engine = await start(['--gateways', '2', '--shards', '2'])
    const report = await load(engine, [...million, '--ws', engine.addresses.ws, '--protocol', '5'])
    expectExact(report, 1_000_000)
  })
})

test('the plain WebSocket door: what was acknowledged is stored, each frame once', async () => {
  const engine = await start([])
  const report = await load(engine, ['--ws', engine.addresses.ws, '--door', 'ws', '--messages', '20000'])
  expectExact(report, 40_000)
})

test('a killed engine loses nothing that it acknowledged and stores nothing twice', async () => {
  const directory = temporaryDirectory()
  cleanups.push(directory.remove)
  const args = ['--data', join(directory.path, 'data')]
  const first = await EngineProcess.start(args)
  const { mqtt, store } = first.addresses
  const ports = ['--mqtt', mqtt, '--store', store]
  const loading = runMillrace([
    'load',
    ...ports,
    '--duration',
    '6',
    '--rate',
    '20000',
    '--verify',
    '--json',
    '--rollups-wait',
    '60',
  ])
  await new Promise((resolve) => setTimeout(resolve, 3000))
  await first.kill()
  const second = await EngineProcess.start([...args, ...ports])
  cleanups.push(() => second.stop())
  const report: Report = JSON.parse((await loading).stdout)
  expect(report.counters.connectionsLost).toBeGreaterThan(0)
  expect(report.verification.rows).toMatchObject({ missing: 0, duplicated: 0, wrong: 0, foreign: 0 })
  expect(report.verification.windows.every(({ wrong, open }) => wrong === 0 && open === 0)).toBe(true)
})

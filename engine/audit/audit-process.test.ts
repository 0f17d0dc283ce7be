/** The audit as users run it: over an engine in its own process, while it runs, after a kill, and after its end. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { parseAddress } from '../address.ts'
import {
  EngineProcess,
  type Outcome,
  PATIENCE_MS,
  runMillrace,
  temporaryDirectory,
} from '../engine-process.ts'
import { startStore } from '../store/store.ts'
import { connectStore } from '../store/target.ts'
import type { AuditReport } from './audit.ts'
import { MqttPublisher } from './mqtt-publisher.ts'

const cleanups: (() => unknown)[] = []

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

/** Windows that close soon, so that a test sees it. */
const QUICK_CONFIG = `export default { windows: { widths: ['1s', '3s'], latenessMs: 200, idleTimeoutMs: 800 } }\n`

async function publishAll(mqtt: string, topic: string, payloads: readonly string[]): Promise<void> {
  const address = parseAddress(mqtt)
  if (address === null) throw new Error(`no address: ${mqtt}`)
  const publisher = await MqttPublisher.connect({ address, windowMax: 10, timeoutMs: PATIENCE_MS })
  await Promise.all(payloads.map((payload) => publisher.publish(topic, Buffer.from(payload))))
  await publisher.close()
}

const load = (engine: EngineProcess, args: string[]): Promise<Outcome> =>
  runMillrace(['load', '--mqtt', engine.addresses.mqtt, '--devices', '50', ...args, '--json'])

function readReport({ code, stdout, stderr }: Outcome): AuditReport {
  expect({ code, stderr, stdout: code === 0 ? '' : stdout }).toEqual({ code: 0, stderr: '', stdout: '' })
  return JSON.parse(stdout)
}

test('balanced while it runs, after a kill, and after a drain; not when a row is gone', async () => {
  const directory = temporaryDirectory()
  cleanups.push(directory.remove)
  const config = join(directory.path, 'config.ts')
  writeFileSync(config, QUICK_CONFIG)
  const data = join(directory.path, 'data')
  const args = [config, '--data', data, '--shards', '2', '--gateways', '1']
  const first = await EngineProcess.start(args)
  cleanups.push(() => first.kill())
  const { mqtt, store } = first.addresses
  const audit = (...more: string[]) => runMillrace(['audit', '--data', data, ...more])

  const loading = load(first, ['--duration', '1', '--rate', '5000'])
  const running = readReport(await audit('--store', store, '--json'))
  expect(running).toMatchObject({ isBalanced: true, differences: [] })
  const sent = JSON.parse((await loading).stdout).counters.acknowledged as number
  await publishAll(mqtt, 'devices/broken/telemetry', ['{', '\x1b[2J', '{"a":1,}'])
  const settled = readReport(await audit('--store', store, '--wait', '30', '--json'))
  expect(settled).toMatchObject({ isBalanced: true, isSettled: true, pendingCount: 0 })
  expect(settled.ledger).toMatchObject([
    { stream: 'telemetry', messages: sent + 3, deadLettered: 3, accepted: 2 * sent + 3, difference: 0 },
  ])
  expect(settled.windows).toMatchObject([
    { window: '1s', samples: 2 * sent, rollups: 2 * sent, open: 0 },
    { window: '3s', samples: 2 * sent, rollups: 2 * sent, open: 0 },
  ])

  const replayed = await runMillrace(['dead-letters', 'replay', '--store', store, '--mqtt', mqtt])
  expect(replayed.stdout).toMatch(/\n3 of 3 accepted; dead letters again within 5 s: 3 \(/)
  expect(replayed.stdout).not.toContain('\x1b')

  const killed = load(first, ['--duration', '2', '--rate', '5000'])
  await new Promise((resolve) => setTimeout(resolve, 1000))
  await first.kill()
  const second = await EngineProcess.start([...args, '--mqtt', mqtt, '--store', store])
  cleanups.push(() => second.kill())
  await killed
  const recovered = readReport(await audit('--store', store, '--wait', '30', '--json'))
  expect(recovered).toMatchObject({ isBalanced: true, isSettled: true })
  expect(recovered.tables[1]).toMatchObject({ table: 'dead_letters', ledger: 6, rows: 6 })

  await load(second, ['--messages', '500'])
  expect(await second.stop()).toBe(0)
  const offline = await runMillrace(['audit', '--data', data, '--store', store])
  expect(offline).toMatchObject({ code: 1, stdout: '' })
  expect(offline.stderr).toMatch(/^millrace audit: .* cannot be reached \(ECONNREFUSED\)\n$/)
  // 127.0.0.1:8123 may be somebody else's: the store's own port is not asked for here.
  const drained = await auditStopped(data, '')
  expect(drained).toMatchObject({ code: 0, stderr: '' })
  expect(drained.stdout).toMatch(/, pending 0\n\nbalanced: yes\n$/)
  const broken = await auditStopped(
    data,
    'ALTER TABLE millrace.samples DELETE WHERE 1 SETTINGS mutations_sync = 1',
  )
  expect(broken.code).toBe(1)
  expect(broken.stdout).toMatch(/\ndifference: samples of telemetry at .*the table has 0\n/)
  expect(broken.stdout).toMatch(/\nbalanced: NO\n$/)
})

/** Over the store of a stopped engine, on a port of its own, after a statement. */
async function auditStopped(data: string, sql: string): Promise<Outcome> {
  const store = await startStore({ directory: data, listen: { host: '127.0.0.1', port: 0 } })
  const target = connectStore({ socketPath: store.socketPath })
  try {
    if (sql !== '') await target.command(sql)
    return await runMillrace(['audit', '--data', data, '--store', `127.0.0.1:${store.address?.port}`])
  } finally {
    await target.close()
    await store.stop()
  }
}

test('rows that ClickHouse refuses are dead letters, and the books balance with them', async () => {
  const directory = temporaryDirectory()
  cleanups.push(directory.remove)
  const config = join(directory.path, 'config.ts')
  writeFileSync(config, QUICK_CONFIG)
  const listen = { host: '127.0.0.1', port: 0 }
  const store = await startStore({ directory: join(directory.path, 'away'), listen, isWritable: true })
  cleanups.push(() => store.stop())
  const url = `http://127.0.0.1:${store.address?.port}`
  const data = join(directory.path, 'data')
  const engine = await EngineProcess.start([config, '--data', data, '--clickhouse', url])
  cleanups.push(() => engine.kill())
  const target = connectStore({ url })
  cleanups.push(() => target.close())
  await target.command('ALTER TABLE millrace.samples ADD CONSTRAINT unlucky CHECK value != 13')
  await target.command(`ALTER TABLE millrace.rollups ADD CONSTRAINT high CHECK max != 99 OR window != '1s'`)
  const payloads = Array.from({ length: 100 }, (_, index) => `{"a":${index},"b":${index % 3}}`)
  await publishAll(engine.addresses.mqtt, 'devices/d1/telemetry', payloads)
  const report = readReport(
    await runMillrace(['audit', '--data', data, '--clickhouse', url, '--wait', '30', '--json']),
  )
  expect(report).toMatchObject({ isBalanced: true, isSettled: true, differences: [] })
  expect(report.ledger).toMatchObject([{ accepted: 200, stored: 199, deadLettered: 1, difference: 0 }])
  expect(report.windows).toMatchObject([
    { samples: 200, rollups: 200 },
    { samples: 200, rollups: 200 },
  ])
  const refused = await target.query(
    'SELECT count() > 1 AS both FROM millrace.dead_letters WHERE topic = {t:String}',
    {
      t: '',
    },
  )
  expect(refused).toEqual([{ both: 1 }])
  expect(await engine.stop()).toBe(0)
})

test('a directory that is none, and one that holds no journal, are refused in one line', async () => {
  const directory = temporaryDirectory()
  cleanups.push(directory.remove)
  const none = await runMillrace(['audit', '--data', directory.path])
  expect(none).toMatchObject({ code: 1, stdout: '' })
  expect(none.stderr).toMatch(/^millrace audit: .* is no data directory: name an engine's with --data DIR\n$/)
  writeFileSync(join(directory.path, 'millrace.json'), '{"formatVersion":1}')
  const old = await runMillrace(['audit', '--data', directory.path])
  expect(old.stderr).toMatch(
    /^millrace audit: .* is not of this version of millrace: start its engine once\n$/,
  )
  writeFileSync(join(directory.path, 'millrace.json'), '{"shards":1,"windows":{"widths":["1s"]}}')
  const empty = await runMillrace(['audit', '--data', directory.path])
  expect(empty.stderr).toMatch(/^millrace audit: .* holds no journal\n$/)
})

test.each([
  [['--clickhouse', 'ftp://x'], /--clickhouse takes a URL/],
  [['--wait', 'long'], /--wait takes a number/],
  [['config.ts'], /takes no "config.ts"/],
])('a wrong call, %j, ends with 2', async (args, pattern) => {
  const { code, stdout, stderr } = await runMillrace(['audit', ...args])
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
  expect(stderr).toMatch(pattern)
})

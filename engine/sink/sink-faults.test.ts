/** What ClickHouse can do to a batch, on a real one: refuse rows, be short of partitions, lose its table for a while. */
import { spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createClient } from '@clickhouse/client'
import mqtt from 'mqtt'
import { afterEach, expect, test } from 'vitest'
import { loadConfig } from '../config-file.ts'
import { CLI, EngineProcess, PATIENCE_MS, runMillrace, temporaryDirectory } from '../engine-process.ts'
import { startStore } from '../store/store.ts'
import { compareWindows } from '../window-comparison.ts'

const cleanups: (() => unknown)[] = []

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

/** A writable store of its own, and an engine that uses it. */
async function startBoth(): Promise<{ engine: EngineProcess; url: string; data: string }> {
  const directory = temporaryDirectory()
  cleanups.push(directory.remove)
  const args = [
    'store',
    '--writable',
    '--json',
    '--listen',
    '127.0.0.1:0',
    '--data',
    join(directory.path, 'store'),
  ]
  const store = spawn(process.execPath, [CLI, ...args])
  cleanups.push(() => store.kill())
  const ready = await new Promise<string>((resolve) =>
    store.stdout.once('data', (chunk) => resolve(String(chunk))),
  )
  const url = `http://${JSON.parse(ready).store}`
  const data = join(directory.path, 'data')
  const engine = await EngineProcess.start(['--data', data, '--clickhouse', url])
  cleanups.push(() => engine.stop())
  return { engine, url, data }
}

async function publish(engine: EngineProcess, payloads: string[], device = 'd1'): Promise<void> {
  const client = await mqtt.connectAsync(`mqtt://${engine.addresses.mqtt}`, { reconnectPeriod: 0 })
  await Promise.all(
    payloads.map((payload) => client.publishAsync(`devices/${device}/telemetry`, payload, { qos: 1 })),
  )
  await client.endAsync()
}

async function numberOf(url: string, sql: string): Promise<number> {
  const client = createClient({ url })
  const result = await client.query({ query: sql, format: 'JSONEachRow' })
  const [row] = await result.json<{ n: string }>()
  await client.close()
  return Number(row.n)
}

async function until(url: string, sql: string, expected: number): Promise<void> {
  const deadlineMs = performance.now() + PATIENCE_MS
  let found = -1
  while (found !== expected && performance.now() < deadlineMs) {
    await new Promise((resolve) => setTimeout(resolve, 200))
    found = await numberOf(url, sql)
  }
  expect(found, sql).toBe(expected)
}

async function command(url: string, query: string): Promise<void> {
  const client = createClient({ url })
  await client.command({ query })
  await client.close()
}

test('rows that ClickHouse refuses become dead letters alone; all others are stored, and the books balance', async () => {
  const { engine, url, data } = await startBoth()
  await command(url, 'ALTER TABLE millrace.samples ADD CONSTRAINT unlucky CHECK value != 13')
  const payloads = Array.from({ length: 1000 }, (_, index) =>
    JSON.stringify({ a: index, b: index === 500 ? 13 : -index }),
  )
  await publish(engine, payloads)
  await until(url, 'SELECT count() AS n FROM millrace.samples', 1998)
  await until(url, 'SELECT count() AS n FROM millrace.dead_letters', 2)
  const letters =
    "SELECT countIf(payload LIKE '%\"value\":13%' AND device = 'd1' AND reason LIKE '%469%') AS n"
  expect(await numberOf(url, `${letters} FROM millrace.dead_letters`)).toBe(2)
  await until(url, 'SELECT sum(stored) AS n FROM millrace.ledger', 1998)
  expect(await numberOf(url, 'SELECT sum(dead_lettered) AS n FROM millrace.ledger')).toBe(2)
  expect(await engine.stop()).toBe(0)
  const audit = await runMillrace(['audit', '--clickhouse', url, '--data', data])
  expect(audit.stdout).toMatch(/balanced: yes\n$/)
  expect(audit.code).toBe(0)
})

test('a batch that touches more months than one insert may is sent in several', async () => {
  const { engine, url } = await startBoth()
  const readings = Array.from({ length: 400 }, (_, month) => ({
    t: new Date(Date.UTC(1990, month)).toISOString(),
    v: month,
  }))
  await publish(engine, [JSON.stringify(readings), '{"v": 1}'])
  await until(url, 'SELECT count() AS n FROM millrace.samples', 401)
  await until(url, 'SELECT count() AS n FROM (SELECT DISTINCT toYYYYMM(ts) FROM millrace.samples)', 401)
})

test('a table that is gone, and comes back, gets what waited for it', async () => {
  const { engine, url } = await startBoth()
  await command(url, 'RENAME TABLE millrace.samples TO millrace.elsewhere')
  await publish(engine, ['{"v": 1}', '{"v": 2}'])
  await engine.eventWhere('fault', ({ code }) => code === 'STORE_REFUSES')
  await command(url, 'RENAME TABLE millrace.elsewhere TO millrace.samples')
  await until(url, 'SELECT count() AS n FROM millrace.samples', 2)
})

test('windows and amendments: a row that is refused, one beyond the memory, a table that is gone for a while', async () => {
  const directory = temporaryDirectory()
  cleanups.push(directory.remove)
  const listen = { host: '127.0.0.1', port: 0 }
  const store = await startStore({
    directory: join(directory.path, 'store'),
    listen,
    isWritable: true,
    limits: { memorySizeBytes: 2 ** 30 },
  })
  cleanups.push(() => store.stop())
  const url = `http://127.0.0.1:${store.address?.port}`
  const config = join(directory.path, 'config.ts')
  const engineConfig = new URL('../config.ts', import.meta.url).href
  writeFileSync(
    config,
    `import { defineConfig, session } from '${engineConfig}'
export default defineConfig({
  streams: [{
    name: 'telemetry', topic: 'devices/{device}/telemetry',
    operators: [session('1s', { aggregates: ['count', 'sum', 'states'] })],
  }],
  windows: { latenessMs: 0, idleTimeoutMs: 500 },
})
`,
  )
  const engine = await EngineProcess.start([
    config,
    '--data',
    join(directory.path, 'data'),
    '--clickhouse',
    url,
  ])
  cleanups.push(() => engine.kill())
  await command(url, 'ALTER TABLE millrace.windows ADD CONSTRAINT unlucky CHECK sum != 13')
  await command(
    url,
    `CREATE MATERIALIZED VIEW millrace.heavy (n UInt64) ENGINE = Null AS
      SELECT length(range(if(device = 'd3', 400000000, 1))) AS n FROM millrace.amendments`,
  )

  await command(url, 'RENAME TABLE millrace.windows TO millrace.elsewhere')
  const now = Date.now()
  const devices = ['d0', 'd1', 'd2', 'd3', 'd4', 'd5', 'd6']
  for (const device of devices)
    await publish(engine, [`{"ts":${now},"v":${device === 'd2' ? 13 : 1},"on":"yes"}`], device)
  await engine.eventWhere('fault', ({ code }) => code === 'STORE_REFUSES')
  await command(url, 'RENAME TABLE millrace.elsewhere TO millrace.windows')
  await until(url, 'SELECT count() AS n FROM millrace.windows_latest', 2 * devices.length - 1)
  const letters = (table: string, code: number) =>
    `SELECT count() AS n FROM millrace.dead_letters WHERE reason = 'refused by ClickHouse with code ${code}'
      AND JSONExtractString(payload, 'table') = '${table}'`
  await until(url, letters('windows', 469), 1)

  for (const device of devices) await publish(engine, [`{"ts":${now - 600},"v":2},`.slice(0, -1)], device)
  await until(url, letters('amendments', 241), 1)
  const [{ spec }] = (await loadConfig(config)).pipelines[0].operators
  const client = createClient({ url })
  const query = async <Row>(sql: string) =>
    (await client.query({ query: sql, format: 'JSONEachRow' })).json<Row>()
  await until(url, 'SELECT count() AS n FROM millrace.windows_latest WHERE sum = 3', devices.length - 2)
  const { differences } = await compareWindows({ query, stream: 'telemetry', specs: [spec] })
  await client.close()
  expect([...new Set(differences.map((text) => text.split(' ')[3]))]).toEqual(['d3'])
  expect(await engine.stop()).toBe(0)
})

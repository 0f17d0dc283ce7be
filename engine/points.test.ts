/**
 * Downsampling as users run it, end to end: what a real engine leaves in `points` after late, shuffled and odd readings, kills in
 * mid-window and changed configs is what the methods keep of `samples`.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createClient } from '@clickhouse/client'
import { afterEach, expect, test } from 'vitest'
import { Prng } from '../base/prng.ts'
import type { AuditReport } from './audit/audit.ts'
import { loadConfig } from './config-file.ts'
import { EngineProcess, PATIENCE_MS, runMillrace, temporaryDirectory } from './engine-process.ts'
import { comparePoints, type PointComparison } from './point-comparison.ts'
import { startStore } from './store/store.ts'
import { type Message, makeFleet, publishAll, publishIntoKill } from './window-scenario.ts'

const cleanups: (() => unknown)[] = []

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

const WINDOWS = [
  `downsample('mean', '10s')`,
  `downsample('min-max', '5s')`,
  `downsample('m4', '30s')`,
  `downsample('lttb', '1m', { points: 6 })`,
  `downsample('minmax-lttb', '1m', { points: 3 })`,
]
const LINES = [
  `compress('deadband', { deviation: 2 })`,
  `compress('swinging-door', { deviation: 0.5 })`,
  `compress('swinging-door', { pointsPerHour: 60 })`,
  `compress('deadband', { pointsPerHour: 30, longest: '1m' })`,
]

const topicOf = (device: string): string => `plants/${device}/data`

function writeConfig(file: string, operators: readonly string[]): void {
  writeFileSync(
    file,
    `import { compress, defineConfig, downsample, session, tumbling } from 'millrace'
export default defineConfig({
  streams: [{ name: 'plant', topic: 'plants/{device}/data', operators: [${operators.join(', ')}] }],
  windows: { latenessMs: 2000, idleTimeoutMs: 1500 },
})
`,
  )
}

function newDirectory(): string {
  const directory = temporaryDirectory()
  cleanups.push(directory.remove)
  return directory.path
}

async function compare(engine: EngineProcess, config: string): Promise<PointComparison> {
  const [{ downsamplers }] = (await loadConfig(config)).pipelines
  return comparePoints({ query: engine.query.bind(engine), stream: 'plant', downsamplers })
}

/** Once all that was taken is stored: a stop may have been short of time. */
async function auditSettled(engine: EngineProcess, data: string): Promise<AuditReport> {
  const args = ['--data', data, '--store', engine.addresses.store, '--json', '--wait', '100']
  return JSON.parse((await runMillrace(['audit', ...args])).stdout)
}

test('points are those of the samples, through kills in mid-window and any order of delivery', async () => {
  const seed = Number(process.env.SEED ?? 1)
  const directory = newDirectory()
  const config = join(directory, 'config.ts')
  writeConfig(config, [`tumbling('10s')`, ...WINDOWS, ...LINES])
  const checked = await runMillrace(['check', config])
  expect(checked.stdout).toMatch(/^ {2}lttb 1m 6 +all +kept for ever +\d+ B +at most 6 of each window$/m)
  expect(checked.stdout).toMatch(/^ {2}swinging-door 0\.5 .* within 0\.5, one each 1h at the least$/m)
  const data = join(directory, 'data')
  const args = [config, '--data', data, '--shards', '2']
  const messages = makeFleet(new Prng(seed), 2, 120, Date.now())
  const part = Math.ceil(messages.length / 4)
  const parts = [0, 1, 2, 3].map((index) => messages.slice(index * part, (index + 1) * part))

  let engine = await EngineProcess.start(args)
  cleanups.push(() => engine.kill())
  let rest = await publishIntoKill(engine.addresses.mqtt, topicOf, parts[0], () => engine.killEngine())
  await publishAll(engine.addresses.mqtt, topicOf, [...rest, ...parts[1]])
  const some = 'SELECT toUInt32(count()) AS n FROM millrace.points'
  await engine.queryUntil<{ n: number }>(some, ({ n }) => n > 300) // series are idle, and open windows show
  rest = await publishIntoKill(engine.addresses.mqtt, topicOf, parts[2], () => engine.kill())
  engine = await EngineProcess.start(args)
  await publishAll(engine.addresses.mqtt, topicOf, [...rest, ...parts[3]])
  expect(await engine.stop()).toBe(0)
  engine = await EngineProcess.start(args)
  expect(await auditSettled(engine, data)).toMatchObject({ isSettled: true })
  const { counts, late, differences } = await compare(engine, config)
  expect(differences, `seed ${seed}`).toEqual([])
  expect(Object.keys(counts)).toHaveLength(WINDOWS.length + LINES.length)
  expect(Math.min(...Object.values(counts)), JSON.stringify(counts)).toBeGreaterThan(50)
  expect(late).toBeGreaterThan(50)
  const metrics = await (await fetch(`http://${engine.addresses.http}/metrics`)).text()
  expect(metrics).toMatch(/millrace_points_total\{shard="1"\} \d/)
}, 900_000)

test('a changed config: lines go on, new methods are right from then on', async () => {
  const seed = Number(process.env.SEED ?? 1)
  const directory = newDirectory()
  const config = join(directory, 'config.ts')
  const data = join(directory, 'data')
  const args = [config, '--data', data, '--shards', '1']
  const messages = makeFleet(new Prng(seed), 1, 120, Date.now())
  const half = Math.ceil(messages.length / 2)
  let engine: EngineProcess | null = null
  cleanups.push(() => engine?.kill())
  const live = async (operators: readonly string[], some: readonly Message[]): Promise<EngineProcess> => {
    writeConfig(config, operators)
    engine = await EngineProcess.start(args)
    await publishAll(engine.addresses.mqtt, topicOf, some)
    return engine
  }
  const first = await live([`tumbling('10s')`, WINDOWS[2], LINES[0], LINES[1]], messages.slice(0, half))
  await first.kill()
  const second = await live([`session('5s')`, WINDOWS[2], LINES[0], LINES[1]], messages.slice(half))
  expect(await second.stop()).toBe(0)
  const last = await live([`session('5s')`, WINDOWS[2], LINES[0], LINES[1]], [])
  expect(await auditSettled(last, data)).toMatchObject({ isSettled: true })
  const { differences } = await compare(last, config)
  expect(differences, `seed ${seed}`).toEqual([])
  // One beginning of each line of each series, whatever became of its neighbours.
  const begun = `SELECT device, metric, method, toUInt32(countIf(isNaN(deviation) AND late = 0)) AS n
    FROM millrace.points_latest WHERE method NOT LIKE 'm4%' GROUP BY device, metric, method HAVING n != 1`
  expect(await last.query(begun)).toEqual([])
})

test('with a server: a point that it refuses becomes a dead letter, all others are there', async () => {
  const directory = newDirectory()
  const store = await startStore({
    directory: join(directory, 'store'),
    listen: { host: '127.0.0.1', port: 0 },
    isWritable: true,
  })
  cleanups.push(() => store.stop())
  const url = `http://127.0.0.1:${store.address?.port}`
  const client = createClient({ url })
  cleanups.push(() => client.close())
  const query = async <Row>(sql: string): Promise<Row[]> =>
    (await client.query({ query: sql, format: 'JSONEachRow' })).json<Row>()
  const config = join(directory, 'config.ts')
  writeConfig(config, [`downsample('m4', '10s')`])
  const engine = await EngineProcess.start([config, '--data', join(directory, 'data'), '--clickhouse', url])
  cleanups.push(() => engine.kill())
  await client.command({ query: 'ALTER TABLE millrace.points ADD CONSTRAINT unlucky CHECK value != 13' })
  const ts = Math.floor(Date.now() / 10_000) * 10_000 - 60_000
  const messages = Array.from({ length: 40 }, (_, i): Message => {
    const payload = Buffer.from(
      JSON.stringify({ ts: ts + i * 1000, v: i === 15 ? 13 : i === 5 ? 99 : 0.25 * i }),
    )
    return { device: 'd', ts, payload }
  })
  await publishAll(engine.addresses.mqtt, topicOf, messages)
  const pointsSql = `SELECT toUInt32(toUnixTimestamp64Milli(ts) - ${ts}) AS at, value FROM millrace.points_latest ORDER BY ts`
  let points = await query(pointsSql)
  for (const endMs = Date.now() + PATIENCE_MS; points.length < 9 && Date.now() < endMs; ) {
    await new Promise((resolve) => setTimeout(resolve, 200))
    points = await query(pointsSql)
  }
  const at = (i: number, value = 0.25 * i) => ({ at: i * 1000, value })
  expect(points).toEqual([at(0), at(5, 99), at(9), at(10), at(19), at(20), at(29), at(30), at(39)])
  const letters = await query(`SELECT device, reason, toUInt32(toUnixTimestamp64Milli(arrival) - ${ts}) AS at,
    JSONExtractString(payload, 'table') AS table FROM millrace.dead_letters`)
  const reason = 'refused by ClickHouse with code 469'
  expect(letters).toEqual([{ device: 'd', reason, at: 15_000, table: 'points' }])
  expect(await engine.stop()).toBe(0)
})

/**
 * Every window kind and aggregate, end to end: what a real engine leaves in ClickHouse after late, shuffled and odd readings, kills
 * and changed configs is what batch SQL over `samples` gives.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { Prng } from '../base/prng.ts'
import type { WindowSpec } from '../operators/window-spec.ts'
import type { AuditReport } from './audit/audit.ts'
import { loadConfig } from './config-file.ts'
import { EngineProcess, runMillrace, temporaryDirectory } from './engine-process.ts'
import { compareWindows, EVERY_AGGREGATE } from './window-comparison.ts'
import { type Message, makeFleet, publishAll, publishIntoKill } from './window-scenario.ts'

const cleanups: (() => unknown)[] = []

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

const CONFIG_URL = new URL('./config.ts', import.meta.url).href
const ALL = JSON.stringify(EVERY_AGGREGATE)

const WINDOWS = {
  tumbling: `tumbling('10s', { aggregates: ${ALL}, early: '2s' })`,
  plain: `tumbling('1m')`,
  hopping: `hopping('30s', '10s', { aggregates: ${ALL} })`,
  day: `calendar('day', 'Europe/Berlin', { aggregates: ${ALL} })`,
  week: `calendar('week', 'America/Havana', { aggregates: ${ALL} })`,
  month: `calendar('month', 'UTC', { aggregates: ${ALL} })`,
  session: `session('5s', { aggregates: ${ALL} })`,
  count: `count(7, { aggregates: ${ALL} })`,
  sliding: `sliding('20s', { aggregates: ${ALL} })`,
}

function writeConfig(file: string, operators: readonly string[], latenessMs = 2000): void {
  writeFileSync(
    file,
    `import { calendar, count, defineConfig, hopping, session, sliding, tumbling } from '${CONFIG_URL}'
export default defineConfig({
  streams: [{ name: 'plant', topic: 'plants/{device}/data', operators: [${operators.join(', ')}] }],
  windows: { latenessMs: ${latenessMs}, idleTimeoutMs: 1500 },
})
`,
  )
}

async function specsOf(file: string): Promise<WindowSpec[]> {
  return (await loadConfig(file)).pipelines[0].operators.map(({ spec }) => spec)
}

const topicOf = (device: string): string => `plants/${device}/data`

function newDirectory(): string {
  const directory = temporaryDirectory()
  cleanups.push(directory.remove)
  return directory.path
}

async function audit(engine: EngineProcess, data: string, ...more: string[]): Promise<AuditReport> {
  const args = ['--data', data, '--store', engine.addresses.store, '--json', '--wait', '30', ...more]
  const { stdout, stderr } = await runMillrace(['audit', ...args])
  expect(stderr).toBe('')
  return JSON.parse(stdout)
}

test('windows of every kind are those of batch SQL, through kills and any order of delivery', async () => {
  const seed = Number(process.env.SEED ?? 1)
  const directory = newDirectory()
  const config = join(directory, 'config.ts')
  writeConfig(config, Object.values(WINDOWS))
  const data = join(directory, 'data')
  const args = [config, '--data', data, '--shards', '2']
  const messages = makeFleet(new Prng(seed), 2, 150, Date.now())
  const part = Math.ceil(messages.length / 4)
  const parts = [0, 1, 2, 3].map((index) => messages.slice(index * part, (index + 1) * part))

  let engine = await EngineProcess.start(args)
  cleanups.push(() => engine.kill())
  let rest = await publishIntoKill(engine.addresses.mqtt, topicOf, parts[0], () => engine.killEngine())
  await publishAll(engine.addresses.mqtt, topicOf, [...rest, ...parts[1]])
  await new Promise((resolve) => setTimeout(resolve, 3000)) // series are idle, and open windows show
  rest = await publishIntoKill(engine.addresses.mqtt, topicOf, parts[2], () => engine.kill())
  engine = await EngineProcess.start(args)
  await publishAll(engine.addresses.mqtt, topicOf, [...rest, ...parts[3]])
  expect(await engine.stop()).toBe(0)
  engine = await EngineProcess.start(args)
  const compared = { query: engine.query.bind(engine), stream: 'plant', specs: await specsOf(config) }
  const { differences, ...counts } = await compareWindows(compared)
  expect(differences, `seed ${seed}`).toEqual([])
  expect(counts.compared).toBeGreaterThan(1000)
  const report = await audit(engine, data)
  expect(report).toMatchObject({ isBalanced: true, isSettled: true, differences: [] })
  expect(report.windows.map(({ window }) => window)).toEqual([
    ...['10s', '1m', '30s/10s', 'day Europe/Berlin', 'week America/Havana', 'month UTC'],
  ])
  expect(
    report.sampledWindows.every(({ series, compared, equal }) => series === 20 && compared === equal),
  ).toBe(true)
  expect(report.sampledWindows).toHaveLength(8)
})

test('another config: what did not change stays right, what is new is right from then on', async () => {
  const seed = Number(process.env.SEED ?? 1)
  const directory = newDirectory()
  const config = join(directory, 'config.ts')
  const { plain, tumbling, hopping, session, count, sliding } = WINDOWS
  const lasting = [plain, session]
  const configs = [
    [...lasting, tumbling],
    [...lasting, tumbling, hopping, count],
    [...lasting, hopping, count, sliding, `session('1s', { aggregates: ${ALL} })`],
  ]
  const messages = makeFleet(new Prng(seed), 2, 100, Date.now())
  const part = Math.ceil(messages.length / 3)
  const parts = [0, 1, 2].map((index) => messages.slice(index * part, (index + 1) * part))
  const args = [config, '--data', join(directory, 'data'), '--shards', '1']
  let engine: EngineProcess | null = null
  cleanups.push(() => engine?.kill())
  const start = async (operators: readonly string[], latenessMs?: number): Promise<EngineProcess> => {
    writeConfig(config, operators, latenessMs)
    engine = await EngineProcess.start(args)
    return engine
  }

  const first = await start(configs[0])
  await publishAll(first.addresses.mqtt, topicOf, parts[0])
  expect(await first.stop()).toBe(0)
  const secondMs = Date.now()
  const second = await start(configs[1])
  const rest = await publishIntoKill(second.addresses.mqtt, topicOf, parts[1], () => second.kill())
  const thirdMs = Date.now()
  const third = await start(configs[2], 1000)
  await publishAll(third.addresses.mqtt, topicOf, [...rest, ...parts[2]])
  expect(await third.stop()).toBe(0)
  const last = await start(configs[2], 3000)
  const specs = await specsOf(config)
  const compare = async (places: readonly number[], sinceArrivalMs?: number) => {
    const query = last.query.bind(last)
    const some = places.map((place) => specs[place])
    const { differences } = await compareWindows({ query, stream: 'plant', specs: some, sinceArrivalMs })
    expect(differences, `seed ${seed}`).toEqual([])
  }
  await compare([0, 1])
  await compare([2, 3], secondMs)
  await compare([4, 5], thirdMs)
})

test('one device a day ahead is quarantined: all others are as batch SQL says, and the books balance', async () => {
  const seed = Number(process.env.SEED ?? 1)
  const prng = new Prng(seed)
  const directory = newDirectory()
  const config = join(directory, 'config.ts')
  writeConfig(config, [WINDOWS.tumbling, WINDOWS.session])
  const data = join(directory, 'data')
  const engine = await EngineProcess.start([config, '--data', data])
  cleanups.push(() => engine.kill())
  const now = Date.now()
  const others = makeFleet(prng, 2, 40, now)
  const ahead = others.map((_, index): Message => {
    const ts = now + 86_400_000 + index
    return { device: 'ahead', ts, payload: Buffer.from(JSON.stringify({ ts, level: index, door: 'open' })) }
  })
  const both = others.flatMap((message, index) => [message, ahead[index]])
  await publishAll(engine.addresses.mqtt, topicOf, both)
  const report = await audit(engine, data)
  expect(report).toMatchObject({ isBalanced: true, isSettled: true, differences: [] })
  expect(report.ledger).toMatchObject([{ deadLettered: ahead.length, messages: both.length }])
  const letters = await engine.query(
    'SELECT device, reason, toInt32(count()) AS n FROM millrace.dead_letters GROUP BY device, reason',
  )
  const reason = 'quarantined: more than 300000 ms ahead of its arrival'
  expect(letters).toEqual([{ device: 'ahead', reason, n: ahead.length }])
  for (const table of ['samples', 'rollups', 'windows'])
    expect(await engine.query(`SELECT 1 FROM millrace.${table} WHERE device = 'ahead' LIMIT 1`)).toEqual([])
  expect(await engine.stop()).toBe(0)
  const last = await EngineProcess.start([config, '--data', data])
  cleanups.push(() => last.kill())
  const compared = { query: last.query.bind(last), stream: 'plant', specs: await specsOf(config) }
  expect((await compareWindows(compared)).differences, `seed ${seed}`).toEqual([])
})

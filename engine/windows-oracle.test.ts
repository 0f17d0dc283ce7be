/**
 * Every window kind and aggregate, end to end: what a real engine leaves in ClickHouse after late, shuffled and odd readings, kills
 * and changed configs is what batch SQL over `samples` gives.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { Prng } from '../base/prng.ts'
import type { WindowSpec } from '../operators/window-spec.ts'
import { loadConfig } from './config-file.ts'
import { EngineProcess, temporaryDirectory } from './engine-process.ts'
import { compareWindows, EVERY_AGGREGATE } from './window-comparison.ts'
import { type Message, makeFleet, publishAll } from './window-scenario.ts'

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

/** Publishes, kills the engine when about half is acknowledged, and gives back what was not. */
async function publishIntoKill(
  engine: EngineProcess,
  messages: readonly Message[],
  kill: () => Promise<void>,
): Promise<Message[]> {
  const publishing = publishAll(engine.addresses.mqtt, topicOf, messages)
  const killing = new Promise((resolve) => setTimeout(resolve, 100)).then(kill)
  const [unanswered] = await Promise.all([publishing, killing])
  return unanswered
}

test('windows of every kind are those of batch SQL, through kills and any order of delivery', async () => {
  const seed = Number(process.env.SEED ?? 1)
  const directory = newDirectory()
  const config = join(directory, 'config.ts')
  writeConfig(config, Object.values(WINDOWS))
  const args = [config, '--data', join(directory, 'data'), '--shards', '2']
  const messages = makeFleet(new Prng(seed), 2, 150, Date.now())
  const part = Math.ceil(messages.length / 4)
  const parts = [0, 1, 2, 3].map((index) => messages.slice(index * part, (index + 1) * part))

  let engine = await EngineProcess.start(args)
  cleanups.push(() => engine.kill())
  let rest = await publishIntoKill(engine, parts[0], () => engine.killEngine())
  await publishAll(engine.addresses.mqtt, topicOf, [...rest, ...parts[1]])
  await new Promise((resolve) => setTimeout(resolve, 3000)) // series are idle, and open windows show
  rest = await publishIntoKill(engine, parts[2], () => engine.kill())
  engine = await EngineProcess.start(args)
  await publishAll(engine.addresses.mqtt, topicOf, [...rest, ...parts[3]])
  expect(await engine.stop()).toBe(0)
  engine = await EngineProcess.start(args)
  const compared = { query: engine.query.bind(engine), stream: 'plant', specs: await specsOf(config) }
  const { differences, ...counts } = await compareWindows(compared)
  expect(differences, `seed ${seed}`).toEqual([])
  expect(counts.compared).toBeGreaterThan(1000)
}, 120_000)

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
  const rest = await publishIntoKill(second, parts[1], () => second.kill())
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
}, 120_000)

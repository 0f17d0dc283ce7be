/** Configs as users run them: an engine in its own process with steps over its streams, `check`, and `dry-run` over its journal. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { parseAddress } from './address.ts'
import { MqttPublisher } from './audit/mqtt-publisher.ts'
import { loadConfig } from './config-file.ts'
import type { DryRunReport } from './dry-run/dry-run.ts'
import { EngineProcess, PATIENCE_MS, runMillrace, temporaryDirectory } from './engine-process.ts'

const cleanups: (() => unknown)[] = []

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

function configSource(steps: string, operators = `tumbling('1s')`): string {
  return `import { defineConfig, derive, filter, map, session, tumbling } from 'millrace'
export default defineConfig({
  streams: [{
    name: 'plant', topic: 'plants/{plant}/{device}/{metric}',
    metrics: { exclude: ['*.debug'], units: { oven: '°C' } },
    raw: { retention: '30d' },
    steps: [${steps}],
    operators: [${operators}],
  }],
  windows: { widths: ['1s'], latenessMs: 200, idleTimeoutMs: 800 },
})
`
}

const STEPS = [
  `filter((reading) => reading.level('plant') !== 'test')`,
  `map('oven', ({ value }) => (value - 32) / 1.8)`,
  `derive('power', (m) => m.value('motor.u') * m.value('motor.i'))`,
]

function newDirectory(): string {
  const directory = temporaryDirectory()
  cleanups.push(directory.remove)
  return directory.path
}

async function publishAll(
  mqtt: string,
  messages: readonly [topic: string, payload: string][],
): Promise<void> {
  const address = parseAddress(mqtt)
  if (address === null) throw new Error(`no address: ${mqtt}`)
  const publisher = await MqttPublisher.connect({ address, windowMax: 10, timeoutMs: PATIENCE_MS })
  await Promise.all(messages.map(([topic, payload]) => publisher.publish(topic, Buffer.from(payload))))
  await publisher.close()
}

test('steps decide what is stored; dry-run tells what others would have stored', async () => {
  const directory = newDirectory()
  const config = join(directory, 'config.ts')
  const data = join(directory, 'data')
  writeFileSync(config, configSource(STEPS.join(', ')))
  const engine = await EngineProcess.start([config, '--data', data, '--shards', '2'])
  cleanups.push(() => engine.kill())
  const now = Date.now()
  await publishAll(engine.addresses.mqtt, [
    ['plants/north/d1/oven', '212'],
    ['plants/north/d1/motor', JSON.stringify({ ts: now, u: 230, i: 2, debug: 1 })],
    ['plants/test/d2/oven', '50'],
    ['plants/north/d3/state', 'ON'],
    ['plants/north/d3/oven', JSON.stringify([{ ts: now }, { ts: now + 3_600_000, v: 5 }])],
    ['plants/north/d3/oven', '{'],
  ])
  const count = `SELECT toUInt32(count()) AS n FROM millrace.dead_letters`
  const ledger = 'SELECT toUInt32(sum(messages)) AS n FROM millrace.ledger'
  await engine.queryUntil<{ n: number }>(ledger, ({ n }) => n === 6)
  const samples = await engine.query(
    'SELECT device, metric, value, text FROM millrace.samples ORDER BY device, metric',
  )
  expect(samples).toEqual([
    { device: 'd1', metric: 'motor.i', value: 2, text: '' },
    { device: 'd1', metric: 'motor.u', value: 230, text: '' },
    { device: 'd1', metric: 'oven', value: 100, text: '' },
    { device: 'd1', metric: 'power', value: 460, text: '' },
    { device: 'd3', metric: 'state', value: null, text: 'ON' },
  ])
  expect(await engine.query(count)).toEqual([{ n: 2 }])
  expect(await engine.query('SELECT * FROM millrace.metrics')).toEqual([
    { stream: 'plant', metric: 'oven', unit: '°C' },
  ])
  const ttl = `SELECT extract(create_table_query, 'toIntervalSecond[^)]*') AS ttl FROM system.tables WHERE name = 'samples'`
  expect(await engine.query(ttl)).toEqual([{ ttl: 'toIntervalSecond(2592000' }])
  expect(
    await engine.query(`SELECT toInt32(sum(accepted)) AS accepted, toInt32(sum(stored)) AS stored,
      toInt32(sum(filtered)) AS filtered, toInt32(sum(dead_lettered)) AS letters, toInt32(sum(difference)) AS difference
      FROM millrace.ledger_balance`),
  ).toEqual([{ accepted: 9, stored: 5, filtered: 2, letters: 2, difference: 0 }])
  await engine.kill()

  const dryRun = async (file: string, ...args: string[]): Promise<DryRunReport> => {
    const { code, stdout, stderr } = await runMillrace(['dry-run', file, '--data', data, '--json', ...args])
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    return JSON.parse(stdout)
  }
  const same = await dryRun(config, '--running', config)
  expect(same).toMatchObject({ messageCount: 6, unmatchedCount: 0 })
  const counts = same.kinds.map(({ table, window, running, tried }) => [table, window, running, tried])
  expect(counts).toContainEqual(['samples', null, 5, 5])
  expect(counts).toContainEqual(['dead_letters', null, 2, 2])
  expect(counts.find(([table]) => table === 'rollups')?.[2]).toBeGreaterThan(0)
  for (const kind of same.kinds) expect([kind.onlyRunning, kind.onlyTried, kind.different]).toEqual([0, 0, 0])

  const sessions = join(directory, 'sessions.ts')
  writeFileSync(
    sessions,
    configSource(STEPS.join(', '), `session('30s', { aggregates: ['count', 'states'] })`),
  )
  const { kinds } = await dryRun(sessions, '--running', config)
  expect(kinds.find(({ table }) => table === 'windows')).toMatchObject({
    window: 'session 30s',
    running: 0,
    tried: 5,
    onlyTried: 5,
  })

  const other = join(directory, 'other.ts')
  writeFileSync(other, configSource(`map('oven', ({ value }) => value + 1), ${STEPS[2]}`))
  const changed = (await dryRun(other, '--running', config)).kinds.find(({ table }) => table === 'samples')
  expect(changed).toMatchObject({ running: 5, tried: 6, onlyRunning: 0, onlyTried: 1 + 0, different: 1 })
  expect(changed?.examples.join()).toMatch(/d1 oven .*: 100 -> 213/)
  const text = await runMillrace(['dry-run', other, '--data', data, '--running', config])
  expect(text.stdout).toMatch(
    /samples +6 rows, 5 of the running config: 0 only running, 1 only new, 1 with other/,
  )
})

test('check says what a config would do, or what is wrong with it', async () => {
  const config = join(newDirectory(), 'config.ts')
  writeFileSync(config, configSource(STEPS.join(', ')))
  const sound = await runMillrace(['check', config])
  expect(sound).toMatchObject({ code: 0, stderr: '' })
  expect(sound.stdout).toMatch(
    /^stream plant: plants\/\{plant\}\/\{device\}\/\{metric\} \(JSON or MessagePack\)$/m,
  )
  expect(sound.stdout).toMatch(/^ {2}steps +filter, map oven, derive power$/m)
  expect(sound.stdout).toMatch(
    /^ {2}1s +rollups_merged +kept for ever +\d+ B +count, sum, min, max, mean, first, last$/m,
  )
  const json = JSON.parse((await runMillrace(['check', config, '--json'])).stdout)
  expect(json).toMatchObject({
    isSound: true,
    streams: [{ name: 'plant', steps: ['filter', 'map oven', 'derive power'] }],
  })
  expect(json.streams[0].stateSizeBytes).toBeGreaterThan(50)

  writeFileSync(config, configSource('5'))
  const faulty = await runMillrace(['check', config])
  expect(faulty).toMatchObject({ code: 1, stdout: '' })
  expect(faulty.stderr).toBe(
    'millrace check: config: streams[0].steps[0] is 5, must be what filter, map or derive returns\n',
  )
  const faultyJson = await runMillrace(['check', config, '--json'])
  expect(JSON.parse(faultyJson.stdout)).toMatchObject({
    isSound: false,
    error: expect.stringMatching(/streams\[0\]\.steps/),
  })
  expect(await runMillrace(['check', config, config])).toMatchObject({ code: 2 })
  expect(await runMillrace(['check', join(config, 'none.ts')])).toMatchObject({ code: 1, stdout: '' })
  expect(await runMillrace(['check'])).toMatchObject({ code: 0, stderr: '' })
})

test('the config in the README is sound', async () => {
  const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8')
  const source = /```ts\n(.*?)```/s.exec(readme)?.[1] ?? ''
  const config = join(newDirectory(), 'config.ts')
  writeFileSync(config, source)
  const { pipelines } = await loadConfig(config)
  expect(pipelines[0].operators.map(({ label }) => label)).toEqual([
    '10s',
    '1m',
    '1h',
    '10m/10s',
    'session 30s',
  ])
  expect(pipelines[0].downsamplers.map(({ label }) => label)).toEqual(['m4 1m', 'swinging-door 0.1'])
})

test('dry-run refuses what it cannot do, in one line', async () => {
  const directory = newDirectory()
  const config = join(directory, 'config.ts')
  writeFileSync(config, configSource(''))
  const cases: [string[], number, RegExp][] = [
    [[], 2, /takes one config file/],
    [[config, '--data', directory], 1, /is no data directory: name an engine's with --data DIR/],
    [[join(directory, 'none.ts'), '--data', directory], 1, /no data directory/],
  ]
  for (const [args, code, pattern] of cases) {
    const outcome = await runMillrace(['dry-run', ...args])
    expect(outcome).toMatchObject({ code, stdout: '' })
    expect(outcome.stderr).toMatch(pattern)
    expect(outcome.stderr.trimEnd().split('\n')).toHaveLength(1)
  }
})

/** What the command line says and returns when something is wrong: one line that tells what to do, and an exit code. */
import { spawn } from 'node:child_process'
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import {
  CLI,
  EngineProcess,
  type Outcome,
  PATIENCE_MS,
  runMillrace,
  temporaryDirectory,
} from './engine-process.ts'

const cleanups: (() => unknown)[] = []

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

function newDirectory(): string {
  const directory = temporaryDirectory()
  cleanups.push(directory.remove)
  return directory.path
}

async function occupy(): Promise<string> {
  const server: Server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  cleanups.push(() => server.close())
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return `127.0.0.1:${address.port}`
}

const MQTTS = ['start', '--mqtts', ':0', '--tls-cert', 'a', '--tls-key', 'b']
const FREE = ['--mqtt', ':0', '--ws', ':0', '--http', ':0', '--store', ':0']

function expectOneLine(outcome: Outcome, code: number, pattern: RegExp): void {
  expect(outcome.stderr.trimEnd().split('\n')).toHaveLength(1)
  expect(outcome.stderr).toMatch(pattern)
  expect(outcome.code).toBe(code)
}

describe('wrong calls end with 2', () => {
  test.each([
    [['fly'], /no command "fly".*millrace --help/],
    [['start', '--sprockets'], /Unknown option '--sprockets'.*millrace start --help/],
    [['start', '--mqtt', 'nowhere'], /--mqtt takes HOST:PORT, not "nowhere"/],
    [['start', '--gateways', '-1'], /--gateways needs a value; .* --gateways=-VALUE; millrace start --help/],
    [['start', '--gateways=-1'], /--gateways takes a number from 0 to 64, not "-1"/],
    [['start', '--gateways'], /--gateways.* argument missing; /],
    [['start', '--shards', '0'], /--shards takes a number from 1 to 64/],
    [['start', '--journal-max', '1'], /--journal-max takes a size such as 512M or 8G, at least 64M/],
    [['start', '--clickhouse', 'ftp://x'], /--clickhouse takes a URL such as http/],
    [['start', '--mqtts', ':0'], /--mqtts needs --tls-cert FILE, the server's certificate/],
    [['start', '--wss', ':0', '--tls-cert', 'a'], /--wss needs --tls-key FILE, the key of the certificate/],
    [['start', '--tls-cert', 'a'], /--tls-cert is for doors with TLS: add --mqtts HOST:PORT/],
    [[...MQTTS, '--tls-client-cert', 'require'], /--tls-client-cert needs --tls-ca FILE/],
    [[...MQTTS, '--tls-client-cert', 'maybe'], /--tls-client-cert takes require or request, not "maybe"/],
    [[...MQTTS, '--tls-ca', 'a'], /--tls-ca is for --tls-client-cert require or request/],
    [['start', '--proxy-protocol', '10.0.0.0/33'], /--proxy-protocol takes addresses such as 10.0.0.7/],
    [['start', '--proxy-protocol', 'lb.example'], /--proxy-protocol takes .* not "lb.example"/],
    [['query'], /takes one query in quotes/],
  ])('millrace %j', async (args, pattern) => {
    expectOneLine(await runMillrace(args), 2, pattern)
  })
})

test.each([
  ['--help'],
  ['start', '--help'],
  ['query', '--help'],
  ['store', '--help'],
  ['load', '--help'],
  ['device', '--help'],
])('help: %s %s', async (...args) => {
  const { code, stdout, stderr } = await runMillrace(args.filter(Boolean))
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  expect(stdout).toMatch(/^millrace/)
  expect(Math.max(...stdout.split('\n').map((line) => line.length))).toBeLessThanOrEqual(110)
})

test('--version', async () => {
  const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'))
  expect(await runMillrace(['--version'])).toEqual({ code: 0, stdout: `millrace ${version}\n`, stderr: '' })
})

describe('what keeps an engine from starting is said in one line, with exit code 1', () => {
  test.each([['--mqtt'], ['--ws'], ['--http'], ['--store']])('the port of %s is in use', async (option) => {
    const taken = await occupy()
    const outcome = await runMillrace(['start', '--data', newDirectory(), ...FREE, option, taken])
    expectOneLine(outcome, 1, new RegExp(`${taken}.*${option}`))
  })

  test('the data directory is in use', async () => {
    const path = newDirectory()
    const engine = await EngineProcess.start(['--data', path])
    cleanups.push(() => engine.stop())
    expectOneLine(
      await runMillrace(['start', '--data', path, ...FREE]),
      1,
      /is in use by another millrace: stop that one, or .*--data/,
    )
  })

  test('TLS files that are no good', async () => {
    const args = [...MQTTS, '--data', newDirectory(), ...FREE]
    expectOneLine(await runMillrace(args), 1, /--tls-cert .* can't be read \(ENOENT\): name a PEM file/)
  })

  test('the data directory can not be written', async () => {
    const path = join(newDirectory(), 'file')
    writeFileSync(path, '')
    expectOneLine(await runMillrace(['start', '--data', path, ...FREE]), 1, /can't be written .*--data/)
    const locked = join(newDirectory(), 'locked')
    mkdirSync(locked)
    chmodSync(locked, 0o500)
    if (process.getuid?.() === 0) return // root may write anywhere
    expectOneLine(await runMillrace(['start', '--data', locked, ...FREE]), 1, /can't be written .*--data/)
  })

  test('a config with a mistake is refused with the path of the key', async () => {
    const config = join(newDirectory(), 'config.ts')
    const cases: [string, RegExp][] = [
      [
        'export default { windows: { latenesMs: 5 } }',
        /windows\.latenesMs is 5, must be left out; known here are widths, latenessMs/,
      ],
      [
        'export default { streams: [{ name: "a", topic: "x/y" }] }',
        /streams\[0\]\.topic is "x\/y", must be a topic with one level \{device\}/,
      ],
      [
        'export default { batch: { rowsMax: -1 } }',
        /batch\.rowsMax is -1, must be a whole number from 1 to 2000000/,
      ],
      [
        'export default { windows: { widths: ["1m", "10s"] } }',
        /windows\.widths\[1\] is "10s", must be .*wider than the one before/,
      ],
      ['export default 7', /the default export is 7, must be an object/],
      ['export const config = {}', /the default export is undefined, must be an object: export default/],
      ['syntax error here', /can't be loaded/],
      ['throw 5', /can't be loaded: 5$/m],
      ['throw new Error("a\\nb")', /can't be loaded: a$/m],
    ]
    for (const [source, pattern] of cases) {
      writeFileSync(config, source)
      expectOneLine(await runMillrace(['start', config, '--data', newDirectory(), ...FREE]), 1, pattern)
    }
  })

  test('data of another number of shards, or another config, is refused while ClickHouse does not take it', async () => {
    const path = newDirectory()
    const server = ['--clickhouse', `http://${await freeAddress()}`]
    const first = await EngineProcess.start(['--data', path, '--shards', '2', ...server])
    await publish(first)
    expect(await first.stop()).toBe(0)
    const start = ['start', '--data', path, ...FREE, ...server, '--shards', '1']
    const expected = /of another number of shards \(2\) or another config, and ClickHouse does not take it/
    const outcome = await runMillrace(start)
    expect(outcome.stderr).toMatch(expected)
    expect(outcome.code).toBe(1)
  })
})

test('a killed engine comes back with another number of shards and another config: what it had is stored first', async () => {
  const path = newDirectory()
  const first = await EngineProcess.start(['--data', path, '--shards', '2'])
  await publish(first)
  await first.kill()
  const config = join(newDirectory(), 'config.ts')
  writeFileSync(config, "export default { windows: { widths: ['5s'] } }")
  const second = await EngineProcess.start([config, '--data', path, '--shards', '1'])
  expect(await second.query('SELECT count() AS n FROM millrace.samples')).toEqual([{ n: 1000 }])
  await publish(second)
  expect(await second.stop()).toBe(0)
  const third = await EngineProcess.start([config, '--data', path])
  const sums =
    'SELECT window, sum(count) AS readings FROM millrace.rollups_merged GROUP BY window ORDER BY window'
  expect(await third.query(sums)).toEqual([
    { window: '10s', readings: 1000 },
    { window: '1m', readings: 1000 },
    { window: '5s', readings: 1000 },
  ])
  expect(await third.stop()).toBe(0)
})

test.each([
  ['0.0.0.0:0', '', 1],
  ['0.0.0.0:0', 'secret', 0],
  ['127.0.0.1:0', '', 0],
])('SQL on %s with the password %j: %i warning', async (store, password, count) => {
  const env = { MILLRACE_STORE_PASSWORD: password }
  const engine = await EngineProcess.start(['--data', newDirectory(), '--store', store], env)
  cleanups.push(() => engine.stop())
  const warnings = engine.events.filter(({ event }) => event === 'warning')
  expect(warnings).toHaveLength(count)
  for (const { message } of warnings)
    expect(message).toMatch(/^--store 0\.0\.0\.0:0 lets everybody .*MILLRACE_STORE_PASSWORD/)
  const port = engine.addresses.store.split(':').at(-1)
  const { status } = await fetch(`http://127.0.0.1:${port}/?query=SELECT+1`)
  expect(status === 200).toBe(password === '')
})

/** Where nobody listens. */
async function freeAddress(): Promise<string> {
  const address = await occupy()
  await cleanups.pop()?.()
  return address
}

async function publish(engine: EngineProcess): Promise<void> {
  const args = ['load', '--mqtt', engine.addresses.mqtt, '--messages', '500', '--metrics', '2', '--json']
  expect((await runMillrace(args)).code).toBe(0)
}

test('a ClickHouse server that refuses the password ends the start', async () => {
  const free = await freeAddress()
  const env = { ...process.env, MILLRACE_STORE_PASSWORD: 'right' }
  const args = ['store', '--writable', '--listen', free, '--data', newDirectory()]
  const store = spawn(process.execPath, [CLI, ...args], { env })
  cleanups.push(() => store.kill())
  await new Promise((resolve) => store.stdout.once('data', resolve))
  const start = ['start', '--data', newDirectory(), ...FREE, '--clickhouse', `http://${free}`]
  expectOneLine(
    await runMillrace(start, { MILLRACE_CLICKHOUSE_PASSWORD: 'wrong' }),
    1,
    /refuses.*MILLRACE_CLICKHOUSE_/,
  )
})

test('a ClickHouse server that is away is said once, readings wait in the journal, and arrive when it comes', async () => {
  const free = await freeAddress()
  const engine = await EngineProcess.start(['--data', newDirectory(), '--clickhouse', `http://${free}`])
  cleanups.push(() => engine.stop())
  await publish(engine)
  const faults = engine.events.filter(({ event }) => event === 'fault')
  expect(faults[0]).toMatchObject({
    code: 'STORE_AWAY',
    message: expect.stringMatching(/journalled until it takes them/),
  })
  const store = spawn(process.execPath, [
    CLI,
    'store',
    '--writable',
    '--listen',
    free,
    '--data',
    newDirectory(),
  ])
  cleanups.push(() => store.kill())
  const deadlineMs = performance.now() + PATIENCE_MS
  let count = ''
  while (count !== '1000\n' && performance.now() < deadlineMs) {
    await new Promise((resolve) => setTimeout(resolve, 200))
    const query = encodeURIComponent('SELECT count() FROM millrace.samples')
    count = await fetch(`http://${free}/?query=${query}`).then(
      (response) => response.text(),
      () => 'away',
    )
  }
  expect(count).toBe('1000\n')
  expect(await engine.stop()).toBe(0)
})

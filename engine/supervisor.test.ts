/** Deaths of each process of an engine, as a machine brings them about: by signals, and by code that fails. */
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { EngineProcess, isAlive, runMillrace, temporaryDirectory } from './engine-process.ts'
import { RestartPauses } from './supervisor.ts'

const cleanups: (() => unknown)[] = []

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

function newDirectory(): string {
  const directory = temporaryDirectory()
  cleanups.push(directory.remove)
  return directory.path
}

async function start(args: string[], options = {}): Promise<EngineProcess> {
  const engine = await EngineProcess.start(args, {}, options)
  cleanups.push(() => engine.kill())
  return engine
}

async function until(isReached: () => boolean): Promise<void> {
  while (!isReached()) await pause(10)
}

function pause(durationMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, durationMs))
}

async function publish(engine: EngineProcess, messages: number): Promise<void> {
  const size = ['--messages', String(messages), '--metrics', '2']
  const { code, stderr } = await runMillrace(['load', '--mqtt', engine.addresses.mqtt, ...size, '--json'])
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
}

async function countSamples(engine: EngineProcess): Promise<number> {
  const [{ n }] = await engine.query<{ n: number }>('SELECT toUInt32(count()) AS n FROM millrace.samples')
  return n
}

/** The texts of what went wrong, in order. */
function faults(engine: EngineProcess): string[] {
  return engine.events.flatMap(({ event, message }) => (event === 'fault' ? [String(message)] : []))
}

/** What the engine of now has taken, as it said last. */
function messagesOf(engine: EngineProcess): number {
  const last = engine.events.findLast(({ event }) => event === 'status' || event === 'ready')
  return Number(last?.messages ?? 0)
}

/** A port of this machine where nobody listens, as a ClickHouse server that is away. */
const NO_SERVER = ['--clickhouse', 'http://127.0.0.1:1']

describe('a killed engine', () => {
  test('comes back under load on the same ports, and nothing is lost or stored twice', async () => {
    const directory = newDirectory()
    const config = join(directory, 'config.ts')
    writeFileSync(config, 'export default { windows: { latenessMs: 500, idleTimeoutMs: 1500 } }')
    const engine = await start([config, '--data', join(directory, 'data')])
    const { mqtt, store } = engine.addresses
    const load = [
      'load',
      '--mqtt',
      mqtt,
      '--store',
      store,
      '--messages',
      '30000',
      '--rate',
      '10000',
      '--json',
    ]
    const loading = runMillrace([...load, '--verify'])
    for (let round = 0; round < 2; round++) {
      await until(() => messagesOf(engine) > 0)
      await engine.killEngine()
    }
    const { counters, verification } = JSON.parse((await loading).stdout)
    expect(counters.connectionsLost).toBeGreaterThan(0)
    expect(counters.acknowledged).toBe(counters.sent)
    expect(verification.rows).toMatchObject({ missing: 0, duplicated: 0, wrong: 0, foreign: 0 })
    for (const window of verification.windows) expect(window).toMatchObject({ open: 0, wrong: 0 })
    const addresses = engine.events.filter(({ event }) => event === 'ready')
    expect(addresses).toHaveLength(3)
    for (const ready of addresses) expect(ready).toMatchObject({ mqtt, store, pid: engine.addresses.pid })
    expect(faults(engine).filter((text) => text.startsWith('engine died'))).toEqual([
      'engine died (SIGKILL); started again',
      'engine died (SIGKILL); started again after 0.5 s',
    ])
    expect(await engine.stop()).toBe(0)
  })

  test('with --no-restart is the end, with exit code 1', async () => {
    const engine = await start(['--data', newDirectory(), '--no-restart'])
    process.kill(engine.enginePid, 'SIGKILL')
    expect(await engine.ended).toBe(1)
    expect(faults(engine)).toEqual([
      'engine died (SIGKILL); start it again, the journal has what was acknowledged',
    ])
  })

  test('shows how far its replay is', async () => {
    const directory = newDirectory()
    const config = join(directory, 'config.ts')
    writeFileSync(config, 'export default { batch: { rowsMax: 1000 } }')
    const engine = await start([config, '--data', join(directory, 'data'), ...NO_SERVER])
    await publish(engine, 10_000)
    expect(engine.events.some(({ event }) => event === 'replaying')).toBe(false)
    await engine.killEngine()
    const replaying = await engine.event('replaying')
    expect(replaying.totalBytes).toBeGreaterThan(100_000)
    expect(replaying.doneBytes).toBeLessThan(Number(replaying.totalBytes))
  })
})

describe('an engine that fails', () => {
  /** An engine whose config, which is code, does `fault` on the main thread as long as there is the file `flag`. */
  async function startFailing(fault: string): Promise<{ engine: EngineProcess; flag: string }> {
    const directory = newDirectory()
    const [config, flag] = [join(directory, 'config.ts'), join(directory, 'flag')]
    writeFileSync(
      config,
      `import { existsSync } from 'node:fs'
      import { isMainThread } from 'node:worker_threads'
      const workers = []
      process.on('worker', (worker) => workers.push(worker))
      setInterval(() => { if (isMainThread && existsSync(${JSON.stringify(flag)})) ${fault} }, 10)
      export default {}`,
    )
    const engine = await start([config, '--data', join(directory, 'data'), '--shards', '1'])
    writeFileSync(flag, '')
    return { engine, flag }
  }

  test.each([
    ['on its main thread', "throw new Error('a bad day')", 'a bad day'],
    ['on another thread', 'workers.at(-1)?.terminate()', 'shard 0: shard 0 ended with code [01]'],
  ])('%s is started again until it works', async (_, fault, reason) => {
    const { engine, flag } = await startFailing(fault)
    await until(() => faults(engine).length > 0)
    rmSync(flag)
    await engine.eventWhere('fault', ({ isOver }) => isOver === true)
    const [death, recovery, ...others] = faults(engine)
    expect(death).toMatch(new RegExp(`^engine died \\(${reason}\\); started again$`))
    expect([recovery, ...others]).toEqual(['the engine runs again'])
    await publish(engine, 100)
    expect(await engine.stop()).toBe(0)
  })

  test('can be stopped between two lives', async () => {
    const { engine } = await startFailing("throw new Error('a bad day')")
    await until(() => faults(engine).some((text) => text.endsWith('after 1 s')))
    expect(await engine.stop()).toBe(0)
    expect(engine.events.at(-1)).toMatchObject({ event: 'stopped', isDrained: false })
  })
})

test('a killed supervisor takes engine and store with it, and a new start works at once', async () => {
  const args = ['--data', newDirectory()]
  const first = await start(args)
  const { mqtt, ws, http, store } = first.addresses
  await publish(first, 500)
  const pids = [first.enginePid, first.storePid]
  first.signal('SIGKILL')
  const ports = ['--mqtt', mqtt, '--ws', ws, '--http', http, '--store', store]
  const second = await start([...args, ...ports])
  expect(pids.map(isAlive)).toEqual([false, false])
  expect(await second.stop()).toBe(0)
  const third = await start(args)
  expect(await countSamples(third)).toBe(1000)
})

test('a killed store is started again on the same port', async () => {
  const engine = await start(['--data', newDirectory()])
  await publish(engine, 500)
  const pid = engine.storePid
  process.kill(pid, 'SIGKILL')
  await engine.eventWhere('fault', ({ code, isOver }) => code === 'STORE_DIED' && isOver === true)
  expect(engine.storePid).not.toBe(pid)
  await engine.queryUntil<{ n: number }>(
    'SELECT toUInt32(count()) AS n FROM millrace.samples',
    ({ n }) => n === 1000,
  )
  expect(await countSamples(engine)).toBe(1000)
  expect(await engine.stop()).toBe(0)
})

test('nobody has to read what it prints', async () => {
  const engine = await start(['--data', newDirectory()])
  engine.closeOutput()
  await pause(1500) // a figure a second is printed
  await publish(engine, 100)
  expect(await engine.stop()).toBe(0)
})

describe('signals to the whole group', () => {
  test.each([['SIGTERM'], ['SIGINT']] as const)('%s drains, also when it comes twice', async (signal) => {
    const args = ['--data', newDirectory()]
    const engine = await start(args, { isGroupLeader: true })
    await publish(engine, 20_000)
    engine.signalGroup(signal)
    await pause(50)
    engine.signalGroup(signal)
    expect(await engine.ended).toBe(0)
    expect(engine.events.at(-1)).toMatchObject({ event: 'stopped', isDrained: true })
    expect(faults(engine)).toEqual([])
    expect(await countSamples(await start(args))).toBe(40_000)
  })

  test('a second Ctrl-C after a second ends a drain that hangs', async () => {
    const engine = await start(['--data', newDirectory(), ...NO_SERVER], { isGroupLeader: true })
    await publish(engine, 100)
    const { enginePid } = engine
    engine.signalGroup('SIGINT')
    await pause(1100)
    engine.signalGroup('SIGINT')
    expect(await engine.ended).toBe(130)
    await until(() => !isAlive(enginePid))
  })
})

test('pauses begin at none, double up to a bound, and begin anew after a long life', () => {
  const pauses = new RestartPauses()
  const short = Array.from({ length: 8 }, () => pauses.next(100))
  expect(short).toEqual([0, 500, 1000, 2000, 4000, 8000, 10_000, 10_000])
  expect([pauses.next(60_000), pauses.next(59_999), pauses.next(0)]).toEqual([0, 500, 1000])
})

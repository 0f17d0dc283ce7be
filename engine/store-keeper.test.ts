/** The store child as the engine keeps it: what `stop` leaves behind, and what is said of a server's troubles. */
import { readdirSync, readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { getPriority } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { checkConfig } from './config-check.ts'
import { temporaryDirectory } from './engine-process.ts'
import type { Fault } from './fault-log.ts'
import { runStore, type StandaloneOptions } from './store/standalone.ts'
import { StoreKeeper, type StoreKeeperSettings } from './store-keeper.ts'

const cleanups: (() => unknown)[] = []

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

function newKeeper(settings: Partial<StoreKeeperSettings> = {}): { keeper: StoreKeeper; faults: Fault[] } {
  const directory = temporaryDirectory()
  const faults: Fault[] = []
  const listen = { host: '127.0.0.1', port: 0 }
  const keeper = new StoreKeeper(
    { directory: directory.path, listen, server: null, config: checkConfig({}), ...settings },
    (fault) => {
      faults.push(fault)
    },
  )
  cleanups.push(directory.remove, () => keeper.stop())
  return { keeper, faults }
}

/** The store children of this process. Linux only. */
function storePids(): number[] {
  const pids = readFileSync(`/proc/self/task/${process.pid}/children`, 'utf8').trim().split(' ')
  return pids.map(Number).filter((pid) => commandOf(pid).includes('store/child.ts'))
}

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8')
  } catch {
    return ''
  }
}

async function until(isReached: () => boolean): Promise<void> {
  while (!isReached()) await pause(5)
}

/** Takes the port as soon as it is free; resolves with what gives it back. */
async function occupy(port: number): Promise<() => Promise<void>> {
  for (;;) {
    const server = createServer()
    const isBound = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false))
      server.listen(port, '127.0.0.1', () => resolve(true))
    })
    if (isBound) return () => new Promise((resolve) => server.close(() => resolve()))
    await pause(5)
  }
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}

function pause(durationMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, durationMs))
}

describe('a stop leaves no store behind', () => {
  test.each([
    ['before it is started again', 0],
    ['while it is being started again', 1],
  ])('%s', async (_, childCount) => {
    const { keeper, faults } = newKeeper()
    await keeper.start()
    process.kill(storePids()[0], 'SIGKILL')
    await until(() => faults.length === 1 && storePids().length === childCount)
    await keeper.stop()
    expect(storePids()).toEqual([])
    await pause(700) // longer than the pause before a restart
    expect(storePids()).toEqual([])
    expect(faults.map(({ code }) => code)).toEqual(['STORE_DIED'])
  })
})

test('a store that can not be started again is told of, with the reason, until it runs', async () => {
  const { keeper, faults } = newKeeper()
  await keeper.start()
  const port = keeper.address?.port ?? 0
  process.kill(storePids()[0], 'SIGKILL')
  const giveBack = await occupy(port)
  await until(() => faults.length >= 2)
  await giveBack()
  await until(() => faults.some(({ isOver }) => isOver))
  expect(new Set(faults.map(({ code }) => code))).toEqual(new Set(['STORE_DIED']))
  expect(faults[1].message).toMatch(/can't be started again: .*is in use/)
  expect(faults.at(-1)).toEqual({ code: 'STORE_DIED', message: 'the store runs again', isOver: true })
  expect(keeper.address?.port).toBe(port)
})

test('what a server that came late has against us is said, and when it takes readings', async () => {
  const directory = temporaryDirectory()
  const port = await freePort()
  const server = { url: `http://127.0.0.1:${port}`, username: 'default', password: 'wrong' }
  const { keeper, faults } = newKeeper({ server })
  await keeper.start()
  const options: StandaloneOptions = {
    directory: join(directory.path, 'server'),
    listen: { host: '127.0.0.1', port },
    writable: true,
  }
  const serve = async (password: string) => {
    process.env.MILLRACE_STORE_PASSWORD = password
    const store = await runStore(options).finally(() => delete process.env.MILLRACE_STORE_PASSWORD)
    return () => store.stop()
  }
  cleanups.push(directory.remove)
  const stop = await serve('right')
  await until(() => faults.some(({ message }) => message.includes('refuses this user')))
  await stop()
  cleanups.push(await serve('wrong'))
  await until(() => faults.some(({ isOver }) => isOver))
  const texts = new Set(faults.map(({ code, message }) => `${code}: ${message}`))
  const suffix = 'readings are journalled until it takes them'
  expect([...texts].slice(0, 2)).toEqual([
    `STORE_AWAY: ${server.url} cannot be reached (ECONNREFUSED); ${suffix}`,
    expect.stringMatching(`^STORE_AWAY: .*refuses this user.*MILLRACE_CLICKHOUSE_PASSWORD.*; ${suffix}`),
  ])
  expect(faults.at(-1)).toEqual({ code: 'STORE_AWAY', message: 'ClickHouse is back', isOver: true })
})

test.runIf(process.platform === 'linux')(
  'the threads of ClickHouse leave the processors to the engine',
  async () => {
    const { keeper } = newKeeper()
    await keeper.start()
    const [pid] = storePids()
    const names = readdirSync(`/proc/${pid}/task`).map((thread) => {
      const name = readFileSync(`/proc/${pid}/task/${thread}/comm`, 'utf8').trim()
      return { name, niceness: getPriority(Number(thread)) }
    })
    const merges = names.filter(({ name }) => name === 'MergeMutate')
    expect(merges.length).toBeGreaterThan(0)
    expect(merges.every(({ niceness }) => niceness === 10)).toBe(true)
  },
)

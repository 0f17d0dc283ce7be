import { spawn } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { StoreStartError } from './errors.ts'
import { runStore } from './standalone.ts'
import { startStore } from './store.ts'
import {
  lettersBlock as block,
  LETTERS_COLUMNS as COLUMNS,
  openFixture,
  type StoreFixture,
  send,
  temporaryDirectory,
} from './store-fixture.ts'
import { connectStore, StoreError } from './target.ts'

async function startFault(work: () => Promise<unknown>): Promise<StoreStartError> {
  return await work().then(
    () => expect.fail('it started'),
    (fault: StoreStartError) => fault,
  )
}

const range = (count: number, first = 0): number[] => Array.from({ length: count }, (_, i) => first + i)

describe('inserting', () => {
  let fixture: StoreFixture

  beforeAll(async () => {
    fixture = await openFixture()
  })
  afterAll(() => fixture.close())
  afterEach(() => fixture.target.command('TRUNCATE TABLE millrace.dead_letters'))

  const count = async (): Promise<number> => {
    const [row] = await fixture.target.query<{ n: number }>('SELECT toUInt32(count()) AS n FROM dead_letters')
    return row.n
  }

  test('one token stores its block once, whatever else was inserted between', async () => {
    const { target } = fixture
    await target.insert('dead_letters', COLUMNS, block(range(10)), 'a')
    await target.insert('dead_letters', COLUMNS, block(range(10)), 'b')
    await target.insert('dead_letters', COLUMNS, block(range(5)), 'c')
    await target.insert('dead_letters', COLUMNS, block(range(10)), 'a')
    expect(await count()).toBe(25)
  })

  test('tokens and payloads with every kind of character', async () => {
    const { target } = fixture
    const payload = "x'; DROP TABLE millrace.samples\n\nDROP DATABASE millrace;\\'\u0000`"
    const token = "id/'\\`\n\n;--/*"
    for (let i = 0; i < 2; i++) await target.insert('dead_letters', COLUMNS, block([1], payload), token)
    const rows = await target.query<{ payload: string }>('SELECT payload FROM dead_letters')
    expect(rows).toEqual([{ payload }])
  })

  test('many at once, each stored once', async () => {
    const { target } = fixture
    await Promise.all(
      range(40).map((i) => target.insert('dead_letters', COLUMNS, block(range(100, i * 100)), `m${i}`)),
    )
    const [row] = await target.query<{ n: number; u: number }>(
      'SELECT toUInt32(count()) AS n, toUInt32(uniqExact(position)) AS u FROM dead_letters',
    )
    expect(row).toEqual({ n: 4000, u: 4000 })
  })

  test('a large body, and one cut short, which stores nothing', async () => {
    const { target, store } = fixture
    const large = block(range(100_000), 'p'.repeat(100))
    expect(large.length).toBeGreaterThan(10_000_000)
    await target.insert('dead_letters', COLUMNS, large, 'large')
    expect(await count()).toBe(100_000)
    const cut = block(range(1000)).slice(0, -3)
    const fault = await target.insert('dead_letters', COLUMNS, cut, 'cut').catch((cause: StoreError) => cause)
    expect(fault).toBeInstanceOf(StoreError)
    expect(await count()).toBe(100_000)
    expect(readdirSync(join(store.socketPath, '..', 'bodies'))).toEqual([])
  })

  test('faults say what is wrong and whether to try again', async () => {
    const { target } = fixture
    const fault = (work: Promise<unknown>): Promise<StoreError> =>
      work.then(
        () => expect.fail(),
        (cause) => cause,
      )
    expect(await fault(target.insert('nowhere', COLUMNS, block([1]), 't'))).toMatchObject({
      code: 'UNKNOWN_TABLE',
      retryable: false,
      exceptionCode: 60,
    })
    expect(await fault(target.insert('dead_letters', ['nothing'], block([1]), 't'))).toMatchObject({
      code: 'REFUSED',
      retryable: false,
    })
    expect(await fault(target.query('SELEC 1'))).toMatchObject({ code: 'REFUSED', exceptionCode: 62 })
    const nobody = connectStore({ url: 'http://127.0.0.1:1' })
    expect(await fault(nobody.query('SELECT 1'))).toMatchObject({ code: 'UNREACHABLE', retryable: true })
    await nobody.close()
    expect(await fault(nobody.query('SELECT 1'))).toMatchObject({ code: 'CLOSED', retryable: false })
    expect(() => connectStore({ url: 'tcp://x' })).toThrow(/no address of a ClickHouse server/)
  })

  test('a server that never answers is a timeout', async () => {
    const silent = createServer(() => {})
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
    const { port } = silent.address() as { port: number }
    const target = connectStore({ url: `http://127.0.0.1:${port}` }, { requestTimeoutMs: 100 })
    await expect(target.insert('samples', ['ts'], block([1]), 't')).rejects.toMatchObject({
      code: 'TIMEOUT',
      retryable: true,
    })
    await target.close()
    silent.close()
  })

  test('the socket and what is beside it are the owner\u2019s alone', () => {
    const directory = join(fixture.store.socketPath, '..')
    expect(statSync(directory).mode & 0o777).toBe(0o700)
    expect(statSync(fixture.store.socketPath).mode & 0o777).toBe(0o600)
  })
})

describe('starting and dying', () => {
  test('what was acknowledged outlives kill -9, and its tokens too', async () => {
    const directory = temporaryDirectory()
    const limits = { memorySizeBytes: 2 ** 30 }
    const first = await openFixture({ directory, limits })
    const acknowledged: number[] = []
    const stored = (async () => {
      for (let i = 0; i < 500; i++) {
        await first.target.insert('dead_letters', COLUMNS, block([i]), `t${i}`)
        acknowledged.push(i)
      }
    })()
    while (acknowledged.length < 20) await new Promise((resolve) => setTimeout(resolve, 5))
    process.kill(first.store.pid, 'SIGKILL')
    await expect(stored).rejects.toMatchObject({ code: 'UNREACHABLE', retryable: true })
    expect(await first.store.exited).toEqual({ code: null, signal: 'SIGKILL' })
    await first.target.close()
    const second = await openFixture({ directory, limits })
    const positions = async (): Promise<number[]> => {
      const rows = await second.target.query<{ p: number }>(
        'SELECT toUInt32(position) AS p FROM dead_letters ORDER BY position',
      )
      return rows.map((row) => row.p)
    }
    const found = await positions()
    expect(found.slice(0, acknowledged.length)).toEqual(acknowledged)
    // The one in flight may have been stored; sent again, it is there once.
    const inFlight = acknowledged.length
    for (const i of [inFlight - 1, inFlight]) {
      await second.target.insert('dead_letters', COLUMNS, block([i]), `t${i}`)
    }
    expect(await positions()).toEqual(range(inFlight + 1))
    await second.close()
  })

  test('a directory or port in use, an address of another machine, a file for a directory', async () => {
    const fixture = await openFixture()
    const { address } = fixture.store
    const other = temporaryDirectory()
    const inUse = await startFault(() => startStore({ directory: fixture.directory, listen: null }))
    expect(inUse.code).toBe('DIRECTORY_IN_USE')
    expect(inUse.message).toMatch(
      /^\S+ is in use by another store: stop that process, or name another data directory$/,
    )
    const portInUse = await startFault(() => startStore({ directory: other, listen: address }))
    expect(portInUse.code).toBe('PORT_IN_USE')
    expect(portInUse.message).toMatch(/^127\.0\.0\.1:\d+ is in use: choose another port/)
    const foreign = { host: '192.0.2.1', port: 0 }
    expect((await startFault(() => startStore({ directory: other, listen: foreign }))).code).toBe(
      'ADDRESS_UNAVAILABLE',
    )
    writeFileSync(join(other, 'file'), '')
    const notADirectory = await startFault(() => startStore({ directory: join(other, 'file'), listen: null }))
    expect(notADirectory.code).toBe('DIRECTORY_NOT_WRITABLE')
    expect(notADirectory.message).not.toMatch(/\n/)
    // The one that ran all the while was not disturbed.
    expect(await fixture.target.query('SELECT 1 AS one')).toEqual([{ one: 1 }])
    rmSync(other, { recursive: true, force: true })
    await fixture.close()
  })

  test.skipIf(process.getuid?.() === 0)('a directory of somebody else', async () => {
    const directory = temporaryDirectory()
    mkdirSync(join(directory, 'store'))
    chmodSync(directory, 0o500)
    expect((await startFault(() => startStore({ directory, listen: null }))).code).toBe(
      'DIRECTORY_NOT_WRITABLE',
    )
    chmodSync(directory, 0o700)
    rmSync(directory, { recursive: true })
  })

  test('a deep directory, whose socket\u2019s path would be too long', async () => {
    const directory = temporaryDirectory()
    const store = await startStore({ directory: join(directory, 'd'.repeat(120)), listen: null })
    const target = connectStore({ socketPath: store.socketPath })
    expect(await target.query('SELECT 1 AS one')).toEqual([{ one: 1 }])
    await target.close()
    await store.stop()
    expect(await store.exited).toEqual({ code: 0, signal: null })
    expect(existsSync(join(store.socketPath, '..'))).toBe(false)
    rmSync(directory, { recursive: true })
  })

  test('a stop ends readers\u2019 queries at once, and lets an insert end', async () => {
    const fixture = await openFixture()
    const query = fetch(fixture.url, { method: 'POST', body: 'SELECT count() FROM numbers(1000000000000)' })
    const left = query.catch(() => 'sent away')
    const isRunning = async (): Promise<boolean> => {
      const sql =
        "SELECT query FROM system.processes WHERE query LIKE '%reader%' AND query NOT LIKE '%processes%'"
      return (await fixture.target.query(sql)).length > 0
    }
    while (!(await isRunning()));
    const positions = range(50_000)
    const inserted = fixture.target.insert('dead_letters', COLUMNS, block(positions, 'p'.repeat(100)), 'last')
    const bodies = join(fixture.store.socketPath, '..', 'bodies')
    while (readdirSync(bodies).length === 0) await new Promise((resolve) => setImmediate(resolve))
    await fixture.store.stop()
    expect(await fixture.store.exited).toEqual({ code: 0, signal: null })
    expect(await left).toBe('sent away')
    await inserted
    await fixture.close()
  })

  test('the child goes when its parent is killed', async () => {
    const directory = temporaryDirectory()
    const module = new URL('./store.ts', import.meta.url).href
    const script = `const { startStore } = await import(${JSON.stringify(module)})
      const store = await startStore({ directory: ${JSON.stringify(directory)}, listen: null })
      console.log(store.pid)`
    const parent = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const pid = await new Promise<number>((resolve) =>
      parent.stdout.once('data', (line) => resolve(Number(line))),
    )
    expect(() => process.kill(pid, 0)).not.toThrow()
    parent.kill('SIGKILL')
    const isAlive = (): boolean => {
      try {
        return process.kill(pid, 0)
      } catch {
        return false
      }
    }
    while (isAlive()) await new Promise((resolve) => setTimeout(resolve, 20))
    rmSync(directory, { recursive: true })
  })
})

describe('a store that runs alone', () => {
  test('writable with a password: inserts, schema and queries by TCP, for who knows it', async () => {
    process.env.MILLRACE_STORE_PASSWORD = 's3cret'
    const directory = temporaryDirectory()
    try {
      const store = await runStore({ directory, listen: { host: '127.0.0.1', port: 0 }, writable: true })
      const url = `http://127.0.0.1:${store.address?.port}`
      const target = connectStore({ url, username: 'default', password: 's3cret' })
      const { createSchema } = await import('./schema.ts')
      for (let i = 0; i < 2; i++) await createSchema((sql) => target.command(sql), { syncOnInsert: false })
      for (let i = 0; i < 2; i++) await target.insert('dead_letters', COLUMNS, block([7]), 'token')
      expect(await target.query('SELECT position::UInt32 AS p FROM dead_letters')).toEqual([{ p: 7 }])
      await expect(target.command('CREATE DATABASE other')).rejects.toMatchObject({ exceptionCode: 497 })
      await expect(target.command('SYSTEM SHUTDOWN')).rejects.toMatchObject({ exceptionCode: 497 })
      await target.close()
      const stranger = connectStore({ url, username: 'default', password: 'guess' })
      await expect(stranger.query('SELECT 1')).rejects.toMatchObject({
        code: 'AUTHENTICATION',
        retryable: false,
      })
      await stranger.close()
      expect((await send(`${url}/?query=SELECT+1`, '', {}, 'GET')).status).toBe(403)
      expect((await send(`${url}/?password=s3cret`, 'SELECT 1')).text).toBe('1\n')
      const named = { Host: 'engine:8123' }
      expect((await send(`${url}/?password=s3cret`, 'SELECT 1', named)).text).toBe('1\n')
      expect((await send(`${url}/`, 'SELECT 1', named)).status).toBe(403)
      await store.stop()
    } finally {
      delete process.env.MILLRACE_STORE_PASSWORD
      rmSync(directory, { recursive: true })
    }
  })

  test('writable for everybody is refused', async () => {
    const listen = { host: '0.0.0.0', port: 0 }
    const fault = await startFault(() => runStore({ directory: 'never-made', listen, writable: true }))
    expect(fault.code).toBe('LISTEN_REFUSED')
    expect(fault.message).toMatch(/needs a password: set MILLRACE_STORE_PASSWORD/)
  })
})

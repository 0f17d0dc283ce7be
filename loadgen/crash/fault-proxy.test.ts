/** The proxy before a server that counts: each fault does to an insert what it is named after, and nothing else. */
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { Prng } from '../../base/prng.ts'
import { FaultProxy } from './fault-proxy.ts'
import type { ProxyFault } from './faults.ts'
import { freePorts } from './program.ts'

const INSERTS = 40
const BODY = 'x'.repeat(300_000)
const closers: (() => Promise<unknown>)[] = []

afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

/** Takes whole requests only, as ClickHouse does, and remembers their bodies by token. */
class Upstream {
  readonly bodies = new Map<string, string[]>()
  status = 200
  #server: Server

  constructor() {
    this.#server = createServer(async (request, response) => {
      const chunks: Buffer[] = []
      try {
        for await (const chunk of request) chunks.push(chunk)
      } catch {
        return
      }
      const token =
        new URL(request.url ?? '/', 'http://x').searchParams.get('insert_deduplication_token') ?? ''
      const bodies = this.bodies.get(token) ?? []
      this.bodies.set(token, [...bodies, Buffer.concat(chunks).toString()])
      response.writeHead(this.status, { 'x-clickhouse-summary': '{}' }).end('stored')
    })
  }

  async listen(): Promise<number> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve))
    closers.push(() => new Promise((resolve) => this.#server.close(resolve)))
    return (this.#server.address() as AddressInfo).port
  }
}

async function setUp(fault: ProxyFault, seed = 1) {
  const upstream = new Upstream()
  const storePort = await upstream.listen()
  const [port] = await freePorts(1, new Prng(Date.now()))
  const proxy = new FaultProxy({ port, storePort, seed, faults: [fault] })
  await proxy.listen()
  closers.push(() => proxy.close())
  const send = (query: string, params: Record<string, string> = {}): Promise<Response> => {
    const url = `http://127.0.0.1:${port}/?${new URLSearchParams({ query, ...params })}`
    return fetch(url, { method: 'POST', body: BODY })
  }
  /** The status, or 0 when there was no answer. */
  const insert = async (token: string): Promise<number> => {
    try {
      const response = await send('INSERT INTO t FORMAT Native', { insert_deduplication_token: token })
      await response.text()
      return response.status
    } catch {
      return 0
    }
  }
  return { upstream, proxy, send, insert }
}

type Setup = Awaited<ReturnType<typeof setUp>>

async function insertAll({ insert }: Setup): Promise<number[]> {
  const statuses: number[] = []
  for (let index = 0; index < INSERTS; index++) statuses.push(await insert(`t${index}`))
  return statuses
}

describe('inserts', () => {
  test('cut-reply: stored whole, not answered; answered once it is sent again', async () => {
    const setup = await setUp('cut-reply')
    const { upstream, proxy, insert } = setup
    const statuses = await insertAll(setup)
    expect(upstream.bodies.size).toBe(INSERTS)
    for (const bodies of upstream.bodies.values()) expect(bodies).toEqual([BODY])
    const cut = statuses.flatMap((status, index) => (status === 0 ? [`t${index}`] : []))
    expect(cut.length).toBeGreaterThan(INSERTS / 5)
    expect(cut.length).toBeLessThan(INSERTS)
    expect(proxy.counts['cut-reply']).toBe(cut.length)
    expect(proxy.unansweredCount).toBe(cut.length)
    proxy.isArmed = false
    for (const token of cut) expect(await insert(token)).toBe(200)
    expect([proxy.unansweredCount, proxy.repeatedCount]).toEqual([0, cut.length])
  })

  test('reset: ClickHouse never sees the whole of it', async () => {
    const setup = await setUp('reset')
    const statuses = await insertAll(setup)
    const lost = statuses.filter((status) => status === 0).length
    expect(lost).toBe(setup.proxy.counts.reset)
    expect(lost).toBeGreaterThan(INSERTS / 5)
    expect(setup.upstream.bodies.size).toBe(INSERTS - lost)
  })

  test('answer-503: some are stored all the same', async () => {
    const setup = await setUp('answer-503')
    const statuses = await insertAll(setup)
    const refused = statuses.filter((status) => status === 503).length
    expect(refused).toBe(setup.proxy.counts['answer-503'])
    expect(setup.proxy.unansweredCount).toBeGreaterThan(0)
    expect(setup.proxy.unansweredCount).toBeLessThan(refused)
    expect(setup.upstream.bodies.size).toBe(INSERTS - refused + setup.proxy.unansweredCount)
  })

  test('delay: all are answered', async () => {
    const setup = await setUp('delay')
    setup.proxy.isArmed = true
    for (let index = 0; index < 6; index++) expect(await setup.insert(`t${index}`)).toBe(200)
    expect(setup.proxy.counts.delay).toBeGreaterThan(0)
  })

  test('refuse: nobody listens for a while, then all is as before', async () => {
    const { proxy, insert, upstream } = await setUp('refuse')
    for (let token = 0; proxy.counts.refuse === 0; token++) await insert(`t${token}`)
    proxy.isArmed = false
    const stored = upstream.bodies.size
    expect(await insert('while away')).toBe(0)
    while ((await insert('back')) !== 200) await new Promise((resolve) => setTimeout(resolve, 20))
    expect(upstream.bodies.size).toBe(stored + 1)
  })
})

test('what is no insert passes, and so does what ClickHouse refuses', async () => {
  const { upstream, proxy, send } = await setUp('cut-reply')
  for (let index = 0; index < 10; index++) {
    const response = await send('SELECT 1')
    expect([response.status, response.headers.get('x-clickhouse-summary')]).toEqual([200, '{}'])
    expect(await response.text()).toBe('stored')
  }
  upstream.status = 500
  for (let index = 0; index < 10; index++) {
    expect((await send('INSERT INTO t FORMAT Native')).status).toBe(500)
  }
  expect(proxy.faultCount).toBe(0)
  expect([proxy.insertCount, proxy.refusedCount, proxy.tokenlessCount]).toEqual([10, 10, 10])
})

test('a seed decides which inserts are hit', async () => {
  const runs: number[][] = []
  for (const seed of [5, 5, 6]) runs.push(await insertAll(await setUp('cut-reply', seed)))
  expect(runs[0]).toEqual(runs[1])
  expect(runs[0]).not.toEqual(runs[2])
})

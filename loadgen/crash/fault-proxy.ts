/**
 * An HTTP proxy between an engine and its ClickHouse that breaks things from a seed: cuts the reply after the request
 * was carried out, answers 503 before or after that, delays, resets in mid-request, refuses connections for a while.
 * Only inserts draw faults; everything else passes. Runs on the harness's thread. It remembers the deduplication token
 * of each insert that was carried out and not answered, until that token is sent again and answered.
 */
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { Prng } from '../../base/prng.ts'
import type { ProxyFault } from './faults.ts'

export interface FaultProxyOptions {
  /** Where it listens and where ClickHouse does, both on 127.0.0.1. */
  port: number
  storePort: number
  seed: number
  faults: readonly ProxyFault[]
}

/** How many inserts of a hundred draw a fault. */
const FAULT_PERCENT = 50
const DELAY_MS_MAX = 400
const REFUSE_MS_MAX = 600

interface Reply {
  status: number
  headers: IncomingMessage['rawHeaders']
  body: Buffer
}

export class FaultProxy {
  /** Faults that happened; a cut reply counts when ClickHouse had answered 200. */
  readonly counts: Record<ProxyFault, number> = {
    'cut-reply': 0,
    delay: 0,
    reset: 0,
    refuse: 0,
    'answer-503': 0,
  }
  /** Inserts that came, and those that ClickHouse refused. */
  insertCount = 0
  refusedCount = 0
  /** What ClickHouse said when it refused one. */
  lastRefusal = ''
  /** Inserts without a token: each would be stored as often as it is sent. */
  tokenlessCount = 0
  /** Inserts that were answered after an earlier answer to the same token was lost. */
  repeatedCount = 0
  /** Faults are drawn only while this is set. */
  isArmed = true
  readonly #options: FaultProxyOptions
  readonly #prng: Prng
  readonly #server: Server
  readonly #unanswered = new Set<string>()
  #refusal: Promise<void> | null = null

  constructor(options: FaultProxyOptions) {
    this.#options = options
    this.#prng = new Prng(options.seed)
    this.#server = createServer((incoming, response) => {
      incoming.on('error', () => {})
      response.on('error', () => {})
      this.#serve(incoming, response).catch(() => incoming.socket.destroy())
    })
  }

  async listen(): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen(this.#options.port, '127.0.0.1', () => {
        this.#server.off('error', reject)
        resolve()
      })
    })
  }

  /** Tokens whose insert was carried out, whose answer was lost, and which have not come again. */
  get unansweredCount(): number {
    return this.#unanswered.size
  }

  get faultCount(): number {
    return Object.values(this.counts).reduce((sum, count) => sum + count, 0)
  }

  async close(): Promise<void> {
    this.isArmed = false
    await this.#refusal
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  async #serve(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await bodyOf(incoming)
    const token = insertTokenOf(incoming.url ?? '/')
    if (token === null) {
      answer(response, await this.#forward(incoming, body))
      return
    }
    this.insertCount++
    if (token === '') this.tokenlessCount++
    const fault = this.#draw()
    if (fault !== null && !(await this.#breakBefore(fault, incoming, response, body))) return
    const reply = await this.#forward(incoming, body)
    const isStored = reply.status === 200
    if (!isStored) {
      this.refusedCount++
      this.lastRefusal = `${reply.status}: ${reply.body.toString('utf8', 0, 300)}`
    }
    if (fault !== null && isStored && this.#breakAfter(fault, incoming, response, token)) return
    if (isStored && this.#unanswered.delete(token)) this.repeatedCount++
    answer(response, reply)
  }

  #draw(): ProxyFault | null {
    const { faults } = this.#options
    // Drawn whether armed or not, so that the sequence depends on the inserts alone.
    const isFault = this.#prng.between(0, 99) < FAULT_PERCENT
    const fault = faults[this.#prng.between(0, faults.length - 1)]
    return isFault && this.isArmed ? fault : null
  }

  /** What happens before ClickHouse hears of the insert. False: it never does. */
  async #breakBefore(
    fault: ProxyFault,
    incoming: IncomingMessage,
    response: ServerResponse,
    body: Buffer,
  ): Promise<boolean> {
    switch (fault) {
      case 'delay':
        this.counts.delay++
        await sleep(this.#prng.between(1, DELAY_MS_MAX))
        return true
      case 'reset':
        this.counts.reset++
        await this.#forwardPart(incoming, body, this.#prng.between(0, Math.max(0, body.length - 1)))
        incoming.socket.resetAndDestroy()
        return false
      case 'refuse':
        this.counts.refuse++
        this.#refuse(this.#prng.between(20, REFUSE_MS_MAX))
        incoming.socket.resetAndDestroy()
        return false
      case 'answer-503':
        if (this.#prng.unit() < 0.5) return true
        this.counts['answer-503']++
        response.writeHead(503, { 'Content-Type': 'text/html' }).end('<h1>no healthy upstream</h1>')
        return false
      case 'cut-reply':
        return true
    }
  }

  /** What happens when the insert is stored and its sender does not know yet. True: it is not to be answered. */
  #breakAfter(
    fault: ProxyFault,
    incoming: IncomingMessage,
    response: ServerResponse,
    token: string,
  ): boolean {
    if (fault !== 'cut-reply' && fault !== 'answer-503') return false
    this.counts[fault]++
    this.#unanswered.add(token)
    if (fault === 'answer-503') {
      response.writeHead(503).end('upstream request timeout')
      return true
    }
    // The connection ends with nothing, with a reset, or within the reply's head.
    const how = this.#prng.between(0, 2)
    if (how === 0) incoming.socket.destroy()
    else if (how === 1) incoming.socket.resetAndDestroy()
    else incoming.socket.end('HTTP/1.1 200 OK\r\nContent-Type: text/pl')
    return true
  }

  /** Stops listening for a while; connections that are open end. */
  #refuse(durationMs: number): void {
    if (this.#refusal !== null) return
    const closed = new Promise((resolve) => this.#server.close(resolve))
    this.#server.closeAllConnections()
    this.#refusal = closed
      .then(() => sleep(durationMs))
      .then(() => this.listen())
      .finally(() => {
        this.#refusal = null
      })
  }

  #forward(incoming: IncomingMessage, body: Buffer): Promise<Reply> {
    return new Promise((resolve, reject) => {
      const outgoing = request({ ...this.#target(incoming), agent: false }, (reply) => {
        bodyOf(reply).then(
          (content) => resolve({ status: reply.statusCode ?? 502, headers: reply.rawHeaders, body: content }),
          reject,
        )
      })
      outgoing.on('error', reject)
      outgoing.setHeader('content-length', body.length)
      outgoing.end(body)
    })
  }

  /** Sends the start of the request and breaks off, as a dying sender does. */
  #forwardPart(incoming: IncomingMessage, body: Buffer, sizeBytes: number): Promise<void> {
    return new Promise((resolve) => {
      const outgoing = request({ ...this.#target(incoming), agent: false })
      outgoing.on('error', () => resolve())
      outgoing.on('close', () => resolve())
      outgoing.setHeader('content-length', body.length)
      outgoing.write(body.subarray(0, sizeBytes), () => outgoing.destroy())
    })
  }

  #target(incoming: IncomingMessage) {
    const { host, connection, 'transfer-encoding': _, 'content-length': __, ...headers } = incoming.headers
    return {
      host: '127.0.0.1',
      port: this.#options.storePort,
      method: incoming.method,
      path: incoming.url,
      headers,
    }
  }
}

/** The deduplication token of an insert, '' for one without; null for other requests. */
function insertTokenOf(url: string): string | null {
  const { searchParams } = new URL(url, 'http://store')
  if (!/^\s*INSERT\s/i.test(searchParams.get('query') ?? '')) return null
  return searchParams.get('insert_deduplication_token') ?? ''
}

async function bodyOf(message: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of message) chunks.push(chunk)
  return Buffer.concat(chunks)
}

function answer(response: ServerResponse, { status, headers, body }: Reply): void {
  if (response.destroyed) return
  for (let index = 0; index < headers.length; index += 2) {
    if (/^(connection|keep-alive|transfer-encoding|content-length)$/i.test(headers[index])) continue
    response.setHeader(headers[index], headers[index + 1])
  }
  response.writeHead(status, { 'content-length': body.length })
  response.end(body)
}

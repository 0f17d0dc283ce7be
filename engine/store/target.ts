/**
 * The ClickHouse that the sink talks to, by `@clickhouse/client`: the store child on its Unix socket or a
 * server at a URL, the same way. Faults are StoreErrors that say whether the same request may be sent again.
 */
import { Agent } from 'node:http'
import { connect } from 'node:net'
import { Readable } from 'node:stream'
import { type ClickHouseClient, ClickHouseError, ClickHouseLogLevel, createClient } from '@clickhouse/client'
import { DATABASE } from './columns.ts'

export type StoreAddress =
  | { readonly socketPath: string }
  | { readonly url: string; readonly username?: string; readonly password?: string }

export type StoreErrorCode =
  | 'UNREACHABLE'
  | 'TIMEOUT'
  | 'AUTHENTICATION'
  | 'UNKNOWN_TABLE'
  | 'OVERLOADED'
  | 'REFUSED'
  | 'ROW_REFUSED'
  | 'BAD_ADDRESS'
  | 'CLOSED'

/** A request to ClickHouse that failed. */
export class StoreError extends Error {
  readonly code: StoreErrorCode
  /** The same request may succeed later; an insert must then be sent with the same token. */
  readonly retryable: boolean
  /** ClickHouse's own code when it answered; else 0. */
  readonly exceptionCode: number

  constructor(code: StoreErrorCode, retryable: boolean, message: string, exceptionCode = 0, cause?: unknown) {
    super(message, { cause })
    this.name = 'StoreError'
    this.code = code
    this.retryable = retryable
    this.exceptionCode = exceptionCode
  }
}

export interface StoreTarget {
  /** For messages: where it is, without the password. */
  readonly name: string
  /**
   * Stores one Native block in `millrace.table`, once for one token however often it is sent. The bytes must
   * not change until it settles.
   */
  insert(table: string, columns: readonly string[], block: Uint8Array, token: string): Promise<void>
  /** Runs a statement without a result. */
  command(sql: string): Promise<void>
  /** Runs a query and gives its rows. */
  query<Row>(sql: string, params?: Record<string, unknown>): Promise<Row[]>
  close(): Promise<void>
}

export interface StoreTargetOptions {
  /** For one request, from its start to the end of the answer. */
  readonly requestTimeoutMs?: number
  readonly connectionsMax?: number
}

const REQUEST_TIMEOUT_MS = 120_000

export function connectStore(address: StoreAddress, options: StoreTargetOptions = {}): StoreTarget {
  return new ClientTarget(address, options)
}

class ClientTarget implements StoreTarget {
  readonly name: string
  readonly #client: ClickHouseClient
  readonly #agent: Agent | null
  #isClosed = false

  constructor(address: StoreAddress, options: StoreTargetOptions) {
    const common = {
      application: 'millrace',
      request_timeout: options.requestTimeoutMs ?? REQUEST_TIMEOUT_MS,
      max_open_connections: options.connectionsMax ?? 4,
      // Faults are thrown; the caller decides what is worth a line.
      log: { level: ClickHouseLogLevel.OFF },
    }
    if ('socketPath' in address) {
      this.name = 'the embedded store'
      this.#agent = socketAgent(address.socketPath, common.max_open_connections)
      this.#client = createClient({ ...common, url: 'http://localhost', http_agent: this.#agent })
      return
    }
    const url = serverUrl(address.url)
    this.name = url.origin
    this.#agent = null
    const password = address.password ?? decodeURIComponent(url.password)
    const username = address.username ?? (decodeURIComponent(url.username) || 'default')
    this.#client = createClient({ ...common, url: url.origin + url.pathname, username, password })
  }

  async insert(table: string, columns: readonly string[], block: Uint8Array, token: string): Promise<void> {
    const names = columns.map((column) => `\`${column}\``).join(', ')
    await this.#run(async () => {
      const { stream } = await this.#client.exec({
        query: `INSERT INTO ${DATABASE}.\`${table}\` (${names}) FORMAT Native`,
        values: Readable.from([block]),
        clickhouse_settings: { insert_deduplication_token: token, insert_deduplicate: 1, async_insert: 0 },
      })
      await drain(stream)
    })
  }

  async command(sql: string): Promise<void> {
    await this.#run(() => this.#client.command({ query: sql }))
  }

  query<Row>(sql: string, params: Record<string, unknown> = {}): Promise<Row[]> {
    return this.#run(async () => {
      const result = await this.#client.query({ query: sql, query_params: params, format: 'JSONEachRow' })
      return await result.json<Row>()
    })
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await this.#client.close()
    this.#agent?.destroy()
  }

  async #run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#isClosed) throw new StoreError('CLOSED', false, `the connection to ${this.name} is closed`)
    try {
      return await work()
    } catch (cause) {
      throw storeErrorOf(cause, this.name)
    }
  }
}

/** An agent that reaches a Unix socket whatever the request's host. */
function socketAgent(socketPath: string, connectionsMax: number): Agent {
  const agent = new Agent({ keepAlive: true, maxSockets: connectionsMax })
  agent.createConnection = () => connect(socketPath)
  return agent
}

function serverUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : null
  if (url !== null && /^https?:$/.test(url.protocol)) return url
  throw new StoreError(
    'BAD_ADDRESS',
    false,
    `'${text}' is no address of a ClickHouse server: write http://host:8123`,
  )
}

async function drain(stream: Readable): Promise<void> {
  for await (const _ of stream);
}

const UNREACHABLE_CODES = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ENOENT',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ECONNABORTED',
  'EADDRNOTAVAIL',
  'ERR_STREAM_PREMATURE_CLOSE',
])
const AUTHENTICATION_CODES = new Set([192, 193, 194, 497, 516])
const UNKNOWN_TABLE_CODES = new Set([60, 81])
/** Timeouts, memory, too many parts or queries, a read-only table, Keeper's moods: they pass. */
const PASSING_CODES = new Set([
  3, 159, 202, 209, 210, 225, 236, 241, 242, 243, 252, 285, 286, 319, 425, 439, 999,
])

/** Something in the rows: constraints, values that do not fit, what a materialized view makes of them. */
const ROW_CODES = new Set([6, 27, 38, 41, 69, 70, 117, 131, 153, 321, 349, 395, 407, 469])

/** What the client threw, sorted by what the sink can do about it. */
function storeErrorOf(cause: unknown, name: string): StoreError {
  if (cause instanceof StoreError) return cause
  const message = cause instanceof Error ? cause.message : String(cause)
  const text = message.replace(/: [Ww]hile executing[\s\S]*/, '').trim()
  if (cause instanceof ClickHouseError) {
    const code = Number(cause.code)
    if (AUTHENTICATION_CODES.has(code)) {
      const advice = 'check the user, the password and the grants'
      return new StoreError('AUTHENTICATION', false, `${name} refuses this user: ${advice}`, code, cause)
    }
    if (UNKNOWN_TABLE_CODES.has(code)) return new StoreError('UNKNOWN_TABLE', false, text, code, cause)
    if (PASSING_CODES.has(code)) return new StoreError('OVERLOADED', true, text, code, cause)
    return new StoreError(ROW_CODES.has(code) ? 'ROW_REFUSED' : 'REFUSED', false, text, code, cause)
  }
  if (/timeout/i.test(text)) {
    return new StoreError('TIMEOUT', true, `${name} gave no answer in time`, 0, cause)
  }
  const code = (cause as NodeJS.ErrnoException).code
  if (
    (code !== undefined && UNREACHABLE_CODES.has(code)) ||
    /socket hang up|aborted|terminated/i.test(text)
  ) {
    return new StoreError('UNREACHABLE', true, `${name} cannot be reached (${code ?? text})`, 0, cause)
  }
  return new StoreError('UNREACHABLE', true, `${name}: ${text}`, 0, cause)
}

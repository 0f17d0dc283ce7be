/**
 * ClickHouse's HTTP protocol over the embedded engine, once for the sink's private socket (`trusted`), once
 * for the TCP port: of analysts (`reader`), or of a store that runs alone and is written to (`writer`). Lives
 * in the store child.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { BodyFiles } from './body-files.ts'
import type { ChdbEngine } from './chdb-engine.ts'
import { DATABASE } from './columns.ts'
import { checkPassword, isKnownHost, isKnownOrigin } from './http-access.ts'
import { decodedBody, parseRequest, readQueryText, type StoreRequest } from './http-request.ts'
import {
  internalFault,
  resultHeaders,
  sendFault,
  sendResult,
  streamResult,
  summaryOf,
} from './http-response.ts'
import { type InsertStatement, parseInsert } from './insert-statement.ts'
import { guardDatabase, guardReadQuery, guardWriteQuery, isReadQuery } from './query-guard.ts'
import { readerSettings } from './reader-settings.ts'

export interface StoreServerOptions {
  readonly engine: ChdbEngine
  readonly bodies: BodyFiles
  readonly rights: 'trusted' | 'reader' | 'writer'
  /** The host listened on, against which Host and Origin are checked; null for a socket file. */
  readonly listenHost: string | null
  /** Further names that Host and Origin may have. */
  readonly hostNames: ReadonlySet<string>
  readonly password: string | null
}

/** A query that its client does not read for this long after its own time limit is ended. */
const SLOW_READER_GRACE_MS = 10_000

export function createStoreServer(options: StoreServerOptions): Server {
  const server = createServer({ keepAliveTimeout: 30_000, requestTimeout: 300_000 }, (message, response) => {
    response.on('error', () => {})
    answer(options, message, response).catch((cause: unknown) => sendFault(response, internalFault(cause)))
  })
  server.maxConnections = 512
  return server
}

async function answer(
  options: StoreServerOptions,
  message: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const path = (message.url ?? '/').split('?', 1)[0]
  if (!admit(options, message, response)) return
  if (message.method === 'OPTIONS') {
    response
      .writeHead(204, { 'Access-Control-Allow-Methods': 'GET, POST', 'Access-Control-Allow-Headers': '*' })
      .end()
    return
  }
  const isBare = message.method === 'GET' && !(message.url ?? '').includes('query=')
  if (path === '/ping' || (path === '/' && isBare)) {
    response.writeHead(200, { 'Content-Type': 'text/html; charset=UTF-8' }).end('Ok.\n')
    return
  }
  if (path !== '/' || (message.method !== 'GET' && message.method !== 'POST')) {
    response.writeHead(path === '/' ? 405 : 404, {
      'Content-Type': 'text/plain; charset=UTF-8',
      Connection: 'close',
    })
    response.end('There is / (queries by GET and POST) and /ping.\n')
    return
  }
  const request = parseRequest(message)
  if (options.password !== null) checkPassword(message.headers, request.params, options.password)
  await answerQuery(options, request, message, response)
}

/** Whether Host and Origin are fine; answers 403 when not. */
function admit(options: StoreServerOptions, message: IncomingMessage, response: ServerResponse): boolean {
  const { listenHost, hostNames } = options
  if (listenHost === null) return true
  // A page behind a rebound name has no password: with one, any name will do (a container's, a proxy's).
  const isHostKnown = options.password !== null || isKnownHost(message.headers.host, listenHost, hostNames)
  if (isHostKnown && isKnownOrigin(message.headers, listenHost, hostNames)) {
    if (message.headers.origin !== undefined) {
      response.setHeader('Access-Control-Allow-Origin', message.headers.origin)
      response.setHeader('Vary', 'Origin')
    }
    return true
  }
  const what = isHostKnown ? 'pages of another origin' : 'requests for another host'
  response.writeHead(403, { 'Content-Type': 'text/plain; charset=UTF-8', Connection: 'close' })
  response.end(`The store answers no ${what}.\n`)
  return false
}

async function answerQuery(
  options: StoreServerOptions,
  request: StoreRequest,
  message: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { engine, rights } = options
  const mayHaveRows = rights !== 'reader' && message.method === 'POST' && request.query !== ''
  const insert = mayHaveRows ? parseInsert(request.query, databaseOf(request)) : null
  if (insert !== null) {
    await answerInsert(options, insert, request, message, response)
    return
  }
  const text = message.method === 'POST' ? await readQueryText(message) : ''
  const sql = request.query + (request.query !== '' && text !== '' ? '\n' : '') + text
  if (rights === 'reader' || (rights === 'writer' && isReadQuery(sql))) {
    await answerRead(engine, request, sql, response)
  } else {
    const checked = rights === 'writer' ? guardWriteQuery(sql, engine.forbiddenCalls) : sql
    await answerTrusted(engine, request, checked, response)
  }
}

async function answerInsert(
  options: StoreServerOptions,
  insert: InsertStatement,
  request: StoreRequest,
  message: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const settings = new Map([...insert.settings, ...request.settings])
  const stats = await options.bodies.withFile(decodedBody(message), (path) =>
    options.engine.insert({ ...insert, settings }, path),
  )
  response.writeHead(200, {
    ...resultHeaders(request.queryId, insert.format),
    'X-ClickHouse-Summary': summaryOf(stats, true),
    'Content-Length': 0,
  })
  response.end()
}

async function answerRead(
  engine: ChdbEngine,
  request: StoreRequest,
  sql: string,
  response: ServerResponse,
): Promise<void> {
  const query = guardReadQuery(sql, engine.forbiddenCalls, request.placeholders)
  const database = databaseOf(request)
  guardDatabase(database)
  const format = query.format ?? request.defaultFormat
  const settings = readerSettings(request.settings, engine.limits)
  const running = await engine.read(query, { database, format, settings, params: request.placeholders })
  const watchdogMs = engine.limits.queryTimeSecondsMax * 1000 + SLOW_READER_GRACE_MS
  const watchdog = setTimeout(() => running.cancel(), watchdogMs)
  const onClose = (): void => running.cancel()
  response.once('close', onClose)
  try {
    if (response.destroyed) running.cancel()
    await streamResult(response, resultHeaders(request.queryId, format), running, request.acceptsGzip)
  } finally {
    clearTimeout(watchdog)
    response.removeListener('close', onClose)
    running.output.destroy()
  }
}

async function answerTrusted(
  engine: ChdbEngine,
  request: StoreRequest,
  sql: string,
  response: ServerResponse,
): Promise<void> {
  const format = request.defaultFormat
  const context = {
    database: databaseOf(request),
    format,
    settings: request.settings,
    params: request.placeholders,
  }
  const result = await engine.execute(sql, context)
  sendResult(response, resultHeaders(request.queryId, format), result.body, result, request.acceptsGzip)
}

/** Clients name `default` when nobody told them anything: here that is the engine's own database. */
function databaseOf(request: StoreRequest): string {
  return request.database === null || request.database === 'default' ? DATABASE : request.database
}

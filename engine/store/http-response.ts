/**
 * Answers in ClickHouse's HTTP protocol: headers, exceptions with their status, and results that stream. The
 * first 64 KiB (or 200 ms) of a result are held back, so that a query that fails early is answered with an
 * error status; one that fails later ends with ClickHouse's exception block, marked by the tag in the
 * headers.
 */
import { randomBytes } from 'node:crypto'
import type { OutgoingHttpHeaders, ServerResponse } from 'node:http'
import type { Readable, Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGzip, gzipSync } from 'node:zlib'
import type { QueryStats, RunningQuery } from './chdb-engine.ts'
import { ClickHouseFault, EXCEPTION_CODE, httpStatusOf } from './errors.ts'

const HELD_BACK_SIZE_BYTES = 65_536
const HELD_BACK_MS = 200

const CONTENT_TYPES: readonly (readonly [RegExp, string])[] = [
  [/^JSON.*EachRow|^JSONLines|^NDJSON/, 'application/x-ndjson; charset=UTF-8'],
  [/^JSON/, 'application/json; charset=UTF-8'],
  [/^CSV/, 'text/csv; charset=UTF-8; header=absent'],
  [/^(TabSeparated|TSV)/, 'text/tab-separated-values; charset=UTF-8'],
  [/^XML/, 'application/xml; charset=UTF-8'],
  [/^(Pretty|Vertical|Values|Markdown|SQLInsert|Hash)/, 'text/plain; charset=UTF-8'],
  [/^Parquet/, 'application/octet-stream'],
]

function contentTypeOf(format: string): string {
  return CONTENT_TYPES.find(([pattern]) => pattern.test(format))?.[1] ?? 'application/octet-stream'
}

export function resultHeaders(queryId: string, format: string): OutgoingHttpHeaders {
  return {
    'Content-Type': contentTypeOf(format),
    'X-ClickHouse-Query-Id': queryId,
    'X-ClickHouse-Format': format,
    'X-ClickHouse-Timezone': 'UTC',
    'X-ClickHouse-Server-Display-Name': 'millrace',
  }
}

/** The summary header; `written` counts what an insert stored. */
export function summaryOf(stats: QueryStats, isWrite = false): string {
  const rows = String(stats.rowsRead)
  const bytes = String(stats.bytesRead)
  return JSON.stringify({
    read_rows: rows,
    read_bytes: bytes,
    written_rows: isWrite ? rows : '0',
    written_bytes: isWrite ? bytes : '0',
    total_rows_to_read: '0',
    result_rows: '0',
    result_bytes: '0',
    elapsed_ns: String(Math.round(stats.elapsedSeconds * 1e9)),
  })
}

/** Answers with the exception, or cuts the connection when an answer has begun. */
export function sendFault(response: ServerResponse, fault: ClickHouseFault): void {
  if (response.headersSent || response.destroyed) {
    response.destroy()
    return
  }
  const status = httpStatusOf(fault.exceptionCode)
  response.writeHead(status, {
    'Content-Type': 'text/plain; charset=UTF-8',
    'X-ClickHouse-Exception-Code': String(fault.exceptionCode),
    // What is left of the request's body is not read.
    ...(response.req.complete ? {} : { Connection: 'close' }),
    ...(status === 401 ? { 'WWW-Authenticate': 'Basic realm="millrace"' } : {}),
    ...(status === 503 ? { 'Retry-After': '1' } : {}),
  })
  response.end(response.req.method === 'HEAD' ? undefined : `${fault.message}\n`)
}

/** Answers with a result that is at hand. */
export function sendResult(
  response: ServerResponse,
  headers: OutgoingHttpHeaders,
  body: Uint8Array,
  stats: QueryStats,
  acceptsGzip: boolean,
): void {
  const sent = acceptsGzip && body.length > 0 ? gzipSync(body, { level: 3 }) : body
  response.writeHead(200, {
    ...headers,
    'X-ClickHouse-Summary': summaryOf(stats),
    'Content-Length': sent.length,
    ...(sent === body ? {} : { 'Content-Encoding': 'gzip' }),
  })
  response.end(sent)
}

/** Streams a running query. Rejects with the query's fault only while nothing has been sent. */
export async function streamResult(
  response: ServerResponse,
  headers: OutgoingHttpHeaders,
  running: RunningQuery,
  acceptsGzip: boolean,
): Promise<void> {
  const { chunks, stats } = await holdBack(running)
  if (stats !== null) {
    sendResult(response, headers, Buffer.concat(chunks), stats, acceptsGzip)
    return
  }
  const tag = randomBytes(8).toString('hex')
  response.writeHead(200, {
    ...headers,
    'X-ClickHouse-Exception-Tag': tag,
    ...(acceptsGzip ? { 'Content-Encoding': 'gzip' } : {}),
  })
  const body = heldBackAndRest(chunks, running, tag)
  if (!acceptsGzip) await pipeline(body, response as Writable)
  else await pipeline(body, createGzip({ level: 3 }), response as Writable)
}

/**
 * Everything there is and comes, then either the end or the exception in a block that clients recognise by
 * its tag.
 */
async function* heldBackAndRest(
  chunks: readonly Buffer[],
  running: RunningQuery,
  tag: string,
): AsyncGenerator<Buffer> {
  yield* chunks
  for await (const chunk of running.output) yield chunk
  const fault = await running.done.then(
    () => null,
    (cause: ClickHouseFault) => cause,
  )
  if (fault === null) return
  const message = `${fault.message}\n`
  const size = Buffer.byteLength(message)
  yield Buffer.from(`\r\n__exception__\r\n${tag}\r\n${message}${size} ${tag}\r\n__exception__\r\n`)
}

interface HeldBack {
  readonly chunks: Buffer[]
  /** Set when the whole result is in `chunks`. */
  readonly stats: QueryStats | null
}

/** Collects the start of a result; rejects when the query fails before it grew large. */
function holdBack(running: RunningQuery): Promise<HeldBack> {
  const { output, done } = running
  const chunks: Buffer[] = []
  let sizeBytes = 0
  return new Promise((resolve, reject) => {
    let timer: NodeJS.Timeout | null = null
    const settle = (stats: QueryStats | null): void => {
      if (timer !== null) clearTimeout(timer)
      output.pause()
      output.removeListener('data', onData)
      resolve({ chunks, stats })
    }
    const onData = (chunk: Buffer): void => {
      chunks.push(chunk)
      sizeBytes += chunk.length
      if (sizeBytes >= HELD_BACK_SIZE_BYTES) settle(null)
      else timer ??= setTimeout(() => settle(null), HELD_BACK_MS)
    }
    output.on('data', onData)
    output.once('error', reject)
    const ended = endOf(output)
    done.then((stats) => ended.then(() => settle(stats)), reject)
  })
}

function endOf(output: Readable): Promise<void> {
  return new Promise((resolve) => {
    output.once('end', resolve)
    output.once('close', resolve)
  })
}

/** A fault of ours that has no words of the engine's. */
export function internalFault(cause: unknown): ClickHouseFault {
  if (cause instanceof ClickHouseFault) return cause
  return new ClickHouseFault(EXCEPTION_CODE.UNKNOWN, cause instanceof Error ? cause.message : String(cause))
}

/**
 * A request in ClickHouse's HTTP protocol, read and checked: the query from `?query=` and the body,
 * `database`, `default_format`, `param_*`, settings, and what compression the client takes. Everything is
 * bounded.
 */
import type { IncomingMessage } from 'node:http'
import type { Readable } from 'node:stream'
import { createGunzip, createInflate } from 'node:zlib'
import { ClickHouseFault, EXCEPTION_CODE } from './errors.ts'

const QUERY_SIZE_BYTES_MAX = 1 << 20

export interface StoreRequest {
  readonly params: URLSearchParams
  readonly queryId: string
  /** The text of `?query=`. */
  readonly query: string
  readonly database: string | null
  readonly defaultFormat: string
  /** Values of placeholders, in TabSeparated's escaping. */
  readonly placeholders: ReadonlyMap<string, string>
  /** Every other parameter: what ClickHouse takes for a setting. */
  readonly settings: ReadonlyMap<string, string>
  /** The client takes a gzipped answer. */
  readonly acceptsGzip: boolean
}

/**
 * Parameters of the protocol that are no settings, or settings of the transport that have no meaning here.
 */
const PROTOCOL_PARAMS = new Set(
  `
  query database default_format query_id user password role quota_key session_id session_timeout
  session_check enable_http_compression http_zlib_compression_level compress decompress wait_end_of_query
  buffer_size readonly send_progress_in_http_headers http_headers_progress_interval_ms
  cancel_http_readonly_queries_on_client_close http_write_exception_in_output_format
  http_response_buffer_size stacktrace client_protocol_version log_comment
`
    .trim()
    .split(/\s+/),
)

const PLACEHOLDER = /^[A-Za-z_][A-Za-z0-9_]{0,63}$/
const FORMAT_NAME = /^[A-Za-z][A-Za-z0-9]{0,49}$/
const QUERY_ID = /^[\x21-\x7e]{1,128}$/

export function parseRequest(message: IncomingMessage): StoreRequest {
  const params = new URL(message.url ?? '/', 'http://store').searchParams
  if (params.get('compress') === '1' || params.get('decompress') === '1') {
    throw new ClickHouseFault(
      48,
      "ClickHouse's own compression is not supported here: use HTTP compression. (NOT_IMPLEMENTED)",
    )
  }
  const placeholders = new Map<string, string>()
  const settings = new Map<string, string>()
  for (const [name, value] of params) {
    if (name.startsWith('param_')) {
      if (!PLACEHOLDER.test(name.slice(6))) throw badArgument(`parameter name '${name.slice(0, 80)}'`)
      placeholders.set(name.slice(6), value)
    } else if (!PROTOCOL_PARAMS.has(name)) {
      settings.set(name, value)
    }
  }
  const format = params.get('default_format') ?? header(message, 'x-clickhouse-format') ?? 'TabSeparated'
  if (!FORMAT_NAME.test(format)) throw badArgument('format name')
  const queryId = params.get('query_id') ?? ''
  return {
    params,
    queryId: QUERY_ID.test(queryId) ? queryId : crypto.randomUUID(),
    query: params.get('query') ?? '',
    database: params.get('database') ?? header(message, 'x-clickhouse-database') ?? null,
    defaultFormat: format,
    placeholders,
    settings,
    acceptsGzip:
      params.get('enable_http_compression') === '1' &&
      /\bgzip\b/.test(String(message.headers['accept-encoding'] ?? '')),
  }
}

/** The body with its Content-Encoding undone. */
export function decodedBody(message: IncomingMessage): Readable {
  const encoding = header(message, 'content-encoding') ?? 'identity'
  if (encoding === 'identity') return message
  const decoder = encoding === 'gzip' ? createGunzip() : encoding === 'deflate' ? createInflate() : null
  if (decoder === null)
    throw badArgument(`Content-Encoding '${encoding.slice(0, 20)}': gzip and deflate are read`)
  message.on('error', (cause) => decoder.destroy(cause))
  message.on('close', () => {
    if (!message.complete) decoder.destroy(new Error('the request was cut short'))
  })
  return message.pipe(decoder)
}

/** The whole body as text, at most 1 MiB of it. */
export async function readQueryText(message: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let sizeBytes = 0
  for await (const chunk of decodedBody(message)) {
    sizeBytes += chunk.length
    if (sizeBytes > QUERY_SIZE_BYTES_MAX) throw tooLarge('query', QUERY_SIZE_BYTES_MAX)
    chunks.push(chunk)
  }
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: false }).decode(Buffer.concat(chunks))
  } catch (cause) {
    throw Object.assign(badArgument('query: it is not UTF-8'), { cause })
  }
}

export function tooLarge(what: string, sizeBytesMax: number): ClickHouseFault {
  return new ClickHouseFault(
    EXCEPTION_CODE.QUERY_IS_TOO_LARGE,
    `The ${what} is larger than ${sizeBytesMax} bytes. (QUERY_IS_TOO_LARGE)`,
  )
}

function badArgument(what: string): ClickHouseFault {
  return new ClickHouseFault(EXCEPTION_CODE.BAD_ARGUMENTS, `Unusable ${what}. (BAD_ARGUMENTS)`)
}

function header(message: IncomingMessage, name: string): string | undefined {
  const value = message.headers[name]
  return typeof value === 'string' ? value : undefined
}

/**
 * A query's result as a table for the terminal: `millrace query`. Rows and the width of a cell are bounded,
 * and control characters are written out: what a device sent must not steer the terminal.
 */
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { createInterface } from 'node:readline'
import { cutToWidth, textWidth } from './text-width.ts'

export interface QueryAddress {
  readonly url: string
  readonly username?: string
  readonly password?: string
}

export interface QueryTableOptions {
  readonly rowsMax?: number
  readonly cellWidthMax?: number
  readonly timeoutMs?: number
}

/** Every value as ClickHouse writes it, in a string. */
const TABLE_FORMAT = 'JSONCompactStringsEachRowWithNamesAndTypes'
const NULL_TEXT = 'ᴺᵁᴸᴸ'
const NUMERIC_TYPE = /^(Nullable\(|LowCardinality\(|SimpleAggregateFunction\(\w+, )*(U?Int|Float|Decimal)/
const RAW_SIZE_BYTES_MAX = 16 << 20

/**
 * Runs one query and lays out its result. Throws an Error of one line: no answer, or ClickHouse's exception.
 */
export async function queryTable(
  sql: string,
  address: QueryAddress,
  options: QueryTableOptions = {},
): Promise<string> {
  const startMs = performance.now()
  const message = await post(sql, address, options.timeoutMs ?? 120_000)
  try {
    if (message.statusCode !== 200) throw new Error(oneLine(await readText(message)))
    const format = message.headers['x-clickhouse-format'] ?? TABLE_FORMAT
    if (format !== TABLE_FORMAT) return await readText(message)
    const rows = await readRows(message, options.rowsMax ?? 1000)
    return `${layOut(rows, options.cellWidthMax ?? 100)}${footer(rows, performance.now() - startMs)}\n`
  } finally {
    message.destroy()
  }
}

function post(sql: string, address: QueryAddress, timeoutMs: number): Promise<IncomingMessage> {
  const url = new URL(address.url)
  url.searchParams.set('default_format', TABLE_FORMAT)
  const headers: Record<string, string> = { 'Content-Type': 'text/plain; charset=UTF-8' }
  if (address.username !== undefined) headers['X-ClickHouse-User'] = address.username
  if (address.password !== undefined) headers['X-ClickHouse-Key'] = address.password
  const request = url.protocol === 'https:' ? httpsRequest : httpRequest
  return new Promise((resolve, reject) => {
    const sent = request(url, { method: 'POST', headers, timeout: timeoutMs }, resolve)
    sent.on('timeout', () => sent.destroy(new Error('no answer in time')))
    sent.on('error', (cause: NodeJS.ErrnoException) => {
      const reason = cause.code ?? cause.message
      const advice = 'is millrace running, and is this where its store listens?'
      reject(new Error(`nothing answers at ${url.origin} (${reason}): ${advice}`, { cause }))
    })
    sent.end(sql)
  })
}

async function readText(message: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let sizeBytes = 0
  for await (const chunk of message) {
    chunks.push(chunk)
    sizeBytes += chunk.length
    if (sizeBytes > RAW_SIZE_BYTES_MAX) break
  }
  return Buffer.concat(chunks).toString('utf8')
}

function oneLine(text: string): string {
  return printable(text.trim().replaceAll(/\s*\n\s*/g, ' '))
}

interface Rows {
  readonly names: readonly string[]
  readonly types: readonly string[]
  readonly rows: readonly (readonly string[])[]
  /** There are more rows than were read. */
  readonly isCut: boolean
}

async function readRows(message: IncomingMessage, rowsMax: number): Promise<Rows> {
  const lines: string[][] = []
  let isCut = false
  for await (const line of createInterface({ input: message })) {
    if (line === '') continue
    if (line.startsWith('__exception__')) throw new Error('the query failed after its first rows')
    if (lines.length === rowsMax + 2) {
      isCut = true
      break
    }
    lines.push(JSON.parse(line))
  }
  const [names = [], types = [], ...rows] = lines
  return { names, types, rows, isCut }
}

function layOut({ names, types, rows }: Rows, cellWidthMax: number): string {
  if (names.length === 0) return ''
  const isNumeric = types.map((type) => NUMERIC_TYPE.test(type))
  const cell = (value: string): string => cutToWidth(cellText(value), cellWidthMax)
  const table = [names.map(cell), ...rows.map((row) => row.map(cell))]
  const widths = names.map((_, column) => Math.max(...table.map((row) => textWidth(row[column]))))
  const line = (row: readonly string[]): string =>
    row
      .map((text, column) => padded(text, widths[column], isNumeric[column]))
      .join('  ')
      .trimEnd()
  const rule = widths.map((width) => '─'.repeat(width)).join('  ')
  const [head, ...body] = table.map(line)
  return `${[head, rule, ...body].join('\n')}\n`
}

function padded(text: string, width: number, isRight: boolean): string {
  const blank = ' '.repeat(width - textWidth(text))
  return isRight ? blank + text : text + blank
}

function cellText(value: string): string {
  return value === NULL_TEXT ? 'NULL' : printable(value)
}

const CONTROL_NAMES: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' }

/** Control characters, and those that turn the direction of text, as escapes. */
function printable(text: string): string {
  return text.replaceAll(/[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu, (control) => {
    const code = control.charCodeAt(0).toString(16)
    return CONTROL_NAMES[control] ?? (code.length > 2 ? `\\u${code}` : `\\x${code.padStart(2, '0')}`)
  })
}

function footer({ rows, isCut }: Rows, elapsedMs: number): string {
  const count = rows.length.toLocaleString('en-US')
  const more = isCut ? ', and more: add a LIMIT, or a FORMAT to get them all' : ''
  return `${count} ${rows.length === 1 ? 'row' : 'rows'} in ${(elapsedMs / 1000).toFixed(3)} s${more}`
}

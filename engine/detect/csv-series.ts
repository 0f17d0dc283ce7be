/**
 * A series as people keep it: CSV with a header that names a time and a value. Read line by line in bounded
 * memory. Tolerated: BOM, CRLF, quotes, blank lines, further columns, a missing value (empty, NaN, null).
 * Everything else is a CsvError with the line's number. Times are ISO 8601 (UTC unless an offset says
 * otherwise) or an epoch number.
 */
import { createReadStream } from 'node:fs'
import { epochToMs, isoToMs } from '../../codecs/event-time.ts'

const TIME_NAMES = ['timestamp', 'ts', 'time', 't', 'datetime', 'date']
const VALUE_NAMES = ['value', 'v']
const MISSING = /^(?:nan|null|none|na|n\/a|\\n)?$/i
/** No line of a series is longer: a file without line ends is not one. */
const LINE_CHARS_MAX = 65_536

export class CsvError extends Error {
  readonly code = 'CSV'
}

export interface CsvReading {
  /** Both as they are written in the file. */
  timeText: string
  valueText: string
  tsMs: number
  /** NaN when it is missing. */
  value: number
}

/** The lines of a file, without their ends. */
async function* linesOf(path: string): AsyncGenerator<string> {
  let rest = ''
  for await (const chunk of createReadStream(path, { encoding: 'utf8', highWaterMark: 1 << 18 })) {
    const lines = (rest + chunk).split('\n')
    rest = lines.pop() ?? ''
    if (rest.length > LINE_CHARS_MAX) throw new CsvError(`a line is longer than ${LINE_CHARS_MAX} characters`)
    yield* lines
  }
  if (rest !== '') yield rest
}

/** The readings of a file in its order, in pieces. Throws CsvError, or what the file system says. */
export async function* readCsvSeries(path: string): AsyncGenerator<CsvReading> {
  let columns: Columns | undefined
  let lineNumber = 0
  const iso = new IsoTime()
  for await (const raw of linesOf(path)) {
    lineNumber++
    const line = (lineNumber === 1 ? raw.replace(/^\ufeff/, '') : raw).trimEnd()
    if (line === '') continue
    const fields = fieldsOf(line)
    if (columns === undefined) columns = findColumns(fields, lineNumber)
    else yield readingOf(fields, columns, lineNumber, iso)
  }
  if (columns === undefined) throw new CsvError('line 1: the file is empty')
}

interface Columns {
  time: number
  value: number
  count: number
}

function findColumns(header: string[], lineNumber: number): Columns {
  const names = header.map((name) => name.trim().toLowerCase())
  const time = names.findIndex((name) => TIME_NAMES.includes(name))
  const value = names.findIndex((name) => VALUE_NAMES.includes(name))
  if (time >= 0 && value >= 0) return { time, value, count: header.length }
  throw new CsvError(`line ${lineNumber}: the header must name the columns timestamp and value`)
}

function readingOf(fields: string[], columns: Columns, lineNumber: number, iso: IsoTime): CsvReading {
  if (fields.length !== columns.count) {
    throw new CsvError(`line ${lineNumber}: ${fields.length} fields, the header has ${columns.count}`)
  }
  const timeText = fields[columns.time].trim()
  const valueText = fields[columns.value].trim()
  const tsMs = timeOf(timeText, iso)
  if (Number.isNaN(tsMs)) {
    throw new CsvError(`line ${lineNumber}: ${JSON.stringify(timeText.slice(0, 40))} is no time`)
  }
  const value = MISSING.test(valueText) ? Number.NaN : Number(valueText)
  if (Number.isNaN(value) && !MISSING.test(valueText)) {
    throw new CsvError(`line ${lineNumber}: ${JSON.stringify(valueText.slice(0, 40))} is no number`)
  }
  return { timeText, valueText, tsMs, value }
}

function timeOf(text: string, iso: IsoTime): number {
  return /^\d+(?:\.\d+)?$/.test(text) ? epochToMs(Number(text)) : iso.toMs(text)
}

/** The engine's own reading of ISO times, over text. */
class IsoTime {
  readonly #bytes = new Uint8Array(64)
  readonly #ms = new Float64Array(1)

  toMs(text: string): number {
    if (text.length > this.#bytes.length) return Number.NaN
    const { written } = new TextEncoder().encodeInto(text, this.#bytes)
    return isoToMs(this.#bytes, 0, written, this.#ms, 0) ? this.#ms[0] : Number.NaN
  }
}

function fieldsOf(line: string): string[] {
  if (!line.includes('"')) return line.split(',')
  return [...line.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))/g)].map(([, quoted, plain]) =>
    quoted === undefined ? plain : quoted.replaceAll('""', '"'),
  )
}

/** Writes `tsMs` as the file writes its times: in the form of `sample`. */
export function timeLike(sample: string, tsMs: number): string {
  if (/^\d+(?:\.\d+)?$/.test(sample)) return epochLike(Number(sample), tsMs)
  const iso = new Date(tsMs).toISOString()
  const separator = sample[10] === ' ' ? ' ' : 'T'
  const zone = /[zZ]$|[+-]\d\d:?\d*$/.test(sample.slice(16)) ? 'Z' : ''
  return `${iso.slice(0, 10)}${separator}${iso.slice(11, tsMs % 1000 === 0 ? 19 : 23)}${zone}`
}

function epochLike(sample: number, tsMs: number): string {
  if (sample < 1e10) return String(tsMs / 1e3)
  if (sample < 1e13) return String(tsMs)
  return sample < 1e16 ? String(tsMs * 1e3) : `${tsMs}000000`
}

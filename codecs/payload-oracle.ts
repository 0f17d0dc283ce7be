/**
 * For tests: what a payload means, told from the objects that a decoder built, and random payloads. Shares no
 * code with the scanners.
 */
import type { Prng } from '../base/prng.ts'
import { ReadingColumns } from './columns.ts'
import { MetricNames } from './metric-names.ts'
import { PayloadScanner } from './payload.ts'

export interface Reading {
  name: string
  tsMs: number
  value: number | string
}

const TIME_KEYS = ['ts', 't', 'time', 'timestamp']

/** The readings of a decoded payload; `undefined` when it is none, or breaks a rule beyond the grammar. */
export function readingsOf(payload: unknown): Reading[] | undefined {
  if (!isContainer(payload)) return undefined
  const readings: Reading[] = []
  for (const object of Array.isArray(payload) ? payload : [payload]) {
    if (!isContainer(object) || Array.isArray(object)) return undefined
    const timeKey = TIME_KEYS.find((key) => Object.hasOwn(object, key))
    const time = timeKey === undefined ? null : object[timeKey]
    const tsMs = time === null ? Number.NaN : timeMs(time)
    if (tsMs === undefined) return undefined
    for (const key of Object.keys(object)) {
      if (key !== timeKey && !flatten(object[key], key, tsMs, readings, 1)) return undefined
    }
  }
  return readings
}

function isContainer(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}

function flatten(value: unknown, name: string, tsMs: number, into: Reading[], depth: number): boolean {
  if (value === null) return true
  if (isContainer(value)) {
    if (depth >= 32) return false
    return Object.keys(value).every((key) => flatten(value[key], `${name}.${key}`, tsMs, into, depth + 1))
  }
  const sizeBytes = new TextEncoder().encode(name).length
  if (sizeBytes === 0 || sizeBytes > 256) return false
  const plain = typeof value === 'string' ? value.toWellFormed() : Number(value)
  into.push({ name: name.toWellFormed(), tsMs, value: plain })
  return true
}

const ISO = /^\d{4}-\d\d-\d\d(?:[Tt ]\d\d:\d\d(?::\d\d(?:[.,]\d{1,9})?)?(?:[Zz]|[+-]\d\d(?::?\d\d)?)?)?$/

function timeMs(time: unknown): number | undefined {
  if (time instanceof Date) return time.getTime() >= 0 && time.getTime() < 1e13 ? time.getTime() : undefined
  if (typeof time === 'bigint') return timeMs(Number(time))
  if (typeof time === 'number') {
    if (!(time >= 0 && time < 1e19)) return undefined
    if (time < 1e10) return Math.round(Math.abs(time) * 1e6) / 1e3
    return time < 1e13 ? time : time < 1e16 ? time / 1e3 : Math.round(time / 1e3) / 1e3
  }
  if (typeof time !== 'string' || !ISO.test(time)) return undefined
  const ms = Date.parse(time.length > 10 && !/[Zz]|[+-]\d\d:\d\d$/.test(time.slice(11)) ? `${time}Z` : time)
  return ms >= 0 && ms < 1e13 ? ms : undefined
}

const POISON_SIZE_BYTES = 64

export interface Scan {
  /** Rows, or the error. */
  result: number
  readings: Reading[]
  shape: number
  repeatedShape: number
}

/** A scanner with columns of its own, fed from shared memory in which each payload lies between poison. */
export class PoisonedScanner {
  readonly names: MetricNames
  readonly columns = new ReadingColumns(8)
  readonly scanner: PayloadScanner
  #shared: Uint8Array = new Uint8Array(new SharedArrayBuffer(1 << 16))
  #poison = 0

  constructor(names = new MetricNames()) {
    this.names = names
    this.scanner = new PayloadScanner(names)
  }

  scan(payload: Uint8Array, hint = -1): Scan {
    const start = POISON_SIZE_BYTES
    const end = start + payload.length
    if (end + POISON_SIZE_BYTES > this.#shared.length) {
      this.#shared = new Uint8Array(new SharedArrayBuffer((end + POISON_SIZE_BYTES) * 2))
    }
    // Digits, quotes, closing braces, nothing, continuation bytes: what could complete a payload that is cut
    // off.
    const poison = [0x39, 0x22, 0x7d, 0x00, 0x80, 0xc1][this.#poison++ % 6]
    this.#shared.fill(poison, 0, end + POISON_SIZE_BYTES)
    this.#shared.set(payload, start)
    this.columns.clear()
    const result = this.scanner.scan(this.#shared, start, end, this.columns, hint)
    const { shape, repeatedShape } = this.scanner
    return { result, readings: readingsIn(this.columns, this.names), shape, repeatedShape }
  }
}

/** The rows of columns as readings. */
function readingsIn(columns: ReadingColumns, names: MetricNames): Reading[] {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  return Array.from({ length: columns.count }, (_, row) => {
    const start = columns.textStart[row]
    const sizeBytes = columns.textSize[row]
    const isText = sizeBytes >= 0
    return {
      name: names.text(columns.metric[row]),
      tsMs: columns.tsMs[row],
      value: isText ? decoder.decode(columns.text.slice(start, start + sizeBytes)) : columns.value[row],
    }
  })
}

/** Readings as lines, sorted: equal sets of bit-equal readings give equal lines. */
export function linesOf(readings: Reading[]): string[] {
  const text = (value: number | string): string => {
    if (typeof value === 'string') return JSON.stringify(value)
    return Object.is(value, -0) ? '-0' : String(value)
  }
  return readings.map(({ name, tsMs, value }) => `${name} @${text(tsMs)} = ${text(value)}`).sort()
}

const KEYS = [
  'temp',
  'hum',
  'a',
  'b',
  'a.b',
  'ts',
  't',
  'time',
  '__proto__',
  'constructor',
  'ü€',
  '7',
  '😀',
  '0',
]
const TEXTS = [
  '',
  'ok',
  'ON "now"',
  'back\\slash',
  'line\nfeed\t',
  'größe',
  '日本',
  '😀',
  '\u0000',
  '\ud800x',
  '\udc00',
]

/** A random telemetry-like value: mostly numbers, sometimes nested. */
function randomValue(prng: Prng, depth: number): unknown {
  const kind = prng.between(0, depth > 4 ? 11 : 14)
  if (kind < 3) return prng.between(-1000, 1000)
  if (kind < 6) return prng.between(-1_000_000, 1_000_000) / 10 ** prng.between(0, 6)
  if (kind === 6) return prng.normal() * 10 ** prng.between(-30, 30)
  if (kind === 7) return prng.u32() * 2 ** prng.between(0, 40)
  if (kind === 8) return prng.u32() < 2 ** 31
  if (kind === 9) return null
  if (kind < 12) return TEXTS[prng.between(0, TEXTS.length - 1)]
  if (kind === 12) return Array.from({ length: prng.between(0, 4) }, () => randomValue(prng, depth + 1))
  return randomObject(prng, depth + 1)
}

/** A random object; at the top level with a good time more often than not. */
export function randomObject(prng: Prng, depth = 0): Record<string, unknown> {
  const entries: [string, unknown][] = []
  for (let count = prng.between(0, 5); count > 0; count--) {
    const key = KEYS[prng.between(0, KEYS.length - 1)]
    const isTime = depth === 0 && TIME_KEYS.includes(key) && prng.between(0, 9) > 0
    entries.push([key, isTime ? randomTime(prng) : randomValue(prng, depth)])
  }
  return Object.fromEntries(entries)
}

function randomTime(prng: Prng): unknown {
  const ms = 1_600_000_000_000 + prng.u32() * 50
  const forms = [ms, Math.floor(ms / 1000), ms / 1000, ms * 1000, ms * 1e6, new Date(ms).toISOString(), null]
  return forms[prng.between(0, forms.length - 1)]
}

/** The bytes with one to three random changes. */
export function mutated(prng: Prng, bytes: Uint8Array): Uint8Array {
  let result = Uint8Array.from(bytes)
  for (let count = prng.between(1, 3); count > 0 && result.length > 0; count--) {
    const at = prng.between(0, result.length - 1)
    const kind = prng.between(0, 4)
    if (kind === 0) result[at] = prng.between(0, 255)
    else if (kind === 1) result = result.slice(0, at)
    else if (kind === 2) result = Uint8Array.from([...result.slice(0, at), ...result.slice(at + 1)])
    else if (kind === 3) result[at] = result[prng.between(0, result.length - 1)]
    else result = Uint8Array.from([...result.slice(0, at), ...result.slice(Math.max(0, at - 5))])
  }
  return result
}

/**
 * The bodies of the rare records between gateways and the session thread: CONNECT, SUBSCRIBE and what belongs to them. A
 * reader mirrors each writer.
 */
import { FieldReader, FieldWriter } from './fields.ts'
import type { SessionRecordFields } from './record.ts'

export interface WillMessage {
  topic: Uint8Array
  /** As a PUBLISH has them, encoded. */
  properties: Uint8Array
  payload: Uint8Array
  qos: number
  isRetain: boolean
  delayS: number
  /** NO_EXPIRY for none. */
  expiryS: number
}

export interface SessionConnect {
  clientId: string
  isClean: boolean
  /** 0: the session ends with the connection; 0xffffffff: never. */
  expiryS: number
  /** Messages of QoS 1 and 2 that the client takes unacknowledged. */
  windowMax: number
  gateway: number
  will: WillMessage | null
}

export interface SessionFilter {
  /** As the client sent it: `$share/...` for a shared one. */
  filter: string
  qos: number
  noLocal: boolean
  isRetainKept: boolean
  retainHandling: number
  /** 0 for none. */
  identifier: number
}

const OptionBit = { NO_LOCAL: 4, RETAIN_KEPT: 8 } as const
const RETAIN_HANDLING_SHIFT = 4

export function encodeConnect(connect: SessionConnect): Uint8Array {
  const out = new FieldWriter()
  out
    .text(connect.clientId)
    .u8(connect.isClean ? 1 : 0)
    .u32(connect.expiryS)
  out.u32(connect.windowMax).u32(connect.gateway)
  writeWill(out, connect.will)
  return out.finish()
}

export function decodeConnect({ bytes, bodyStart, end }: SessionRecordFields): SessionConnect {
  const from = new FieldReader(bytes, bodyStart, end)
  return {
    clientId: from.text(),
    isClean: from.u8() === 1,
    expiryS: from.u32(),
    windowMax: from.u32(),
    gateway: from.u32(),
    will: readWill(from),
  }
}

export function writeWill(out: FieldWriter, will: WillMessage | null): void {
  out.u8(will === null ? 0 : 1)
  if (will === null) return
  out.bytes(will.topic).bytes(will.properties).bytes(will.payload)
  out
    .u8(will.qos | (will.isRetain ? 4 : 0))
    .u32(will.delayS)
    .u32(will.expiryS)
}

export function readWill(from: FieldReader): WillMessage | null {
  if (from.u8() === 0) return null
  const [topic, properties, payload] = [from.bytes(), from.bytes(), from.bytes()]
  const flags = from.u8()
  return {
    topic,
    properties,
    payload,
    qos: flags & 3,
    isRetain: (flags & 4) !== 0,
    delayS: from.u32(),
    expiryS: from.u32(),
  }
}

export function encodeFilters(filters: readonly SessionFilter[]): Uint8Array {
  const out = new FieldWriter()
  for (const filter of filters) writeFilter(out, filter)
  return out.finish()
}

export function decodeFilters({ bytes, bodyStart, end }: SessionRecordFields): SessionFilter[] {
  const from = new FieldReader(bytes, bodyStart, end)
  const filters: SessionFilter[] = []
  while (!from.isAtEnd) filters.push(readFilter(from))
  return filters
}

export function writeFilter(out: FieldWriter, filter: SessionFilter): void {
  const options =
    (filter.noLocal ? OptionBit.NO_LOCAL : 0) | (filter.isRetainKept ? OptionBit.RETAIN_KEPT : 0)
  out.text(filter.filter).u8(filter.qos | options | (filter.retainHandling << RETAIN_HANDLING_SHIFT))
  out.u32(filter.identifier)
}

export function readFilter(from: FieldReader): SessionFilter {
  const filter = from.text()
  const options = from.u8()
  return {
    filter,
    qos: options & 3,
    noLocal: (options & OptionBit.NO_LOCAL) !== 0,
    isRetainKept: (options & OptionBit.RETAIN_KEPT) !== 0,
    retainHandling: options >> RETAIN_HANDLING_SHIFT,
    identifier: from.u32(),
  }
}

export function encodeTexts(texts: readonly string[]): Uint8Array {
  const out = new FieldWriter()
  for (const text of texts) out.text(text)
  return out.finish()
}

export function decodeTexts({ bytes, bodyStart, end }: SessionRecordFields): string[] {
  const from = new FieldReader(bytes, bodyStart, end)
  const texts: string[] = []
  while (!from.isAtEnd) texts.push(from.text())
  return texts
}

export function encodeNumbers(numbers: Iterable<number>): Uint8Array {
  const out = new FieldWriter()
  for (const number of numbers) out.u32(number)
  return out.finish()
}

export function decodeNumbers({ bytes, bodyStart, end }: SessionRecordFields): number[] {
  const from = new FieldReader(bytes, bodyStart, end)
  const numbers: number[] = []
  while (!from.isAtEnd) numbers.push(from.u32())
  return numbers
}

/**
 * What gateways and the session thread tell each other, as it lies in the rings between them; what gateways write is
 * journalled as it is. A record starts at a multiple of 8 bytes, and its padding is zero.
 *
 *   offset  type  field
 *        0  u32   size of the record, header included, padding not
 *        4  u8    kind
 *        5  u8    flags
 *        6  u16   packet identifier, or a reason code
 *        8  f64   number of the connection
 *       16  u32   handle of the session (0 for none); of what is delivered, the count of subscription identifiers
 *       20  u32   size of the topic
 *       24  u32   size of the properties
 *       28  u32   message expiry interval, seconds; NO_EXPIRY for none
 *       32        subscription identifiers (u32), topic, properties, payload; or fields (fields.ts)
 */
import { alignRecord, RecordKind, RecordViews } from '../journal/record.ts'

const HEADER_SIZE_BYTES = 32
export const NO_EXPIRY = 0xffffffff

export const SessionRecordKind = {
  // From a gateway.
  /** A message for kept sessions, shared subscriptions or the retained store. Without a topic: a received identifier. */
  PUBLISH: 32,
  /** A subscriber's acknowledgement; flags: AckKind. */
  ACK: 33,
  /** A publisher's PUBREL. */
  RELEASE: 34,
  CONNECT: 35,
  DISCONNECT: 36,
  SUBSCRIBE: 37,
  UNSUBSCRIBE: 38,
  /** A client without a kept session asks for retained messages. */
  RETAINED: 39,
  // Written by the session thread into its own journal.
  /** The engine has started: connections of before are lost. */
  START: 40,
  // To a gateway.
  /** A message to send; flags: as in a PUBLISH's first byte. */
  DELIVER: 48,
  /** A PUBREL to send; flags: 1 when the identifier is not known. */
  DELIVER_RELEASE: 49,
  /** A subscription of the session that is about to be resumed. */
  SUBSCRIPTION: 50,
  CONNECTED: 51,
  SUBSCRIBED: 52,
  UNSUBSCRIBED: 53,
  /** A filter of kept sessions or of a shared subscription; flags: FilterFlag. `handle` is its place in the order of all. */
  FILTER: 54,
  /** A client identifier that has a kept session, by its hash in `handle`; flags: 1 when it has one no more. */
  KNOWN: 55,
  /** Everything of before the start was told. */
  READY: 56,
  /** A will to bring to the gateways' own subscribers. */
  WILL: 57,
} as const
export type SessionRecordKind = (typeof SessionRecordKind)[keyof typeof SessionRecordKind]

export const AckKind = { PUBACK: 0, PUBREC: 1, PUBCOMP: 2, REFUSED: 3 } as const
export type AckKind = (typeof AckKind)[keyof typeof AckKind]

/** Messages of every QoS are wanted, not only of 1 and 2; the filter is gone. */
export const FilterFlag = { SHARED: 1, REMOVED: 2 } as const

/** A record to be written. */
export interface SessionRecord {
  kind: SessionRecordKind
  flags: number
  packetId: number
  number: number
  handle: number
  topicSize: number
  propertiesSize: number
  expiryS: number
  identifiers: readonly number[]
  body: Uint8Array
}

const NO_BYTES = new Uint8Array(0)
const NO_IDENTIFIERS: readonly number[] = []

export function sessionRecord(kind: SessionRecordKind, fields: Partial<SessionRecord> = {}): SessionRecord {
  return {
    kind,
    flags: fields.flags ?? 0,
    packetId: fields.packetId ?? 0,
    number: fields.number ?? 0,
    handle: fields.handle ?? 0,
    topicSize: fields.topicSize ?? 0,
    propertiesSize: fields.propertiesSize ?? 0,
    expiryS: fields.expiryS ?? NO_EXPIRY,
    identifiers: fields.identifiers ?? NO_IDENTIFIERS,
    body: fields.body ?? NO_BYTES,
  }
}

// hot: per delivery
export function sessionRecordSize(record: SessionRecord): number {
  return HEADER_SIZE_BYTES + record.identifiers.length * 4 + record.body.length
}

/** Writes at `offset` (a multiple of 8). The caller has claimed alignRecord(sessionRecordSize(record)) bytes there. */
// hot: per delivery
export function writeSessionRecord(views: RecordViews, offset: number, record: SessionRecord): void {
  const { identifiers, body } = record
  const size = sessionRecordSize(record)
  writeHeader(views, offset, size, record)
  let at = offset + HEADER_SIZE_BYTES
  for (const identifier of identifiers) {
    views.u32[at >>> 2] = identifier
    at += 4
  }
  if (body.length > 0) views.bytes.set(body, at)
}

/** The record alone, padding included. */
export function encodeSessionRecord(record: SessionRecord): Uint8Array {
  const views = new RecordViews(new ArrayBuffer(alignRecord(sessionRecordSize(record))))
  writeSessionRecord(views, 0, record)
  return views.bytes
}

/** Of a PUBLISH from a gateway. */
export function publishRecordSize(topicSize: number, contentSize: number): number {
  return HEADER_SIZE_BYTES + topicSize + contentSize
}

const publishFields = sessionRecord(SessionRecordKind.PUBLISH)

/** Topic, and properties with the payload right behind them, are ranges of their arrays. */
// hot: per message that a kept session or a shared subscription wants
export function writePublishRecord(
  views: RecordViews,
  offset: number,
  flags: number,
  packetId: number,
  number: number,
  handle: number,
  expiryS: number,
  topic: Uint8Array,
  topicStart: number,
  topicEnd: number,
  bytes: Uint8Array,
  propertiesStart: number,
  payloadStart: number,
  payloadEnd: number,
): void {
  publishFields.flags = flags
  publishFields.packetId = packetId
  publishFields.number = number
  publishFields.handle = handle
  publishFields.expiryS = expiryS
  publishFields.topicSize = topicEnd - topicStart
  publishFields.propertiesSize = payloadStart - propertiesStart
  const contentSize = payloadEnd - propertiesStart
  writeHeader(views, offset, publishRecordSize(publishFields.topicSize, contentSize), publishFields)
  const at = offset + HEADER_SIZE_BYTES
  views.bytes.set(topic.subarray(topicStart, topicEnd), at)
  views.bytes.set(bytes.subarray(propertiesStart, payloadEnd), at + publishFields.topicSize)
}

function writeHeader(views: RecordViews, offset: number, size: number, record: SessionRecord): void {
  const { bytes, u16, u32, f64 } = views
  const word = offset >>> 2
  f64[(offset + size - 1) >>> 3] = 0 // the padding lies within the last eight bytes
  u32[word] = size
  bytes[offset + 4] = record.kind
  bytes[offset + 5] = record.flags
  u16[(offset >>> 1) + 3] = record.packetId
  f64[(offset >>> 3) + 1] = record.number
  u32[word + 4] = record.handle
  u32[word + 5] = record.topicSize
  u32[word + 6] = record.propertiesSize
  u32[word + 7] = record.expiryS
}

/** Where the parts of one record are. Reused from record to record; the bytes belong to the ring or the journal. */
export class SessionRecordFields {
  bytes: Uint8Array = NO_BYTES
  kind = 0
  flags = 0
  packetId = 0
  number = 0
  handle = 0
  expiryS = 0
  bodyStart = 0
  propertiesSize = 0
  topicSize = 0
  end = 0

  /** Of what is delivered: where the topic starts, behind the identifiers. */
  get contentStart(): number {
    return this.bodyStart + this.handle * 4
  }

  /** Of what is delivered: the identifiers of the subscriptions that matched. */
  identifiers(views: RecordViews): number[] {
    const first = this.bodyStart >>> 2
    return this.handle === 0 ? [] : Array.from(views.u32.subarray(first, first + this.handle))
  }
}

/** Reads the record at `offset`; false for a pad. */
// hot: per record
export function readSessionRecord(views: RecordViews, offset: number, out: SessionRecordFields): boolean {
  const { bytes, u16, u32, f64 } = views
  const word = offset >>> 2
  out.kind = bytes[offset + 4]
  if (out.kind === RecordKind.PAD) return false
  out.bytes = bytes
  out.flags = bytes[offset + 5]
  out.packetId = u16[(offset >>> 1) + 3]
  out.number = f64[(offset >>> 3) + 1]
  out.handle = u32[word + 4]
  out.topicSize = u32[word + 5]
  out.propertiesSize = u32[word + 6]
  out.expiryS = u32[word + 7]
  out.bodyStart = offset + HEADER_SIZE_BYTES
  out.end = offset + u32[word]
  return true
}

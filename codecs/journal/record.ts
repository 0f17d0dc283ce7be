/**
 * One message as it lies in a ring and in the journal, byte for byte. Gateways write records, shards read them.
 * A record starts at a multiple of 8 bytes, is never split by a ring's end, and its padding is zero.
 *
 *   offset  type  field
 *        0  u32   size of the record, header included, padding not
 *        4  u8    kind
 *        5  u8    flags
 *        6  u16   size of the topic
 *        8  f64   arrival, ms since the epoch
 *       16  u32   hash of the device's name (base/hash.ts)
 *       20  u16   where the device's name starts in the topic
 *       22  u16   size of the device's name
 *       24  u16   packet identifier (0 with QoS 0)
 *       26  u16   stream, an index into the config's streams
 *       28  u32   hash of the client identifier, or of the WebSocket session
 *       32  f64   number of the connection, or the WebSocket frame's `seq`
 *       40        topic, then payload
 *
 * Numbers are little-endian, as the machine's; the segment header says so.
 */

export const RECORD_HEADER_SIZE_BYTES = 40
export const RECORD_ALIGNMENT_BYTES = 8

export const RecordKind = {
  /** Fills the end of a ring; only size and kind are set. */
  PAD: 0,
  MQTT_PUBLISH: 1,
  WEBSOCKET_FRAME: 2,
  /** A message of QoS 2 is released: client, connection and packet identifier, without topic and payload. */
  MQTT_PUBREL: 3,
  /** Written by shards: see codecs/journal/control.ts. */
  MARK: 16,
  CONFIRMATION: 17,
  GAP: 18,
  SKIP: 19,
  SPLIT: 20,
} as const
export type RecordKind = (typeof RecordKind)[keyof typeof RecordKind]

/** The low bits are the PUBLISH header's own: retain 1, QoS 2 and 4, DUP 8. */
export const RecordFlag = { RETAIN: 1, QOS_1: 2, QOS_2: 4, DUP: 8 } as const

/** The three ways in which one piece of memory is looked at. */
export class RecordViews {
  readonly bytes: Uint8Array
  readonly u16: Uint16Array
  readonly u32: Uint32Array
  readonly f64: Float64Array

  /** The range must start and end at a multiple of 8. */
  constructor(buffer: ArrayBufferLike, offset = 0, sizeBytes = buffer.byteLength - offset) {
    this.bytes = new Uint8Array(buffer, offset, sizeBytes)
    this.u16 = new Uint16Array(buffer, offset, sizeBytes >>> 1)
    this.u32 = new Uint32Array(buffer, offset, sizeBytes >>> 2)
    this.f64 = new Float64Array(buffer, offset, sizeBytes >>> 3)
  }
}

export function alignRecord(sizeBytes: number): number {
  return (sizeBytes + (RECORD_ALIGNMENT_BYTES - 1)) & ~(RECORD_ALIGNMENT_BYTES - 1)
}

export function messageRecordSize(topicSize: number, payloadSize: number): number {
  return RECORD_HEADER_SIZE_BYTES + topicSize + payloadSize
}

/** Where a message came from and where it goes; one object per connection, kept while its topic stays the same. */
export class MessageRoute {
  kind: RecordKind = RecordKind.MQTT_PUBLISH
  stream = 0
  shard = 0
  deviceHash = 0
  deviceStart = 0
  deviceSize = 0
  clientHash = 0
}

/**
 * Writes a message record at `offset` (a multiple of 8) of `views`. The caller has claimed
 * alignRecord(messageRecordSize(...)) bytes there. Topic and payload are ranges of `source`.
 */
// hot: per message
export function writeMessageRecord(
  views: RecordViews,
  offset: number,
  route: MessageRoute,
  flags: number,
  arrivalMs: number,
  packetId: number,
  sequence: number,
  topic: Uint8Array,
  topicStart: number,
  topicEnd: number,
  source: Uint8Array,
  payloadStart: number,
  payloadEnd: number,
): void {
  const { bytes, u16, u32, f64 } = views
  const topicSize = topicEnd - topicStart
  const size = RECORD_HEADER_SIZE_BYTES + topicSize + (payloadEnd - payloadStart)
  const word = offset >>> 2
  const half = offset >>> 1
  const long = offset >>> 3
  f64[long + ((size - 1) >>> 3)] = 0 // the padding lies within the last eight bytes
  u32[word] = size
  bytes[offset + 4] = route.kind
  bytes[offset + 5] = flags
  u16[half + 3] = topicSize
  f64[long + 1] = arrivalMs
  u32[word + 4] = route.deviceHash
  u16[half + 10] = route.deviceStart
  u16[half + 11] = route.deviceSize
  u16[half + 12] = packetId
  u16[half + 13] = route.stream
  u32[word + 7] = route.clientHash
  f64[long + 4] = sequence
  copyBytes(topic, topicStart, topicEnd, views, offset + RECORD_HEADER_SIZE_BYTES)
  copyBytes(source, payloadStart, payloadEnd, views, offset + RECORD_HEADER_SIZE_BYTES + topicSize)
}

export function writePadRecord(views: RecordViews, offset: number, sizeBytes: number): void {
  views.u32[offset >>> 2] = sizeBytes
  views.u32[(offset >>> 2) + 1] = RecordKind.PAD
}

/** Up to here the loop over words beats `set(subarray())`; from 28 to 160 bytes it takes half the time of one over bytes. */
const COPY_LOOP_SIZE_BYTES_MAX = 128

/** The source may start anywhere: words are put together from its bytes. */
// hot: per message
function copyBytes(from: Uint8Array, start: number, end: number, to: RecordViews, at: number): void {
  const { bytes, u32 } = to
  if (end - start > COPY_LOOP_SIZE_BYTES_MAX) {
    bytes.set(from.subarray(start, end), at)
    return
  }
  let i = start
  let j = at
  for (; (j & 3) !== 0 && i < end; i++, j++) bytes[j] = from[i]
  let word = j >>> 2
  for (const last = end - 3; i < last; i += 4, word++) {
    u32[word] = from[i] | (from[i + 1] << 8) | (from[i + 2] << 16) | (from[i + 3] << 24)
  }
  for (j = word << 2; i < end; i++, j++) bytes[j] = from[i]
}

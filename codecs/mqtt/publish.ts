/**
 * PUBLISH by offsets: read from a client, written to a subscriber. Owner: the gateway's thread.
 * Invariant: no offset given out lies outside the body.
 */
import { assert } from '../../base/assert.ts'
import { type ProtocolVersion, type Qos, ReasonCode } from './packet.ts'
import { PropertyId, PropertyPlace, PropertyScan, scanProperties, u16At, u32At } from './properties.ts'
import { readVarint, VARINT_MAX, varintSize, writeVarint } from './varint.ts'

/** Where the parts of one PUBLISH are. Reused from packet to packet. */
export class PublishFields {
  qos = 0
  isDup = false
  isRetain = false
  topicStart = 0
  topicEnd = 0
  /** 0 with QoS 0. */
  packetId = 0
  payloadStart = 0
  payloadEnd = 0
  /** The encoded properties, without the length before them; empty when there are none. */
  propertiesStart = 0
  propertiesEnd = 0
  /** 0 when there is none. Whether it is within the maximum is the caller's to check. */
  topicAlias = 0
  /** -1 when there is none. */
  messageExpiryIntervalS = -1
}

const scan = new PropertyScan()

/**
 * Reads the PUBLISH that a client sent, in bytes[bodyStart, bodyEnd). Returns 0 or a ReasonCode; `out` is
 * then undefined. The topic's characters are not looked at: see `isTopicNameValid`.
 */
// hot: per message
export function readPublish(
  bytes: Uint8Array,
  header: number,
  bodyStart: number,
  bodyEnd: number,
  version: ProtocolVersion,
  out: PublishFields,
): number {
  const qos = (header >> 1) & 3
  const isDup = (header & 8) !== 0
  if (qos === 3 || (isDup && qos === 0)) return ReasonCode.MALFORMED_PACKET
  const topicStart = bodyStart + 2
  if (topicStart > bodyEnd) return ReasonCode.MALFORMED_PACKET
  const topicEnd = topicStart + ((bytes[bodyStart] << 8) | bytes[bodyStart + 1])
  let offset = topicEnd + (qos === 0 ? 0 : 2)
  if (offset > bodyEnd) return ReasonCode.MALFORMED_PACKET
  let packetId = 0
  if (qos !== 0) {
    packetId = (bytes[topicEnd] << 8) | bytes[topicEnd + 1]
    if (packetId === 0) return ReasonCode.PROTOCOL_ERROR
  }
  out.qos = qos
  out.isDup = isDup
  out.isRetain = (header & 1) !== 0
  out.topicStart = topicStart
  out.topicEnd = topicEnd
  out.packetId = packetId
  out.payloadEnd = bodyEnd
  out.topicAlias = 0
  out.messageExpiryIntervalS = -1
  if (version === 5) {
    const propertiesSize = readVarint(bytes, offset, bodyEnd)
    if (propertiesSize < 0) return ReasonCode.MALFORMED_PACKET
    offset += varintSize(propertiesSize)
    out.propertiesStart = offset
    offset += propertiesSize
    if (offset > bodyEnd) return ReasonCode.MALFORMED_PACKET
    out.propertiesEnd = offset
    if (propertiesSize > 0) {
      const fault = readPublishProperties(bytes, out)
      if (fault !== 0) return fault
    }
  } else {
    out.propertiesStart = offset
    out.propertiesEnd = offset
  }
  out.payloadStart = offset
  return topicEnd === topicStart && out.topicAlias === 0 ? ReasonCode.PROTOCOL_ERROR : 0
}

// hot: per message (that carries properties)
function readPublishProperties(bytes: Uint8Array, out: PublishFields): number {
  const fault = scanProperties(bytes, out.propertiesStart, out.propertiesEnd, PropertyPlace.PUBLISH, scan)
  if (fault !== 0) return fault
  // Only a server puts subscription identifiers into a PUBLISH ([MQTT-3.3.4-6]).
  if (scan.has(PropertyId.SUBSCRIPTION_IDENTIFIER)) return ReasonCode.PROTOCOL_ERROR
  const { valueAt } = scan
  if (scan.has(PropertyId.TOPIC_ALIAS)) out.topicAlias = u16At(bytes, valueAt[PropertyId.TOPIC_ALIAS])
  if (scan.has(PropertyId.MESSAGE_EXPIRY_INTERVAL)) {
    out.messageExpiryIntervalS = u32At(bytes, valueAt[PropertyId.MESSAGE_EXPIRY_INTERVAL])
  }
  return 0
}

/** The first byte of a PUBLISH. */
export function publishHeader(qos: Qos, isDup: boolean, isRetain: boolean): number {
  return 0x30 | (isDup ? 8 : 0) | (qos << 1) | (isRetain ? 1 : 0)
}

function publishBodySize(
  version: ProtocolVersion,
  qos: number,
  topicSizeBytes: number,
  propertiesSizeBytes: number,
  payloadSizeBytes: number,
): number {
  const prefixSize = version === 5 ? varintSize(propertiesSizeBytes) + propertiesSizeBytes : 0
  return 2 + topicSizeBytes + (qos === 0 ? 0 : 2) + prefixSize + payloadSizeBytes
}

/** Size in bytes of the whole packet that `writePublish` writes. Under 3.1.1 properties are left out. */
// hot: per message
export function publishSize(
  version: ProtocolVersion,
  qos: number,
  topicSizeBytes: number,
  propertiesSizeBytes: number,
  payloadSizeBytes: number,
): number {
  const bodySize = publishBodySize(version, qos, topicSizeBytes, propertiesSizeBytes, payloadSizeBytes)
  return 1 + varintSize(bodySize) + bodySize
}

/**
 * Writes a whole PUBLISH at `offset` and returns the offset after it. `header` is `publishHeader`'s;
 * `properties` are encoded, without the length before them (under 3.1.1 they are left out). `out` must have
 * room for `publishSize`.
 */
// hot: per message
export function writePublish(
  out: Uint8Array,
  offset: number,
  version: ProtocolVersion,
  header: number,
  packetId: number,
  topic: Uint8Array,
  topicStart: number,
  topicEnd: number,
  properties: Uint8Array,
  propertiesStart: number,
  propertiesEnd: number,
  payload: Uint8Array,
  payloadStart: number,
  payloadEnd: number,
): number {
  const qos = (header >> 1) & 3
  const topicSize = topicEnd - topicStart
  const propertiesSize = version === 5 ? propertiesEnd - propertiesStart : 0
  const bodySize = publishBodySize(version, qos, topicSize, propertiesSize, payloadEnd - payloadStart)
  assert(topicSize <= 0xffff && bodySize <= VARINT_MAX, 'a PUBLISH must fit its length fields')
  out[offset] = header
  let at = writeVarint(out, offset + 1, bodySize)
  const end = at + bodySize
  assert(end <= out.length, 'a PUBLISH must fit its buffer')
  out[at] = topicSize >> 8
  out[at + 1] = topicSize
  at = copyBytes(out, at + 2, topic, topicStart, topicEnd)
  if (qos !== 0) {
    assert(packetId > 0 && packetId <= 0xffff, 'QoS 1 and 2 need a packet identifier')
    out[at] = packetId >> 8
    out[at + 1] = packetId
    at += 2
  }
  if (version === 5) {
    at = writeVarint(out, at, propertiesSize)
    at = copyBytes(out, at, properties, propertiesStart, propertiesEnd)
  }
  at = copyBytes(out, at, payload, payloadStart, payloadEnd)
  assert(at === end, 'a PUBLISH is as long as it says')
  return at
}

/**
 * Up to this size a loop (0.8 ns a byte) is cheaper than a subarray (27 ns); bench/framing.ts,
 * `writePublish`.
 */
const COPY_LOOP_SIZE_MAX = 32

// hot: per message
function copyBytes(out: Uint8Array, at: number, from: Uint8Array, start: number, end: number): number {
  if (end - start > COPY_LOOP_SIZE_MAX) {
    out.set(from.subarray(start, end), at)
    return at + end - start
  }
  for (; start < end; start++, at++) out[at] = from[start]
  return at
}

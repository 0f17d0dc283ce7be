/**
 * PUBACK, PUBREC, PUBREL and PUBCOMP: read by offsets, written into a shared buffer. Owner: the gateway's
 * thread.
 */
import { assert } from '../../base/assert.ts'
import { PacketType, type ProtocolVersion, ReasonCode } from './packet.ts'
import { PropertyPlace, PropertyScan, scanProperties } from './properties.ts'
import { readVarint, varintSize } from './varint.ts'

/** Reused from packet to packet. */
export class AckFields {
  packetId = 0
  reasonCode = 0
}

/** The four types that share this layout. */
export type AckType =
  | typeof PacketType.PUBACK
  | typeof PacketType.PUBREC
  | typeof PacketType.PUBREL
  | typeof PacketType.PUBCOMP

const scan = new PropertyScan()

/** Reads an acknowledgement of that type in bytes[bodyStart, bodyEnd). Returns 0 or a ReasonCode. */
// hot: per message
export function readAck(
  bytes: Uint8Array,
  bodyStart: number,
  bodyEnd: number,
  version: ProtocolVersion,
  out: AckFields,
  type: AckType = PacketType.PUBACK,
): number {
  const size = bodyEnd - bodyStart
  if (size < 2 || (version === 4 && size !== 2)) return ReasonCode.MALFORMED_PACKET
  out.packetId = (bytes[bodyStart] << 8) | bytes[bodyStart + 1]
  out.reasonCode = 0
  if (out.packetId === 0) return ReasonCode.PROTOCOL_ERROR
  if (size === 2) return 0
  out.reasonCode = bytes[bodyStart + 2]
  if (!isAckReasonValid(type, out.reasonCode)) return ReasonCode.MALFORMED_PACKET
  if (size === 3) return 0
  const propertiesSize = readVarint(bytes, bodyStart + 3, bodyEnd)
  if (propertiesSize < 0) return ReasonCode.MALFORMED_PACKET
  const start = bodyStart + 3 + varintSize(propertiesSize)
  if (start + propertiesSize !== bodyEnd) return ReasonCode.MALFORMED_PACKET
  return scanProperties(bytes, start, bodyEnd, PropertyPlace.ACK, scan)
}

/** The reason codes of sections 3.4.2.1, 3.5.2.1, 3.6.2.1 and 3.7.2.1 of MQTT 5. */
function isAckReasonValid(type: AckType, reasonCode: number): boolean {
  if (reasonCode === ReasonCode.SUCCESS) return true
  if (type === PacketType.PUBREL || type === PacketType.PUBCOMP) {
    return reasonCode === ReasonCode.PACKET_IDENTIFIER_NOT_FOUND
  }
  switch (reasonCode) {
    case ReasonCode.NO_MATCHING_SUBSCRIBERS:
    case ReasonCode.UNSPECIFIED_ERROR:
    case ReasonCode.IMPLEMENTATION_SPECIFIC_ERROR:
    case ReasonCode.NOT_AUTHORIZED:
    case ReasonCode.TOPIC_NAME_INVALID:
    case ReasonCode.PACKET_IDENTIFIER_IN_USE:
    case ReasonCode.QUOTA_EXCEEDED:
    case ReasonCode.PAYLOAD_FORMAT_INVALID:
      return true
    default:
      return false
  }
}

/** Size in bytes of the longest acknowledgement that is written here. */
export const ACK_SIZE_BYTES_MAX = 5

/** Writes a successful PUBACK (4 bytes, both versions) at `offset` and returns the offset after it. */
// hot: per message
export function writePuback(out: Uint8Array, offset: number, packetId: number): number {
  out[offset] = PacketType.PUBACK << 4
  out[offset + 1] = 2
  out[offset + 2] = packetId >> 8
  out[offset + 3] = packetId
  return offset + 4
}

/**
 * Writes an acknowledgement of any of the four types and returns the offset after it: 4 bytes, or 5 where
 * version 5 has a reason other than success to give. 3.1.1 cannot say why, so there it is always 4.
 */
// hot: per message
export function writeAck(
  out: Uint8Array,
  offset: number,
  type: AckType,
  packetId: number,
  reasonCode: number,
  version: ProtocolVersion,
): number {
  assert(packetId > 0 && packetId <= 0xffff, 'an acknowledgement needs a packet identifier')
  const hasReason = version === 5 && reasonCode !== ReasonCode.SUCCESS
  out[offset] = (type << 4) | (type === PacketType.PUBREL ? 2 : 0)
  out[offset + 1] = hasReason ? 3 : 2
  out[offset + 2] = packetId >> 8
  out[offset + 3] = packetId
  if (!hasReason) return offset + 4
  out[offset + 4] = reasonCode
  return offset + 5
}

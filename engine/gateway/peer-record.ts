/**
 * A message to deliver, as it lies in a ring between two gateways. The sender writes it, the receiver reads
 * it.
 *
 *   offset  type  field
 *        0  u32   size of the record, as the ring wants it
 *        4  u8    kind, as the ring wants it
 *        5  u8    QoS and retain, as in a PUBLISH's first byte; 8 when the message expires
 *        6  u16   size of the topic
 *        8  u32   size of the properties
 *       12  u32   message expiry interval, seconds
 *       16        topic, properties, payload
 */
import { RecordKind, type RecordViews } from '../../codecs/journal/record.ts'
import type { Message } from './delivery.ts'

const HEADER_SIZE_BYTES = 16
const EXPIRES = 8

export function peerRecordSize(message: Message): number {
  const topicSize = message.topicEnd - message.topicStart
  return HEADER_SIZE_BYTES + topicSize + message.payloadEnd - message.propertiesStart
}

// hot: per message that another gateway's clients subscribe to
export function writePeerRecord(views: RecordViews, offset: number, message: Message): void {
  const { bytes, u16, u32 } = views
  const topicSize = message.topicEnd - message.topicStart
  u32[offset >>> 2] = peerRecordSize(message)
  bytes[offset + 4] = RecordKind.MQTT_PUBLISH
  const isExpiring = message.messageExpiryIntervalS >= 0
  bytes[offset + 5] = (message.qos << 1) | (message.isRetain ? 1 : 0) | (isExpiring ? EXPIRES : 0)
  u16[(offset >>> 1) + 3] = topicSize
  u32[(offset >>> 2) + 2] = message.payloadStart - message.propertiesStart
  u32[(offset >>> 2) + 3] = message.messageExpiryIntervalS
  const topicAt = offset + HEADER_SIZE_BYTES
  bytes.set(message.topic.subarray(message.topicStart, message.topicEnd), topicAt)
  bytes.set(message.bytes.subarray(message.propertiesStart, message.payloadEnd), topicAt + topicSize)
}

/** Reads the record at `offset` into `out`, which then points into the ring. False for a pad. */
// hot: per message of another gateway
export function readPeerRecord(views: RecordViews, offset: number, out: Message): boolean {
  const { bytes, u16, u32 } = views
  if (bytes[offset + 4] === RecordKind.PAD) return false
  out.topic = bytes
  out.bytes = bytes
  out.qos = (bytes[offset + 5] >> 1) & 3
  out.isRetain = (bytes[offset + 5] & 1) !== 0
  out.topicStart = offset + HEADER_SIZE_BYTES
  out.topicEnd = out.topicStart + u16[(offset >>> 1) + 3]
  out.propertiesStart = out.topicEnd
  out.payloadStart = out.propertiesStart + u32[(offset >>> 2) + 2]
  out.payloadEnd = offset + u32[offset >>> 2]
  out.messageExpiryIntervalS = (bytes[offset + 5] & EXPIRES) === 0 ? -1 : u32[(offset >>> 2) + 3]
  return true
}

/** A message that sessions wait for, or that is retained: once in memory, however many want it. */

import type { WillMessage } from '../../codecs/session/messages.ts'
import { NO_EXPIRY, type SessionRecordFields } from '../../codecs/session/record.ts'

export const NEVER_MS = Number.POSITIVE_INFINITY

export interface StoredMessage {
  /** Topic, properties as the publisher encoded them, payload. Never changed. */
  readonly bytes: Uint8Array
  readonly topicSize: number
  readonly propertiesSize: number
  readonly qos: number
  /** As it was published. */
  readonly isRetain: boolean
  readonly expiresAtMs: number
  /** Queues that hold it. */
  references: number
}

/** Of the record of a PUBLISH, which is copied. */
export function messageOf(record: SessionRecordFields, nowMs: number): StoredMessage {
  return {
    bytes: record.bytes.slice(record.bodyStart, record.end),
    topicSize: record.topicSize,
    propertiesSize: record.propertiesSize,
    qos: (record.flags >> 1) & 3,
    isRetain: (record.flags & 1) !== 0,
    expiresAtMs: expiryMs(record.expiryS, nowMs),
    references: 0,
  }
}

export function messageOfWill(will: WillMessage, nowMs: number): StoredMessage {
  const { topic, properties, payload } = will
  const bytes = new Uint8Array(topic.length + properties.length + payload.length)
  bytes.set(topic)
  bytes.set(properties, topic.length)
  bytes.set(payload, topic.length + properties.length)
  return {
    bytes,
    topicSize: topic.length,
    propertiesSize: properties.length,
    qos: will.qos,
    isRetain: will.isRetain,
    expiresAtMs: expiryMs(will.expiryS, nowMs),
    references: 0,
  }
}

export function topicOf({ bytes, topicSize }: StoredMessage): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, topicSize).toString()
}

export function payloadSizeOf({ bytes, topicSize, propertiesSize }: StoredMessage): number {
  return bytes.length - topicSize - propertiesSize
}

/** What is left of its expiry interval, seconds; NO_EXPIRY for none. At least 1 of one that is not expired. */
export function remainingExpiryS({ expiresAtMs }: StoredMessage, nowMs: number): number {
  if (expiresAtMs === NEVER_MS) return NO_EXPIRY
  return Math.max(0, Math.ceil((expiresAtMs - nowMs) / 1000))
}

function expiryMs(expiryS: number, nowMs: number): number {
  return expiryS === NO_EXPIRY ? NEVER_MS : nowMs + expiryS * 1000
}

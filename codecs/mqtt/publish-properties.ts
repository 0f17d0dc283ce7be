/**
 * The properties of a PUBLISH on their way from its publisher to a subscriber. Owner: the gateway's thread.
 * The functions write encoded properties, without the length before them, as `writePublish` takes them.
 */
import { assert } from '../../base/assert.ts'
import { kindOf, PropertyId, valueSize } from './properties.ts'
import { writeVarint } from './varint.ts'

/** Size in bytes of the longest subscription identifier, with the byte that says what it is. */
export const SUBSCRIPTION_IDENTIFIER_SIZE_BYTES_MAX = 5

/**
 * Copies what a server forwards unaltered and in order (section 3.3.2.3) from bytes[start, end), as
 * `readPublish` has accepted it: all but the topic alias, which is the publisher's own ([MQTT-3.3.2-9]), and
 * the message expiry interval, of which the rest is forwarded (`writeMessageExpiry`). Returns the offset after
 * the last byte; writes at most end - start bytes.
 */
// hot: per message (that carries properties)
export function writeForwardedProperties(
  out: Uint8Array,
  at: number,
  bytes: Uint8Array,
  start: number,
  end: number,
): number {
  let offset = start
  while (offset < end) {
    const id = bytes[offset]
    const size = valueSize(bytes, offset + 1, end, kindOf[id])
    assert(size > 0, 'properties are checked before they are forwarded')
    const next = offset + 1 + size
    if (id !== PropertyId.TOPIC_ALIAS && id !== PropertyId.MESSAGE_EXPIRY_INTERVAL) {
      for (let i = offset; i < next; i++, at++) out[at] = bytes[i]
    }
    offset = next
  }
  return at
}

/** Where in what `writeMessageExpiry` writes the seconds begin. */
export const MESSAGE_EXPIRY_VALUE_OFFSET = 1

/** Writes the time that is left of a message ([MQTT-3.3.2-6]), 5 bytes, and returns the offset after it. */
export function writeMessageExpiry(out: Uint8Array, at: number, leftS: number): number {
  out[at] = PropertyId.MESSAGE_EXPIRY_INTERVAL
  writeU32(out, at + MESSAGE_EXPIRY_VALUE_OFFSET, leftS)
  return at + 5
}

export function writeU32(out: Uint8Array, at: number, value: number): void {
  out[at] = value >>> 24
  out[at + 1] = value >>> 16
  out[at + 2] = value >>> 8
  out[at + 3] = value
}

/** Writes the alias of the topic, 3 bytes, and returns the offset after it. */
export function writeTopicAlias(out: Uint8Array, at: number, alias: number): number {
  out[at] = PropertyId.TOPIC_ALIAS
  out[at + 1] = alias >> 8
  out[at + 2] = alias
  return at + 3
}

/** Writes the identifier of a subscription that matched, and returns the offset after it. */
// hot: per message
export function writeSubscriptionIdentifier(out: Uint8Array, at: number, identifier: number): number {
  assert(identifier > 0, 'subscription identifiers begin at 1')
  out[at] = PropertyId.SUBSCRIPTION_IDENTIFIER
  return writeVarint(out, at + 1, identifier)
}

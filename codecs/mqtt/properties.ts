/**
 * The properties of MQTT 5 (section 2.2.2): one table says what each is and where it may stand.
 * `scanProperties` checks them by offsets, for hot and rare packets alike; the objects of rare packets are
 * read from what it has checked.
 */
import { PacketType, ReasonCode } from './packet.ts'
import { isTextValid } from './text.ts'
import { isTopicNameValid } from './topic.ts'
import { readVarint, varintSize } from './varint.ts'

export const PropertyId = {
  PAYLOAD_FORMAT_INDICATOR: 0x01,
  MESSAGE_EXPIRY_INTERVAL: 0x02,
  CONTENT_TYPE: 0x03,
  RESPONSE_TOPIC: 0x08,
  CORRELATION_DATA: 0x09,
  SUBSCRIPTION_IDENTIFIER: 0x0b,
  SESSION_EXPIRY_INTERVAL: 0x11,
  ASSIGNED_CLIENT_IDENTIFIER: 0x12,
  SERVER_KEEP_ALIVE: 0x13,
  AUTHENTICATION_METHOD: 0x15,
  AUTHENTICATION_DATA: 0x16,
  REQUEST_PROBLEM_INFORMATION: 0x17,
  WILL_DELAY_INTERVAL: 0x18,
  REQUEST_RESPONSE_INFORMATION: 0x19,
  RESPONSE_INFORMATION: 0x1a,
  SERVER_REFERENCE: 0x1c,
  REASON_STRING: 0x1f,
  RECEIVE_MAXIMUM: 0x21,
  TOPIC_ALIAS_MAXIMUM: 0x22,
  TOPIC_ALIAS: 0x23,
  MAXIMUM_QOS: 0x24,
  RETAIN_AVAILABLE: 0x25,
  USER_PROPERTY: 0x26,
  MAXIMUM_PACKET_SIZE: 0x27,
  WILDCARD_SUBSCRIPTION_AVAILABLE: 0x28,
  SUBSCRIPTION_IDENTIFIERS_AVAILABLE: 0x29,
  SHARED_SUBSCRIPTION_AVAILABLE: 0x2a,
} as const

const ID_COUNT = 0x2b

/** How a value is laid out and, for numbers, what it may be. BIT is one byte, 0 or 1; POSITIVE excludes 0. */
export const PropertyKind = {
  NONE: 0,
  BIT: 1,
  U16: 2,
  U16_POSITIVE: 3,
  U32: 4,
  U32_POSITIVE: 5,
  VARINT_POSITIVE: 6,
  TEXT: 7,
  TOPIC: 8,
  BINARY: 9,
  PAIR: 10,
} as const

/** Where properties stand: in a packet as a client sends it, or in a will. A bit each. */
export const PropertyPlace = {
  WILL: 1,
  CONNECT: 1 << PacketType.CONNECT,
  CONNACK: 1 << PacketType.CONNACK,
  PUBLISH: 1 << PacketType.PUBLISH,
  ACK: 1 << PacketType.PUBACK,
  SUBSCRIBE: 1 << PacketType.SUBSCRIBE,
  SUBACK: 1 << PacketType.SUBACK,
  UNSUBSCRIBE: 1 << PacketType.UNSUBSCRIBE,
  DISCONNECT: 1 << PacketType.DISCONNECT,
  AUTH: 1 << PacketType.AUTH,
} as const

export const kindOf = new Uint8Array(ID_COUNT)
const placesOf = new Uint16Array(ID_COUNT)

function declare(id: number, kind: number, ...places: number[]): void {
  kindOf[id] = kind
  placesOf[id] = places.reduce((all, place) => all | place, 0)
}

const { WILL, CONNECT, CONNACK, PUBLISH, ACK, SUBSCRIBE, SUBACK, UNSUBSCRIBE, DISCONNECT, AUTH } =
  PropertyPlace
declare(PropertyId.PAYLOAD_FORMAT_INDICATOR, PropertyKind.BIT, PUBLISH, WILL)
declare(PropertyId.MESSAGE_EXPIRY_INTERVAL, PropertyKind.U32, PUBLISH, WILL)
declare(PropertyId.CONTENT_TYPE, PropertyKind.TEXT, PUBLISH, WILL)
declare(PropertyId.RESPONSE_TOPIC, PropertyKind.TOPIC, PUBLISH, WILL)
declare(PropertyId.CORRELATION_DATA, PropertyKind.BINARY, PUBLISH, WILL)
declare(PropertyId.SUBSCRIPTION_IDENTIFIER, PropertyKind.VARINT_POSITIVE, PUBLISH, SUBSCRIBE)
declare(PropertyId.SESSION_EXPIRY_INTERVAL, PropertyKind.U32, CONNECT, CONNACK, DISCONNECT)
declare(PropertyId.ASSIGNED_CLIENT_IDENTIFIER, PropertyKind.TEXT, CONNACK)
declare(PropertyId.SERVER_KEEP_ALIVE, PropertyKind.U16, CONNACK)
declare(PropertyId.AUTHENTICATION_METHOD, PropertyKind.TEXT, CONNECT, CONNACK, AUTH)
declare(PropertyId.AUTHENTICATION_DATA, PropertyKind.BINARY, CONNECT, CONNACK, AUTH)
declare(PropertyId.REQUEST_PROBLEM_INFORMATION, PropertyKind.BIT, CONNECT)
declare(PropertyId.WILL_DELAY_INTERVAL, PropertyKind.U32, WILL)
declare(PropertyId.REQUEST_RESPONSE_INFORMATION, PropertyKind.BIT, CONNECT)
declare(PropertyId.RESPONSE_INFORMATION, PropertyKind.TEXT, CONNACK)
declare(PropertyId.SERVER_REFERENCE, PropertyKind.TEXT, CONNACK, DISCONNECT)
declare(PropertyId.REASON_STRING, PropertyKind.TEXT, CONNACK, ACK, SUBACK, DISCONNECT, AUTH)
declare(PropertyId.RECEIVE_MAXIMUM, PropertyKind.U16_POSITIVE, CONNECT, CONNACK)
declare(PropertyId.TOPIC_ALIAS_MAXIMUM, PropertyKind.U16, CONNECT, CONNACK)
declare(PropertyId.TOPIC_ALIAS, PropertyKind.U16_POSITIVE, PUBLISH)
declare(PropertyId.MAXIMUM_QOS, PropertyKind.BIT, CONNACK)
declare(PropertyId.RETAIN_AVAILABLE, PropertyKind.BIT, CONNACK)
declare(
  PropertyId.USER_PROPERTY,
  PropertyKind.PAIR,
  ...[WILL, CONNECT, CONNACK, PUBLISH, ACK, SUBSCRIBE, SUBACK, UNSUBSCRIBE, DISCONNECT, AUTH],
)
declare(PropertyId.MAXIMUM_PACKET_SIZE, PropertyKind.U32_POSITIVE, CONNECT, CONNACK)
declare(PropertyId.WILDCARD_SUBSCRIPTION_AVAILABLE, PropertyKind.BIT, CONNACK)
declare(PropertyId.SUBSCRIPTION_IDENTIFIERS_AVAILABLE, PropertyKind.BIT, CONNACK)
declare(PropertyId.SHARED_SUBSCRIPTION_AVAILABLE, PropertyKind.BIT, CONNACK)

/** Whether the property may stand in that place. */
export function isPropertyAllowed(id: number, place: number): boolean {
  return (placesOf[id] & place) !== 0
}

/** Where a scan found each property that is present. Reused from packet to packet. */
export class PropertyScan {
  /** Offset of the value, by property; meaningful where `has` says so. Of user properties, the last. */
  readonly valueAt: Int32Array = new Int32Array(ID_COUNT)
  seenLow = 0
  seenHigh = 0

  has(id: number): boolean {
    return id < 32 ? (this.seenLow & (1 << id)) !== 0 : (this.seenHigh & (1 << (id - 32))) !== 0
  }
}

/**
 * Checks the properties in bytes[start, end) (without the length before them): known, allowed in `place`,
 * each at most once but user properties, values whole and in range. Returns 0 or a ReasonCode.
 */
// hot: per message (that carries properties)
export function scanProperties(
  bytes: Uint8Array,
  start: number,
  end: number,
  place: number,
  scan: PropertyScan,
): number {
  scan.seenLow = 0
  scan.seenHigh = 0
  let offset = start
  while (offset < end) {
    const id = bytes[offset++]
    if (id >= ID_COUNT || (placesOf[id] & place) === 0) return ReasonCode.MALFORMED_PACKET
    if (id !== PropertyId.USER_PROPERTY && scan.has(id)) return ReasonCode.PROTOCOL_ERROR
    if (id < 32) scan.seenLow |= 1 << id
    else scan.seenHigh |= 1 << (id - 32)
    scan.valueAt[id] = offset
    const size = valueSize(bytes, offset, end, kindOf[id])
    if (size < 0) return -size
    offset += size
  }
  return 0
}

/** Size in bytes of the value at `offset`, or the negated ReasonCode of what is wrong with it. */
// hot: per message
export function valueSize(bytes: Uint8Array, offset: number, end: number, kind: number): number {
  const left = end - offset
  switch (kind) {
    case PropertyKind.BIT:
      if (left < 1) return -ReasonCode.MALFORMED_PACKET
      return bytes[offset] > 1 ? -ReasonCode.PROTOCOL_ERROR : 1
    case PropertyKind.U16:
    case PropertyKind.U16_POSITIVE:
      if (left < 2) return -ReasonCode.MALFORMED_PACKET
      return kind === PropertyKind.U16_POSITIVE && u16At(bytes, offset) === 0 ? -ReasonCode.PROTOCOL_ERROR : 2
    case PropertyKind.U32:
    case PropertyKind.U32_POSITIVE:
      if (left < 4) return -ReasonCode.MALFORMED_PACKET
      return kind === PropertyKind.U32_POSITIVE && u32At(bytes, offset) === 0 ? -ReasonCode.PROTOCOL_ERROR : 4
    case PropertyKind.VARINT_POSITIVE: {
      const value = readVarint(bytes, offset, end)
      if (value < 0) return -ReasonCode.MALFORMED_PACKET
      return value === 0 ? -ReasonCode.PROTOCOL_ERROR : varintSize(value)
    }
    case PropertyKind.PAIR: {
      const nameSize = valueSize(bytes, offset, end, PropertyKind.TEXT)
      if (nameSize < 0) return nameSize
      const textSize = valueSize(bytes, offset + nameSize, end, PropertyKind.TEXT)
      return textSize < 0 ? textSize : nameSize + textSize
    }
    default:
      return stringSize(bytes, offset, end, kind)
  }
}

function stringSize(bytes: Uint8Array, offset: number, end: number, kind: number): number {
  if (end - offset < 2) return -ReasonCode.MALFORMED_PACKET
  const start = offset + 2
  const stop = start + u16At(bytes, offset)
  if (stop > end) return -ReasonCode.MALFORMED_PACKET
  if (kind !== PropertyKind.BINARY && !isTextValid(bytes, start, stop)) return -ReasonCode.MALFORMED_PACKET
  // A response topic has no wildcards ([MQTT-3.3.2-14]) and, as a topic name, is not empty ([MQTT-4.7.3-1]).
  if (kind === PropertyKind.TOPIC && !isTopicNameValid(bytes, start, stop)) return -ReasonCode.PROTOCOL_ERROR
  return stop - offset
}

export function u16At(bytes: Uint8Array, offset: number): number {
  return (bytes[offset] << 8) | bytes[offset + 1]
}

export function u32At(bytes: Uint8Array, offset: number): number {
  return u16At(bytes, offset) * 0x1_0000 + u16At(bytes, offset + 2)
}

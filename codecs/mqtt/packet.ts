/**
 * What every MQTT packet shares: types, reason codes, versions, the fixed header's flags, the error of rare
 * packets. MQTT 3.1.1 and 5.0 (OASIS). Reason codes carry the names of MQTT 5; 3.1.1 answers are mapped where
 * they are encoded.
 */

export const PacketType = {
  CONNECT: 1,
  CONNACK: 2,
  PUBLISH: 3,
  PUBACK: 4,
  PUBREC: 5,
  PUBREL: 6,
  PUBCOMP: 7,
  SUBSCRIBE: 8,
  SUBACK: 9,
  UNSUBSCRIBE: 10,
  UNSUBACK: 11,
  PINGREQ: 12,
  PINGRESP: 13,
  DISCONNECT: 14,
  AUTH: 15,
} as const
export type PacketType = (typeof PacketType)[keyof typeof PacketType]

export const ReasonCode = {
  SUCCESS: 0x00,
  GRANTED_QOS_1: 0x01,
  GRANTED_QOS_2: 0x02,
  DISCONNECT_WITH_WILL_MESSAGE: 0x04,
  NO_MATCHING_SUBSCRIBERS: 0x10,
  NO_SUBSCRIPTION_EXISTED: 0x11,
  CONTINUE_AUTHENTICATION: 0x18,
  RE_AUTHENTICATE: 0x19,
  UNSPECIFIED_ERROR: 0x80,
  MALFORMED_PACKET: 0x81,
  PROTOCOL_ERROR: 0x82,
  IMPLEMENTATION_SPECIFIC_ERROR: 0x83,
  UNSUPPORTED_PROTOCOL_VERSION: 0x84,
  CLIENT_IDENTIFIER_NOT_VALID: 0x85,
  BAD_USER_NAME_OR_PASSWORD: 0x86,
  NOT_AUTHORIZED: 0x87,
  SERVER_UNAVAILABLE: 0x88,
  SERVER_BUSY: 0x89,
  BANNED: 0x8a,
  SERVER_SHUTTING_DOWN: 0x8b,
  BAD_AUTHENTICATION_METHOD: 0x8c,
  KEEP_ALIVE_TIMEOUT: 0x8d,
  SESSION_TAKEN_OVER: 0x8e,
  TOPIC_FILTER_INVALID: 0x8f,
  TOPIC_NAME_INVALID: 0x90,
  PACKET_IDENTIFIER_IN_USE: 0x91,
  PACKET_IDENTIFIER_NOT_FOUND: 0x92,
  RECEIVE_MAXIMUM_EXCEEDED: 0x93,
  TOPIC_ALIAS_INVALID: 0x94,
  PACKET_TOO_LARGE: 0x95,
  MESSAGE_RATE_TOO_HIGH: 0x96,
  QUOTA_EXCEEDED: 0x97,
  ADMINISTRATIVE_ACTION: 0x98,
  PAYLOAD_FORMAT_INVALID: 0x99,
  RETAIN_NOT_SUPPORTED: 0x9a,
  QOS_NOT_SUPPORTED: 0x9b,
  USE_ANOTHER_SERVER: 0x9c,
  SERVER_MOVED: 0x9d,
  SHARED_SUBSCRIPTIONS_NOT_SUPPORTED: 0x9e,
  CONNECTION_RATE_EXCEEDED: 0x9f,
  MAXIMUM_CONNECT_TIME: 0xa0,
  SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED: 0xa1,
  WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED: 0xa2,
} as const

/** The protocol level of CONNECT: 4 is MQTT 3.1.1, 5 is MQTT 5.0. */
export type ProtocolVersion = 4 | 5

export type Qos = 0 | 1 | 2

const reasonNames = new Map<number, string>(Object.entries(ReasonCode).map(([name, code]) => [code, name]))

/** A rare packet that cannot be accepted. The hot readers return the reason code instead. */
export class MqttError extends Error {
  /** `MQTT_` and the name of the reason code. */
  readonly code: string
  /** What the server should answer with (CONNACK or DISCONNECT, in the terms of MQTT 5). */
  readonly reasonCode: number

  constructor(reasonCode: number, message: string) {
    super(message)
    this.name = 'MqttError'
    this.code = `MQTT_${reasonNames.get(reasonCode) ?? 'UNSPECIFIED_ERROR'}`
    this.reasonCode = reasonCode
  }
}

/** The only flags each type may have ([MQTT-2.1.3-1]); PUBLISH is told apart by its QoS. */
const FLAGS_REQUIRED = Uint8Array.of(0, 0, 0, 0, 0, 0, 2, 0, 2, 0, 2, 0, 0, 0, 0, 0)

/**
 * Whether the first byte's type exists and its flags are the ones its type must have. QoS 3 is refused here;
 * DUP with QoS 0 by `readPublish`. Type 15 (AUTH) passes: under 3.1.1 the caller refuses it.
 */
// hot: per message
export function areHeaderFlagsValid(header: number): boolean {
  const type = header >> 4
  if (type === PacketType.PUBLISH) return (header & 0x06) !== 0x06
  return type !== 0 && (header & 0x0f) === FLAGS_REQUIRED[type]
}

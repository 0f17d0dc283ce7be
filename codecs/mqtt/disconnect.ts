/**
 * DISCONNECT and AUTH as a client sends them (sections 3.14 and 3.15). Rare packets; refused by an MqttError.
 */
import { type ProtocolVersion, ReasonCode } from './packet.ts'
import { PacketReader } from './packet-reader.ts'
import { PropertyPlace } from './properties.ts'
import type { Properties } from './property-objects.ts'

export interface DisconnectPacket {
  reasonCode: number
  /** Replaces what CONNECT said; undefined to keep it. */
  sessionExpiryIntervalS?: number
  reasonString?: string
  userProperties: [string, string][]
}

export interface AuthPacket {
  reasonCode: number
  authenticationMethod: string
  authenticationData: Uint8Array | null
  reasonString?: string
  userProperties: [string, string][]
}

/** What a client may give as its reason (section 3.14.2.1). */
const reasonsOfClients = new Set<number>([
  ReasonCode.SUCCESS,
  ReasonCode.DISCONNECT_WITH_WILL_MESSAGE,
  ReasonCode.UNSPECIFIED_ERROR,
  ReasonCode.MALFORMED_PACKET,
  ReasonCode.PROTOCOL_ERROR,
  ReasonCode.IMPLEMENTATION_SPECIFIC_ERROR,
  ReasonCode.TOPIC_NAME_INVALID,
  ReasonCode.RECEIVE_MAXIMUM_EXCEEDED,
  ReasonCode.TOPIC_ALIAS_INVALID,
  ReasonCode.PACKET_TOO_LARGE,
  ReasonCode.MESSAGE_RATE_TOO_HIGH,
  ReasonCode.QUOTA_EXCEEDED,
  ReasonCode.ADMINISTRATIVE_ACTION,
  ReasonCode.PAYLOAD_FORMAT_INVALID,
])

export function readDisconnect(
  bytes: Uint8Array,
  bodyStart: number,
  bodyEnd: number,
  version: ProtocolVersion,
): DisconnectPacket {
  const reader = new PacketReader('DISCONNECT', bytes, bodyStart, bodyEnd)
  if (version === 4) reader.finish()
  const reasonCode = reader.left > 0 ? reader.u8('reason code') : ReasonCode.SUCCESS
  if (!reasonsOfClients.has(reasonCode)) {
    reader.fail(ReasonCode.PROTOCOL_ERROR, `has reason code ${reasonCode}, which is not a client's to give`)
  }
  const properties: Properties = reader.left > 0 ? reader.properties(PropertyPlace.DISCONNECT) : {}
  reader.finish()
  return {
    reasonCode,
    sessionExpiryIntervalS: properties.sessionExpiryIntervalS,
    reasonString: properties.reasonString,
    userProperties: properties.userProperties ?? [],
  }
}

/** AUTH exists in MQTT 5 only; under 3.1.1 its type is reserved and the caller refuses it. */
export function readAuth(bytes: Uint8Array, bodyStart: number, bodyEnd: number): AuthPacket {
  const reader = new PacketReader('AUTH', bytes, bodyStart, bodyEnd)
  const reasonCode = reader.left > 0 ? reader.u8('reason code') : ReasonCode.SUCCESS
  if (reasonCode !== ReasonCode.CONTINUE_AUTHENTICATION && reasonCode !== ReasonCode.RE_AUTHENTICATE) {
    reader.fail(ReasonCode.PROTOCOL_ERROR, `has reason code ${reasonCode}, which is not a client's to give`)
  }
  const properties = reader.properties(PropertyPlace.AUTH)
  reader.finish()
  return {
    reasonCode,
    authenticationMethod:
      properties.authenticationMethod ??
      reader.fail(ReasonCode.PROTOCOL_ERROR, 'names no authentication method'),
    authenticationData: properties.authenticationData ?? null,
    reasonString: properties.reasonString,
    userProperties: properties.userProperties ?? [],
  }
}

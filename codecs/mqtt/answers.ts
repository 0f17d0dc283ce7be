/**
 * The rare packets that the server sends, each as whole bytes. Reason codes come in as those of MQTT 5; under
 * 3.1.1 they become what that version can say.
 */
import { assert } from '../../base/assert.ts'
import { PacketType, type ProtocolVersion, ReasonCode } from './packet.ts'
import { PropertyPlace } from './properties.ts'
import { encodeProperties, type Properties } from './property-objects.ts'
import { varintSize, writeVarint } from './varint.ts'

export interface Connack {
  sessionPresent: boolean
  reasonCode: number
  properties?: Properties
}

/**
 * CONNACK. Under 3.1.1 the answer is empty where no return code applies: the connection is then closed
 * without a CONNACK ([MQTT-3.2.2-6] of 3.1.1).
 */
export function encodeConnack(version: ProtocolVersion, connack: Connack): Uint8Array {
  const { sessionPresent, reasonCode, properties = {} } = connack
  assert(
    !sessionPresent || reasonCode === ReasonCode.SUCCESS,
    'a refused CONNECT has no session ([MQTT-3.2.2-6])',
  )
  const flags = sessionPresent ? 1 : 0
  if (version === 5) {
    return packet(
      PacketType.CONNACK,
      [flags, reasonCode],
      encodeProperties(properties, PropertyPlace.CONNACK),
    )
  }
  const returnCode = connackReturnCode(reasonCode)
  return returnCode < 0 ? new Uint8Array(0) : packet(PacketType.CONNACK, [flags, returnCode])
}

/** The return code of 3.1.1 (its table 3.1) that says the same; -1 when none does. */
function connackReturnCode(reasonCode: number): number {
  switch (reasonCode) {
    case ReasonCode.SUCCESS:
      return 0
    case ReasonCode.UNSUPPORTED_PROTOCOL_VERSION:
      return 1
    case ReasonCode.CLIENT_IDENTIFIER_NOT_VALID:
      return 2
    case ReasonCode.SERVER_UNAVAILABLE:
    case ReasonCode.SERVER_BUSY:
    case ReasonCode.SERVER_SHUTTING_DOWN:
    case ReasonCode.QUOTA_EXCEEDED:
    case ReasonCode.USE_ANOTHER_SERVER:
    case ReasonCode.SERVER_MOVED:
    case ReasonCode.CONNECTION_RATE_EXCEEDED:
      return 3
    case ReasonCode.BAD_USER_NAME_OR_PASSWORD:
      return 4
    case ReasonCode.NOT_AUTHORIZED:
    case ReasonCode.BANNED:
      return 5
    default:
      return -1
  }
}

/** SUBACK: a reason code (or granted QoS) for each filter, in order. Under 3.1.1 every refusal is 0x80. */
export function encodeSuback(
  version: ProtocolVersion,
  packetId: number,
  reasonCodes: readonly number[],
  properties: Properties = {},
): Uint8Array {
  assert(packetId > 0 && reasonCodes.length > 0, 'a SUBACK answers a SUBSCRIBE')
  const id = [packetId >> 8, packetId & 0xff]
  if (version === 5) {
    return packet(PacketType.SUBACK, id, encodeProperties(properties, PropertyPlace.SUBACK), reasonCodes)
  }
  return packet(PacketType.SUBACK, [...id, ...reasonCodes.map((code) => Math.min(code, 0x80))])
}

/** UNSUBACK: a reason code for each filter, in order; 3.1.1 has none. */
export function encodeUnsuback(
  version: ProtocolVersion,
  packetId: number,
  reasonCodes: readonly number[],
  properties: Properties = {},
): Uint8Array {
  assert(packetId > 0 && reasonCodes.length > 0, 'an UNSUBACK answers an UNSUBSCRIBE')
  const id = [packetId >> 8, packetId & 0xff]
  if (version === 4) return packet(PacketType.UNSUBACK, id)
  return packet(PacketType.UNSUBACK, id, encodeProperties(properties, PropertyPlace.SUBACK), reasonCodes)
}

/** DISCONNECT of MQTT 5; a server of 3.1.1 just closes. */
export function encodeDisconnect(reasonCode: number, properties: Properties = {}): Uint8Array {
  assert(
    properties.sessionExpiryIntervalS === undefined,
    'a server names no session expiry ([MQTT-3.14.2-2])',
  )
  return packet(PacketType.DISCONNECT, [reasonCode], encodeProperties(properties, PropertyPlace.DISCONNECT))
}

/** AUTH of MQTT 5. */
export function encodeAuth(reasonCode: number, properties: Properties): Uint8Array {
  assert(properties.authenticationMethod !== undefined, 'AUTH names its method')
  return packet(PacketType.AUTH, [reasonCode], encodeProperties(properties, PropertyPlace.AUTH))
}

/** PINGRESP, whole. Not to be changed. */
export const PINGRESP: Uint8Array = Uint8Array.of(PacketType.PINGRESP << 4, 0)

/** Fixed header, `before`, properties with their length (where given), `after`. */
function packet(
  type: PacketType,
  before: readonly number[],
  properties?: Uint8Array,
  after: readonly number[] = [],
): Uint8Array {
  const propertiesSize = properties === undefined ? 0 : varintSize(properties.length) + properties.length
  const bodySize = before.length + propertiesSize + after.length
  const out = new Uint8Array(1 + varintSize(bodySize) + bodySize)
  out[0] = type << 4
  let offset = writeVarint(out, 1, bodySize)
  out.set(before, offset)
  offset += before.length
  if (properties !== undefined) {
    offset = writeVarint(out, offset, properties.length)
    out.set(properties, offset)
    offset += properties.length
  }
  out.set(after, offset)
  return out
}

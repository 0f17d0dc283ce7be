/**
 * Decides about a CONNECT: what to answer, and under which identifier and bounds the connection goes on.
 * Later issues put authentication, wills and kept sessions here; now every user name is taken, wills are not
 * published, no session is kept.
 */
import { encodeConnack } from '../../codecs/mqtt/answers.ts'
import { type ConnectPacket, connectVersion, readConnect } from '../../codecs/mqtt/connect.ts'
import { MqttError, type ProtocolVersion, ReasonCode } from '../../codecs/mqtt/packet.ts'
import type { GatewayContext } from './gateway-context.ts'

/** Topics that a client of MQTT 5 may give a number. */
export const TOPIC_ALIAS_MAXIMUM = 16
const CLIENT_ID_SIZE_BYTES_MAX = 1024

export interface AcceptedConnect {
  isAccepted: true
  version: ProtocolVersion
  clientId: string
  number: number
  /** 0 for no keep-alive. */
  keepAliveS: number
  /** What the client takes unacknowledged, and in one packet (0 for any size). */
  receiveMaximum: number
  packetSizeBytesMax: number
  answer: Uint8Array
}

export interface RefusedConnect {
  isAccepted: false
  reasonCode: number
  /** Empty where the version has nothing to say. */
  answer: Uint8Array
}

export function answerConnect(
  context: GatewayContext,
  bytes: Uint8Array,
  bodyStart: number,
  bodyEnd: number,
): AcceptedConnect | RefusedConnect {
  let version: ProtocolVersion | 0 = 0
  try {
    version = connectVersion(bytes, bodyStart, bodyEnd)
    const packet = readConnect(bytes, bodyStart, bodyEnd)
    const refusal = refusalOf(context, packet)
    return refusal === 0 ? accept(context, packet) : refuse(packet.protocolVersion, refusal)
  } catch (error) {
    if (!(error instanceof MqttError)) throw error
    return refuse(version, error.reasonCode)
  }
}

function refuse(version: ProtocolVersion | 0, reasonCode: number): RefusedConnect {
  const answer =
    version === 0 ? new Uint8Array(0) : encodeConnack(version, { sessionPresent: false, reasonCode })
  return { isAccepted: false, reasonCode, answer }
}

/** The reason to turn a well-formed CONNECT away; 0 for none. */
function refusalOf(context: GatewayContext, { clientId, will, properties }: ConnectPacket): number {
  if (context.isDraining) return ReasonCode.SERVER_SHUTTING_DOWN
  if (context.isBusy) return ReasonCode.SERVER_BUSY
  if (Buffer.byteLength(clientId) > CLIENT_ID_SIZE_BYTES_MAX) return ReasonCode.CLIENT_IDENTIFIER_NOT_VALID
  if (properties.authenticationMethod !== null) return ReasonCode.BAD_AUTHENTICATION_METHOD
  if (will !== null && will.qos === 2) return ReasonCode.QOS_NOT_SUPPORTED
  if (will?.isRetain) return ReasonCode.RETAIN_NOT_SUPPORTED
  return 0
}

function accept(context: GatewayContext, packet: ConnectPacket): AcceptedConnect {
  const { protocolVersion: version, properties } = packet
  const number = context.takeNumber()
  const isAssigned = packet.clientId === ''
  const clientId = isAssigned
    ? `auto-${context.startMs.toString(36)}-${context.index}-${number}`
    : packet.clientId
  const answer = encodeConnack(version, {
    sessionPresent: false,
    reasonCode: ReasonCode.SUCCESS,
    properties: {
      sessionExpiryIntervalS: properties.sessionExpiryIntervalS > 0 ? 0 : undefined,
      receiveMaximum: context.limits.receiveMaximum,
      maximumQos: 1,
      retainAvailable: 0,
      maximumPacketSizeBytes: context.packetSizeBytesMax,
      assignedClientIdentifier: isAssigned ? clientId : undefined,
      topicAliasMaximum: TOPIC_ALIAS_MAXIMUM,
      wildcardSubscriptionAvailable: 1,
      subscriptionIdentifiersAvailable: 1,
      sharedSubscriptionAvailable: 0,
    },
  })
  return {
    isAccepted: true,
    version,
    clientId,
    number,
    keepAliveS: packet.keepAliveS,
    receiveMaximum: properties.receiveMaximum,
    packetSizeBytesMax: properties.maximumPacketSizeBytes,
    answer,
  }
}

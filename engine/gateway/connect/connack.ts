/** The answer to a CONNECT, once its stages have decided. */
import { encodeConnack } from '../../../codecs/mqtt/answers.ts'
import { type ProtocolVersion, ReasonCode } from '../../../codecs/mqtt/packet.ts'
import type { GatewayContext } from '../gateway-context.ts'
import type { ConnectAttempt } from './connect-attempt.ts'

/** Topics that a client of MQTT 5 may give a number. */
export const TOPIC_ALIAS_MAXIMUM = 16

export function acceptConnack(attempt: ConnectAttempt, context: GatewayContext): Uint8Array {
  const { packet, connect } = attempt
  return encodeConnack(connect.version, {
    sessionPresent: attempt.isSessionPresent,
    reasonCode: ReasonCode.SUCCESS,
    properties: {
      sessionExpiryIntervalS: packet.properties.sessionExpiryIntervalS > 0 ? 0 : undefined,
      receiveMaximum: context.limits.receiveMaximum,
      retainAvailable: 0,
      maximumPacketSizeBytes: context.packetSizeBytesMax,
      assignedClientIdentifier: packet.clientId === '' ? connect.clientId : undefined,
      topicAliasMaximum: TOPIC_ALIAS_MAXIMUM,
      wildcardSubscriptionAvailable: 1,
      subscriptionIdentifiersAvailable: 1,
      sharedSubscriptionAvailable: 0,
    },
  })
}

/** Empty where the version has nothing to say. */
export function refuseConnack(version: ProtocolVersion | 0, reasonCode: number): Uint8Array {
  return version === 0 ? new Uint8Array(0) : encodeConnack(version, { sessionPresent: false, reasonCode })
}

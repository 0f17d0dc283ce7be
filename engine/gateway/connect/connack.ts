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
    sessionPresent: attempt.session?.isPresent ?? false,
    reasonCode: ReasonCode.SUCCESS,
    properties: {
      receiveMaximum: context.limits.receiveMaximum,
      maximumPacketSizeBytes: context.packetSizeBytesMax,
      assignedClientIdentifier: attempt.assignedClientId,
      topicAliasMaximum: TOPIC_ALIAS_MAXIMUM,
      wildcardSubscriptionAvailable: 1,
      subscriptionIdentifiersAvailable: 1,
      sharedSubscriptionAvailable: 1,
      serverKeepAliveS: connect.keepAliveS === packet.keepAliveS ? undefined : connect.keepAliveS,
      responseInformation: packet.properties.requestResponseInformation
        ? responseInformationOf(connect.clientId)
        : undefined,
    },
  })
}

/** Empty where the version has nothing to say. A packet of more than `sizeBytesMax` (0 for any) goes without words. */
export function refuseConnack(
  version: ProtocolVersion | 0,
  reasonCode: number,
  reasonString: string | undefined,
  sizeBytesMax: number,
): Uint8Array {
  if (version === 0) return new Uint8Array(0)
  const properties = { reasonString }
  const whole = encodeConnack(version, { sessionPresent: false, reasonCode, properties })
  if (sizeBytesMax === 0 || whole.length <= sizeBytesMax) return whole
  return encodeConnack(version, { sessionPresent: false, reasonCode })
}

/** Below which topic the client may ask for responses; undefined when its identifier is no part of a topic. */
function responseInformationOf(clientId: string): string | undefined {
  return /[+#/]/.test(clientId) ? undefined : `devices/${clientId}/responses`
}

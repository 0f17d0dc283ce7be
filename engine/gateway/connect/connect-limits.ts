/** The first stage of a CONNECT: what the gateway does not take now, and what it does not do at all. */
import { ReasonCode } from '../../../codecs/mqtt/packet.ts'
import type { GatewayContext } from '../gateway-context.ts'
import type { ConnectAttempt } from './connect-attempt.ts'

const CLIENT_ID_SIZE_BYTES_MAX = 1024

export function checkLimits({ packet }: ConnectAttempt, context: GatewayContext): number {
  const { clientId, will } = packet
  if (context.isDraining) return ReasonCode.SERVER_SHUTTING_DOWN
  if (context.isBusy) return ReasonCode.SERVER_BUSY
  if (Buffer.byteLength(clientId) > CLIENT_ID_SIZE_BYTES_MAX) return ReasonCode.CLIENT_IDENTIFIER_NOT_VALID
  // Topics that begin with $ are the server's own.
  if (will?.topic.startsWith('$')) return ReasonCode.TOPIC_NAME_INVALID
  return 0
}

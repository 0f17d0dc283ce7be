/**
 * The third stage of a CONNECT: its client identifier now belongs to it, and the connection that had it ends
 * ([MQTT-3.1.4-3]), on whichever gateway. Of two at once the later CONNECT stays. A session that is kept, or was, and a
 * will are the session thread's: the stage waits until it has them on disk.
 */
import { hashBytes } from '../../../base/hash.ts'
import type { ConnectPacket, Will } from '../../../codecs/mqtt/connect.ts'
import { PropertyPlace } from '../../../codecs/mqtt/properties.ts'
import { encodeProperties } from '../../../codecs/mqtt/property-objects.ts'
import type { SessionConnect, WillMessage } from '../../../codecs/session/messages.ts'
import { NO_EXPIRY } from '../../../codecs/session/record.ts'
import { ClientSession } from '../client-session.ts'
import { CloseReasons } from '../close-reason.ts'
import type { GatewayContext } from '../gateway-context.ts'
import { type ConnectAttempt, PENDING } from './connect-attempt.ts'

const NEVER_EXPIRES_S = 0xffffffff
/** Identifiers of what sessions deliver: half of all. */
const WINDOW_MAX = 0x7fff

export function openSession(attempt: ConnectAttempt, context: GatewayContext): number {
  const { connect, client, packet } = attempt
  const { clientId, number } = connect
  const { clientsById, exchange, sessions } = context
  const other = clientsById.get(clientId)
  if (other !== undefined && isEarlier(number, other.number)) {
    client.end(CloseReasons.takenOver) // which cancels the attempt
    return PENDING
  }
  other?.end(CloseReasons.takenOver)
  clientsById.set(clientId, client)
  for (const peer of exchange.peers) peer.post({ kind: 'connected', clientId, number })
  const asked = sessionConnectOf(packet, clientId, connect.receiveMaximum, context)
  const id = Buffer.from(clientId)
  const isConcerned =
    asked.expiryS > 0 || asked.will !== null || sessions.mayKnow(hashBytes(id, 0, id.length))
  if (!isConcerned) return 0
  const session = new ClientSession(sessions, number, asked, (reasonCode) => attempt.proceed(reasonCode))
  attempt.session = session
  attempt.onCancel = () => session.close(true)
  return PENDING
}

/** Numbers of connections wrap at 2^32. */
export function isEarlier(number: number, other: number): boolean {
  return ((number - other) | 0) < 0
}

/** Of a client that shares a subscription, and nothing else of whose outlives its connection. */
export function transientConnect(
  clientId: string,
  receiveMaximum: number,
  context: GatewayContext,
): SessionConnect {
  const windowMax = Math.min(receiveMaximum, context.limits.receiveMaximum, WINDOW_MAX)
  return { clientId, isClean: true, expiryS: 0, windowMax, gateway: context.index, will: null }
}

function sessionConnectOf(
  { protocolVersion, cleanStart, properties, will }: ConnectPacket,
  clientId: string,
  receiveMaximum: number,
  context: GatewayContext,
): SessionConnect {
  const neverEnds = protocolVersion === 4 && !cleanStart
  return {
    ...transientConnect(clientId, receiveMaximum, context),
    isClean: cleanStart,
    expiryS: neverEnds ? NEVER_EXPIRES_S : properties.sessionExpiryIntervalS,
    will: will === null ? null : willOf(will),
  }
}

function willOf({ topic, payload, qos, isRetain, properties }: Will): WillMessage {
  const { willDelayIntervalS = 0, ...published } = properties
  return {
    topic: Buffer.from(topic),
    payload,
    properties: encodeProperties(published, PropertyPlace.PUBLISH),
    qos,
    isRetain,
    delayS: willDelayIntervalS,
    expiryS: published.messageExpiryIntervalS ?? NO_EXPIRY,
  }
}

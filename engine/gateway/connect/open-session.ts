/**
 * The third stage of a CONNECT: its client identifier now belongs to it, and the connection that had it ends
 * ([MQTT-3.1.4-3]), on whichever gateway. Of two at once the later CONNECT stays.
 */
import { CloseReasons } from '../close-reason.ts'
import type { GatewayContext } from '../gateway-context.ts'
import { type ConnectAttempt, PENDING } from './connect-attempt.ts'

export function openSession({ connect, client }: ConnectAttempt, context: GatewayContext): number {
  const { clientId, number } = connect
  const { clientsById, exchange } = context
  const other = clientsById.get(clientId)
  if (other !== undefined && isEarlier(number, other.number)) {
    client.end(CloseReasons.takenOver) // which cancels the attempt
    return PENDING
  }
  other?.end(CloseReasons.takenOver)
  clientsById.set(clientId, client)
  for (const peer of exchange.peers) peer.post({ kind: 'connected', clientId, number })
  return 0
}

/** Numbers of connections wrap at 2^32. */
export function isEarlier(number: number, other: number): boolean {
  return ((number - other) | 0) < 0
}

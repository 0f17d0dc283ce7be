/** What clients are refused, counted and noted for the log. Owner: the gateway's thread. */
import type { AcceptedConnect, ConnectAttempt } from './connect/connect-attempt.ts'
import type { GatewayContext } from './gateway-context.ts'

/** Between the device and the identifier that its client chose: the names of devices do not have it, nor do texts of MQTT. */
const SEPARATOR = '\0'
const NOT_AUTHORIZED = 'not-authorized'

/** A client identifier as one among its device's: two devices that choose the same do not meet. */
export function ownedId(device: string | null, id: string): string {
  return device === null ? id : `${device}${SEPARATOR}${id}`
}

/** `attempt` is null for what is no CONNECT. */
export function refuseConnect(
  context: GatewayContext,
  attempt: ConnectAttempt | null,
  address: string,
  reason: string,
): void {
  const device = attempt?.connect.identity?.device ?? attempt?.packet.username ?? ''
  const client = attempt?.packet.clientId ?? ''
  refuseClient(context, device, client, address, reason)
}

/** Who is not let in. */
export function refuseClient(
  context: GatewayContext,
  device: string,
  client: string,
  address: string,
  reason: string,
): void {
  context.counters.connectsRefused.add(reason)
  context.identities.noteRefusal({ what: 'connect', reason, device, client, address, topic: '', count: 1 })
}

/** A topic that it may not publish to, or a filter that it may not subscribe to. */
export function refuseTopic(
  context: GatewayContext,
  what: 'publish' | 'subscribe',
  { identity, clientId, address }: Pick<AcceptedConnect, 'identity' | 'clientId' | 'address'>,
  topic: string,
): void {
  const { counters, identities } = context
  const counts = what === 'publish' ? counters.publishesRefused : counters.subscriptionsRefused
  counts.add(NOT_AUTHORIZED)
  const device = identity?.device ?? ''
  const client = clientId.slice(clientId.lastIndexOf(SEPARATOR) + 1)
  identities.noteRefusal({ what, reason: NOT_AUTHORIZED, device, client, address, topic, count: 1 })
}

/** Whether a client may subscribe to a filter, which is valid; if not, that is noted. */
export function isFilterPermitted(
  context: GatewayContext,
  connect: AcceptedConnect,
  filter: string,
): boolean {
  if (connect.identity?.access.maySubscribe(filter)) return true
  refuseTopic(context, 'subscribe', connect, filter)
  return false
}

/**
 * The second stage of a CONNECT: who it is, and whether it may leave the will that it brings. There is no enhanced
 * authentication. From here on the client identifier is one among its device's: two devices that choose the same do not meet.
 */
import { ReasonCode } from '../../../codecs/mqtt/packet.ts'
import type { RefusalReason } from '../../registry/credentials.ts'
import type { Answer } from '../../registry/gateway-identities.ts'
import type { GatewayContext } from '../gateway-context.ts'
import { ownedId } from '../refusals.ts'
import { type ConnectAttempt, PENDING } from './connect-attempt.ts'

const VERSION_LENGTH_MAX = 128

export function authenticate(attempt: ConnectAttempt, context: GatewayContext): number {
  const { packet, peer } = attempt
  if (packet.properties.authenticationMethod !== null) return ReasonCode.BAD_AUTHENTICATION_METHOD
  const { username, password } = packet
  const credentials = { username, password, certificate: peer.identity, address: peer.address }
  const answer = context.identities.identify(credentials, context.nowMs, (later) => {
    context.setTime()
    attempt.proceed(admit(later, attempt, context))
  })
  if (typeof answer !== 'function') return admit(answer, attempt, context)
  attempt.onCancel = answer
  return PENDING
}

function admit(answer: Answer, attempt: ConnectAttempt, context: GatewayContext): number {
  const { packet, connect, client } = attempt
  if (!answer.isGranted) {
    attempt.refusal = answer.reason
    return REASON_CODES[answer.reason]
  }
  const version = versionOf(packet.properties.userProperties)
  const arrival = { client, clientId: connect.clientId, version, nowMs: context.nowMs }
  const identity = context.identities.enter(answer, arrival)
  connect.identity = identity
  connect.clientId = ownedId(identity.device, connect.clientId)
  if (packet.will === null) return 0
  const topic = Buffer.from(packet.will.topic)
  if (identity.access.mayPublish(topic, 0, topic.length)) return 0
  attempt.refusal = 'will-topic'
  return ReasonCode.NOT_AUTHORIZED
}

/** What the client is told: whether it was the name or the password is not. */
const REASON_CODES: Record<RefusalReason, number> = {
  anonymous: ReasonCode.NOT_AUTHORIZED,
  'unknown-device': ReasonCode.BAD_USER_NAME_OR_PASSWORD,
  'unknown-token': ReasonCode.BAD_USER_NAME_OR_PASSWORD,
  'unknown-certificate': ReasonCode.NOT_AUTHORIZED,
  'wrong-password': ReasonCode.BAD_USER_NAME_OR_PASSWORD,
  'no-password': ReasonCode.BAD_USER_NAME_OR_PASSWORD,
  'other-device': ReasonCode.BAD_USER_NAME_OR_PASSWORD,
  'token-invalid': ReasonCode.BAD_USER_NAME_OR_PASSWORD,
  'token-expired': ReasonCode.BAD_USER_NAME_OR_PASSWORD,
  disabled: ReasonCode.NOT_AUTHORIZED,
  'unknown-role': ReasonCode.NOT_AUTHORIZED,
  'authentication-busy': ReasonCode.SERVER_BUSY,
  'registry-away': ReasonCode.SERVER_UNAVAILABLE,
}

function versionOf(properties: readonly [string, string][]): string | null {
  const version = properties.find(([name]) => name === 'version')?.[1]
  return version === undefined || version.length > VERSION_LENGTH_MAX ? null : version
}

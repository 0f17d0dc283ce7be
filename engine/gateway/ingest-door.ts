/**
 * Who may open the plain WebSocket of a device: it shows a token or a password before the upgrade. Owner: the gateway's thread.
 * Browsers, which can't send headers, put a token into the URL.
 */
import type { Credentials, RefusalReason } from '../registry/credentials.ts'
import type { Answer, Granted } from '../registry/gateway-identities.ts'
import type { GatewayContext } from './gateway-context.ts'
import { refuseClient, refuseTopic } from './refusals.ts'
import { type TopicRoute, topicText } from './topic-router.ts'

export interface IngestRequest {
  route: TopicRoute
  session: string
  authorization: string
  /** Of the query. */
  token: string
  address: string
}

export interface IngestRefusal {
  granted: null
  status: string
  message: string
  /** Other credentials may help. */
  asks: boolean
}

export type IngestAnswer = { granted: Granted } | IngestRefusal

/**
 * Calls `done` with whether it is let in, at once or later; returns what cancels that.
 */
export function admitIngest(
  context: GatewayContext,
  request: IngestRequest,
  done: (answer: IngestAnswer) => void,
): () => void {
  const credentials = credentialsOf(request)
  if (credentials === null) {
    done({
      granted: null,
      status: BAD_REQUEST,
      message: 'Authorization takes Bearer TOKEN or Basic',
      asks: true,
    })
    return () => {}
  }
  context.setTime()
  const decide = (answer: Answer) => done(answerOf(context, request, credentials, answer))
  const answer = context.identities.identify(credentials, context.nowMs, decide)
  if (typeof answer === 'function') return answer
  decide(answer)
  return () => {}
}

function answerOf(
  context: GatewayContext,
  { route, session, address }: IngestRequest,
  { username }: Credentials,
  answer: Answer,
): IngestAnswer {
  if (!answer.isGranted) {
    refuseClient(context, username ?? '', session, address, answer.reason)
    return { granted: null, ...STATUSES[answer.reason] }
  }
  const access = context.identities.accessOf(answer.grant, session)
  if (access.mayPublish(route.topic, 0, route.topicSize)) return { granted: answer }
  const identity = { device: answer.grant?.device ?? null, access }
  refuseTopic(context, 'publish', { identity, clientId: session, address }, topicText(route))
  return {
    granted: null,
    status: FORBIDDEN,
    message: 'this client may not publish for that device',
    asks: false,
  }
}

/** Null for a header that is none of those known. */
function credentialsOf({ authorization, token, address }: IngestRequest): Credentials | null {
  const nobody = { username: null, password: null, certificate: null, address }
  if (authorization === '') return token === '' ? nobody : { ...nobody, password: Buffer.from(token) }
  const [, scheme = '', value = ''] = /^(\w+) +(\S+)$/.exec(authorization) ?? []
  if (scheme.toLowerCase() === 'bearer') return { ...nobody, password: Buffer.from(value) }
  if (scheme.toLowerCase() !== 'basic') return null
  const pair = Buffer.from(value, 'base64')
  const colon = pair.indexOf(':')
  if (colon < 0) return null
  return { ...nobody, username: pair.subarray(0, colon).toString('utf8'), password: pair.subarray(colon + 1) }
}

const BAD_REQUEST = '400 Bad Request'
const UNAUTHORIZED = '401 Unauthorized'
const FORBIDDEN = '403 Forbidden'
const UNAVAILABLE = '503 Service Unavailable'

type Status = Omit<IngestRefusal, 'granted'>
const WRONG: Status = { status: UNAUTHORIZED, message: 'no device has these credentials', asks: true }

const STATUSES: Record<RefusalReason, Status> = {
  anonymous: { status: UNAUTHORIZED, message: 'only registered devices are let in', asks: true },
  'unknown-device': WRONG,
  'unknown-token': WRONG,
  'unknown-certificate': WRONG,
  'wrong-password': WRONG,
  'no-password': WRONG,
  'other-device': WRONG,
  'token-invalid': WRONG,
  'token-expired': WRONG,
  disabled: { status: FORBIDDEN, message: 'this device is disabled', asks: false },
  'unknown-role': {
    status: FORBIDDEN,
    message: 'this device has a role that the config does not have',
    asks: false,
  },
  'authentication-busy': {
    status: UNAVAILABLE,
    message: 'too many passwords are being verified: try again',
    asks: false,
  },
  'registry-away': { status: UNAVAILABLE, message: "the registry can't be read", asks: false },
}

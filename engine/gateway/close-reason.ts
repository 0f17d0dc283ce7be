/**
 * Why a connection ended, as counted in `disconnectsByReason`; those that MQTT 5 has a code for carry its
 * name.
 */
import { ReasonCode } from '../../codecs/mqtt/packet.ts'

export interface CloseReason {
  name: string
  /** What a client of MQTT 5 is told in DISCONNECT; 0 for nothing. */
  reasonCode: number
  webSocketCode: number
  /** The same in words, for those that ask for them. */
  text?: string
}

const WebSocketCode = { NORMAL: 1000, GOING_AWAY: 1001, UNSUPPORTED: 1003, POLICY: 1008, LATER: 1013 }

const namesByCode = new Map<number, string>(
  Object.entries(ReasonCode).map(([name, code]) => [code, name.toLowerCase().replaceAll('_', '-')]),
)

/** Of codes that are told without a packet's own fault. */
const textsByCode = new Map<number, string>([
  [ReasonCode.CLIENT_IDENTIFIER_NOT_VALID, 'the client identifier is too long'],
  [ReasonCode.SERVER_BUSY, 'the disk does not keep up; try again later'],
  [ReasonCode.SERVER_SHUTTING_DOWN, 'the server is shutting down'],
  [ReasonCode.BAD_AUTHENTICATION_METHOD, 'there is no enhanced authentication'],
  [ReasonCode.KEEP_ALIVE_TIMEOUT, 'nothing came for one and a half times the keep alive'],
  [ReasonCode.SESSION_TAKEN_OVER, 'another connection has the same client identifier'],
  [
    ReasonCode.TOPIC_NAME_INVALID,
    'the topic is no UTF-8, has wildcards, is too long or too deep, or begins with $',
  ],
  [ReasonCode.RECEIVE_MAXIMUM_EXCEEDED, 'more messages are unacknowledged than the receive maximum'],
  [ReasonCode.TOPIC_ALIAS_INVALID, 'the topic alias is above the maximum'],
  [ReasonCode.PACKET_TOO_LARGE, 'the packet is larger than the maximum packet size'],
  [ReasonCode.QUOTA_EXCEEDED, 'too much was sent while nothing could be taken'],
])

export const CloseReasons = {
  /** The client sent DISCONNECT, or a WebSocket close. */
  client: { name: 'client', reasonCode: 0, webSocketCode: WebSocketCode.NORMAL },
  /** The socket ended without one. */
  lost: { name: 'lost', reasonCode: 0, webSocketCode: WebSocketCode.NORMAL },
  /** No CONNECT came first, or in time. */
  notMqtt: { name: 'not-mqtt', reasonCode: 0, webSocketCode: WebSocketCode.POLICY },
  connectTimeout: { name: 'connect-timeout', reasonCode: 0, webSocketCode: WebSocketCode.POLICY },
  tooManyConnections: { name: 'too-many-connections', reasonCode: 0, webSocketCode: WebSocketCode.LATER },
  tooManyFromAddress: { name: 'too-many-from-address', reasonCode: 0, webSocketCode: WebSocketCode.LATER },
  /** More connects a second than are taken in, for longer than one may wait. */
  connectRate: {
    name: closeReasonOf(ReasonCode.CONNECTION_RATE_EXCEEDED).name,
    reasonCode: 0,
    webSocketCode: WebSocketCode.LATER,
  },
  busy: { name: 'server-busy', reasonCode: 0, webSocketCode: WebSocketCode.LATER },
  /** Answers pile up unread. */
  slowReader: {
    name: 'slow-reader',
    reasonCode: ReasonCode.SERVER_BUSY,
    text: 'answers pile up unread',
    webSocketCode: WebSocketCode.LATER,
  },
  /** A WebSocket kept sending while it was not read. */
  overrun: {
    ...closeReasonOf(ReasonCode.QUOTA_EXCEEDED),
    name: 'overrun',
    webSocketCode: WebSocketCode.LATER,
  },
  /** Plain WebSocket: a frame that is no envelope; a `seq` that does not increase. */
  badFrame: { name: 'bad-frame', reasonCode: 0, webSocketCode: WebSocketCode.UNSUPPORTED },
  badSequence: { name: 'bad-sequence', reasonCode: 0, webSocketCode: WebSocketCode.POLICY },
  /** MQTT over WebSocket: a text frame. */
  textFrame: { name: 'text-frame', reasonCode: 0, webSocketCode: WebSocketCode.UNSUPPORTED },
  /** What the client may has changed, or its token is over. */
  rightsChanged: closeReasonOf(ReasonCode.ADMINISTRATIVE_ACTION),
  notAuthorized: closeReasonOf(ReasonCode.NOT_AUTHORIZED),
  keepAlive: closeReasonOf(ReasonCode.KEEP_ALIVE_TIMEOUT),
  takenOver: closeReasonOf(ReasonCode.SESSION_TAKEN_OVER),
  /** A trusted load balancer's first bytes are no header of the PROXY protocol. */
  proxyHeader: { name: 'proxy-header', reasonCode: 0, webSocketCode: WebSocketCode.POLICY },
  /** TLS: no handshake was made; the client has no certificate, or one that is not trusted. */
  tlsHandshake: { name: 'tls-handshake', reasonCode: 0, webSocketCode: WebSocketCode.POLICY },
  certificateMissing: { name: 'certificate-missing', reasonCode: 0, webSocketCode: WebSocketCode.POLICY },
  certificateRefused: { name: 'certificate-refused', reasonCode: 0, webSocketCode: WebSocketCode.POLICY },
  draining: {
    ...closeReasonOf(ReasonCode.SERVER_SHUTTING_DOWN),
    name: 'draining',
    webSocketCode: WebSocketCode.GOING_AWAY,
  },
} as const satisfies Record<string, CloseReason>

/** The reason that goes with a code of MQTT 5: 0x81 is `malformed-packet`. */
export function closeReasonOf(reasonCode: number, text = textsByCode.get(reasonCode)): CloseReason {
  const name = namesByCode.get(reasonCode) ?? 'unspecified-error'
  return { name, reasonCode, webSocketCode: WebSocketCode.POLICY, text }
}

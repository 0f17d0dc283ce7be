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
}

const WebSocketCode = { NORMAL: 1000, GOING_AWAY: 1001, UNSUPPORTED: 1003, POLICY: 1008, LATER: 1013 }

const namesByCode = new Map<number, string>(
  Object.entries(ReasonCode).map(([name, code]) => [code, name.toLowerCase().replaceAll('_', '-')]),
)

export const CloseReasons = {
  /** The client sent DISCONNECT, or a WebSocket close. */
  client: { name: 'client', reasonCode: 0, webSocketCode: WebSocketCode.NORMAL },
  /** The socket ended without one. */
  lost: { name: 'lost', reasonCode: 0, webSocketCode: WebSocketCode.NORMAL },
  /** No CONNECT came first, or in time. */
  notMqtt: { name: 'not-mqtt', reasonCode: 0, webSocketCode: WebSocketCode.POLICY },
  connectTimeout: { name: 'connect-timeout', reasonCode: 0, webSocketCode: WebSocketCode.POLICY },
  tooManyConnections: { name: 'too-many-connections', reasonCode: 0, webSocketCode: WebSocketCode.LATER },
  busy: { name: 'server-busy', reasonCode: 0, webSocketCode: WebSocketCode.LATER },
  /** Answers pile up unread. */
  slowReader: { name: 'slow-reader', reasonCode: 0, webSocketCode: WebSocketCode.POLICY },
  /** A WebSocket kept sending while the rings were full. */
  overrun: { name: 'overrun', reasonCode: ReasonCode.QUOTA_EXCEEDED, webSocketCode: WebSocketCode.LATER },
  /** Plain WebSocket: a frame that is no envelope; a `seq` that does not increase. */
  badFrame: { name: 'bad-frame', reasonCode: 0, webSocketCode: WebSocketCode.UNSUPPORTED },
  badSequence: { name: 'bad-sequence', reasonCode: 0, webSocketCode: WebSocketCode.POLICY },
  /** MQTT over WebSocket: a text frame. */
  textFrame: { name: 'text-frame', reasonCode: 0, webSocketCode: WebSocketCode.UNSUPPORTED },
  keepAlive: closeReasonOf(ReasonCode.KEEP_ALIVE_TIMEOUT),
  takenOver: closeReasonOf(ReasonCode.SESSION_TAKEN_OVER),
  /** A trusted load balancer's first bytes are no header of the PROXY protocol. */
  proxyHeader: { name: 'proxy-header', reasonCode: 0, webSocketCode: WebSocketCode.POLICY },
  /** TLS: no handshake was made; the client has no certificate, or one that is not trusted. */
  tlsHandshake: { name: 'tls-handshake', reasonCode: 0, webSocketCode: WebSocketCode.POLICY },
  certificateMissing: { name: 'certificate-missing', reasonCode: 0, webSocketCode: WebSocketCode.POLICY },
  certificateRefused: { name: 'certificate-refused', reasonCode: 0, webSocketCode: WebSocketCode.POLICY },
  draining: {
    name: 'draining',
    reasonCode: ReasonCode.SERVER_SHUTTING_DOWN,
    webSocketCode: WebSocketCode.GOING_AWAY,
  },
} as const satisfies Record<string, CloseReason>

/** The reason that goes with a code of MQTT 5: 0x81 is `malformed-packet`. */
export function closeReasonOf(reasonCode: number): CloseReason {
  const name = namesByCode.get(reasonCode) ?? 'unspecified-error'
  return { name, reasonCode, webSocketCode: WebSocketCode.POLICY }
}

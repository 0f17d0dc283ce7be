/**
 * The WebSocket port: MQTT at `/mqtt` (subprotocol `mqtt`, binary frames are a byte stream), and the plain
 * door at `/ingest/{device}?session=S` (optionally `&stream=NAME`). One uWebSockets.js app per gateway; apps
 * share a port by themselves. Owner: the gateway's thread, which must `close` it before it exits.
 */
import uWS from 'uWebSockets.js'
import type { Address } from '../address.ts'
import type { StreamConfig } from '../config.ts'
import { requireFreePort } from './free-port.ts'
import type { Gateway } from './gateway-core.ts'
import type { IngestConnection, IngestTransport } from './ingest-connection.ts'
import type { MqttConnection } from './mqtt-connection.ts'
import type { TopicRoute } from './topic-router.ts'
import type { Transport } from './transport.ts'
import { isOriginAllowed } from './web-origin.ts'

/** A peer that answers no ping for this long is gone. */
const IDLE_TIMEOUT_S = 120
/** Unsent bytes beyond one largest packet. */
const BACKPRESSURE_SIZE_BYTES = 256 << 10
const SESSION_SIZE_BYTES_MAX = 128
const FREE_PORT_TRIES = 5

interface MqttData {
  connection: MqttConnection | null
  transport: WebSocketTransport | null
}

interface IngestData {
  route: TopicRoute
  session: string
  connection: IngestConnection | null
  transport: WebSocketTransport | null
}

export class WebSocketDoor {
  #gateway: Gateway
  #streams: readonly StreamConfig[]
  #app: uWS.TemplatedApp
  #listening: uWS.us_listen_socket | null = null

  constructor(gateway: Gateway, streams: readonly StreamConfig[]) {
    this.#gateway = gateway
    this.#streams = streams
    this.#app = uWS.App()
    this.#app.ws<MqttData>('/mqtt', this.#mqttBehavior())
    this.#app.ws<IngestData>('/ingest/:device', this.#ingestBehavior())
    this.#app.any('/*', (res) => {
      refuse(res, '404 Not Found', 'WebSockets are served at /mqtt and /ingest/{device}?session=S')
    })
  }

  async listen({ host, port }: Address): Promise<Address> {
    for (let tries = 1; ; tries++) {
      // Given port 0 the app would take a free one for itself alone; named, a port is shared with the other
      // gateways.
      const wanted = port === 0 ? await requireFreePort(host, 0) : port
      const socket = await new Promise<uWS.us_listen_socket | false>((resolve) => {
        this.#app.listen(host, wanted, resolve)
      })
      if (socket !== false) {
        this.#listening = socket
        return { host, port: wanted }
      }
      // Between the two steps somebody else may have taken it.
      if (port !== 0 || tries === FREE_PORT_TRIES) throw new WebSocketListenError(`port ${wanted} is taken`)
    }
  }

  stopAccepting(): void {
    if (this.#listening !== null) uWS.us_listen_socket_close(this.#listening)
    this.#listening = null
  }

  /** Closes the app and all its sockets; without it a worker's end aborts the process. */
  close(): void {
    this.#listening = null
    this.#app.close()
  }

  #limits(): Pick<
    uWS.WebSocketBehavior<unknown>,
    | 'maxPayloadLength'
    | 'idleTimeout'
    | 'sendPingsAutomatically'
    | 'maxBackpressure'
    | 'closeOnBackpressureLimit'
  > {
    const { packetSizeBytesMax } = this.#gateway.context
    return {
      maxPayloadLength: packetSizeBytesMax,
      idleTimeout: IDLE_TIMEOUT_S,
      sendPingsAutomatically: true,
      maxBackpressure: packetSizeBytesMax + BACKPRESSURE_SIZE_BYTES,
      closeOnBackpressureLimit: true,
    }
  }

  #mqttBehavior(): uWS.WebSocketBehavior<MqttData> {
    return {
      ...this.#limits(),
      upgrade: (res, req, context) => {
        const protocols = req.getHeader('sec-websocket-protocol').split(',')
        if (!isOriginAllowed(req.getHeader('origin'), req.getHeader('host'))) refuseOrigin(res)
        else if (!protocols.some((name) => name.trim() === 'mqtt')) {
          refuse(res, '400 Bad Request', '/mqtt speaks the subprotocol mqtt')
        } else upgrade<MqttData>(res, req, context, 'mqtt', { connection: null, transport: null })
      },
      open: (ws) => {
        const data = ws.getUserData()
        data.transport = new WebSocketTransport(ws)
        data.connection = this.#gateway.accept(data.transport)
        if (data.connection === null) data.transport.close(1013)
      },
      message: (ws, message, isBinary) => {
        const { connection } = ws.getUserData()
        const bytes = new Uint8Array(message)
        if (isBinary) connection?.receive(bytes, 0, bytes.length, 0)
        else connection?.refuseText()
      },
      drain: (ws) => ws.getUserData().connection?.drained(),
      close: (ws) => {
        const { connection, transport } = ws.getUserData()
        transport?.left()
        connection?.closed()
      },
    }
  }

  #ingestBehavior(): uWS.WebSocketBehavior<IngestData> {
    return {
      ...this.#limits(),
      upgrade: (res, req, context) => {
        if (!isOriginAllowed(req.getHeader('origin'), req.getHeader('host'))) return refuseOrigin(res)
        const session = req.getQuery('session') ?? '' // decoded already, unlike the path
        if (session === '' || Buffer.byteLength(session) > SESSION_SIZE_BYTES_MAX) {
          return refuse(res, '400 Bad Request', `?session= must have 1 to ${SESSION_SIZE_BYTES_MAX} bytes`)
        }
        const streamName = req.getQuery('stream') ?? ''
        const stream = streamName === '' ? 0 : this.#streams.findIndex(({ name }) => name === streamName)
        if (stream < 0) return refuse(res, '400 Bad Request', 'there is no such stream')
        const device = decoded(req.getParameter(0) ?? '')
        const route = device === null ? null : this.#gateway.context.router.routeOf(stream, device)
        if (route === null)
          return refuse(res, '400 Bad Request', 'the device is no name that a topic can hold')
        upgrade<IngestData>(res, req, context, '', { route, session, connection: null, transport: null })
      },
      open: (ws) => {
        const data = ws.getUserData()
        data.transport = new WebSocketTransport(ws)
        data.connection = this.#gateway.acceptIngest(data.transport, data.route, data.session)
        if (data.connection === null) data.transport.close(1013)
      },
      message: (ws, message, isBinary) => {
        ws.getUserData().connection?.receive(new Uint8Array(message), isBinary)
      },
      drain: (ws) => ws.getUserData().connection?.drained(),
      close: (ws) => {
        const { connection, transport } = ws.getUserData()
        transport?.left()
        connection?.closed()
      },
    }
  }
}

class WebSocketListenError extends Error {
  readonly code = 'EADDRINUSE'
}

/** uWebSockets.js copies what it is given, and must not be called once a socket is closed. */
class WebSocketTransport implements Transport, IngestTransport {
  #socket: uWS.WebSocket<unknown> | null

  constructor(socket: uWS.WebSocket<unknown>) {
    this.#socket = socket
  }

  get bufferedBytes(): number {
    return this.#socket?.getBufferedAmount() ?? 0
  }

  write(bytes: Uint8Array): boolean {
    this.sendBinary(bytes)
    return true
  }

  /**
   * A message that would go over the bound is dropped by `send`, which then closes the socket: nothing is
   * lost unnoticed.
   */
  sendBinary(bytes: Uint8Array): void {
    this.#socket?.send(bytes, true)
  }

  sendText(text: string): void {
    this.#socket?.send(text, false)
  }

  close(code = 1000): void {
    const socket = this.#socket
    this.#socket = null
    socket?.end(code)
  }

  /** The socket is gone. */
  left(): void {
    this.#socket = null
  }

  pause(): void {}

  resume(): void {}
}

function upgrade<Data>(
  res: uWS.HttpResponse,
  req: uWS.HttpRequest,
  context: uWS.us_socket_context_t,
  protocol: string,
  data: Data,
): void {
  res.upgrade<Data>(
    data,
    req.getHeader('sec-websocket-key'),
    protocol,
    req.getHeader('sec-websocket-extensions'),
    context,
  )
}

function refuse(res: uWS.HttpResponse, status: string, message: string): void {
  res.writeStatus(status).writeHeader('content-type', 'text/plain').end(`${message}\n`, true)
}

function refuseOrigin(res: uWS.HttpResponse): void {
  refuse(res, '403 Forbidden', 'this web page may not connect here')
}

/** Percent-decoded; null when it cannot be. */
function decoded(text: string): string | null {
  try {
    return decodeURIComponent(text)
  } catch {
    return null
  }
}

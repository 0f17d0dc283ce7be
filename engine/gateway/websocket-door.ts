/**
 * The WebSocket port: MQTT at `/mqtt` (subprotocol `mqtt`, binary frames are a byte stream), and the plain
 * door at `/ingest/{device}?session=S` (optionally `&stream=NAME`). Owner: the gateway's thread, which must
 * `close` it before it exits. uWebSockets.js asks TLS clients for no certificate: there is no identity here.
 */
import type uWS from 'uWebSockets.js'
import { formatIp } from '../../base/ip-address.ts'
import type { Address } from '../address.ts'
import type { StreamConfig } from '../config.ts'
import type { TlsMaterial } from '../tls/tls-material.ts'
import { CloseReasons } from './close-reason.ts'
import { requireFreePort } from './free-port.ts'
import type { Gateway } from './gateway-core.ts'
import type { IngestArrival, IngestConnection } from './ingest-connection.ts'
import { admitIngest, type IngestRefusal } from './ingest-door.ts'
import type { MqttConnection } from './mqtt-connection.ts'
import type { Peer } from './peer.ts'
import type { TrustedProxies } from './proxy-stage.ts'
import type { TopicRoute } from './topic-router.ts'
import { isOriginAllowed } from './web-origin.ts'
import { WebSocketApps } from './websocket-apps.ts'
import { WebSocketTransport } from './websocket-transport.ts'

/** A peer that answers no ping for this long is gone. */
const IDLE_TIMEOUT_S = 120
const SESSION_SIZE_BYTES_MAX = 128
const FREE_PORT_TRIES = 5

interface MqttData {
  peer: Peer
  connection: MqttConnection | null
  transport: WebSocketTransport | null
}

interface IngestData {
  peer: Peer
  arrival: IngestArrival
  connection: IngestConnection | null
  transport: WebSocketTransport | null
}

export class WebSocketDoor {
  #gateway: Gateway
  #streams: readonly StreamConfig[]
  #apps: WebSocketApps
  #proxies: TrustedProxies

  /** `tls` is null for ws:, else the door speaks wss: alone. */
  constructor(
    gateway: Gateway,
    streams: readonly StreamConfig[],
    tls: TlsMaterial | null,
    proxies: TrustedProxies,
  ) {
    this.#gateway = gateway
    this.#proxies = proxies
    this.#streams = streams
    this.#apps = new WebSocketApps(tls, (app) => this.#route(app))
  }

  #route(app: uWS.TemplatedApp): void {
    app.ws<MqttData>('/mqtt', this.#mqttBehavior())
    app.ws<IngestData>('/ingest/:device', this.#ingestBehavior())
    app.any('/*', (res) => {
      refuse(res, '404 Not Found', 'WebSockets are served at /mqtt and /ingest/{device}?session=S')
    })
  }

  async listen({ host, port }: Address): Promise<Address> {
    for (let tries = 1; ; tries++) {
      // Given port 0 the app would take a free one for itself alone; named, a port is shared with the other
      // gateways.
      const wanted = port === 0 ? await requireFreePort(host, 0) : port
      const address = { host, port: wanted }
      if (await this.#apps.listen(address)) return address
      // Between the two steps somebody else may have taken it.
      if (port !== 0 || tries === FREE_PORT_TRIES) throw new WebSocketListenError(`port ${wanted} is taken`)
    }
  }

  stopAccepting(): void {
    this.#apps.stopAccepting()
  }

  /** Later handshakes use these certificates; connections that are open stay. */
  renewTls(tls: TlsMaterial): Promise<void> {
    return this.#apps.renew(tls)
  }

  /** Closes all sockets; without it a worker's end aborts the process. */
  close(): void {
    this.#apps.close()
  }

  #limits(): Pick<
    uWS.WebSocketBehavior<unknown>,
    | 'maxPayloadLength'
    | 'idleTimeout'
    | 'sendPingsAutomatically'
    | 'maxBackpressure'
    | 'closeOnBackpressureLimit'
  > {
    const { packetSizeBytesMax, limits } = this.#gateway.context
    return {
      maxPayloadLength: packetSizeBytesMax,
      idleTimeout: IDLE_TIMEOUT_S,
      sendPingsAutomatically: true,
      maxBackpressure: packetSizeBytesMax + limits.bufferedSizeBytesMax,
      closeOnBackpressureLimit: false, // `send` says so, and the connection is ended with a reason
    }
  }

  /** uWebSockets.js takes a PROXY header from anyone, but only a trusted proxy's is believed. */
  #peerOf(res: uWS.HttpResponse): Peer {
    const address = ipOf(res.getRemoteAddress())
    const proxied = this.#proxies.has(address) ? res.getProxiedRemoteAddress() : null
    return { address: proxied === null || proxied.byteLength === 0 ? address : ipOf(proxied), identity: null }
  }

  #paceConnect(): boolean {
    const isNow = this.#gateway.context.admission.paceConnect((performance.now() * 1000) >>> 0)
    if (!isNow) this.#gateway.refuse(CloseReasons.connectRate)
    return isNow
  }

  #mqttBehavior(): uWS.WebSocketBehavior<MqttData> {
    return {
      ...this.#limits(),
      upgrade: (res, req, context) => {
        const protocols = req.getHeader('sec-websocket-protocol').split(',')
        if (!isOriginAllowed(req.getHeader('origin'), req.getHeader('host'))) refuseOrigin(res)
        else if (!this.#paceConnect()) refuseRate(res)
        else if (!protocols.some((name) => name.trim() === 'mqtt')) {
          refuse(res, '400 Bad Request', '/mqtt speaks the subprotocol mqtt')
        } else {
          const data = { peer: this.#peerOf(res), connection: null, transport: null }
          upgrade<MqttData>(res, handshakeOf(req), context, 'mqtt', data)
        }
      },
      open: (ws) => {
        const data = ws.getUserData()
        data.transport = new WebSocketTransport(ws, data.peer)
        data.connection = this.#gateway.accept(data.transport)
        if (data.connection === null) data.transport.close(1013)
        data.transport.onDropped = () => data.connection?.end(CloseReasons.slowReader)
      },
      message: (ws, message, isBinary) => {
        const { connection, transport } = ws.getUserData()
        const bytes = new Uint8Array(message)
        transport?.heard(bytes)
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
        if (!this.#paceConnect()) return refuseRate(res)
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
        this.#admit(res, req, context, route, session)
      },
      open: (ws) => {
        const data = ws.getUserData()
        data.transport = new WebSocketTransport(ws, data.peer)
        data.connection = this.#gateway.acceptIngest(data.transport, data.arrival)
        if (data.connection === null) data.transport.close(1013)
        data.transport.onDropped = () => data.connection?.end(CloseReasons.slowReader)
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

  /** Upgrades once it is known who asks; the request is over by then, so what is needed of it is read before. */
  #admit(
    res: uWS.HttpResponse,
    req: uWS.HttpRequest,
    context: uWS.us_socket_context_t,
    route: TopicRoute,
    session: string,
  ): void {
    const [peer, handshake] = [this.#peerOf(res), handshakeOf(req)]
    const authorization = req.getHeader('authorization')
    const request = {
      route,
      session,
      authorization,
      token: req.getQuery('token') ?? '',
      address: peer.address,
    }
    let isAborted = false
    let cancel = () => {}
    res.onAborted(() => {
      isAborted = true
      cancel()
    })
    cancel = admitIngest(this.#gateway.context, request, (answer) => {
      if (isAborted) return
      res.cork(() => {
        const { granted } = answer
        if (granted === null) return refuseIngest(res, answer)
        const arrival = { route, session, granted }
        upgrade<IngestData>(res, handshake, context, '', { peer, arrival, connection: null, transport: null })
      })
    })
  }
}

class WebSocketListenError extends Error {
  readonly code = 'EADDRINUSE'
}

/** What an upgrade takes from its request. */
interface Handshake {
  key: string
  extensions: string
}

function handshakeOf(req: uWS.HttpRequest): Handshake {
  return {
    key: req.getHeader('sec-websocket-key'),
    extensions: req.getHeader('sec-websocket-extensions'),
  }
}

function upgrade<Data>(
  res: uWS.HttpResponse,
  { key, extensions }: Handshake,
  context: uWS.us_socket_context_t,
  protocol: string,
  data: Data,
): void {
  res.upgrade<Data>(data, key, protocol, extensions, context)
}

function ipOf(memory: ArrayBuffer): string {
  return formatIp(new Uint8Array(memory), 0, memory.byteLength)
}

function refuse(res: uWS.HttpResponse, status: string, message: string): void {
  res.writeStatus(status).writeHeader('content-type', 'text/plain').end(`${message}\n`, true)
}

function refuseRate(res: uWS.HttpResponse): void {
  res
    .writeStatus('503 Service Unavailable')
    .writeHeader('retry-after', '1')
    .end('too many connect at once\n', true)
}

function refuseIngest(res: uWS.HttpResponse, { status, message, asks }: IngestRefusal): void {
  res.writeStatus(status).writeHeader('content-type', 'text/plain')
  if (asks) res.writeHeader('www-authenticate', 'Bearer, Basic realm="millrace"')
  res.end(`${message}\n`, true)
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

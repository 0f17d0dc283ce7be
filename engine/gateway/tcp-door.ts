/**
 * MQTT over TCP, with TLS or without: accepts sockets and ties each to a connection of the gateway. Owner: the
 * gateway's thread. Plain sockets all read into one buffer, which the connection has used up when `receive`
 * returns.
 */
import { createServer, type Server, type Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { plainIp } from '../../base/ip-address.ts'
import type { Address } from '../address.ts'
import type { TlsMaterial } from '../tls/tls-material.ts'
import { type CloseReason, CloseReasons } from './close-reason.ts'
import { Fifo } from './fifo.ts'
import type { Gateway } from './gateway-core.ts'
import { HEADROOM_SIZE_BYTES } from './inbound-bytes.ts'
import type { MqttConnection } from './mqtt-connection.ts'
import { ClosingPace, PacedSocket } from './paced-socket.ts'
import { readProxied, type TrustedProxies } from './proxy-stage.ts'
import { canShareReadBuffer, detachHandle } from './shared-read-buffer.ts'
import { SocketTransport, type TransportOwner } from './socket-transport.ts'
import { TlsStage } from './tls-stage.ts'

const READ_SIZE_BYTES = 64 << 10
const BACKLOG = 4096
const PACE_INTERVAL_MS = 10

export class TcpDoor {
  #gateway: Gateway
  #server: Server
  #tls: TlsStage | null
  #proxies: TrustedProxies
  /** Headroom, then where the sockets read to. */
  #buffer = Buffer.allocUnsafeSlow(HEADROOM_SIZE_BYTES + READ_SIZE_BYTES)
  #readTo = this.#buffer.subarray(HEADROOM_SIZE_BYTES)
  #closing = new ClosingPace()
  #isShared = false
  #open = new Set<SocketTransport>()
  #waiting = new Fifo<Socket>()
  #pacing: NodeJS.Timeout | undefined
  /** Ended by us, the peer has not answered yet: since the last sweep, and since the one before it. */
  #lingering = new Set<SocketTransport>()
  #lingeringLong = new Set<SocketTransport>()
  #owner: TransportOwner = {
    left: (transport) => {
      this.#open.delete(transport)
      this.#lingering.delete(transport)
      this.#lingeringLong.delete(transport)
    },
    lingers: (transport) => this.#lingering.add(transport),
  }

  /** `tls` is null for a door of plain MQTT. */
  constructor(gateway: Gateway, tls: TlsMaterial | null, proxies: TrustedProxies) {
    this.#gateway = gateway
    this.#proxies = proxies
    this.#tls = tls === null ? null : new TlsStage(tls)
    this.#server = createServer({ pauseOnConnect: true, noDelay: true, allowHalfOpen: false })
    this.#server.on('connection', (socket) => this.#accept(socket))
  }

  /** Several threads may listen on one port; the kernel deals the connections out. */
  async listen({ host, port }: Address, isSharingAllowed = true): Promise<Address> {
    this.#isShared = isSharingAllowed && this.#tls === null && (await canShareReadBuffer())
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen({ host, port, reusePort: true, backlog: BACKLOG }, () => {
        this.#server.off('error', reject)
        // A failed accept (no file descriptor left) must not end the thread: the client is simply not served.
        this.#server.on('error', () => {})
        resolve()
      })
    })
    const address = this.#server.address()
    return { host, port: address !== null && typeof address === 'object' ? address.port : port }
  }

  /** Later handshakes use these certificates; connections that are open stay. */
  renewTls(tls: TlsMaterial): void {
    this.#tls?.renew(tls)
  }

  /** Once a second: lets go of peers that do not answer our end. */
  sweep(): void {
    for (const transport of this.#lingeringLong) transport.destroy()
    this.#lingeringLong = this.#lingering
    this.#lingering = new Set()
  }

  /** Takes no more connections; those that are open stay. */
  stopAccepting(): void {
    this.#server.close()
  }

  /** Stops reading, for a drain. */
  pauseAll(): void {
    for (const transport of this.#open) transport.pause()
  }

  destroyAll(): void {
    for (const transport of this.#open) transport.destroy()
    this.#closing.closeAll()
    this.#stopPacing()
    for (let accepted = this.#waiting.shift(); accepted !== undefined; accepted = this.#waiting.shift()) {
      accepted.destroy()
    }
  }

  /** Connects that come faster than they are taken in wait unread, in their order, for as long as they may. */
  #accept(accepted: Socket): void {
    const { admission, limits, counters } = this.#gateway.context
    if (this.#waiting.count === 0 && admission.paceConnect(nowUs())) {
      this.#begin(accepted)
      return
    }
    if (this.#waiting.count * 1000 >= limits.connectsPerSMax * limits.connectTimeoutMs) {
      this.#gateway.refuse(CloseReasons.connectRate)
      accepted.destroy()
      return
    }
    counters.connectsQueued++
    this.#waiting.push(accepted)
    this.#pacing ??= setInterval(() => this.#takeWaiting(), PACE_INTERVAL_MS)
  }

  #takeWaiting(): void {
    const { admission } = this.#gateway.context
    while (this.#waiting.count > 0 && admission.paceConnect(nowUs())) {
      const accepted = this.#waiting.shift()
      if (accepted !== undefined) this.#begin(accepted)
    }
    if (this.#waiting.count === 0) this.#stopPacing()
  }

  #stopPacing(): void {
    clearInterval(this.#pacing)
    this.#pacing = undefined
  }

  #begin(accepted: Socket): void {
    const { remoteAddress } = accepted
    if (remoteAddress === undefined) {
      accepted.destroy() // gone again already
      return
    }
    const transport = new SocketTransport(this.#owner, accepted, {
      address: plainIp(remoteAddress),
      identity: null,
    })
    const connection = this.#gateway.accept(transport)
    if (connection === null) {
      accepted.destroy()
      return
    }
    this.#open.add(transport)
    if (this.#proxies.has(transport.peer.address)) this.#unwrap(accepted, transport, connection)
    else this.#start(accepted, transport, connection)
  }

  #start(accepted: Socket, transport: SocketTransport, connection: MqttConnection): void {
    if (this.#tls !== null) this.#secure(accepted, transport, connection, this.#tls)
    else if (this.#isShared) this.#readShared(accepted, transport, connection)
    else this.#readEvents(accepted, transport, connection)
  }

  /** Behind a load balancer: who it speaks for comes first. */
  #unwrap(accepted: Socket, transport: SocketTransport, connection: MqttConnection): void {
    const onClose = (): void => {
      connection.closed()
      transport.left()
    }
    accepted.on('error', () => {}).on('close', onClose)
    readProxied(
      accepted,
      (address, rest) => {
        const refusal = address === null ? null : this.#gateway.readdress(transport.peer, address)
        if (refusal !== null) {
          connection.end(refusal)
          return
        }
        if (this.#tls !== null && rest.length > 0) accepted.unshift(rest)
        accepted.off('close', onClose)
        this.#start(accepted, transport, connection)
        if (this.#tls === null && rest.length > 0) connection.receive(rest, 0, rest.length, 0)
      },
      () => connection.end(CloseReasons.proxyHeader),
    )
  }

  #readShared(accepted: Socket, transport: SocketTransport, connection: MqttConnection): void {
    const whole = this.#buffer
    const handle = detachHandle(accepted)
    if (handle === null) {
      transport.left()
      return
    }
    const options = {
      handle,
      onread: {
        buffer: this.#readTo,
        callback: (sizeBytes: number) => {
          connection.receive(whole, HEADROOM_SIZE_BYTES, HEADROOM_SIZE_BYTES + sizeBytes, HEADROOM_SIZE_BYTES)
          return true
        },
      },
    } as ConstructorParameters<typeof Socket>[0]
    const socket = new PacedSocket(options, this.#closing)
    transport.attach(socket, connection, false)
  }

  #readEvents(socket: Socket, transport: SocketTransport, connection: MqttConnection): void {
    socket.on('data', (bytes: Buffer) => connection.receive(bytes, 0, bytes.length, 0))
    transport.attach(socket, connection, this.#tls !== null)
    socket.resume()
  }

  #secure(accepted: Socket, transport: SocketTransport, connection: MqttConnection, tls: TlsStage): void {
    tls.start(accepted, {
      secured: (socket: TLSSocket, identity) => {
        transport.peer.identity = identity
        this.#readEvents(socket, transport, connection)
      },
      failed: (reason: CloseReason) => {
        connection.end(reason)
        transport.left()
      },
    })
  }
}

function nowUs(): number {
  return (performance.now() * 1000) >>> 0
}

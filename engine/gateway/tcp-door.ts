/**
 * MQTT over TCP: accepts sockets and ties each to a connection of the gateway. Owner: the gateway's thread.
 * All sockets read into one buffer, which the connection has used up when `receive` returns.
 */
import { createServer, type Server, Socket } from 'node:net'
import type { Address } from '../address.ts'
import type { Gateway } from './gateway-core.ts'
import { HEADROOM_SIZE_BYTES } from './inbound-bytes.ts'
import type { MqttConnection } from './mqtt-connection.ts'
import { canShareReadBuffer, detachHandle } from './shared-read-buffer.ts'
import type { Transport } from './transport.ts'

const READ_SIZE_BYTES = 64 << 10
const PROBE_DELAY_MS = 60_000
const EMPTY = new Uint8Array(0)

export class TcpDoor {
  #gateway: Gateway
  #server: Server
  /** Headroom, then where the sockets read to. */
  #buffer = Buffer.allocUnsafeSlow(HEADROOM_SIZE_BYTES + READ_SIZE_BYTES)
  #isShared = false
  #open = new Set<TcpTransport>()
  /** Ended by us, the peer has not answered yet: since the last sweep, and since the one before it. */
  #lingering = new Set<TcpTransport>()
  #lingeringLong = new Set<TcpTransport>()
  #owner: TransportOwner = {
    left: (transport) => {
      this.#open.delete(transport)
      this.#lingering.delete(transport)
      this.#lingeringLong.delete(transport)
    },
    lingers: (transport) => this.#lingering.add(transport),
  }

  constructor(gateway: Gateway) {
    this.#gateway = gateway
    this.#server = createServer({ pauseOnConnect: true, noDelay: true, allowHalfOpen: false })
    this.#server.on('connection', (socket) => this.#accept(socket))
  }

  /** Several threads may listen on one port; the kernel deals the connections out. */
  async listen({ host, port }: Address, isSharingAllowed = true): Promise<Address> {
    this.#isShared = isSharingAllowed && (await canShareReadBuffer())
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen({ host, port, reusePort: true, backlog: 4096 }, () => {
        this.#server.off('error', reject)
        // A failed accept (no file descriptor left) must not end the thread: the client is simply not served.
        this.#server.on('error', () => {})
        resolve()
      })
    })
    const address = this.#server.address()
    return { host, port: address !== null && typeof address === 'object' ? address.port : port }
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
  }

  #accept(accepted: Socket): void {
    const transport = new TcpTransport(this.#owner)
    const connection = this.#gateway.accept(transport)
    if (connection === null) {
      accepted.destroy()
      return
    }
    this.#open.add(transport)
    if (this.#isShared) this.#readShared(accepted, transport, connection)
    else this.#readEvents(accepted, transport, connection)
  }

  #readShared(accepted: Socket, transport: TcpTransport, connection: MqttConnection): void {
    const whole = this.#buffer
    const handle = detachHandle(accepted)
    if (handle === null) {
      this.#open.delete(transport)
      connection.closed()
      return
    }
    const socket = new Socket({
      handle,
      onread: {
        buffer: whole.subarray(HEADROOM_SIZE_BYTES),
        callback: (sizeBytes: number) => {
          connection.receive(whole, HEADROOM_SIZE_BYTES, HEADROOM_SIZE_BYTES + sizeBytes, HEADROOM_SIZE_BYTES)
          return true
        },
      },
    } as ConstructorParameters<typeof Socket>[0])
    transport.attach(socket, connection)
  }

  #readEvents(socket: Socket, transport: TcpTransport, connection: MqttConnection): void {
    socket.on('data', (bytes: Buffer) => connection.receive(bytes, 0, bytes.length, 0))
    transport.attach(socket, connection)
    socket.resume()
  }
}

interface TransportOwner {
  left(transport: TcpTransport): void
  lingers(transport: TcpTransport): void
}

class TcpTransport implements Transport {
  #owner: TransportOwner
  #socket: Socket | null = null
  #isClosing = false
  #isDraining = false
  #onWritten = (): void => {}

  constructor(owner: TransportOwner) {
    this.#owner = owner
  }

  attach(socket: Socket, connection: MqttConnection): void {
    this.#socket = socket
    this.#onWritten = () => {
      this.#isDraining = false
      connection.drained()
    }
    // Finds peers that went away without a word, for those that asked for no keep-alive.
    socket.setKeepAlive(true, PROBE_DELAY_MS)
    socket.on('error', () => {}) // 'close' follows
    socket.on('close', () => {
      this.#owner.left(this)
      connection.closed()
    })
  }

  get bufferedBytes(): number {
    return this.#socket?.writableLength ?? 0
  }

  write(bytes: Uint8Array): boolean {
    const socket = this.#socket
    if (socket === null || this.#isClosing) return true
    socket.write(bytes)
    // The kernel took it at once, as a rule; otherwise libuv keeps the memory, and nothing tells when it is
    // through but the
    // callback of a write behind it.
    if (socket.writableLength === 0) return true
    if (!this.#isDraining) {
      this.#isDraining = true
      socket.write(EMPTY, this.#onWritten)
    }
    return false
  }

  /**
   * Ends our side and reads on for a moment: closing with unread bytes would reset what the peer has yet to
   * read.
   */
  close(): void {
    if (this.#isClosing) return
    this.#isClosing = true
    this.#socket?.end()
    this.#socket?.resume()
    this.#owner.lingers(this)
  }

  pause(): void {
    this.#socket?.pause()
  }

  resume(): void {
    this.#socket?.resume()
  }

  destroy(): void {
    this.#socket?.destroy()
  }
}

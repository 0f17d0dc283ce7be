/**
 * A TCP socket, plain or with TLS over it, as a connection's transport. Owner: the gateway's thread. It exists
 * from the accept on; until `attach` there is only the accepted socket, which brings no MQTT yet.
 */
import type { Socket } from 'node:net'
import type { MqttConnection } from './mqtt-connection.ts'
import type { Peer } from './peer.ts'
import type { Transport } from './transport.ts'

const PROBE_DELAY_MS = 60_000
const EMPTY = new Uint8Array(0)

/** The door, as its transports know it. */
export interface TransportOwner {
  left(transport: SocketTransport): void
  lingers(transport: SocketTransport): void
}

export class SocketTransport implements Transport {
  readonly peer: Peer
  #owner: TransportOwner
  #accepted: Socket
  #socket: Socket | null = null
  #connection: MqttConnection | null = null
  #isEncrypted = false
  #isClosing = false
  #isDraining = false

  constructor(owner: TransportOwner, accepted: Socket, peer: Peer) {
    this.#owner = owner
    this.#accepted = accepted
    this.peer = peer
  }

  /** From now on bytes of MQTT pass by `socket`. */
  attach(socket: Socket, connection: MqttConnection, isEncrypted: boolean): void {
    this.#accepted = socket
    this.#socket = socket
    this.#connection = connection
    this.#isEncrypted = isEncrypted
    // Finds peers that went away without a word, for those that asked for no keep-alive.
    socket.setKeepAlive(true, PROBE_DELAY_MS)
    socket.on('error', ignore) // 'close' follows
    socket.on('close', () => this.left())
  }

  /** The socket is gone. */
  left(): void {
    this.#owner.left(this)
    this.#connection?.closed()
  }

  get bufferedBytes(): number {
    return this.#socket?.writableLength ?? 0
  }

  write(bytes: Uint8Array): boolean {
    const socket = this.#socket
    if (socket === null || this.#isClosing) return true
    return this.#isEncrypted ? this.#writeEncrypted(socket, bytes) : this.#writePlain(socket, bytes)
  }

  /**
   * Ends our side and reads on for a moment: closing with unread bytes would reset what the peer has yet to
   * read.
   */
  close(): void {
    if (this.#isClosing) return
    this.#isClosing = true
    if (this.#socket === null) {
      this.destroy()
      return
    }
    this.#socket.end()
    this.#socket.resume()
    this.#owner.lingers(this)
  }

  pause(): void {
    this.#socket?.pause()
  }

  resume(): void {
    this.#socket?.resume()
  }

  destroy(): void {
    this.#accepted.destroy()
  }

  /**
   * The kernel takes it at once, as a rule; otherwise libuv keeps the memory, and nothing tells when it is
   * through but the callback of a write behind it.
   */
  #writePlain(socket: Socket, bytes: Uint8Array): boolean {
    socket.write(bytes)
    if (socket.writableLength === 0) return true
    if (!this.#isDraining) {
      this.#isDraining = true
      socket.write(EMPTY, () => this.#drained())
    }
    return false
  }

  /** A record is made of it at once, unless another one is still on its way; the end is told later, always. */
  #writeEncrypted(socket: Socket, bytes: Uint8Array): boolean {
    const isKept = socket.writableLength > 0
    socket.write(bytes, () => {
      if (socket.writableLength === 0) this.#drained()
    })
    return !isKept
  }

  #drained(): void {
    this.#isDraining = false
    this.#connection?.drained()
  }
}

function ignore(): void {}

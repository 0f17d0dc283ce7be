/**
 * A client's connection: plain TCP, or a WebSocket over it. Publishers and demo devices write through it and
 * are handed what arrives. Reads of all connections of a thread go through one buffer, so what `onData` is
 * given is stale once it returns.
 */
import { connect, type Socket } from 'node:net'
import {
  createHandshake,
  FrameReader,
  frameOf,
  type Handshake,
  readHandshake,
  WsOpcode,
} from './websocket-client.ts'

export interface Address {
  host: string
  port: number
}

export interface TransportHandler {
  onOpen(): void
  onData(bytes: Uint8Array, start: number, end: number): void
  /** A WebSocket message ended; never called on plain TCP. */
  onMessageEnd(): void
  /** Once, and nothing after it. `fault` is null when this side closed. */
  onClose(fault: string | null): void
}

export interface WebSocketPath {
  path: string
  subprotocol: string | null
}

const READ_SIZE_BYTES = 256 * 1024
const readBuffer = Buffer.alloc(READ_SIZE_BYTES)

export class Transport {
  readonly #handler: TransportHandler
  readonly #socket: Socket
  readonly #webSocket: WebSocketPath | null
  #handshake: Handshake | null = null
  #handshakeBytes: Buffer = Buffer.alloc(0)
  readonly #frames: FrameReader | null
  #fault: string | null = null
  #isClosedByUs = false

  constructor(address: Address, webSocket: WebSocketPath | null, handler: TransportHandler) {
    this.#handler = handler
    this.#webSocket = webSocket
    this.#frames = webSocket ? this.#createFrameReader() : null
    this.#socket = connect({
      host: address.host,
      port: address.port,
      noDelay: true,
      onread: {
        buffer: readBuffer,
        callback: (sizeBytes) => {
          this.#read(sizeBytes)
          return true
        },
      },
    })
    this.#socket.on('connect', () => this.#onConnect(address))
    this.#socket.on('error', (error: NodeJS.ErrnoException) => {
      this.#fault ??= error.code ?? error.message
    })
    this.#socket.on('close', () => {
      const fault = this.#fault ?? 'closed by the server'
      handler.onClose(this.#isClosedByUs ? null : fault)
    })
  }

  /**
   * Writes bytes that carry their frame heads already. True: they are with the kernel, and the buffer is free
   * again; false: the buffer must stay as it is until `onWritten`, which is called in both cases.
   */
  // hot: per write
  write(bytes: Uint8Array, onWritten: () => void): boolean {
    this.#socket.write(bytes, onWritten)
    return this.#socket.writableLength === 0
  }

  /** Sends a packet of the cold kind; in a frame of its own on a WebSocket. */
  send(packet: Uint8Array): void {
    this.#socket.write(this.#webSocket ? frameOf(WsOpcode.binary, packet) : packet)
  }

  /** Closes after what was written is out. */
  end(): void {
    this.#isClosedByUs = true
    if (this.#webSocket) this.#socket.write(frameOf(WsOpcode.close, new Uint8Array([0x03, 0xe8])))
    this.#socket.end()
  }

  /** Closes now. With a fault, `onClose` is told that. */
  destroy(fault: string | null = null): void {
    if (fault === null) this.#isClosedByUs = true
    this.#fault ??= fault
    this.#socket.destroy()
  }

  #onConnect(address: Address): void {
    if (this.#webSocket === null) {
      this.#handler.onOpen()
      return
    }
    const { path, subprotocol } = this.#webSocket
    this.#handshake = createHandshake(`${address.host}:${address.port}`, path, subprotocol)
    this.#socket.write(this.#handshake.request)
  }

  // hot: per read
  #read(sizeBytes: number): void {
    if (this.#socket.destroyed) return
    if (this.#frames === null) this.#handler.onData(readBuffer, 0, sizeBytes)
    else if (this.#handshake === null) this.#readFrames(readBuffer, 0, sizeBytes)
    else this.#readHandshake(sizeBytes)
  }

  #readHandshake(sizeBytes: number): void {
    this.#handshakeBytes = Buffer.concat([this.#handshakeBytes, readBuffer.subarray(0, sizeBytes)])
    const reply = readHandshake(this.#handshakeBytes, this.#handshake?.accept ?? '')
    if (reply === null) return
    if (reply.fault !== null) {
      this.destroy(reply.fault)
      return
    }
    const rest = this.#handshakeBytes.subarray(reply.end)
    this.#handshake = null
    this.#handshakeBytes = Buffer.alloc(0)
    this.#handler.onOpen()
    this.#readFrames(rest, 0, rest.length)
  }

  #readFrames(bytes: Uint8Array, start: number, end: number): void {
    if (!this.#frames?.read(bytes, start, end)) this.destroy('a malformed WebSocket frame')
  }

  #createFrameReader(): FrameReader {
    return new FrameReader({
      onPayload: (bytes, start, end, isLast) => {
        if (end > start) this.#handler.onData(bytes, start, end)
        if (isLast) this.#handler.onMessageEnd()
      },
      onControl: (opcode, payload) => {
        if (opcode === WsOpcode.ping) this.#socket.write(frameOf(WsOpcode.pong, payload))
        else if (opcode === WsOpcode.close)
          this.destroy(`the server closed the WebSocket (${closeCode(payload)})`)
      },
    })
  }
}

function closeCode(payload: Uint8Array): string {
  return payload.length >= 2 ? String((payload[0] << 8) | payload[1]) : 'no code'
}

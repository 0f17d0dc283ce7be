/**
 * A WebSocket as a Transport, for both doors. Owner: the gateway's thread. MQTT lets packets and frames fall as they
 * may ([MQTT-6.0.0-2]), but clients that put one packet into a frame may expect just that: Paho C leaves what comes
 * behind the first packet of a frame until the socket brings more. So a client gets a frame for each packet until it
 * has itself sent several in one; those who send that fast get theirs at a tenth of the cost.
 */
import type uWS from 'uWebSockets.js'
import { readVarint, varintSize } from '../../codecs/mqtt/varint.ts'
import type { IngestTransport } from './ingest-connection.ts'
import type { Peer } from './peer.ts'
import type { Transport } from './transport.ts'

/** Of `send`: the message was over the bound, and was not sent. */
const DROPPED = 2

/** uWebSockets.js copies what it is given, and must not be called once a socket is closed. */
export class WebSocketTransport implements Transport, IngestTransport {
  readonly peer: Peer
  /** Told when the peer reads so slowly that a message was dropped. */
  onDropped = (): void => {}
  #socket: uWS.WebSocket<unknown> | null
  #takesRuns = false

  constructor(socket: uWS.WebSocket<unknown>, peer: Peer) {
    this.#socket = socket
    this.peer = peer
  }

  get bufferedBytes(): number {
    return this.#socket?.getBufferedAmount() ?? 0
  }

  /** The client sent a frame of MQTT. */
  heard(bytes: Uint8Array): void {
    this.#takesRuns ||= packetEnd(bytes, 0) < bytes.length
  }

  /** Sends whole packets of MQTT. */
  write(bytes: Uint8Array): boolean {
    if (this.#takesRuns || packetEnd(bytes, 0) === bytes.length) this.sendBinary(bytes)
    else this.#socket?.cork(() => this.#sendEach(bytes))
    return true
  }

  sendBinary(bytes: Uint8Array): void {
    if (this.#socket?.send(bytes, true) === DROPPED) this.#loseReader()
  }

  sendText(text: string): void {
    if (this.#socket?.send(text, false) === DROPPED) this.#loseReader()
  }

  #sendEach(bytes: Uint8Array): void {
    for (let start = 0; start < bytes.length; ) {
      const end = packetEnd(bytes, start)
      this.sendBinary(bytes.subarray(start, end))
      start = end
    }
  }

  /** A message was dropped: nothing may follow it, and nobody is to wait for what does. */
  #loseReader(): void {
    queueMicrotask(() => this.onDropped())
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

/** Where the packet that starts there ends; beyond the bytes when it is not whole. */
function packetEnd(bytes: Uint8Array, start: number): number {
  const bodySize = readVarint(bytes, start + 1, bytes.length)
  return bodySize < 0 ? Number.POSITIVE_INFINITY : start + 1 + varintSize(bodySize) + bodySize
}

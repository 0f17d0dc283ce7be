/**
 * Cuts what a server sends on an MQTT connection, a chunk at a time, and tells the owner. PUBACK is the hot
 * one and is read in place; a packet that spans chunks, or any other kind, is gathered first. Owned by one
 * connection. Invariant: `#heldSize` bytes of `#held` are the start of one packet that is not complete.
 */
import { type IConnackPacket, parser } from 'mqtt-packet'

export interface AckHandler {
  onConnack(connack: ConnackReply): void
  /** `reason` is 0 in MQTT 3.1.1. */
  onPuback(packetId: number, reason: number): void
  onPingresp(): void
  /** The server's own DISCONNECT (MQTT 5). */
  onDisconnect(reason: number): void
}

export interface ConnackReply {
  reason: number
  isSessionPresent: boolean
  /** MQTT 5 Receive Maximum; 65535 where the server names none. */
  receiveMaximum: number
}

/** A server that sends a publisher more than this in one packet is broken. */
const PACKET_SIZE_BYTES_MAX = 1 << 20
const MALFORMED = -1
const PacketType = { connack: 2, puback: 4, pingresp: 13, disconnect: 14 } as const

export class AckReader {
  readonly #handler: AckHandler
  readonly #protocol: 4 | 5
  #held = new Uint8Array(64)
  #heldSize = 0

  constructor(handler: AckHandler, protocol: 4 | 5) {
    this.#handler = handler
    this.#protocol = protocol
  }

  /**
   * Reads bytes[start, end). False: the server sent something malformed, and the connection is of no more
   * use.
   */
  // hot: per read
  read(bytes: Uint8Array, start: number, end: number): boolean {
    let offset = start
    while (this.#heldSize > 0 && offset < end) {
      this.#hold(bytes[offset++])
      const size = packetSize(this.#held, 0, this.#heldSize)
      if (size === MALFORMED) return false
      if (size !== 0 && size === this.#heldSize) {
        this.#heldSize = 0
        if (!this.#take(this.#held, 0, size)) return false
      }
    }
    const handler = this.#handler
    while (offset < end) {
      if (bytes[offset] === 0x40 && offset + 4 <= end && bytes[offset + 1] === 2) {
        handler.onPuback((bytes[offset + 2] << 8) | bytes[offset + 3], 0)
        offset += 4
        continue
      }
      const size = packetSize(bytes, offset, end)
      if (size === MALFORMED) return false
      if (size === 0 || offset + size > end) break
      if (!this.#take(bytes, offset, offset + size)) return false
      offset += size
    }
    while (offset < end) this.#hold(bytes[offset++])
    return true
  }

  #hold(byte: number): void {
    if (this.#heldSize === this.#held.length) {
      const held = new Uint8Array(this.#held.length * 2)
      held.set(this.#held)
      this.#held = held
    }
    this.#held[this.#heldSize++] = byte
  }

  /** One whole packet in bytes[start, end). */
  #take(bytes: Uint8Array, start: number, end: number): boolean {
    let body = start + 1
    while (bytes[body] & 0x80) body++
    body++
    const type = bytes[start] >> 4
    if (type === PacketType.puback) {
      if (end - body < 2) return false
      this.#handler.onPuback((bytes[body] << 8) | bytes[body + 1], end - body > 2 ? bytes[body + 2] : 0)
    } else if (type === PacketType.pingresp) {
      this.#handler.onPingresp()
    } else if (type === PacketType.disconnect) {
      this.#handler.onDisconnect(end > body ? bytes[body] : 0)
    } else if (type === PacketType.connack) {
      const connack = end - body < 2 ? null : readConnack(bytes.slice(start, end), this.#protocol)
      if (connack === null) return false
      this.#handler.onConnack(connack)
    }
    return true
  }
}

/**
 * Size of the packet that starts at `start`; 0 when its head is not complete, -1 when it is malformed or too
 * big.
 */
// hot: per packet
function packetSize(bytes: Uint8Array, start: number, end: number): number {
  let remaining = 0
  let shift = 0
  for (let offset = start + 1; offset < end; offset++, shift += 7) {
    if (shift > 21) return MALFORMED
    remaining |= (bytes[offset] & 0x7f) << shift
    if (bytes[offset] < 0x80) {
      return remaining > PACKET_SIZE_BYTES_MAX ? MALFORMED : offset + 1 - start + remaining
    }
  }
  return 0
}

function readConnack(packet: Uint8Array, protocol: 4 | 5): ConnackReply | null {
  let connack: IConnackPacket | null = null
  const reader = parser({ protocolVersion: protocol })
  reader.on('packet', (parsed) => {
    if (parsed.cmd === 'connack') connack = parsed
  })
  reader.on('error', () => {})
  reader.parse(Buffer.from(packet))
  const read = connack as IConnackPacket | null
  if (read === null) return null
  return {
    reason: (protocol === 5 ? read.reasonCode : read.returnCode) ?? 0,
    isSessionPresent: read.sessionPresent,
    receiveMaximum: read.properties?.receiveMaximum ?? 65_535,
  }
}

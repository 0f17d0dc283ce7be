/**
 * Cuts the bytes of one connection into packets, however they arrive, and holds what cannot be taken yet.
 * Owner: the gateway's thread. Invariant: the handler sees every packet once, whole and in order.
 */
import { cutFrames, type Frames } from '../../codecs/mqtt/frame.ts'
import { InboundBytes } from './inbound-bytes.ts'

export interface PacketHandler {
  readonly isClosed: boolean
  readonly isPaused: boolean
  /** A whole packet, bytes; may change with any packet taken. */
  readonly packetSizeBytesMax: number
  /** What a connection that cannot be paused may send, beyond a packet, while nothing is taken. */
  readonly heldSizeBytesMax: number
  /**
   * Takes the first `count` packets of `frames`; no more once it is paused or closed. Returns how many.
   */
  takePackets(bytes: Uint8Array, count: number): number
  /** The bytes are no packet: a ReasonCode. */
  refuse(reasonCode: number): void
  /** More was held than may be. */
  overrun(): void
}

export class PacketStream {
  #frames: Frames
  #handler: PacketHandler
  #inbound = new InboundBytes()

  constructor(frames: Frames, handler: PacketHandler) {
    this.#frames = frames
    this.#handler = handler
  }

  /** Takes bytes[start, end), before which `headroomSizeBytes` may be overwritten. */
  // hot: per batch
  receive(bytes: Uint8Array, start: number, end: number, headroomSizeBytes: number): void {
    if (this.#handler.isPaused) this.#hold(bytes, start, end)
    else if (this.#inbound.held === null) this.#parse(bytes, start, end)
    else if (this.#inbound.needed > 0) this.#assemble(bytes, start, end)
    else this.#join(bytes, start, end, headroomSizeBytes)
  }

  /** Goes on with what was held. */
  resume(): void {
    const held = this.#inbound.take()
    this.#parse(held, 0, held.length)
  }

  clear(): void {
    this.#inbound.clear()
  }

  /** Puts the start of a packet before the bytes that go on with it. */
  #join(bytes: Uint8Array, start: number, end: number, headroomSizeBytes: number): void {
    const held = this.#inbound.take()
    const size = held.length
    if (size <= headroomSizeBytes) {
      bytes.set(held, start - size)
      this.#parse(bytes, start - size, end)
      return
    }
    const joined = new Uint8Array(size + end - start)
    joined.set(held)
    joined.set(bytes.subarray(start, end), size)
    this.#parse(joined, 0, joined.length)
  }

  /** Adds to a large packet, and takes it once it is whole. */
  #assemble(bytes: Uint8Array, start: number, end: number): void {
    const inbound = this.#inbound
    const rest = start + inbound.append(bytes, start, end)
    if (inbound.size < inbound.needed) return
    const packet = inbound.take()
    this.#parse(packet, 0, packet.length)
    if (rest === end || this.#handler.isClosed) return
    if (this.#handler.isPaused) this.#hold(bytes, rest, end)
    else this.#parse(bytes, rest, end)
  }

  #hold(bytes: Uint8Array, start: number, end: number): void {
    this.#inbound.append(bytes, start, end)
    const { heldSizeBytesMax, packetSizeBytesMax } = this.#handler
    if (this.#inbound.size > heldSizeBytesMax + packetSizeBytesMax) this.#handler.overrun()
  }

  /** Has all whole packets taken, and keeps what is left. */
  // hot: per batch
  #parse(bytes: Uint8Array, start: number, end: number): void {
    const frames = this.#frames
    const handler = this.#handler
    let offset = start
    for (;;) {
      const sizeMax = handler.packetSizeBytesMax
      const next = cutFrames(bytes, offset, end, sizeMax, frames)
      const { count, fault } = frames
      const taken = count === 0 ? 0 : handler.takePackets(bytes, count)
      if (handler.isClosed) return
      if (taken < count || handler.isPaused) {
        this.#inbound.append(bytes, taken > 0 ? frames.bodyEnd[taken - 1] : offset, end)
        return
      }
      offset = next
      // Another bound may hold after what was taken: the first packet's is CONNECT's.
      if (count === frames.capacity || sizeMax !== handler.packetSizeBytesMax) continue
      if (fault === 0) break
      handler.refuse(fault)
      return
    }
    if (offset < end) this.#inbound.keepStart(bytes, offset, end, frames.needed)
  }
}

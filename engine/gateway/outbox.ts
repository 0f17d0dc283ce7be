/**
 * Messages for one subscriber, encoded, in order, until its socket and its window take them. Owner: the
 * gateway's thread. Bounded by count and bytes: what does not fit is dropped by the caller, so that a slow
 * reader costs nobody else anything. Nothing is kept once sent: without kept sessions nothing is sent twice.
 */
import type { ProtocolVersion, Qos } from '../../codecs/mqtt/packet.ts'
import { publishHeader, publishSize, writePublish } from '../../codecs/mqtt/publish.ts'
import {
  writeForwardedProperties,
  writeSubscriptionIdentifier,
} from '../../codecs/mqtt/publish-properties.ts'
import { varintSize } from '../../codecs/mqtt/varint.ts'
import type { Delivery, Message } from './delivery.ts'

export interface OutboxBounds {
  countMax: number
  sizeBytesMax: number
  /** QoS 1 messages sent and not acknowledged. */
  windowMax: number
  /** The largest packet the client takes; 0 for any. */
  packetSizeBytesMax: number
}

const CAPACITY_BYTES_MIN = 4096
const CAPACITY_COUNT_MIN = 16
const RUN_SIZE_BYTES_MAX = 64 << 10
/** An empty queue larger than this gives its memory back. */
const KEPT_SIZE_BYTES_MAX = 256 << 10
const PACKET_ID_MAX = 0xffff
const SUBSCRIPTION_IDENTIFIER_SIZE_BYTES_MAX = 5

let properties = new Uint8Array(1024)

export class Outbox {
  /** Messages queued, and their bytes. */
  count = 0
  sizeBytes = 0
  #version: ProtocolVersion
  #bounds: OutboxBounds
  #bytes = new Uint8Array(CAPACITY_BYTES_MIN)
  #start = 0
  #end = 0
  #head = 0
  #sizes = new Int32Array(CAPACITY_COUNT_MIN)
  /** Where in the packet its identifier goes; 0 with QoS 0. */
  #idOffsets = new Uint16Array(CAPACITY_COUNT_MIN)
  #sent = new Set<number>()
  #lastPacketId = 0

  constructor(version: ProtocolVersion, bounds: OutboxBounds) {
    this.#version = version
    this.#bounds = bounds
  }

  /** Encodes the message behind the others; false when it has to be dropped. */
  // hot: per message and subscriber
  push(message: Message, delivery: Delivery): boolean {
    const bounds = this.#bounds
    if (this.count >= bounds.countMax) return false
    const version = this.#version
    const qos = Math.min(message.qos, delivery.qos)
    const topicSize = message.topicEnd - message.topicStart
    const payloadSize = message.payloadEnd - message.payloadStart
    const propertiesSize = version === 5 ? writeProperties(message, delivery) : 0
    const size = publishSize(version, qos, topicSize, propertiesSize, payloadSize)
    if (bounds.packetSizeBytesMax > 0 && size > bounds.packetSizeBytesMax) return false
    if (this.sizeBytes + size > bounds.sizeBytesMax) return false
    this.#reserve(size)
    const header = publishHeader(qos as Qos, false, message.isRetain && delivery.isRetainKept)
    writePublish(
      this.#bytes,
      this.#end,
      version,
      header,
      PACKET_ID_MAX, // until `takeRun` gives it one
      message.topic,
      message.topicStart,
      message.topicEnd,
      properties,
      0,
      propertiesSize,
      message.bytes,
      message.payloadStart,
      message.payloadEnd,
    )
    const slot = (this.#head + this.count) & (this.#sizes.length - 1)
    this.#sizes[slot] = size
    this.#idOffsets[slot] = qos === 0 ? 0 : 1 + varintSizeOfBody(size) + 2 + topicSize
    this.#end += size
    this.sizeBytes += size
    this.count++
    return true
  }

  /**
   * Takes the messages that may be sent now, at most 64 KiB of them unless one is larger; null when there is
   * none.
   */
  takeRun(): Uint8Array | null {
    const start = this.#start
    let end = start
    const mask = this.#sizes.length - 1
    while (this.count > 0) {
      const size = this.#sizes[this.#head]
      if (end > start && end + size - start > RUN_SIZE_BYTES_MAX) break
      const idOffset = this.#idOffsets[this.#head]
      if (idOffset > 0) {
        if (this.#sent.size >= this.#bounds.windowMax) break
        const packetId = this.#nextPacketId()
        this.#bytes[end + idOffset] = packetId >> 8
        this.#bytes[end + idOffset + 1] = packetId
      }
      end += size
      this.#head = (this.#head + 1) & mask
      this.count--
    }
    if (end === start) return null
    const run = this.#bytes.slice(start, end)
    this.#start = end
    this.sizeBytes -= end - start
    if (this.count === 0) this.#empty()
    return run
  }

  /** The client has acknowledged; an identifier that was not sent means nothing. */
  acknowledge(packetId: number): void {
    this.#sent.delete(packetId)
  }

  #nextPacketId(): number {
    do this.#lastPacketId = this.#lastPacketId === PACKET_ID_MAX ? 1 : this.#lastPacketId + 1
    while (this.#sent.has(this.#lastPacketId))
    this.#sent.add(this.#lastPacketId)
    return this.#lastPacketId
  }

  #reserve(size: number): void {
    if (this.count === this.#sizes.length) this.#growSlots()
    if (this.#end + size <= this.#bytes.length) return
    const used = this.#end - this.#start
    // Moved to the front only when half is free, so that a byte moves once in a while, not with every
    // message.
    const isMoveEnough = used + size <= this.#bytes.length / 2
    const bytes = isMoveEnough
      ? this.#bytes
      : new Uint8Array(Math.max(this.#bytes.length * 2, (used + size) * 2))
    if (isMoveEnough) bytes.copyWithin(0, this.#start, this.#end)
    else bytes.set(this.#bytes.subarray(this.#start, this.#end))
    this.#bytes = bytes
    this.#start = 0
    this.#end = used
  }

  #growSlots(): void {
    const from = this.#sizes.length
    const sizes = new Int32Array(from * 2)
    const idOffsets = new Uint16Array(from * 2)
    for (let i = 0; i < this.count; i++) {
      const slot = (this.#head + i) & (from - 1)
      sizes[i] = this.#sizes[slot]
      idOffsets[i] = this.#idOffsets[slot]
    }
    this.#sizes = sizes
    this.#idOffsets = idOffsets
    this.#head = 0
  }

  #empty(): void {
    this.#start = 0
    this.#end = 0
    if (this.#bytes.length > KEPT_SIZE_BYTES_MAX) this.#bytes = new Uint8Array(CAPACITY_BYTES_MIN)
  }
}

/** Writes what a subscriber of MQTT 5 gets into `properties`; returns the size. */
// hot: per message and subscriber
function writeProperties(message: Message, delivery: Delivery): number {
  const { identifiers } = delivery
  const forwardedSize = message.payloadStart - message.propertiesStart
  if (forwardedSize === 0 && identifiers.length === 0) return 0
  const sizeMax = forwardedSize + identifiers.length * SUBSCRIPTION_IDENTIFIER_SIZE_BYTES_MAX
  if (sizeMax > properties.length) properties = new Uint8Array(sizeMax * 2)
  const size = writeForwardedProperties(
    properties,
    0,
    message.bytes,
    message.propertiesStart,
    message.payloadStart,
    message.messageExpiryIntervalS,
  )
  return identifiers.reduce((at, identifier) => writeSubscriptionIdentifier(properties, at, identifier), size)
}

/** Size of the length field in a packet of that size. */
function varintSizeOfBody(packetSize: number): number {
  for (let size = 1; ; size++) if (varintSize(packetSize - 1 - size) === size) return size
}

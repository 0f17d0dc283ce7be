/**
 * Messages for one subscriber, encoded, in order, until its socket and its window take them. Owner: the
 * gateway's thread. Bounded by count and bytes: what does not fit is dropped by the caller, so that a slow
 * reader costs nobody else anything. Once sent only the identifier is kept: without kept sessions nothing is
 * sent twice.
 */
import type { ProtocolVersion, Qos } from '../../codecs/mqtt/packet.ts'
import { u32At } from '../../codecs/mqtt/properties.ts'
import { publishHeader, publishSize, writePublish } from '../../codecs/mqtt/publish.ts'
import {
  MESSAGE_EXPIRY_VALUE_OFFSET,
  SUBSCRIPTION_IDENTIFIER_SIZE_BYTES_MAX,
  writeForwardedProperties,
  writeMessageExpiry,
  writeSubscriptionIdentifier,
  writeU32,
} from '../../codecs/mqtt/publish-properties.ts'
import { varintSize } from '../../codecs/mqtt/varint.ts'
import { type Delivery, DeliveryOutcome, type Message } from './delivery.ts'
import { unrolled } from './unrolled.ts'

export interface OutboxBounds {
  countMax: number
  sizeBytesMax: number
  /** Messages of QoS 1 and 2 sent whose last answer has not come. */
  windowMax: number
  /** The largest packet the client takes; 0 for any. */
  packetSizeBytesMax: number
}

const CAPACITY_BYTES_MIN = 4096
const CAPACITY_COUNT_MIN = 16
const RUN_SIZE_BYTES_MAX = 64 << 10
/** An empty queue larger than this gives its memory back. */
const KEPT_SIZE_BYTES_MAX = 256 << 10
/** Higher ones are for what sessions send. */
const OWN_PACKET_ID_MAX = 0x7fff
/** Where a message that does not expire has its interval. */
const NOWHERE = 0

/** What a packet identifier waits for. */
export const Awaited = { NOTHING: 0, PUBACK: 1, PUBREC: 2, PUBCOMP: 3 } as const
export type Awaited = (typeof Awaited)[keyof typeof Awaited]

let properties = new Uint8Array(1024)

export class Outbox {
  /** Messages queued, and their bytes. */
  count = 0
  sizeBytes = 0
  /** Messages whose time ran out before they could be sent ([MQTT-3.3.2-5]). */
  expiredCount = 0
  #version: ProtocolVersion
  #bounds: OutboxBounds
  #bytes = new Uint8Array(CAPACITY_BYTES_MIN)
  #start = 0
  #end = 0
  #head = 0
  #sizes = new Int32Array(CAPACITY_COUNT_MIN)
  /** Where in the packet its identifier goes; 0 with QoS 0. */
  #idOffsets = new Uint16Array(CAPACITY_COUNT_MIN)
  #qos = new Uint8Array(CAPACITY_COUNT_MIN)
  /** The identifiers of those that have one already: a session's. 0 for one that is yet to be given. */
  #packetIds = new Uint16Array(CAPACITY_COUNT_MIN)
  /** Where in the packet the seconds are that it may still wait, and when they began to run. */
  #expiryOffsets = new Uint32Array(CAPACITY_COUNT_MIN)
  #ticks = new Float64Array(CAPACITY_COUNT_MIN)
  #sent = new Map<number, Awaited>()
  #lastPacketId = 0

  constructor(version: ProtocolVersion, bounds: OutboxBounds) {
    this.#version = version
    this.#bounds = bounds
  }

  /**
   * Encodes the message behind the others, unless it has to be dropped. `tick` counts seconds. One that has a
   * packet identifier is a session's: it is bounded there, and from here on does not expire.
   */
  // hot: per message and subscriber
  push(message: Message, delivery: Delivery, tick: number, packetId = 0, isDup = false): DeliveryOutcome {
    const bounds = this.#bounds
    const isBounded = packetId === 0
    if (isBounded && this.count >= bounds.countMax) return DeliveryOutcome.FULL
    const version = this.#version
    const qos = Math.min(message.qos, delivery.qos)
    const topicSize = message.topicEnd - message.topicStart
    const payloadSize = message.payloadEnd - message.payloadStart
    const propertiesSize = version === 5 ? writeProperties(message, delivery) : 0
    const size = publishSize(version, qos, topicSize, propertiesSize, payloadSize)
    if (bounds.packetSizeBytesMax > 0 && size > bounds.packetSizeBytesMax) return DeliveryOutcome.TOO_LARGE
    if (isBounded && this.sizeBytes + size > bounds.sizeBytesMax) return DeliveryOutcome.FULL
    this.#reserve(size)
    const header = publishHeader(qos as Qos, isDup, message.isRetain && delivery.isRetainKept)
    writePublish(
      this.#bytes,
      this.#end,
      version,
      header,
      OWN_PACKET_ID_MAX, // until `takeRun` gives it one
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
    const idOffset = 1 + varintSizeOfBody(size) + 2 + topicSize
    const idSize = qos === 0 ? 0 : 2
    const isExpiring = version === 5 && message.messageExpiryIntervalS >= 0
    this.#idOffsets[slot] = idOffset
    this.#qos[slot] = qos
    this.#packetIds[slot] = packetId
    // It is the first of the properties.
    const propertiesOffset = idOffset + idSize + varintSize(propertiesSize)
    this.#expiryOffsets[slot] = isExpiring ? propertiesOffset + MESSAGE_EXPIRY_VALUE_OFFSET : NOWHERE
    this.#ticks[slot] = tick
    this.#end += size
    this.sizeBytes += size
    this.count++
    return DeliveryOutcome.QUEUED
  }

  /**
   * Takes the messages that may be sent now, at most 64 KiB of them unless one is larger; null when there is
   * none.
   */
  takeRun(tick: number): Uint8Array | null {
    while (this.count > 0 && this.#leftS(this.#start, tick) < 0) this.#dropHead()
    const start = this.#start
    let end = start
    while (this.count > 0) {
      const size = this.#sizes[this.#head]
      if (end > start && end + size - start > RUN_SIZE_BYTES_MAX) break
      const leftS = this.#leftS(end, tick)
      if (leftS < 0) break // the next run begins behind it
      const qos = this.#qos[this.#head]
      if (qos > 0) {
        if (this.#sent.size >= this.#bounds.windowMax) break
        const packetId = this.#packetIds[this.#head] || this.#nextPacketId()
        this.#sent.set(packetId, qos === 1 ? Awaited.PUBACK : Awaited.PUBREC)
        const idOffset = end + this.#idOffsets[this.#head]
        this.#bytes[idOffset] = packetId >> 8
        this.#bytes[idOffset + 1] = packetId
      }
      const expiryOffset = this.#expiryOffsets[this.#head]
      if (expiryOffset !== NOWHERE) writeU32(this.#bytes, end + expiryOffset, leftS)
      end += size
      this.#head = (this.#head + 1) & (this.#sizes.length - 1)
      this.count--
    }
    if (end === start) return null
    const run = this.#bytes.slice(start, end)
    this.#start = end
    this.sizeBytes -= end - start
    if (this.count === 0) this.#empty()
    return run
  }

  awaited(packetId: number): Awaited {
    return this.#sent.get(packetId) ?? Awaited.NOTHING
  }

  /** The client's answer has come; `next` is what the identifier waits for now. */
  answered(packetId: number, next: Awaited): void {
    if (next === Awaited.NOTHING) this.#sent.delete(packetId)
    else this.#sent.set(packetId, next)
  }

  /** Seconds that the first message, which lies at `start`, may still wait; negative when its time is over. */
  #leftS(start: number, tick: number): number {
    const expiryOffset = this.#expiryOffsets[this.#head]
    if (expiryOffset === NOWHERE) return 0
    const intervalS = u32At(this.#bytes, start + expiryOffset)
    const leftS = intervalS - (tick - this.#ticks[this.#head])
    return this.#packetIds[this.#head] === 0 ? leftS : Math.max(0, leftS)
  }

  #dropHead(): void {
    const size = this.#sizes[this.#head]
    this.#start += size
    this.sizeBytes -= size
    this.#head = (this.#head + 1) & (this.#sizes.length - 1)
    this.count--
    this.expiredCount++
    if (this.count === 0) this.#empty()
  }

  #nextPacketId(): number {
    do this.#lastPacketId = this.#lastPacketId === OWN_PACKET_ID_MAX ? 1 : this.#lastPacketId + 1
    while (this.#sent.has(this.#lastPacketId))
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
    const capacity = this.#sizes.length * 2
    this.#sizes = unrolled(this.#sizes, new Int32Array(capacity), this.#head)
    this.#idOffsets = unrolled(this.#idOffsets, new Uint16Array(capacity), this.#head)
    this.#qos = unrolled(this.#qos, new Uint8Array(capacity), this.#head)
    this.#packetIds = unrolled(this.#packetIds, new Uint16Array(capacity), this.#head)
    this.#expiryOffsets = unrolled(this.#expiryOffsets, new Uint32Array(capacity), this.#head)
    this.#ticks = unrolled(this.#ticks, new Float64Array(capacity), this.#head)
    this.#head = 0
  }

  #empty(): void {
    this.#start = 0
    this.#end = 0
    if (this.#bytes.length > KEPT_SIZE_BYTES_MAX) this.#bytes = new Uint8Array(CAPACITY_BYTES_MIN)
  }
}

/** Writes what a subscriber of MQTT 5 gets into `properties`, the time that is left first; returns the size. */
// hot: per message and subscriber
function writeProperties(message: Message, delivery: Delivery): number {
  const { identifiers } = delivery
  const { bytes, propertiesStart, payloadStart, messageExpiryIntervalS } = message
  const forwardedSize = payloadStart - propertiesStart
  if (forwardedSize === 0 && identifiers.length === 0) return 0
  const sizeMax = forwardedSize + identifiers.length * SUBSCRIPTION_IDENTIFIER_SIZE_BYTES_MAX
  if (sizeMax > properties.length) properties = new Uint8Array(sizeMax * 2)
  let size = messageExpiryIntervalS < 0 ? 0 : writeMessageExpiry(properties, 0, messageExpiryIntervalS)
  size = writeForwardedProperties(properties, size, bytes, propertiesStart, payloadStart)
  for (const identifier of identifiers) size = writeSubscriptionIdentifier(properties, size, identifier)
  return size
}

/** Size of the length field in a packet of that size. */
function varintSizeOfBody(packetSize: number): number {
  for (let size = 1; ; size++) if (varintSize(packetSize - 1 - size) === size) return size
}

/**
 * One MQTT connection as a state machine over a Transport: bytes come in by `receive`, answers leave by `transport.write`.
 * Owner: the gateway's thread. Invariants: PUBACKs leave in the order of the PUBLISHes; what is not parsed is held, in order;
 * a paused connection is read again only after all it holds was taken.
 */
import { hashBytes } from '../../base/hash.ts'
import { messageRecordSize, RecordFlag, writeMessageRecord } from '../../codecs/journal/record.ts'
import { encodeDisconnect, PINGRESP } from '../../codecs/mqtt/answers.ts'
import { readDisconnect } from '../../codecs/mqtt/disconnect.ts'
import { cutFrames } from '../../codecs/mqtt/frame.ts'
import {
  areHeaderFlagsValid,
  MqttError,
  PacketType,
  type ProtocolVersion,
  ReasonCode,
} from '../../codecs/mqtt/packet.ts'
import { readPublish } from '../../codecs/mqtt/publish.ts'
import { AckQueue, NO_SHARD } from './ack-queue.ts'
import { type CloseReason, CloseReasons, closeReasonOf } from './close-reason.ts'
import { answerConnect, TOPIC_ALIAS_MAXIMUM } from './connect-handshake.ts'
import { ConnectionTopics } from './connection-topics.ts'
import type { Client, GatewayContext } from './gateway-context.ts'
import { InboundBytes } from './inbound-bytes.ts'
import type { ShardLane } from './shard-lane.ts'
import type { Transport } from './transport.ts'

/** A first packet may have this size; it is a CONNECT. */
export const CONNECT_SIZE_BYTES_MAX = 64 << 10
/** What a connection that cannot be paused may send into a full ring. */
const HELD_SIZE_BYTES_MAX = 256 << 10
/** Answers other than PUBACKs that wait in a socket. */
const UNREAD_SIZE_BYTES_MAX = 64 << 10
/** Of `#publish`: there is no room now. Not a ReasonCode. */
const BLOCKED = -1

const Phase = { CONNECTING: 0, OPEN: 1, CLOSED: 2 } as const
type Phase = (typeof Phase)[keyof typeof Phase]

export class MqttConnection implements Client {
  number = 0
  blockedOn: ShardLane | null = null
  clientId = ''
  #context: GatewayContext
  #transport: Transport
  #phase: Phase = Phase.CONNECTING
  #version: ProtocolVersion = 4
  #sizeMax: number
  #inbound = new InboundBytes()
  #topics: ConnectionTopics | null = null
  #acks: AckQueue | null = null
  #isWaitingForAcks = false
  #keepAliveTicks = 0
  #receivedTick: number

  constructor(context: GatewayContext, transport: Transport) {
    this.#context = context
    this.#transport = transport
    this.#receivedTick = context.tick
    this.#sizeMax = Math.min(CONNECT_SIZE_BYTES_MAX, context.packetSizeBytesMax)
    context.clients.add(this)
  }

  get isClosed(): boolean {
    return this.#phase === Phase.CLOSED
  }

  get isSettled(): boolean {
    return this.#acks === null || this.#acks.count === 0
  }

  get isPaused(): boolean {
    return this.blockedOn !== null || this.#isWaitingForAcks
  }

  /** Takes one socket read: bytes[start, end), before which `headroomSizeBytes` may be overwritten. */
  // hot: per batch
  receive(bytes: Uint8Array, start: number, end: number, headroomSizeBytes: number): void {
    const context = this.#context
    if (this.isClosed || context.isDraining) return
    context.setTime()
    context.counters.bytesReceived += end - start
    this.#receivedTick = context.tick
    if (this.isPaused) this.#hold(bytes, start, end)
    else this.#join(bytes, start, end, headroomSizeBytes)
    this.#endRead()
  }

  /** The transport's buffer is empty again. */
  drained(): void {
    if (this.#phase !== Phase.OPEN) return
    this.#context.setTime()
    this.settle()
  }

  /** The transport is gone. */
  closed(): void {
    this.#finish(CloseReasons.lost)
  }

  /** Ends the connection from this side. */
  end(reason: CloseReason): void {
    if (this.isClosed) return
    if (this.#version === 5 && this.#phase === Phase.OPEN && reason.reasonCode >= 0x80) {
      this.#transport.write(encodeDisconnect(reason.reasonCode))
    }
    this.#finish(reason)
    this.#transport.close(reason.webSocketCode)
  }

  /** Sends the PUBACKs whose messages are durable, and goes on reading where that was waited for. */
  // hot: per batch
  settle(): void {
    if (this.#phase !== Phase.OPEN) return
    this.#sendAcks()
    if (this.#isWaitingForAcks && !this.#isAckBoundReached()) this.#resume()
  }

  retry(): void {
    this.#resume()
  }

  /** Once a second. */
  sweep(): void {
    const idleTicks = this.#context.tick - this.#receivedTick
    if (this.#phase === Phase.CONNECTING) {
      if (idleTicks * 1000 > this.#context.limits.connectTimeoutMs) this.end(CloseReasons.connectTimeout)
    } else if (this.#keepAliveTicks > 0 && idleTicks > this.#keepAliveTicks && !this.isPaused) {
      this.end(CloseReasons.keepAlive)
    } else if (this.#acks?.count === 0 && idleTicks > IDLE_TICKS) {
      this.#acks = null
    }
  }

  /** Puts what is held before the new bytes, and parses. */
  #join(bytes: Uint8Array, start: number, end: number, headroomSizeBytes: number): void {
    const inbound = this.#inbound
    if (inbound.held === null) {
      this.#parse(bytes, start, end)
      return
    }
    if (inbound.needed > 0) {
      const rest = start + inbound.append(bytes, start, end)
      if (inbound.size < inbound.needed) return
      const packet = inbound.take()
      this.#parse(packet, 0, packet.length)
      if (rest === end || this.isClosed) return
      if (this.isPaused) this.#hold(bytes, rest, end)
      else this.#parse(bytes, rest, end)
      return
    }
    const { size } = inbound
    const held = inbound.take()
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

  #hold(bytes: Uint8Array, start: number, end: number): void {
    this.#inbound.append(bytes, start, end)
    if (this.#inbound.size > HELD_SIZE_BYTES_MAX + this.#sizeMax) this.end(CloseReasons.overrun)
  }

  /** Takes all whole packets, and keeps what is left. */
  // hot: per batch
  #parse(bytes: Uint8Array, start: number, end: number): void {
    const { frames } = this.#context
    let offset = start
    for (;;) {
      const sizeMax = this.#sizeMax
      const cut = cutFrames(bytes, offset, end, sizeMax, frames)
      const { count, fault } = frames
      const taken = this.#takeFrames(bytes, count)
      if (this.isClosed) return
      if (taken < count) {
        if (taken > 0) offset = frames.bodyEnd[taken - 1]
        this.#inbound.append(bytes, offset, end)
        return
      }
      offset = cut
      if (count === frames.capacity || sizeMax !== this.#sizeMax) continue
      if (fault === 0) break
      this.end(closeReasonOf(fault))
      return
    }
    if (offset < end) this.#inbound.keepStart(bytes, offset, end, frames.needed)
  }

  /** Handles frames in order; returns how many were taken before the connection was paused or closed. */
  // hot: per message
  #takeFrames(bytes: Uint8Array, count: number): number {
    const { header, bodyStart, bodyEnd } = this.#context.frames
    for (let i = 0; i < count; i++) {
      const first = header[i]
      let fault = 0
      if (first >> 4 === PacketType.PUBLISH && this.#topics !== null) {
        fault = this.#publish(bytes, first, bodyStart[i], bodyEnd[i], this.#topics)
        if (fault === BLOCKED) return i
      } else {
        fault = this.#control(bytes, first, bodyStart[i], bodyEnd[i])
      }
      if (fault !== 0) this.end(closeReasonOf(fault))
      if (this.#phase === Phase.CLOSED) return i
    }
    return count
  }

  /** Returns 0, a ReasonCode, or BLOCKED with the connection paused and nothing done. */
  // hot: per message
  #publish(
    bytes: Uint8Array,
    header: number,
    bodyStart: number,
    bodyEnd: number,
    topics: ConnectionTopics,
  ): number {
    const context = this.#context
    const { publishFields: fields, counters } = context
    let fault = readPublish(bytes, header, bodyStart, bodyEnd, this.#version, fields)
    if (fault !== 0) return fault
    const { qos } = fields
    if (qos === 2) return ReasonCode.QOS_NOT_SUPPORTED
    if (fields.isRetain && this.#version === 5) return ReasonCode.RETAIN_NOT_SUPPORTED
    fault = topics.find(bytes, fields)
    if (fault !== 0) return fault
    if (qos === 1 && this.#isAckBoundReached()) {
      if (this.#version === 5) return ReasonCode.RECEIVE_MAXIMUM_EXCEEDED
      this.#isWaitingForAcks = true
      return this.#pause()
    }
    const { route } = topics
    let end = 0
    let shard = NO_SHARD
    if (route.isMatched) {
      const lane = context.lanes[route.shard]
      const { producer } = lane
      const size = messageRecordSize(route.topicSize, fields.payloadEnd - fields.payloadStart)
      const at = lane.isTaken(this) ? -1 : producer.claim(size)
      if (at < 0) {
        this.blockedOn = lane
        lane.block(this, context.nowMs)
        return this.#pause()
      }
      writeMessageRecord(
        producer.views,
        at,
        route,
        header & RECORD_FLAGS,
        context.nowMs,
        fields.packetId,
        this.number,
        route.topic,
        0,
        route.topicSize,
        bytes,
        fields.payloadStart,
        fields.payloadEnd,
      )
      producer.commit(size)
      counters.recordsWritten++
      shard = route.shard
      end = producer.position
      if (qos === 1) lane.waitingCount++
    } else {
      counters.unmatched++
    }
    if (qos === 0) {
      counters.messagesQos0++
    } else {
      counters.messagesQos1++
      this.#acks ??= new AckQueue()
      this.#acks.push(end, fields.packetId, shard, context.nowUs)
    }
    return 0
  }

  /** Everything but a PUBLISH of an open connection. Returns 0 or a ReasonCode. */
  #control(bytes: Uint8Array, header: number, bodyStart: number, bodyEnd: number): number {
    const type = header >> 4
    if (this.#phase === Phase.CONNECTING) {
      if (header !== PacketType.CONNECT << 4) this.end(CloseReasons.notMqtt)
      else this.#connect(bytes, bodyStart, bodyEnd)
      return 0
    }
    if (!areHeaderFlagsValid(header)) return ReasonCode.MALFORMED_PACKET
    try {
      switch (type) {
        case PacketType.PINGREQ:
          if (bodyStart !== bodyEnd) return ReasonCode.MALFORMED_PACKET
          this.#answer(PINGRESP)
          return 0
        case PacketType.DISCONNECT:
          readDisconnect(bytes, bodyStart, bodyEnd, this.#version)
          this.end(CloseReasons.client)
          return 0
        default: // a second CONNECT, what only servers send, QoS 2, AUTH
          return ReasonCode.PROTOCOL_ERROR
      }
    } catch (error) {
      if (error instanceof MqttError) return error.reasonCode
      throw error
    }
  }

  #connect(bytes: Uint8Array, bodyStart: number, bodyEnd: number): void {
    const context = this.#context
    const { counters, clientsById } = context
    const result = answerConnect(context, bytes, bodyStart, bodyEnd)
    if (!result.isAccepted) {
      counters.connectsRefused++
      if (result.answer.length > 0) this.#transport.write(result.answer)
      this.end(closeReasonOf(result.reasonCode))
      return
    }
    const { clientId, keepAliveS, number } = result
    this.#phase = Phase.OPEN
    this.#version = result.version
    this.#sizeMax = context.packetSizeBytesMax
    this.#keepAliveTicks = keepAliveS === 0 ? 0 : Math.ceil(keepAliveS * 1.5) + 1
    this.number = number
    this.clientId = clientId
    const id = Buffer.from(clientId)
    this.#topics = new ConnectionTopics(context.router, hashBytes(id, 0, id.length), TOPIC_ALIAS_MAXIMUM)
    counters.connectsAccepted++
    counters.connections++
    clientsById.get(clientId)?.end(CloseReasons.takenOver)
    clientsById.set(clientId, this)
    this.#answer(result.answer)
  }

  /** Writes an answer that is not a PUBACK; a client that reads none of them is let go. */
  #answer(bytes: Uint8Array): void {
    this.#transport.write(bytes)
    if (this.#transport.bufferedBytes > UNREAD_SIZE_BYTES_MAX) this.end(CloseReasons.slowReader)
  }

  #isAckBoundReached(): boolean {
    return this.#acks !== null && this.#acks.count >= this.#context.limits.receiveMaximum
  }

  // hot: per batch
  #sendAcks(): void {
    const context = this.#context
    const acks = this.#acks
    // Behind unread bytes they stay in the queue, which is bounded; `drained` sends them.
    while (acks?.isReady(context.durable) && this.#transport.bufferedBytes === 0) {
      const before = acks.count
      const size = acks.take(context.durable, context.ackBuffer, context.counters)
      context.counters.acknowledged += before - acks.count
      if (!this.#transport.write(context.ackBuffer.subarray(0, size))) context.replaceAckBuffer()
    }
  }

  // hot: per batch
  #endRead(): void {
    this.#context.endRead(this)
    if (this.#acks?.isReady(this.#context.durable)) this.settle()
  }

  #pause(): typeof BLOCKED {
    this.#context.counters.pausedConnections++
    this.#transport.pause()
    return BLOCKED
  }

  /** Takes what is held; reads on unless that paused the connection again. */
  #resume(): void {
    const context = this.#context
    this.blockedOn = null
    this.#isWaitingForAcks = false
    context.counters.pausedConnections--
    if (context.isDraining) return
    const held = this.#inbound.take()
    this.#parse(held, 0, held.length)
    context.endRead(this)
    if (this.isPaused || this.isClosed) return
    this.#receivedTick = context.tick
    this.#transport.resume()
    if (this.#acks?.isReady(context.durable)) this.#sendAcks()
  }

  #finish(reason: CloseReason): void {
    if (this.isClosed) return
    const { counters, clients, clientsById } = this.#context
    if (this.#phase === Phase.OPEN) counters.connections--
    if (this.isPaused) counters.pausedConnections--
    this.#phase = Phase.CLOSED
    this.blockedOn = null
    this.#isWaitingForAcks = false
    this.#inbound.clear()
    counters.disconnected(reason)
    clients.delete(this)
    if (clientsById.get(this.clientId) === this) clientsById.delete(this.clientId)
  }
}

/** After this many quiet seconds the queue of acknowledgements gives its memory back. */
const IDLE_TICKS = 10
/** Of a PUBLISH's first byte, what a record keeps: retain, QoS 1, DUP. */
const RECORD_FLAGS = RecordFlag.RETAIN | RecordFlag.QOS_1 | RecordFlag.DUP

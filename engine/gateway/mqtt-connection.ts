/**
 * One MQTT connection as a state machine over a Transport: bytes come in by `receive`, answers leave by `transport.write`.
 * Owner: the gateway's thread. Invariants: PUBACKs leave in the order of the PUBLISHes; a PUBLISH is taken whole (record,
 * acknowledgement, delivery) or not at all; a paused connection is read again only after all it holds was taken.
 */
import { hashBytes } from '../../base/hash.ts'
import { messageRecordSize, RecordFlag, writeMessageRecord } from '../../codecs/journal/record.ts'
import { readAck } from '../../codecs/mqtt/ack.ts'
import { encodeDisconnect, PINGRESP } from '../../codecs/mqtt/answers.ts'
import { readDisconnect } from '../../codecs/mqtt/disconnect.ts'
import {
  areHeaderFlagsValid,
  MqttError,
  PacketType,
  type ProtocolVersion,
  ReasonCode,
} from '../../codecs/mqtt/packet.ts'
import { type PublishFields, readPublish } from '../../codecs/mqtt/publish.ts'
import { readSubscribe, readUnsubscribe } from '../../codecs/mqtt/subscribe.ts'
import { AckQueue, NO_SHARD } from './ack-queue.ts'
import { ClientSubscriber } from './client-subscriber.ts'
import { type CloseReason, CloseReasons, closeReasonOf } from './close-reason.ts'
import { type AcceptedConnect, answerConnect, TOPIC_ALIAS_MAXIMUM } from './connect-handshake.ts'
import { ConnectionTopics } from './connection-topics.ts'
import type { Client, GatewayContext } from './gateway-context.ts'
import { PacketStream } from './packet-stream.ts'
import type { ShardLane } from './shard-lane.ts'
import type { TopicRoute } from './topic-router.ts'
import type { Transport } from './transport.ts'

/** A first packet may have this size; it is a CONNECT. */
const CONNECT_SIZE_BYTES_MAX = 64 << 10
/** Answers other than PUBACKs that wait in a socket. */
const UNREAD_SIZE_BYTES_MAX = 64 << 10
/** After this many quiet seconds the queue of acknowledgements gives its memory back. */
const IDLE_TICKS = 10
/** Of a PUBLISH's first byte, what a record keeps. */
const RECORD_FLAGS = RecordFlag.RETAIN | RecordFlag.QOS_1 | RecordFlag.DUP
/** Of `#publish`: there is no room now. Not a ReasonCode. */
const BLOCKED = -1

const Phase = { CONNECTING: 0, OPEN: 1, CLOSED: 2 } as const
type Phase = (typeof Phase)[keyof typeof Phase]

export class MqttConnection implements Client {
  number = 0
  blockedOn: ShardLane | null = null
  packetSizeBytesMax: number
  #context: GatewayContext
  #transport: Transport
  #stream: PacketStream
  #phase: Phase = Phase.CONNECTING
  #connect: AcceptedConnect | null = null
  #version: ProtocolVersion = 4
  #topics: ConnectionTopics | null = null
  #acks: AckQueue | null = null
  #isWaitingForAcks = false
  #subscriber: ClientSubscriber | null = null
  #keepAliveTicks = 0
  #receivedTick: number

  constructor(context: GatewayContext, transport: Transport) {
    this.#context = context
    this.#transport = transport
    this.#stream = new PacketStream(context.frames, this)
    this.#receivedTick = context.tick
    this.packetSizeBytesMax = Math.min(CONNECT_SIZE_BYTES_MAX, context.packetSizeBytesMax)
    context.clients.add(this)
  }

  get isClosed(): boolean {
    return this.#phase === Phase.CLOSED
  }

  get isPaused(): boolean {
    return this.blockedOn !== null || this.#isWaitingForAcks
  }

  get isSettled(): boolean {
    return this.#acks === null || this.#acks.count === 0
  }

  /** Takes one socket read: bytes[start, end), before which `headroomSizeBytes` may be overwritten. */
  // hot: per batch
  receive(bytes: Uint8Array, start: number, end: number, headroomSizeBytes: number): void {
    const context = this.#context
    if (this.isClosed || context.isDraining) return
    context.setTime()
    context.counters.bytesReceived += end - start
    // The time for CONNECT runs from the accept.
    if (this.#phase === Phase.OPEN) this.#receivedTick = context.tick
    this.#stream.receive(bytes, start, end, headroomSizeBytes)
    context.endRead(this)
    if (this.#acks?.isReady(context.durable)) this.settle()
  }

  /** The transport's buffer is empty again. */
  drained(): void {
    if (this.#phase !== Phase.OPEN) return
    this.#context.setTime()
    this.settle()
    this.#subscriber?.flush()
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

  refuse(reasonCode: number): void {
    this.end(closeReasonOf(reasonCode))
  }

  /** A WebSocket brought a text frame: MQTT is binary ([MQTT-6.0.0-1]). */
  refuseText(): void {
    this.end(CloseReasons.textFrame)
  }

  overrun(): void {
    this.end(CloseReasons.overrun)
  }

  /** Sends the PUBACKs whose messages are durable, and goes on reading where that was waited for. */
  // hot: per batch
  settle(): void {
    if (this.#phase !== Phase.OPEN) return
    this.#sendAcks()
    if (this.#isWaitingForAcks && !this.#isAckBoundReached()) this.retry()
  }

  /** Takes what is held, and reads on unless that paused the connection again. */
  retry(): void {
    const context = this.#context
    this.blockedOn = null
    this.#isWaitingForAcks = false
    context.counters.pausedConnections--
    if (context.isDraining) return
    this.#stream.resume()
    context.endRead(this)
    if (this.isPaused || this.isClosed) return
    this.#receivedTick = context.tick
    this.#transport.resume()
    if (this.#acks?.isReady(context.durable)) this.#sendAcks()
  }

  /** Once a second. Keep-alive is suspended while the connection is not read. */
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

  // hot: per message
  takePackets(bytes: Uint8Array, count: number): number {
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
      if (fault !== 0) this.refuse(fault)
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
    const { publishFields: fields, counters, exchange } = context
    let fault = readPublish(bytes, header, bodyStart, bodyEnd, this.#version, fields)
    if (fault !== 0) return fault
    const { qos } = fields
    if (qos === 2) return ReasonCode.QOS_NOT_SUPPORTED
    if (fields.isRetain && this.#version === 5) return ReasonCode.RETAIN_NOT_SUPPORTED
    fault = topics.find(bytes, fields)
    if (fault !== 0) return fault
    const { route } = topics
    if (qos === 1 && this.#isAckBoundReached()) {
      if (this.#version === 5) return ReasonCode.RECEIVE_MAXIMUM_EXCEEDED
      this.#isWaitingForAcks = true
      return this.#pause()
    }
    if (route.isMatched) {
      if (!this.#writeRecord(bytes, header, fields, route)) return this.#pause()
    } else {
      counters.unmatched++
    }
    if (qos === 0) counters.messagesQos0++
    else this.#expectAck(fields.packetId, route)
    if (exchange.hasSubscriptions) this.#deliver(bytes, fields, route)
    return 0
  }

  /** Copies the message into its shard's ring; false, with the connection queued, when there is no room. */
  // hot: per message
  #writeRecord(bytes: Uint8Array, header: number, fields: PublishFields, route: TopicRoute): boolean {
    const context = this.#context
    const lane = context.lanes[route.shard]
    const { producer } = lane
    const { topicSize } = route
    const { payloadStart, payloadEnd } = fields
    const size = messageRecordSize(topicSize, payloadEnd - payloadStart)
    const at = lane.isTaken(this) ? -1 : producer.claim(size)
    if (at < 0) {
      this.blockedOn = lane
      lane.block(this, context.nowMs)
      return false
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
      topicSize,
      bytes,
      payloadStart,
      payloadEnd,
    )
    producer.commit(size)
    context.counters.recordsWritten++
    return true
  }

  // hot: per message
  #expectAck(packetId: number, route: TopicRoute): void {
    const context = this.#context
    context.counters.messagesQos1++
    this.#acks ??= new AckQueue()
    if (!route.isMatched) {
      this.#acks.push(0, packetId, NO_SHARD, context.nowUs)
      return
    }
    const lane = context.lanes[route.shard]
    lane.waitingCount++
    this.#acks.push(lane.producer.position, packetId, route.shard, context.nowUs)
  }

  // hot: per message, while anyone subscribes to anything
  #deliver(bytes: Uint8Array, fields: PublishFields, route: TopicRoute): void {
    const { exchange } = this.#context
    const { message } = exchange
    message.topic = route.topic
    message.topicStart = 0
    message.topicEnd = route.topicSize
    message.bytes = bytes
    message.propertiesStart = fields.propertiesStart
    message.payloadStart = fields.payloadStart
    message.payloadEnd = fields.payloadEnd
    message.qos = fields.qos
    message.isRetain = fields.isRetain
    message.messageExpiryIntervalS = Math.max(fields.messageExpiryIntervalS, 0)
    exchange.publish(route, this.#subscriber)
  }

  /** Everything but a PUBLISH of an open connection. Returns 0 or a ReasonCode. */
  #control(bytes: Uint8Array, header: number, bodyStart: number, bodyEnd: number): number {
    if (this.#phase === Phase.CONNECTING) {
      if (header === PacketType.CONNECT << 4) this.#open(bytes, bodyStart, bodyEnd)
      else this.end(CloseReasons.notMqtt)
      return 0
    }
    if (!areHeaderFlagsValid(header)) return ReasonCode.MALFORMED_PACKET
    if (header >> 4 === PacketType.PUBACK) return this.#takeAck(bytes, bodyStart, bodyEnd)
    try {
      return this.#rare(bytes, header >> 4, bodyStart, bodyEnd)
    } catch (error) {
      if (error instanceof MqttError) return error.reasonCode
      throw error
    }
  }

  #rare(bytes: Uint8Array, type: number, bodyStart: number, bodyEnd: number): number {
    const version = this.#version
    switch (type) {
      case PacketType.PINGREQ:
        if (bodyStart !== bodyEnd) return ReasonCode.MALFORMED_PACKET
        this.#answer(PINGRESP)
        return 0
      case PacketType.SUBSCRIBE: {
        const answer = this.#subscriberMade().subscribe(readSubscribe(bytes, bodyStart, bodyEnd, version))
        this.#context.exchange.whenKnown(() => this.#answer(answer))
        return 0
      }
      case PacketType.UNSUBSCRIBE:
        this.#answer(this.#subscriberMade().unsubscribe(readUnsubscribe(bytes, bodyStart, bodyEnd, version)))
        return 0
      case PacketType.DISCONNECT:
        readDisconnect(bytes, bodyStart, bodyEnd, version)
        this.end(CloseReasons.client)
        return 0
      default: // a second CONNECT, what only servers send, the packets of QoS 2, AUTH
        return ReasonCode.PROTOCOL_ERROR
    }
  }

  #open(bytes: Uint8Array, bodyStart: number, bodyEnd: number): void {
    const context = this.#context
    const { counters, clientsById } = context
    const connect = answerConnect(context, bytes, bodyStart, bodyEnd)
    if (!connect.isAccepted) {
      counters.connectsRefused++
      if (connect.answer.length > 0) this.#transport.write(connect.answer)
      this.refuse(connect.reasonCode)
      return
    }
    const { clientId, keepAliveS, number } = connect
    this.#phase = Phase.OPEN
    this.#receivedTick = context.tick
    this.#connect = connect
    this.#version = connect.version
    this.number = number
    this.packetSizeBytesMax = context.packetSizeBytesMax
    this.#keepAliveTicks = keepAliveS === 0 ? 0 : Math.ceil(keepAliveS * 1.5) + 1
    const id = Buffer.from(clientId)
    this.#topics = new ConnectionTopics(context.router, hashBytes(id, 0, id.length), TOPIC_ALIAS_MAXIMUM)
    counters.connectsAccepted++
    counters.connections++
    clientsById.get(clientId)?.end(CloseReasons.takenOver)
    clientsById.set(clientId, this)
    for (const peer of context.exchange.peers) peer.post({ kind: 'connected', clientId, number })
    this.#answer(connect.answer)
  }

  #takeAck(bytes: Uint8Array, bodyStart: number, bodyEnd: number): number {
    const { ackFields } = this.#context
    const fault = readAck(bytes, bodyStart, bodyEnd, this.#version, ackFields)
    if (fault === 0) this.#subscriber?.acknowledge(ackFields.packetId)
    return fault
  }

  #subscriberMade(): ClientSubscriber {
    const { exchange, counters, limits } = this.#context
    const connect = this.#connect!
    this.#subscriber ??= new ClientSubscriber(exchange, this.#transport, counters, connect.version, {
      countMax: limits.subscriberQueueCountMax,
      sizeBytesMax: limits.subscriberQueueSizeBytesMax,
      windowMax: Math.min(connect.receiveMaximum, limits.receiveMaximum),
      packetSizeBytesMax: connect.packetSizeBytesMax,
    })
    return this.#subscriber
  }

  /** Writes an answer that is not a PUBACK; a client that reads none of them is let go. */
  #answer(bytes: Uint8Array): void {
    if (this.isClosed) return
    this.#transport.write(bytes)
    if (this.#transport.bufferedBytes > UNREAD_SIZE_BYTES_MAX) this.end(CloseReasons.slowReader)
  }

  // hot: per message
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

  #pause(): typeof BLOCKED {
    this.#context.counters.pausedConnections++
    this.#transport.pause()
    return BLOCKED
  }

  #finish(reason: CloseReason): void {
    if (this.isClosed) return
    const { counters, clients, clientsById } = this.#context
    if (this.#phase === Phase.OPEN) counters.connections--
    if (this.isPaused) counters.pausedConnections--
    this.#phase = Phase.CLOSED
    this.blockedOn = null
    this.#isWaitingForAcks = false
    this.#acks = null
    this.#stream.clear()
    this.#subscriber?.close()
    counters.disconnected(reason)
    clients.delete(this)
    const clientId = this.#connect?.clientId
    if (clientId !== undefined && clientsById.get(clientId) === this) clientsById.delete(clientId)
  }
}

/**
 * The publishing half of an MQTT connection: a PUBLISH becomes a record in its shard's ring, a place in the
 * queue of acknowledgements and deliveries, all of them or none. Owner: the gateway's thread. Invariant:
 * PUBACKs leave in the order of the PUBLISHes, and none before its record is durable.
 */
import { hashBytes } from '../../base/hash.ts'
import { messageRecordSize, RecordFlag, writeMessageRecord } from '../../codecs/journal/record.ts'
import { type ProtocolVersion, ReasonCode } from '../../codecs/mqtt/packet.ts'
import { type PublishFields, readPublish } from '../../codecs/mqtt/publish.ts'
import { AckQueue, NO_SHARD } from './ack-queue.ts'
import { TOPIC_ALIAS_MAXIMUM } from './connect/connack.ts'
import type { AcceptedConnect } from './connect/connect-attempt.ts'
import { ConnectionTopics } from './connection-topics.ts'
import type { Subscriber } from './delivery.ts'
import type { GatewayContext } from './gateway-context.ts'
import type { LaneUser, ShardLane } from './shard-lane.ts'
import type { TopicRoute } from './topic-router.ts'
import type { Transport } from './transport.ts'

/** Of `take`: there is no room now, and nothing was done. Not a ReasonCode. */
export const BLOCKED = -1
/** Of a PUBLISH's first byte, what a record keeps. */
const RECORD_FLAGS = RecordFlag.RETAIN | RecordFlag.QOS_1 | RecordFlag.DUP

export class PublishIntake {
  /**
   * The lane that has no room, after BLOCKED; null when it is the acknowledgements that have to leave first.
   */
  blockedOn: ShardLane | null = null
  #context: GatewayContext
  #user: LaneUser
  #version: ProtocolVersion
  #number: number
  #topics: ConnectionTopics
  #acks: AckQueue | null = null

  constructor(context: GatewayContext, user: LaneUser, { version, number, clientId }: AcceptedConnect) {
    const id = Buffer.from(clientId)
    this.#context = context
    this.#user = user
    this.#version = version
    this.#number = number
    this.#topics = new ConnectionTopics(context.router, hashBytes(id, 0, id.length), TOPIC_ALIAS_MAXIMUM)
  }

  get isSettled(): boolean {
    return this.#acks === null || this.#acks.count === 0
  }

  /** Too much is unacknowledged to take another message of QoS 1. */
  get isBoundReached(): boolean {
    return this.#acks !== null && this.#acks.count >= this.#context.limits.receiveMaximum
  }

  /**
   * Returns 0, a ReasonCode, or BLOCKED. `subscriber` is the connection itself, as one that may not want its
   * own messages.
   */
  // hot: per message
  take(
    bytes: Uint8Array,
    header: number,
    bodyStart: number,
    bodyEnd: number,
    subscriber: Subscriber | null,
  ): number {
    const { publishFields: fields, counters, exchange } = this.#context
    let fault = readPublish(bytes, header, bodyStart, bodyEnd, this.#version, fields)
    if (fault !== 0) return fault
    const { qos } = fields
    if (qos === 2) return ReasonCode.QOS_NOT_SUPPORTED
    if (fields.isRetain && this.#version === 5) return ReasonCode.RETAIN_NOT_SUPPORTED
    fault = this.#topics.find(bytes, fields)
    if (fault !== 0) return fault
    if (qos === 1 && this.isBoundReached) {
      return this.#version === 5 ? ReasonCode.RECEIVE_MAXIMUM_EXCEEDED : BLOCKED
    }
    const { route } = this.#topics
    if (!route.isMatched) counters.unmatched++
    else if (!this.#writeRecord(bytes, header, fields, route)) return BLOCKED
    if (qos === 0) counters.messagesQos0++
    else this.#expectAck(fields.packetId, route)
    if (exchange.hasSubscriptions) this.#deliver(bytes, fields, route, subscriber)
    return 0
  }

  /** Writes the PUBACKs whose messages are durable, all in one go. */
  // hot: per batch
  sendAcks(transport: Transport): void {
    const context = this.#context
    const acks = this.#acks
    // Behind unread bytes they stay in the queue, which is bounded.
    while (acks?.isReady(context.durable) && transport.bufferedBytes === 0) {
      const before = acks.count
      const size = acks.take(context.durable, context.ackBuffer, context.counters)
      context.counters.acknowledged += before - acks.count
      if (!transport.write(context.ackBuffer.subarray(0, size))) context.replaceAckBuffer()
    }
  }

  /** Gives the memory of an idle connection's queue back. */
  trim(): void {
    if (this.#acks?.count === 0) this.#acks = null
  }

  /**
   * Copies the message into its shard's ring; false, with the connection queued there, when there is no room.
   */
  // hot: per message
  #writeRecord(bytes: Uint8Array, header: number, fields: PublishFields, route: TopicRoute): boolean {
    const context = this.#context
    const lane = context.lanes[route.shard]
    const { producer } = lane
    const { topicSize } = route
    const { payloadStart, payloadEnd } = fields
    const size = messageRecordSize(topicSize, payloadEnd - payloadStart)
    const at = lane.isTaken(this.#user) ? -1 : producer.claim(size)
    if (at < 0) {
      this.blockedOn = lane
      lane.block(this.#user, context.nowMs)
      return false
    }
    writeMessageRecord(
      producer.views,
      at,
      route,
      header & RECORD_FLAGS,
      context.nowMs,
      fields.packetId,
      this.#number,
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
  #deliver(bytes: Uint8Array, fields: PublishFields, route: TopicRoute, subscriber: Subscriber | null): void {
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
    exchange.publish(route, subscriber)
  }
}

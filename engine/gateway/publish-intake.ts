/**
 * The publishing half of an MQTT connection: a PUBLISH becomes a record in its shard's ring, a place in the
 * queue of answers and deliveries, all of them or none. Owner: the gateway's thread.
 */
import { assert } from '../../base/assert.ts'
import { hashBytes } from '../../base/hash.ts'
import { messageRecordSize, RecordFlag, writeMessageRecord } from '../../codecs/journal/record.ts'
import { type ProtocolVersion, ReasonCode } from '../../codecs/mqtt/packet.ts'
import { type PublishFields, readPublish } from '../../codecs/mqtt/publish.ts'
import { NO_EXPIRY, publishRecordSize, writePublishRecord } from '../../codecs/session/record.ts'
import type { ClientSession } from './client-session.ts'
import { TOPIC_ALIAS_MAXIMUM } from './connect/connack.ts'
import type { AcceptedConnect } from './connect/connect-attempt.ts'
import { ConnectionTopics, NOT_ALLOWED } from './connection-topics.ts'
import type { Subscriber } from './delivery.ts'
import type { GatewayContext } from './gateway-context.ts'
import { ANSWERED, BLOCKED, InboundAcks } from './inbound-acks.ts'
import { refuseTopic } from './refusals.ts'
import type { LaneUser } from './shard-lane.ts'
import { type TopicRoute, topicText } from './topic-router.ts'

/** Of a PUBLISH's first byte, what a record keeps. */
const RECORD_FLAGS = RecordFlag.RETAIN | RecordFlag.QOS_1 | RecordFlag.QOS_2 | RecordFlag.DUP

export class PublishIntake {
  readonly acks: InboundAcks
  #context: GatewayContext
  #user: LaneUser
  #version: ProtocolVersion
  #number: number
  #connect: AcceptedConnect
  #topics: ConnectionTopics

  constructor(
    context: GatewayContext,
    user: LaneUser,
    connect: AcceptedConnect,
    session: ClientSession | null,
  ) {
    const id = Buffer.from(connect.clientId)
    const clientHash = hashBytes(id, 0, id.length)
    this.acks = new InboundAcks(context, user, connect, clientHash, session)
    this.#context = context
    this.#user = user
    this.#version = connect.version
    this.#number = connect.number
    this.#connect = connect
    assert(connect.identity !== null, 'who publishes was let in')
    const { access } = connect.identity
    this.#topics = new ConnectionTopics(context.router, access, clientHash, TOPIC_ALIAS_MAXIMUM)
  }

  /** What the client may publish to has changed. */
  accessChanged(): void {
    this.#topics.accessChanged()
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
    const { publishFields: fields, counters, exchange, lanes } = this.#context
    let fault = readPublish(bytes, header, bodyStart, bodyEnd, this.#version, fields)
    if (fault !== 0) return fault
    const { qos } = fields
    fault = this.#topics.find(bytes, fields)
    if (fault !== 0) return fault === NOT_ALLOWED ? this.#refuse(fields) : fault
    if (qos > 0) {
      fault = this.acks.admit(fields)
      if (fault !== 0) return fault === ANSWERED ? 0 : fault
    }
    const { route } = this.#topics
    if (exchange.hasSubscriptions) exchange.match(route, subscriber)
    const isForSessions =
      qos >= route.sessionQosMin || fields.isRetain || (qos === 2 && this.acks.session !== null)
    if (isForSessions && !this.#hasSessionRoom(fields, route)) return BLOCKED
    if (!route.isMatched) counters.unmatched++
    else if (!this.#writeRecord(bytes, header, fields, route)) return BLOCKED
    if (isForSessions) this.#writeSessionRecord(bytes, header, fields, route)
    const isHeard = qos === 2 && this.acks.isHeard(fields.packetId)
    if (qos === 0) counters.messagesQos0++
    else this.acks.expect(qos, fields.packetId, route.isMatched ? lanes[route.shard] : null)
    if (exchange.hasSubscriptions && !isHeard) this.#deliver(bytes, fields, route)
    return 0
  }

  /**
   * A topic that the client may not publish to: 0, a ReasonCode, or BLOCKED. MQTT 5 says so in the acknowledgement; a client of
   * 3.1.1 can't be told, and must not take the message for safe, so its connection ends ([MQTT-3.3.5-2]). Of QoS 0 nobody
   * waits for an answer: the message is dropped.
   */
  #refuse({ qos, packetId }: PublishFields): number {
    const isEnd = qos > 0 && this.#version === 4
    if (qos > 0 && !isEnd && this.acks.refuse(qos, packetId, ReasonCode.NOT_AUTHORIZED) !== 0) return BLOCKED
    refuseTopic(this.#context, 'publish', this.#connect, topicText(this.#topics.route))
    return isEnd ? ReasonCode.NOT_AUTHORIZED : 0
  }

  /** Whether the session thread's ring takes the message too; if not, the connection waits for that. */
  #hasSessionRoom({ propertiesStart, payloadEnd }: PublishFields, { topicSize }: TopicRoute): boolean {
    const { sessions } = this.#context
    if (sessions.hasRoom(publishRecordSize(topicSize, payloadEnd - propertiesStart), this.#user)) return true
    this.acks.blockOn(sessions.lane)
    return false
  }

  /** Copies the message into the session thread's ring, which has room; its answer waits for that as well. */
  #writeSessionRecord(bytes: Uint8Array, header: number, fields: PublishFields, route: TopicRoute): void {
    const { lane } = this.#context.sessions
    const { qos, packetId, isRetain, propertiesStart, payloadStart, payloadEnd, messageExpiryIntervalS } =
      fields
    // Of what no session wants only the identifier is kept, of a client whose session may be.
    const isWanted = isRetain || qos >= route.sessionQosMin
    const contentEnd = isWanted ? payloadEnd : propertiesStart
    const topicSize = isWanted ? route.topicSize : 0
    const size = publishRecordSize(topicSize, contentEnd - propertiesStart)
    writePublishRecord(
      lane.producer.views,
      lane.producer.claim(size),
      header & RECORD_FLAGS,
      packetId,
      this.#number,
      this.acks.session?.handle ?? 0,
      messageExpiryIntervalS < 0 ? NO_EXPIRY : messageExpiryIntervalS,
      route.topic,
      0,
      topicSize,
      bytes,
      propertiesStart,
      Math.min(payloadStart, contentEnd),
      contentEnd,
    )
    lane.producer.commit(size)
    if (qos > 0) this.acks.waitFor(lane)
  }

  /** Copies the message into its shard's ring; false, with the connection waiting, when there is no room. */
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
      this.acks.blockOn(lane)
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
    message.messageExpiryIntervalS = fields.messageExpiryIntervalS
    exchange.publish(route)
  }
}

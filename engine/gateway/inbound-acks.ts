/**
 * What a connection owes its client for the messages of QoS 1 and 2 it has taken: the queue of answers, the
 * identifiers that the client has not released, and the receive maximum over both. A PUBREL becomes a record
 * that has the shard forget the identifier. Owner: the gateway's thread. Invariant: answers leave in the order
 * of the packets that want them, and none before its record is durable.
 */
import {
  MessageRoute,
  RECORD_HEADER_SIZE_BYTES,
  RecordKind,
  writeMessageRecord,
} from '../../codecs/journal/record.ts'
import { PacketType, type ProtocolVersion, ReasonCode } from '../../codecs/mqtt/packet.ts'
import type { PublishFields } from '../../codecs/mqtt/publish.ts'
import { SessionRecordKind, sessionRecord } from '../../codecs/session/record.ts'
import { AckQueue, answerOf, NO_ANSWER, NO_LANE } from './ack-queue.ts'
import type { ClientSession } from './client-session.ts'
import type { AcceptedConnect } from './connect/connect-attempt.ts'
import type { GatewayContext } from './gateway-context.ts'
import { ReceivedIds } from './received-ids.ts'
import type { LaneUser, ShardLane } from './shard-lane.ts'
import type { Transport } from './transport.ts'

/** There is no room now, and nothing was done. Not a ReasonCode. */
export const BLOCKED = -1
/** Of `admit`: the message is one that the connection has, and was answered. Not a ReasonCode. */
export const ANSWERED = -2
const NOTHING = new Uint8Array(0)

export class InboundAcks {
  /** The lane that has no room, after BLOCKED; null when it is the answers that have to leave first. */
  blockedOn: ShardLane | null = null
  /** Null when the session thread knows nothing of the client. */
  session: ClientSession | null
  /** Identifiers that an earlier connection of the session has left: their messages were delivered, not surely stored. */
  #inherited: Set<number> | null
  #context: GatewayContext
  #user: LaneUser
  #version: ProtocolVersion
  #number: number
  #clientHash: number
  /** Null until there is one to send, and again after a while of silence. */
  #answers: AckQueue | null = null
  /** The same for messages of QoS 2. */
  #received: ReceivedIds | null = null
  #releaseRoute: MessageRoute | null = null

  constructor(
    context: GatewayContext,
    user: LaneUser,
    connect: AcceptedConnect,
    clientHash: number,
    session: ClientSession | null,
  ) {
    this.session = session
    this.#inherited = session !== null && session.received.length > 0 ? new Set(session.received) : null
    this.#context = context
    this.#user = user
    this.#version = connect.version
    this.#number = connect.number
    this.#clientHash = clientHash
  }

  get isSettled(): boolean {
    return this.#answers === null || this.#answers.count === 0
  }

  /** Too many answers wait for the disk to take a packet that wants another. */
  get isBoundReached(): boolean {
    return this.#answers !== null && this.#answers.count >= this.#context.limits.receiveMaximum
  }

  /** Whether a message of QoS 1 or 2 may be taken: 0, ANSWERED, BLOCKED, or a ReasonCode. */
  // hot: per message
  admit(fields: PublishFields): number {
    const answers = this.#answers
    const received = this.#received
    if (received?.has(fields.packetId)) return this.#answerKnown(fields, received)
    const { receiveMaximum } = this.#context.limits
    // 3.1.1 has no receive maximum: only the number of identifiers bounds what its client has not released.
    if (this.#version === 4) return answers !== null && answers.count >= receiveMaximum ? BLOCKED : 0
    const inFlight =
      (answers === null ? 0 : answers.returningCount) + (received === null ? 0 : received.count)
    return inFlight >= receiveMaximum ? ReasonCode.RECEIVE_MAXIMUM_EXCEEDED : 0
  }

  /** A message of QoS 1 or 2 was taken, by that lane or, when no stream takes it, by none. */
  // hot: per message
  expect(qos: number, packetId: number, lane: ShardLane | null): void {
    const { counters } = this.#context
    if (qos === 1) {
      counters.messagesQos1++
      this.#push(answerOf(PacketType.PUBACK, packetId, 0), lane)
      return
    }
    counters.messagesQos2++
    this.#received ??= new ReceivedIds()
    this.#received.add(packetId, lane === null ? NO_LANE : lane.shard)
    this.#push(answerOf(PacketType.PUBREC, packetId, 0), lane)
  }

  /** A message of QoS 1 or 2 that is not taken: 0 or BLOCKED. Its identifier is free again. */
  refuse(qos: number, packetId: number, reasonCode: number): number {
    if (this.isBoundReached) return BLOCKED
    this.#received?.delete(packetId)
    this.#push(answerOf(qos === 1 ? PacketType.PUBACK : PacketType.PUBREC, packetId, reasonCode), null)
    return 0
  }

  /** What comes next waits for what that lane was given as well. */
  waitFor(lane: ShardLane): void {
    this.#push(NO_ANSWER, lane)
  }

  /** Whether an earlier connection has brought that message of QoS 2 to subscribers. */
  isHeard(packetId: number): boolean {
    return this.#inherited?.delete(packetId) ?? false
  }

  /** A PUBREL: 0 or BLOCKED. Its PUBCOMP leaves when it is on disk that the identifier is free again. */
  // hot: per message of QoS 2
  release(packetId: number): number {
    if (this.isBoundReached) return BLOCKED
    if (this.session !== null && !this.#hasSessionRoom()) return BLOCKED
    const place = this.#received?.laneOf(packetId) ?? -1
    if (place < 0) return this.#releaseUnknown(packetId)
    const lane = place === NO_LANE ? null : this.#context.lanes[place]
    if (lane !== null && !this.#hasRoom(lane)) return BLOCKED
    this.#releaseInSession(packetId)
    if (lane !== null) this.#writeRelease(lane, packetId)
    this.#push(answerOf(PacketType.PUBCOMP, packetId, 0), lane)
    this.#received?.delete(packetId)
    return 0
  }

  /** Writes the answers whose records are durable, all in one go. */
  // hot: per batch
  send(transport: Transport): void {
    const context = this.#context
    const answers = this.#answers
    // Behind unread bytes they stay in the queue, which is bounded.
    while (answers?.isReady(context.durable) && transport.bufferedBytes === 0) {
      const size = answers.take(context.durable, context.ackBuffer, context.counters)
      if (size === 0) continue // it was about the order alone
      context.counters.bytesSent += size
      if (!transport.write(context.ackBuffer.subarray(0, size))) context.replaceAckBuffer()
    }
  }

  /** The connection is to be retried when that lane has room. */
  blockOn(lane: ShardLane): void {
    this.blockedOn = lane
    lane.block(this.#user, this.#context.nowMs)
  }

  /** Gives the memory of an idle connection back. */
  trim(): void {
    if (this.#answers?.count === 0) this.#answers = null
    if (this.#received?.count === 0) this.#received = null
  }

  /** A PUBLISH under the identifier of a message that was not released yet. */
  #answerKnown({ qos, packetId, isDup }: PublishFields, received: ReceivedIds): number {
    if (this.isBoundReached) return BLOCKED
    if (this.#version === 5 && (qos === 1 || !isDup)) {
      // Only a reconnection sends again ([MQTT-4.4.0-1]): the client takes the identifier for a free one.
      const type = qos === 1 ? PacketType.PUBACK : PacketType.PUBREC
      if (qos === 2) received.delete(packetId) // what comes next is new ([MQTT-4.3.3-9])
      this.#push(answerOf(type, packetId, ReasonCode.PACKET_IDENTIFIER_IN_USE), null)
      return ANSWERED
    }
    if (qos === 1) return 0
    this.#push(answerOf(PacketType.PUBREC, packetId, 0), null)
    return ANSWERED
  }

  /** Of an earlier connection, if of any; which shard it went to is not known here, so each one is told. */
  #releaseUnknown(packetId: number): number {
    const { lanes } = this.#context
    if (!lanes.every((lane) => this.#hasRoom(lane))) return BLOCKED
    this.#releaseInSession(packetId)
    const isInherited = this.isHeard(packetId)
    for (const lane of lanes) {
      this.#writeRelease(lane, packetId)
      this.#push(NO_ANSWER, lane)
    }
    const reasonCode = this.#version === 5 && !isInherited ? ReasonCode.PACKET_IDENTIFIER_NOT_FOUND : 0
    this.#push(answerOf(PacketType.PUBCOMP, packetId, reasonCode), null)
    return 0
  }

  #hasSessionRoom(): boolean {
    const { sessions } = this.#context
    if (sessions.hasRoom(RECORD_HEADER_SIZE_BYTES, this.#user)) return true
    this.blockOn(sessions.lane)
    return false
  }

  /** The session forgets the identifier as well. There is room. */
  #releaseInSession(packetId: number): void {
    if (this.session === null) return
    const { sessions } = this.#context
    const { handle } = this.session
    sessions.send(sessionRecord(SessionRecordKind.RELEASE, { packetId, handle, number: this.#number }))
    this.waitFor(sessions.lane)
  }

  /** Whether a PUBREL's record fits; if not, the connection waits for that. */
  #hasRoom(lane: ShardLane): boolean {
    if (!lane.isTaken(this.#user) && lane.producer.claim(RECORD_HEADER_SIZE_BYTES) >= 0) return true
    this.blockOn(lane)
    return false
  }

  #writeRelease({ producer }: ShardLane, packetId: number): void {
    this.#releaseRoute ??= releaseRoute(this.#clientHash)
    const { nowMs } = this.#context
    const at = producer.claim(RECORD_HEADER_SIZE_BYTES)
    const route = this.#releaseRoute
    const number = this.#number
    writeMessageRecord(producer.views, at, route, 0, nowMs, packetId, number, NOTHING, 0, 0, NOTHING, 0, 0)
    producer.commit(RECORD_HEADER_SIZE_BYTES)
  }

  /** Queues an answer: until what the lane was given is durable, or, without a lane, for its turn alone. */
  // hot: per message
  #push(answer: number, lane: ShardLane | null): void {
    const { nowUs } = this.#context
    this.#answers ??= new AckQueue()
    if (lane === null) {
      this.#answers.push(0, answer, NO_LANE, nowUs)
      return
    }
    lane.waitingCount++
    this.#answers.push(lane.producer.position, answer, lane.shard, nowUs)
  }
}

function releaseRoute(clientHash: number): MessageRoute {
  const route = new MessageRoute()
  route.kind = RecordKind.MQTT_PUBREL
  route.clientHash = clientHash
  return route
}

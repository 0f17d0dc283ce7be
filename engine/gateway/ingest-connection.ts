/**
 * One connection of the plain WebSocket door: frames `{seq, data}` in, cumulative acknowledgements `{ack}`
 * out. Owner: the gateway's thread. Invariant: `{"ack": n}` leaves when every frame of this connection up to
 * n is durable.
 *
 * Within a connection `seq` increases, gaps are allowed. A smaller one would be covered by an acknowledgement
 * that may have left already, so it is refused rather than guessed at. After a reconnect with the same
 * session a device sends again what was not acknowledged, from the first on; the shard knows what it has by
 * (session, seq).
 */
import { hashBytes } from '../../base/hash.ts'
import { messageRecordSize, RecordFlag, RecordKind, writeMessageRecord } from '../../codecs/journal/record.ts'
import { NO_EXPIRY, publishRecordSize, writePublishRecord } from '../../codecs/session/record.ts'
import { jsonAck, jsonError, msgpackAck, msgpackError } from '../../codecs/websocket/answers.ts'
import {
  cutJsonEnvelope,
  cutMsgpackEnvelope,
  Envelope,
  EnvelopeFault,
} from '../../codecs/websocket/envelope.ts'
import type { Granted, Identity } from '../registry/gateway-identities.ts'
import { type CloseReason, CloseReasons } from './close-reason.ts'
import { FrameQueue } from './frame-queue.ts'
import type { Client, GatewayContext } from './gateway-context.ts'
import type { Peer } from './peer.ts'
import { RateBudget } from './rate-budget.ts'
import { ownedId } from './refusals.ts'
import type { ShardLane } from './shard-lane.ts'
import type { SlowedClient } from './slowed-clients.ts'
import type { TopicRoute } from './topic-router.ts'

const FRAME_OVERHEAD_BYTES = 64

/** The socket, as this connection needs it. */
export interface IngestTransport {
  readonly peer: Peer
  readonly bufferedBytes: number
  sendText(text: string): void
  sendBinary(bytes: Uint8Array): void
  close(code: number): void
}

/** Where frames go, under which session, and who was let in: it may publish there. */
export interface IngestArrival {
  route: TopicRoute
  session: string
  granted: Granted
}

/** What frames are to subscribers. */
const QOS = 1

const envelope = new Envelope()

export class IngestConnection implements Client, SlowedClient {
  readonly number = 0
  blockedOn: ShardLane | null = null
  #context: GatewayContext
  #identity: Identity
  #transport: IngestTransport
  #route: TopicRoute
  #frames = new FrameQueue()
  #held: { bytes: Uint8Array; isBinary: boolean }[] = []
  #heldSizeBytes = 0
  #isWaitingForAcks = false
  /** Null where devices have no budget. */
  #budget: RateBudget | null
  #isSlowed = false
  #isClosed = false
  #lastSeq = -1
  /** Durable and not yet told. */
  #ackSeq = -1
  #isBinary = false

  constructor(
    context: GatewayContext,
    transport: IngestTransport,
    { route, session, granted }: IngestArrival,
  ) {
    const arrival = { client: this, clientId: session, version: null, nowMs: context.nowMs }
    this.#identity = context.identities.enter(granted, arrival)
    const id = Buffer.from(ownedId(this.#identity.device, session))
    this.#context = context
    this.#transport = transport
    this.#route = route
    route.kind = RecordKind.WEBSOCKET_FRAME
    route.clientHash = hashBytes(id, 0, id.length)
    this.#budget = RateBudget.isNeeded(context.limits) ? new RateBudget(context.limits, context.nowUs) : null
    context.clients.add(this)
    context.counters.connectsAccepted++
    context.counters.connections++
  }

  get isSettled(): boolean {
    return this.#frames.count === 0
  }

  get isPaused(): boolean {
    return this.blockedOn !== null || this.#isWaitingForAcks || this.#isSlowed
  }

  /** Takes one whole frame. */
  // hot: per message
  receive(bytes: Uint8Array, isBinary: boolean): void {
    const context = this.#context
    if (this.#isClosed || context.isDraining) return
    context.setTime()
    context.counters.bytesReceived += bytes.length
    if (this.isPaused) {
      this.#hold(bytes, isBinary)
      return
    }
    if (this.#take(bytes, isBinary)) this.#charge(bytes.length)
    else this.#hold(bytes, isBinary)
    context.endRead(this)
  }

  drained(): void {
    if (this.#isClosed) return
    this.#context.setTime()
    this.#sendAck()
  }

  closed(): void {
    this.#finish(CloseReasons.lost)
  }

  end(reason: CloseReason): void {
    if (this.#isClosed) return
    this.#finish(reason)
    this.#transport.close(reason.webSocketCode)
  }

  endUnauthorized(why: 'changed' | 'expired' | 'anonymous'): void {
    this.end(why === 'changed' ? CloseReasons.rightsChanged : CloseReasons.notAuthorized)
  }

  /** It publishes to one topic, and could already. */
  accessChanged(): void {}

  // hot: per batch
  settle(): void {
    if (this.#isClosed) return
    const context = this.#context
    const { durable, counters, sessions } = context
    const seq = this.#frames.take(durable[this.#route.shard], durable[sessions.lane.shard], counters)
    if (seq >= 0) this.#ackSeq = seq
    this.#sendAck()
    if (this.#isWaitingForAcks && !this.#isSlowed && this.#frames.count < context.limits.receiveMaximum) {
      this.retry()
    }
  }

  /** Goes on with what is held. */
  retry(): void {
    const context = this.#context
    this.blockedOn = null
    this.#isWaitingForAcks = false
    if (this.#isSlowed) return
    context.counters.pausedConnections--
    if (context.isDraining) return
    let taken = 0
    for (const { bytes, isBinary } of this.#held) {
      if (this.#isSlowed || !this.#take(bytes, isBinary)) break
      this.#charge(bytes.length)
      this.#heldSizeBytes -= bytes.length + FRAME_OVERHEAD_BYTES
      taken++
    }
    this.#held.splice(0, taken)
    context.endRead(this)
  }

  readOn(): void {
    this.#isSlowed = false
    if (!this.isPaused) this.retry()
  }

  /** Silent peers are found by the WebSocket's own pings. */
  sweep(): void {}

  /** Cuts and stores a frame; false, with the connection paused, when there is no room now. */
  // hot: per message
  #take(bytes: Uint8Array, isBinary: boolean): boolean {
    if (this.#isClosed) return true
    const context = this.#context
    this.#isBinary = isBinary
    const fault = isBinary
      ? cutMsgpackEnvelope(bytes, 0, bytes.length, envelope)
      : cutJsonEnvelope(bytes, 0, bytes.length, envelope)
    if (fault !== EnvelopeFault.NONE) {
      this.#refuse(fault === EnvelopeFault.SEQ_INVALID ? SEQ_HINT : ENVELOPE_HINT, CloseReasons.badFrame)
      return true
    }
    const { seq, dataStart, dataEnd } = envelope
    if (seq <= this.#lastSeq) {
      const hint = `seq ${seq} comes after ${this.#lastSeq}: it must increase; send again after a reconnect`
      this.#refuse(hint, CloseReasons.badSequence)
      return true
    }
    if (this.#frames.count >= context.limits.receiveMaximum) {
      this.#isWaitingForAcks = true
      context.counters.pausedConnections++
      return false
    }
    const route = this.#route
    if (context.exchange.hasSubscriptions) context.exchange.match(route, null)
    const isForSessions = route.sessionQosMin <= QOS
    const contentSize = dataEnd - dataStart
    if (isForSessions && !context.sessions.hasRoom(publishRecordSize(route.topicSize, contentSize), this)) {
      return this.#block(context.sessions.lane)
    }
    const lane = context.lanes[route.shard]
    const { producer } = lane
    const size = messageRecordSize(route.topicSize, dataEnd - dataStart)
    const at = lane.isTaken(this) ? -1 : producer.claim(size)
    if (at < 0) return this.#block(lane)
    writeMessageRecord(
      producer.views,
      at,
      route,
      RecordFlag.QOS_1,
      context.nowMs,
      0,
      seq,
      route.topic,
      0,
      route.topicSize,
      bytes,
      dataStart,
      dataEnd,
    )
    producer.commit(size)
    this.#lastSeq = seq
    this.#frames.push(producer.position, seq, context.nowUs)
    lane.waitingCount++
    if (isForSessions) this.#writeSessionRecord(bytes, dataStart, dataEnd)
    context.counters.recordsWritten++
    context.counters.messagesQos1++
    if (context.exchange.hasSubscriptions) this.#deliver(bytes, dataStart, dataEnd)
    return true
  }

  /** Spends the device's budget; beyond it frames are held for a while. */
  #charge(sizeBytes: number): void {
    const { limits, nowUs, slowed, counters } = this.#context
    const waitUs = this.#budget?.charge(1, sizeBytes, limits, nowUs) ?? 0
    if (waitUs === 0 || this.#isClosed) return
    slowed.add(this, waitUs, nowUs)
    if (!this.isPaused) counters.pausedConnections++
    this.#isSlowed = true
    counters.readsSlowed++
  }

  #block(lane: ShardLane): false {
    const { nowMs, counters } = this.#context
    this.blockedOn = lane
    lane.block(this, nowMs)
    counters.pausedConnections++
    return false
  }

  /** For the sessions that want it; there is room. The frame's acknowledgement waits for that, too. */
  #writeSessionRecord(bytes: Uint8Array, dataStart: number, dataEnd: number): void {
    const { topic, topicSize } = this.#route
    const { lane } = this.#context.sessions
    const size = publishRecordSize(topicSize, dataEnd - dataStart)
    const at = lane.producer.claim(size)
    const { views } = lane.producer
    const flags = RecordFlag.QOS_1
    writePublishRecord(
      views,
      at,
      flags,
      0,
      0,
      0,
      NO_EXPIRY,
      topic,
      0,
      topicSize,
      bytes,
      dataStart,
      dataStart,
      dataEnd,
    )
    lane.producer.commit(size)
    lane.waitingCount++
    this.#frames.waitForSessions(lane.producer.position)
  }

  #deliver(bytes: Uint8Array, dataStart: number, dataEnd: number): void {
    const { exchange } = this.#context
    const { message } = exchange
    message.topic = this.#route.topic
    message.topicStart = 0
    message.topicEnd = this.#route.topicSize
    message.bytes = bytes
    message.propertiesStart = dataStart
    message.payloadStart = dataStart
    message.payloadEnd = dataEnd
    message.qos = QOS
    message.isRetain = false
    message.messageExpiryIntervalS = -1
    exchange.publish(this.#route)
  }

  #hold(bytes: Uint8Array, isBinary: boolean): void {
    const { limits, packetSizeBytesMax } = this.#context
    this.#heldSizeBytes += bytes.length + FRAME_OVERHEAD_BYTES
    if (this.#heldSizeBytes > limits.bufferedSizeBytesMax + packetSizeBytesMax) {
      this.end(CloseReasons.overrun)
      return
    }
    const copy = new Uint8Array(bytes.length)
    copy.set(bytes)
    this.#held.push({ bytes: copy, isBinary })
  }

  // hot: per batch
  #sendAck(): void {
    // Behind unread bytes it waits for `drained`; a later one replaces it.
    if (this.#ackSeq < 0 || this.#transport.bufferedBytes > 0) return
    if (this.#isBinary) this.#transport.sendBinary(msgpackAck(this.#ackSeq))
    else this.#transport.sendText(jsonAck(this.#ackSeq))
    this.#ackSeq = -1
  }

  #refuse(message: string, reason: CloseReason): void {
    if (this.#isBinary) this.#transport.sendBinary(msgpackError(message))
    else this.#transport.sendText(jsonError(message))
    this.end(reason)
  }

  #finish(reason: CloseReason): void {
    if (this.#isClosed) return
    const { counters, clients, identities, nowMs } = this.#context
    this.#isClosed = true
    identities.leave(this.#identity, nowMs)
    counters.connections--
    if (this.isPaused) counters.pausedConnections--
    this.#isSlowed = false
    this.#context.slowed.delete(this)
    this.#context.admission.leave(this.#transport.peer.address)
    this.blockedOn = null
    this.#isWaitingForAcks = false
    this.#held = []
    counters.disconnected(reason)
    clients.delete(this)
  }
}

const ENVELOPE_HINT =
  'expected {"seq": number, "data": ...} and nothing else: JSON in a text frame, MessagePack in a binary one'
const SEQ_HINT = 'seq must be a whole number from 0 to 9007199254740991'

/**
 * One MQTT connection as a state machine over a Transport: bytes come in by `receive`, answers leave by
 * `transport.write`. Owner: the gateway's thread. Invariants: nothing is taken before CONNECT or after the
 * end; a paused connection is read again only after all it holds was taken.
 */
import { readAck } from '../../codecs/mqtt/ack.ts'
import { encodeDisconnect, PINGRESP } from '../../codecs/mqtt/answers.ts'
import { connectVersion, readConnect } from '../../codecs/mqtt/connect.ts'
import { type DisconnectPacket, readDisconnect } from '../../codecs/mqtt/disconnect.ts'
import {
  areHeaderFlagsValid,
  MqttError,
  PacketType,
  type ProtocolVersion,
  ReasonCode,
} from '../../codecs/mqtt/packet.ts'
import { readSubscribe, readUnsubscribe } from '../../codecs/mqtt/subscribe.ts'
import { ClientSession } from './client-session.ts'
import { ClientSubscriber, type SubscriberHost } from './client-subscriber.ts'
import { type CloseReason, CloseReasons, closeReasonOf } from './close-reason.ts'
import { acceptConnack, refuseConnack } from './connect/connack.ts'
import {
  type AcceptedConnect,
  ConnectAttempt,
  type ConnectOwner,
  type ConnectStage,
} from './connect/connect-attempt.ts'
import { transientConnect } from './connect/open-session.ts'
import type { Client, GatewayContext } from './gateway-context.ts'
import { BLOCKED, type InboundAcks } from './inbound-acks.ts'
import { PacketStream } from './packet-stream.ts'
import { PublishIntake } from './publish-intake.ts'
import { RateBudget } from './rate-budget.ts'
import { refuseConnect } from './refusals.ts'
import type { ShardLane } from './shard-lane.ts'
import type { SlowedClient } from './slowed-clients.ts'
import type { Transport } from './transport.ts'

/** A first packet may have this size; it is a CONNECT. */
const CONNECT_SIZE_BYTES_MAX = 64 << 10
/** After this many quiet seconds a connection gives memory back. */
const IDLE_TICKS = 10

export class MqttConnection implements Client, ConnectOwner, SlowedClient, SubscriberHost {
  isClosed = false
  isPaused = false
  packetSizeBytesMax: number
  #context: GatewayContext
  #transport: Transport
  #stream: PacketStream
  #stages: readonly ConnectStage[]
  /** While a CONNECT is being decided about. */
  #attempt: ConnectAttempt | null = null
  /** Null until CONNECT was accepted; so is what publishes. */
  #connect: AcceptedConnect | null = null
  #intake: PublishIntake | null = null
  /** Null until the first SUBSCRIBE. */
  #subscriber: ClientSubscriber | null = null
  /** Null where devices have no budget. */
  #budget: RateBudget | null = null
  #isSlowed = false
  /** Null unless the session thread keeps something for the client. */
  #session: ClientSession | null = null
  /** One that is being made, and who waits for it. */
  #openingSession: ClientSession | null = null
  #sessionUses: ((session: ClientSession) => void)[] = []
  #keepAliveTicks = 0
  /** PINGREQs of the present run of packets. */
  #pingCount = 0
  #receivedTick: number

  constructor(context: GatewayContext, transport: Transport, stages: readonly ConnectStage[]) {
    this.#context = context
    this.#stages = stages
    this.#transport = transport
    this.#stream = new PacketStream(context.frames, this)
    this.#receivedTick = context.tick
    this.packetSizeBytesMax = Math.min(CONNECT_SIZE_BYTES_MAX, context.packetSizeBytesMax)
    context.clients.add(this)
  }

  get heldSizeBytesMax(): number {
    return this.#context.limits.bufferedSizeBytesMax
  }

  get number(): number {
    return (this.#connect ?? this.#attempt?.connect)?.number ?? 0
  }

  get blockedOn(): ShardLane | null {
    return this.#intake?.acks.blockedOn ?? null
  }

  get isSettled(): boolean {
    return this.#intake === null || this.#intake.acks.isSettled
  }

  /** Takes one socket read: bytes[start, end), before which `headroomSizeBytes` may be overwritten. */
  // hot: per batch
  receive(bytes: Uint8Array, start: number, end: number, headroomSizeBytes: number): void {
    const context = this.#context
    if (this.isClosed || context.isDraining) return
    context.setTime()
    context.counters.bytesReceived += end - start
    // The time for CONNECT runs from the accept.
    if (this.#connect !== null) this.#receivedTick = context.tick
    this.#stream.receive(bytes, start, end, headroomSizeBytes)
    context.endRead(this)
    this.settle()
    if (this.#budget !== null) this.#charge(this.#budget, 0, end - start)
  }

  /** A WebSocket brought a text frame: MQTT is binary ([MQTT-6.0.0-1]). */
  refuseText(): void {
    this.end(CloseReasons.textFrame)
  }

  /** The transport's buffer is empty again. */
  drained(): void {
    if (this.isClosed) return
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
    if (this.#connect?.version === 5 && reason.reasonCode >= 0x80) {
      this.#transport.write(disconnectOf(reason, this.#connect))
    }
    this.#finish(reason)
    this.#transport.close(reason.webSocketCode)
  }

  refuse(reasonCode: number): void {
    this.end(closeReasonOf(reasonCode))
  }

  endUnauthorized(why: 'changed' | 'expired' | 'anonymous'): void {
    this.end(why === 'changed' ? CloseReasons.rightsChanged : CloseReasons.notAuthorized)
  }

  accessChanged(): void {
    this.#intake?.accessChanged()
  }

  overrun(): void {
    this.end(CloseReasons.overrun)
  }

  /** Sends the answers whose records are durable, and goes on reading where that was waited for. */
  // hot: per batch
  settle(): void {
    const acks = this.#intake?.acks
    if (acks === undefined) return
    acks.send(this.#transport)
    while (this.isPaused && !this.#isSlowed && acks.blockedOn === null && !acks.isBoundReached) {
      this.#unblock(acks)
      acks.send(this.#transport)
    }
  }

  retry(): void {
    const acks = this.#intake?.acks
    if (acks === undefined) return
    if (this.#isSlowed) acks.blockedOn = null
    else this.#unblock(acks)
    this.settle()
  }

  readOn(): void {
    this.#isSlowed = false
    this.settle()
  }

  /** Once a second. Keep-alive is suspended while the connection is not read. */
  sweep(): void {
    const idleTicks = this.#context.tick - this.#receivedTick
    if (this.#connect === null) {
      if (idleTicks * 1000 > this.#context.limits.connectTimeoutMs) this.end(CloseReasons.connectTimeout)
    } else if (this.#keepAliveTicks > 0 && idleTicks > this.#keepAliveTicks && !this.isPaused) {
      this.end(CloseReasons.keepAlive)
    } else if (idleTicks > IDLE_TICKS) {
      this.#intake?.acks.trim()
    }
  }

  // hot: per batch
  takePackets(bytes: Uint8Array, count: number): number {
    const budget = this.#budget // which a CONNECT among the packets makes
    const before = budget === null ? 0 : this.#context.counters.messages
    const taken = this.#takeEach(bytes, count)
    if (budget !== null) this.#charge(budget, this.#context.counters.messages - before, 0)
    if (this.#pingCount > 0) this.#answerPings()
    return taken
  }

  // hot: per message
  #takeEach(bytes: Uint8Array, count: number): number {
    const { header, bodyStart, bodyEnd } = this.#context.frames
    for (let i = 0; i < count; i++) {
      const first = header[i]
      let fault = 0
      if (first >> 4 === PacketType.PUBLISH && this.#intake !== null) {
        fault = this.#intake.take(bytes, first, bodyStart[i], bodyEnd[i], this.#subscriber)
      } else {
        fault = this.#control(bytes, first, bodyStart[i], bodyEnd[i])
        if (this.isPaused) return i + 1 // a CONNECT whose stages have yet to decide
      }
      if (fault === BLOCKED) {
        this.#block()
        return i
      }
      if (fault !== 0) this.refuse(fault)
      if (this.isClosed) return i
    }
    return count
  }

  /** Everything but a PUBLISH of an open connection. Returns 0, a ReasonCode, or BLOCKED. */
  #control(bytes: Uint8Array, header: number, bodyStart: number, bodyEnd: number): number {
    const connect = this.#connect
    if (connect === null) {
      if (header === PacketType.CONNECT << 4) this.#open(bytes, bodyStart, bodyEnd)
      else this.end(CloseReasons.notMqtt)
      return 0
    }
    if (!areHeaderFlagsValid(header)) return ReasonCode.MALFORMED_PACKET
    try {
      return this.#rare(bytes, header >> 4, bodyStart, bodyEnd, connect)
    } catch (error) {
      if (!(error instanceof MqttError)) throw error
      this.end(closeReasonOf(error.reasonCode, error.message))
      return 0
    }
  }

  #rare(
    bytes: Uint8Array,
    type: number,
    bodyStart: number,
    bodyEnd: number,
    connect: AcceptedConnect,
  ): number {
    const { version } = connect
    const { ackFields, sessions } = this.#context
    switch (type) {
      case PacketType.PUBACK:
      case PacketType.PUBREC:
      case PacketType.PUBCOMP: {
        const fault = readAck(bytes, bodyStart, bodyEnd, version, ackFields, type)
        return fault === 0 ? this.#subscriberOf(connect).acknowledge(type, ackFields) : fault
      }
      case PacketType.PUBREL: {
        const fault = readAck(bytes, bodyStart, bodyEnd, version, ackFields, PacketType.PUBREL)
        return fault === 0 ? this.#intake!.acks.release(ackFields.packetId) : fault
      }
      case PacketType.PINGREQ:
        if (bodyStart !== bodyEnd) return ReasonCode.MALFORMED_PACKET
        this.#pingCount++
        return 0
      case PacketType.SUBSCRIBE: {
        if (sessions.isOverrun) return ReasonCode.SERVER_BUSY
        this.#subscriberOf(connect).subscribe(readSubscribe(bytes, bodyStart, bodyEnd, version))
        return 0
      }
      case PacketType.UNSUBSCRIBE: {
        if (sessions.isOverrun) return ReasonCode.SERVER_BUSY
        this.#subscriberOf(connect).unsubscribe(readUnsubscribe(bytes, bodyStart, bodyEnd, version))
        return 0
      }
      case PacketType.DISCONNECT:
        return this.#disconnect(readDisconnect(bytes, bodyStart, bodyEnd, version), connect)
      default: // a second CONNECT, what only servers send, AUTH
        return ReasonCode.PROTOCOL_ERROR
    }
  }

  #disconnect(
    { reasonCode, sessionExpiryIntervalS }: DisconnectPacket,
    { sessionExpiryS }: AcceptedConnect,
  ): number {
    // [MQTT-3.14.2-2]: a session that was to end with the connection is not kept after all.
    if (sessionExpiryIntervalS && sessionExpiryS === 0) return ReasonCode.PROTOCOL_ERROR
    this.#session?.close(reasonCode === ReasonCode.SUCCESS, sessionExpiryIntervalS)
    this.end(CloseReasons.client)
    return 0
  }

  #open(bytes: Uint8Array, bodyStart: number, bodyEnd: number): void {
    let version: ProtocolVersion | 0 = 0
    try {
      version = connectVersion(bytes, bodyStart, bodyEnd)
      const packet = readConnect(bytes, bodyStart, bodyEnd)
      const { peer } = this.#transport
      this.#attempt = new ConnectAttempt(this.#context, this.#stages, packet, this, peer, this)
    } catch (error) {
      if (!(error instanceof MqttError)) throw error
      this.#refuseConnect(version, closeReasonOf(error.reasonCode, error.message), null)
      return
    }
    this.#attempt.start()
    if (this.#connect !== null || this.isClosed) return
    this.isPaused = true // until the stages have decided
    this.#transport.pause()
  }

  connectDecided(attempt: ConnectAttempt, reasonCode: number): void {
    const context = this.#context
    const { connect } = attempt
    const { keepAliveS, version } = connect
    if (reasonCode !== 0) {
      const reason = closeReasonOf(reasonCode)
      this.#refuseConnect(version, connect.wantsReasons ? reason : { ...reason, text: undefined }, attempt)
      return
    }
    context.setTime()
    this.#attempt = null
    this.#connect = connect
    this.#session = attempt.session
    this.#intake = new PublishIntake(context, this, connect, attempt.session)
    if (attempt.session?.isPresent) this.#subscriberOf(connect)
    if (RateBudget.isNeeded(context.limits)) this.#budget = new RateBudget(context.limits, context.nowUs)
    this.#receivedTick = context.tick
    this.packetSizeBytesMax = context.packetSizeBytesMax
    this.#keepAliveTicks = keepAliveS === 0 ? 0 : Math.ceil(keepAliveS * 1.5) + 1
    context.counters.connectsAccepted++
    context.counters.connections++
    this.answer(acceptConnack(attempt, context))
    if (!this.isPaused) return
    this.#takeHeld()
    this.settle()
  }

  /** `attempt` is null for what is no CONNECT. */
  #refuseConnect(version: ProtocolVersion | 0, reason: CloseReason, attempt: ConnectAttempt | null): void {
    const sizeBytesMax = attempt?.connect.packetSizeBytesMax ?? 0
    const answer = refuseConnack(version, reason.reasonCode, reason.text, sizeBytesMax)
    refuseConnect(this.#context, attempt, this.#transport.peer.address, attempt?.refusal ?? reason.name)
    if (answer.length > 0) this.#transport.write(answer)
    this.end(reason)
  }

  #subscriberOf(connect: AcceptedConnect): ClientSubscriber {
    this.#subscriber ??= new ClientSubscriber(this.#context, this, this.#transport, connect, this.#session)
    return this.#subscriber
  }

  withSession(use: (session: ClientSession) => void): void {
    const context = this.#context
    const connect = this.#connect!
    if (this.#session !== null) {
      use(this.#session)
      return
    }
    this.#sessionUses.push(use)
    if (this.#sessionUses.length > 1) return
    const asked = transientConnect(connect.clientId, connect.receiveMaximum, context)
    const session = new ClientSession(context.sessions, connect.number, asked, (reasonCode) => {
      if (reasonCode !== 0) {
        this.refuse(reasonCode)
        return
      }
      this.#session = session
      for (const next of this.#sessionUses.splice(0)) next(session)
    })
    this.#openingSession = session
  }

  /** All of a run in one write: a client that sends nothing but PINGREQs does not hold up the others. */
  #answerPings(): void {
    const answers =
      this.#pingCount === 1 ? PINGRESP : Buffer.alloc(this.#pingCount * PINGRESP.length, PINGRESP)
    this.#pingCount = 0
    this.answer(answers)
  }

  /** Writes an answer that is not a PUBACK; a client that reads none of them is let go. */
  answer(bytes: Uint8Array): void {
    if (this.isClosed) return
    this.#context.counters.bytesSent += bytes.length
    this.#transport.write(bytes)
    if (this.#transport.bufferedBytes > this.heldSizeBytesMax) this.end(CloseReasons.slowReader)
  }

  /** Spends the device's budget; beyond it the connection is not read for a while. */
  #charge(budget: RateBudget, messages: number, sizeBytes: number): void {
    const { limits, nowUs, slowed, counters } = this.#context
    const waitUs = budget.charge(messages, sizeBytes, limits, nowUs)
    if (waitUs === 0 || this.isClosed) return
    slowed.add(this, waitUs, nowUs)
    if (this.#isSlowed) return
    this.#isSlowed = true
    counters.readsSlowed++
    if (!this.isPaused) this.#block()
  }

  /** There is no room for a message, or no budget. */
  #block(): void {
    this.isPaused = true
    this.#context.counters.pausedConnections++
    this.#transport.pause()
  }

  #unblock(acks: InboundAcks): void {
    acks.blockedOn = null
    this.#context.counters.pausedConnections--
    this.#takeHeld()
  }

  /** Takes what is held, and reads on unless that paused the connection again. */
  #takeHeld(): void {
    const context = this.#context
    this.isPaused = false
    if (context.isDraining) return
    this.#stream.resume()
    context.endRead(this)
    if (this.isPaused || this.isClosed) return
    this.#receivedTick = context.tick
    this.#transport.resume()
  }

  #finish(reason: CloseReason): void {
    if (this.isClosed) return
    const { counters, clients, clientsById, identities, nowMs } = this.#context
    const connect = this.#connect
    const { clientId, identity = null } = connect ?? this.#attempt?.connect ?? {}
    this.isClosed = true
    if (this.isPaused && connect !== null) counters.pausedConnections--
    this.isPaused = false
    this.#context.slowed.delete(this)
    this.#context.admission.leave(this.#transport.peer.address)
    this.#stream.clear()
    this.#intake = null
    this.#subscriber?.close()
    const session = this.#session ?? this.#openingSession
    session?.close(false)
    this.#attempt?.cancel()
    this.#attempt = null
    counters.disconnected(reason)
    clients.delete(this)
    if (identity !== null) identities.leave(identity, nowMs)
    if (connect !== null) counters.connections--
    if (clientId !== undefined && clientsById.get(clientId) === this) clientsById.delete(clientId)
  }
}

/** With the reason in words, unless the client does not want it or does not take a packet of that size. */
function disconnectOf({ reasonCode, text }: CloseReason, connect: AcceptedConnect): Uint8Array {
  const whole = encodeDisconnect(reasonCode, connect.wantsReasons ? { reasonString: text } : {})
  const { packetSizeBytesMax } = connect
  return packetSizeBytesMax > 0 && whole.length > packetSizeBytesMax ? encodeDisconnect(reasonCode) : whole
}

/**
 * The subscribing half of an MQTT connection: its filters, and what waits to be sent to it. Made with the
 * first SUBSCRIBE, or with a session that has subscriptions. Owner: the gateway's thread. Subscriptions of a
 * kept session and shared ones are the session thread's, which delivers QoS 1 and 2; QoS 0 comes through the
 * exchange, like everything for other clients.
 */
import type { AckFields, AckType } from '../../codecs/mqtt/ack.ts'
import { encodeSuback, encodeUnsuback } from '../../codecs/mqtt/answers.ts'
import { PacketType, ReasonCode } from '../../codecs/mqtt/packet.ts'
import type { FilterRequest, SubscribePacket, UnsubscribePacket } from '../../codecs/mqtt/subscribe.ts'
import { isShared, isTopicFilterValid } from '../../codecs/mqtt/topic.ts'
import { encodeFilters, type SessionFilter } from '../../codecs/session/messages.ts'
import {
  AckKind,
  type SessionRecordFields,
  SessionRecordKind,
  sessionRecord,
} from '../../codecs/session/record.ts'
import type { ClientSession, SessionOwner } from './client-session.ts'
import type { AcceptedConnect } from './connect/connect-attempt.ts'
import {
  type Delivery,
  DeliveryOutcome,
  type Message,
  type Subscriber,
  type Subscription,
} from './delivery.ts'
import type { GatewayContext } from './gateway-context.ts'
import { OutboundAliases } from './outbound-aliases.ts'
import { Awaited, Outbox } from './outbox.ts'
import { isFilterPermitted } from './refusals.ts'
import { ReleaseBuffer } from './release-buffer.ts'
import type { SessionUser } from './session-link.ts'
import { isSysFilter } from './sys-topics.ts'
import { TOPIC_SIZE_BYTES_MAX } from './topic-router.ts'
import type { Transport } from './transport.ts'

const SUBSCRIPTIONS_PER_CONNECTION_MAX = 1000
/** From here on packet identifiers are of messages that the session thread has sent. */
const SESSION_PACKET_ID_MIN = 0x8000
/** In a PUBLISH's first byte. */
const DUP_FLAG = 8

/** So much of a filter is told back. */
const TOLD_LENGTH_MAX = 200

/** What is wrong with a filter, in words. */
const REFUSALS = new Map<number, string>([
  [ReasonCode.TOPIC_FILTER_INVALID, 'is no topic filter, or has too many levels'],
  [ReasonCode.NOT_AUTHORIZED, 'is not allowed'],
  [ReasonCode.QUOTA_EXCEEDED, 'is one subscription too many'],
])

/** What a subscriber needs of its connection. */
export interface SubscriberHost {
  /** Writes what is not a message, within the bounds of a client that does not read. */
  answer(bytes: Uint8Array): void
  /** The client's session in the session thread, made if there is none yet; soon. */
  withSession(use: (session: ClientSession) => void): void
}

export class ClientSubscriber implements Subscriber, SessionUser, SessionOwner {
  readonly isPeer = false
  isTouched = false
  #context: GatewayContext
  #host: SubscriberHost
  #transport: Transport
  /** Null when the session thread keeps nothing for the client. */
  #session: ClientSession | null
  #outbox: Outbox
  /** Null when the client takes none. */
  #aliases: OutboundAliases | null
  #connect: AcceptedConnect
  #releases = new ReleaseBuffer()
  #subscriptions = new Map<string, Subscription>()
  /** Known to the session thread's link without a session, for retained messages. */
  #isAttached = false

  constructor(
    context: GatewayContext,
    host: SubscriberHost,
    transport: Transport,
    connect: AcceptedConnect,
    session: ClientSession | null,
  ) {
    const { limits } = context
    const { version, receiveMaximum, packetSizeBytesMax, topicAliasMaximum } = connect
    this.#context = context
    this.#host = host
    this.#transport = transport
    this.#connect = connect
    this.#session = session
    this.#outbox = new Outbox(version, {
      countMax: limits.subscriberQueueCountMax,
      sizeBytesMax: limits.subscriberQueueSizeBytesMax,
      windowMax: Math.min(receiveMaximum, limits.receiveMaximum),
      packetSizeBytesMax,
    })
    this.#aliases =
      topicAliasMaximum === 0 ? null : new OutboundAliases(topicAliasMaximum, packetSizeBytesMax)
    if (session !== null) this.#resume(session)
  }

  /** What its device may can have changed since it subscribed: what it may not any more is given up. */
  #resume(session: ClientSession): void {
    session.owner = this
    const lost: string[] = []
    for (const request of session.subscriptions) {
      if (isFilterPermitted(this.#context, this.#connect, request.filter)) this.#add(request)
      else lost.push(request.filter)
    }
    if (lost.length > 0) session.unsubscribe(0, lost, () => {})
  }

  subscribe({ packetId, filters, subscriptionIdentifier }: SubscribePacket): void {
    const requests = filters.map((request) => requestOf(request, subscriptionIdentifier))
    const reasonCodes: number[] = requests.map(({ filter }) => this.#faultOf(filter))
    const isWhole = this.#session?.isKept === true
    const isForSession = ({ filter }: SessionFilter, index: number) =>
      reasonCodes[index] === 0 && (isWhole || isShared(filter))
    const ofSession = requests.filter(isForSession)
    const toAnswer = () => {
      const answer = this.#suback(packetId, requests, reasonCodes)
      this.#context.exchange.whenKnown(() => this.#host.answer(answer))
    }
    const wanted: SessionFilter[] = []
    for (const [index, request] of requests.entries()) {
      if (reasonCodes[index] !== 0 || isForSession(request, index)) continue
      if (wantsRetained(request, !this.#subscriptions.has(request.filter))) wanted.push(request)
      reasonCodes[index] = this.#grant(request)
    }
    this.#askForRetained(wanted)
    if (ofSession.length === 0) {
      toAnswer()
      return
    }
    const places = requests.flatMap((request, index) => (ofSession.includes(request) ? [index] : []))
    this.#host.withSession((session) => {
      this.#adopt(session)
      session.subscribe(packetId, ofSession, (granted) => {
        for (const [index, place] of places.entries()) {
          reasonCodes[place] = granted[index]
          if (granted[index] < 0x80 && !isShared(requests[place].filter)) this.#grant(requests[place])
        }
        toAnswer()
      })
    })
  }

  unsubscribe({ packetId, filters }: UnsubscribePacket): void {
    const reasonCodes: number[] = filters.map((filter) =>
      isTopicFilterValid(filter) ? 0 : ReasonCode.TOPIC_FILTER_INVALID,
    )
    const session = this.#session
    const isForSession = (filter: string, index: number) =>
      session !== null && reasonCodes[index] === 0 && (session.isKept || isShared(filter))
    const places = filters.flatMap((filter, index) => (isForSession(filter, index) ? [index] : []))
    for (const [index, filter] of filters.entries()) {
      if (reasonCodes[index] !== 0) continue
      const wasThere = this.#remove(filter)
      if (!places.includes(index) && !wasThere) reasonCodes[index] = ReasonCode.NO_SUBSCRIPTION_EXISTED
    }
    const answer = () => this.#host.answer(encodeUnsuback(this.#connect.version, packetId, reasonCodes))
    if (session === null || places.length === 0) {
      answer()
      return
    }
    session.unsubscribe(
      packetId,
      places.map((place) => filters[place]),
      (codes) => {
        for (const [index, place] of places.entries()) reasonCodes[place] = codes[index]
        answer()
      },
    )
  }

  // hot: per message and subscriber
  deliver(message: Message, delivery: Delivery): DeliveryOutcome {
    const isOfSession = this.#session?.isKept && Math.min(message.qos, delivery.qos) > 0
    if (isOfSession) return DeliveryOutcome.QUEUED
    return this.#outbox.push(message, delivery, this.#context.tick)
  }

  /** Sends PUBRELs, and as many messages as the socket and the client's window take. */
  flush(): void {
    const outbox = this.#outbox
    const { counters, tick } = this.#context
    if (!this.#releases.isEmpty) this.#host.answer(this.#releases.take())
    while (outbox.count > 0 && this.#transport.bufferedBytes === 0) {
      const before = outbox.count + outbox.expiredCount
      const run = outbox.takeRun(tick)
      counters.deliveryDropped.expired += outbox.expiredCount
      counters.delivered += before - outbox.count - outbox.expiredCount
      outbox.expiredCount = 0
      if (run === null) return
      const bytes = this.#aliases === null ? run : this.#aliases.shorten(run)
      counters.bytesSent += bytes.length
      this.#transport.write(bytes)
    }
  }

  /** A PUBACK, PUBREC or PUBCOMP. Returns 0 or a ReasonCode. */
  acknowledge(type: AckType, { packetId, reasonCode }: AckFields): number {
    const outbox = this.#outbox
    const awaited = outbox.awaited(packetId)
    if (type === PacketType.PUBREC) return this.#receive(packetId, reasonCode, awaited)
    if (awaited === Awaited.NOTHING) return 0
    const isExpected = awaited === (type === PacketType.PUBACK ? Awaited.PUBACK : Awaited.PUBCOMP)
    if (!isExpected) return ReasonCode.PROTOCOL_ERROR
    outbox.answered(packetId, Awaited.NOTHING)
    this.#tellSession(packetId, type === PacketType.PUBACK ? AckKind.PUBACK : AckKind.PUBCOMP)
    this.#context.exchange.touch(this)
    return 0
  }

  #receive(packetId: number, reasonCode: number, awaited: Awaited): number {
    const outbox = this.#outbox
    if (awaited === Awaited.PUBACK) return ReasonCode.PROTOCOL_ERROR
    this.#context.exchange.touch(this)
    if (reasonCode >= 0x80) {
      outbox.answered(packetId, Awaited.NOTHING) // that was all ([MQTT-4.3.3-4])
      this.#tellSession(packetId, AckKind.REFUSED)
      return 0
    }
    const isKnown = awaited !== Awaited.NOTHING
    if (isKnown) outbox.answered(packetId, Awaited.PUBCOMP)
    if (this.#tellSession(packetId, AckKind.PUBREC)) return 0 // whose PUBREL leaves when that is durable
    const reason = isKnown ? ReasonCode.SUCCESS : ReasonCode.PACKET_IDENTIFIER_NOT_FOUND
    this.#releases.push(packetId, reason, this.#connect.version)
    return 0
  }

  /** Tells the session what became of one of its messages; false when it is not one of them. */
  #tellSession(packetId: number, kind: AckKind): boolean {
    if (packetId < SESSION_PACKET_ID_MIN || this.#session === null) return false
    this.#session.acknowledge(packetId, kind)
    return true
  }

  /** The connection is gone. */
  close(): void {
    for (const subscription of this.#subscriptions.values()) this.#context.exchange.remove(subscription)
    this.#subscriptions.clear()
    if (this.#isAttached) this.#context.sessions.detach(this.#connect.number)
  }

  takeDelivery(message: Message, flags: number, packetId: number, identifiers: number[]): boolean {
    const { exchange, counters, tick } = this.#context
    const delivery = { subscriber: this, qos: message.qos, isRetainKept: true, identifiers }
    const outcome = this.#outbox.push(message, delivery, tick, packetId, (flags & DUP_FLAG) !== 0)
    if (outcome === DeliveryOutcome.QUEUED) exchange.touch(this)
    else counters.undelivered(outcome)
    return outcome === DeliveryOutcome.QUEUED
  }

  takeRelease(packetId: number, isKnown: boolean): void {
    const reason = isKnown ? ReasonCode.SUCCESS : ReasonCode.PACKET_IDENTIFIER_NOT_FOUND
    if (isKnown) this.#outbox.answered(packetId, Awaited.PUBCOMP)
    this.#releases.push(packetId, reason, this.#connect.version)
    this.#context.exchange.touch(this)
  }

  sessionAnswered(): void {}

  /** Retained messages, for a client without a session. */
  sessionDelivers({ flags }: SessionRecordFields, message: Message, identifiers: number[]): void {
    this.takeDelivery(message, flags, 0, identifiers)
  }

  sessionReleases(): void {}

  /** With the first refusal in words, for who wants them and takes a packet of that size. */
  #suback(packetId: number, requests: readonly SessionFilter[], reasonCodes: readonly number[]): Uint8Array {
    const { version, wantsReasons, packetSizeBytesMax } = this.#connect
    const bare = encodeSuback(version, packetId, reasonCodes)
    const refused = reasonCodes.findIndex((code) => code >= 0x80)
    if (!wantsReasons || refused < 0) return bare
    const text = REFUSALS.get(reasonCodes[refused]) ?? 'is refused'
    const reasonString = `${requests[refused].filter.slice(0, TOLD_LENGTH_MAX)} ${text}`
    const whole = encodeSuback(version, packetId, reasonCodes, { reasonString })
    return packetSizeBytesMax > 0 && whole.length > packetSizeBytesMax ? bare : whole
  }

  #adopt(session: ClientSession): void {
    this.#session = session
    session.owner = this
    this.#isAttached = false // the session is, under the same number
  }

  #askForRetained(filters: readonly SessionFilter[]): void {
    if (filters.length === 0) return
    const { sessions, index } = this.#context
    const { number } = this.#connect
    if (this.#session === null && !this.#isAttached) {
      this.#isAttached = true
      sessions.attach(number, this)
    }
    const body = encodeFilters(filters)
    sessions.send(sessionRecord(SessionRecordKind.RETAINED, { number, handle: index, body }))
  }

  /** Why a filter is refused; 0 when it is not. */
  #faultOf(filter: string): number {
    const isTooDeep = filter.split('/').length > this.#context.limits.topicLevelsMax
    const isFit = filter.length <= TOPIC_SIZE_BYTES_MAX && !isTooDeep && isTopicFilterValid(filter)
    if (!isFit) return ReasonCode.TOPIC_FILTER_INVALID
    return isFilterPermitted(this.#context, this.#connect, filter) ? 0 : ReasonCode.NOT_AUTHORIZED
  }

  /** Adds what the client has asked for now; returns the granted QoS, or why not. */
  #grant(request: SessionFilter): number {
    const { filter, identifier } = request
    const isNew = !this.#subscriptions.has(filter)
    const reasonCode = this.#add(request)
    const isServed = reasonCode < 0x80 && isSysFilter(filter) && wantsRetained(request, isNew)
    if (isServed) this.#context.sys.deliverTo(this, filter, identifier)
    return reasonCode
  }

  /** Returns the granted QoS, or why not. */
  #add(request: SessionFilter): number {
    const { filter, qos, noLocal, isRetainKept, identifier } = request
    const isNew = !this.#subscriptions.has(filter)
    if (isNew && this.#subscriptions.size >= SUBSCRIPTIONS_PER_CONNECTION_MAX) {
      return ReasonCode.QUOTA_EXCEEDED
    }
    const subscription: Subscription = { subscriber: this, filter, qos, noLocal, isRetainKept, identifier }
    // The new one first: other gateways do not see the filter go and come.
    if (!this.#context.exchange.add(subscription)) return ReasonCode.QUOTA_EXCEEDED
    this.#remove(filter)
    this.#subscriptions.set(filter, subscription)
    return qos
  }

  #remove(filter: string): boolean {
    const subscription = this.#subscriptions.get(filter)
    if (subscription === undefined) return false
    this.#context.exchange.remove(subscription)
    this.#subscriptions.delete(filter)
    return true
  }
}

function requestOf(request: FilterRequest, identifier: number): SessionFilter {
  const { filter, qos, noLocal, retainAsPublished, retainHandling } = request
  return { filter, qos, noLocal, isRetainKept: retainAsPublished, retainHandling, identifier }
}

function wantsRetained({ retainHandling }: SessionFilter, isNew: boolean): boolean {
  return retainHandling === 0 || (retainHandling === 1 && isNew)
}

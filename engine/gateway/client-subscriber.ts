/**
 * The subscribing half of an MQTT connection: its filters, and what waits to be sent to it. Made with the
 * first SUBSCRIBE. Owner: the gateway's thread.
 */
import type { AckFields, AckType } from '../../codecs/mqtt/ack.ts'
import { encodeSuback, encodeUnsuback } from '../../codecs/mqtt/answers.ts'
import { PacketType, type ProtocolVersion, ReasonCode } from '../../codecs/mqtt/packet.ts'
import type { FilterRequest, SubscribePacket, UnsubscribePacket } from '../../codecs/mqtt/subscribe.ts'
import { isShared, isTopicFilterValid } from '../../codecs/mqtt/topic.ts'
import type { AcceptedConnect } from './connect/connect-attempt.ts'
import type { Delivery, DeliveryOutcome, Message, Subscriber, Subscription } from './delivery.ts'
import type { GatewayContext } from './gateway-context.ts'
import { OutboundAliases } from './outbound-aliases.ts'
import { Awaited, Outbox } from './outbox.ts'
import { isFilterPermitted } from './refusals.ts'
import { ReleaseBuffer } from './release-buffer.ts'
import { TOPIC_SIZE_BYTES_MAX } from './topic-router.ts'
import type { Transport } from './transport.ts'

const SUBSCRIPTIONS_PER_CONNECTION_MAX = 1000

export class ClientSubscriber implements Subscriber {
  readonly isPeer = false
  isTouched = false
  #context: GatewayContext
  #transport: Transport
  #version: ProtocolVersion
  #answer: (bytes: Uint8Array) => void
  #outbox: Outbox
  /** Null when the client takes none. */
  #aliases: OutboundAliases | null
  #connect: AcceptedConnect
  #releases = new ReleaseBuffer()
  #subscriptions = new Map<string, Subscription>()

  /** `answer` writes what is not a message, within the bounds of a client that does not read. */
  constructor(
    context: GatewayContext,
    transport: Transport,
    connect: AcceptedConnect,
    answer: (bytes: Uint8Array) => void,
  ) {
    const { limits } = context
    const { version, receiveMaximum, packetSizeBytesMax, topicAliasMaximum } = connect
    this.#context = context
    this.#transport = transport
    this.#version = version
    this.#answer = answer
    this.#connect = connect
    this.#outbox = new Outbox(version, {
      countMax: limits.subscriberQueueCountMax,
      sizeBytesMax: limits.subscriberQueueSizeBytesMax,
      windowMax: Math.min(receiveMaximum, limits.receiveMaximum),
      packetSizeBytesMax,
    })
    this.#aliases =
      topicAliasMaximum === 0 ? null : new OutboundAliases(topicAliasMaximum, packetSizeBytesMax)
  }

  /** Returns the SUBACK. */
  subscribe({ packetId, filters, subscriptionIdentifier }: SubscribePacket): Uint8Array {
    const reasonCodes = filters.map((request) => this.#add(request, subscriptionIdentifier))
    return encodeSuback(this.#version, packetId, reasonCodes)
  }

  /** Returns the UNSUBACK. */
  unsubscribe({ packetId, filters }: UnsubscribePacket): Uint8Array {
    const reasonCodes = filters.map((filter) => {
      if (!isTopicFilterValid(filter)) return ReasonCode.TOPIC_FILTER_INVALID
      return this.#remove(filter) ? ReasonCode.SUCCESS : ReasonCode.NO_SUBSCRIPTION_EXISTED
    })
    return encodeUnsuback(this.#version, packetId, reasonCodes)
  }

  // hot: per message and subscriber
  deliver(message: Message, delivery: Delivery): DeliveryOutcome {
    return this.#outbox.push(message, delivery, this.#context.tick)
  }

  /** Sends PUBRELs, and as many messages as the socket and the client's window take. */
  flush(): void {
    const outbox = this.#outbox
    const { counters, tick } = this.#context
    if (!this.#releases.isEmpty) this.#answer(this.#releases.take())
    while (outbox.count > 0 && this.#transport.bufferedBytes === 0) {
      const before = outbox.count + outbox.expiredCount
      const run = outbox.takeRun(tick)
      counters.deliveryDropped.expired += outbox.expiredCount
      counters.delivered += before - outbox.count - outbox.expiredCount
      outbox.expiredCount = 0
      if (run === null) return
      this.#transport.write(this.#aliases === null ? run : this.#aliases.shorten(run))
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
    this.#context.exchange.touch(this)
    return 0
  }

  #receive(packetId: number, reasonCode: number, awaited: Awaited): number {
    const outbox = this.#outbox
    if (awaited === Awaited.PUBACK) return ReasonCode.PROTOCOL_ERROR
    this.#context.exchange.touch(this)
    if (reasonCode >= 0x80) {
      outbox.answered(packetId, Awaited.NOTHING) // that was all ([MQTT-4.3.3-4])
      return 0
    }
    const isKnown = awaited !== Awaited.NOTHING
    if (isKnown) outbox.answered(packetId, Awaited.PUBCOMP)
    const reason = isKnown ? ReasonCode.SUCCESS : ReasonCode.PACKET_IDENTIFIER_NOT_FOUND
    this.#releases.push(packetId, reason, this.#version)
    return 0
  }

  /** The connection is gone. */
  close(): void {
    for (const subscription of this.#subscriptions.values()) this.#context.exchange.remove(subscription)
    this.#subscriptions.clear()
  }

  /** Returns the granted QoS, or why not. */
  #add(request: FilterRequest, identifier: number): number {
    const { filter, noLocal, retainAsPublished } = request
    if (isShared(filter)) return ReasonCode.SHARED_SUBSCRIPTIONS_NOT_SUPPORTED
    const isTooDeep = filter.split('/').length > this.#context.limits.topicLevelsMax
    if (filter.length > TOPIC_SIZE_BYTES_MAX || isTooDeep || !isTopicFilterValid(filter)) {
      return ReasonCode.TOPIC_FILTER_INVALID
    }
    if (!isFilterPermitted(this.#context, this.#connect, filter)) return ReasonCode.NOT_AUTHORIZED
    const isNew = !this.#subscriptions.has(filter)
    if (isNew && this.#subscriptions.size >= SUBSCRIPTIONS_PER_CONNECTION_MAX) {
      return ReasonCode.QUOTA_EXCEEDED
    }
    const { qos } = request
    const subscription: Subscription = {
      subscriber: this,
      filter,
      qos,
      noLocal,
      isRetainKept: retainAsPublished,
      identifier,
    }
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

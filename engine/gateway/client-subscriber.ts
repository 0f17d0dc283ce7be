/**
 * The subscribing half of an MQTT connection: its filters, and what waits to be sent to it. Made with the
 * first SUBSCRIBE. Owner: the gateway's thread.
 */
import { encodeSuback, encodeUnsuback } from '../../codecs/mqtt/answers.ts'
import { type ProtocolVersion, ReasonCode } from '../../codecs/mqtt/packet.ts'
import type { FilterRequest, SubscribePacket, UnsubscribePacket } from '../../codecs/mqtt/subscribe.ts'
import { isShared, isTopicFilterValid } from '../../codecs/mqtt/topic.ts'
import type { Delivery, Message, Subscriber, Subscription } from './delivery.ts'
import type { Exchange } from './exchange.ts'
import type { GatewayCounters } from './gateway-counters.ts'
import { Outbox, type OutboxBounds } from './outbox.ts'
import { TOPIC_SIZE_BYTES_MAX } from './topic-router.ts'
import type { Transport } from './transport.ts'

const SUBSCRIPTIONS_PER_CONNECTION_MAX = 1000

export class ClientSubscriber implements Subscriber {
  readonly isPeer = false
  isTouched = false
  #exchange: Exchange
  #transport: Transport
  #counters: GatewayCounters
  #version: ProtocolVersion
  #outbox: Outbox
  #subscriptions = new Map<string, Subscription>()

  constructor(
    exchange: Exchange,
    transport: Transport,
    counters: GatewayCounters,
    version: ProtocolVersion,
    bounds: OutboxBounds,
  ) {
    this.#exchange = exchange
    this.#transport = transport
    this.#counters = counters
    this.#version = version
    this.#outbox = new Outbox(version, bounds)
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
  deliver(message: Message, delivery: Delivery): boolean {
    return this.#outbox.push(message, delivery)
  }

  /** Sends as much as the socket and the client's window take. */
  flush(): void {
    const outbox = this.#outbox
    while (outbox.count > 0 && this.#transport.bufferedBytes === 0) {
      const before = outbox.count
      const run = outbox.takeRun()
      if (run === null) return
      this.#counters.delivered += before - outbox.count
      this.#transport.write(run)
    }
  }

  acknowledge(packetId: number): void {
    this.#outbox.acknowledge(packetId)
    this.#exchange.touch(this)
  }

  /** The connection is gone. */
  close(): void {
    for (const subscription of this.#subscriptions.values()) this.#exchange.remove(subscription)
    this.#subscriptions.clear()
  }

  /** Returns the granted QoS, or why not. */
  #add(request: FilterRequest, identifier: number): number {
    const { filter, noLocal, retainAsPublished } = request
    if (isShared(filter)) return ReasonCode.SHARED_SUBSCRIPTIONS_NOT_SUPPORTED
    if (filter.length > TOPIC_SIZE_BYTES_MAX || !isTopicFilterValid(filter)) {
      return ReasonCode.TOPIC_FILTER_INVALID
    }
    const isNew = !this.#subscriptions.has(filter)
    if (isNew && this.#subscriptions.size >= SUBSCRIPTIONS_PER_CONNECTION_MAX) {
      return ReasonCode.QUOTA_EXCEEDED
    }
    const qos = Math.min(request.qos, 1)
    const subscription: Subscription = {
      subscriber: this,
      filter,
      qos,
      noLocal,
      isRetainKept: retainAsPublished,
      identifier,
    }
    // The new one first: other gateways do not see the filter go and come.
    if (!this.#exchange.add(subscription)) return ReasonCode.QUOTA_EXCEEDED
    this.#remove(filter)
    this.#subscriptions.set(filter, subscription)
    return qos
  }

  #remove(filter: string): boolean {
    const subscription = this.#subscriptions.get(filter)
    if (subscription === undefined) return false
    this.#exchange.remove(subscription)
    this.#subscriptions.delete(filter)
    return true
  }
}

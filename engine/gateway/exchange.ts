/**
 * Brings messages to subscribers: the index of all filters, of this gateway's connections and of the other
 * gateways, and what was matched for a topic. Owner: the gateway's thread. Invariant: a SUBACK leaves only
 * when every other gateway knows the filter, so that whoever has read it misses nothing that is published
 * afterwards, anywhere.
 */
import {
  type Delivery,
  DeliveryOutcome,
  Message,
  planDeliveries,
  type Subscriber,
  type Subscription,
} from './delivery.ts'
import { Fifo } from './fifo.ts'
import type { GatewayCounters } from './gateway-counters.ts'
import { PeerLink, type PeerMessage, type PeerOptions } from './peer-link.ts'
import { SubscriptionIndex } from './subscription-index.ts'
import { NO_SESSION, TopicRoute } from './topic-router.ts'

const decoder = new TextDecoder()

/** Stand for the session thread: its kept sessions want QoS 1 and 2, its shared subscriptions every QoS. */
const KEPT_SESSIONS: Subscriber = {
  isPeer: false,
  isTouched: false,
  deliver: () => DeliveryOutcome.QUEUED,
  flush: () => {},
}
const SHARED_SESSIONS: Subscriber = { ...KEPT_SESSIONS }

export class Exchange {
  readonly message = new Message()
  readonly peers: readonly PeerLink[]
  #index = new SubscriptionIndex<Subscription>()
  #counters: GatewayCounters
  /** Subscriptions of this gateway's connections. */
  ownCount = 0
  /** How many of them hold each filter. */
  #ownFilters = new Map<string, number>()
  #touched: Subscriber[] = []
  /** By filter: those that the session thread has told. */
  #keptFilters = new Map<string, Subscription>()
  #sharedFilters = new Map<string, Subscription>()
  /** The topic of the last message from another gateway. */
  #peerRoute = new TopicRoute()
  #sequence = 0
  #waiting = new Fifo<{ sequence: number; answer: () => void }>()

  constructor(peers: readonly PeerOptions[], counters: GatewayCounters) {
    this.peers = peers.map((options) => new PeerLink(options))
    this.#counters = counters
    for (const peer of this.peers) peer.post({ kind: 'hello' })
  }

  get hasSubscriptions(): boolean {
    return this.#index.count > 0
  }

  /** Adds a connection's subscription; false when the index is full or the filter too deep. */
  add(subscription: Subscription): boolean {
    if (!this.#index.add(subscription.filter, subscription)) return false
    this.ownCount++
    const { filter } = subscription
    const count = (this.#ownFilters.get(filter) ?? 0) + 1
    this.#ownFilters.set(filter, count)
    if (count === 1) this.#tell([filter], [])
    return true
  }

  remove(subscription: Subscription): void {
    const { filter } = subscription
    if (!this.#index.remove(filter, subscription)) return
    this.ownCount--
    const count = this.#ownFilters.get(filter)! - 1
    if (count > 0) {
      this.#ownFilters.set(filter, count)
      return
    }
    this.#ownFilters.delete(filter)
    this.#tell([], [filter])
  }

  /** Takes in that sessions subscribe to a filter, or no longer do; what matches it is theirs to deliver. */
  setSessionFilter(filter: string, isShared: boolean, isRemoved: boolean): void {
    const filters = isShared ? this.#sharedFilters : this.#keptFilters
    const known = filters.get(filter)
    if (isRemoved) {
      filters.delete(filter)
      if (known !== undefined) this.#index.remove(filter, known)
    } else if (known === undefined) {
      const subscriber = isShared ? SHARED_SESSIONS : KEPT_SESSIONS
      const subscription = { subscriber, filter, qos: 2, noLocal: false, isRetainKept: true, identifier: 0 }
      filters.set(filter, subscription)
      this.#index.add(filter, subscription)
    }
  }

  /** Calls `answer` once every other gateway knows what was added until now. */
  whenKnown(answer: () => void): void {
    if (this.#sequenceKnown() >= this.#sequence) answer()
    else this.#waiting.push({ sequence: this.#sequence, answer })
  }

  /** Has `route` keep who subscribes to its topic. */
  // hot: per message
  match(route: TopicRoute, publisher: Subscriber | null): void {
    if (route.matchesVersion !== this.#index.version) this.#match(route, publisher, true)
  }

  /** Brings `this.message` to those that `route` keeps. */
  // hot: per message
  publish(route: TopicRoute): void {
    if (route.matches.length > 0) this.#deliver(route.matches)
  }

  /** Brings `this.message` to this gateway's own connections. */
  publishHere(route: TopicRoute): void {
    if (route.matchesVersion !== this.#index.version) this.#match(route, null, false)
    this.#deliver(route.matches)
  }

  /** Delivers what other gateways have sent; true when there was something. */
  // hot: per batch
  takeFromPeers(): boolean {
    let hasWorked = false
    for (const peer of this.peers) if (peer.take(this.message, this.#deliverFromPeer)) hasWorked = true
    if (hasWorked) this.flush()
    return hasWorked
  }

  /** At the end of a read or step: sends what was queued in it. */
  // hot: per batch
  flush(): void {
    const touched = this.#touched
    if (touched.length === 0) return
    for (const subscriber of touched) {
      subscriber.isTouched = false
      subscriber.flush()
    }
    touched.length = 0
  }

  /** Has `subscriber` flushed with the next `flush`. */
  // hot: per message that has a subscriber
  touch(subscriber: Subscriber): void {
    if (subscriber.isTouched) return
    subscriber.isTouched = true
    this.#touched.push(subscriber)
  }

  /** Takes in what another gateway says about its filters. */
  handle(peer: PeerLink, message: PeerMessage): void {
    switch (message.kind) {
      case 'hello':
        peer.post({
          kind: 'filters',
          sequence: this.#sequence,
          isSnapshot: true,
          added: [...this.#ownFilters.keys()],
          removed: [],
        })
        break
      case 'filters':
        this.#takeFilters(
          peer,
          message.isSnapshot ? [...peer.filters.keys()] : message.removed,
          message.added,
        )
        peer.post({ kind: 'filters-taken', sequence: message.sequence })
        break
      case 'filters-taken':
        peer.filtersTaken = Math.max(peer.filtersTaken, message.sequence)
        this.#answerWaiting()
        break
      default:
    }
  }

  #deliverFromPeer = (): void => {
    const { message } = this
    const route = this.#peerRoute
    if (!route.isTopic(message.topic, message.topicStart, message.topicEnd)) {
      route.setTopic(message.topic, message.topicStart, message.topicEnd)
    }
    this.publishHere(route)
  }

  #match(route: TopicRoute, publisher: Subscriber | null, arePeersIncluded: boolean): void {
    const found: Subscription[] = []
    this.#index.match(decoder.decode(route.topic.subarray(0, route.topicSize)), found)
    const own = found.filter(
      ({ subscriber }) => subscriber !== KEPT_SESSIONS && subscriber !== SHARED_SESSIONS,
    )
    route.matches = own.length === 0 ? NOBODY : planDeliveries(own, publisher, arePeersIncluded)
    route.sessionQosMin = sessionQosMin(found)
    route.matchesVersion = this.#index.version
  }

  // hot: per message that has a subscriber
  #deliver(deliveries: readonly Delivery[]): void {
    const { message } = this
    for (const delivery of deliveries) {
      const { subscriber } = delivery
      const outcome = subscriber.deliver(message, delivery)
      if (outcome === DeliveryOutcome.QUEUED) this.touch(subscriber)
      else this.#counters.undelivered(outcome)
    }
  }

  #takeFilters(peer: PeerLink, removed: readonly string[], added: readonly string[]): void {
    for (const filter of removed) {
      const subscription = peer.filters.get(filter)
      if (subscription === undefined) continue
      peer.filters.delete(filter)
      this.#index.remove(filter, subscription)
    }
    for (const filter of added) {
      if (peer.filters.has(filter)) continue
      const subscription: Subscription = {
        subscriber: peer,
        filter,
        qos: 2,
        noLocal: false,
        isRetainKept: true,
        identifier: 0,
      }
      peer.filters.set(filter, subscription)
      this.#index.add(filter, subscription)
    }
  }

  #tell(added: string[], removed: string[]): void {
    this.#sequence++
    for (const peer of this.peers) {
      peer.post({ kind: 'filters', sequence: this.#sequence, isSnapshot: false, added, removed })
    }
  }

  #sequenceKnown(): number {
    let known = this.#sequence
    for (const { filtersTaken } of this.peers) known = Math.min(known, filtersTaken)
    return known
  }

  #answerWaiting(): void {
    const known = this.#sequenceKnown()
    for (;;) {
      const next = this.#waiting.peek()
      if (next === undefined || next.sequence > known) return
      this.#waiting.shift()
      next.answer()
    }
  }
}

function sessionQosMin(found: readonly Subscription[]): number {
  let qosMin = NO_SESSION
  for (const { subscriber } of found) {
    if (subscriber === SHARED_SESSIONS) return 0
    if (subscriber === KEPT_SESSIONS) qosMin = 1
  }
  return qosMin
}

const NOBODY: readonly Delivery[] = []

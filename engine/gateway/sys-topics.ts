/**
 * The topics below `$SYS/broker`: what the gateways of this engine count, together. Whoever subscribes gets the
 * present values at once, as retained messages, and then those that have changed, every ten seconds. Owner: the
 * gateway's thread. A gateway serves its own subscribers; of the others it has their latest figures.
 */
import { VERSION } from '../version.ts'
import { type BrokerFigures, FIGURE_TOPICS, type FigureTopic } from './broker-figures.ts'
import { DeliveryOutcome, type Message, type Subscriber } from './delivery.ts'
import type { Exchange } from './exchange.ts'
import type { GatewayCounters } from './gateway-counters.ts'
import { SubscriptionIndex } from './subscription-index.ts'
import { TopicRoute } from './topic-router.ts'

const INTERVAL_TICKS = 10
const PREFIX = '$SYS/broker/'
const SYS_FILTER = /^\$SYS(\/|$)/

interface SysTopic {
  name: 'version' | 'uptime' | FigureTopic
  topic: string
  route: TopicRoute
  /** What was published last. */
  text: string
}

/** Whether the filter names topics of the server's own. */
export function isSysFilter(filter: string): boolean {
  return SYS_FILTER.test(filter)
}

export class SysTopics {
  #exchange: Exchange
  #counters: GatewayCounters
  #topics: SysTopic[] = (['version', 'uptime', ...FIGURE_TOPICS] as const).map((name) => {
    const topic = `${PREFIX}${name}`
    const route = new TopicRoute()
    route.setTopic(Buffer.from(topic), 0, topic.length)
    return { name, topic, route, text: '' }
  })
  /** By peer. */
  #others = new Map<number, BrokerFigures>()
  #tick = 0

  constructor(exchange: Exchange, counters: GatewayCounters) {
    this.#exchange = exchange
    this.#counters = counters
  }

  /** Once a second; `tick` counts them. */
  turnSecond(tick: number): void {
    this.#tick = tick
    if (tick % INTERVAL_TICKS !== 0) return
    const figures = this.#own()
    for (const peer of this.#exchange.peers) peer.post({ kind: 'figures', figures })
    for (const sys of this.#topics) {
      const text = this.#textOf(sys)
      if (text === sys.text) continue
      sys.text = text
      this.#fill(this.#exchange.message, sys, text)
      this.#exchange.publishHere(sys.route)
    }
    this.#exchange.flush()
  }

  /** Another gateway has told its figures. */
  handle(peer: number, figures: BrokerFigures): void {
    this.#others.set(peer, figures)
  }

  /** Gives a subscriber the present values of the topics that match its filter. */
  deliverTo(subscriber: Subscriber, filter: string, identifier: number): void {
    const index = new SubscriptionIndex<string>()
    index.add(filter, filter)
    const { message } = this.#exchange
    const identifiers = identifier > 0 ? [identifier] : []
    for (const sys of this.#topics) {
      const found: string[] = []
      index.match(sys.topic, found)
      if (found.length === 0) continue
      this.#fill(message, sys, this.#textOf(sys))
      const outcome = subscriber.deliver(message, { subscriber, qos: 0, isRetainKept: true, identifiers })
      if (outcome === DeliveryOutcome.QUEUED) this.#exchange.touch(subscriber)
      else this.#counters.undelivered(outcome)
    }
  }

  #fill(message: Message, { route }: SysTopic, text: string): void {
    message.topic = route.topic
    message.topicStart = 0
    message.topicEnd = route.topicSize
    message.bytes = Buffer.from(text)
    message.propertiesStart = 0
    message.payloadStart = 0
    message.payloadEnd = message.bytes.length
    message.qos = 0
    message.isRetain = true
    message.messageExpiryIntervalS = -1
  }

  #textOf({ name }: SysTopic): string {
    if (name === 'version') return `millrace ${VERSION}`
    if (name === 'uptime') return `${this.#tick} seconds`
    let sum = this.#own()[name]
    for (const figures of this.#others.values()) sum += figures[name]
    return `${sum}`
  }

  #own(): BrokerFigures {
    const counters = this.#counters
    const { full, tooLarge, expired } = counters.deliveryDropped
    return {
      'clients/connected': counters.connections,
      'connections/accepted': counters.connectsAccepted,
      'connections/refused': counters.connectsRefused.total,
      'messages/received': counters.messagesQos0 + counters.messagesQos1 + counters.messagesQos2,
      'messages/sent': counters.delivered,
      'messages/dropped': full + tooLarge + expired,
      'messages/unmatched': counters.unmatched,
      'bytes/received': counters.bytesReceived,
      'bytes/sent': counters.bytesSent,
      'subscriptions/count': this.#exchange.ownCount,
    }
  }
}

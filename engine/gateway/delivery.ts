/** A message on its way to subscribers, and who takes part. Owner: the gateway's thread. */

/** Where the parts of the message now being delivered are. One object per gateway, valid during one call. */
export class Message {
  topic: Uint8Array = new Uint8Array(0)
  topicStart = 0
  topicEnd = 0
  /** Holds properties and, right behind them, the payload. */
  bytes: Uint8Array = this.topic
  /** As the publisher encoded them; empty when there are none. */
  propertiesStart = 0
  payloadStart = 0
  payloadEnd = 0
  qos = 0
  isRetain = false
  /** -1 when there is none. */
  messageExpiryIntervalS = -1
}

/** What became of a message on its way to one subscriber. */
export const DeliveryOutcome = {
  QUEUED: 0,
  /** The subscriber's queue, or the ring to its gateway, is full. */
  FULL: 1,
  /** The subscriber does not take packets of that size ([MQTT-3.1.2-25]). */
  TOO_LARGE: 2,
} as const
export type DeliveryOutcome = (typeof DeliveryOutcome)[keyof typeof DeliveryOutcome]

/** One that messages go to: a connection, or another gateway on behalf of its own. */
export interface Subscriber {
  /** Another gateway: it matches for itself. */
  readonly isPeer: boolean
  /** The exchange's own: it is to be flushed at the end of the present read. */
  isTouched: boolean
  /** Queues the message, or drops it and says why. */
  deliver(message: Message, delivery: Delivery): DeliveryOutcome
  /** Sends what was queued. */
  flush(): void
}

export interface Subscription {
  subscriber: Subscriber
  filter: string
  qos: number
  noLocal: boolean
  isRetainKept: boolean
  /** 0 for none. */
  identifier: number
}

/** All subscriptions of one subscriber that match a topic, as one. */
export interface Delivery {
  subscriber: Subscriber
  qos: number
  isRetainKept: boolean
  identifiers: number[]
}

/**
 * One delivery for each subscriber of `found`, with the highest QoS ([MQTT-3.3.4-2]), without what
 * `publisher` must not hear.
 */
export function planDeliveries(
  found: readonly Subscription[],
  publisher: Subscriber | null,
  arePeersIncluded: boolean,
): Delivery[] {
  const plan = new Map<Subscriber, Delivery>()
  for (const { subscriber, qos, noLocal, isRetainKept, identifier } of found) {
    if (noLocal && subscriber === publisher) continue
    if (subscriber.isPeer && !arePeersIncluded) continue
    let delivery = plan.get(subscriber)
    if (delivery === undefined) {
      delivery = { subscriber, qos, isRetainKept, identifiers: [] }
      plan.set(subscriber, delivery)
    }
    delivery.qos = Math.max(delivery.qos, qos)
    delivery.isRetainKept ||= isRetainKept
    if (identifier > 0) delivery.identifiers.push(identifier)
  }
  return [...plan.values()]
}

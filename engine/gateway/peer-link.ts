/**
 * Another gateway, as seen from this one: what its clients subscribe to, and the rings that messages cross
 * by. Owner: the gateway's thread. Messages that find the ring full are dropped and counted; telemetry itself
 * never waits for subscribers.
 */
import { alignRecord } from '../../codecs/journal/record.ts'
import type { Doorbell } from '../ring/doorbell.ts'
import { RingConsumer, RingProducer } from '../ring/ring.ts'
import type { BrokerFigures } from './broker-figures.ts'
import { DeliveryOutcome, type Message, type Subscriber, type Subscription } from './delivery.ts'
import { peerRecordSize, readPeerRecord, writePeerRecord } from './peer-record.ts'

/** What gateways tell each other. Messages arrive in the order in which they were sent. */
export type PeerMessage =
  /** This gateway has started: tell it your filters. */
  | { kind: 'hello' }
  /** Filters that have their first subscriber here, or have lost their last; a snapshot replaces all. */
  | { kind: 'filters'; sequence: number; isSnapshot: boolean; added: string[]; removed: string[] }
  /** Filters up to that sequence are in effect. */
  | { kind: 'filters-taken'; sequence: number }
  /** A client has connected; an older connection of the same identifier must go. */
  | { kind: 'connected'; clientId: string; number: number }
  /** What it has counted. */
  | { kind: 'figures'; figures: BrokerFigures }

export interface PeerOptions {
  index: number
  post: (message: PeerMessage) => void
  inbound: SharedArrayBuffer
  outbound: SharedArrayBuffer
  bell: Doorbell
}

const TAKE_SIZE_BYTES_MAX = 256 << 10

export class PeerLink implements Subscriber {
  readonly isPeer = true
  isTouched = false
  readonly index: number
  readonly post: (message: PeerMessage) => void
  /** What its clients subscribe to. */
  readonly filters = new Map<string, Subscription>()
  /** Up to where it has taken this gateway's filters. */
  filtersTaken = 0
  #producer: RingProducer
  #consumer: RingConsumer
  #bell: Doorbell

  constructor(options: PeerOptions) {
    this.index = options.index
    this.post = options.post
    this.#producer = new RingProducer(options.outbound)
    this.#consumer = new RingConsumer(options.inbound)
    this.#bell = options.bell
  }

  // hot: per message that the peer's clients subscribe to
  deliver(message: Message): DeliveryOutcome {
    const producer = this.#producer
    const size = peerRecordSize(message)
    if (size > producer.recordSizeMax) return DeliveryOutcome.FULL
    const at = producer.claim(size)
    if (at < 0) return DeliveryOutcome.FULL
    writePeerRecord(producer.views, at, message)
    producer.commit(size)
    return DeliveryOutcome.QUEUED
  }

  // hot: per batch
  flush(): void {
    if (this.#producer.publish()) this.#bell.ring()
  }

  /**
   * Reads what the peer has sent, up to a bound; true when there was something. `message` points into the
   * ring.
   */
  // hot: per batch
  take(message: Message, deliver: () => void): boolean {
    const consumer = this.#consumer
    const { views } = consumer
    const start = consumer.offset()
    const size = consumer.take(TAKE_SIZE_BYTES_MAX)
    if (size === 0) return false
    for (let offset = start; offset < start + size; ) {
      if (readPeerRecord(views, offset, message)) deliver()
      offset += alignRecord(views.u32[offset >>> 2])
    }
    consumer.release(consumer.position)
    return true
  }
}

/**
 * A gateway's side of the session thread: the lane of records to it, and the ring of answers and deliveries from it.
 * Owner: the gateway's thread. Invariants: records leave in the order in which they were sent, those that found no room
 * too; until `isReady` not all filters are known, and nothing may be published.
 */
import { alignRecord } from '../../codecs/journal/record.ts'
import { FieldReader } from '../../codecs/session/fields.ts'
import {
  FilterFlag,
  NO_EXPIRY,
  readSessionRecord,
  type SessionRecord,
  SessionRecordFields,
  SessionRecordKind,
  sessionRecordSize,
  writeSessionRecord,
} from '../../codecs/session/record.ts'
import type { Doorbell } from '../ring/doorbell.ts'
import { RingConsumer } from '../ring/ring.ts'
import type { Message } from './delivery.ts'
import type { Exchange } from './exchange.ts'
import { Fifo } from './fifo.ts'
import type { LaneUser, ShardLane } from './shard-lane.ts'

export interface SessionLinkOptions {
  ring: SharedArrayBuffer
  deliveries: SharedArrayBuffer
  /** The session thread's. */
  bell: Doorbell
  /** A word for each gateway. */
  filtersTaken: SharedArrayBuffer
}

/** A connection that the session thread knows by its number. */
export interface SessionUser {
  /** CONNECTED, SUBSCRIPTION, SUBSCRIBED or UNSUBSCRIBED. */
  sessionAnswered(record: SessionRecordFields): void
  /** `message` points into the ring. */
  sessionDelivers(record: SessionRecordFields, message: Message, identifiers: number[]): void
  sessionReleases(packetId: number, isKnown: boolean): void
}

const TAKE_SIZE_BYTES_MAX = 256 << 10
/** Records that found no room; beyond it clients that ask for more are let go. */
const UNSENT_SIZE_BYTES_MAX = 16 << 20

export class SessionLink {
  readonly lane: ShardLane
  isReady = false
  onReady: (() => void) | null = null
  #index: number
  #exchange: Exchange
  #onWill: (message: Message) => void
  #consumer: RingConsumer
  #bell: Doorbell
  #filtersTaken: Int32Array
  #users = new Map<number, SessionUser>()
  /** Client identifiers with a kept session, by hash: how many. */
  #known = new Map<number, number>()
  #unsent = new Fifo<SessionRecord>()
  #unsentSizeBytes = 0
  #record = new SessionRecordFields()

  constructor(
    index: number,
    lane: ShardLane,
    exchange: Exchange,
    options: SessionLinkOptions,
    onWill: (message: Message) => void,
  ) {
    this.lane = lane
    this.#index = index
    this.#exchange = exchange
    this.#onWill = onWill
    this.#consumer = new RingConsumer(options.deliveries)
    this.#bell = options.bell
    this.#filtersTaken = new Int32Array(options.filtersTaken)
  }

  get isOverrun(): boolean {
    return this.#unsentSizeBytes > UNSENT_SIZE_BYTES_MAX
  }

  /** Whether the client may have a kept session; a clash of hashes only costs a question. */
  mayKnow(clientHash: number): boolean {
    return this.#known.has(clientHash)
  }

  /** Whether a record of that size would be written at once; if not, `user` is to wait for the lane. */
  // hot: per message that a session wants
  hasRoom(sizeBytes: number, user: LaneUser): boolean {
    const { lane } = this
    return this.#unsent.count === 0 && !lane.isTaken(user) && lane.producer.claim(sizeBytes) >= 0
  }

  attach(number: number, user: SessionUser): void {
    this.#users.set(number, user)
  }

  detach(number: number): void {
    this.#users.delete(number)
  }

  /** Sends a record, later if there is no room now; it is seen with the next `flush` or the end of the read. */
  send(record: SessionRecord): void {
    if (this.#unsent.count === 0 && this.#write(record)) return
    this.#unsent.push(record)
    this.#unsentSizeBytes += sessionRecordSize(record)
  }

  /** Shows the session thread what was sent. */
  // hot: per batch
  flush(): void {
    for (let record = this.#unsent.peek(); record !== undefined; record = this.#unsent.peek()) {
      if (!this.#write(record)) break
      this.#unsent.shift()
      this.#unsentSizeBytes -= sessionRecordSize(record)
    }
    if (this.lane.producer.publish()) this.#bell.ring()
  }

  /** Takes what the session thread has sent, up to a bound; true when there was something. */
  // hot: per batch
  take(): boolean {
    const consumer = this.#consumer
    const { views } = consumer
    const start = consumer.offset()
    const size = consumer.take(TAKE_SIZE_BYTES_MAX)
    if (size === 0) return false
    const taken = this.#filtersTaken[this.#index]
    for (let offset = start; offset < start + size; offset += alignRecord(views.u32[offset >>> 2])) {
      if (readSessionRecord(views, offset, this.#record)) this.#handle(this.#record)
    }
    consumer.release(consumer.position)
    // It may hold back a SUBACK until this, or what the ring had no room for.
    if (taken !== this.#filtersTaken[this.#index] || size > TAKE_SIZE_BYTES_MAX / 2) this.#bell.ring()
    return true
  }

  #write(record: SessionRecord): boolean {
    const { producer } = this.lane
    const size = sessionRecordSize(record)
    const at = producer.claim(size)
    if (at < 0) return false
    writeSessionRecord(producer.views, at, record)
    producer.commit(size)
    return true
  }

  // hot: per delivery
  #handle(record: SessionRecordFields): void {
    const user = this.#users.get(record.number)
    switch (record.kind) {
      case SessionRecordKind.DELIVER:
        if (user !== undefined) {
          this.#readMessage(record, record.contentStart)
          user.sessionDelivers(record, this.#exchange.message, record.identifiers(this.#consumer.views))
        }
        break
      case SessionRecordKind.DELIVER_RELEASE:
        user?.sessionReleases(record.packetId, record.flags === 0)
        break
      case SessionRecordKind.FILTER:
        this.#takeFilter(record)
        break
      case SessionRecordKind.KNOWN:
        this.#takeKnown(record.handle, record.flags === 0 ? 1 : -1)
        break
      case SessionRecordKind.READY:
        this.isReady = true
        this.onReady?.()
        break
      case SessionRecordKind.WILL:
        this.#readMessage(record, record.bodyStart)
        this.#onWill(this.#exchange.message)
        break
      default:
        user?.sessionAnswered(record)
    }
  }

  #readMessage(record: SessionRecordFields, topicStart: number): void {
    const { message } = this.#exchange
    message.topic = record.bytes
    message.bytes = record.bytes
    message.topicStart = topicStart
    message.topicEnd = topicStart + record.topicSize
    message.propertiesStart = message.topicEnd
    message.payloadStart = message.propertiesStart + record.propertiesSize
    message.payloadEnd = record.end
    message.qos = (record.flags >> 1) & 3
    message.isRetain = (record.flags & 1) !== 0
    message.messageExpiryIntervalS = record.expiryS === NO_EXPIRY ? -1 : record.expiryS
  }

  #takeFilter({ bytes, bodyStart, end, flags, handle }: SessionRecordFields): void {
    const filter = new FieldReader(bytes, bodyStart, end).text()
    this.#exchange.setSessionFilter(
      filter,
      (flags & FilterFlag.SHARED) !== 0,
      (flags & FilterFlag.REMOVED) !== 0,
    )
    Atomics.store(this.#filtersTaken, this.#index, handle)
  }

  #takeKnown(hash: number, change: number): void {
    const count = (this.#known.get(hash) ?? 0) + change
    if (count > 0) this.#known.set(hash, count)
    else this.#known.delete(hash)
  }
}

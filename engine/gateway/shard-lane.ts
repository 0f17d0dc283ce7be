/**
 * A gateway's side of one shard: the ring it writes to, who waits for the ring's durable position, and who
 * waits for room. Owner: the gateway's thread. Invariant: notes are in the order of their positions, so that
 * a durable step looks only at the connections it concerns.
 */
import type { Doorbell } from '../ring/doorbell.ts'
import { isReached, RingProducer } from '../ring/ring.ts'
import { Fifo } from './fifo.ts'

/** A connection, as far as a lane knows it. */
export interface LaneUser {
  /** Something it waits for may have become durable. */
  settle(): void
  /** There may be room again: goes on with what it holds. */
  retry(): void
  /** The lane it waits for, or null. */
  readonly blockedOn: ShardLane | null
}

export class ShardLane {
  readonly shard: number
  readonly producer: RingProducer
  /** Messages of the present read that wait for this ring. */
  waitingCount = 0
  /** When the ring was first found full, ms; -1 while there is room. */
  fullSinceMs = -1
  #bell: Doorbell
  #durable: Int32Array
  #noteUsers = new Fifo<LaneUser>()
  #noteEnds = new Fifo<number>()
  #blocked = new Fifo<LaneUser>()
  #retrying: LaneUser | null = null

  /** `durable` is the gateway's table of durable positions, by shard; this lane writes its own. */
  constructor(shard: number, ring: SharedArrayBuffer, bell: Doorbell, durable: Int32Array) {
    this.shard = shard
    this.producer = new RingProducer(ring)
    this.#bell = bell
    this.#durable = durable
    this.#durable[shard] = this.producer.durable()
  }

  /**
   * At the end of a read: shows the shard what was written, and remembers whom to look at once it is durable.
   */
  // hot: per batch
  endRead(user: LaneUser): void {
    if (this.waitingCount > 0) {
      this.#noteUsers.push(user)
      this.#noteEnds.push(this.producer.position)
      this.waitingCount = 0
    }
    if (this.producer.publish()) this.#bell.ring()
  }

  /** Whether `user` has to queue behind others that were here before. */
  // hot: per message
  isTaken(user: LaneUser): boolean {
    return this.fullSinceMs >= 0 && this.#retrying !== user
  }

  /** `user` found no room; it is retried in its turn. */
  block(user: LaneUser, nowMs: number): void {
    if (this.fullSinceMs < 0) this.fullSinceMs = nowMs
    if (this.#retrying !== user) this.#blocked.push(user)
  }

  /** Reads the ring's durable position; true when it has moved. Read all lanes' before any is settled. */
  // hot: per batch
  refresh(): boolean {
    const durable = this.producer.durable()
    if (durable === this.#durable[this.shard]) return false
    this.#durable[this.shard] = durable
    return true
  }

  /** Settles those whose messages have become durable, then goes on with those who waited for room. */
  // hot: per batch
  settle(): void {
    const durable = this.#durable[this.shard]
    for (;;) {
      const end = this.#noteEnds.peek()
      if (end === undefined || !isReached(durable, end)) break
      this.#noteEnds.shift()
      this.#noteUsers.shift()?.settle()
    }
    if (this.fullSinceMs >= 0) this.#retry()
  }

  #retry(): void {
    for (;;) {
      const user = this.#blocked.peek()
      if (user === undefined) break
      if (user.blockedOn === this) {
        this.#retrying = user
        user.retry()
        this.#retrying = null
        if (user.blockedOn === this) return
      }
      this.#blocked.shift()
    }
    this.fullSinceMs = -1
  }
}

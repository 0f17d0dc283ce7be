/**
 * What a connection still has to acknowledge, in the order of its PUBLISHes ([MQTT-4.6.0-2]): a message
 * leaves when its ring's durable position has reached it and everything before it has left. One owner: the
 * gateway's thread. Bounded by the receive maximum; the arrays grow by doubling and are made with the first
 * QoS 1 message.
 */
import { assert } from '../../base/assert.ts'
import { writePuback } from '../../codecs/mqtt/ack.ts'
import { isReached } from '../ring/ring.ts'

/** In place of a shard: nothing was written to a ring, the turn alone is waited for. */
export const NO_SHARD = 255

const CAPACITY_MIN = 16
const PUBACK_SIZE_BYTES = 4

/** Told how long a run of messages with the same arrival has waited. */
export interface LatencySink {
  record(arrivalUs: number, count: number): void
}

export class AckQueue {
  count = 0
  #head = 0
  #ends = new Int32Array(CAPACITY_MIN)
  #packetIds = new Uint16Array(CAPACITY_MIN)
  #shards = new Uint8Array(CAPACITY_MIN)
  #arrivalsUs = new Uint32Array(CAPACITY_MIN)

  /** `arrivalUs` wraps at 2^32. */
  // hot: per message
  push(end: number, packetId: number, shard: number, arrivalUs: number): void {
    if (this.count === this.#ends.length) this.#grow()
    const slot = (this.#head + this.count) & (this.#ends.length - 1)
    this.#ends[slot] = end
    this.#packetIds[slot] = packetId
    this.#shards[slot] = shard
    this.#arrivalsUs[slot] = arrivalUs
    this.count++
  }

  /** Whether the next message can leave; `durable` are the rings' positions, by shard. */
  // hot: per batch
  isReady(durable: Int32Array): boolean {
    if (this.count === 0) return false
    const shard = this.#shards[this.#head]
    return shard === NO_SHARD || isReached(durable[shard], this.#ends[this.#head])
  }

  /**
   * Takes the messages that can leave, as many as `out` has room for, and writes their PUBACKs. Returns the
   * bytes written.
   */
  // hot: per message
  take(durable: Int32Array, out: Uint8Array, latency: LatencySink): number {
    const ends = this.#ends
    const shards = this.#shards
    const packetIds = this.#packetIds
    const arrivalsUs = this.#arrivalsUs
    const mask = ends.length - 1
    const countMax = Math.min(this.count, Math.floor(out.length / PUBACK_SIZE_BYTES))
    let slot = this.#head
    let taken = 0
    let offset = 0
    let runArrivalUs = arrivalsUs[slot]
    let runCount = 0
    while (taken < countMax) {
      const shard = shards[slot]
      if (shard !== NO_SHARD && ((durable[shard] - ends[slot]) | 0) < 0) break
      offset = writePuback(out, offset, packetIds[slot])
      if (arrivalsUs[slot] !== runArrivalUs) {
        latency.record(runArrivalUs, runCount)
        runArrivalUs = arrivalsUs[slot]
        runCount = 0
      }
      runCount++
      taken++
      slot = (slot + 1) & mask
    }
    if (runCount > 0) latency.record(runArrivalUs, runCount)
    this.#head = slot
    this.count -= taken
    return offset
  }

  #grow(): void {
    const capacity = this.#ends.length * 2
    assert(capacity <= 1 << 17, 'acknowledgements are bounded by the receive maximum')
    this.#ends = unrolled(this.#ends, new Int32Array(capacity), this.#head)
    this.#packetIds = unrolled(this.#packetIds, new Uint16Array(capacity), this.#head)
    this.#shards = unrolled(this.#shards, new Uint8Array(capacity), this.#head)
    this.#arrivalsUs = unrolled(this.#arrivalsUs, new Uint32Array(capacity), this.#head)
    this.#head = 0
  }
}

type Column = Int32Array | Uint32Array | Uint16Array | Uint8Array

/** A full ring's slots in order, from `head` on. */
function unrolled<T extends Column>(from: T, to: T, head: number): T {
  to.set(from.subarray(head))
  to.set(from.subarray(0, head), from.length - head)
  return to
}

/**
 * Frames of a plain WebSocket connection that are not durable yet, in order. Acknowledgements are cumulative,
 * so only the last one that is durable is ever told. All of them wait for one ring, those that sessions want
 * for the session thread's as well. Owner: the gateway's thread.
 */
import { isReached } from '../ring/ring.ts'
import type { LatencySink } from './ack-queue.ts'
import { unrolled } from './unrolled.ts'

const CAPACITY_MIN = 16

export class FrameQueue {
  count = 0
  #head = 0
  #ends = new Int32Array(CAPACITY_MIN)
  #seqs = new Float64Array(CAPACITY_MIN)
  #arrivalsUs = new Uint32Array(CAPACITY_MIN)
  /** Where it went in the session thread's ring, of frames with that flag. */
  #sessionEnds = new Int32Array(CAPACITY_MIN)
  #isForSessions = new Uint8Array(CAPACITY_MIN)

  // hot: per message
  push(end: number, seq: number, arrivalUs: number): void {
    if (this.count === this.#ends.length) this.#grow()
    const slot = (this.#head + this.count) & (this.#ends.length - 1)
    this.#ends[slot] = end
    this.#seqs[slot] = seq
    this.#arrivalsUs[slot] = arrivalUs
    this.#isForSessions[slot] = 0
    this.count++
  }

  /** The last one waits for that position of the session thread's ring, too. */
  waitForSessions(end: number): void {
    const slot = (this.#head + this.count - 1) & (this.#ends.length - 1)
    this.#sessionEnds[slot] = end
    this.#isForSessions[slot] = 1
  }

  /** Drops what both positions have reached; returns the last `seq` among it, or -1. */
  // hot: per message
  take(durable: number, sessionsDurable: number, latency: LatencySink): number {
    const mask = this.#ends.length - 1
    let seq = -1
    while (this.count > 0 && isReached(durable, this.#ends[this.#head])) {
      const isForSessions = this.#isForSessions[this.#head] === 1
      if (isForSessions && !isReached(sessionsDurable, this.#sessionEnds[this.#head])) break
      seq = this.#seqs[this.#head]
      latency.record(this.#arrivalsUs[this.#head], 1)
      this.#head = (this.#head + 1) & mask
      this.count--
    }
    return seq
  }

  #grow(): void {
    const capacity = this.#ends.length * 2
    this.#ends = unrolled(this.#ends, new Int32Array(capacity), this.#head)
    this.#seqs = unrolled(this.#seqs, new Float64Array(capacity), this.#head)
    this.#arrivalsUs = unrolled(this.#arrivalsUs, new Uint32Array(capacity), this.#head)
    this.#sessionEnds = unrolled(this.#sessionEnds, new Int32Array(capacity), this.#head)
    this.#isForSessions = unrolled(this.#isForSessions, new Uint8Array(capacity), this.#head)
    this.#head = 0
  }
}

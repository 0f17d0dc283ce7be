/**
 * First in, first out queue of series numbers: a ring that doubles when full. One owner: the shard's thread.
 */
import { assert } from '../base/assert.ts'
import type { StateReader, StateWriter } from '../codecs/state.ts'

export class SeriesQueue {
  length = 0
  #ring = new Int32Array(1024)
  #head = 0

  append(series: number): void {
    if (this.length === this.#ring.length) this.#grow()
    this.#ring[(this.#head + this.length) & (this.#ring.length - 1)] = series
    this.length++
  }

  /** The oldest; call it only when there is one. */
  take(): number {
    const series = this.#ring[this.#head]
    this.#head = (this.#head + 1) & (this.#ring.length - 1)
    this.length--
    return series
  }

  clear(): void {
    this.length = 0
    this.#head = 0
  }

  save(out: StateWriter): void {
    const ring = this.#ring
    const tailCount = Math.min(this.length, ring.length - this.#head)
    out.numbers(this.length, this.#head, ring.length)
    out.i32(ring.subarray(this.#head), tailCount)
    out.i32(ring, this.length - tailCount)
  }

  /** Each number goes back to its place in the ring, so that equal queues go on saving equal bytes. */
  load(from: StateReader): void {
    const [length, head, capacity] = from.numbers(3)
    const tail = from.i32()
    const wrapped = from.i32()
    const isPowerOfTwo = capacity > 0 && (capacity & (capacity - 1)) === 0
    assert(isPowerOfTwo && head < capacity && length <= capacity, 'state has no such queue')
    const tailCount = Math.min(length, capacity - head)
    assert(
      tail.length === tailCount && wrapped.length === length - tailCount,
      'state has another queue length',
    )
    this.#ring = new Int32Array(capacity)
    this.#ring.set(tail, head)
    this.#ring.set(wrapped)
    this.#head = head | 0
    this.length = length | 0
  }

  #grow(): void {
    const ring = new Int32Array(this.#ring.length * 2)
    ring.set(this.#ring.subarray(this.#head))
    ring.set(this.#ring.subarray(0, this.#head), this.#ring.length - this.#head)
    this.#ring = ring
    this.#head = 0
  }
}

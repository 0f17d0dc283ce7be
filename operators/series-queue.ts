/**
 * First in, first out queue of series numbers: a ring that doubles when full. One owner: the shard's thread.
 */
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

  #grow(): void {
    const ring = new Int32Array(this.#ring.length * 2)
    ring.set(this.#ring.subarray(this.#head))
    ring.set(this.#ring.subarray(0, this.#head), this.#ring.length - this.#head)
    this.#ring = ring
    this.#head = 0
  }
}

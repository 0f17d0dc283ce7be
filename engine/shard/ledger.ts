/**
 * What a batch did to the books: deltas by stream and arrival minute, a row each in the table `ledger`. Owned by the
 * shard's thread; emptied with every batch. A message that can't be decoded counts as one accepted reading.
 */
const MINUTE_MS = 60_000

export class Ledger {
  count = 0
  stream = new Int32Array(16)
  /** Seconds since the epoch. */
  minuteS = new Float64Array(16)
  accepted = new Float64Array(16)
  stored = new Float64Array(16)
  filtered = new Float64Array(16)
  deadLettered = new Float64Array(16)
  duplicate = new Float64Array(16)
  amended = new Float64Array(16)
  messages = new Float64Array(16)
  #last = 0

  /** The row of a stream and arrival time, a new one if need be. */
  // hot: per message
  row(stream: number, arrivalMs: number): number {
    const minuteS = (arrivalMs - (arrivalMs % MINUTE_MS)) / 1000
    const last = this.#last
    if (last < this.count && this.stream[last] === stream && this.minuteS[last] === minuteS) return last
    for (let row = 0; row < this.count; row++) {
      if (this.stream[row] !== stream || this.minuteS[row] !== minuteS) continue
      this.#last = row
      return row
    }
    return this.#add(stream, minuteS)
  }

  clear(): void {
    this.count = 0
    this.#last = 0
  }

  #add(stream: number, minuteS: number): number {
    const row = this.count++
    if (row === this.stream.length) this.#grow()
    this.stream[row] = stream
    this.minuteS[row] = minuteS
    for (const column of this.#columns()) column[row] = 0
    this.#last = row
    return row
  }

  #columns(): Float64Array[] {
    return [
      this.accepted,
      this.stored,
      this.filtered,
      this.deadLettered,
      this.duplicate,
      this.amended,
      this.messages,
    ]
  }

  #grow(): void {
    const capacity = this.stream.length * 2
    const doubled = (column: Float64Array) => {
      const longer = new Float64Array(capacity)
      longer.set(column)
      return longer
    }
    const streams = new Int32Array(capacity)
    streams.set(this.stream)
    this.stream = streams
    this.minuteS = doubled(this.minuteS)
    this.accepted = doubled(this.accepted)
    this.stored = doubled(this.stored)
    this.filtered = doubled(this.filtered)
    this.deadLettered = doubled(this.deadLettered)
    this.duplicate = doubled(this.duplicate)
    this.amended = doubled(this.amended)
    this.messages = doubled(this.messages)
  }
}

/**
 * The columns that payload scanners fill and everything after them reads. One owner: the shard's thread.
 * Invariant: rows 0 .. count-1 are complete; a scanner that fails puts count and textSizeBytes back.
 */

const TEXT_SIZE_BYTES_MIN = 4096

/** Readings, a row each. Grows by doubling; `clear` keeps the memory. */
export class ReadingColumns {
  count = 0
  /**
   * How many rows there is room for. A field: a typed array's length goes through a double when it is asked.
   */
  capacity: number
  /** Index into the MetricNames that the scanner was made with. */
  metric: Int32Array
  /** Event time in ms since the epoch (may have a fraction); NaN where the payload named none. */
  tsMs: Float64Array
  /** The number; NaN for a text reading. Booleans are 0 and 1. */
  value: Float64Array
  /** Where the text starts in `text`, for a text reading. */
  textStart: Int32Array
  /** Size of the text in bytes; -1 marks a number. */
  textSize: Int32Array
  /** UTF-8 bytes of all text readings. */
  text: Uint8Array = new Uint8Array(TEXT_SIZE_BYTES_MIN)
  textSizeBytes = 0

  constructor(capacity = 1024) {
    this.capacity = capacity
    this.metric = new Int32Array(capacity)
    this.tsMs = new Float64Array(capacity)
    this.value = new Float64Array(capacity)
    this.textStart = new Int32Array(capacity)
    this.textSize = new Int32Array(capacity)
  }

  clear(): void {
    this.count = 0
    this.textSizeBytes = 0
  }

  /** Row `to` becomes what row `from` is. */
  // hot: per reading that is kept where others are taken out
  move(from: number, to: number): void {
    if (from === to) return
    const { metric, tsMs, value, textStart, textSize } = this
    metric[to] = metric[from]
    tsMs[to] = tsMs[from]
    value[to] = value[from]
    textStart[to] = textStart[from]
    textSize[to] = textSize[from]
  }

  /** Makes room for `extra` more rows. Column references held in locals are stale after it. */
  reserve(extra: number): void {
    const needed = this.count + extra
    if (needed <= this.capacity) return
    const capacity = Math.max(needed, this.capacity * 2)
    this.metric = grown(this.metric, new Int32Array(capacity))
    this.tsMs = grown(this.tsMs, new Float64Array(capacity))
    this.value = grown(this.value, new Float64Array(capacity))
    this.textStart = grown(this.textStart, new Int32Array(capacity))
    this.textSize = grown(this.textSize, new Int32Array(capacity))
    this.capacity = capacity
  }

  /** Makes room for `extra` more bytes of text. */
  reserveText(extra: number): void {
    const needed = this.textSizeBytes + extra
    if (needed <= this.text.length) return
    this.text = grown(this.text, new Uint8Array(Math.max(needed, this.text.length * 2)))
  }
}

function grown<T extends { set(from: T): void }>(from: T, to: T): T {
  to.set(from)
  return to
}

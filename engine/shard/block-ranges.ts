/** What blocks of every table are cut and sorted by. */
import type { RowOrder } from './row-order.ts'
import { rowSlices, type Slices } from './slices.ts'

/** Of one block: well within what the store takes in one insert. */
const BLOCK_ROWS_MAX = 1_000_000
const BLOCK_SIZE_BYTES_MAX = 64 << 20

/** More than the milliseconds of four centuries, and far below 2^53 for 256 labels. */
const START_SPAN_MS = 2 ** 44

/** Places in the order of the rows. */
export interface Range {
  start: number
  end: number
}

export function whole(count: number): Range {
  return { start: 0, end: count }
}

/** Ranges of a bounded size: a flush of all windows has very many rows. */
export function cut(count: number, rowSizeBytes: number): Range[] {
  const rowsMax = Math.max(1, Math.min(BLOCK_ROWS_MAX, Math.floor(BLOCK_SIZE_BYTES_MAX / rowSizeBytes)))
  return Array.from({ length: Math.ceil(count / rowsMax) }, (_, piece) => ({
    start: piece * rowsMax,
    end: Math.min(count, (piece + 1) * rowsMax),
  }))
}

/** The rows of a range, in their order. */
export function orderOf(order: RowOrder, { start, end }: Range): Int32Array {
  return order.order.subarray(start, end)
}

/** Calls `add` with one part of the order after the other. */
export function pieces(order: Int32Array, add: (rows: Int32Array) => void): Slices {
  return rowSlices(order.length, (start, end) => add(order.subarray(start, end)))
}

/** The labels of a set's operators, and keys that sort rows by (label, part, start). */
export class LabelRanks {
  /** By operator, UTF-8. */
  readonly labels: Uint8Array[]
  #rank: Int32Array
  #keys = new Float64Array(1024)

  constructor(operators: readonly { label: string }[]) {
    this.labels = operators.map(({ label }) => new TextEncoder().encode(label))
    const sorted = [...this.labels].sort(Buffer.compare)
    this.#rank = Int32Array.from(this.labels, (label) => sorted.indexOf(label))
  }

  /** Memory for that many keys; valid until the next call. */
  keys(count: number): Float64Array {
    if (this.#keys.length < count) this.#keys = new Float64Array(count * 2)
    return this.#keys
  }

  // hot: per row
  key(operator: number, startMs: number, part: 0 | 1): number {
    return (this.#rank[operator] * 2 + part) * START_SPAN_MS + startMs
  }
}

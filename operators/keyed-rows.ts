/**
 * Rows of sketches: each an ascending run of keys with a value each, as ClickHouse's sumMap and maxMap merge them. One owner: the
 * pool that fills them; whoever writes them reads rows 0 .. count-1.
 */
export class KeyedRows {
  count = 0
  /** Where the row's entries begin in `keys` and `values`, and how many it has. */
  start: Int32Array
  size: Int32Array
  entryCount = 0
  keys: Int32Array
  values: Float64Array

  constructor(capacity = 1024) {
    this.start = new Int32Array(capacity)
    this.size = new Int32Array(capacity)
    this.keys = new Int32Array(capacity)
    this.values = new Float64Array(capacity)
  }

  clear(): void {
    this.count = 0
    this.entryCount = 0
  }

  /** Begins a row and makes room for its entries; the caller fills them in and calls `end`. */
  begin(entryCountMax: number): void {
    if (this.count === this.start.length) {
      this.start = copied(this.start, new Int32Array(this.count * 2))
      this.size = copied(this.size, new Int32Array(this.count * 2))
    }
    const needed = this.entryCount + entryCountMax
    if (needed > this.keys.length) {
      const capacity = Math.max(needed, this.keys.length * 2)
      this.keys = copied(this.keys, new Int32Array(capacity))
      this.values = copied(this.values, new Float64Array(capacity))
    }
    this.start[this.count] = this.entryCount
  }

  end(entryCount: number): void {
    this.size[this.count++] = entryCount
    this.entryCount += entryCount
  }
}

function copied<T extends { set(from: T): void }>(from: T, to: T): T {
  to.set(from)
  return to
}

/** Below this, sorting in place beats a call into the runtime (`npm run bench -- sketches`). */
const INSERTION_COUNT_MAX = 32

/** Sorts keys[start .. end) in ascending order. */
export function sortKeys(keys: Int32Array, start: number, end: number): void {
  if (end - start > INSERTION_COUNT_MAX) {
    keys.subarray(start, end).sort()
    return
  }
  for (let i = start + 1; i < end; i++) {
    const key = keys[i]
    let hole = i
    for (; hole > start && keys[hole - 1] > key; hole--) keys[hole] = keys[hole - 1]
    keys[hole] = key
  }
}

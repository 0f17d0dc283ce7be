/**
 * Long work in slices of a millisecond or less, so that a shard syncs and acknowledges in between. A slice is bounded by
 * rows, not by time: a replay does the same. Owned by the shard's thread.
 */
export type Slices<Result = void> = Generator<void, Result, void>

/** Does all slices at once. */
export function runSlices<Result>(slices: Slices<Result>): Result {
  for (;;) {
    const { done, value } = slices.next()
    if (done === true) return value
  }
}

/** Rows that one simple pass takes in a slice: 0.1-0.5 ms. */
const SLICE_ROWS_MAX = 65_536

/** Calls `pass` with one range after the other, all of [0, count) together. */
export function* rowSlices(count: number, pass: (start: number, end: number) => void): Slices {
  for (let start = 0; start < count; start += SLICE_ROWS_MAX) {
    pass(start, Math.min(count, start + SLICE_ROWS_MAX))
    yield
  }
}

type Compare = (a: number, b: number) => number

/** Sorted at once by the runtime, 0.1-0.5 ms with a comparison of names; longer runs are merged. */
const SORTED_RUN_COUNT_MAX = 1024
/** Merged in a slice. */
const MERGE_COUNT_MAX = 8192

const byNumber: Compare = (a, b) => a - b

/** Sorts, by number without `compare`; entries that compare equal keep their order. */
export function* sortSlices(values: Int32Array, compare?: Compare): Slices {
  const count = values.length
  for (let start = 0; start < count; start += SORTED_RUN_COUNT_MAX) {
    if (start > 0) yield
    values.subarray(start, start + SORTED_RUN_COUNT_MAX).sort(compare)
  }
  let from = values
  let to = count > SORTED_RUN_COUNT_MAX ? new Int32Array(count) : values
  for (let size = SORTED_RUN_COUNT_MAX; size < count; size *= 2) {
    yield* mergePairs(from, to, size, compare ?? byNumber)
    const last = from
    from = to
    to = last
  }
  if (from !== values) values.set(from)
}

/** Each two neighbouring runs of `size` entries become one. */
function* mergePairs(from: Int32Array, to: Int32Array, size: number, compare: Compare): Slices {
  const count = from.length
  for (let start = 0; start < count; start += 2 * size) {
    const middle = Math.min(count, start + size)
    const end = Math.min(count, start + 2 * size)
    for (let place = start, i = start, j = middle; place < end; place++) {
      const isFirst = j === end || (i < middle && compare(from[i], from[j]) <= 0)
      to[place] = isFirst ? from[i++] : from[j++]
      if ((place & (MERGE_COUNT_MAX - 1)) === MERGE_COUNT_MAX - 1) yield
    }
  }
}

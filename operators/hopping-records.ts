/**
 * Aggregates of eight doubles, as hopping windows keep them: of a pane, or of several in a row. One owner: the shard's thread.
 * Invariant: one with n = 0 is empty, whatever else stands in it.
 *
 *   0 n  1 sum  2 min  3 max  4 first  5 firstTsMs  6 last  7 lastTsMs
 */
export const RECORD = 8
export const N = 0
const SUM = 1
const MIN = 2
const MAX = 3
const FIRST = 4
const FIRST_TS_MS = 5
const LAST = 6
const LAST_TS_MS = 7

// hot: per pane
export function copyRecord(into: Float64Array, at: number, from: Float64Array, source: number): void {
  into[at + N] = from[source + N]
  into[at + SUM] = from[source + SUM]
  into[at + MIN] = from[source + MIN]
  into[at + MAX] = from[source + MAX]
  into[at + FIRST] = from[source + FIRST]
  into[at + FIRST_TS_MS] = from[source + FIRST_TS_MS]
  into[at + LAST] = from[source + LAST]
  into[at + LAST_TS_MS] = from[source + LAST_TS_MS]
}

/** Merges a record of which all is later. */
// hot: per pane
export function joinRecord(into: Float64Array, at: number, later: Float64Array, laterAt: number): void {
  const n = later[laterAt + N]
  if (n === 0) return
  if (into[at + N] === 0) {
    copyRecord(into, at, later, laterAt)
    return
  }
  into[at + N] += n
  into[at + SUM] += later[laterAt + SUM]
  into[at + MIN] = Math.min(into[at + MIN], later[laterAt + MIN])
  into[at + MAX] = Math.max(into[at + MAX], later[laterAt + MAX])
  into[at + LAST] = later[laterAt + LAST]
  into[at + LAST_TS_MS] = later[laterAt + LAST_TS_MS]
}

/** Merges a record that may reach over the same time. */
// hot: per pane
export function mergeRecord(into: Float64Array, at: number, from: Float64Array, source: number): void {
  if (from[source + N] === 0) return
  if (into[at + N] === 0) {
    copyRecord(into, at, from, source)
    return
  }
  into[at + N] += from[source + N]
  into[at + SUM] += from[source + SUM]
  if (from[source + MIN] < into[at + MIN]) into[at + MIN] = from[source + MIN]
  if (from[source + MAX] > into[at + MAX]) into[at + MAX] = from[source + MAX]
  const firstTs = from[source + FIRST_TS_MS]
  if (
    firstTs < into[at + FIRST_TS_MS] ||
    (firstTs === into[at + FIRST_TS_MS] && from[source + FIRST] < into[at + FIRST])
  ) {
    into[at + FIRST_TS_MS] = firstTs
    into[at + FIRST] = from[source + FIRST]
  }
  const lastTs = from[source + LAST_TS_MS]
  if (
    lastTs > into[at + LAST_TS_MS] ||
    (lastTs === into[at + LAST_TS_MS] && from[source + LAST] > into[at + LAST])
  ) {
    into[at + LAST_TS_MS] = lastTs
    into[at + LAST] = from[source + LAST]
  }
}

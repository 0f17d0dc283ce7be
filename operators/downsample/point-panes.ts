/**
 * What a method keeps of each slot's open window, and how it chooses the window's points. Readings come in the order (ts, value).
 * One owner: the downsampler.
 */
import type { Stateful } from '../../codecs/state.ts'

export interface PointPanes extends Stateful {
  /** Makes room for slots up to this one. */
  admit(slot: number): void
  /** The slot is a new series'. */
  open(slot: number): void
  /** The first reading of a window, at `pairs[at]`; the slot is free. */
  begin(slot: number, pairs: Float64Array, at: number): void
  /** Further readings of it, from `start` up to `end`. */
  take(slot: number, pairs: Float64Array, start: number, end: number): void
  /** Replaces the chosen with the window's points so far, and leaves the window as it is; false when they can't be told. */
  choose(slot: number, startMs: number, chosen: ChosenPoints): boolean
  free(slot: number): void
  /** Forgets all; the operators' memory is cleared by its owner. */
  clear(): void
}

/** The points of one window, in order, each once. */
export class ChosenPoints {
  count = 0
  tsMs: Float64Array = new Float64Array(64)
  value = new Float64Array(64)

  /** Takes a point that is not before the newest. */
  add(ts: number, x: number): void {
    const { count } = this
    if (count > 0 && this.tsMs[count - 1] === ts && this.value[count - 1] === x) return
    this.reserve(count + 1)
    this.tsMs[count] = ts
    this.value[count] = x
    this.count++
  }

  reserve(count: number): void {
    if (count <= this.tsMs.length) return
    const { tsMs, value } = this
    this.tsMs = new Float64Array(count * 2)
    this.value = new Float64Array(count * 2)
    this.tsMs.set(tsMs)
    this.value.set(value)
  }
}

/** The array, or a longer copy with room for records of slots up to this one. */
export function withRoom(records: Float64Array, slot: number, stride: number): Float64Array {
  if ((slot + 1) * stride <= records.length) return records
  const longer = new Float64Array(Math.max(records.length * 2, (slot + 1) * stride))
  longer.set(records)
  return longer
}

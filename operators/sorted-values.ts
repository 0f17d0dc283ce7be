/**
 * Exact figures of a window's values, values[start, start + count) in ascending order with count at least 1, as ClickHouse's
 * quantileExact and uniqExact give them.
 */
import { WindowCell } from './ordered-rows.ts'

/** Fills the cells of a row, which begin at `at`. */
export function writeQuantiles(
  cells: Float64Array,
  at: number,
  values: Float64Array,
  start: number,
  count: number,
): void {
  cells[at + WindowCell.q50] = values[start + Math.floor(0.5 * count)]
  cells[at + WindowCell.q90] = values[start + Math.floor(0.9 * count)]
  cells[at + WindowCell.q99] = values[start + Math.floor(0.99 * count)]
}

export function countDistinct(values: Float64Array, start: number, count: number): number {
  let distinct = 1
  for (let i = start + 1; i < start + count; i++) if (values[i] !== values[i - 1]) distinct++
  return distinct
}

/** The first place in values[start, end) that holds no less than x. */
export function lowerBound(values: Float64Array, start: number, end: number, x: number): number {
  let low = start
  let high = end
  while (low < high) {
    const middle = (low + high) >>> 1
    if (values[middle] < x) low = middle + 1
    else high = middle
  }
  return low
}

/**
 * Exact figures of a window's values in ascending order, as ClickHouse's uniqExact and quantileExact give them.
 */
import { Wants } from './ordered-operator.ts'
import { WindowCell } from './ordered-rows.ts'

/** Fills the cells of a row, which begin at `at`, from values[start, start + count); count is at least 1. */
export function writeSortedValues(
  cells: Float64Array,
  at: number,
  wants: number,
  values: Float64Array,
  start: number,
  count: number,
): void {
  if ((wants & Wants.quantiles) !== 0) {
    cells[at + WindowCell.q50] = values[start + Math.floor(0.5 * count)]
    cells[at + WindowCell.q90] = values[start + Math.floor(0.9 * count)]
    cells[at + WindowCell.q99] = values[start + Math.floor(0.99 * count)]
  }
  if ((wants & Wants.distinct) !== 0) {
    let distinct = 1
    for (let i = start + 1; i < start + count; i++) if (values[i] !== values[i - 1]) distinct++
    cells[at + WindowCell.distinct] = distinct
  }
}

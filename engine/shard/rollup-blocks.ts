/**
 * Blocks of `rollups` from the panes that left a set's merging windows, in the table's order. Owned by the shard's thread.
 */
import type { BlockWriter } from '../../codecs/native/block-writer.ts'
import type { TumblingWindows } from '../../operators/tumbling-windows.ts'
import { type ColumnSpec, ROLLUPS_COLUMNS, ROLLUPS_EXTRA_COLUMNS } from '../store/columns.ts'
import { cut, LabelRanks, orderOf, pieces, type Range } from './block-ranges.ts'
import type { PlannedOperator } from './operator-plan.ts'
import type { RowOrder } from './row-order.ts'
import { rowSlices, type Slices } from './slices.ts'

/** Of a row in memory, what is asked for besides and dictionaries left out. */
const ROW_SIZE_BYTES = 80

export class RollupBlocks {
  #windows: TumblingWindows
  #order: RowOrder
  #writer: BlockWriter
  #labels: LabelRanks

  constructor(
    windows: TumblingWindows,
    operators: readonly PlannedOperator[],
    order: RowOrder,
    writer: BlockWriter,
  ) {
    this.#windows = windows
    this.#order = order
    this.#writer = writer
    this.#labels = new LabelRanks(operators)
  }

  get rowCount(): number {
    return this.#windows.closed.count
  }

  /** As the INSERT lists them: those that were asked for besides come last. */
  get columns(): string[] {
    return [...ROLLUPS_COLUMNS, ...this.#extraColumns()].map(({ name }) => name)
  }

  *sort(): Slices<Range[]> {
    const { closed: panes, rowsExtraSizeBytes } = this.#windows
    const key = this.#labels.keys(panes.count)
    yield* rowSlices(panes.count, (start, end) => {
      for (let row = start; row < end; row++)
        key[row] = this.#labels.key(panes.window[row], panes.startMs[row], 0)
    })
    yield* this.#order.sort(panes.series, panes.count)
    yield* this.#order.sortRuns(key)
    return cut(panes.count, ROW_SIZE_BYTES + rowsExtraSizeBytes / panes.count)
  }

  *write(range: Range): Slices {
    const { closed: panes, sums, moments, distinct, quantiles } = this.#windows
    const writer = this.#writer
    const order = orderOf(this.#order, range)
    const [, , , window, start, count, sum, min, max, first, last] = ROLLUPS_COLUMNS
    const extras = this.#extraColumns()
    const sizeBytes = order.length * ROW_SIZE_BYTES + this.#order.dictionarySizeBytes
    writer.begin(ROLLUPS_COLUMNS.length + extras.length, order.length, sizeBytes)
    yield* this.#order.writeColumns(writer, range)
    writer.lowCardinality(window.name, this.#labels.labels, panes.window, order)
    yield
    writer.beginColumn(start.name, start.type)
    yield* pieces(order, (rows) => writer.addDateTimes(panes.startMs, rows))
    writer.beginColumn(count.name, count.type)
    yield* pieces(order, (rows) => writer.addUint64(panes.n, rows))
    const numbers: [ColumnSpec, Float64Array][] = [
      [sum, sums === null ? panes.sum : sums.rows.sum],
      [min, panes.min],
      [max, panes.max],
    ]
    for (const [{ name, type }, values] of numbers) {
      writer.beginColumn(name, type)
      yield* pieces(order, (rows) => writer.addFloat64(values, rows))
    }
    const ends: [ColumnSpec, Float64Array, Float64Array][] = [
      [first, panes.firstTsMs, panes.first],
      [last, panes.lastTsMs, panes.last],
    ]
    for (const [{ name, type }, tsMs, values] of ends) {
      writer.beginColumn(name, type, 2) // a tuple: one element after the other
      yield* pieces(order, (rows) => writer.addDateTimes(tsMs, rows))
      yield* pieces(order, (rows) => writer.addFloat64(values, rows))
    }
    const [sumError, variance, distinctColumn, quantilesColumn] = ROLLUPS_EXTRA_COLUMNS
    if (sums !== null) {
      writer.beginColumn(sumError.name, sumError.type)
      yield* pieces(order, (rows) => writer.addFloat64(sums.rows.error, rows))
    }
    if (moments !== null) {
      const { n, mean, m2 } = moments.rows
      writer.varianceStates(variance.name, n, mean, m2, order)
      yield
    }
    if (distinct !== null) {
      writer.keyedArrays(distinctColumn.name, distinctColumn.type, distinct.rows, order)
      yield
    }
    if (quantiles !== null) {
      writer.keyedArrays(quantilesColumn.name, quantilesColumn.type, quantiles.rows, order)
      yield
    }
  }

  #extraColumns(): ColumnSpec[] {
    const { sums, moments, distinct, quantiles } = this.#windows
    const pools = [sums, moments, distinct, quantiles]
    return ROLLUPS_EXTRA_COLUMNS.filter((_, index) => pools[index] !== null)
  }
}

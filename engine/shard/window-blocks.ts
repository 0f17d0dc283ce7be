/** Blocks of `windows` from a set's ordered windows, in the table's order. Owned by the shard's thread. */
import type { BlockWriter } from '../../codecs/native/block-writer.ts'
import { WINDOW_CELLS, WindowCell } from '../../operators/ordered-rows.ts'
import type { OrderedWindows } from '../../operators/ordered-windows.ts'
import { WINDOWS_COLUMNS } from '../store/columns.ts'
import { cut, LabelRanks, orderOf, type Range } from './block-ranges.ts'
import type { PlannedWindow } from './operator-plan.ts'
import type { RowOrder } from './row-order.ts'
import { rowSlices, type Slices } from './slices.ts'

const ROW_SIZE_BYTES = 200
/** States of a row are few; a name of one is about that long. */
const STATE_SIZE_BYTES = 24

/** The columns of doubles between `end` and `version`, and the cells that they come from. */
const CELL_OF_COLUMN: Readonly<Record<string, number>> = {
  sum: WindowCell.sum,
  min: WindowCell.min,
  max: WindowCell.max,
  mean: WindowCell.mean,
  variance: WindowCell.variance,
  first: WindowCell.first,
  first_ts: WindowCell.firstTsMs,
  last: WindowCell.last,
  last_ts: WindowCell.lastTsMs,
  time_weighted_mean: WindowCell.timeWeightedMean,
  increase: WindowCell.increase,
  rate: WindowCell.rate,
  distinct: WindowCell.distinct,
  q50: WindowCell.q50,
  q90: WindowCell.q90,
  q99: WindowCell.q99,
}

/** A row that operators make is never deleted: that column has its default. */
const WRITTEN_COLUMNS = WINDOWS_COLUMNS.filter(({ name }) => name !== 'deleted')

export class WindowBlocks {
  readonly columns = WRITTEN_COLUMNS.map(({ name }) => name)
  #windows: OrderedWindows
  #order: RowOrder
  #writer: BlockWriter
  #labels: LabelRanks
  #column = new Float64Array(1024)

  constructor(
    windows: OrderedWindows,
    operators: readonly PlannedWindow[],
    order: RowOrder,
    writer: BlockWriter,
  ) {
    this.#windows = windows
    this.#order = order
    this.#writer = writer
    this.#labels = new LabelRanks(operators)
  }

  get rowCount(): number {
    return this.#windows.rows.count
  }

  *sort(): Slices<Range[]> {
    const { count, operator, cells, series, stateCount } = this.#windows.rows
    const key = this.#labels.keys(count)
    yield* rowSlices(count, (start, end) => {
      for (let row = start; row < end; row++) {
        key[row] = this.#labels.key(operator[row], cells[row * WINDOW_CELLS + WindowCell.startMs], 0)
      }
    })
    yield* this.#order.sort(series, count)
    yield* this.#order.sortRuns(key)
    return cut(count, ROW_SIZE_BYTES + (stateCount * STATE_SIZE_BYTES) / count)
  }

  *write(range: Range, version: number): Slices {
    const { operator, count } = this.#windows.rows
    const writer = this.#writer
    const order = orderOf(this.#order, range)
    writer.begin(WRITTEN_COLUMNS.length, order.length, order.length * ROW_SIZE_BYTES)
    yield* this.#order.writeColumns(writer, range)
    writer.lowCardinality('window', this.#labels.labels, operator, order)
    if (this.#column.length < count) this.#column = new Float64Array(count * 2)
    for (const { name, type } of WRITTEN_COLUMNS.slice(4)) {
      yield
      if (name === 'states') this.#writeStates(order)
      else if (name === 'version') writer.uint64(name, this.#column.fill(version), order, type)
      else if (name === 'start') writer.dateTime64(name, this.#gather(WindowCell.startMs), order, type)
      else if (name === 'end') writer.dateTime64(name, this.#gather(WindowCell.endMs), order, type)
      else if (name === 'count') writer.uint64(name, this.#gather(WindowCell.count), order, type)
      else if (type === 'Float64') writer.float64(name, this.#gather(CELL_OF_COLUMN[name]), order, type)
      else writer.dateTime64(name, this.#gather(CELL_OF_COLUMN[name]), order, type)
    }
    yield
  }

  #gather(cell: number): Float64Array {
    const { cells, count } = this.#windows.rows
    const column = this.#column
    for (let row = 0, at = cell; row < count; row++, at += WINDOW_CELLS) column[row] = cells[at]
    return column
  }

  #writeStates(order: Int32Array): void {
    const { rows, texts } = this.#windows
    const { count, stateStart, stateEnd, stateText, stateNumber, stateMs, stateCount } = rows
    const sizes = new Int32Array(count)
    for (let row = 0; row < count; row++) sizes[row] = stateEnd[row] - stateStart[row]
    const seconds = stateMs.subarray(0, stateCount).map((ms) => ms / 1000)
    const keyOf = (entry: number) =>
      stateText[entry] > 0
        ? texts.bytes.subarray(texts.starts[stateText[entry]], texts.starts[stateText[entry] + 1])
        : Buffer.from(numberText(stateNumber[entry]))
    this.#writer.map('states', stateStart, sizes, keyOf, seconds, order)
  }
}

/** As ClickHouse prints a Float64. */
function numberText(x: number): string {
  return String(x).replace('e+', 'e')
}

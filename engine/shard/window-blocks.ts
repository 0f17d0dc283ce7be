/**
 * Blocks of `windows` and `amendments` from a set's ordered windows, in the tables' order. What a batch's amendments recompute has
 * the version after its rows', so that it stands above them. Owned by the shard's thread.
 */
import type { BlockWriter } from '../../codecs/native/block-writer.ts'
import { WINDOW_CELLS, WindowCell } from '../../operators/ordered-rows.ts'
import type { OrderedWindows } from '../../operators/ordered-windows.ts'
import type { WindowSpec } from '../../operators/window-spec.ts'
import { AMENDMENTS_COLUMNS, WINDOWS_COLUMNS } from '../store/columns.ts'
import { cut, LabelRanks, orderOf, type Range } from './block-ranges.ts'
import type { PlannedOperator } from './operator-plan.ts'
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
    return this.#windows.rows.count
  }

  *sort(): Slices<Range[]> {
    const { count, operator, cells, series, stateCount } = this.#windows.rows
    const key = this.#labels.keys(count)
    yield* rowSlices(count, (start, end) => {
      for (let row = start; row < end; row++) {
        key[row] = this.#labels.key(operator[row], cells[row * WINDOW_CELLS + WindowCell.startMs])
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

/** What is left of the amendments, by row: readings that `samples` keeps no more can't be computed from again. */
interface KeptAmendments {
  count: number
  series: Int32Array
  operator: Int32Array
  fromMs: Float64Array
  toMs: Float64Array
}

export class AmendmentBlocks {
  readonly columns = AMENDMENTS_COLUMNS.map(({ name }) => name)
  #kept: KeptAmendments
  #order: RowOrder
  #writer: BlockWriter
  #operators: readonly PlannedOperator[]
  #arrivalMs: number

  /** `arrivalMs`: the journal's time where the batch ends. `keptSinceMs`: from when on `samples` has a series' readings. */
  constructor(
    windows: OrderedWindows,
    operators: readonly PlannedOperator[],
    order: RowOrder,
    writer: BlockWriter,
    arrivalMs: number,
    keptSinceMs: (series: number) => number,
  ) {
    this.#kept = keep(windows, keptSinceMs)
    this.#order = order
    this.#writer = writer
    this.#operators = operators
    this.#arrivalMs = arrivalMs
  }

  get rowCount(): number {
    return this.#kept.count
  }

  *sort(): Slices<Range[]> {
    const { series, count } = this.#kept
    yield* this.#order.sort(series, count)
    return cut(count, ROW_SIZE_BYTES)
  }

  *write(range: Range, version: number): Slices {
    const { operator, fromMs, toMs, count } = this.#kept
    const writer = this.#writer
    const order = orderOf(this.#order, range)
    const number = (name: string, of: (spec: WindowSpec) => number) => {
      const values = this.#operators.map(({ spec }) => of(spec))
      writer.uint64(
        name,
        Float64Array.from(operator, (index) => values[index]),
        order,
      )
    }
    const text = (name: string, of: (operator: PlannedOperator) => string) => {
      const values = this.#operators.map((each) => Buffer.from(of(each)))
      writer.lowCardinality(name, values, operator, order)
    }
    writer.begin(AMENDMENTS_COLUMNS.length, order.length)
    yield* this.#order.writeColumns(writer, range)
    text('kind', ({ spec }) => spec.kind)
    text('window', ({ label }) => label)
    text('aggregates', ({ spec }) => spec.aggregates.join())
    number('width_ms', (spec) => ('widthMs' in spec ? spec.widthMs : 0))
    number('hop_ms', (spec) => (spec.kind === 'hopping' ? spec.hopMs : 0))
    number('gap_ms', (spec) => (spec.kind === 'session' ? spec.gapMs : 0))
    number('size', (spec) => (spec.kind === 'count' ? spec.size : 0))
    text('unit', ({ spec }) => (spec.kind === 'calendar' ? spec.unit : ''))
    text('zone', ({ spec }) => (spec.kind === 'calendar' ? spec.timeZone : ''))
    writer.dateTime64('from_ts', fromMs, order)
    writer.dateTime64('to_ts', toMs, order)
    writer.uint64('version', new Float64Array(count).fill(version + 1), order)
    writer.dateTime64('arrival', new Float64Array(count).fill(this.#arrivalMs), order)
    yield
  }
}

function keep({ amendments }: OrderedWindows, keptSinceMs: (series: number) => number): KeptAmendments {
  const rows = Array.from({ length: amendments.count }, (_, row) => row)
  const kept = rows.filter((row) => amendments.toMs[row] >= keptSinceMs(amendments.series[row]))
  const series = Int32Array.from(kept, (row) => amendments.series[row])
  return {
    count: kept.length,
    series,
    operator: Int32Array.from(kept, (row) => amendments.operator[row]),
    fromMs: Float64Array.from(kept, (row, at) => Math.max(amendments.fromMs[row], keptSinceMs(series[at]))),
    toMs: Float64Array.from(kept, (row) => amendments.toMs[row]),
  }
}

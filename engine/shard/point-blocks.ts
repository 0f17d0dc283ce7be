/** Blocks of `points` from a set's downsamplers, in the table's order but for points of one time. Owned by the shard's thread. */
import type { BlockWriter } from '../../codecs/native/block-writer.ts'
import { PointKind, type PointRows } from '../../operators/downsample/point-rows.ts'
import { POINTS_COLUMNS } from '../store/columns.ts'
import { cut, LabelRanks, orderOf, type Range } from './block-ranges.ts'
import type { PlannedDownsampler } from './operator-plan.ts'
import type { RowOrder } from './row-order.ts'
import { rowSlices, type Slices } from './slices.ts'

const ROW_SIZE_BYTES = 48

export class PointBlocks {
  readonly columns = POINTS_COLUMNS.map(({ name }) => name)
  #points: PointRows
  #order: RowOrder
  #writer: BlockWriter
  #labels: LabelRanks

  constructor(
    points: PointRows,
    downsamplers: readonly PlannedDownsampler[],
    order: RowOrder,
    writer: BlockWriter,
  ) {
    this.#points = points
    this.#order = order
    this.#writer = writer
    this.#labels = new LabelRanks(downsamplers)
  }

  get rowCount(): number {
    return this.#points.count
  }

  /** Of rows that are the same point the last counts: they keep their order. */
  *sort(): Slices<Range[]> {
    const { count, series, downsampler, tsMs, kind } = this.#points
    const key = this.#labels.keys(count)
    yield* rowSlices(count, (start, end) => {
      for (let row = start; row < end; row++) {
        key[row] = this.#labels.key(downsampler[row], tsMs[row], kind[row] === PointKind.late ? 1 : 0)
      }
    })
    yield* this.#order.sort(series, count)
    yield* this.#order.sortRuns(key)
    return cut(count, ROW_SIZE_BYTES)
  }

  *write(range: Range, version: number): Slices {
    const { count, downsampler, tsMs, value, deviation, kind } = this.#points
    const writer = this.#writer
    const order = orderOf(this.#order, range)
    writer.begin(POINTS_COLUMNS.length, order.length, order.length * ROW_SIZE_BYTES)
    yield* this.#order.writeColumns(writer, range)
    writer.lowCardinality('method', this.#labels.labels, downsampler, order)
    yield
    writer.dateTime64('ts', tsMs, order)
    writer.float64('value', value, order)
    writer.float64('deviation', deviation, order)
    yield
    const isKind = (wanted: PointKind) => kind.subarray(0, count).map((given) => (given === wanted ? 1 : 0))
    writer.uint8('late', isKind(PointKind.late), order)
    writer.uint64('version', new Float64Array(count).fill(version), order)
    writer.uint8('deleted', isKind(PointKind.deleted), order)
    yield
  }
}

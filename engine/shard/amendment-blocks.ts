/**
 * Blocks of `amendments` from a set's ordered windows and downsamplers, in the table's order. What a batch's amendments recompute has
 * the version after its rows', so that it stands above them. Owned by the shard's thread.
 */
import type { BlockWriter } from '../../codecs/native/block-writer.ts'
import { isCompression } from '../../operators/downsample/point-spec.ts'
import type { OrderedWindows } from '../../operators/ordered-windows.ts'
import { AMENDMENTS_COLUMNS } from '../store/columns.ts'
import { cut, orderOf, type Range } from './block-ranges.ts'
import { isWindow, type PlannedOperator } from './operator-plan.ts'
import type { RowOrder } from './row-order.ts'
import type { Slices } from './slices.ts'

const ROW_SIZE_BYTES = 200

/** What a row says of its operator, by the names of the columns. */
interface AskedOperator {
  kind: string
  window: string
  aggregates: string
  width_ms: number
  hop_ms: number
  gap_ms: number
  size: number
  unit: string
  zone: string
}

function askedOf(operator: PlannedOperator): AskedOperator {
  const { label: window } = operator
  const none = { aggregates: '', width_ms: 0, hop_ms: 0, gap_ms: 0, size: 0, unit: '', zone: '' }
  if (!isWindow(operator)) {
    const { spec } = operator
    const lengths = isCompression(spec) ? {} : { width_ms: spec.widthMs, size: spec.points }
    return { ...none, kind: spec.method, window, ...lengths }
  }
  const { spec } = operator
  const asked = { ...none, kind: spec.kind, window, aggregates: spec.aggregates.join() }
  switch (spec.kind) {
    case 'session':
      return { ...asked, gap_ms: spec.gapMs }
    case 'count':
      return { ...asked, size: spec.size }
    case 'calendar':
      return { ...asked, unit: spec.unit, zone: spec.timeZone }
    case 'hopping':
      return { ...asked, width_ms: spec.widthMs, hop_ms: spec.hopMs }
    default:
      return { ...asked, width_ms: spec.widthMs }
  }
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
  #asked: AskedOperator[]
  #arrivalMs: number

  /** `operators`: windows, then downsamplers. `arrivalMs`: the journal's time where the batch ends. `keptSinceMs`: from when on `samples` has a series' readings. */
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
    this.#asked = operators.map(askedOf)
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
    const number = (name: 'width_ms' | 'hop_ms' | 'gap_ms' | 'size') => {
      const values = Float64Array.from(operator, (index) => this.#asked[index][name])
      writer.uint64(name, values, order)
    }
    const text = (name: 'kind' | 'window' | 'aggregates' | 'unit' | 'zone') => {
      const values = this.#asked.map((asked) => Buffer.from(asked[name]))
      writer.lowCardinality(name, values, operator, order)
    }
    writer.begin(AMENDMENTS_COLUMNS.length, order.length)
    yield* this.#order.writeColumns(writer, range)
    for (const name of ['kind', 'window', 'aggregates'] as const) text(name)
    for (const name of ['width_ms', 'hop_ms', 'gap_ms', 'size'] as const) number(name)
    for (const name of ['unit', 'zone'] as const) text(name)
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

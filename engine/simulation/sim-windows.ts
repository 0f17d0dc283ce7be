/**
 * The tables `windows`, `points` and `amendments` of the simulated store, and in place of their materialized views the operators' oracle:
 * an amendment computes the windows that it touches from the samples that are there when its insert is committed, also when
 * that is a second time. Invariant: for each key the row of the greatest version is known, of equal ones the last.
 */
import {
  amend,
  type OracleRow,
  type OrderedReading,
  type SpansOf,
  spansOf,
} from '../../operators/ordered-oracle.ts'
import { WINDOW_CELLS, WindowCell } from '../../operators/ordered-rows.ts'
import {
  type Aggregate,
  type CalendarUnit,
  type WindowSpec,
  windowLabel,
} from '../../operators/window-spec.ts'
import { type BlockRow, rowsOf, seriesOf } from './block-rows.ts'
import type { NativeBlock } from './native-reader.ts'
import { isAmendmentOfPoints, SimPoints } from './sim-points.ts'
import { SimulationError } from './simulation-error.ts'

export interface StoredWindow {
  /** Stream, device and metric. */
  series: string
  label: string
  version: number
  isDeleted: boolean
  row: OracleRow
}

type CellName = keyof typeof WindowCell

/** The columns of `windows` that are cells of another name. */
const COLUMN_OF_CELL: Partial<Record<CellName, string>> = {
  startMs: 'start',
  endMs: 'end',
  firstTsMs: 'first_ts',
  lastTsMs: 'last_ts',
  timeWeightedMean: 'time_weighted_mean',
}
const CELLS = (Object.keys(WindowCell) as CellName[]).map(
  (name) => [WindowCell[name], COLUMN_OF_CELL[name] ?? name] as const,
)

export class SimWindows {
  readonly points = new SimPoints()
  /** By series and label, and then by start. */
  #rows = new Map<string, Map<number, StoredWindow>>()
  amendmentCount = 0
  #samples = new Map<string, OrderedReading[]>()
  #spansOf = new Map<string, SpansOf>()

  /** What a commit does, beside keeping the block. */
  take(table: string, block: NativeBlock, epoch: number): void {
    if (table === 'samples') for (const row of rowsOf(block)) this.#store(row, epoch)
    else if (table === 'windows') for (const row of rowsOf(block)) this.#put(windowOf(row))
    else if (table === 'points') for (const row of rowsOf(block)) this.points.put(row)
    else if (table === 'amendments') for (const row of rowsOf(block)) this.#take(row)
  }

  /** Each with the epoch in which it was processed as its `series`. */
  samplesOf(series: string): OrderedReading[] {
    return this.#samples.get(series) ?? []
  }

  get series(): Iterable<string> {
    return this.#samples.keys()
  }

  /** Of an operator and a series, by start; deleted ones are left out. */
  newest(series: string, label: string): Map<number, StoredWindow> {
    const rows = this.#rows.get(`${series} ${label}`) ?? new Map<number, StoredWindow>()
    return new Map([...rows].filter(([, { isDeleted }]) => !isDeleted))
  }

  spansOf(spec: WindowSpec): SpansOf {
    const label = windowLabel(spec)
    const spans = this.#spansOf.get(label) ?? spansOf(spec)
    this.#spansOf.set(label, spans)
    return spans
  }

  #store(row: BlockRow, epoch: number): void {
    const series = seriesOf(row)
    const text = String(row('text'))
    const reading = { series: epoch, ts: Number(row('ts')), value: text === '' ? Number(row('value')) : text }
    const known = this.#samples.get(series)
    if (known === undefined) this.#samples.set(series, [reading])
    else known.push(reading)
  }

  #put(stored: StoredWindow): void {
    const key = `${stored.series} ${stored.label}`
    const rows = this.#rows.get(key) ?? new Map<number, StoredWindow>()
    this.#rows.set(key, rows)
    const known = rows.get(stored.row.startMs)
    if (known === undefined || known.version <= stored.version) rows.set(stored.row.startMs, stored)
  }

  #take(row: BlockRow): void {
    this.amendmentCount++
    if (isAmendmentOfPoints(row)) this.points.amend(row, this.samplesOf(seriesOf(row)))
    else this.#amend(row)
  }

  #amend(row: BlockRow): void {
    const series = seriesOf(row)
    const label = String(row('window'))
    const version = Number(row('version'))
    const spec = specOf(row)
    if (windowLabel(spec) !== label)
      throw new SimulationError(`an amendment of ${label} has the numbers of another`)
    const [fromMs, toMs] = [Number(row('from_ts')), Number(row('to_ts'))]
    const { rows, isReplaced } = amend(spec, this.samplesOf(series), this.spansOf(spec), fromMs, toMs)
    const known = [...this.newest(series, label).values()]
    const standing = new Set<number>() // counts that end beyond the range keep their place
    if (spec.kind === 'count') for (const { row } of known) if (row.endMs > toMs) standing.add(row.startMs)
    for (const stored of known) {
      if (isReplaced(stored.row)) this.#put({ ...stored, version, isDeleted: true })
    }
    for (const each of rows) {
      if (!standing.has(each.startMs)) this.#put({ series, label, version, isDeleted: false, row: each })
    }
  }
}

function windowOf(row: BlockRow): StoredWindow {
  const cells = new Array<number>(WINDOW_CELLS)
  for (const [cell, column] of CELLS) cells[cell] = Number(row(column))
  const states = new Map<string, number>()
  for (const [state, seconds] of row('states') as Map<string, number>) {
    states.set(/^-?\d/.test(state) ? `#${state}` : state, Math.round(seconds * 1000))
  }
  const { startMs, endMs } = WindowCell
  return {
    series: seriesOf(row),
    label: String(row('window')),
    version: Number(row('version')),
    isDeleted: false,
    row: { startMs: cells[startMs], endMs: cells[endMs], cells, states, sizes: {} },
  }
}

/** What an amendment says of its operator. */
function specOf(row: BlockRow): WindowSpec {
  const aggregates = String(row('aggregates')).split(',') as Aggregate[]
  const rest = { aggregates, earlyMs: null }
  const [widthMs, hopMs, gapMs, size] = ['width_ms', 'hop_ms', 'gap_ms', 'size'].map((name) =>
    Number(row(name)),
  )
  const kind = String(row('kind')) as WindowSpec['kind']
  switch (kind) {
    case 'tumbling':
    case 'sliding':
      return { kind, widthMs, ...rest }
    case 'hopping':
      return { kind, widthMs, hopMs, ...rest }
    case 'calendar':
      return { kind, unit: String(row('unit')) as CalendarUnit, timeZone: String(row('zone')), ...rest }
    case 'session':
      return { kind, gapMs, ...rest }
    case 'count':
      return { kind, size, ...rest }
    default:
      throw new SimulationError(`an amendment of windows of kind ${kind}`)
  }
}

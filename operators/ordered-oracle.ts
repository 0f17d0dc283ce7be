/**
 * For tests: the windows of all readings, computed at once from the definitions; and a table that takes rows and amendments as the
 * store does, recomputing from the readings stored so far.
 */
import { Calendar } from './calendar.ts'
import { WINDOW_CELLS, WindowCell } from './ordered-rows.ts'
import type { OrderedWindows } from './ordered-windows.ts'
import { type Aggregate, type WindowSpec, windowAggregates } from './window-spec.ts'

/** A number or a text. */
export interface OrderedReading {
  series: number
  ts: number
  value: number | string
}

export interface OracleRow {
  startMs: number
  endMs: number
  cells: number[]
  /** State to ms; numbers as `#1`, texts as they are. */
  states: Map<string, number>
  /** What errors may be measured by, per cell that rounding touches. */
  sizes: Partial<Record<keyof typeof WindowCell, number>>
}

type Span = { startMs: number; endMs: number }
/** The windows that hold a time, for aligned kinds. */
export type SpansOf = (ts: number) => Span[]

export function spansOf(spec: WindowSpec): SpansOf {
  if (spec.kind === 'calendar') {
    const calendar = new Calendar(spec.unit, spec.timeZone)
    return (ts) => [{ startMs: calendar.startOf(ts), endMs: calendar.endOf(ts) }]
  }
  const widthMs = 'widthMs' in spec ? spec.widthMs : 1
  const hopMs = spec.kind === 'hopping' ? spec.hopMs : widthMs
  return (ts) => {
    const spans = []
    for (let startMs = Math.floor(ts / hopMs) * hopMs; startMs > ts - widthMs; startMs -= hopMs) {
      spans.push({ startMs: startMs + 0, endMs: startMs + widthMs })
    }
    return spans
  }
}

const isNumber = (reading: OrderedReading): reading is OrderedReading & { value: number } =>
  typeof reading.value === 'number'

/** What an operator with these aggregates sees of a series, in order. */
export function sortReadings(readings: OrderedReading[], aggregates: Aggregate[]): OrderedReading[] {
  const isTaken = ({ ts, value }: OrderedReading) =>
    Math.abs(ts) <= 2 ** 51 &&
    (typeof value === 'number' ? Number.isFinite(value) : value !== '' && aggregates.includes('states'))
  const compareValues = (a: number | string, b: number | string) => {
    if (typeof a !== typeof b) return typeof a === 'number' ? -1 : 1
    if (typeof a === 'number') return a - (b as number)
    return Buffer.compare(Buffer.from(a), Buffer.from(b as string))
  }
  return readings
    .filter(isTaken)
    .map((reading) => ({ ...reading, ts: Math.floor(reading.ts) }))
    .sort((a, b) => a.ts - b.ts || compareValues(a.value, b.value))
}

/** All windows of one series' readings, those still open included. */
export function windowsOf(spec: WindowSpec, readings: OrderedReading[], spansOf: SpansOf): OracleRow[] {
  const aggregates = windowAggregates(spec)
  const sorted = sortReadings(readings, aggregates)
  const rows: OracleRow[] = []
  const add = (span: Span, own: OrderedReading[], before: OrderedReading[] | null) =>
    rows.push(rowOf(span, own, before, aggregates, spec))
  const spanOf = (own: OrderedReading[]) => ({ startMs: own[0].ts, endMs: own[own.length - 1].ts })
  if (spec.kind === 'session') {
    let start = 0
    for (let i = 1; i <= sorted.length; i++) {
      if (i < sorted.length && sorted[i].ts - sorted[i - 1].ts <= spec.gapMs) continue
      add(spanOf(sorted.slice(start, i)), sorted.slice(start, i), null)
      start = i
    }
    return sorted.length === 0 ? [] : rows
  }
  if (spec.kind === 'count') {
    for (let i = spec.size; i <= sorted.length; i += spec.size) {
      const own = sorted.slice(i - spec.size, i)
      add(spanOf(own), own, null)
    }
    return rows
  }
  if (spec.kind === 'sliding') {
    for (const ts of new Set(sorted.map((reading) => reading.ts))) {
      const own = sorted.filter((reading) => reading.ts > ts - spec.widthMs && reading.ts <= ts)
      add({ startMs: ts - spec.widthMs, endMs: ts }, own, null)
    }
    return rows
  }
  const spans = new Map<number, Span>()
  for (const reading of sorted) for (const span of spansOf(reading.ts)) spans.set(span.startMs, span)
  for (const span of spans.values()) {
    const first = sorted.findIndex((reading) => reading.ts >= span.startMs)
    const own = sorted.filter((reading) => reading.ts >= span.startMs && reading.ts < span.endMs)
    add(span, own, sorted.slice(0, first))
  }
  return rows
}

/** `before`: all readings before the window, when it carries in from them; null when it does not. */
function rowOf(
  span: Span,
  own: OrderedReading[],
  before: OrderedReading[] | null,
  aggregates: Aggregate[],
  spec: WindowSpec,
): OracleRow {
  const cells = new Array<number>(WINDOW_CELLS).fill(Number.NaN)
  const { startMs, endMs } = span
  const numbers = own.filter(isNumber)
  const row: OracleRow = { startMs, endMs, cells, states: new Map(), sizes: {} }
  const set = (aggregate: Aggregate, cell: keyof typeof WindowCell, value: number) => {
    if (aggregates.includes(aggregate) && numbers.length > 0) cells[WindowCell[cell]] = value
  }
  cells[WindowCell.startMs] = startMs
  cells[WindowCell.endMs] = endMs
  cells[WindowCell.count] = own.length
  cells[WindowCell.firstTsMs] = own[0].ts
  cells[WindowCell.lastTsMs] = own[own.length - 1].ts
  if (before === null)
    setPlain(
      numbers.map(({ value }) => value),
      set,
    )
  const carried = before?.findLast(isNumber)
  const steps = carried === undefined ? numbers : [carried, ...numbers]
  let increase = 0
  for (let i = 1; i < steps.length; i++) {
    const { value } = steps[i]
    increase += value >= steps[i - 1].value ? value - steps[i - 1].value : value
  }
  const size = steps.reduce((sum, { value }) => sum + Math.abs(value), 0)
  const widthMs = spec.kind === 'sliding' ? spec.widthMs : endMs - startMs
  set('increase', 'increase', increase)
  set('rate', 'rate', widthMs === 0 ? Number.NaN : increase / (widthMs / 1000))
  const seconds = widthMs / 1000 || 1
  row.sizes = { sum: size, mean: size, increase: size, rate: size / seconds, variance: size * size }
  if (numbers.length > 0) {
    const fromMs = carried === undefined ? numbers[0].ts : startMs
    let integral = 0
    let sizeOfIntegral = 0
    for (const [i, { ts, value }] of steps.entries()) {
      const until = i + 1 < steps.length ? steps[i + 1].ts : endMs
      integral += value * (until - Math.max(ts, fromMs))
      sizeOfIntegral += Math.abs(value) * (until - Math.max(ts, fromMs))
    }
    row.sizes.timeWeightedMean = sizeOfIntegral / (endMs - fromMs || 1)
    set('time_weighted_mean', 'timeWeightedMean', integral / (endMs - fromMs))
  }
  if (aggregates.includes('states')) setStates(row, own, before?.at(-1))
  return row
}

function setPlain(
  values: number[],
  set: (aggregate: Aggregate, cell: keyof typeof WindowCell, value: number) => void,
): void {
  if (values.length === 0) return
  const n = values.length
  const ascending = [...values].sort((a, b) => a - b)
  const sum = exactSum(values)
  const mean = sum / n
  set('sum', 'sum', sum)
  set('mean', 'mean', mean)
  set('min', 'min', ascending[0])
  set('max', 'max', ascending[n - 1])
  set('variance', 'variance', exactSum(values.map((x) => (x - mean) ** 2)) / n)
  set('first', 'first', values[0])
  set('last', 'last', values[n - 1])
  set('distinct', 'distinct', new Set(values.map((x) => x + 0)).size)
  set('quantiles', 'q50', ascending[Math.floor(0.5 * n)])
  set('quantiles', 'q90', ascending[Math.floor(0.9 * n)])
  set('quantiles', 'q99', ascending[Math.floor(0.99 * n)])
}

/** Ascending sizes lose least. */
const exactSum = (values: number[]) =>
  [...values].sort((a, b) => Math.abs(a) - Math.abs(b)).reduce((sum, x) => sum + x, 0)

function setStates(row: OracleRow, own: OrderedReading[], carried: OrderedReading | undefined): void {
  const steps = carried === undefined ? own : [carried, ...own]
  for (const [i, { ts, value }] of steps.entries()) {
    const until = i + 1 < steps.length ? steps[i + 1].ts : row.endMs
    const lastedMs = until - (carried === undefined ? ts : Math.max(ts, row.startMs))
    const key = typeof value === 'number' ? `#${value + 0}` : value
    if (lastedMs > 0) row.states.set(key, (row.states.get(key) ?? 0) + lastedMs)
  }
}

/** The table `windows`, as the newest versions say it is, for one shard. */
export class WindowTable {
  readonly rows = new Map<string, { series: number; operator: number; row: OracleRow }>()
  readonly #specs: readonly WindowSpec[]
  readonly #spansOf: SpansOf[]
  readonly #samples = new Map<number, OrderedReading[]>()
  /** How many rows came by amendments. */
  amendedCount = 0

  constructor(specs: readonly WindowSpec[], spansOf: SpansOf[]) {
    this.#specs = specs
    this.#spansOf = spansOf
  }

  store(readings: OrderedReading[]): void {
    for (const reading of readings) {
      const list = this.#samples.get(reading.series)
      if (list === undefined) this.#samples.set(reading.series, [reading])
      else list.push(reading)
    }
  }

  /** Takes a batch and clears it: rows, and over them amendments. */
  take(windows: OrderedWindows): void {
    for (const { series, operator, row } of rowsOf(windows)) {
      this.rows.set(`${series} ${operator} ${row.startMs}`, { series, operator, row })
    }
    const { amendments } = windows
    for (let i = 0; i < amendments.count; i++) {
      this.#amend(amendments.series[i], amendments.operator[i], amendments.fromMs[i], amendments.toMs[i])
    }
    windows.clearRows()
  }

  /** What the table should hold once all readings were handed on. */
  expected(): Map<string, OracleRow> {
    const expected = new Map<string, OracleRow>()
    for (const [series, readings] of this.#samples) {
      for (const [operator, spec] of this.#specs.entries()) {
        for (const row of windowsOf(spec, readings, this.#spansOf[operator])) {
          expected.set(`${series} ${operator} ${row.startMs}`, row)
        }
      }
    }
    return expected
  }

  #amend(series: number, operator: number, fromMs: number, toMs: number): void {
    const samples = this.#samples.get(series) ?? []
    const { rows, isReplaced } = amend(this.#specs[operator], samples, this.#spansOf[operator], fromMs, toMs)
    for (const [key, old] of this.rows) {
      if (old.series === series && old.operator === operator && isReplaced(old.row)) this.rows.delete(key)
    }
    for (const row of rows) this.rows.set(`${series} ${operator} ${row.startMs}`, { series, operator, row })
    this.amendedCount += rows.length
  }
}

/** What an amendment makes of a series' readings: rows, and which older ones with other starts are no windows any more. */
export function amend(
  spec: WindowSpec,
  readings: OrderedReading[],
  spansOf: SpansOf,
  fromMs: number,
  toMs: number,
): { rows: OracleRow[]; isReplaced: (old: OracleRow) => boolean } {
  const sorted = sortReadings(readings, windowAggregates(spec))
  const later = sorted.filter(({ ts }) => ts > toMs)
  const next = Math.max(toMs, later[0]?.ts ?? toMs, later.find(isNumber)?.ts ?? toMs)
  const isTouched = ({ startMs, endMs }: OracleRow) => {
    if (spec.kind === 'session') return endMs >= fromMs && startMs <= toMs
    if (spec.kind === 'count') return endMs >= fromMs && endMs <= toMs
    if (spec.kind === 'sliding') return endMs >= fromMs && endMs < toMs + spec.widthMs
    return endMs > fromMs && startMs <= next
  }
  const lastOfStart = new Map(windowsOf(spec, readings, spansOf).map((row) => [row.startMs, row]))
  const rows = [...lastOfStart.values()].filter(isTouched)
  const lowMs = Math.min(fromMs, ...rows.map((row) => row.startMs))
  const highMs = Math.max(toMs, ...rows.map((row) => row.endMs))
  const isReplaced = ({ startMs, endMs }: OracleRow) => {
    if (spec.kind === 'session') return endMs >= lowMs && startMs <= highMs
    return spec.kind === 'count' && endMs >= fromMs && endMs <= toMs
  }
  return { rows, isReplaced }
}

/** The rows that windows have ready, as the oracle writes them. */
export function* rowsOf(
  windows: OrderedWindows,
): Generator<{ series: number; operator: number; row: OracleRow }> {
  const { rows, texts } = windows
  for (let i = 0; i < rows.count; i++) {
    const cells = [...rows.cells.subarray(i * WINDOW_CELLS, (i + 1) * WINDOW_CELLS)]
    const states = new Map<string, number>()
    for (let s = rows.stateStart[i]; s < rows.stateEnd[i]; s++) {
      const text = rows.stateText[s]
      const bytes = texts.bytes.subarray(texts.starts[text], texts.starts[text + 1])
      states.set(text === 0 ? `#${rows.stateNumber[s]}` : Buffer.from(bytes).toString(), rows.stateMs[s])
    }
    const startMs = cells[WindowCell.startMs]
    const row = { startMs, endMs: cells[WindowCell.endMs], cells, states, sizes: {} }
    yield { series: rows.series[i], operator: rows.operator[i], row }
  }
}

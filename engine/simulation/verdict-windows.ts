/**
 * Compares the windows of a run that has ended with what their definitions say of all its samples: `rollups` merged, whatever
 * their rows, and the newest versions in `windows`.
 */
import { DistinctCounts } from '../../operators/distinct-count.ts'
import { type OracleRow, windowsOf } from '../../operators/ordered-oracle.ts'
import { WindowCell } from '../../operators/ordered-rows.ts'
import { rollupAggregates, type WindowSpec, windowAggregates } from '../../operators/window-spec.ts'
import type { NativeValue } from './native-reader.ts'
import type { SimWindows } from './sim-windows.ts'
import { SimulationError } from './simulation-error.ts'

export type Row = Record<string, NativeValue | null>

/** The operators that see readings of a stream's metric. */
export type OperatorsOf = (stream: string, metric: string) => { label: string; spec: WindowSpec }[]

/** What a window of a series has come to. */
interface Pane {
  count: number
  sum: number
  min: number
  max: number
  first: string
  last: string
  /** Of the aggregates that were asked for; else empty. */
  moments: [n: number, mean: number, m2: number]
  registers: Map<number, number>
  bins: Map<number, number>
}

/** Sums of these values are exact in every order, but for what variances are made of. */
const MOMENT_ERROR = 1e-9

export function judgeRollups(
  samples: readonly Row[],
  rollups: readonly Row[],
  windows: SimWindows,
  operatorsOf: OperatorsOf,
): void {
  const expected = new Map<string, Pane>()
  const values = new Map<string, { spec: WindowSpec; values: number[] }>()
  for (const { stream, device, metric, ts, value } of samples) {
    if (!Number.isFinite(value)) continue
    for (const { label, spec } of operatorsOf(String(stream), String(metric))) {
      if (rollupAggregates(spec).length === 0) continue
      for (const { startMs } of windows.spansOf(spec)(Number(ts))) {
        const key = `${stream} ${device} ${metric} ${label} ${startMs}`
        merge(expected, key, paneOf(Number(ts), Number(value)))
        const known = values.get(key)
        if (known === undefined) values.set(key, { spec, values: [Number(value)] })
        else known.values.push(Number(value))
      }
    }
  }
  for (const [key, { spec, values: all }] of values) addExtras(expected.get(key) as Pane, spec, all)
  const found = new Map<string, Pane>()
  for (const row of rollups) {
    const { stream, device, metric, window, start } = row
    merge(found, `${stream} ${device} ${metric} ${window} ${start}`, paneOfRow(row))
  }
  for (const key of new Set([...expected.keys(), ...found.keys()])) {
    const [one, other] = [expected.get(key), found.get(key)]
    if (one === undefined || other === undefined || !areSame(one, other))
      fail(`window ${key} should be ${tell(one)} and is ${tell(other)}`)
  }
}

function paneOf(tsMs: number, value: number): Pane {
  const at = reading(tsMs, value)
  const none = { moments: [0, 0, 0] as Pane['moments'], registers: new Map(), bins: new Map() }
  return { count: 1, sum: value, min: value, max: value, first: at, last: at, ...none }
}

function paneOfRow(row: Row): Pane {
  const pairs = (name: string) => {
    const keys = (row[name] ?? []) as number[]
    const values = (row[`${name}.value`] ?? []) as number[]
    return new Map(keys.map((key, index) => [key, values[index]]))
  }
  return {
    count: Number(row.count),
    sum: Number(row.sum) + Number(row.sum_error ?? 0),
    min: Number(row.min),
    max: Number(row.max),
    first: reading(Number(row.first), Number(row['first.value'])),
    last: reading(Number(row.last), Number(row['last.value'])),
    moments: (row.variance ?? [0, 0, 0]) as Pane['moments'],
    registers: pairs('distinct'),
    bins: pairs('quantiles'),
  }
}

/** Of all values of a window at once. */
function addExtras(pane: Pane, spec: WindowSpec, values: readonly number[]): void {
  const asked = rollupAggregates(spec)
  if (asked.includes('variance')) {
    const mean = pane.sum / pane.count
    const m2 = values.reduce((sum, value) => sum + (value - mean) ** 2, 0)
    pane.moments = [pane.count, mean, m2]
  }
  if (asked.includes('distinct')) {
    const counts = new DistinctCounts()
    const slot = counts.take()
    for (const value of values) counts.add(slot, value)
    counts.appendRow(slot)
    const { keys, values: registers, entryCount } = counts.rows
    for (let entry = 0; entry < entryCount; entry++) pane.registers.set(keys[entry], registers[entry])
  }
  if (asked.includes('quantiles')) {
    for (const value of values) pane.bins.set(binOf(value), (pane.bins.get(binOf(value)) ?? 0) + 1)
  }
}

/** The first bits of a positive float: exponent and six bits of mantissa. */
function binOf(value: number): number {
  const view = new DataView(new ArrayBuffer(8))
  view.setFloat64(0, value)
  return view.getUint32(0) >>> 14
}

function merge(panes: Map<string, Pane>, key: string, pane: Pane): void {
  const into = panes.get(key)
  if (into === undefined) {
    panes.set(key, pane)
    return
  }
  into.count += pane.count
  into.sum += pane.sum
  into.min = Math.min(into.min, pane.min)
  into.max = Math.max(into.max, pane.max)
  if (pane.first < into.first) into.first = pane.first
  if (pane.last > into.last) into.last = pane.last
  const [n, mean, m2] = into.moments
  const [otherN, otherMean, otherM2] = pane.moments
  const total = n + otherN
  if (otherN > 0) {
    const apart = otherMean - mean
    into.moments = [
      total,
      mean + (apart * otherN) / total,
      m2 + otherM2 + (apart * apart * n * otherN) / total,
    ]
  }
  for (const [register, value] of pane.registers)
    into.registers.set(register, Math.max(value, into.registers.get(register) ?? 0))
  for (const [bin, count] of pane.bins) into.bins.set(bin, count + (into.bins.get(bin) ?? 0))
}

function areSame({ moments, registers, bins, ...exact }: Pane, other: Pane): boolean {
  const [n, mean, m2] = moments
  const isNear = (a: number, b: number) => Math.abs(a - b) <= MOMENT_ERROR * (1 + mean * mean * n)
  return (
    Object.entries(exact).every(([name, value]) => other[name as keyof Pane] === value) &&
    n === other.moments[0] &&
    isNear(mean, other.moments[1]) &&
    isNear(m2, other.moments[2]) &&
    areSameMaps(registers, other.registers) &&
    areSameMaps(bins, other.bins)
  )
}

function areSameMaps(one: Map<number, number>, other: Map<number, number>): boolean {
  return one.size === other.size && [...one].every(([key, value]) => other.get(key) === value)
}

/** A time and a value that compare as text as they do as a tuple; both are positive. */
function reading(tsMs: number, value: number): string {
  return `${String(tsMs).padStart(16, '0')} ${value.toFixed(2).padStart(19, '0')}`
}

/** The newest versions of windows that do not merge are those of all readings. */
export function judgeVersions(windows: SimWindows, operatorsOf: OperatorsOf): number {
  const expected = new Map<string, OracleRow>()
  for (const series of windows.series) {
    const [stream, , metric] = series.split(' ')
    for (const { label, spec } of operatorsOf(stream, metric)) {
      if (windowAggregates(spec).length === 0) continue
      const rows = windowsOf(spec, windows.samplesOf(series), windows.spansOf(spec))
      for (const row of rows) expected.set(`${series} ${label} ${row.startMs}`, row)
    }
  }
  const found = new Map([...windows.rows].filter(([, { isDeleted }]) => !isDeleted))
  for (const [key, row] of expected) {
    const stored = found.get(key)
    const wrong = stored === undefined ? 'is missing' : differenceOf(stored.row, row)
    if (wrong !== null) fail(`window ${key} ${wrong} (version ${stored?.version})`)
  }
  for (const [key, { version }] of found)
    if (!expected.has(key)) fail(`window ${key} is none (version ${version})`)
  return expected.size
}

function differenceOf(row: OracleRow, wanted: OracleRow): string | null {
  for (const [name, cell] of Object.entries(WindowCell)) {
    const [is, should] = [row.cells[cell], wanted.cells[cell]]
    const size = wanted.sizes[name as keyof typeof WindowCell] ?? 0
    const isSame =
      Object.is(is, should) || Math.abs(is - should) <= size * (wanted.cells[WindowCell.count] + 4) * 2 ** -50
    if (!isSame) return `has ${name} ${is} instead of ${should}`
  }
  const [is, should] = [row, wanted].map(({ states }) => JSON.stringify([...states].sort()))
  return is === should ? null : `has states ${is} instead of ${should}`
}

function tell(pane: Pane | undefined): string {
  if (pane === undefined) return 'none'
  return JSON.stringify({ ...pane, registers: [...pane.registers], bins: [...pane.bins] })
}

function fail(message: string): never {
  throw new SimulationError(message)
}

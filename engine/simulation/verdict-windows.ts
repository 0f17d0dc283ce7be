/**
 * Compares the windows of a run that has ended with what their definitions say of all its samples: `rollups` merged, whatever
 * their rows, and the newest versions in `windows`.
 */
import { DistinctCounts } from '../../operators/distinct-count.ts'
import { type OracleRow, sortReadings, windowsOf } from '../../operators/ordered-oracle.ts'
import { WindowCell } from '../../operators/ordered-rows.ts'
import {
  type Aggregate,
  isAlignedKind,
  rollupAggregates,
  type WindowSpec,
  windowAggregates,
} from '../../operators/window-spec.ts'
import type { NativeValue } from './native-reader.ts'
import type { SimWindows } from './sim-windows.ts'
import { SimulationError } from './simulation-error.ts'

export type Row = Record<string, NativeValue | null>

export interface KnownOperator {
  label: string
  spec: WindowSpec
}

/** Which operators see readings of a stream's metric, by epoch: configs of a run, one after another. */
export interface Operators {
  epochCount: number
  /** Else an operator may also have seen readings of an epoch before its first one, when they were replayed. */
  isStateKept: boolean
  of(epoch: number, stream: string, metric: string): KnownOperator[]
}

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
  operators: Operators,
): void {
  const expected = new Map<string, Pane>()
  const values = new Map<string, AskedValue[]>()
  for (const { stream, device, metric, ts, value, epoch } of samples) {
    if (!Number.isFinite(value)) continue
    for (const { label, spec } of operators.of(Number(epoch), String(stream), String(metric))) {
      const aggregates = rollupAggregates(spec)
      if (aggregates.length === 0) continue
      for (const { startMs } of windows.spansOf(spec)(Number(ts))) {
        const key = `${stream} ${device} ${metric} ${label} ${startMs}`
        merge(expected, key, paneOf(Number(ts), Number(value)))
        const known = values.get(key)
        if (known === undefined) values.set(key, [{ value: Number(value), aggregates }])
        else known.push({ value: Number(value), aggregates })
      }
    }
  }
  for (const [key, all] of values) addExtras(expected.get(key) as Pane, all)
  const found = new Map<string, Pane>()
  for (const row of rollups) {
    const { stream, device, metric, window, start } = row
    merge(found, `${stream} ${device} ${metric} ${window} ${start}`, paneOfRow(row))
  }
  for (const key of new Set([...expected.keys(), ...found.keys()])) {
    const [stream, , metric, ...rest] = key.split(' ')
    const label = rest.slice(0, -1).join(' ')
    if (!operators.isStateKept && !isAlwaysThere(label, operators, stream, metric)) continue
    const [one, other] = [expected.get(key), found.get(key)]
    if (one === undefined || other === undefined || !areSame(one, other))
      fail(`window ${key} should be ${tell(one)} and is ${tell(other)}`)
  }
}

/** In every epoch, as it is in the last one. */
function isAlwaysThere(label: string, operators: Operators, stream: string, metric: string): boolean {
  const found = Array.from({ length: operators.epochCount }, (_, epoch) =>
    operators.of(epoch, stream, metric).find((operator) => operator.label === label),
  )
  const asked = new Set(found.map((operator) => operator?.spec.aggregates.join()))
  return asked.size === 1 && !asked.has(undefined)
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

/** A value, and what was asked of it when it came. */
interface AskedValue {
  value: number
  aggregates: readonly Aggregate[]
}

/** Of all values of a window at once. */
function addExtras(pane: Pane, all: readonly AskedValue[]): void {
  const askedFor = (aggregate: Aggregate) =>
    all.filter(({ aggregates }) => aggregates.includes(aggregate)).map(({ value }) => value)
  const varying = askedFor('variance')
  if (varying.length > 0) {
    const mean = varying.reduce((sum, value) => sum + value, 0) / varying.length
    const m2 = varying.reduce((sum, value) => sum + (value - mean) ** 2, 0)
    pane.moments = [varying.length, mean, m2]
  }
  const distinct = askedFor('distinct')
  if (distinct.length > 0) pane.registers = registersOf(distinct)
  for (const value of askedFor('quantiles'))
    pane.bins.set(binOf(value), (pane.bins.get(binOf(value)) ?? 0) + 1)
}

function registersOf(values: readonly number[]): Map<number, number> {
  const counts = new DistinctCounts()
  const slot = counts.take()
  for (const value of values) counts.add(slot, value)
  counts.appendRow(slot)
  const { keys, values: registers, entryCount } = counts.rows
  return new Map(Array.from({ length: entryCount }, (_, entry) => [keys[entry], registers[entry]]))
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

/**
 * The newest versions of windows that do not merge are those of all readings: of an operator that was always there all of them,
 * of one that came later (`since`, an epoch) those that hold a reading which it has seen.
 */
export function judgeVersions(windows: SimWindows, operators: Operators): number {
  let count = 0
  for (const series of windows.series) {
    const [stream, , metric] = series.split(' ')
    for (const operator of operators.of(operators.epochCount - 1, stream, metric)) {
      const { label, spec } = operator
      if (windowAggregates(spec).length === 0) continue
      const { since, isNew } = sinceWhen(operator, operators, stream, metric)
      const samples = sortReadings(windows.samplesOf(series), windowAggregates(spec))
      const seen = samples.filter((sample) => sample.series >= since)
      const expected = new Map(
        windowsOf(spec, samples, windows.spansOf(spec)).map((row) => [row.startMs, row]),
      )
      const found = windows.newest(series, label)
      count += expected.size
      for (const [startMs, row] of expected) {
        const stored = found.get(startMs)
        const isSeen = since === 0 || seen.some(({ ts }) => holds(spec, row, ts))
        if (!isSeen && (stored === undefined || !isNew)) continue
        const wrong = stored === undefined ? 'is missing' : differenceOf(stored.row, row)
        if (wrong !== null) fail(`window ${series} ${label} ${startMs} ${wrong} (version ${stored?.version})`)
      }
      if (since > 0 && !isNew) continue
      for (const [startMs, { version }] of found)
        if (!expected.has(startMs)) fail(`window ${series} ${label} ${startMs} is none (version ${version})`)
    }
  }
  return count
}

/** The epoch from which on it was there as it is now; new, when there was none of its label before. */
function sinceWhen(
  { label, spec }: KnownOperator,
  operators: Operators,
  stream: string,
  metric: string,
): { since: number; isNew: boolean } {
  const sameIn = (epoch: number) => operators.of(epoch, stream, metric).find((other) => other.label === label)
  const asked = windowAggregates(spec).join()
  let since = operators.epochCount - 1
  for (; since > 0; since--) {
    const before = sameIn(since - 1)
    if (before === undefined || windowAggregates(before.spec).join() !== asked) break
  }
  const earlier = Array.from({ length: since }, (_, epoch) => sameIn(epoch))
  return { since, isNew: earlier.every((other) => other === undefined) }
}

function holds(spec: WindowSpec, { startMs, endMs }: OracleRow, ts: number): boolean {
  if (spec.kind === 'sliding') return ts > startMs && ts <= endMs
  return ts >= startMs && (isAlignedKind(spec) ? ts < endMs : ts <= endMs)
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

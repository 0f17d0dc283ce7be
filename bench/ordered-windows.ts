/**
 * Windows that do not merge, one kind at a time, on one thread: 10,000 series with a reading a second of event time each, in random
 * order, held for the lateness and handed on in order. Rows that leave are counted in. `buffer alone` is a count window of a million
 * readings: the order, the calls, and little else.
 */
import { Prng } from '../base/prng.ts'
import { ReadingColumns } from '../codecs/columns.ts'
import { StateWriter } from '../codecs/state.ts'
import type { OrderedSettings } from '../operators/ordered-settings.ts'
import { OrderedWindows } from '../operators/ordered-windows.ts'
import type { Aggregate, WindowSpec } from '../operators/window-spec.ts'
import type { Bench, BenchSize, Measure } from './bench.ts'

const CYCLES = 3
const START_MS = 1_700_000_040_000
const FIVE: Aggregate[] = ['count', 'sum', 'min', 'max', 'mean']
const ALL: Aggregate[] = [
  ...FIVE,
  'first',
  'last',
  'variance',
  'distinct',
  'quantiles',
  'time_weighted_mean',
  'rate',
]
const CARRIED: Aggregate[] = ['time_weighted_mean', 'increase', 'rate']

type Kind = [name: string, spec: WindowSpec, isBoolean?: boolean]
const KINDS: Kind[] = [
  ['buffer alone', { kind: 'count', size: 1e6, aggregates: ['count'], earlyMs: null }],
  ['session 30s, five aggregates', { kind: 'session', gapMs: 30_000, aggregates: FIVE, earlyMs: null }],
  ['count 100, five aggregates', { kind: 'count', size: 100, aggregates: FIVE, earlyMs: null }],
  ['count 100, all numeric aggregates', { kind: 'count', size: 100, aggregates: ALL, earlyMs: null }],
  ['sliding 1m, five aggregates', { kind: 'sliding', widthMs: 60_000, aggregates: FIVE, earlyMs: null }],
  [
    'sliding 1m, all numeric aggregates',
    { kind: 'sliding', widthMs: 60_000, aggregates: ALL, earlyMs: null },
  ],
  ['1m, carried', { kind: 'tumbling', widthMs: 60_000, aggregates: CARRIED, earlyMs: null }],
  [
    '10m/10s, carried',
    { kind: 'hopping', widthMs: 600_000, hopMs: 10_000, aggregates: CARRIED, earlyMs: null },
  ],
  ['1m, states', { kind: 'tumbling', widthMs: 60_000, aggregates: ['states'], earlyMs: null }, true],
]

interface Load {
  seriesCount: number
  seconds: number
  /** Readings are this late at most, at random, ms. */
  delayMs: number
  isBoolean: boolean
}

function settingsOf(spec: WindowSpec): OrderedSettings {
  const heldMax = 64_000_000
  return {
    specs: [spec],
    latenessMs: 10_000,
    idleTimeoutMs: 30_000,
    aheadGuardMs: 300_000,
    heldMax,
    keptMax: 2e8,
  }
}

/** The order in which series send, and what. */
function makeSecond({ seriesCount, isBoolean }: Load): { series: Int32Array; columns: ReadingColumns } {
  const prng = new Prng(seriesCount)
  const series = Int32Array.from({ length: seriesCount }, (_, index) => index)
  for (let i = seriesCount - 1; i > 0; i--) {
    const other = prng.between(0, i)
    const one = series[i]
    series[i] = series[other]
    series[other] = one
  }
  const columns = new ReadingColumns(seriesCount)
  for (let row = 0; row < seriesCount; row++) {
    columns.value[row] = isBoolean ? prng.between(0, 1) : Math.round(prng.normal() * 1000) / 100
    columns.textSize[row] = -1
  }
  return { series, columns }
}

interface Figures {
  nsPerReading: number
  bytesPerSeries: number
  rowsPerReading: number
}

/** Processor time of the best cycle of CYCLES; the first warms up. */
function measure(spec: WindowSpec, load: Load): Figures {
  const { series, columns } = makeSecond(load)
  const prng = new Prng(1)
  const windows = new OrderedWindows(settingsOf(spec), true)
  const cycleSeconds = Math.floor(load.seconds / CYCLES)
  let cycleUs = 0
  let bestUs = Infinity
  let rows = 0
  for (let second = 0; second < load.seconds; second++) {
    const nowMs = START_MS + second * 1000
    for (let row = 0; row < series.length; row++) {
      columns.tsMs[row] =
        nowMs + (series[row] % 1000) - (load.delayMs > 0 ? prng.between(0, load.delayMs) : 0)
      if (!Number.isNaN(columns.value[row])) columns.value[row] = -columns.value[row] + 1
    }
    const before = process.cpuUsage()
    for (let row = 0; row < series.length; row += 1024) {
      windows.push(series, columns, nowMs + 1000, row, Math.min(row + 1024, series.length))
      rows += windows.rows.count
      windows.clearRows()
    }
    windows.tick(nowMs + 1000)
    windows.clearRows()
    const { user, system } = process.cpuUsage(before)
    cycleUs += user + system
    if ((second + 1) % cycleSeconds > 0) continue
    if (second >= cycleSeconds) bestUs = Math.min(bestUs, cycleUs)
    cycleUs = 0
  }
  const out = new StateWriter()
  windows.save(out)
  return {
    nsPerReading: (bestUs * 1000) / (cycleSeconds * series.length),
    bytesPerSeries: out.sizeBytes / series.length,
    rowsPerReading: rows / (load.seconds * series.length),
  }
}

async function run(size: BenchSize): Promise<Measure[]> {
  const isFull = size === 'full'
  const measures: Measure[] = []
  const add = (name: string, spec: WindowSpec, load: Load): void => {
    const { nsPerReading, bytesPerSeries, rowsPerReading } = measure(spec, load)
    measures.push({ name, value: nsPerReading, unit: 'ns/reading' })
    if (rowsPerReading > 0.1)
      measures.push({ name: `${name}: rows`, value: rowsPerReading, unit: 'rows/reading' })
    measures.push({ name: `${name}: saved state`, value: bytesPerSeries, unit: 'bytes/series' })
  }
  const few = { seriesCount: isFull ? 10_000 : 1000, seconds: isFull ? 240 : 24, delayMs: 0 }
  for (const [name, spec, isBoolean = false] of KINDS) add(name, spec, { ...few, isBoolean })
  const disordered = { ...few, delayMs: 9000, isBoolean: false }
  add('buffer alone, readings up to 9 s late', KINDS[0][1], disordered)
  const many = {
    seriesCount: isFull ? 1_000_000 : 20_000,
    seconds: isFull ? 30 : 9,
    delayMs: 0,
    isBoolean: false,
  }
  add('session 30s, five aggregates, 1,000,000 series', KINDS[1][1], many)
  return measures
}

export const bench: Bench = {
  name: 'ordered-windows',
  about: 'windows that do not merge: readings put in order, then a kind each, 10,000 series on one thread',
  run,
}

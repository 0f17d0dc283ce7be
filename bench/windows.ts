/**
 * Windows (tumbling 10 s and 1 min with five aggregates, first and last; other kinds beside them) on one thread. Each load runs in a
 * process of its own: what the compiler learned in one would slow the next.
 */
import { execFileSync } from 'node:child_process'
import type { MergeableWindow } from '../operators/window-plan.ts'
import type { Bench, BenchSize, Measure } from './bench.ts'
import { type Load, type LoadFigures, SETTINGS } from './window-load.ts'

const CHILD = `${import.meta.dirname}/window-child.ts`
const FEW_SERIES = 9_999
/** How often those that are compared take turns: one slow spell must not hit one of them alone. */
const ROUNDS: Record<BenchSize, number> = { small: 1, full: 7 }

const HOPPING: MergeableWindow = { kind: 'hopping', widthMs: 600_000, hopMs: 10_000 }
const BERLIN: MergeableWindow[] = (['day', 'week', 'month'] as const).map((unit) => {
  return { kind: 'calendar', unit, timeZone: 'Europe/Berlin' }
})
const SKETCHED: MergeableWindow = {
  kind: 'tumbling',
  widthMs: 60_000,
  aggregates: ['variance', 'distinct', 'quantiles'],
}

function measureAlone(load: Load): LoadFigures {
  const args = [CHILD, JSON.stringify(load)]
  const figures = execFileSync(process.execPath, args, {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  return JSON.parse(figures)
}

/** Of the rounds of each load the one that cost a reading least. */
function measureByTurns(loads: readonly Load[], rounds: number): LoadFigures[] {
  let best = loads.map(measureAlone)
  for (let round = 1; round < rounds; round++) {
    best = best.map((figures, i) => {
      const next = measureAlone(loads[i])
      return next.nsPerReading < figures.nsPerReading ? next : figures
    })
  }
  return best
}

/** Other kinds at 10,000 series, beside tumbling windows of 10 s alone. */
function measureKinds(size: BenchSize): Measure[] {
  const isFull = size === 'full'
  const seconds = isFull ? 60 : 12
  const makeLoad = (widthsMs: number[], windows: MergeableWindow[], warmupSeconds = seconds, extra = {}) => {
    const settings = { ...SETTINGS, widthsMs, windows, ...extra }
    return { seriesCount: FEW_SERIES, warmupSeconds, cycleSeconds: seconds, cycles: isFull ? 9 : 1, settings }
  }
  // A window's length beforehand: blocks turn over, and each window is full.
  const hoppingLoad = makeLoad([], [HOPPING], isFull ? 660 : 30)
  const [tumbling, hopping] = measureByTurns([makeLoad([10_000], []), hoppingLoad], ROUNDS[size])
  const tiers = measureAlone(makeLoad([10_000, 60_000, 3_600_000], BERLIN))
  const sums = measureAlone(makeLoad([10_000, 60_000], [], seconds, { sumErrors: true }))
  const sketched = measureAlone(makeLoad([10_000], [SKETCHED]))
  return [
    { name: 'tumbling 10 s alone', value: tumbling.nsPerReading, unit: 'ns/reading' },
    { name: 'hopping 10 min by 10 s alone', value: hopping.nsPerReading, unit: 'ns/reading' },
    {
      name: 'hopping 10 min by 10 s',
      value: hopping.nsPerReading / tumbling.nsPerReading,
      unit: 'times tumbling',
      atMost: 1.5,
    },
    { name: 'hopping 10 min by 10 s, saved state', value: hopping.bytesPerSeries, unit: 'bytes/series' },
    { name: '10 s, 1 min, 1 h; day, week, month in Berlin', value: tiers.nsPerReading, unit: 'ns/reading' },
    { name: '10 s and 1 min, sums compensated', value: sums.nsPerReading, unit: 'ns/reading' },
    {
      name: '10 s; 1 min with variance, distinct, quantiles',
      value: sketched.nsPerReading,
      unit: 'ns/reading',
    },
    {
      name: 'variance, distinct, quantiles, saved state',
      value: sketched.bytesPerSeries,
      unit: 'bytes/series',
    },
  ]
}

async function run(size: BenchSize): Promise<Measure[]> {
  const isFull = size === 'full'
  const seconds = isFull ? 60 : 12
  const few = { seriesCount: FEW_SERIES, warmupSeconds: seconds, cycleSeconds: seconds }
  const small = measureAlone({ ...few, cycles: isFull ? 9 : 1 })
  const disordered = measureAlone({ ...few, cycles: isFull ? 5 : 1, lateEvery: 10 })
  const kinds = measureKinds(size)
  const many = { seriesCount: isFull ? 999_999 : 30_000, warmupSeconds: isFull ? 60 : 3 }
  const large = measureAlone({ ...many, cycleSeconds: seconds, cycles: isFull ? 2 : 1 })
  return [
    { name: '10,000 series', value: small.nsPerReading, unit: 'ns/reading', atMost: 60 },
    { name: '10,000 series, a tenth of them late', value: disordered.nsPerReading, unit: 'ns/reading' },
    ...kinds,
    { name: '1,000,000 series', value: large.nsPerReading, unit: 'ns/reading', atMost: 120 },
    { name: '1,000,000 series, longest push of 1,024 messages', value: large.pushMsMax, unit: 'ms' },
    { name: '1,000,000 series, longest tick', value: large.tickMsMax, unit: 'ms', atMost: 50 },
    {
      name: '1,000,000 series, longest flush of 100,000 rows',
      value: large.flushMsMax,
      unit: 'ms',
      atMost: 50,
    },
    {
      name: '1,000,000 series, longest flush of 100,000 rows, processor time',
      value: large.flushCpuMsMax,
      unit: 'ms',
    },
    { name: '1,000,000 series, flush of all panes', value: large.flushMs, unit: 'ms' },
    { name: '1,000,000 series, saved state', value: large.bytesPerSeries, unit: 'bytes/series' },
    { name: '1,000,000 series, save', value: large.saveUs, unit: 'us', atMost: 500 },
    { name: '1,000,000 series, load', value: large.loadMs, unit: 'ms' },
  ]
}

export const bench: Bench = {
  name: 'windows',
  about: 'readings into windows (of 10 s and 1 min if not said) on one thread, three metrics a message',
  run,
}

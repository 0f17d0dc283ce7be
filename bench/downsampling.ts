/**
 * Downsampling, one method at a time, on one thread: 10,000 series with a reading a second of event time each. `m4 1m` and the like
 * are the operators alone, fed in event-time order as the reorder buffer feeds them, their points counted in; `through the buffer`
 * is all of it, readings pushed in order of arrival. LTTB holds a window's readings: a tenth of the series shows what caches make
 * of that. The saved state is that of the operator in the middle of a window.
 */
import { Prng } from '../base/prng.ts'
import { ReadingColumns } from '../codecs/columns.ts'
import { StateWriter } from '../codecs/state.ts'
import { makeDownsampler } from '../operators/downsample/downsamplers.ts'
import { PointRows } from '../operators/downsample/point-rows.ts'
import { LONGEST_MS, type PointSpec, pointLabel } from '../operators/downsample/point-spec.ts'
import { OrderedMemory } from '../operators/ordered-memory.ts'
import { AmendmentRows } from '../operators/ordered-rows.ts'
import { OrderedWindows } from '../operators/ordered-windows.ts'
import { SeriesSlots, SLOT_STRIDE, SlotField } from '../operators/series-slots.ts'
import type { Bench, BenchSize, Measure } from './bench.ts'

const CYCLES = 4
const MINUTE_MS = 60_000
const START_MS = 1_700_000_040_000
const IDLE_TIMEOUT_MS = 30_000
/** Readings of one series that leave the buffer at once: a window's lateness of 10 s. */
const RUN = 10

const compression = { pointsPerHour: null, longestMs: LONGEST_MS }
/** An engine has one or two of them: what comes late here runs code that the compiler has seen with all before it. */
const SPECS: PointSpec[] = [
  { method: 'm4', widthMs: MINUTE_MS, points: 0 },
  { method: 'lttb', widthMs: MINUTE_MS, points: 6 },
  { method: 'lttb', widthMs: MINUTE_MS, points: 20 },
  { method: 'min-max', widthMs: MINUTE_MS, points: 0 },
  { method: 'minmax-lttb', widthMs: MINUTE_MS, points: 6 },
  { method: 'mean', widthMs: MINUTE_MS, points: 0 },
  { method: 'deadband', deviation: 1, ...compression },
  { method: 'swinging-door', deviation: 1, ...compression },
  { method: 'deadband', deviation: null, pointsPerHour: 120, longestMs: LONGEST_MS },
  { method: 'swinging-door', deviation: null, pointsPerHour: 120, longestMs: LONGEST_MS },
]

interface Figures {
  nsPerReading: number
  bytesPerSeries: number
  pointsPerReading: number
}

/** A slow wave and some noise, a wave each. */
function signal(series: number, second: number, noise: Float64Array): number {
  return 10 * Math.sin(second / 50 + series) + 0.1 * noise[(series * 31 + second) % noise.length]
}

function makeNoise(): Float64Array {
  const prng = new Prng(1)
  return Float64Array.from({ length: 65_536 }, () => prng.normal())
}

/** Processor time of the best of CYCLES; the first warms up. */
class BestCycle {
  bestUs = Number.POSITIVE_INFINITY
  #cycleUs = 0
  #cycle = 0

  time(work: () => void): void {
    const before = process.cpuUsage()
    work()
    const { user, system } = process.cpuUsage(before)
    this.#cycleUs += user + system
  }

  end(): void {
    if (this.#cycle++ > 0) this.bestUs = Math.min(this.bestUs, this.#cycleUs)
    this.#cycleUs = 0
  }
}

function measureOperator(spec: PointSpec, seriesCount: number, cycleSeconds: number): Figures {
  const noise = makeNoise()
  const slots = new SeriesSlots()
  const output = { points: new PointRows(), amendments: new AmendmentRows(), slots }
  const memory = new OrderedMemory(2e8)
  const operator = makeDownsampler(spec, 0, 0, output, memory, IDLE_TIMEOUT_MS)
  for (let series = 0; series < seriesCount; series++) {
    const slot = slots.take(series, Number.NEGATIVE_INFINITY)
    operator.admit(slot)
    operator.open(slot)
  }
  const pairs = new Float64Array(seriesCount * RUN * 2)
  const best = new BestCycle()
  let points = 0
  let bytesPerSeries = 0
  for (let second = 0; second < CYCLES * cycleSeconds; second += RUN) {
    for (let i = 0; i < seriesCount * RUN; i++) {
      pairs[i * 2] = START_MS + (second + (i % RUN)) * 1000
      pairs[i * 2 + 1] = signal(Math.floor(i / RUN), second + (i % RUN), noise)
    }
    best.time(() => {
      const frontierMs = START_MS + (second + RUN - 1) * 1000
      for (let slot = 1; slot <= seriesCount; slot++) {
        operator.take(slot, pairs, (slot - 1) * RUN * 2, slot * RUN * 2)
        slots.fields[slot * SLOT_STRIDE + SlotField.frontierMs] = frontierMs
      }
    })
    points += output.points.count
    output.points.clear()
    if ((second + RUN) % cycleSeconds === 0) best.end()
    if (second !== 2 * RUN) continue
    const out = new StateWriter()
    operator.save(out)
    memory.save(out)
    bytesPerSeries = out.sizeBytes / seriesCount
  }
  return {
    nsPerReading: (best.bestUs * 1000) / (cycleSeconds * seriesCount),
    bytesPerSeries,
    pointsPerReading: points / (CYCLES * cycleSeconds * seriesCount),
  }
}

function measureThrough(spec: PointSpec, seriesCount: number, cycleSeconds: number): number {
  const noise = makeNoise()
  const windows = new OrderedWindows(
    {
      specs: [],
      downsamplers: [spec],
      latenessMs: 10_000,
      idleTimeoutMs: IDLE_TIMEOUT_MS,
      aheadGuardMs: 300_000,
    },
    true,
  )
  const series = Int32Array.from({ length: seriesCount }, (_, i) => i)
  const columns = new ReadingColumns(seriesCount)
  const best = new BestCycle()
  for (let second = 0; second < CYCLES * cycleSeconds; second++) {
    const nowMs = START_MS + second * 1000
    columns.tsMs.fill(nowMs, 0, seriesCount)
    for (let i = 0; i < seriesCount; i++) columns.value[i] = signal(i, second, noise)
    best.time(() => {
      windows.push(series, columns, nowMs, 0, seriesCount)
      windows.tick(nowMs)
    })
    windows.clearRows()
    if ((second + 1) % cycleSeconds === 0) best.end()
  }
  return (best.bestUs * 1000) / (cycleSeconds * seriesCount)
}

async function run(size: BenchSize): Promise<Measure[]> {
  const [seriesCount, cycleSeconds] = size === 'full' ? [10_000, 120] : [500, 60]
  const measures: Measure[] = []
  for (const spec of SPECS) {
    const name = pointLabel(spec)
    if (spec.method === 'm4' || spec.method === 'lttb') {
      const { nsPerReading } = measureOperator(spec, seriesCount / 10, cycleSeconds * 5)
      measures.push({ name: `${name}, a tenth of the series`, value: nsPerReading, unit: 'ns/reading' })
    }
    const { nsPerReading, bytesPerSeries, pointsPerReading } = measureOperator(
      spec,
      seriesCount,
      cycleSeconds,
    )
    measures.push({ name, value: nsPerReading, unit: 'ns/reading' })
    measures.push({ name: `${name}: points`, value: pointsPerReading, unit: 'points/reading' })
    measures.push({ name: `${name}: saved state`, value: bytesPerSeries, unit: 'bytes/series' })
  }
  for (const spec of SPECS.filter(({ method }) => method === 'm4' || method === 'lttb')) {
    const value = measureThrough(spec, seriesCount, cycleSeconds)
    measures.push({ name: `${pointLabel(spec)} through the buffer`, value, unit: 'ns/reading' })
  }
  return measures
}

export const bench: Bench = {
  name: 'downsampling',
  about: 'methods of downsampling, a minute to a window: 10,000 series with a reading a second, one thread',
  run,
}

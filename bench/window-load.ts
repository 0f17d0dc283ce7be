/**
 * A load of readings for windows on one thread, and what it costs: every device sends three metrics a second of event time, devices
 * in random order, so that each message touches other memory. Rows that leave are counted in. What is saved for a snapshot is
 * measured at the end of one more cycle.
 */
import { Prng } from '../base/prng.ts'
import { StateReader, StateWriter } from '../codecs/state.ts'
import { type TumblingSettings, TumblingWindows } from '../operators/tumbling-windows.ts'

const METRICS = 3
const CHUNK_ROWS = 3 * 1024
const START_MS = 1_700_000_040_000
/** Windows of 10 s and 1 min. */
export const SETTINGS = {
  widthsMs: [10_000, 60_000],
  latenessMs: 10_000,
  idleTimeoutMs: 30_000,
}

/** One second of a fleet: a message of each device. */
interface FleetSecond {
  series: Int32Array
  phaseMs: Float64Array
  tsMs: Float64Array
  value: Float64Array
}

function makeSecond(seriesCount: number): FleetSecond {
  const prng = new Prng(seriesCount)
  const devices = Int32Array.from({ length: Math.ceil(seriesCount / METRICS) }, (_, index) => index)
  for (let i = devices.length - 1; i > 0; i--) {
    const other = prng.between(0, i)
    const device = devices[i]
    devices[i] = devices[other]
    devices[other] = device
  }
  const rows = devices.length * METRICS
  const series = new Int32Array(rows)
  const phaseMs = new Float64Array(rows)
  const value = new Float64Array(rows)
  for (let row = 0; row < rows; row++) {
    const device = Math.floor(row / METRICS)
    series[row] = devices[device] * METRICS + (row % METRICS)
    phaseMs[row] = row % METRICS === 0 ? prng.between(0, 999) : phaseMs[row - 1]
    value[row] = Math.round(prng.normal() * 1000) / 100
  }
  return { series, phaseMs, tsMs: new Float64Array(rows), value }
}

/** Goes to another process as JSON. */
export interface Load {
  seriesCount: number
  /** Windows of 10 s and 1 min by default. */
  settings?: TumblingSettings
  /** Seconds of event time before measuring, and in each of the measured cycles. */
  warmupSeconds: number
  cycleSeconds: number
  cycles: number
  /** Each second every so-manieth message is 20 s old; none by default. */
  lateEvery?: number
}

interface Figures {
  nsPerReading: number
  /** The longest call, from the first reading on. */
  pushMsMax: number
  tickMsMax: number
  flushMsMax: number
  /** Processor time of the longest call: what it takes when nobody else is at work. */
  flushCpuMsMax: number
  flushMs: number
}

const NO_FIGURES: Figures = {
  nsPerReading: Infinity,
  pushMsMax: 0,
  tickMsMax: 0,
  flushMsMax: 0,
  flushCpuMsMax: 0,
  flushMs: 0,
}

interface StateFigures {
  bytesPerSeries: number
  /** The first save and the first load: neither is warm when a shard needs it. */
  saveUs: number
  loadMs: number
}

export type LoadFigures = Figures & StateFigures

/** The best cycle's cost per reading, ticks included; a full-size cycle is a minute, with every closing. */
export function measure(load: Load): LoadFigures {
  const second = makeSecond(load.seriesCount)
  const windows = new TumblingWindows(load.settings ?? SETTINGS)
  const figures = { ...NO_FIGURES }
  let nowMs = START_MS
  const runSeconds = (seconds: number): number => {
    let totalMs = 0
    for (let i = 0; i < seconds; i++, nowMs += 1000) {
      totalMs += pushSecond(windows, second, nowMs, load.lateEvery, figures)
      const tickMs = timeOf(() => windows.tick(nowMs + 1000))
      figures.tickMsMax = Math.max(figures.tickMsMax, tickMs)
      totalMs += tickMs
    }
    return totalMs
  }
  runSeconds(load.warmupSeconds)
  for (let cycle = 0; cycle < load.cycles; cycle++) {
    const ns = (runSeconds(load.cycleSeconds) * 1e6) / (load.cycleSeconds * second.series.length)
    figures.nsPerReading = Math.min(figures.nsPerReading, ns)
  }
  flush(windows, figures)
  const ofWindows = { ...figures }
  runSeconds(load.cycleSeconds)
  windows.closed.clear()
  return { ...ofWindows, ...measureState(windows, load.settings ?? SETTINGS) }
}

/** Milliseconds it took to push the second that starts at `nowMs`; making its times is not in it. */
function pushSecond(
  windows: TumblingWindows,
  second: FleetSecond,
  nowMs: number,
  lateEvery = Infinity,
  figures: Figures,
): number {
  const { series, phaseMs, tsMs, value } = second
  for (let row = 0; row < tsMs.length; row++) {
    const isLate = (Math.floor(row / METRICS) + nowMs / 1000) % lateEvery === 1
    tsMs[row] = nowMs + phaseMs[row] - (isLate ? 20_000 : 0)
  }
  let totalMs = 0
  for (let row = 0; row < series.length; row += CHUNK_ROWS) {
    const end = Math.min(row + CHUNK_ROWS, series.length)
    const pushMs = timeOf(() => windows.push(series, tsMs, value, nowMs + 1000, row, end))
    windows.closed.clear()
    figures.pushMsMax = Math.max(figures.pushMsMax, pushMs)
    totalMs += pushMs
  }
  return totalMs
}

function measureState(windows: TumblingWindows, settings: TumblingSettings): StateFigures {
  const out = new StateWriter()
  const saveUs = timeOf(() => windows.save(out)) * 1000
  const image = new Uint8Array(out.sizeBytes)
  let offset = 0
  for (const part of out.parts) {
    image.set(part, offset)
    offset += part.length
  }
  const loaded = new TumblingWindows(settings)
  const loadMs = timeOf(() => loaded.load(new StateReader(image)))
  return { bytesPerSeries: image.length / windows.stats.series, saveUs, loadMs }
}

/** Lets all panes go in pieces of a batch each. */
function flush(windows: TumblingWindows, figures: Figures): void {
  for (let isDone = false; !isDone; windows.closed.clear()) {
    const cpuBefore = process.cpuUsage()
    const pieceMs = timeOf(() => {
      isDone = windows.flush(100_000)
    })
    const cpu = process.cpuUsage(cpuBefore)
    figures.flushCpuMsMax = Math.max(figures.flushCpuMsMax, (cpu.user + cpu.system) / 1000)
    figures.flushMsMax = Math.max(figures.flushMsMax, pieceMs)
    figures.flushMs += pieceMs
  }
}

function timeOf(work: () => void): number {
  const startMs = performance.now()
  work()
  return performance.now() - startMs
}

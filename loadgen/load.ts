/**
 * A load run: a fleet of publishers in this thread or in several workers, and one report of them all. Owned
 * by the caller's thread. Clean of printing: `load-command.ts` does that.
 */
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { Fleet, type FleetTick, LoadError } from './fleet.ts'
import type { FleetReport } from './fleet-options.ts'
import {
  type ConnectionOutcome,
  emptyCounters,
  type FleetCounters,
  type FleetOptions,
} from './fleet-options.ts'
import { LatencyHistogram, type LatencySummary } from './latency.ts'
import { type LoadOptions, planLoad } from './load-options.ts'
import type { LoadWorkerMessage } from './load-worker.ts'
import type { TelemetryPlan } from './telemetry.ts'

export interface LoadProgress {
  seconds: number
  counters: FleetCounters
  /** Since the progress before. */
  messagesPerS: number
  readingsPerS: number
  acknowledgedPerS: number
  latency: LatencySummary
}

export interface LoadReport {
  prefix: string
  connections: number
  devices: number
  metrics: number
  connectSeconds: number
  /** First write to the last answer (PUBACK, frame ack, or the PINGRESP that ends QoS 0). */
  seconds: number
  counters: FleetCounters
  /** Refusals and lost connections by reason. */
  reasons: Record<string, number>
  messagesPerS: number
  readingsPerS: number
  /** CPU of this process during the run, per message sent: the generator's own cost. */
  cpuUsPerMessage: number
  latency: LatencySummary
}

export interface LoadRun {
  report: LoadReport
  plan: TelemetryPlan
  outcomes: ConnectionOutcome[]
}

export interface LoadObserver {
  onProgress?: (progress: LoadProgress) => void
  /** Ends the run early; what is in flight is waited for. */
  signal?: AbortSignal
}

/** A thread's share, whether it runs here or in a worker. */
interface FleetHandle {
  run(): Promise<FleetReport>
  stop(): void
  close(): void
}

/** Runs a load and says what came of it. Throws LoadError for options or an address that cannot work. */
export async function runLoad(options: LoadOptions, observer: LoadObserver = {}): Promise<LoadRun> {
  const { telemetry, threads } = planLoad(options, Date.now())
  const progress = new ProgressMerger(threads.length, telemetry.metrics, observer.onProgress)
  const connectStartMs = performance.now()
  const fleets = await startFleets(threads, (tick, thread) => progress.take(tick, thread))
  const connectSeconds = (performance.now() - connectStartMs) / 1000
  const stop = (): void => {
    for (const fleet of fleets) fleet.stop()
  }
  observer.signal?.addEventListener('abort', stop, { once: true })
  const cpuStart = process.cpuUsage()
  progress.start()
  const running = fleets.map((fleet) => fleet.run())
  if (observer.signal?.aborted) stop()
  const reports = await Promise.all(running)
  const cpu = process.cpuUsage(cpuStart)
  observer.signal?.removeEventListener('abort', stop)
  const counters = sumCounters(reports.map((report) => report.counters))
  const seconds = Math.max(...reports.map(({ activeMs }) => activeMs)) / 1000
  const latency = new LatencyHistogram()
  for (const report of reports) latency.add(report.latency)
  const report: LoadReport = {
    prefix: telemetry.prefix,
    connections: telemetry.connections,
    devices: telemetry.devices,
    metrics: telemetry.metrics,
    connectSeconds,
    seconds,
    counters,
    reasons: sumReasons(reports),
    messagesPerS: seconds > 0 ? counters.sent / seconds : 0,
    readingsPerS: seconds > 0 ? (counters.sent * telemetry.metrics) / seconds : 0,
    cpuUsPerMessage: counters.sent > 0 ? (cpu.user + cpu.system) / counters.sent : 0,
    latency: latency.summary(),
  }
  return { report, plan: telemetry, outcomes: reports.flatMap(({ outcomes }) => outcomes) }
}

type OnTick = (tick: FleetTick, thread: number) => void

/** All fleets, connected. One that cannot connect ends them all. */
async function startFleets(threads: FleetOptions[], onTick: OnTick): Promise<FleetHandle[]> {
  if (threads.length === 1) {
    const fleet = new Fleet(threads[0], (tick) => onTick(tick, 0))
    await fleet.connect()
    return [fleet]
  }
  const starts = await Promise.allSettled(threads.map((options) => startWorker(options, onTick)))
  const fleets = starts.flatMap((start) => (start.status === 'fulfilled' ? [start.value] : []))
  for (const start of starts) {
    if (start.status === 'fulfilled') continue
    for (const fleet of fleets) fleet.close()
    throw start.reason
  }
  return fleets
}

async function startWorker(options: FleetOptions, onTick: OnTick): Promise<FleetHandle> {
  const worker = new Worker(new URL('./load-worker.ts', import.meta.url), { workerData: options })
  const report = Promise.withResolvers<FleetReport>()
  const connected = Promise.withResolvers<void>()
  worker.on('message', (message: LoadWorkerMessage) => {
    if (message.kind === 'tick') onTick(message.tick, options.thread)
    else if (message.kind === 'connected') connected.resolve()
    else if (message.kind === 'report') report.resolve(message.report)
    else connected.reject(new LoadError(message.message))
  })
  const onEnd = (cause: unknown): void => {
    const error = new LoadError('a load thread ended before its work was done', { cause })
    connected.reject(error)
    report.reject(error)
  }
  report.promise.catch(() => {})
  worker.on('error', onEnd)
  worker.on('exit', onEnd)
  await connected.promise
  return {
    run: async () => {
      worker.postMessage('go')
      const result = await report.promise
      await once(worker, 'exit')
      return result
    },
    stop: () => worker.postMessage('stop'),
    close: () => void worker.terminate(),
  }
}

/** Adds the threads' ticks up: one progress a second, when the first thread reports. */
class ProgressMerger {
  readonly #latest: FleetCounters[]
  readonly #latency = new LatencyHistogram()
  readonly #metrics: number
  readonly #onProgress: ((progress: LoadProgress) => void) | undefined
  #startMs = 0
  #lastMs = 0
  #last = emptyCounters()

  constructor(threads: number, metrics: number, onProgress: ((progress: LoadProgress) => void) | undefined) {
    this.#latest = Array.from({ length: threads }, emptyCounters)
    this.#metrics = metrics
    this.#onProgress = onProgress
  }

  start(): void {
    this.#startMs = performance.now()
    this.#lastMs = this.#startMs
  }

  take(tick: FleetTick, thread: number): void {
    this.#latest[thread] = tick.counters
    if (this.#onProgress === undefined) return
    this.#latency.add(tick.latency)
    if (thread !== 0) return
    const nowMs = performance.now()
    const counters = sumCounters(this.#latest)
    const seconds = Math.max(0.001, (nowMs - this.#lastMs) / 1000)
    const messagesPerS = (counters.sent - this.#last.sent) / seconds
    this.#onProgress({
      seconds: (nowMs - this.#startMs) / 1000,
      counters,
      messagesPerS,
      readingsPerS: messagesPerS * this.#metrics,
      acknowledgedPerS: (counters.acknowledged - this.#last.acknowledged) / seconds,
      latency: this.#latency.summary(),
    })
    this.#latency.reset()
    this.#last = counters
    this.#lastMs = nowMs
  }
}

function sumCounters(all: FleetCounters[]): FleetCounters {
  const sum = emptyCounters()
  for (const counters of all) {
    for (const key of Object.keys(sum) as (keyof FleetCounters)[]) sum[key] += counters[key]
  }
  return sum
}

function sumReasons(reports: FleetReport[]): Record<string, number> {
  const sum: Record<string, number> = {}
  for (const { reasons } of reports) {
    for (const [reason, count] of Object.entries(reasons)) sum[reason] = (sum[reason] ?? 0) + count
  }
  return sum
}

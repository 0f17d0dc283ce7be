/**
 * Runs the engine as a child process and starts it again from its journal when it dies: at once, then after pauses that
 * grow. Lives in the process that the user started, and does nothing that could fail. Invariant: at most one engine runs.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { EngineAddresses } from './engine.ts'
import type {
  EngineEnd,
  EngineFigures,
  EngineLaunch,
  EngineReport,
  EngineRequest,
} from './engine-messages.ts'
import type { Fault } from './fault-log.ts'
import type { Refusal } from './registry/credentials.ts'
import type { Alert } from './shard/alert.ts'

const PAUSE_MS_MIN = 500
const PAUSE_MS_MAX = 10_000
/** A life of this length makes the next death a first one. */
const LONG_LIFE_MS = 60_000
/** Refusals that another start would only repeat; others may be over when it comes, as a port that is in use. */
const LASTING = new Set(['JOURNAL_CORRUPT', 'JOURNAL_FOREIGN'])

export interface SupervisorEvents {
  /** Devices are served; again after each restart, on the same addresses. */
  onReady(addresses: EngineAddresses, enginePid: number): void
  onStatus(figures: EngineFigures): void
  onReplaying(doneBytes: number, totalBytes: number): void
  onFault(fault: Fault): void
  onAlerts(alerts: readonly Alert[]): void
  onRefusals(refusals: readonly Refusal[]): void
}

export interface SupervisorSettings {
  launch: EngineLaunch
  /** False: the first death is the end, for somebody outside who starts things again. */
  isRestarting: boolean
}

/** How a supervised engine ended for good. `figures` is null when it never reported any. */
export type Outcome =
  | Exclude<EngineEnd, { kind: 'stopped' }>
  | {
      kind: 'stopped'
      figures: EngineFigures | null
      isDrained: boolean
    }

export class Supervisor {
  #launch: EngineLaunch
  #isRestarting: boolean
  #events: SupervisorEvents
  #pauses = new RestartPauses()
  #ended = Promise.withResolvers<Outcome>()
  #child: ChildProcess | null = null
  #isReady = false
  #wasReady = false
  #hasDied = false
  #isStopping = false
  #figures: EngineFigures | null = null
  #restart: NodeJS.Timeout | undefined

  constructor({ launch, isRestarting }: SupervisorSettings, events: SupervisorEvents) {
    this.#launch = launch
    this.#isRestarting = isRestarting
    this.#events = events
  }

  /** Resolves when the engine has ended for good. */
  run(): Promise<Outcome> {
    this.#startEngine()
    return this.#ended.promise
  }

  /** Drains the engine; between two lives there is nothing to drain. */
  stop(): void {
    if (this.#isStopping) return
    this.#isStopping = true
    clearTimeout(this.#restart)
    if (this.#child === null) this.#endStopped()
    else send(this.#child, { kind: 'stop' })
  }

  /** Has the TLS files read again. */
  reload(): void {
    if (this.#child !== null) send(this.#child, { kind: 'reload' })
  }

  /** Ends the engine without a drain; its store ends with it. */
  kill(): void {
    this.stop()
    this.#child?.kill('SIGKILL')
  }

  #startEngine(): void {
    const startedMs = performance.now()
    const child = fork(fileURLToPath(new URL('./engine-main.ts', import.meta.url)), [], {
      execArgv: [...process.execArgv, '--disable-warning=ExperimentalWarning'], // SQLite's, which is the lock
      stdio: ['ignore', 2, 2, 'ipc'],
    })
    this.#child = child
    this.#isReady = false
    let end: EngineEnd | null = null
    child.on('message', (report: EngineReport) => {
      if (report.kind === 'refused' || report.kind === 'died' || report.kind === 'stopped') end = report
      else this.#onReport(report, child.pid ?? 0)
    })
    child.on('error', ({ message }) => {
      end ??= { kind: 'died', message } // it could not be forked
    })
    // Not 'exit': by now everything that it sent has been read.
    child.once('close', (code, signal) => {
      this.#child = null
      this.#onEnd(
        end ?? { kind: 'died', message: signal ?? `exit code ${code}` },
        performance.now() - startedMs,
      )
    })
    send(child, { kind: 'start', launch: this.#launch })
  }

  #onReport(report: Exclude<EngineReport, EngineEnd>, pid: number): void {
    switch (report.kind) {
      case 'ready':
        this.#onReady(report.addresses, pid)
        break
      case 'status':
        this.#figures = report.figures
        this.#events.onStatus(report.figures)
        break
      case 'replaying':
        this.#events.onReplaying(report.doneBytes, report.totalBytes)
        break
      case 'fault':
        this.#events.onFault(report.fault)
        break
      case 'alerts':
        this.#events.onAlerts(report.alerts)
        break
      case 'refusals':
        this.#events.onRefusals(report.refusals)
    }
  }

  #onReady(addresses: EngineAddresses, pid: number): void {
    this.#isReady = true
    this.#wasReady = true
    this.#launch = withPorts(this.#launch, addresses)
    this.#events.onReady(addresses, pid)
    if (!this.#hasDied) return
    this.#hasDied = false
    this.#events.onFault({ code: 'ENGINE_DIED', message: 'the engine runs again', isOver: true })
  }

  #onEnd(end: EngineEnd, lifeMs: number): void {
    if (end.kind === 'stopped') this.#ended.resolve(end)
    else if (this.#isStopping && !this.#isReady) this.#endStopped()
    else if (this.#isStopping || !this.#isRestarting) this.#ended.resolve(end)
    else if (end.kind === 'refused' && (!this.#wasReady || LASTING.has(end.code))) this.#ended.resolve(end)
    else this.#startLater(end.message, lifeMs)
  }

  #startLater(reason: string, lifeMs: number): void {
    this.#hasDied = true
    const pauseMs = this.#pauses.next(lifeMs)
    const when = pauseMs === 0 ? '' : ` after ${pauseMs / 1000} s`
    this.#events.onFault({
      code: 'ENGINE_DIED',
      message: `engine died (${reason}); started again${when}`,
      isOver: false,
    })
    this.#restart = setTimeout(() => this.#startEngine(), pauseMs)
  }

  #endStopped(): void {
    this.#ended.resolve({ kind: 'stopped', figures: this.#figures, isDrained: false })
  }
}

/** How long to wait before an engine is started again: not at all, then twice as long each time, up to a bound. */
export class RestartPauses {
  #pauseMs = 0

  /** Takes how long the engine that just died has lived. */
  next(lifeMs: number): number {
    const pauseMs = lifeMs >= LONG_LIFE_MS ? 0 : this.#pauseMs
    this.#pauseMs = Math.min(PAUSE_MS_MAX, Math.max(PAUSE_MS_MIN, pauseMs * 2))
    return pauseMs
  }
}

/** The same launch on the ports that were found free for it: clients come back to them. */
function withPorts(launch: EngineLaunch, addresses: EngineAddresses): EngineLaunch {
  const { mqtt, mqtts, webSocket, wss, http, store } = addresses
  return {
    ...launch,
    mqtt: { ...launch.mqtt, port: mqtt.port },
    webSocket: { ...launch.webSocket, port: webSocket.port },
    mqtts,
    wss,
    http: { ...launch.http, port: http.port },
    store: { ...launch.store, port: store?.port ?? launch.store.port },
  }
}

/** A child that has just died takes no request; its end comes as an event of its own. */
function send(child: ChildProcess, request: EngineRequest): void {
  child.send(request, () => {})
}

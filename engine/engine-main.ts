/**
 * Entry of the engine's process, which a supervisor forks and speaks with over IPC. It ignores SIGINT, SIGTERM and SIGHUP,
 * which may reach the whole group: only the supervisor's `stop` drains it. Invariant: it never outlives its supervisor, and
 * a fault that nobody expected ends it at once; the journal is the way back.
 */
import { assert } from '../base/assert.ts'
import { firstLine, loadConfig } from './config-file.ts'
import { ConfigError } from './config-value.ts'
import type { Engine } from './engine.ts'
import { EngineError } from './engine-error.ts'
import type { EngineFigures, EngineLaunch, EngineReport, EngineRequest } from './engine-messages.ts'
import { ReplayProgress } from './replay-progress.ts'

const STATUS_INTERVAL_MS = 1000
/** Codes of an EngineError that tells of our own fault. */
const OWN_FAULTS = new Set(['ASSERTION', 'THREAD_DIED'])

let engine: Engine | null = null
let isStopping = false
let reporting: NodeJS.Timeout | undefined

process.on('SIGINT', () => {})
process.on('SIGTERM', () => {})
process.on('SIGHUP', () => {})
process.on('disconnect', endAtOnce)
process.stderr.on('error', () => {}) // nobody may be reading it any more
process.on('uncaughtException', die)
process.on('message', (request: EngineRequest) => {
  if (request.kind === 'reload') engine?.reloadTls()
  else (request.kind === 'start' ? start(request.launch) : stop()).catch(die)
})

async function start({ configFile, ...options }: EngineLaunch): Promise<void> {
  try {
    const config = await loadConfig(configFile)
    const { Engine } = await import('./engine.ts') // here, so that the signals are ignored meanwhile
    engine = await Engine.start(
      { ...options, config, configFile },
      {
        onFault: (fault) => report({ kind: 'fault', fault }),
        onAlerts: (alerts) => report({ kind: 'alerts', alerts }),
        onRefusals: (refusals) => report({ kind: 'refusals', refusals }),
        onDeath: die,
      },
    )
  } catch (error) {
    if (!isExpected(error)) throw error
    const { code, message } = error
    report({ kind: 'refused', code, message }, () => process.exit(1))
    return
  }
  report({ kind: 'ready', addresses: engine.addresses })
  reportFigures(engine)
  if (isStopping) await drain(engine)
}

async function stop(): Promise<void> {
  isStopping = true
  if (engine !== null) await drain(engine)
}

async function drain(running: Engine): Promise<void> {
  clearInterval(reporting)
  const isDrained = await running.stop()
  report({ kind: 'stopped', figures: figuresOf(running), isDrained }, () => process.exit(0))
}

function reportFigures(running: Engine): void {
  const progress = new ReplayProgress()
  reporting = setInterval(() => {
    report({ kind: 'status', figures: figuresOf(running) })
    const step = progress.look(running.board.shards.filter(Boolean))
    if (step !== null) report({ kind: 'replaying', ...step })
  }, STATUS_INTERVAL_MS)
}

function figuresOf(running: Engine): EngineFigures {
  const { gateways: _gateways, shards: _shards, sessions: _sessions, ...figures } = running.board.summary()
  return figures
}

function isExpected(error: unknown): error is EngineError | ConfigError {
  return error instanceof ConfigError || (error instanceof EngineError && !OWN_FAULTS.has(error.code))
}

function die(error: Error): void {
  const ownFault = error instanceof EngineError ? error.cause : error
  if (!isExpected(error)) process.stderr.write(`${(ownFault as Error)?.stack ?? error.message}\n`)
  report({ kind: 'died', message: firstLine(error) }, endAtOnce)
}

/** Not `process.exit`: that waits for threads, and aborts amid a live uWebSockets.js. */
function endAtOnce(): void {
  process.kill(process.pid, 'SIGKILL')
}

function report(message: EngineReport, sent?: () => void): void {
  assert(process.send !== undefined, 'engine-main.ts is the entry of a forked process')
  process.send(message, undefined, undefined, sent)
}

/**
 * The engine as the harness sees it: a program on fixed ports, that is killed and comes back. Takes `millrace start`
 * as one process and as a supervisor with an engine under it. Whoever ends without having been killed here is reported
 * as an unexpected death.
 */
import type { WriteStream } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { CrashError } from './crash-error.ts'
import { descendantsOf, isAlive, killHard, type TreeProcess } from './process-tree.ts'
import { Program, type ProgramEnd, type ProgramEvent } from './program.ts'

export interface EngineSettings {
  /** Of `millrace start`, ports included. */
  args: readonly string[]
  httpPort: number
  /** It has a store of its own, as a child. */
  isEmbedded: boolean
  log: WriteStream
}

const READY_MS_MAX = 60_000
const STOP_MS_MAX = 90_000
const POLL_MS = 10
/** A supervisor that has not started an engine for so long is not going to. */
const SUPERVISOR_MS_MAX = 3000
const START_PAUSE_MS = 300
const STARTS_MAX = 20

export class EngineUnderTest {
  /** How often the harness started it, and how often a supervisor did. */
  startCount = 0
  supervisedStartCount = 0
  /** Starts that ended before anything was served, in the words of the engine. */
  readonly failedStarts: string[] = []
  readonly unexpectedDeaths: string[] = []
  readonly faults = new Map<string, number>()
  readonly #settings: EngineSettings
  #program: Program | null = null
  /** Died at our hands: nobody wonders. */
  readonly #victims = new Set<number>()
  #enginePid = 0
  #isSupervised = false

  constructor(settings: EngineSettings) {
    this.#settings = settings
  }

  /** Starts it, and resolves once it takes messages. */
  async start(): Promise<void> {
    this.#spawn()
    await this.comeBack(0)
  }

  /** Kills what the fault names. Resolves when the dead are dead. */
  async kill(victim: 'engine' | 'store' | 'both', isWholeTree: boolean): Promise<void> {
    const program = this.#require()
    const below = descendantsOf(program.pid)
    const store = below.find(isStore)
    const supervised = superviseeOf(program.pid, below)
    const victims: number[] = []
    if (victim !== 'store') {
      if (supervised === null || isWholeTree) victims.push(program.pid)
      if (supervised !== null) victims.push(supervised.pid)
    }
    if (victim !== 'engine' && store !== undefined) victims.push(store.pid)
    for (const pid of victims) {
      this.#victims.add(pid)
      killHard(pid)
    }
    while (victims.some(isAlive)) await sleep(1)
    if (victims.includes(program.pid)) await program.ended
  }

  /** Resolves once it takes messages again, whoever starts it: its supervisor, or the harness after `downMs`. */
  async comeBack(downMs: number): Promise<void> {
    const deadlineMs = performance.now() + READY_MS_MAX
    let isHeldDown = downMs > 0
    let aloneSinceMs = performance.now()
    for (let starts = 0; performance.now() < deadlineMs && starts < STARTS_MAX; ) {
      const program = this.#require()
      if (program.end !== null) {
        this.#noteFailedStart(program, program.end)
        await sleep(isHeldDown ? downMs : starts > 0 ? START_PAUSE_MS : 0)
        isHeldDown = false
        starts++
        this.#spawn()
      }
      const pid = this.#livingEngine()
      if (pid !== null) aloneSinceMs = performance.now()
      if (pid !== null && (await this.#isReady())) {
        this.#noteEngine(pid)
        return
      }
      if (performance.now() - aloneSinceMs > SUPERVISOR_MS_MAX) {
        this.unexpectedDeaths.push(`the supervisor started no engine in ${SUPERVISOR_MS_MAX} ms`)
        this.#victims.add(this.#require().pid)
        await this.#require().killAll()
      }
      await sleep(POLL_MS)
    }
    throw new CrashError(`the engine did not come back in ${READY_MS_MAX / 1000} s: ${this.lastWords}`)
  }

  /** Starts it again after a kill, without waiting for anything, when no supervisor would. */
  revive(): void {
    if (this.#require().end !== null) this.#spawn()
  }

  /** Resolves once a store child runs. */
  async storeComesBack(): Promise<void> {
    if (!this.#settings.isEmbedded) return
    const deadlineMs = performance.now() + READY_MS_MAX
    while (performance.now() < deadlineMs) {
      const store = descendantsOf(this.#require().pid).find(isStore)
      if (store !== undefined && !this.#victims.has(store.pid)) return
      await sleep(POLL_MS)
    }
    throw new CrashError(`the store was not started again: ${this.lastWords}`)
  }

  /** To be asked now and then: the engine that was ready is still the one that runs. */
  checkAlive(): void {
    if (this.#livingEngine() === this.#enginePid || this.#victims.has(this.#enginePid)) return
    this.unexpectedDeaths.push(`engine ${this.#enginePid} ended, nobody killed it: ${this.lastWords}`)
    this.#victims.add(this.#enginePid)
  }

  /** SIGTERM: what was acknowledged is in ClickHouse when it ends. Throws when it does not end well. */
  async stop(): Promise<void> {
    const program = this.#require()
    program.signal('SIGTERM')
    const timeout = sleep(STOP_MS_MAX, null, { ref: false })
    const end = await Promise.race([program.ended, timeout])
    if (end?.code === 0) return
    await program.killAll()
    throw new CrashError(
      end === null
        ? `the engine did not stop within ${STOP_MS_MAX / 1000} s of SIGTERM`
        : `the engine answered SIGTERM with ${end.signal ?? `exit code ${end.code}`}: ${this.lastWords}`,
    )
  }

  async destroy(): Promise<void> {
    if (this.#program?.end === null) await this.#program.killAll()
  }

  get lastWords(): string {
    return this.#program?.lastWords.trim().split('\n').slice(-3).join(' | ') || '(it said nothing)'
  }

  #spawn(): void {
    const { args, log } = this.#settings
    this.startCount++
    this.#program = new Program(['start', '--json', ...args], log, (event) => this.#onEvent(event))
  }

  #onEvent(event: ProgramEvent): void {
    if (event.event !== 'fault' || event.isOver === true) return
    const code = String(event.code)
    this.faults.set(code, (this.faults.get(code) ?? 0) + 1)
  }

  /** The process that serves devices: the program itself, or the one under a supervisor. Null while there is none. */
  #livingEngine(): number | null {
    const program = this.#require()
    if (program.end !== null) return null
    const below = descendantsOf(program.pid)
    const supervised = superviseeOf(program.pid, below)
    if (supervised !== null) return this.#victims.has(supervised.pid) ? null : supervised.pid
    // A supervisor between two engines has no store under it either; a lone engine that starts may have none yet.
    return this.#victims.has(this.#enginePid) && this.#isSupervised ? null : program.pid
  }

  #noteEngine(pid: number): void {
    const program = this.#require()
    this.#isSupervised = pid !== program.pid
    if (this.#isSupervised && pid !== this.#enginePid && this.#enginePid !== 0) this.supervisedStartCount++
    this.#enginePid = pid
  }

  #noteFailedStart(program: Program, { code, signal }: ProgramEnd): void {
    if (this.#victims.has(program.pid)) return
    this.#victims.add(program.pid)
    this.failedStarts.push(`${signal ?? `exit code ${code}`}: ${this.lastWords}`)
  }

  async #isReady(): Promise<boolean> {
    try {
      const response = await fetch(`http://127.0.0.1:${this.#settings.httpPort}/readyz`, {
        signal: AbortSignal.timeout(1000),
      })
      await response.text()
      return response.ok
    } catch {
      return false
    }
  }

  #require(): Program {
    if (this.#program === null) throw new CrashError('the engine was never started')
    return this.#program
  }
}

function isStore({ command }: TreeProcess): boolean {
  return command.includes('engine/store/child.ts')
}

/** The engine under a supervisor: a direct child that runs the engine's code and is no store. */
function superviseeOf(root: number, below: readonly TreeProcess[]): TreeProcess | null {
  return below.find((one) => one.parent === root && !isStore(one) && one.command.includes('engine/')) ?? null
}

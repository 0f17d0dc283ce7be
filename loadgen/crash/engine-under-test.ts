/**
 * The engine as the harness sees it: a program on fixed ports, that is killed and comes back. Takes `millrace start` as
 * one process and as a supervisor with an engine under it. Whoever ends without having been killed here is an
 * unexpected death. Invariant: `#enginePid` served devices at some time since the last start, or is 0.
 */
import type { WriteStream } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { CrashError } from './crash-error.ts'
import { descendantsOf, isAlive, killHard, type TreeProcess } from './process-tree.ts'
import { Program, type ProgramEvent } from './program.ts'

export interface EngineSettings {
  /** Of `millrace start`, ports included. */
  args: readonly string[]
  httpPort: number
  /** It has a store of its own, as a child. */
  isEmbedded: boolean
  log: WriteStream
}

/** What of a supervised engine is killed: a supervisor alone, what it supervises, or both. */
export type Reach = 'supervisor' | 'engine' | 'tree'

const READY_MS_MAX = 240_000
const STOP_MS_MAX = 90_000
const ORPHAN_MS_MAX = 60_000
const POLL_MS = 10
/**
 * A supervisor restarts an engine that died once within the first; later it makes pauses, and the harness, that has
 * no time, starts another supervisor after the second.
 */
const FIRST_RESTART_MS_MAX = 60_000
const PATIENCE_MS_MAX = 1000
const START_PAUSE_MS = 300
const STARTS_MAX = 30

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
  #enginePid = 0
  /** Died at our hands: nobody wonders. */
  readonly #victims = new Set<number>()
  /** Engines whose supervisor was killed: they are to end by themselves. */
  readonly #orphans = new Map<number, number>()
  #deathsUnderSupervisor = 0

  constructor(settings: EngineSettings) {
    this.#settings = settings
  }

  /** Starts it, and resolves once it takes messages. */
  async start(): Promise<void> {
    this.#spawn()
    await this.comeBack(0)
  }

  /** Kills what is named. Resolves when the dead are dead. */
  async kill(victim: 'engine' | 'store' | 'both', reach: Reach): Promise<void> {
    const program = this.#require()
    const below = descendantsOf(program.pid)
    const store = below.find(isStore)
    const engine = superviseeOf(program.pid, below)
    const victims: number[] = []
    if (victim !== 'store') {
      if (engine === null || reach !== 'engine') victims.push(program.pid)
      if (engine !== null && reach !== 'supervisor') victims.push(engine.pid)
    }
    if (victim !== 'engine' && store !== undefined) victims.push(store.pid)
    for (const pid of victims) {
      this.#victims.add(pid)
      killHard(pid)
    }
    if (engine !== null && victims.includes(engine.pid)) this.#deathsUnderSupervisor++
    else if (engine !== null && victims.includes(program.pid)) this.#orphan(engine.pid)
    while (victims.some(isAlive)) await sleep(1)
    if (victims.includes(program.pid)) await program.ended
  }

  /** SIGSTOP, and after `durationMs` SIGCONT. */
  async freeze(victim: 'engine' | 'store', durationMs: number): Promise<void> {
    const store = descendantsOf(this.#require().pid).find(isStore)?.pid
    const pid = victim === 'engine' ? this.#enginePid : store
    if (pid === undefined) return
    process.kill(pid, 'SIGSTOP')
    await sleep(durationMs)
    process.kill(pid, 'SIGCONT')
  }

  /** Resolves once it takes messages again, whoever starts it: its supervisor, or the harness after `downMs`. */
  async comeBack(downMs: number): Promise<void> {
    const deadlineMs = performance.now() + READY_MS_MAX
    let aloneSinceMs = performance.now()
    let starts = 0
    while (performance.now() < deadlineMs && starts < STARTS_MAX) {
      const program = this.#require()
      if (program.end !== null) {
        this.#noteFailedStart(program)
        await sleep(starts++ === 0 ? downMs : START_PAUSE_MS)
        this.#spawn()
      }
      if (this.#isServing && (await this.#isReady())) {
        await this.#buryOrphans()
        return
      }
      if (descendantsOf(this.#require().pid).length > 0 || this.#enginePid === 0) {
        aloneSinceMs = performance.now()
      } else if (await this.#isSupervisorIdle(performance.now() - aloneSinceMs)) {
        aloneSinceMs = performance.now()
      }
      await sleep(POLL_MS)
    }
    throw new CrashError(`the engine did not come back in ${READY_MS_MAX / 1000} s: ${this.lastWords}`)
  }

  /** Starts it again after a kill, without waiting for anything, when no supervisor does. */
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
    const pid = this.#enginePid
    if (pid === 0 || this.#victims.has(pid) || isAlive(pid)) return
    this.unexpectedDeaths.push(`engine ${pid} ended, nobody killed it: ${this.lastWords}`)
    this.#victims.add(pid)
  }

  /** SIGTERM: what was acknowledged is in ClickHouse when it ends. Throws when it does not end well. */
  async stop(): Promise<void> {
    const program = this.#require()
    program.signal('SIGTERM')
    const timeout = sleep(STOP_MS_MAX, null, { ref: false })
    const end = await Promise.race([program.ended, timeout])
    this.#victims.add(this.#enginePid)
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
    for (const pid of this.#orphans.keys()) {
      for (const { pid: below } of descendantsOf(pid)) killHard(below)
      killHard(pid)
    }
  }

  get lastWords(): string {
    return this.#program?.lastWords.trim().split('\n').slice(-3).join(' | ') || '(it said nothing)'
  }

  #spawn(): void {
    const { args, log } = this.#settings
    this.startCount++
    this.#enginePid = 0
    this.#deathsUnderSupervisor = 0
    const program = new Program(['start', '--json', ...args], log, (event) => {
      if (program === this.#program) this.#onEvent(event)
    })
    this.#program = program
  }

  #onEvent({ event, code, isOver, pid, enginePid }: ProgramEvent): void {
    if (event === 'ready') {
      if (this.#enginePid !== 0) this.supervisedStartCount++
      this.#enginePid = Number(enginePid ?? pid)
    } else if (event === 'fault' && isOver !== true) {
      this.faults.set(String(code), (this.faults.get(String(code)) ?? 0) + 1)
    }
  }

  get #isServing(): boolean {
    return this.#enginePid !== 0 && !this.#victims.has(this.#enginePid)
  }

  /** Whether the supervisor has been without an engine for too long; then it is dead, for another one. */
  async #isSupervisorIdle(aloneMs: number): Promise<boolean> {
    const isFirst = this.#deathsUnderSupervisor === 1
    if (aloneMs < (isFirst ? FIRST_RESTART_MS_MAX : PATIENCE_MS_MAX)) return false
    if (isFirst) this.unexpectedDeaths.push(`the supervisor started no engine in ${FIRST_RESTART_MS_MAX} ms`)
    this.#victims.add(this.#require().pid)
    await this.#require().killAll()
    return true
  }

  #orphan(pid: number): void {
    this.#victims.add(pid)
    this.#orphans.set(pid, performance.now() + ORPHAN_MS_MAX)
  }

  /** An engine without its supervisor must end: two engines never serve at once. */
  async #buryOrphans(): Promise<void> {
    for (const [pid, deadlineMs] of this.#orphans) {
      while (isAlive(pid) && performance.now() < deadlineMs) await sleep(POLL_MS)
      if (isAlive(pid)) {
        this.unexpectedDeaths.push(`engine ${pid} outlived its supervisor by ${ORPHAN_MS_MAX / 1000} s`)
        killHard(pid)
      }
      this.#orphans.delete(pid)
    }
  }

  #noteFailedStart({ pid, end }: Program): void {
    if (this.#victims.has(pid) || end === null) return
    this.#victims.add(pid)
    this.failedStarts.push(`${end.signal ?? `exit code ${end.code}`}: ${this.lastWords}`)
  }

  async #isReady(): Promise<boolean> {
    try {
      const signal = AbortSignal.timeout(1000)
      const response = await fetch(`http://127.0.0.1:${this.#settings.httpPort}/readyz`, { signal })
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

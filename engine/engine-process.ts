/** For tests: an engine, or another command of millrace, as a process of its own, the way users start it. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const CLI = fileURLToPath(new URL('./cli.ts', import.meta.url))
/** Longer than anything takes on a busy machine: who still waits then, waits in vain. */
export const PATIENCE_MS = 120_000
const FREE_PORTS = [
  '--mqtt',
  '127.0.0.1:0',
  '--ws',
  '127.0.0.1:0',
  '--http',
  '127.0.0.1:0',
  '--store',
  '127.0.0.1:0',
]

export interface Outcome {
  code: number | null
  stdout: string
  stderr: string
}

interface Addresses {
  mqtt: string
  ws: string
  /** With TLS. */
  mqtts?: string
  wss?: string
  http: string
  store: string
  pid: number
  enginePid: number
}

export type EngineEvent = { event: string } & Record<string, unknown>

/** A directory that is gone after the test; a killed engine's store may still be ending when it goes. */
export function temporaryDirectory(): { path: string; remove: () => void } {
  const path = mkdtempSync(join(tmpdir(), 'millrace-'))
  return { path, remove: () => rmSync(path, { recursive: true, force: true, maxRetries: 5 }) }
}

/** Runs a command to its end, or kills one that hangs; then its code is null. */
export async function runMillrace(args: string[], env: NodeJS.ProcessEnv = {}): Promise<Outcome> {
  const child = spawn(process.execPath, [CLI, ...args], {
    env: { ...process.env, ...env },
    timeout: PATIENCE_MS,
    killSignal: 'SIGKILL',
  })
  return new Promise((resolve) => {
    const outcome: Outcome = { code: null, stdout: '', stderr: '' }
    child.stdout.on('data', (chunk) => {
      outcome.stdout += chunk
    })
    child.stderr.on('data', (chunk) => {
      outcome.stderr += chunk
    })
    child.once('close', (code) => resolve({ ...outcome, code }))
  })
}

/** `millrace start --json` on free ports. */
export class EngineProcess {
  readonly events: EngineEvent[] = []
  addresses!: Addresses
  stderr = ''
  #child: ChildProcess
  #closed: Promise<number | null>

  private constructor(args: string[], env: NodeJS.ProcessEnv, isGroupLeader: boolean) {
    this.#child = spawn(process.execPath, [CLI, 'start', '--json', ...FREE_PORTS, ...args], {
      env: { ...process.env, ...env },
      detached: isGroupLeader,
    })
    this.#closed = new Promise((resolve) => this.#child.once('close', resolve))
    let rest = ''
    this.#child.stdout?.on('data', (chunk) => {
      const lines = (rest + chunk).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) this.events.push(JSON.parse(line))
    })
    this.#child.stderr?.on('data', (chunk) => {
      this.stderr += chunk
    })
  }

  /**
   * Resolves once it is ready; throws what it printed when it does not get there. Later options win over the free ports.
   * A group leader takes signals to its whole process group, as from a terminal.
   */
  static async start(
    args: string[],
    env: NodeJS.ProcessEnv = {},
    { isGroupLeader = false } = {},
  ): Promise<EngineProcess> {
    const engine = new EngineProcess(args, env, isGroupLeader)
    const ready = await engine.event('ready')
    engine.addresses = ready as unknown as Addresses
    return engine
  }

  /** The first event of that name, once it has come. */
  async event(name: string): Promise<EngineEvent> {
    return this.eventWhere(name, () => true)
  }

  /** The first event of that name that passes, once it has come. */
  async eventWhere(name: string, isWanted: (event: EngineEvent) => boolean): Promise<EngineEvent> {
    const deadlineMs = performance.now() + PATIENCE_MS
    for (;;) {
      const isOver = this.#child.exitCode !== null || performance.now() > deadlineMs
      const found = this.events.find((event) => event.event === name && isWanted(event))
      if (found !== undefined) return found
      if (isOver) break
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    this.#child.kill('SIGKILL')
    throw new Error(`no event ${name}: ${JSON.stringify(this.events)} ${this.stderr}`)
  }

  /** The engine behind the supervisor, the one of now. */
  get enginePid(): number {
    return Number(this.events.findLast(({ event }) => event === 'ready')?.enginePid)
  }

  /** The store of the engine of now. Linux only. */
  get storePid(): number {
    const path = `/proc/${this.enginePid}/task/${this.enginePid}/children`
    return Number(readFileSync(path, 'utf8').trim().split(' ')[0])
  }

  /** Kills the engine, and resolves once the supervisor has brought the next one up. */
  async killEngine(): Promise<void> {
    const deadPid = this.enginePid
    process.kill(deadPid, 'SIGKILL')
    await this.eventWhere('ready', () => this.enginePid !== deadPid)
  }

  /** Asks the store; each row an object. */
  async query<Row>(sql: string): Promise<Row[]> {
    const response = await fetch(`http://${this.addresses.store}/`, {
      method: 'POST',
      body: `${sql} FORMAT JSONEachRow`,
    })
    const text = await response.text()
    if (!response.ok) throw new Error(text)
    return text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line))
  }

  /** Asks again until the first row of the answer passes; when it never does, the answer is what it is. */
  async queryUntil<Row>(sql: string, isDone: (row: Row) => boolean): Promise<Row> {
    const deadlineMs = performance.now() + PATIENCE_MS
    for (;;) {
      const [row] = await this.query<Row>(sql)
      if ((row !== undefined && isDone(row)) || performance.now() > deadlineMs) return row
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  }

  /** From now on nobody reads what it prints. */
  closeOutput(): void {
    this.#child.stdout?.destroy()
    this.#child.stderr?.destroy()
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name)
  }

  /** To every process of a group leader's group. */
  signalGroup(name: NodeJS.Signals): void {
    process.kill(-this.addresses.pid, name)
  }

  /** The exit code, once it has ended. */
  get ended(): Promise<number | null> {
    return this.#closed
  }

  /** SIGTERM, and the exit code. */
  async stop(): Promise<number | null> {
    this.#child.kill('SIGTERM')
    return this.#closed
  }

  /** SIGKILL: no drain. The engine and its store end by themselves a moment later. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.#closed
  }
}

/** Whether a process is there and has not ended. Linux only. */
export function isAlive(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) [ZX] /s.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return false
  }
}

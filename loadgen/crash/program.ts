/**
 * One command of millrace as a process: its JSON events, its log, its end. The harness knows the engine only so: as a
 * program that prints, listens and dies.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { createWriteStream, type WriteStream } from 'node:fs'
import { createServer } from 'node:net'
import { fileURLToPath } from 'node:url'
import type { Prng } from '../../base/prng.ts'
import { descendantsOf, killHard } from './process-tree.ts'

const CLI = fileURLToPath(new URL('../../engine/cli.ts', import.meta.url))
const LAST_WORDS_LENGTH_MAX = 4000
/** Below the ports that the kernel gives to outgoing connections: a device can't take a dead engine's port. */
const PORT_MIN = 10_240
const PORT_MAX = 32_000

export type ProgramEvent = { event: string } & Record<string, unknown>

export interface ProgramEnd {
  code: number | null
  signal: NodeJS.Signals | null
}

export class Program {
  readonly pid: number
  readonly ended: Promise<ProgramEnd>
  end: ProgramEnd | null = null
  /** The end of what it wrote to stderr. */
  lastWords = ''
  readonly #child: ChildProcess

  constructor(args: readonly string[], log: WriteStream, onEvent: (event: ProgramEvent) => void) {
    this.#child = spawn(process.execPath, [CLI, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
    this.pid = this.#child.pid ?? -1
    log.write(`--- ${this.pid}: ${args.join(' ')}\n`)
    let rest = ''
    this.#child.stdout?.on('data', (chunk: Buffer) => {
      const lines = (rest + chunk.toString()).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) {
        const event = parseEvent(line)
        if (event?.event !== 'status') log.write(`${new Date().toISOString()} ${line}\n`)
        if (event !== null) onEvent(event)
      }
    })
    this.#child.stderr?.on('data', (chunk: Buffer) => {
      log.write(chunk)
      this.lastWords = (this.lastWords + chunk.toString()).slice(-LAST_WORDS_LENGTH_MAX)
    })
    this.ended = new Promise((resolve) => {
      this.#child.once('exit', (code, signal) => {
        this.end = { code, signal }
        log.write(`--- ${this.pid} ended: ${signal ?? code}\n`)
        resolve(this.end)
      })
    })
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }

  /** SIGKILL to it and all under it. */
  async killAll(): Promise<void> {
    const pids = [this.pid, ...descendantsOf(this.pid).map(({ pid }) => pid)]
    for (const pid of pids) killHard(pid)
    await this.ended
  }
}

export interface Outcome {
  code: number | null
  output: string
}

/** Runs a command to its end. */
export async function runProgram(args: readonly string[], timeoutMs: number): Promise<Outcome> {
  const child = spawn(process.execPath, [CLI, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs)
  let output = ''
  const take = (chunk: Buffer): void => {
    output += chunk.toString()
  }
  child.stdout.on('data', take)
  child.stderr.on('data', take)
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve))
  clearTimeout(timer)
  return { code, output }
}

export function openLog(path: string): WriteStream {
  return createWriteStream(path, { flags: 'a' })
}

/** Ports of 127.0.0.1 that nobody listens on now. */
export async function freePorts(count: number, prng: Prng): Promise<number[]> {
  const ports: number[] = []
  while (ports.length < count) {
    const port = prng.between(PORT_MIN, PORT_MAX)
    if (!ports.includes(port) && (await isFree(port))) ports.push(port)
  }
  return ports
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}

function parseEvent(line: string): ProgramEvent | null {
  try {
    const event = JSON.parse(line)
    return typeof event?.event === 'string' ? event : null
  } catch {
    return null
  }
}

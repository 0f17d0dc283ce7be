/** `millrace store --writable` as the ClickHouse of an engine under test: a program on a fixed port that can be killed. */
import type { WriteStream } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { CrashError } from './crash-error.ts'
import { descendantsOf } from './process-tree.ts'
import { Program } from './program.ts'

const READY_MS_MAX = 60_000
const START_PAUSE_MS = 200

export class StoreUnderTest {
  readonly #args: readonly string[]
  readonly #log: WriteStream
  #program: Program | null = null

  constructor(directory: string, port: number, log: WriteStream) {
    this.#args = ['store', '--json', '--writable', '--data', directory, '--listen', `127.0.0.1:${port}`]
    this.#log = log
  }

  /** Resolves once it answers. A start that fails is tried again: a dead one's lock may live a little longer. */
  async start(): Promise<void> {
    const deadlineMs = performance.now() + READY_MS_MAX
    while (performance.now() < deadlineMs) {
      const ready = Promise.withResolvers<boolean>()
      const program = new Program(this.#args, this.#log, ({ event }) => {
        if (event === 'ready') ready.resolve(true)
      })
      this.#program = program
      if (await Promise.race([ready.promise, program.ended.then(() => false)])) return
      await sleep(START_PAUSE_MS)
    }
    throw new CrashError(`the store did not start: ${this.#program?.lastWords.trim()}`)
  }

  async kill(): Promise<void> {
    if (this.#program?.end === null) await this.#program.killAll()
  }

  /** SIGSTOP, and after `durationMs` SIGCONT. */
  async freeze(durationMs: number): Promise<void> {
    const program = this.#program
    if (program === null || program.end !== null) return
    const pids = [program.pid, ...descendantsOf(program.pid).map(({ pid }) => pid)]
    for (const pid of pids) process.kill(pid, 'SIGSTOP')
    await sleep(durationMs)
    for (const pid of pids) process.kill(pid, 'SIGCONT')
  }

  async destroy(): Promise<void> {
    await this.kill()
  }
}

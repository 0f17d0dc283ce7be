/**
 * Verifies passwords on threads of its own: not on libuv's, which syncs of the journal wait for. Bounded: what would wait too
 * long is turned away at once. Owner: the main thread.
 */
import { availableParallelism } from 'node:os'
import { Piscina } from 'piscina'
import type { PasswordJob } from './password-worker.ts'

/** Jobs per thread that run or wait: at 50 ms each the last one waits 5 s, and most clients wait longer for a CONNACK. */
const JOBS_PER_THREAD = 100
/** One address may take up this part of them, so that a guesser leaves room for others. */
const ADDRESS_PART = 1 / 4
/** Threads that nobody needs end. */
const IDLE_MS = 30_000

export class PasswordPool {
  #pool: Piscina
  #jobsMax: number
  #jobs = 0
  #jobsByAddress = new Map<string, number>()

  constructor(threads = Math.max(1, availableParallelism() >> 1)) {
    this.#pool = makePasswordPool(threads)
    this.#jobsMax = threads * JOBS_PER_THREAD
  }

  /** Null when too many wait already, in all or of that address. */
  verify(password: Uint8Array, hash: string, address: string): Promise<boolean> | null {
    const ofAddress = this.#jobsByAddress.get(address) ?? 0
    if (this.#jobs >= this.#jobsMax || ofAddress >= this.#jobsMax * ADDRESS_PART) return null
    this.#jobs++
    this.#jobsByAddress.set(address, ofAddress + 1)
    return this.#run({ password, hash }, address)
  }

  async close(): Promise<void> {
    await this.#pool.destroy()
  }

  async #run(job: PasswordJob, address: string): Promise<boolean> {
    try {
      return (await this.#pool.run(job)) === true
    } finally {
      this.#jobs--
      const rest = (this.#jobsByAddress.get(address) ?? 1) - 1
      if (rest === 0) this.#jobsByAddress.delete(address)
      else this.#jobsByAddress.set(address, rest)
    }
  }
}

/** Its jobs are those of password-worker.ts. */
export function makePasswordPool(threads: number): Piscina {
  return new Piscina({
    filename: new URL('./password-worker.ts', import.meta.url).href,
    name: 'passwordJob',
    minThreads: 0,
    maxThreads: threads,
    idleTimeout: IDLE_MS,
    recordTiming: false,
  })
}

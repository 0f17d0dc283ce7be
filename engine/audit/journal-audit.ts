/**
 * Walks the journals of a data directory, one job for each shard, on a bounded pool of worker threads. Owned by the
 * command's main thread, which stays free to ask the store and to print.
 */
import { existsSync, readdirSync, statSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { Piscina } from 'piscina'
import { AuditError } from './audit-error.ts'
import type { JournalFindings } from './journal-walk.ts'
import { type JournalWalkJob, type JournalWalkProgress, walkJournalJob } from './journal-walk-worker.ts'

const WORKER_COUNT_MAX = 8

/** `doneBytes` of about `sizeBytes` are read. */
export type OnWalkProgress = (doneBytes: number, sizeBytes: number) => void

export class JournalAudit {
  #jobs: JournalWalkJob[]
  #pool: Piscina<JournalWalkJob, JournalFindings>
  #onProgress: OnWalkProgress
  #doneBytes = 0
  #sizeBytes = 0

  /** Throws AuditError when the directory holds no journal. */
  constructor(dataPath: string, shards: number, onProgress: OnWalkProgress) {
    const path = join(dataPath, 'journal')
    if (!existsSync(path)) throw new AuditError('NO_DATA', `${dataPath} holds no journal`)
    this.#jobs = Array.from({ length: shards }, (_, shard) => ({
      directory: join(path, String(shard)),
      shard,
    }))
    this.#onProgress = onProgress
    this.#pool = new Piscina({
      filename: new URL('./journal-walk-worker.ts', import.meta.url).href,
      name: walkJournalJob.name,
      minThreads: 1,
      maxThreads: Math.min(this.#jobs.length, WORKER_COUNT_MAX, Math.max(1, availableParallelism() - 1)),
    })
    this.#pool.on('message', ({ sizeBytes }: JournalWalkProgress) => {
      this.#doneBytes += sizeBytes
      this.#onProgress(this.#doneBytes, this.#sizeBytes)
    })
  }

  /** Throws AuditError. */
  async walk(): Promise<JournalFindings[]> {
    this.#doneBytes = 0
    this.#sizeBytes = this.#jobs.reduce((sum, { directory }) => sum + directorySize(directory), 0)
    try {
      return await Promise.all(this.#jobs.map((job) => this.#pool.run(job)))
    } catch (error) {
      throw new AuditError(
        'JOURNAL_UNREADABLE',
        `a journal can't be read: ${(error as Error).message}`,
        error,
      )
    }
  }

  async close(): Promise<void> {
    await this.#pool.destroy()
  }
}

/** What its segments take on disk; those that go meanwhile are left out. */
function directorySize(directory: string): number {
  let sizeBytes = 0
  if (!existsSync(directory)) return 0
  for (const name of readdirSync(directory)) {
    sizeBytes += statSync(join(directory, name), { throwIfNoEntry: false })?.size ?? 0
  }
  return sizeBytes
}

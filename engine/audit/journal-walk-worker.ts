/** One job of the audit's pool: walks one shard's journal, and says how far it has come. */
import { parentPort } from 'node:worker_threads'
import { type JournalFindings, walkJournal } from './journal-walk.ts'

export interface JournalWalkJob {
  directory: string
  shard: number
}

export interface JournalWalkProgress {
  /** Read since the last report. */
  sizeBytes: number
}

const REPORT_SIZE_BYTES = 8 << 20

export function walkJournalJob({ directory, shard }: JournalWalkJob): JournalFindings {
  let sizeBytes = 0
  const report = () => {
    parentPort?.postMessage({ sizeBytes } satisfies JournalWalkProgress)
    sizeBytes = 0
  }
  const findings = walkJournal(directory, shard, (batchSizeBytes) => {
    sizeBytes += batchSizeBytes
    if (sizeBytes >= REPORT_SIZE_BYTES) report()
  })
  report()
  return findings
}

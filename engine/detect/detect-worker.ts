/** One file of `millrace detect`, on a thread of the pool, which is told how many more readings were taken. */
import { parentPort } from 'node:worker_threads'
import { type DetectJob, type DetectOutcome, detectFile } from './detect-file.ts'

export function detectFileJob(job: DetectJob): Promise<DetectOutcome> {
  return detectFile(job, (readings) => parentPort?.postMessage(readings))
}

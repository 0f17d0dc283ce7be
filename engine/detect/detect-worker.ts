/** One file of `millrace detect`, on a thread of the pool. */
import { type DetectJob, type DetectOutcome, detectFile } from './detect-file.ts'

export function detectFileJob(job: DetectJob): Promise<DetectOutcome> {
  return detectFile(job)
}

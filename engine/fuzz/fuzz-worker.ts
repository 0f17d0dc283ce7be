/** One job of the fuzzing pool: some runs, one after the other, and the memory that is in use behind them. */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { type FuzzTally, fuzzGateway } from './gateway-fuzz.ts'

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

export interface FuzzJob {
  firstSeed: number
  runs: number
}

export interface FuzzFindings extends FuzzTally {
  /** On the heap and beside it, after a collection. */
  usedSizeBytes: number
}

/** Throws FuzzFailure. */
export function runFuzzJob({ firstSeed, runs }: FuzzJob): FuzzFindings {
  const findings: FuzzFindings = { mutations: 0, ended: 0, records: 0, usedSizeBytes: 0 }
  for (let seed = firstSeed; seed < firstSeed + runs; seed++) {
    const { mutations, ended, records } = fuzzGateway(seed)
    findings.mutations += mutations
    findings.ended += ended
    findings.records += records
  }
  collectGarbage()
  const { heapUsed, external } = process.memoryUsage()
  findings.usedSizeBytes = heapUsed + external
  return findings
}

/** One job of the simulation's pool: some runs, one after the other. */
import { type RunResult, simulate } from './simulation.ts'

export interface SimulationJob {
  firstSeed: number
  count: number
}

export interface SimulationFindings {
  runs: number
  messages: number
  acknowledged: number
  /** The first run that failed; those behind it were not made. */
  failed: RunResult | null
}

export async function runSimulationJob({ firstSeed, count }: SimulationJob): Promise<SimulationFindings> {
  const findings: SimulationFindings = { runs: 0, messages: 0, acknowledged: 0, failed: null }
  for (let seed = firstSeed; seed < firstSeed + count && findings.failed === null; seed++) {
    const result = await simulate(seed)
    findings.runs++
    findings.messages += result.messages
    findings.acknowledged += result.acknowledged
    if (result.failure !== null) findings.failed = result
  }
  return findings
}

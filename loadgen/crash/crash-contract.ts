/** What a crash run is told, what it tells while it runs, and its report. Plain data. */
import type { CheckReport } from './crash-check.ts'
import type { Redelivery } from './device-link.ts'
import type { Fault, Round } from './faults.ts'

export interface CrashOptions {
  seed: number
  /** Each with one of the faults that come in rounds; 0 when none of them does. */
  rounds: number
  faults: readonly Fault[]
  /** The run goes on until the proxy has done so much. */
  proxyFaultCount: number
  redeliveries: readonly Redelivery[]
  /** The quick check runs after so many rounds; 0 never. */
  checkEvery: number
  gateways: number
  shards: number
  /** Holds the run's directory; by default the system's one for such files. */
  parentDirectory?: string
  keepDirectory: boolean
}

export interface CrashProgress {
  phase: 'rounds' | 'proxy' | 'drain' | 'check'
  round: number
  acknowledged: number
  inFlight: number
  proxyFaults: number
}

export interface CrashObserver {
  onRound?(round: Round, recoveryMs: number, progress: CrashProgress): void
  onProgress?(progress: CrashProgress): void
  signal?: AbortSignal
}

export interface CrashReport {
  isOk: boolean
  seed: number
  /** The run's directory when it was kept. */
  directory: string | null
  rounds: number
  /** The round in which something was found, 0 when none was. */
  failedRound: number
  failures: string[]
  /** How often each fault was done. */
  faultCounts: Partial<Record<Fault | 'killed-while-starting', number>>
  engine: { starts: number; supervisedStarts: number; failedStarts: string[]; faults: Record<string, number> }
  devices: {
    sent: number
    acknowledged: number
    resent: number
    connectionsLost: number
    reasons: Record<string, number>
  }
  recoveryMs: { median: number; max: number }
  proxy: { inserts: number; refused: number; answeredAgain: number; unanswered: number } | null
  checks: CheckReport | null
  seconds: number
}

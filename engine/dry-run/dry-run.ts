/** Runs a config over the journals of a data directory, one job for each shard on a bounded pool. Owned by the command. */
import { existsSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join, resolve } from 'node:path'
import { Piscina } from 'piscina'
import { AuditError } from '../audit/audit-error.ts'
import { recordedLayout } from '../audit/recorded-layout.ts'
import { loadConfig } from '../config-file.ts'
import { type ConfigLayout, layoutOf, pipelinesOf } from '../config-layout.ts'
import { EngineError } from '../engine-error.ts'
import { type DryRunJob, type DryRunProgress, dryRunJob, type ShardFindings } from './dry-run-worker.ts'
import { type KindFindings, mergeFindings } from './row-comparison.ts'

const WORKER_COUNT_MAX = 8

export interface DryRunSettings {
  dataPath: string
  triedFile: string
  /** Null: the config that the data directory is written under, with the functions of the tried one. */
  runningFile: string | null
  onProgress(sizeBytes: number): void
}

export interface DryRunReport {
  messageCount: number
  unmatchedCount: number
  kinds: KindFindings[]
}

/** Throws AuditError, EngineError and ConfigError. */
export async function dryRun({
  dataPath,
  triedFile,
  runningFile,
  onProgress,
}: DryRunSettings): Promise<DryRunReport> {
  const { shards, config } = recordedLayout(dataPath)
  const running = runningFile === null ? config : layoutOf(await loadConfig(runningFile))
  await expectFunctions(running, runningFile ?? triedFile)
  const path = join(resolve(dataPath), 'journal')
  if (!existsSync(path)) throw new AuditError('NO_DATA', `${dataPath} holds no journal`)
  const pool = new Piscina<DryRunJob, ShardFindings>({
    filename: new URL('./dry-run-worker.ts', import.meta.url).href,
    name: dryRunJob.name,
    minThreads: 1,
    maxThreads: Math.min(shards, WORKER_COUNT_MAX, Math.max(1, availableParallelism() - 1)),
  })
  pool.on('message', ({ sizeBytes }: DryRunProgress) => onProgress(sizeBytes))
  try {
    const found = await Promise.all(
      Array.from({ length: shards }, (_, shard) =>
        pool.run({
          directory: join(path, String(shard)),
          triedFile,
          running,
          runningFile: runningFile ?? triedFile,
        }),
      ),
    )
    return {
      messageCount: found.reduce((sum, { messageCount }) => sum + messageCount, 0),
      unmatchedCount: found.reduce((sum, { unmatchedCount }) => sum + unmatchedCount, 0),
      kinds: mergeFindings(found.map(({ kinds }) => kinds)).sort(byName),
    }
  } finally {
    await pool.destroy()
  }
}

async function expectFunctions(running: ConfigLayout, file: string): Promise<void> {
  const { missing } = pipelinesOf(running, await loadConfig(file))
  if (missing.length === 0) return
  const what = `the running config has functions that ${file} has not (${missing.join(', ')})`
  throw new EngineError('CONFIG', `${what}: name its file with --running FILE`)
}

function byName(a: KindFindings, b: KindFindings): number {
  const name = ({ stream, table, window }: KindFindings) => `${stream}\n${table}\n${window ?? ''}`
  return name(a) < name(b) ? -1 : 1
}

/** One job of the dry run's pool: one shard's journal through the running config and the one that is tried. */
import { parentPort } from 'node:worker_threads'
import { alignRecord } from '../../codecs/journal/record.ts'
import { visitBatches } from '../audit/journal-walk.ts'
import { loadConfig } from '../config-file.ts'
import { type ConfigLayout, layoutOf } from '../config-layout.ts'
import { loadStreams } from '../shard/shard-streams.ts'
import { DryRunSide } from './dry-run-side.ts'
import { type KindFindings, RowComparison } from './row-comparison.ts'

export interface DryRunJob {
  directory: string
  triedFile: string
  /** What the journal is written under, and the file that has its functions. */
  running: ConfigLayout
  runningFile: string | null
}

export interface DryRunProgress {
  /** Read since the last report. */
  sizeBytes: number
}

export interface ShardFindings {
  kinds: KindFindings[]
  messageCount: number
  /** Messages that no stream of the tried config takes. */
  unmatchedCount: number
}

const REPORT_SIZE_BYTES = 8 << 20
const IN_FLIGHT_MAX = 1024

/** Throws EngineError and ConfigError, and what the file system throws. */
export async function dryRunJob({
  directory,
  triedFile,
  running,
  runningFile,
}: DryRunJob): Promise<ShardFindings> {
  const tried = layoutOf(await loadConfig(triedFile))
  const sideOf = async (layout: ConfigLayout, file: string | null) =>
    new DryRunSide({ ...layout, streams: await loadStreams(layout, file), inFlightMax: IN_FLIGHT_MAX })
  const was = await sideOf(running, runningFile)
  const is = await sideOf(tried, triedFile)
  const comparison = new RowComparison()
  let messageCount = 0
  let sizeBytes = 0
  visitBatches(directory, (views, { header, recordsStart, recordsEnd }) => {
    for (let offset = recordsStart; offset < recordsEnd; ) {
      const size = alignRecord(views.u32[offset >>> 2])
      if (was.process(views, offset, size, header.position + offset)) messageCount++
      is.process(views, offset, size, header.position + offset)
      offset += size
    }
    was.tick(header.timeMs)
    is.tick(header.timeMs)
    comparison.add(was.takeRows(), is.takeRows())
    sizeBytes += header.sizeBytes
    if (sizeBytes < REPORT_SIZE_BYTES) return
    parentPort?.postMessage({ sizeBytes } satisfies DryRunProgress)
    sizeBytes = 0
  })
  was.flush()
  is.flush()
  comparison.add(was.takeRows(), is.takeRows())
  return { kinds: comparison.finish(), messageCount, unmatchedCount: is.unmatchedCount }
}

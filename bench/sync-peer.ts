/**
 * What an acknowledgement cannot beat: a bare loop of write and fdatasync into a preallocated file, with the batch size
 * and the cadence of an engine's journal, on the same file system. Nothing else happens in this process meanwhile.
 */
import { closeSync, fdatasyncSync, fsyncSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep, setImmediate as yieldTurn } from 'node:timers/promises'
import { LatencyHistogram, type LatencySummary } from '../loadgen/latency.ts'

export interface SyncLoad {
  batchSizeBytes: number
  syncsPerS: number
}

const FILE_SIZE_BYTES = 64 << 20
const FILL_SIZE_BYTES = 1 << 20

/** Times of a write and its sync together; in a directory of its own under `parent`. */
export async function timeSyncs(parent: string, load: SyncLoad, durationMs: number): Promise<LatencySummary> {
  const directory = mkdtempSync(join(parent, 'sync-peer-'))
  const file = openSync(join(directory, 'file'), 'w')
  try {
    const zeros = new Uint8Array(FILL_SIZE_BYTES)
    for (let at = 0; at < FILE_SIZE_BYTES; at += FILL_SIZE_BYTES) writeSync(file, zeros, 0, zeros.length, at)
    fsyncSync(file)
    return await appendAndSync(file, load, durationMs)
  } finally {
    closeSync(file)
    rmSync(directory, { recursive: true })
  }
}

/** Due times are kept on average: after a slow sync the next ones follow at once. */
async function appendAndSync(file: number, load: SyncLoad, durationMs: number): Promise<LatencySummary> {
  const histogram = new LatencyHistogram()
  const batch = new Uint8Array(load.batchSizeBytes).fill(0x5a)
  const startMs = performance.now()
  for (let count = 0, offset = 0; ; count++) {
    const beginMs = performance.now()
    if (beginMs - startMs > durationMs && count > 0) break
    writeSync(file, batch, 0, batch.length, offset)
    fdatasyncSync(file)
    histogram.record(performance.now() - beginMs, 1)
    offset += batch.length
    if (offset + batch.length > FILE_SIZE_BYTES) offset = 0
    const waitMs = startMs + ((count + 1) * 1000) / load.syncsPerS - performance.now()
    if (waitMs >= 1) await sleep(waitMs)
    else await yieldTurn()
  }
  return histogram.summary()
}

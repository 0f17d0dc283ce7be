/**
 * A start after a crash: a journal none of whose batches ClickHouse has confirmed is read from its first byte to
 * its last, until the shard is live. Compared with the same pipeline over the same records in memory, decoding, windows and
 * blocks, in turns. The files are in the page cache: the figure is of the shard, not of the disk.
 */
import { closeSync, cpSync, fsyncSync, mkdtempSync, openSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { assert } from '../base/assert.ts'
import { RecordViews } from '../codecs/journal/record.ts'
import { NodeDisk } from '../engine/journal/disk.ts'
import type { Bench, BenchSize, Measure } from './bench.ts'
import {
  createPipeline,
  DEVICE_COUNT,
  fleetSecond,
  METRIC_COUNT,
  ROWS_MAX,
  ShardUnderTest,
  START_MS,
} from './shard-under-test.ts'

/** What one append holds at half the engine's highest rate. */
const PIECE_SIZE_BYTES = 64 << 10

interface Effort {
  warmups: number
  rounds: number
  seconds: number
}

const EFFORTS: Record<BenchSize, Effort> = {
  small: { warmups: 0, rounds: 1, seconds: 2 },
  full: { warmups: 2, rounds: 7, seconds: 100 },
}

/** Never confirms: the shard keeps four batches, and then only journals. */
const deafTarget = { insert: () => new Promise<void>(() => {}) }
const target = { insert: () => Promise.resolve() }

/** The time of one start, ms: the journal's scan, and its processing until the shard is live. */
interface Start {
  scanMs: number
  liveMs: number
}

async function writeJournal(path: string, seconds: Uint8Array[][]): Promise<void> {
  const under = new ShardUnderTest(new NodeDisk(path), deafTarget, START_MS)
  for (const pieces of seconds) {
    await under.take(pieces)
    under.clock.advance(1000)
  }
  await under.close()
}

/** Synced, so that a start's own sync has nothing to write. */
function copyJournal(from: string, to: string): void {
  cpSync(from, to, { recursive: true })
  for (const name of readdirSync(to)) {
    const file = openSync(join(to, name), 'r+')
    fsyncSync(file)
    closeSync(file)
  }
}

async function recover(path: string, seconds: number): Promise<Start> {
  const startMs = performance.now()
  const under = new ShardUnderTest(new NodeDisk(path), target, START_MS + seconds * 1000)
  const scanMs = performance.now() - startMs
  await under.untilLive()
  const liveMs = performance.now() - startMs
  assert(under.pipeline.readingCount === seconds * DEVICE_COUNT * METRIC_COUNT, 'every reading is recovered')
  await under.take([])
  await under.close()
  return { scanMs, liveMs }
}

/** The time of the pipeline alone, ms. */
function processInMemory(seconds: Uint8Array[][]): number {
  const records = seconds.map((pieces) => pieces.map((piece) => new RecordViews(piece.buffer)))
  const { pipeline, blocks } = createPipeline()
  const startMs = performance.now()
  let mark = 0
  let position = 0
  records.forEach((second, index) => {
    for (const views of second) {
      pipeline.process(views, 0, views.bytes.length, position)
      pipeline.tick(START_MS + index * 1000)
      position += views.bytes.length
      if (pipeline.rowCount < ROWS_MAX) continue
      blocks.build(pipeline, ++mark)
      pipeline.clearRows()
    }
  })
  return performance.now() - startMs
}

function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >>> 1]
}

async function run(size: BenchSize): Promise<Measure[]> {
  const effort = EFFORTS[size]
  const path = mkdtempSync(join(tmpdir(), 'millrace-bench-'))
  const starts: Start[] = []
  const memoryMs: number[] = []
  try {
    const seconds = Array.from({ length: effort.seconds }, (_, second) =>
      fleetSecond(second, PIECE_SIZE_BYTES),
    )
    await writeJournal(join(path, 'journal'), seconds)
    for (let round = 0; round < effort.warmups + effort.rounds; round++) {
      const copy = join(path, `copy-${round}`)
      copyJournal(join(path, 'journal'), copy)
      globalThis.gc?.()
      starts.push(await recover(copy, effort.seconds))
      rmSync(copy, { recursive: true })
      globalThis.gc?.()
      memoryMs.push(processInMemory(seconds))
    }
  } finally {
    rmSync(path, { recursive: true, force: true })
  }
  return summarize(starts.slice(effort.warmups), memoryMs.slice(effort.warmups), effort)
}

function summarize(starts: readonly Start[], memoryMs: readonly number[], effort: Effort): Measure[] {
  const readings = effort.seconds * DEVICE_COUNT * METRIC_COUNT
  const rate = (ms: number) => readings / (ms / 1000)
  const share = median(starts.map(({ liveMs }, round) => memoryMs[round] / liveMs))
  return [
    { name: 'recovered', value: median(starts.map(({ liveMs }) => rate(liveMs))), unit: 'readings/s' },
    { name: 'processed in memory', value: median(memoryMs.map(rate)), unit: 'readings/s' },
    { name: 'recovery to memory', value: share, unit: 'times as fast', atLeast: 0.8 },
    {
      name: "of recovery, the journal's scan",
      value: median(starts.map(({ scanMs, liveMs }) => (100 * scanMs) / liveMs)),
      unit: '%',
    },
  ]
}

export const bench: Bench = {
  name: 'recovery',
  about:
    'from an unconfirmed journal of 2 million readings to a live shard, over the pipeline alone; 10,000 devices',
  run,
}

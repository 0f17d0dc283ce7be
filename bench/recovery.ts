/**
 * A start after a crash: a journal none of whose batches ClickHouse has confirmed is read from its first byte to
 * its last, until the shard is live. Compared with the same pipeline over the same records in memory, decoding, windows and
 * blocks, in turns. The files are in the page cache: the figure is of the shard, not of the disk. It is judged by the
 * thread's CPU time, because a start waits for nothing but the processor, and the processor is shared.
 */
import { closeSync, cpSync, fsyncSync, mkdtempSync, openSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { assert } from '../base/assert.ts'
import { RecordViews } from '../codecs/journal/record.ts'
import { NodeDisk } from '../engine/journal/disk.ts'
import { runSlices } from '../engine/shard/slices.ts'
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

/** What the engine gathers in one append at half its highest rate, and at 15,000 messages/s. */
const BUSY_KIB = 64
const QUIET_KIB = 2

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

/** CPU time of this thread since `beginCost`, and the time that passed, ms. */
interface Cost {
  cpuMs: number
  wallMs: number
}

/** Of one start: the journal's scan alone, and all until the shard is live. */
interface Start {
  scan: Cost
  whole: Cost
}

/** Returns what reads the cost since then. */
function beginCost(): () => Cost {
  const cpuBefore = process.threadCpuUsage()
  const startMs = performance.now()
  return () => {
    const { user, system } = process.threadCpuUsage(cpuBefore)
    return { cpuMs: (user + system) / 1000, wallMs: performance.now() - startMs }
  }
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
  const cost = beginCost()
  const under = new ShardUnderTest(new NodeDisk(path), target, START_MS + seconds * 1000)
  const scan = cost()
  await under.untilLive()
  const whole = cost()
  assert(under.pipeline.readingCount === seconds * DEVICE_COUNT * METRIC_COUNT, 'every reading is recovered')
  await under.take([])
  await under.close()
  return { scan, whole }
}

/** What the pipeline alone costs. */
function processInMemory(seconds: Uint8Array[][]): Cost {
  const records = seconds.map((pieces) => pieces.map((piece) => new RecordViews(piece.buffer)))
  const { pipeline, blocks } = createPipeline()
  const cost = beginCost()
  let mark = 0
  let position = 0
  records.forEach((second, index) => {
    for (const views of second) {
      pipeline.process(views, 0, views.bytes.length, position)
      pipeline.tick(START_MS + index * 1000)
      position += views.bytes.length
      if (pipeline.rowCount < ROWS_MAX) continue
      runSlices(blocks.build(++mark))
      pipeline.clearRows()
    }
  })
  return cost()
}

function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >>> 1]
}

async function measure(pieceKib: number, effort: Effort): Promise<Measure[]> {
  const path = mkdtempSync(join(tmpdir(), 'millrace-bench-'))
  const starts: Start[] = []
  const memory: Cost[] = []
  try {
    const seconds = Array.from({ length: effort.seconds }, (_, second) => fleetSecond(second, pieceKib << 10))
    await writeJournal(join(path, 'journal'), seconds)
    for (let round = 0; round < effort.warmups + effort.rounds; round++) {
      const copy = join(path, `copy-${round}`)
      copyJournal(join(path, 'journal'), copy)
      globalThis.gc?.()
      starts.push(await recover(copy, effort.seconds))
      rmSync(copy, { recursive: true })
      globalThis.gc?.()
      memory.push(processInMemory(seconds))
    }
  } finally {
    rmSync(path, { recursive: true, force: true })
  }
  return summarize(pieceKib, starts.slice(effort.warmups), memory.slice(effort.warmups), effort)
}

function summarize(
  pieceKib: number,
  starts: readonly Start[],
  memory: readonly Cost[],
  effort: Effort,
): Measure[] {
  const readings = effort.seconds * DEVICE_COUNT * METRIC_COUNT
  const rates = (costs: readonly Cost[]) => median(costs.map(({ wallMs }) => readings / (wallMs / 1000)))
  const of = `appends of ${pieceKib} KiB`
  const limit = pieceKib === BUSY_KIB ? { atLeast: 0.8 } : {}
  return [
    { name: `${of}: recovered`, value: rates(starts.map(({ whole }) => whole)), unit: 'readings/s' },
    { name: `${of}: processed in memory`, value: rates(memory), unit: 'readings/s' },
    {
      name: `${of}: recovery to memory`,
      value: median(starts.map(({ whole }, round) => memory[round].cpuMs / whole.cpuMs)),
      unit: 'times the readings a CPU second',
      ...limit,
    },
    {
      name: `${of}: of recovery, the journal's scan`,
      value: median(starts.map(({ scan, whole }) => (100 * scan.cpuMs) / whole.cpuMs)),
      unit: '% of CPU',
    },
  ]
}

export const bench: Bench = {
  name: 'recovery',
  about:
    'from an unconfirmed journal of 2 million readings to a live shard, over the pipeline alone; 10,000 devices',
  async run(size: BenchSize): Promise<Measure[]> {
    const effort = EFFORTS[size]
    return [...(await measure(BUSY_KIB, effort)), ...(await measure(QUIET_KIB, effort))]
  },
}

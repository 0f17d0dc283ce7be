/**
 * What the journal costs: one shard writes it to a file system, another one to a device that stores nothing and
 * syncs at once; both take the same records in appends of the same size, in turns, and their blocks are dropped. Then two
 * whole engines, in turns, one with its data in memory; they are what is judged. CPU is the process's, its threads for
 * file work included; what the kernel does on threads of its own is not.
 */
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type JournalDisk, type JournalFile, NodeDisk } from '../engine/journal/disk.ts'
import { runLoad } from '../loadgen/load.ts'
import type { Bench, BenchSize, Measure } from './bench.ts'
import { type EngineUnderTest, readMetrics, startEngine, stopEngine } from './engine-under-test.ts'
import { costOf } from './harness.ts'
import { DEVICE_COUNT, fleetSecond, METRIC_COUNT, ShardUnderTest, START_MS } from './shard-under-test.ts'

interface Effort {
  /** Rounds before the measured ones: until segments are used again and no longer made. */
  warmups: number
  rounds: number
  roundSeconds: number
}

/** A round of the full size is two batches for ClickHouse, and about a segment of the journal. */
const EFFORTS: Record<BenchSize, Effort> = {
  small: { warmups: 1, rounds: 1, roundSeconds: 1 },
  full: { warmups: 8, rounds: 15, roundSeconds: 50 },
}

interface EngineEffort {
  messages: number
  rounds: number
  /** The sink's last batch gets so long before CPU is read. */
  settleMs: number
}

const ENGINE_EFFORTS: Record<BenchSize, EngineEffort> = {
  small: { messages: 2000, rounds: 1, settleMs: 10 },
  full: { messages: 500_000, rounds: 5, settleMs: 1200 },
}

/** What the engine gathers in one append when devices send flat out: 240 KiB on two cores, load generator beside it. */
const FLAT_OUT_KIB = 256
/** A file system in memory, where there is one. */
const MEMORY_PATH = '/dev/shm'
const LOAD = { connections: 100, window: 100, perWrite: 10, metrics: METRIC_COUNT, qos: 1 } as const

/** While a snapshot is copied, a shard reads back what it appends meanwhile; so many writes are enough. */
const KEPT_WRITE_COUNT = 64

/** Files that take what is written and keep none of it, but for the writes that follow the start of a snapshot. */
class NullDisk implements JournalDisk {
  /** How many writes are still to be kept. */
  keepCount = 0

  list(): string[] {
    return []
  }

  open(): JournalFile {
    return new NullFile(this)
  }

  create(name: string): JournalFile {
    if (name.startsWith('snapshot')) this.keepCount = KEPT_WRITE_COUNT
    return new NullFile(this)
  }

  rename(): void {}

  remove(): void {}

  allocate(_name: string, _sizeBytes: number, done: (error: Error | null) => void): void {
    queueMicrotask(() => done(null))
  }
}

class NullFile implements JournalFile {
  #disk: NullDisk
  #kept = new Map<number, Uint8Array>()

  constructor(disk: NullDisk) {
    this.#disk = disk
  }

  sizeBytes(): number {
    return Number.MAX_SAFE_INTEGER
  }

  read(target: Uint8Array, offset: number): number {
    const bytes = this.#kept.get(offset)?.subarray(0, target.length) ?? new Uint8Array(0)
    target.set(bytes)
    return bytes.length
  }

  write(parts: readonly Uint8Array[], offset: number): void {
    if (this.#disk.keepCount > 0) {
      this.#disk.keepCount--
      this.#kept.set(offset, Buffer.concat(parts))
    } else if (this.#kept.size > 0) this.#kept.clear()
  }

  sync(done: (error: Error | null) => void): void {
    queueMicrotask(() => done(null))
  }

  syncNow(): void {}

  close(): void {}
}

const target = { insert: () => Promise.resolve() }

class Contender {
  /** CPU us per reading, by round. */
  readonly costsUs: number[] = []
  #shard: ShardUnderTest

  constructor(disk: JournalDisk) {
    this.#shard = new ShardUnderTest(disk, target, START_MS)
  }

  async take(seconds: Uint8Array[][]): Promise<void> {
    globalThis.gc?.()
    const cost = await costOf(
      async () => {
        for (const pieces of seconds) {
          await this.#shard.take(pieces)
          this.#shard.clock.advance(1000)
        }
      },
      seconds.length * DEVICE_COUNT * METRIC_COUNT,
    )
    this.costsUs.push(cost.cpuNs / 1000)
  }

  close(): Promise<void> {
    return this.#shard.close()
  }
}

/** The costs of the measured rounds, on files and on the null device. */
async function run(pieceSizeBytes: number, { warmups, rounds, roundSeconds }: Effort): Promise<number[][]> {
  const path = mkdtempSync(join(tmpdir(), 'millrace-bench-'))
  const contenders = [new Contender(new NodeDisk(path)), new Contender(new NullDisk())]
  try {
    for (let round = 0; round < warmups + rounds; round++) {
      const seconds = Array.from({ length: roundSeconds }, (_, index) =>
        fleetSecond(round * roundSeconds + index, pieceSizeBytes),
      )
      const turns = round % 2 === 0 ? contenders : contenders.toReversed()
      for (const contender of turns) await contender.take(seconds)
    }
    return contenders.map(({ costsUs }) => costsUs.slice(warmups))
  } finally {
    for (const contender of contenders) await contender.close()
    rmSync(path, { recursive: true, force: true })
  }
}

function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >>> 1]
}

async function shardMeasures(kib: number, size: BenchSize): Promise<Measure[]> {
  const [file, none] = await run(kib << 10, EFFORTS[size])
  const ratio = median(file.map((costUs, round) => costUs / none[round]))
  return [
    { name: `shard, ${kib} KiB an append, on files`, value: median(file), unit: 'CPU us/reading' },
    { name: `shard, ${kib} KiB an append, on the null device`, value: median(none), unit: 'CPU us/reading' },
    { name: `shard, ${kib} KiB an append, files to null`, value: ratio, unit: 'times' },
  ]
}

/** CPU us per reading of the engine's process, store left out, flat out: on files, and in memory. */
async function runEngines({ messages, rounds, settleMs }: EngineEffort): Promise<number[][]> {
  const engines: EngineUnderTest[] = []
  const costsUs: number[][] = [[], []]
  try {
    for (const parent of [tmpdir(), MEMORY_PATH]) engines.push(await startEngine(parent))
    for (let round = -1; round < rounds; round++) {
      for (const [index, engine] of engines.entries()) {
        const before = await processCpuUs(engine, settleMs)
        const address = { host: '127.0.0.1', port: engine.mqttPort }
        const { report } = await runLoad({
          ...LOAD,
          address,
          messages,
          devices: Math.min(messages, DEVICE_COUNT),
        })
        const costUs =
          ((await processCpuUs(engine, settleMs)) - before) / (report.counters.acknowledged * LOAD.metrics)
        if (round >= 0) costsUs[index].push(costUs)
      }
    }
  } finally {
    for (const engine of engines) await stopEngine(engine)
  }
  return costsUs
}

async function processCpuUs(engine: EngineUnderTest, settleMs: number): Promise<number> {
  await sleep(settleMs)
  return ((await readMetrics(engine, 'process_cpu_seconds_total')).get('') ?? 0) * 1e6
}

async function engineMeasures(size: BenchSize): Promise<Measure[]> {
  if (!existsSync(MEMORY_PATH)) return []
  const [file, memory] = await runEngines(ENGINE_EFFORTS[size])
  const ratio = median(file.map((costUs, round) => costUs / memory[round]))
  return [
    { name: 'engine, flat out, on files', value: median(file), unit: 'CPU us/reading' },
    { name: `engine, flat out, in ${MEMORY_PATH}`, value: median(memory), unit: 'CPU us/reading' },
    { name: 'engine, files to memory', value: ratio, unit: 'times', atMost: 1.15 },
  ]
}

export const bench: Bench = {
  name: 'journal-cost',
  about:
    'CPU with a journal on files and on a device that stores nothing (a shard alone), or in memory (the engine, whose ' +
    'copy and threads of a sync then still count); 10,000 devices',
  async run(size: BenchSize): Promise<Measure[]> {
    return [
      ...(await shardMeasures(FLAT_OUT_KIB, size)),
      ...(await shardMeasures(64, size)),
      ...(await engineMeasures(size)),
    ]
  },
}

/**
 * Inserting into the store child, as the sink does: Native blocks of `samples` by @clickhouse/client over the
 * Unix socket, each with its token, synced before it is confirmed; and the same into tables whose parts are not synced, which
 * shows what it costs that a confirmed insert outlives a power cut. CPU of the child and of this process apart.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { BlockWriter } from '../codecs/native/block-writer.ts'
import { columnNames, SAMPLES_COLUMNS } from '../engine/store/columns.ts'
import { createSchema } from '../engine/store/schema.ts'
import { startStore } from '../engine/store/store.ts'
import { connectStore, type StoreTarget } from '../engine/store/target.ts'
import type { Bench, BenchSize, Measure } from './bench.ts'
import { costOf } from './harness.ts'
import { SampleBatch } from './native.ts'

const TICKS_PER_SECOND = 100

/** User and system time of a process, in ns; null where there is no /proc. */
function cpuNsOf(pid: number): number | null {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ')
    return ((Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND) * 1e9
  } catch {
    return null
  }
}

/** The most memory a process ever held, in bytes; null where there is no /proc. */
function peakSizeBytesOf(pid: number): number | null {
  try {
    const found = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))
    return found === null ? null : Number(found[1]) * 1024
  } catch {
    return null
  }
}

async function insertAll(
  target: StoreTarget,
  blocks: number,
  block: () => Uint8Array,
  label: string,
): Promise<void> {
  const columns = columnNames(SAMPLES_COLUMNS)
  for (let i = 0; i < blocks; i++) await target.insert('samples', columns, block(), `${label}-${i}`)
}

async function measure(
  target: StoreTarget,
  pid: number,
  readingCount: number,
  blocks: number,
  suffix = '',
): Promise<Measure[]> {
  const batch = new SampleBatch(readingCount)
  const rows = batch.rowCount * blocks
  const writer = new BlockWriter()
  await insertAll(target, 2, () => batch.block(writer), `warm-${readingCount}`)
  const before = cpuNsOf(pid)
  const work = (): Promise<void> =>
    insertAll(target, blocks, () => batch.block(writer), `run-${readingCount}`)
  const ours = await costOf(work, rows)
  const after = cpuNsOf(pid)
  const what = `${batch.rowCount.toLocaleString('en-US')} rows an insert${suffix}`
  const child =
    before === null || after === null
      ? []
      : [{ name: `${what}: store's CPU`, value: (after - before) / rows / 1000, unit: 'us/row' }]
  return [
    ...child,
    { name: `${what}: encoding and sending, CPU`, value: ours.cpuNs / 1000, unit: 'us/row' },
    {
      name: `${what}: from rows to confirmation`,
      value: (ours.wallNs * batch.rowCount) / 1e6,
      unit: 'ms/insert',
    },
  ]
}

/** Runs `work` on a store of its own. */
async function withStore(
  syncOnInsert: boolean,
  work: (target: StoreTarget, pid: number) => Promise<Measure[]>,
): Promise<Measure[]> {
  const directory = mkdtempSync(join(tmpdir(), 'millrace-bench-store-'))
  const store = await startStore({ directory, listen: null })
  const target = connectStore({ socketPath: store.socketPath })
  try {
    await createSchema((sql) => target.command(sql), { syncOnInsert })
    return await work(target, store.pid)
  } finally {
    await target.close()
    await store.stop()
    rmSync(directory, { recursive: true, force: true })
  }
}

async function measureSynced(target: StoreTarget, pid: number): Promise<Measure[]> {
  const small = await measure(target, pid, 3334, 60)
  const usual = await measure(target, pid, 33_334, 30)
  const peakSizeBytes = peakSizeBytesOf(pid)
  const peak =
    peakSizeBytes === null
      ? []
      : [{ name: "store's peak memory", value: peakSizeBytes / 2 ** 20, unit: 'MiB' }]
  return [...small, ...usual, ...peak]
}

export const bench: Bench = {
  name: 'store',
  about: 'inserts of samples into the store child, one after the other, synced',
  async run(size: BenchSize): Promise<Measure[]> {
    if (size === 'small') return withStore(true, (target, pid) => measure(target, pid, 100, 2))
    const synced = await withStore(true, measureSynced)
    const unsynced = await withStore(false, (target, pid) => measure(target, pid, 33_334, 30, ', not synced'))
    return [...synced, ...unsynced]
  },
}

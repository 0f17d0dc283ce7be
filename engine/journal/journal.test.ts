import { mkdtempSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { Prng } from '../../base/prng.ts'
import { writeControl, writeMark } from '../../codecs/journal/control.ts'
import { RecordKind, RecordViews } from '../../codecs/journal/record.ts'
import { SimDisk } from '../simulation/sim-disk.ts'
import { BatchReader } from './batch-reader.ts'
import { type JournalDisk, NodeDisk } from './disk.ts'
import { Journal, type JournalSettings } from './journal.ts'
import { JournalError } from './segment-recovery.ts'

const SETTINGS: JournalSettings = {
  storeId: new Uint8Array(16).fill(7),
  shard: 0,
  shardCount: 1,
  segmentSizeBytes: 4096,
  sizeBytesMax: 1 << 20,
}

/** A record of `size` bytes (a multiple of 8, at least 16) that carries a number. */
function record(number: number, size: number): Uint8Array {
  const views = new RecordViews(new ArrayBuffer(size))
  views.u32[0] = size
  views.bytes[4] = 1
  views.f64[1] = number
  return views.bytes
}

function readNumbers(journal: Journal): number[] {
  const numbers: number[] = []
  const reader = new BatchReader()
  for (const segment of journal.segments) {
    for (let position = segment.startPosition; position < segment.endPosition; ) {
      const next = journal.skipDamage(position)
      if (next > position) {
        position = next
        continue
      }
      const place = reader.read(segment, position)
      if (place === null) throw new Error('a batch is gone')
      for (let at = place.recordsStart; at < place.recordsEnd; at += reader.views.u32[at >>> 2]) {
        if (reader.views.bytes[at + 4] === 1) numbers.push(reader.views.f64[(at >>> 3) + 1])
      }
      position = place.endPosition
    }
  }
  return numbers
}

function append(journal: Journal, records: Uint8Array[], hasControl = false): void {
  journal.append({ records, ringPositions: [7], timeMs: 1, hasControl })
}

function sync(journal: Journal): Promise<void> {
  return new Promise((resolve, reject) => journal.sync((error) => (error ? reject(error) : resolve())))
}

test('after any crash, all that was synced is there, in order, and nothing is torn', async () => {
  for (let seed = 1; seed <= 200; seed++) {
    const prng = new Prng(seed)
    const disk = new SimDisk()
    let written = 0
    let synced = 0
    for (let life = 0; life < 4; life++) {
      const journal = new Journal(disk, SETTINGS)
      const found = readNumbers(journal)
      expect(found.length, `seed ${seed}`).toBeGreaterThanOrEqual(synced)
      expect(found, `seed ${seed}`).toEqual(found.map((_, index) => index))
      written = found.length
      synced = written
      for (let batch = prng.between(0, 12); batch > 0; batch--) {
        if (journal.isSegmentFull) journal.roll()
        const records = Array.from({ length: prng.between(1, 5) }, () =>
          record(written++, 8 * prng.between(2, 60)),
        )
        append(journal, records)
        if (batch > 1 || prng.unit() < 0.5) {
          await sync(journal)
          synced = written
        }
      }
      disk.crash(prng)
    }
  }
})

test('marks and confirmations come back, and a deleted segment takes only what lies before it', async () => {
  const disk = new SimDisk()
  const journal = new Journal(disk, SETTINGS)
  const control = new RecordViews(new ArrayBuffer(256))
  for (let mark = 1; mark <= 5; mark++) {
    if (journal.isSegmentFull) journal.roll()
    append(journal, [record(mark, 2048)])
    await sync(journal)
    const end = writeMark(control, 0, { number: mark, position: journal.appendPosition, isFlush: mark === 4 })
    const size = mark > 1 ? writeControl(control, end, RecordKind.CONFIRMATION, mark - 1) : end
    append(journal, [control.bytes.subarray(0, size)], true)
    await sync(journal)
    journal.nextMark = mark + 1
  }
  const again = new Journal(disk, SETTINGS)
  expect(again.recoveredMarks.map((mark) => [mark.number, mark.isConfirmed, mark.isFlush])).toEqual([
    [1, true, false],
    [2, true, false],
    [3, true, false],
    [4, true, true],
    [5, false, false],
  ])
  expect(again.nextMark).toBe(6)
  again.releaseBefore(again.recoveredMarks[3].position)
  const last = new Journal(disk, SETTINGS)
  expect(last.recoveredMarks.at(-1)?.number).toBe(5)
  expect(last.recoveredMarks.length).toBeLessThan(5)
  expect(last.nextMark).toBe(6)
})

test('damage before intact batches is told with its place, set aside, and read over; no mark is used twice', async () => {
  for (let seed = 1; seed <= 30; seed++) {
    const prng = new Prng(seed)
    const disk = new SimDisk()
    const journal = new Journal(disk, SETTINGS)
    for (let i = 0; i < 12; i++) {
      if (journal.isSegmentFull) journal.roll()
      append(journal, [record(i, 1000)])
      await sync(journal)
    }
    const segment = journal.segments[prng.between(0, journal.segments.length - 2)]
    const offset = prng.between(64, 64 + segment.endPosition - segment.startPosition - 1)
    disk.open(segment.name).flipBit(offset, prng.between(0, 7))
    const again = new Journal(disk, SETTINGS)
    expect(again.damages, `seed ${seed}`).toHaveLength(1)
    const [damage] = again.damages
    expect(damage.segment).toBe(segment.name)
    expect(offset).toBeGreaterThanOrEqual(damage.offset)
    expect(offset).toBeLessThan(damage.offset + damage.end - damage.start)
    expect(disk.open(damage.setAside).sizeBytes()).toBe(damage.end - damage.start)
    expect(again.appendPosition).toBe(journal.appendPosition)
    expect(again.nextMark).toBeGreaterThan(journal.nextMark + 1000)
    const numbers = readNumbers(again)
    expect(numbers, `seed ${seed}`).toHaveLength(11)
    expect(numbers).toEqual([...numbers].sort((x, y) => x - y))
  }
})

test('what a crash left behind the last durable batch is cut, not called damage', async () => {
  const disk = new SimDisk()
  const journal = new Journal(disk, SETTINGS)
  append(journal, [record(0, 1000)])
  await sync(journal)
  append(journal, [record(1, 1000)])
  disk.open(journal.segments[0].name).flipBit(64 + 1100, 3)
  const again = new Journal(disk, SETTINGS)
  expect(again.damages).toEqual([])
  expect(readNumbers(again)).toEqual([0])
})

describe('the last segment without a valid header', () => {
  const corrupt = new JournalError(
    'JOURNAL_CORRUPT',
    'journal segment 0000000002.journal has no valid header',
  )

  /** Two segments, the first with a batch; the journal as the next start finds it. */
  async function twoSegments(): Promise<{ disk: SimDisk; journal: Journal }> {
    const disk = new SimDisk()
    const journal = new Journal(disk, SETTINGS)
    append(journal, [record(0, 4096)])
    await sync(journal)
    journal.roll()
    return { disk, journal }
  }

  test('never held anything: goes, and the journal with it only to the end of the one before', async () => {
    const { disk } = await twoSegments()
    disk.open('0000000002.journal').flipBit(3, 3)
    const again = new Journal(disk, SETTINGS)
    expect(again.damages).toEqual([])
    expect(readNumbers(again)).toEqual([0])
  })

  test.each([0, 1])('holds batches, with damage in the first %d of them, too: refused', async (damaged) => {
    const { disk, journal } = await twoSegments()
    for (const number of [1, 2]) {
      append(journal, [record(number, 200)])
      await sync(journal)
    }
    disk.open('0000000002.journal').flipBit(3, 3)
    if (damaged === 1) disk.open('0000000002.journal').flipBit(64, 3)
    expect(() => new Journal(disk, SETTINGS)).toThrow(corrupt)
  })

  test('is all that is left: refused, because positions and marks would begin anew', async () => {
    const { disk, journal } = await twoSegments()
    journal.releaseBefore(journal.appendPosition)
    disk.open('0000000002.journal').flipBit(3, 3)
    expect(() => new Journal(disk, SETTINGS)).toThrow(corrupt)
  })
})

test('a journal of another shard or data directory is refused', () => {
  const disk = new SimDisk()
  new Journal(disk, SETTINGS)
  expect(() => new Journal(disk, { ...SETTINGS, shard: 1 })).toThrow(JournalError)
  expect(() => new Journal(disk, { ...SETTINGS, storeId: new Uint8Array(16) })).toThrow(
    /another data directory/,
  )
})

test('after a failed sync the batch is written again elsewhere, at the same position, and the rest goes on', async () => {
  const disk = new SimDisk()
  const journal = new Journal(disk, SETTINGS)
  append(journal, [record(0, 200)])
  await sync(journal)
  const position = journal.appendPosition
  append(journal, [record(1, 200)])
  const end = journal.appendPosition
  disk.syncFault = new Error('EIO')
  await expect(sync(journal)).rejects.toThrow('EIO')
  expect(journal.durablePosition).toBe(position)
  disk.syncFault = null
  journal.rewrite()
  expect(journal.segments.at(-1)?.startPosition).toBe(position)
  expect(journal.appendPosition).toBe(end)
  await sync(journal)
  append(journal, [record(2, 200)])
  await sync(journal)
  disk.crash(new Prng(1))
  const again = new Journal(disk, SETTINGS)
  expect(again.damages).toEqual([])
  expect(readNumbers(again)).toEqual([0, 1, 2])
})

test('a batch that only the page cache has, after a failed sync and a death, is on the disk after the next start', async () => {
  for (let seed = 1; seed <= 20; seed++) {
    const disk = new SimDisk()
    disk.isCacheKept = true
    const journal = new Journal(disk, SETTINGS)
    append(journal, [record(0, 2000)])
    await sync(journal)
    append(journal, [record(1, 2000)])
    disk.syncFault = new Error('EIO')
    await expect(sync(journal)).rejects.toThrow('EIO')
    disk.syncFault = null
    disk.kill()
    const found = new Journal(disk, SETTINGS)
    expect(readNumbers(found)).toEqual([0, 1])
    append(found, [record(2, 2000)])
    await sync(found)
    disk.crash(new Prng(seed))
    const last = new Journal(disk, SETTINGS)
    expect(last.damages, `seed ${seed}`).toEqual([])
    expect(readNumbers(last), `seed ${seed}`).toEqual([0, 1, 2])
  }
})

test('files of segments are allocated beforehand and used again, and old bytes in them mean nothing', async () => {
  const disk = new SimDisk()
  const journal = new Journal(disk, SETTINGS)
  for (let i = 0; i < 60; i++) {
    if (journal.isSegmentFull) journal.roll()
    append(journal, [record(i, 480)])
    await sync(journal)
    if (i % 5 === 4) journal.releaseBefore(journal.segments.at(-1)?.startPosition ?? 0)
    expect(disk.files.size).toBeLessThanOrEqual(journal.segments.length + 3)
  }
  expect(journal.segments[0].file.sizeBytes()).toBeGreaterThanOrEqual(SETTINGS.segmentSizeBytes)
  const kept = readNumbers(journal)
  expect(kept.at(-1)).toBe(59)
  expect(readNumbers(new Journal(disk, SETTINGS))).toEqual(kept)
})

test('a write that fails leaves the journal as it was', async () => {
  const disk = new SimDisk()
  const journal = new Journal(disk, SETTINGS)
  append(journal, [record(0, 64)])
  await sync(journal)
  disk.writeFault = new Error('ENOSPC')
  expect(() => append(journal, [record(1, 64)])).toThrow('ENOSPC')
  disk.writeFault = null
  append(journal, [record(1, 64)])
  await sync(journal)
  expect(readNumbers(new Journal(disk, SETTINGS))).toEqual([0, 1])
})

test('on a real disk', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'millrace-journal-'))
  try {
    const disk: JournalDisk = new NodeDisk(directory)
    const journal = new Journal(disk, SETTINGS)
    for (let i = 0; i < 100; i++) {
      if (journal.isSegmentFull) journal.roll()
      append(journal, [record(i, 160)])
      await sync(journal)
    }
    expect(journal.segments.length).toBeGreaterThan(3)
    journal.close()
    const again = new Journal(disk, SETTINGS)
    expect(readNumbers(again)).toHaveLength(100)
    again.close()
  } finally {
    await rm(directory, { recursive: true, maxRetries: 10 }) // a spare segment may still be on its way
  }
})

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { Prng } from '../../base/prng.ts'
import { writeConfirmation, writeMark } from '../../codecs/journal/control.ts'
import { RecordViews } from '../../codecs/journal/record.ts'
import { BatchReader } from './batch-reader.ts'
import { type JournalDisk, NodeDisk } from './disk.ts'
import { Journal, JournalError, type JournalSettings } from './journal.ts'
import { SimDisk } from './sim-disk.ts'

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
        journal.append(records, 1, false)
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
    journal.append([record(mark, 2048)], 1, false)
    await sync(journal)
    const end = writeMark(control, 0, { number: mark, position: journal.appendPosition, isFlush: mark === 4 })
    const size = mark > 1 ? writeConfirmation(control, end, mark - 1) : end
    journal.append([control.bytes.subarray(0, size)], 1, true)
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

test('damage before the end, and a journal of someone else, are refused with their place', async () => {
  const disk = new SimDisk()
  const journal = new Journal(disk, SETTINGS)
  for (let i = 0; i < 4; i++) {
    if (journal.isSegmentFull) journal.roll()
    journal.append([record(i, 3000)], 1, false)
    await sync(journal)
  }
  const [first] = journal.segments
  const bytes = new Uint8Array(1)
  first.file.read(bytes, 500)
  first.file.write([Uint8Array.of(bytes[0] ^ 1)], 500)
  expect(() => new Journal(disk, SETTINGS)).toThrow(/0000000001\.journal at byte 64 is damaged/)
  expect(() => new Journal(disk, { ...SETTINGS, shard: 1 })).toThrow(JournalError)
})

test('a write that fails leaves the journal as it was', async () => {
  const disk = new SimDisk()
  const journal = new Journal(disk, SETTINGS)
  journal.append([record(0, 64)], 1, false)
  await sync(journal)
  disk.writeFault = new Error('ENOSPC')
  expect(() => journal.append([record(1, 64)], 1, false)).toThrow('ENOSPC')
  disk.writeFault = null
  journal.append([record(1, 64)], 1, false)
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
      journal.append([record(i, 160)], 1, false)
      await sync(journal)
    }
    expect(journal.segments.length).toBeGreaterThan(3)
    journal.close()
    expect(readNumbers(new Journal(disk, SETTINGS))).toHaveLength(100)
  } finally {
    rmSync(directory, { recursive: true })
  }
})

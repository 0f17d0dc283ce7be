import {
  chmodSync,
  copyFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Prng } from '../../base/prng.ts'
import { writeControl, writeMark } from '../../codecs/journal/control.ts'
import { MessageRoute, RecordKind, RecordViews, writeMessageRecord } from '../../codecs/journal/record.ts'
import { NodeDisk } from '../journal/disk.ts'
import { Journal } from '../journal/journal.ts'
import { JournalAudit } from './journal-audit.ts'
import { type JournalFindings, walkJournal } from './journal-walk.ts'

let directory: string

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'millrace-walk-'))
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))

const START_MS = 1_700_000_000_000
const HEADER_SIZE_BYTES = 64
const TOPIC = new TextEncoder().encode('devices/d1/telemetry')

/** Allocates nothing beside the test, which would go on when it is over. */
class PlainDisk extends NodeDisk {
  override allocate(_name: string, _sizeBytes: number, done: (error: Error | null) => void): void {
    done(new Error('no spare'))
  }
}

/** A journal that is written as a shard writes it, and what its walk must find. */
class WrittenJournal {
  readonly path: string
  journal: Journal
  messageCount = 0
  timeMs = START_MS
  /** Of each message: its arrival, and the journal position behind the batch that holds it. */
  messages: { arrivalMs: number; endPosition: number }[] = []
  confirmedPosition = 0
  #disk: NodeDisk

  constructor(shard = 0, segmentSizeBytes = 4096) {
    this.path = join(directory, 'journal', String(shard))
    this.#disk = new PlainDisk(this.path)
    this.journal = new Journal(this.#disk, {
      storeId: new Uint8Array(16).fill(7),
      shard,
      shardCount: 2,
      segmentSizeBytes,
      sizeBytesMax: 1 << 30,
    })
  }

  async append(arrivals: readonly number[], payloadSize = 40): Promise<void> {
    const route = new MessageRoute()
    const records = arrivals.map((arrivalMs) => {
      const size = 40 + TOPIC.length + payloadSize
      const views = new RecordViews(new ArrayBuffer((size + 7) & ~7))
      const payload = new Uint8Array(payloadSize)
      writeMessageRecord(views, 0, route, 2, arrivalMs, 1, 1, TOPIC, 0, TOPIC.length, payload, 0, payloadSize)
      return views.bytes
    })
    await this.#append(records, false)
    for (const arrivalMs of arrivals) {
      this.messages.push({ arrivalMs, endPosition: this.journal.appendPosition })
    }
  }

  /** Ends a batch here; returns its mark. */
  async mark(isFlush = false): Promise<number> {
    const number = this.journal.nextMark++
    const { appendPosition: position } = this.journal
    await this.control((views) => writeMark(views, 0, { number, position, isFlush }))
    return position
  }

  async confirm(number: number, position: number): Promise<void> {
    await this.control((views) => writeControl(views, 0, RecordKind.CONFIRMATION, number))
    this.confirmedPosition = position
  }

  async control(write: (views: RecordViews) => number): Promise<void> {
    const views = new RecordViews(new ArrayBuffer(64))
    const size = write(views)
    await this.#append([views.bytes.subarray(0, size)], true)
  }

  get pending(): { arrivalMs: number }[] {
    return this.messages.filter(({ endPosition }) => endPosition > this.confirmedPosition)
  }

  async #append(records: Uint8Array[], hasControl: boolean): Promise<void> {
    if (this.journal.isSegmentFull) this.journal.roll()
    this.journal.append({ records, ringPositions: [1], timeMs: ++this.timeMs, hasControl })
    await new Promise<void>((resolve, reject) =>
      this.journal.sync((error) => (error === null ? resolve() : reject(error))),
    )
  }
}

function segmentsOf(path: string): string[] {
  return readdirSync(path).filter((name) => name.endsWith('.journal'))
}

function expectPending(found: JournalFindings, written: WrittenJournal, seed: number): void {
  const { pending } = written
  expect(found.pendingCount, `seed ${seed}`).toBe(pending.length)
  const oldestMs = pending.length === 0 ? null : Math.min(...pending.map(({ arrivalMs }) => arrivalMs))
  expect(found.pendingOldestMs, `seed ${seed}`).toBe(oldestMs)
  expect(found.damages, `seed ${seed}`).toEqual([])
}

test('counts the messages behind the last confirmed mark, whatever was appended and given up', async () => {
  for (let seed = 1; seed <= 12; seed++) {
    const prng = new Prng(seed)
    const written = new WrittenJournal(seed)
    const open: { number: number; position: number }[] = []
    for (let step = prng.between(1, 60); step > 0; step--) {
      const kind = prng.unit()
      if (kind < 0.6) {
        await written.append(
          Array.from({ length: prng.between(1, 6) }, () => START_MS + prng.between(0, 100_000)),
          prng.between(0, 300),
        )
      } else if (kind < 0.8) {
        const number = written.journal.nextMark
        open.push({ number, position: await written.mark() })
      } else {
        const mark = open.shift()
        if (mark !== undefined) await written.confirm(mark.number, mark.position)
        if (prng.unit() < 0.5) written.journal.releaseBefore(written.confirmedPosition)
      }
      if (prng.unit() < 0.2) expectPending(walkJournal(written.path, seed), written, seed)
    }
    const found = walkJournal(written.path, seed)
    expectPending(found, written, seed)
    expect(found.timeMs).toBe(written.timeMs === START_MS ? 0 : written.timeMs)
    written.journal.close()
  }
})

test('an empty journal holds nothing, and its windows are closed', () => {
  const { journal, path } = new WrittenJournal()
  journal.close()
  expect(walkJournal(path, 0)).toMatchObject({
    segmentCount: 1,
    messageCount: 0,
    pendingCount: 0,
    pendingOldestMs: null,
    timeMs: 0,
    areWindowsClosed: true,
  })
})

test('windows are closed by a confirmed flush behind the last message only', async () => {
  const written = new WrittenJournal()
  await written.append([START_MS])
  const plain = await written.mark()
  await written.confirm(1, plain)
  expect(walkJournal(written.path, 0).areWindowsClosed).toBe(false)
  const flush = await written.mark(true)
  expect(walkJournal(written.path, 0).areWindowsClosed).toBe(false)
  await written.confirm(2, flush)
  expect(walkJournal(written.path, 0).areWindowsClosed).toBe(true)
  await written.append([START_MS])
  expect(walkJournal(written.path, 0)).toMatchObject({ areWindowsClosed: false, pendingCount: 1 })
  written.journal.close()
})

test('times in which the engine was down are found', async () => {
  const written = new WrittenJournal()
  await written.control((views) => writeControl(views, 0, RecordKind.GAP, 90_000))
  expect(walkJournal(written.path, 0).gaps).toEqual([{ endMs: START_MS + 1, durationMs: 90_000 }])
  written.journal.close()
})

/** Copies the journal with one byte of a segment changed, or cut off there. */
function damagedCopy(path: string, segment: string, offset: number, isCut: boolean): string {
  const copy = mkdtempSync(join(directory, 'copy-'))
  for (const name of readdirSync(path)) copyFileSync(join(path, name), join(copy, name))
  const bytes = readFileSync(join(path, segment))
  bytes[offset] ^= 1
  writeFileSync(join(copy, segment), isCut ? bytes.subarray(0, offset) : bytes)
  return copy
}

test('damage before an intact batch is told with its place, and what is behind it is counted', async () => {
  const written = new WrittenJournal()
  for (let i = 0; i < 40; i++) await written.append([START_MS + i], 100)
  written.journal.close()
  const [first, second] = segmentsOf(written.path)
  const whole = walkJournal(written.path, 0)
  expect(whole).toMatchObject({ messageCount: 40, damages: [] })
  const damaged = walkJournal(damagedCopy(written.path, second, 300, false), 0)
  expect(damaged.messageCount).toBe(39)
  expect(damaged.damages).toMatchObject([{ segment: second, isConfirmed: false }])
  const [{ offset, sizeBytes }] = damaged.damages
  expect(offset <= 300 && offset + sizeBytes > 300).toBe(true)
  const cut = walkJournal(damagedCopy(written.path, first, 1000, true), 0)
  expect(cut.damages).toMatchObject([{ segment: first }])
  expect(cut.messageCount).toBeLessThan(40)
})

test('a torn tail is no damage, wherever it is cut', async () => {
  const written = new WrittenJournal(0, 1 << 20)
  for (let i = 0; i < 3; i++) await written.append([START_MS + i], 20)
  const { appendPosition } = written.journal
  written.journal.close()
  const [name] = segmentsOf(written.path)
  for (let end = HEADER_SIZE_BYTES + appendPosition; end >= HEADER_SIZE_BYTES; end--) {
    truncateSync(join(written.path, name), end)
    const whole = written.messages.filter((message) => message.endPosition + HEADER_SIZE_BYTES <= end).length
    const found = walkJournal(written.path, 0)
    expect(found).toMatchObject({ messageCount: whole, pendingCount: whole, damages: [] })
  }
})

test('a segment that is given up and used again while it is read is taken as confirmed', async () => {
  for (const batches of [1, 10, 20, 30]) {
    const written = new WrittenJournal(batches)
    for (let i = 0; i < 60; i++) await written.append([START_MS + i], 100)
    const [first] = segmentsOf(written.path)
    const behind = written.messages.filter(
      ({ endPosition }) => endPosition > written.journal.segments[0].endPosition,
    )
    let count = 0
    const found = walkJournal(written.path, batches, () => {
      if (++count !== batches) return
      renameSync(join(written.path, first), join(written.path, 'spare'))
      writeFileSync(join(written.path, 'spare'), new Uint8Array(8192), { flag: 'r+' })
    })
    expect(found).toMatchObject({ damages: [], pendingCount: behind.length })
    written.journal.close()
  }
})

test('all shards on the pool; nothing in the directory changes; a directory without a journal is refused', async () => {
  const shards = [new WrittenJournal(0), new WrittenJournal(1)]
  for (const [index, shard] of shards.entries()) {
    for (let i = 0; i <= index; i++) await shard.append([START_MS])
    shard.journal.close()
  }
  const listing = () => readdirSync(directory, { recursive: true }).sort()
  const before = listing()
  for (const { path } of shards) {
    for (const name of readdirSync(path)) chmodSync(join(path, name), 0o400)
    chmodSync(path, 0o500)
  }
  let doneBytes = 0
  const audit = new JournalAudit(directory, 3, (done) => {
    doneBytes = done
  })
  try {
    for (let round = 0; round < 2; round++) {
      const found = await audit.walk()
      expect(found.map(({ shard, messageCount }) => [shard, messageCount])).toEqual([
        [0, 1],
        [1, 2],
        [2, 0],
      ])
    }
    expect(doneBytes).toBeGreaterThan(0)
  } finally {
    await audit.close()
    for (const { path } of shards) chmodSync(path, 0o700)
  }
  expect(listing()).toEqual(before)
  expect(() => new JournalAudit(join(directory, 'none'), 1, () => {})).toThrow(/holds no journal/)
})

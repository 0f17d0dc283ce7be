/**
 * One shard's journal: segments of checksummed batches, owned by the shard's thread. One append at a time, then its
 * sync; everything before `durablePosition` survives a power cut. Every segment can be read by itself: no state is
 * carried from one into the next (the shard closes all windows at a segment's end). After a restart the last segment
 * is cut behind its last whole batch and a new one begins.
 */
import { assert } from '../../base/assert.ts'
import {
  BATCH_HEADER_SIZE_BYTES,
  BatchFlag,
  type BatchHeader,
  decodeSegmentHeader,
  encodeSegmentHeader,
  SEGMENT_HEADER_SIZE_BYTES,
  writeBatchHeader,
} from '../../codecs/journal/batch.ts'
import type { Mark } from '../../codecs/journal/control.ts'
import { RecordViews } from '../../codecs/journal/record.ts'
import { type BatchPlace, BatchReader, collectControl } from './batch-reader.ts'
import type { JournalDisk } from './disk.ts'
import { fileOffset, type Segment } from './segment.ts'

export interface JournalSettings {
  storeId: Uint8Array
  shard: number
  shardCount: number
  segmentSizeBytes: number
  /** Bytes of all segments together; beyond it only control records are appended. */
  sizeBytesMax: number
}

export interface RecoveredMark extends Mark {
  isConfirmed: boolean
}

/** Something in the journal's files that a crash cannot explain. */
export class JournalError extends Error {
  readonly code: 'JOURNAL_CORRUPT' | 'JOURNAL_FOREIGN'

  constructor(code: JournalError['code'], message: string) {
    super(message)
    this.code = code
  }
}

export class Journal {
  /** Oldest first; the last one is appended to. */
  readonly segments: Segment[] = []
  /** The marks found at start that end behind `startPosition`; oldest first. */
  readonly recoveredMarks: RecoveredMark[] = []
  durablePosition = 0
  nextMark = 1
  #disk: JournalDisk
  #settings: JournalSettings
  #header = new RecordViews(new ArrayBuffer(BATCH_HEADER_SIZE_BYTES))
  #isSyncing = false

  constructor(disk: JournalDisk, settings: JournalSettings) {
    this.#disk = disk
    this.#settings = settings
    this.#recover()
    this.#startSegment(this.segments.at(-1))
  }

  get appendPosition(): number {
    return this.segments[this.segments.length - 1].endPosition
  }

  get startPosition(): number {
    return this.segments[0].startPosition
  }

  get sizeBytes(): number {
    return this.appendPosition - this.startPosition
  }

  get isSyncing(): boolean {
    return this.#isSyncing
  }

  get isFull(): boolean {
    return this.sizeBytes >= this.#settings.sizeBytesMax
  }

  /** Whether an append now would begin a new segment. */
  get isSegmentFull(): boolean {
    const segment = this.segments[this.segments.length - 1]
    return segment.endPosition - segment.startPosition >= this.#settings.segmentSizeBytes
  }

  /** Begins a new segment; all of the old one is durable. */
  roll(): void {
    assert(!this.#isSyncing && this.durablePosition === this.appendPosition, 'a segment ends durable')
    this.#startSegment(this.segments[this.segments.length - 1])
  }

  /**
   * Appends one batch of whole records. Throws what the disk throws, and then nothing was appended: the same batch may
   * be tried again.
   */
  // hot: per batch
  append(records: readonly Uint8Array[], timeMs: number, hasControl: boolean): void {
    assert(!this.#isSyncing, 'one append, one sync')
    const segment = this.segments[this.segments.length - 1]
    let sizeBytes = BATCH_HEADER_SIZE_BYTES
    for (const part of records) sizeBytes += part.length
    const header: BatchHeader = {
      sizeBytes,
      segment: segment.number,
      position: segment.endPosition,
      timeMs,
      durablePosition: this.durablePosition,
      flags: hasControl ? BatchFlag.HAS_CONTROL : 0,
    }
    writeBatchHeader(this.#header, header, records)
    segment.file.write([this.#header.bytes, ...records], fileOffset(segment, segment.endPosition))
    segment.endPosition += sizeBytes
  }

  /** Makes all that was appended durable, then calls `done`. */
  sync(done: (error: Error | null) => void): void {
    assert(!this.#isSyncing, 'one sync at a time')
    this.#isSyncing = true
    const position = this.appendPosition
    this.segments[this.segments.length - 1].file.sync((error) => {
      this.#isSyncing = false
      if (error === null) this.durablePosition = position
      done(error)
    })
  }

  segmentAt(position: number): Segment {
    for (const segment of this.segments) {
      if (position < segment.endPosition) return segment
    }
    return this.segments[this.segments.length - 1]
  }

  /** Deletes the segments that lie wholly before `position`. */
  releaseBefore(position: number): void {
    while (this.segments.length > 1 && this.segments[0].endPosition <= position) {
      const [segment] = this.segments.splice(0, 1)
      segment.file.close()
      this.#disk.remove(segment.name)
    }
  }

  close(): void {
    for (const segment of this.segments) segment.file.close()
  }

  #recover(): void {
    const names = this.#disk.list().filter((name) => /^\d{10}\.journal$/.test(name))
    const marks = new Map<number, RecoveredMark>()
    names.sort().forEach((name, index) => {
      const segment = this.#openSegment(name, index === names.length - 1)
      if (segment === null) return
      this.#scan(segment, index === names.length - 1, marks)
      this.segments.push(segment)
    })
    if (this.segments.length === 0) return
    for (const mark of marks.values()) {
      if (mark.position > this.startPosition) this.recoveredMarks.push(mark)
    }
    this.recoveredMarks.sort((a, b) => a.number - b.number)
  }

  /** Null for a last segment whose header a crash cut off: it never held anything durable. */
  #openSegment(name: string, isLast: boolean): Segment | null {
    const file = this.#disk.open(name)
    const bytes = new Uint8Array(SEGMENT_HEADER_SIZE_BYTES)
    file.read(bytes, 0)
    const header = decodeSegmentHeader(bytes)
    const size = file.sizeBytes()
    if (header === null) {
      file.close()
      if (isLast && size <= SEGMENT_HEADER_SIZE_BYTES) {
        this.#disk.remove(name)
        return null
      }
      throw new JournalError('JOURNAL_CORRUPT', `journal segment ${name} has no valid header`)
    }
    const { storeId, shard, shardCount } = this.#settings
    if (header.shard !== shard || header.shardCount !== shardCount || !isSame(header.storeId, storeId)) {
      file.close()
      throw new JournalError(
        'JOURNAL_FOREIGN',
        `journal segment ${name} belongs to another data directory or shard`,
      )
    }
    const { number, startPosition } = header
    this.nextMark = Math.max(this.nextMark, header.nextMark)
    return { number, name, file, startPosition, endPosition: startPosition }
  }

  /** Finds the segment's end and its marks; cuts off what a crash left half written. */
  #scan(segment: Segment, isLast: boolean, marks: Map<number, RecoveredMark>): void {
    const reader = new BatchReader()
    const fileEnd = segment.startPosition + segment.file.sizeBytes() - SEGMENT_HEADER_SIZE_BYTES
    for (;;) {
      const place = reader.read(segment, segment.endPosition)
      if (place === null) break
      segment.endPosition = place.endPosition
      if ((place.header.flags & BatchFlag.HAS_CONTROL) !== 0) this.#takeControl(reader, place, marks)
    }
    if (!isLast && segment.endPosition !== fileEnd) {
      const where = `${segment.name} at byte ${fileOffset(segment, segment.endPosition)}`
      throw new JournalError('JOURNAL_CORRUPT', `journal segment ${where} is damaged`)
    }
    if (!isLast) return
    segment.file.truncate(fileOffset(segment, segment.endPosition))
    segment.file.syncNow() // its last batches may have been written and never synced
  }

  #takeControl(reader: BatchReader, place: BatchPlace, marks: Map<number, RecoveredMark>): void {
    const control = collectControl(reader.views, place)
    for (const mark of control.marks) {
      marks.set(mark.number, { ...mark, isConfirmed: false })
      this.nextMark = Math.max(this.nextMark, mark.number + 1)
    }
    for (const number of control.confirmed) {
      const mark = marks.get(number)
      if (mark !== undefined) mark.isConfirmed = true
    }
  }

  #startSegment(previous: Segment | undefined): void {
    const number = previous === undefined ? 1 : previous.number + 1
    const startPosition = previous === undefined ? 0 : previous.endPosition
    const name = `${String(number).padStart(10, '0')}.journal`
    const file = this.#disk.create(name)
    const { storeId, shard, shardCount } = this.#settings
    const header = { number, shard, shardCount, startPosition, nextMark: this.nextMark, storeId }
    try {
      file.write([encodeSegmentHeader(header)], 0)
      file.syncNow() // before an older segment, which knew the next mark too, may be deleted
    } catch (error) {
      file.close()
      this.#disk.remove(name)
      throw error
    }
    this.segments.push({ number, name, file, startPosition, endPosition: startPosition })
    this.durablePosition = startPosition
  }
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0
}

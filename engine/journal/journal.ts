/**
 * One shard's journal: segments of checksummed batches, owned by the shard's thread. One append at a time, then its
 * sync; everything before `durablePosition` survives a power cut. After a restart a new segment begins behind the last
 * intact batch. Segments are written into files that are allocated beforehand, beside the work, or were a segment that
 * nobody needs any more: then a sync has no file size to write.
 */
import { assert } from '../../base/assert.ts'
import {
  BatchFlag,
  batchHeaderSize,
  encodeSegmentHeader,
  SEGMENT_HEADER_SIZE_BYTES,
  writeBatchHeader,
} from '../../codecs/journal/batch.ts'
import type { Split } from '../../codecs/journal/control.ts'
import { RecordViews } from '../../codecs/journal/record.ts'
import type { JournalDisk, JournalFile } from './disk.ts'
import { fileOffset, type Segment, segmentName } from './segment.ts'
import { type Damage, type JournalOwner, type RecoveredMark, recoverSegments } from './segment-recovery.ts'

export interface JournalSettings extends JournalOwner {
  segmentSizeBytes: number
  /** Bytes of all segments together; beyond it only control records are appended. */
  sizeBytesMax: number
}

/** What one append writes. The memory must not change until it is durable. */
export interface Batch {
  records: readonly Uint8Array[]
  ringPositions: readonly number[]
  timeMs: number
  hasControl: boolean
}

const SPARE_NAME = 'spare'

export class Journal {
  /** Oldest first; the last one is appended to. */
  readonly segments: Segment[]
  /** The marks found at start whose batches end at `startPosition` or behind it; oldest first. */
  readonly recoveredMarks: RecoveredMark[]
  readonly recoveredSkips: readonly number[]
  readonly recoveredSplits: readonly Split[]
  /** The greatest mark that was confirmed before the start. */
  readonly confirmedMark: number
  /** What could not be read at start. */
  readonly damages: readonly Damage[]
  /** The time of the last batch before the start, ms; 0 without one. */
  readonly lastTimeMs: number
  durablePosition = 0
  nextMark: number
  #disk: JournalDisk
  #settings: JournalSettings
  #header = new RecordViews(new ArrayBuffer(1024))
  #unsynced: Batch | null = null
  /** Behind the batch whose sync failed, until it is written again. */
  #failedEnd: number | null = null
  #isSyncing = false
  #spare: 'none' | 'coming' | 'there' = 'none'
  #isClosed = false

  /** Throws JournalError. */
  constructor(disk: JournalDisk, settings: JournalSettings) {
    this.#disk = disk
    this.#settings = settings
    const recovery = recoverSegments(disk, settings)
    this.segments = recovery.segments
    this.recoveredMarks = recovery.marks
    this.recoveredSkips = recovery.skips
    this.recoveredSplits = recovery.splits
    this.confirmedMark = recovery.confirmedMark
    this.damages = recovery.damages
    this.nextMark = recovery.nextMark
    this.lastTimeMs = recovery.lastTimeMs
    this.#spare = disk.list().includes(SPARE_NAME) ? 'there' : 'none'
    this.#startSegment()
  }

  /** Behind the last batch, whether it can be read now or has to be written again. */
  get appendPosition(): number {
    return this.#failedEnd ?? this.segments[this.segments.length - 1].endPosition
  }

  /** Behind the last batch that can be read. */
  get readablePosition(): number {
    return this.#failedEnd === null ? this.appendPosition : this.durablePosition
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

  /** Begins a new segment; all of the old one is durable. Throws what the disk throws, and may be tried again. */
  roll(): void {
    assert(this.#unsynced === null && this.durablePosition === this.appendPosition, 'a segment ends durable')
    this.#startSegment()
  }

  /**
   * Appends one batch of whole records. Throws what the disk throws, and then nothing was appended: the same batch may
   * be tried again.
   */
  // hot: per batch
  append(batch: Batch): void {
    assert(this.#unsynced === null, 'one append, one sync')
    const segment = this.segments[this.segments.length - 1]
    const headerSizeBytes = batchHeaderSize(batch.ringPositions.length)
    let sizeBytes = headerSizeBytes
    for (const part of batch.records) sizeBytes += part.length
    const header = {
      sizeBytes,
      segment: segment.number,
      position: segment.endPosition,
      timeMs: batch.timeMs,
      durablePosition: this.durablePosition,
      flags: batch.hasControl ? BatchFlag.HAS_CONTROL : 0,
    }
    writeBatchHeader(this.#header, header, batch.ringPositions, batch.records)
    const parts = [this.#header.bytes.subarray(0, headerSizeBytes), ...batch.records]
    segment.file.write(parts, fileOffset(segment, segment.endPosition))
    segment.endPosition += sizeBytes
    this.#unsynced = batch
  }

  /** Makes all that was appended durable, then calls `done`. After an error: `rewrite`. */
  sync(done: (error: Error | null) => void): void {
    assert(!this.#isSyncing, 'one sync at a time')
    this.#isSyncing = true
    const position = this.appendPosition
    this.segments[this.segments.length - 1].file.sync((error) => {
      this.#isSyncing = false
      if (error === null) {
        this.durablePosition = position
        this.#unsynced = null
      } else this.#failedEnd = position
      done(error)
    })
  }

  /**
   * After a failed sync: the kernel may have dropped what it could not write, and say so only once. The file is not
   * trusted with another byte; the batch that was not durable goes into a new segment, at the same position. Throws what
   * the disk throws, and may be tried again.
   */
  rewrite(): void {
    const batch = this.#unsynced
    assert(batch !== null && this.#failedEnd !== null, 'there is a batch whose sync failed')
    this.segments[this.segments.length - 1].endPosition = this.durablePosition
    this.#unsynced = null
    try {
      this.#startSegment()
      this.append(batch)
      this.#failedEnd = null
    } catch (error) {
      this.#unsynced = batch
      throw error
    }
  }

  /** Where processing goes on at `position`: behind it when it can't be read any more. */
  skipDamage(position: number): number {
    return this.damages.find(({ start }) => start === position)?.end ?? position
  }

  segmentAt(position: number): Segment {
    for (const segment of this.segments) {
      if (position < segment.endPosition) return segment
    }
    return this.segments[this.segments.length - 1]
  }

  /** Gives up the segments that lie wholly before `position`; one of them becomes the next segment's file. */
  releaseBefore(position: number): void {
    while (this.segments.length > 1 && this.segments[0].endPosition <= position) {
      const [segment] = this.segments.splice(0, 1)
      segment.file.close()
      if (this.#spare === 'none') {
        this.#disk.rename(segment.name, SPARE_NAME)
        this.#spare = 'there'
      } else this.#disk.remove(segment.name)
    }
  }

  close(): void {
    this.#isClosed = true
    for (const segment of this.segments) segment.file.close()
  }

  #startSegment(): void {
    const previous = this.segments.at(-1)
    const number = (previous?.number ?? 0) + 1
    const startPosition = previous?.endPosition ?? 0
    const name = segmentName(number)
    const file = this.#openNext(name)
    const { storeId, shard, shardCount } = this.#settings
    const header = { number, shard, shardCount, startPosition, nextMark: this.nextMark, storeId }
    try {
      file.write([encodeSegmentHeader(header)], 0)
      file.syncNow() // before an older segment, which knew the next mark too, may be given up
    } catch (error) {
      file.close()
      this.#disk.remove(name)
      throw error
    }
    this.segments.push({ number, name, file, startPosition, endPosition: startPosition })
    this.durablePosition = startPosition
    this.#orderSpare()
  }

  #openNext(name: string): JournalFile {
    if (this.#spare !== 'there') return this.#disk.create(name)
    this.#spare = 'none'
    this.#disk.rename(SPARE_NAME, name)
    return this.#disk.open(name)
  }

  /** Without it, on a disk that has no room, segments grow as they are written. */
  #orderSpare(): void {
    if (this.#spare !== 'none') return
    this.#spare = 'coming'
    const sizeBytes = SEGMENT_HEADER_SIZE_BYTES + this.#settings.segmentSizeBytes
    this.#disk.allocate(`${SPARE_NAME}.new`, sizeBytes, (error) => {
      this.#spare = 'none'
      if (error !== null || this.#isClosed) return
      try {
        this.#disk.rename(`${SPARE_NAME}.new`, SPARE_NAME)
        this.#spare = 'there'
      } catch {
        // the next segment grows, and asks again
      }
    })
  }
}

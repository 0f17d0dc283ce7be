/**
 * One shard's journal: segments of checksummed batches, owned by the shard's thread. One append at a time, then its
 * sync; everything before `durablePosition` survives a power cut. After a restart a new segment begins behind the last
 * intact batch. On a disk without room for another segment readings are refused early, so that control records, which
 * lead to segments being given up, can still be written.
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
import type { JournalDisk } from './disk.ts'
import { JournalRoom } from './journal-room.ts'
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

/** Of a segment: what is kept for control records when the disk has no room for another one. */
const CONTROL_SHARE = 1 / 8
const RESERVE_SIZE_BYTES_MAX = 4 << 20
/** How much larger the next snapshot may be. */
const SNAPSHOT_GROWTH = 2

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
  #room: JournalRoom

  /** Throws JournalError. */
  constructor(disk: JournalDisk, settings: JournalSettings) {
    this.#disk = disk
    this.#settings = settings
    const { segmentSizeBytes } = settings
    this.#room = new JournalRoom(disk, {
      spareSizeBytes: SEGMENT_HEADER_SIZE_BYTES + segmentSizeBytes,
      reserveSizeBytes: Math.min(RESERVE_SIZE_BYTES_MAX, segmentSizeBytes),
    })
    const recovery = recoverSegments(disk, settings)
    this.segments = recovery.segments
    this.recoveredMarks = recovery.marks
    this.recoveredSkips = recovery.skips
    this.recoveredSplits = recovery.splits
    this.confirmedMark = recovery.confirmedMark
    this.damages = recovery.damages
    this.nextMark = recovery.nextMark
    this.lastTimeMs = recovery.lastTimeMs
    this.#begin()
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

  /** Only control records are to be appended: the bound is reached, or the end of what the disk has for certain. */
  get isFull(): boolean {
    return this.sizeBytes >= this.#settings.sizeBytesMax || (!this.#room.mayGrow && this.#isUsedUp)
  }

  /** The disk has no room for another segment, and the last one is nearly used up. */
  get isDiskFull(): boolean {
    return this.#room.isShort && this.#isUsedUp
  }

  /** The disk may have more room now than when it was asked last. */
  seekRoom(): void {
    if (!this.#room.mayGrow) this.#room.order()
  }

  /** Keeps room on the disk for the next snapshot, which may be somewhat larger than the last one. */
  keepRoomForSnapshot(lastSizeBytes: number): void {
    this.#room.resume()
    this.#room.enlarge('reserve-snapshot', Math.ceil(lastSizeBytes * SNAPSHOT_GROWTH))
  }

  /** A snapshot could not be written for want of room. */
  yieldToSnapshot(isAllConfirmed: boolean): void {
    this.#room.yieldToSnapshot(isAllConfirmed)
  }

  /** A snapshot is about to be written. */
  onSnapshot(): void {
    if (this.isDiskFull) this.#room.release('reserve-snapshot')
  }

  /**
   * After an append or a roll for which the disk had no room: true when the next one can be tried at once, with the
   * reserve or in the spare segment, into which the caller rolls.
   */
  onNoRoom(): 'roll' | 'again' | 'full' {
    const segment = this.segments[this.segments.length - 1]
    segment.allocatedEnd = Math.min(segment.allocatedEnd, segment.endPosition)
    this.#room.onNoRoom()
    if (this.#room.hasSpare) return 'roll'
    return this.#room.release('reserve') ? 'again' : 'full'
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
    if (this.#isHalfUsed(segment)) this.#room.wantSpare()
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
      const sizeBytes = segment.file.sizeBytes()
      segment.file.close()
      this.#room.give(segment.name, sizeBytes)
    }
  }

  close(): void {
    this.#room.close()
    for (const segment of this.segments) segment.file.close()
  }

  /** Segments are given up about as often as they are begun: mostly one comes back before that. */
  #isHalfUsed({ startPosition, endPosition }: Segment): boolean {
    return (endPosition - startPosition) * 2 >= this.#settings.segmentSizeBytes
  }

  /** Whether another append may need more room than the last segment's file has. */
  get #isUsedUp(): boolean {
    const { endPosition, allocatedEnd } = this.segments[this.segments.length - 1]
    return endPosition + this.#settings.segmentSizeBytes * CONTROL_SHARE > allocatedEnd
  }

  /** The first segment of this life. A full disk has the reserve for it. */
  #begin(): void {
    try {
      this.#startSegment()
    } catch (error) {
      if (!this.#room.release('reserve')) throw error
      this.#startSegment()
    }
  }

  #startSegment(): void {
    const previous = this.segments.at(-1)
    const number = (previous?.number ?? 0) + 1
    const startPosition = previous?.endPosition ?? 0
    const name = segmentName(number)
    const file = this.#room.takeSpare(name) ?? this.#disk.create(name)
    const allocatedEnd = startPosition + Math.max(0, file.sizeBytes() - SEGMENT_HEADER_SIZE_BYTES)
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
    this.segments.push({ number, name, file, startPosition, endPosition: startPosition, allocatedEnd })
    this.durablePosition = startPosition
    this.#room.order()
  }
}

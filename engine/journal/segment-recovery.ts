/**
 * Reads a journal's segments at start: where each ends, which marks it holds, and what in it is damaged. Behind the
 * journal's last intact batch lies what a crash left half written, or nothing; that is where the journal ends. Damage
 * before an intact batch is something else: every batch was durable before the next one was written, so the disk has
 * lost what it had. It is copied aside and told of, and reading goes on behind it.
 */
import { BatchFlag, decodeSegmentHeader, SEGMENT_HEADER_SIZE_BYTES } from '../../codecs/journal/batch.ts'
import type { Mark, Split } from '../../codecs/journal/control.ts'
import { type BatchPlace, BatchReader, collectControl } from './batch-reader.ts'
import type { JournalDisk, JournalFile } from './disk.ts'
import { fileOffset, type Segment, segmentNumber } from './segment.ts'

export interface RecoveredMark extends Mark {
  isConfirmed: boolean
}

/** Positions [start, end) that can't be read any more. */
export interface Damage {
  segment: string
  /** Where in the segment's file. */
  offset: number
  start: number
  end: number
  /** The file that the bytes were copied to. */
  setAside: string
}

/** Something in the journal's files that neither a crash nor a failing disk explains. */
export class JournalError extends Error {
  readonly code: 'JOURNAL_CORRUPT' | 'JOURNAL_FOREIGN'

  constructor(code: JournalError['code'], message: string) {
    super(message)
    this.code = code
  }
}

export interface JournalOwner {
  storeId: Uint8Array
  shard: number
  shardCount: number
}

export interface Recovery {
  segments: Segment[]
  marks: RecoveredMark[]
  damages: Damage[]
  /** Positions of messages that are not to be decoded. */
  skips: number[]
  /** In the order in which they were made. */
  splits: Split[]
  nextMark: number
  /** The greatest mark that a record confirms; 0 without one. */
  confirmedMark: number
  /** The time of the last batch, ms; 0 without one. */
  lastTimeMs: number
}

/** Damage may have taken marks with it; their numbers must not be used again, or new rows would pass for old ones. */
const MARKS_LOST_MAX = 1_000_000

/** Throws JournalError. The last segment's bytes are durable afterwards. */
export function recoverSegments(disk: JournalDisk, owner: JournalOwner): Recovery {
  const recovery: Recovery = {
    segments: [],
    marks: [],
    damages: [],
    skips: [],
    splits: [],
    nextMark: 1,
    confirmedMark: 0,
    lastTimeMs: 0,
  }
  const marks = new Map<number, RecoveredMark>()
  const names = disk.list().filter((name) => segmentNumber(name) > 0)
  for (const name of names.sort()) {
    const segment = openSegment(disk, name, owner, recovery, name === names.at(-1))
    if (segment !== null) recovery.segments.push(segment)
  }
  const reader = new BatchReader()
  recovery.segments.forEach((segment, index) => {
    const limit = recovery.segments[index + 1]?.startPosition ?? null
    new SegmentScan(disk, segment, recovery, marks, reader).run(limit)
  })
  const startPosition = recovery.segments[0]?.startPosition ?? 0
  recovery.marks.push(...[...marks.values()].filter(({ position }) => position >= startPosition))
  recovery.marks.sort((a, b) => a.number - b.number)
  if (recovery.damages.length > 0) recovery.nextMark += MARKS_LOST_MAX
  return recovery
}

/**
 * Null for a last segment that a crash kept from beginning: it never held anything, and the one before it, which is given
 * up only behind a durable header, is still there.
 */
function openSegment(
  disk: JournalDisk,
  name: string,
  owner: JournalOwner,
  recovery: Recovery,
  isLast: boolean,
): Segment | null {
  const file: JournalFile = disk.open(name)
  const bytes = new Uint8Array(SEGMENT_HEADER_SIZE_BYTES)
  file.read(bytes, 0)
  const header = decodeSegmentHeader(bytes)
  const number = segmentNumber(name)
  if (header === null || header.number !== number) {
    const segment = { number, name, file, startPosition: 0, endPosition: 0, allocatedEnd: 0 }
    const isBegun = recovery.segments.length === 0 && number > 1
    const isDamaged = !isLast || isBegun || new BatchReader().holdsBatch(segment)
    file.close()
    if (isDamaged) throw new JournalError('JOURNAL_CORRUPT', `journal segment ${name} has no valid header`)
    disk.remove(name)
    return null
  }
  if (
    header.shard !== owner.shard ||
    header.shardCount !== owner.shardCount ||
    !isSame(header.storeId, owner.storeId)
  ) {
    file.close()
    throw new JournalError(
      'JOURNAL_FOREIGN',
      `journal segment ${name} belongs to another data directory or shard`,
    )
  }
  recovery.nextMark = Math.max(recovery.nextMark, header.nextMark)
  const { startPosition } = header
  return { number, name, file, startPosition, endPosition: startPosition, allocatedEnd: startPosition }
}

class SegmentScan {
  #disk: JournalDisk
  #segment: Segment
  #recovery: Recovery
  #marks: Map<number, RecoveredMark>
  #reader: BatchReader
  #lastPosition: number

  constructor(
    disk: JournalDisk,
    segment: Segment,
    recovery: Recovery,
    marks: Map<number, RecoveredMark>,
    reader: BatchReader,
  ) {
    this.#disk = disk
    this.#segment = segment
    this.#recovery = recovery
    this.#marks = marks
    this.#reader = reader
    this.#lastPosition = segment.startPosition
  }

  /** Walks to `limit`, where the next segment begins, or to the journal's end. */
  run(limit: number | null): void {
    const segment = this.#segment
    while (limit === null || segment.endPosition < limit) {
      const place = this.#reader.read(segment, segment.endPosition) ?? this.#skipDamage(limit)
      if (place === null) break
      this.#take(place)
    }
    if (limit === null) this.#makeDurable()
  }

  /**
   * The journal's last batch may never have been synced; and where a sync failed, the page cache still shows it, while the
   * disk does not have it and takes it for clean. So it is written once more.
   */
  #makeDurable(): void {
    const segment = this.#segment
    const offset = fileOffset(segment, this.#lastPosition)
    const bytes = new Uint8Array(segment.endPosition - this.#lastPosition)
    segment.file.read(bytes, offset)
    segment.file.write([bytes], offset)
    segment.file.syncNow()
  }

  #take(place: BatchPlace): void {
    this.#lastPosition = place.header.position
    this.#segment.endPosition = place.endPosition
    this.#recovery.lastTimeMs = place.header.timeMs
    if ((place.header.flags & BatchFlag.HAS_CONTROL) === 0) return
    const control = collectControl(this.#reader.views, place)
    for (const mark of control.marks) {
      this.#marks.set(mark.number, { ...mark, isConfirmed: false })
      this.#recovery.nextMark = Math.max(this.#recovery.nextMark, mark.number + 1)
    }
    this.#recovery.skips.push(...control.skips)
    this.#recovery.splits.push(...control.splits)
    for (const number of control.confirmed) {
      this.#recovery.confirmedMark = Math.max(this.#recovery.confirmedMark, number)
      const mark = this.#marks.get(number)
      if (mark !== undefined) mark.isConfirmed = true
    }
  }

  /** The next intact batch behind what can't be read; null when the journal or the segment ends there. */
  #skipDamage(limit: number | null): BatchPlace | null {
    const segment = this.#segment
    const start = segment.endPosition
    const place = this.#reader.findBehind(segment, start)
    const isWithin = place !== null && (limit === null || place.header.position < limit)
    if (!isWithin && limit === null) return null
    const end = isWithin ? place.header.position : (limit ?? start)
    const setAside = `${segment.number}-${start}.damaged`
    this.#setAside(start, end, setAside)
    this.#recovery.damages.push({
      segment: segment.name,
      offset: fileOffset(segment, start),
      start,
      end,
      setAside,
    })
    if (isWithin) return place
    segment.endPosition = end
    return null
  }

  #setAside(start: number, end: number, name: string): void {
    if (this.#disk.list().includes(name)) return
    const bytes = new Uint8Array(end - start)
    const sizeBytes = this.#segment.file.read(bytes, fileOffset(this.#segment, start))
    const copy = this.#disk.create(name)
    copy.write([bytes.subarray(0, sizeBytes)], 0)
    copy.syncNow()
    copy.close()
  }
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0
}

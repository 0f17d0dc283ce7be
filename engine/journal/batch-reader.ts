/**
 * Reads a journal's batches back, many with one read into a buffer that grows to the largest. Used at start to find the
 * journal's end, and by a shard that has fallen behind what it journalled.
 */
import { assert } from '../../base/assert.ts'
import {
  BATCH_HEADER_SIZE_BYTES,
  BATCH_MAGIC,
  type BatchHeader,
  isBatchIntact,
  readBatchHeader,
  SEGMENT_HEADER_SIZE_BYTES,
} from '../../codecs/journal/batch.ts'
import { type Mark, readControl, readMark, readSplit, type Split } from '../../codecs/journal/control.ts'
import { alignRecord, RecordKind, RecordViews } from '../../codecs/journal/record.ts'
import type { JournalFile } from './disk.ts'
import { fileOffset, type Segment } from './segment.ts'

/** The batch that was read last: its records lie in views[recordsStart, recordsEnd), the batch itself begins at 0. */
export interface BatchPlace {
  header: BatchHeader
  recordsStart: number
  recordsEnd: number
  endPosition: number
}

const READ_SIZE_BYTES = 1 << 20
const SEARCH_SIZE_BYTES = 1 << 20

export class BatchReader {
  views = new RecordViews(new ArrayBuffer(0))
  #buffer = new Uint8Array(READ_SIZE_BYTES)
  /** What the buffer holds: bytes [start, end) of this file. */
  #file: JournalFile | null = null
  #start = 0
  #end = 0

  /** The batch at `position`; null when no whole, intact batch of that place stands there. */
  read(segment: Segment, position: number): BatchPlace | null {
    const offset = fileOffset(segment, position)
    if (this.#file === segment.file && offset >= this.#start && offset < this.#end) {
      const place = this.#parse(segment, position)
      if (place !== null) return place // else the rest of it is not here, or was written later
    }
    this.#fill(segment, position)
    return this.#parse(segment, position)
  }

  #parse(segment: Segment, position: number): BatchPlace | null {
    const offset = fileOffset(segment, position)
    const available = (this.#end - offset) & ~7
    if (available < BATCH_HEADER_SIZE_BYTES) return null
    const views = new RecordViews(this.#buffer.buffer, offset - this.#start, available)
    const header = readBatchHeader(views)
    if (header === null || header.sizeBytes > available) return null
    if (header.position !== position || header.segment !== segment.number) return null
    if (!isBatchIntact(views, header.sizeBytes)) return null
    this.views = views
    return {
      header,
      recordsStart: header.headerSizeBytes,
      recordsEnd: header.sizeBytes,
      endPosition: position + header.sizeBytes,
    }
  }

  /**
   * Reads on from `position`, a whole batch at the least. Not beyond what was appended, when that is known: what stands
   * behind it may be an append that failed, and another one may still take its place.
   */
  #fill(segment: Segment, position: number): void {
    const { file, endPosition } = segment
    const offset = fileOffset(segment, position)
    const sizeMax = endPosition > position ? endPosition - position : Number.POSITIVE_INFINITY
    const take = () => {
      this.#end = offset + file.read(this.#buffer.subarray(0, Math.min(this.#buffer.length, sizeMax)), offset)
    }
    this.#file = file
    this.#start = offset
    take()
    if (this.#end - offset < this.#buffer.length) return
    const header = readBatchHeader(new RecordViews(this.#buffer.buffer))
    if (header === null || header.sizeBytes <= this.#buffer.length) return
    if (header.sizeBytes > file.sizeBytes() - offset) return // not a header at all
    this.#buffer = new Uint8Array(header.sizeBytes * 2)
    take()
  }

  /** The first intact batch behind `position` in the segment, read; null when there is none. */
  findBehind(segment: Segment, position: number): BatchPlace | null {
    for (const offset of magicOffsets(segment.file, fileOffset(segment, position + 8))) {
      const place = this.read(segment, segment.startPosition + offset - SEGMENT_HEADER_SIZE_BYTES)
      if (place !== null) return place
    }
    return null
  }

  /** Whether an intact batch of the segment stands in its file, when the header that says where it begins is gone. */
  holdsBatch(segment: Segment): boolean {
    const start = new Uint8Array(BATCH_HEADER_SIZE_BYTES)
    for (const offset of magicOffsets(segment.file, SEGMENT_HEADER_SIZE_BYTES)) {
      segment.file.read(start, offset)
      const position = readBatchHeader(new RecordViews(start.buffer))?.position
      if (position === undefined) continue
      const startPosition = position - (offset - SEGMENT_HEADER_SIZE_BYTES)
      const placed = { ...segment, startPosition, endPosition: startPosition }
      if (this.read(placed, position) !== null) return true
    }
    return false
  }
}

/** Where in the file, from that offset on, what may be a batch begins. */
function* magicOffsets(file: JournalFile, from: number): Generator<number> {
  const words = new Uint32Array(SEARCH_SIZE_BYTES / 4)
  const bytes = new Uint8Array(words.buffer)
  for (let start = from; ; start += SEARCH_SIZE_BYTES) {
    const sizeBytes = file.read(bytes, start)
    for (let offset = 0; offset + 8 <= sizeBytes; offset += 8) {
      if (words[offset >>> 2] === BATCH_MAGIC) yield start + offset
    }
    if (sizeBytes < bytes.length) return
  }
}

/** What the control records of one batch say. */
export interface BatchControl {
  marks: Mark[]
  confirmed: number[]
  skips: number[]
  splits: Split[]
}

export function collectControl(views: RecordViews, place: BatchPlace): BatchControl {
  const control: BatchControl = { marks: [], confirmed: [], skips: [], splits: [] }
  for (let offset = place.recordsStart; offset < place.recordsEnd; ) {
    const kind = views.bytes[offset + 4]
    if (kind === RecordKind.MARK) control.marks.push(readMark(views, offset))
    else if (kind === RecordKind.CONFIRMATION) control.confirmed.push(readControl(views, offset))
    else if (kind === RecordKind.SKIP) control.skips.push(readControl(views, offset))
    else if (kind === RecordKind.SPLIT) control.splits.push(readSplit(views, offset))
    const size = alignRecord(views.u32[offset >>> 2])
    assert(size > 0, 'an intact batch holds a record without a size')
    offset += size
  }
  return control
}

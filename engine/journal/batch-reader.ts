/**
 * Reads a journal's batches back, one at a time into one buffer that grows to the largest. Used at start to find the
 * journal's end, and by a shard that has fallen behind what it journalled.
 */
import { assert } from '../../base/assert.ts'
import {
  BATCH_HEADER_SIZE_BYTES,
  BATCH_MAGIC,
  type BatchHeader,
  isBatchIntact,
  readBatchHeader,
} from '../../codecs/journal/batch.ts'
import { type Mark, readControl, readMark, readSplit, type Split } from '../../codecs/journal/control.ts'
import { alignRecord, RecordKind, RecordViews } from '../../codecs/journal/record.ts'
import { fileOffset, type Segment } from './segment.ts'

/** A batch in the reader's buffer: its records lie in views[recordsStart, recordsEnd). */
export interface BatchPlace {
  header: BatchHeader
  recordsStart: number
  recordsEnd: number
  endPosition: number
}

const SEARCH_SIZE_BYTES = 1 << 20

export class BatchReader {
  views = new RecordViews(new ArrayBuffer(SEARCH_SIZE_BYTES))

  /** The batch at `position`; null when no whole, intact batch of that place stands there. */
  read(segment: Segment, position: number): BatchPlace | null {
    const offset = fileOffset(segment, position)
    const available = segment.file.sizeBytes() - offset
    if (available < BATCH_HEADER_SIZE_BYTES) return null
    segment.file.read(this.views.bytes.subarray(0, BATCH_HEADER_SIZE_BYTES), offset)
    const header = readBatchHeader(this.views)
    if (header === null || header.sizeBytes > available) return null
    if (header.position !== position || header.segment !== segment.number) return null
    if (header.sizeBytes > this.views.bytes.length) {
      this.views = new RecordViews(new ArrayBuffer(alignRecord(header.sizeBytes * 2)))
    }
    segment.file.read(this.views.bytes.subarray(0, header.sizeBytes), offset)
    if (!isBatchIntact(this.views, header.sizeBytes)) return null
    return {
      header,
      recordsStart: header.headerSizeBytes,
      recordsEnd: header.sizeBytes,
      endPosition: position + header.sizeBytes,
    }
  }

  /** The first intact batch behind `position` in the segment, read; null when there is none. */
  findBehind(segment: Segment, position: number): BatchPlace | null {
    const words = new Uint32Array(SEARCH_SIZE_BYTES / 4)
    const bytes = new Uint8Array(words.buffer)
    for (let start = position + 8; ; start += SEARCH_SIZE_BYTES) {
      const sizeBytes = segment.file.read(bytes, fileOffset(segment, start))
      for (let offset = 0; offset + 8 <= sizeBytes; offset += 8) {
        if (words[offset >>> 2] !== BATCH_MAGIC) continue
        const place = this.read(segment, start + offset)
        if (place !== null) return place
      }
      if (sizeBytes < bytes.length) return null
    }
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

/**
 * Reads a journal's batches back, one at a time into one buffer that grows to the largest. Used at start to find the
 * journal's end, and by a shard that has fallen behind what it journalled.
 */
import { assert } from '../../base/assert.ts'
import {
  BATCH_HEADER_SIZE_BYTES,
  type BatchHeader,
  isBatchIntact,
  readBatchHeader,
} from '../../codecs/journal/batch.ts'
import { type Mark, readConfirmation, readMark } from '../../codecs/journal/control.ts'
import { alignRecord, RecordKind, RecordViews } from '../../codecs/journal/record.ts'
import { fileOffset, type Segment } from './segment.ts'

/** A batch in the reader's buffer: its records lie in views[recordsStart, recordsEnd). */
export interface BatchPlace {
  header: BatchHeader
  recordsStart: number
  recordsEnd: number
  endPosition: number
}

export class BatchReader {
  views = new RecordViews(new ArrayBuffer(1 << 20))

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
      recordsStart: BATCH_HEADER_SIZE_BYTES,
      recordsEnd: header.sizeBytes,
      endPosition: position + header.sizeBytes,
    }
  }
}

/** The marks and confirmations of one batch. */
export function collectControl(
  views: RecordViews,
  place: BatchPlace,
): { marks: Mark[]; confirmed: number[] } {
  const marks: Mark[] = []
  const confirmed: number[] = []
  for (let offset = place.recordsStart; offset < place.recordsEnd; ) {
    const kind = views.bytes[offset + 4]
    if (kind === RecordKind.MARK) marks.push(readMark(views, offset))
    else if (kind === RecordKind.CONFIRMATION) confirmed.push(readConfirmation(views, offset))
    const size = alignRecord(views.u32[offset >>> 2])
    assert(size > 0, 'an intact batch holds a record without a size')
    offset += size
  }
  return { marks, confirmed }
}

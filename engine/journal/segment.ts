/** One file of a journal. Positions count the bytes of batches; the file begins with a header that does not count. */
import { SEGMENT_HEADER_SIZE_BYTES } from '../../codecs/journal/batch.ts'
import type { JournalFile } from './disk.ts'

export interface Segment {
  number: number
  name: string
  file: JournalFile
  startPosition: number
  /** Position behind its last batch. */
  endPosition: number
}

export function fileOffset(segment: Segment, position: number): number {
  return SEGMENT_HEADER_SIZE_BYTES + (position - segment.startPosition)
}

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
  /** Up to this position the file had its room on the disk when it was begun. */
  allocatedEnd: number
}

const NAME = /^(\d{10})\.journal$/

export function segmentName(number: number): string {
  return `${String(number).padStart(10, '0')}.journal`
}

/** The number in a segment's name; 0 for other names. */
export function segmentNumber(name: string): number {
  return Number(NAME.exec(name)?.[1] ?? 0)
}

export function fileOffset(segment: Segment, position: number): number {
  return SEGMENT_HEADER_SIZE_BYTES + (position - segment.startPosition)
}

/**
 * The frame around records in a journal segment: what one write appends and one sync makes durable.
 *
 *   segment header, 64 bytes                 batch header, 48 bytes, then ring positions, then records
 *    0 u32 magic "MRSG"                       0 u32 magic "MRBT"
 *    4 u32 crc32 of bytes 8..64               4 u32 crc32 of bytes 8..size
 *    8 u32 format version                     8 u32 size, header included, a multiple of 8
 *   12 u32 byte order check 0x01020304       12 u32 segment number
 *   16 u32 segment number                    16 f64 position of this batch in the journal
 *   20 u32 shard                             24 f64 time of the append, ms: the journal's clock tick
 *   24 f64 position of its first batch       32 f64 durable position when it was written
 *   32 f64 next mark                         40 u32 flags
 *   40 16 bytes store id                     44 u32 count of rings
 *   56 u32 count of shards, 60 u32 0         48 u32 for each ring: its position behind what was taken from it
 *
 * The ring positions are padded to 8 bytes. A position counts the bytes of batches, from the journal's beginning; segment headers do not count.
 */
import { crc32 } from 'node:zlib'
import { RecordViews } from './record.ts'

const JOURNAL_FORMAT_VERSION = 1
export const SEGMENT_HEADER_SIZE_BYTES = 64
export const BATCH_HEADER_SIZE_BYTES = 48
const STORE_ID_SIZE_BYTES = 16

const SEGMENT_MAGIC = 0x4753524d
/** In the first four bytes of every batch. */
export const BATCH_MAGIC = 0x5442524d
const BYTE_ORDER_CHECK = 0x01020304

export const BatchFlag = { HAS_CONTROL: 1 } as const

export interface SegmentHeader {
  number: number
  shard: number
  shardCount: number
  startPosition: number
  nextMark: number
  storeId: Uint8Array
}

export interface BatchHeader {
  sizeBytes: number
  segment: number
  position: number
  timeMs: number
  durablePosition: number
  flags: number
  /** Bytes of header and ring positions: the records follow. */
  headerSizeBytes: number
}

export function encodeSegmentHeader(header: SegmentHeader): Uint8Array {
  const views = new RecordViews(new ArrayBuffer(SEGMENT_HEADER_SIZE_BYTES))
  const { u32, f64, bytes } = views
  u32[0] = SEGMENT_MAGIC
  u32[2] = JOURNAL_FORMAT_VERSION
  u32[3] = BYTE_ORDER_CHECK
  u32[4] = header.number
  u32[5] = header.shard
  f64[3] = header.startPosition
  f64[4] = header.nextMark
  bytes.set(header.storeId, 40)
  u32[14] = header.shardCount
  u32[1] = crc32(bytes.subarray(8))
  return bytes
}

/** The header in the first 64 bytes; null when they are none, of another format version, or damaged. */
export function decodeSegmentHeader(source: Uint8Array): SegmentHeader | null {
  if (source.length < SEGMENT_HEADER_SIZE_BYTES) return null
  const bytes = source.slice(0, SEGMENT_HEADER_SIZE_BYTES)
  const { u32, f64 } = new RecordViews(bytes.buffer)
  if (u32[0] !== SEGMENT_MAGIC || u32[1] !== crc32(bytes.subarray(8))) return null
  if (u32[2] !== JOURNAL_FORMAT_VERSION || u32[3] !== BYTE_ORDER_CHECK) return null
  return {
    number: u32[4],
    shard: u32[5],
    shardCount: u32[14],
    startPosition: f64[3],
    nextMark: f64[4],
    storeId: bytes.slice(40, 40 + STORE_ID_SIZE_BYTES),
  }
}

/** Header and ring positions together. */
export function batchHeaderSize(ringCount: number): number {
  return BATCH_HEADER_SIZE_BYTES + ((ringCount * 4 + 7) & ~7)
}

/** Fills `views` (batchHeaderSize bytes, zeros behind an odd number of rings); `records` are what follows, in order. */
// hot: per batch
export function writeBatchHeader(
  views: RecordViews,
  header: Omit<BatchHeader, 'headerSizeBytes'>,
  ringPositions: readonly number[],
  records: readonly Uint8Array[],
): void {
  const { u32, f64, bytes } = views
  u32[0] = BATCH_MAGIC
  u32[2] = header.sizeBytes
  u32[3] = header.segment
  f64[2] = header.position
  f64[3] = header.timeMs
  f64[4] = header.durablePosition
  u32[10] = header.flags
  u32[11] = ringPositions.length
  for (let ring = 0; ring < ringPositions.length; ring++) u32[12 + ring] = ringPositions[ring]
  let checksum = crc32(bytes.subarray(8, batchHeaderSize(ringPositions.length)))
  for (const part of records) checksum = crc32(part, checksum)
  u32[1] = checksum
}

/** The header's fields without a check; null when these are not a batch header's bytes. */
export function readBatchHeader(views: RecordViews): BatchHeader | null {
  const { u32, f64 } = views
  const sizeBytes = u32[2]
  const headerSizeBytes = batchHeaderSize(u32[11])
  if (u32[0] !== BATCH_MAGIC || sizeBytes < headerSizeBytes || sizeBytes % 8 !== 0) return null
  return {
    sizeBytes,
    segment: u32[3],
    position: f64[2],
    timeMs: f64[3],
    durablePosition: f64[4],
    flags: u32[10],
    headerSizeBytes,
  }
}

/** Whether the whole batch in the first `sizeBytes` of `views` is what was written. */
export function isBatchIntact(views: RecordViews, sizeBytes: number): boolean {
  return views.u32[1] === crc32(views.bytes.subarray(8, sizeBytes))
}

/**
 * The first 72 bytes of a snapshot; sections as in codecs/state.ts follow.
 *
 *    0 u32 magic "MRSS"          16 f64 size in bytes, header included      48 16 bytes store id
 *    4 u32 crc32 of bytes 8..    24 f64 journal position of the state       64 u32 shard
 *    8 u32 format version        32 f64 the last mark at or before it       68 u32 count of shards
 *   12 u32 byte order check      40 f64 the last mark known as confirmed
 *      0x01020304
 */
import { RecordViews } from './record.ts'

export const SNAPSHOT_HEADER_SIZE_BYTES = 72

const MAGIC = 0x5353524d
const FORMAT_VERSION = 1
const BYTE_ORDER_CHECK = 0x01020304

export interface SnapshotHeader {
  checksum: number
  sizeBytes: number
  position: number
  /** The state knows the rows of this batch as gone: without its confirmation it must not be used. */
  mark: number
  confirmedMark: number
  storeId: Uint8Array
  shard: number
  shardCount: number
}

export function encodeSnapshotHeader(header: SnapshotHeader): Uint8Array {
  const { u32, f64, bytes } = new RecordViews(new ArrayBuffer(SNAPSHOT_HEADER_SIZE_BYTES))
  u32[0] = MAGIC
  u32[1] = header.checksum
  u32[2] = FORMAT_VERSION
  u32[3] = BYTE_ORDER_CHECK
  f64[2] = header.sizeBytes
  f64[3] = header.position
  f64[4] = header.mark
  f64[5] = header.confirmedMark
  bytes.set(header.storeId, 48)
  u32[16] = header.shard
  u32[17] = header.shardCount
  return bytes
}

/** Null when these are no such header's bytes; the checksum is not looked at. `bytes` start at a multiple of 8. */
export function decodeSnapshotHeader(bytes: Uint8Array): SnapshotHeader | null {
  if (bytes.length < SNAPSHOT_HEADER_SIZE_BYTES) return null
  const { u32, f64 } = new RecordViews(bytes.buffer, bytes.byteOffset, SNAPSHOT_HEADER_SIZE_BYTES)
  if (u32[0] !== MAGIC || u32[2] !== FORMAT_VERSION || u32[3] !== BYTE_ORDER_CHECK) return null
  return {
    checksum: u32[1],
    sizeBytes: f64[2],
    position: f64[3],
    mark: f64[4],
    confirmedMark: f64[5],
    storeId: bytes.slice(48, 64),
    shard: u32[16],
    shardCount: u32[17],
  }
}

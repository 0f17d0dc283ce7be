/**
 * Control records: what a shard writes into its own journal between the messages.
 *
 *   MARK          0 u32 size, 4 u8 kind, 5 u8 1 if all windows were closed there, 8 f64 mark,
 *                 16 f64 position: the batch `mark` ends there
 *   CONFIRMATION  0 u32 size, 4 u8 kind, 8 f64 mark: ClickHouse has every row of that batch
 *   GAP           0 u32 size, 4 u8 kind, 8 f64 ms: the engine was down that long before this batch
 *   SKIP          0 u32 size, 4 u8 kind, 8 f64 position: the message there killed the engine and is a dead letter
 *   SPLIT         0 u32 size, 4 u8 kind, 8 f64 mark, 16 u32 row, 20 u32 ClickHouse's exception code, 24 u32 size of the
 *                 token, 28 token: the part of the batch with that token is sent in two parts, cut before that row; when
 *                 row is 0 it is one row that ClickHouse refuses, and goes to the dead letters
 */
import { alignRecord, RecordKind, type RecordViews } from './record.ts'

export const MARK_SIZE_BYTES = 24
/** All others: one number. */
export const CONTROL_SIZE_BYTES = 16

const FLUSH_BIT = 0x100

export interface Mark {
  number: number
  /** Journal position, exclusive, up to which readings belong to this batch or an earlier one. */
  position: number
  /** All open windows were closed into this batch. */
  isFlush: boolean
}

/** Writes at `offset` (a multiple of 8) and returns the offset behind it. */
export function writeMark(views: RecordViews, offset: number, mark: Mark): number {
  views.u32[offset >>> 2] = MARK_SIZE_BYTES
  views.u32[(offset >>> 2) + 1] = RecordKind.MARK | (mark.isFlush ? FLUSH_BIT : 0)
  views.f64[(offset >>> 3) + 1] = mark.number
  views.f64[(offset >>> 3) + 2] = mark.position
  return offset + MARK_SIZE_BYTES
}

export function readMark(views: RecordViews, offset: number): Mark {
  const isFlush = (views.u32[(offset >>> 2) + 1] & FLUSH_BIT) !== 0
  return { number: views.f64[(offset >>> 3) + 1], position: views.f64[(offset >>> 3) + 2], isFlush }
}

export type NumberKind = typeof RecordKind.CONFIRMATION | typeof RecordKind.GAP | typeof RecordKind.SKIP

/** Writes a record of one number: a mark's, milliseconds, or a position. */
export function writeControl(views: RecordViews, offset: number, kind: NumberKind, value: number): number {
  views.u32[offset >>> 2] = CONTROL_SIZE_BYTES
  views.u32[(offset >>> 2) + 1] = kind
  views.f64[(offset >>> 3) + 1] = value
  return offset + CONTROL_SIZE_BYTES
}

export function readControl(views: RecordViews, offset: number): number {
  return views.f64[(offset >>> 3) + 1]
}

export interface Split {
  mark: number
  token: string
  row: number
  exceptionCode: number
}

const SPLIT_TOKEN_OFFSET = 28

/** Bytes of a split's record, padding included. */
export function splitSize({ token }: Split): number {
  return alignRecord(SPLIT_TOKEN_OFFSET + token.length)
}

/** Tokens are ASCII. */
export function writeSplit(views: RecordViews, offset: number, split: Split): number {
  const { u32, f64, bytes } = views
  const word = offset >>> 2
  const end = offset + splitSize(split)
  bytes.fill(0, offset, end)
  u32[word] = SPLIT_TOKEN_OFFSET + split.token.length
  u32[word + 1] = RecordKind.SPLIT
  f64[(offset >>> 3) + 1] = split.mark
  u32[word + 4] = split.row
  u32[word + 5] = split.exceptionCode
  u32[word + 6] = split.token.length
  bytes.set(Buffer.from(split.token, 'latin1'), offset + SPLIT_TOKEN_OFFSET)
  return end
}

export function readSplit(views: RecordViews, offset: number): Split {
  const { u32, f64, bytes } = views
  const word = offset >>> 2
  const start = offset + SPLIT_TOKEN_OFFSET
  return {
    mark: f64[(offset >>> 3) + 1],
    row: u32[word + 4],
    exceptionCode: u32[word + 5],
    token: Buffer.from(bytes.subarray(start, start + u32[word + 6])).toString('latin1'),
  }
}

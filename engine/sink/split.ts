/**
 * A batch of which ClickHouse refuses a row is sent in ever smaller parts until that row stands alone; then it becomes a
 * dead letter. Each step is journalled before the parts leave, so that a replay sends the same ones with the same tokens.
 */
import { assert } from '../../base/assert.ts'
import type { Split } from '../../codecs/journal/control.ts'
import { describeRow, sliceBlock } from '../../codecs/native/block-slice.ts'
import { BlockWriter } from '../../codecs/native/block-writer.ts'
import { columnNames, DEAD_LETTERS_COLUMNS, LEDGER_COLUMNS } from '../store/columns.ts'
import type { BatchPart, SealedBatch } from './sealed-batch.ts'

/** The step that a refused part calls for. */
export function nextSplit(batch: SealedBatch, part: BatchPart, exceptionCode: number): Split {
  return { mark: batch.mark, token: part.token, row: part.rowCount >>> 1, exceptionCode }
}

/** Puts what the split says in the place of its part. `shard` and `position` go into the dead letter. */
export function applySplit(batch: SealedBatch, split: Split, shard: number, position: number): void {
  const index = batch.parts.findIndex(({ token }) => token === split.token)
  assert(index >= 0, 'a split is of a part of its batch')
  const part = batch.parts[index]
  const parts = split.row > 0 ? halves(part, split.row) : deadLetter(part, split, shard, position)
  batch.parts.splice(index, 1, ...parts)
}

function halves(part: BatchPart, row: number): BatchPart[] {
  const { block, token, rowCount } = part
  return [
    { ...part, block: sliceBlock(block, 0, row), token: `${token}/a`, rowCount: row },
    { ...part, block: sliceBlock(block, row, rowCount), token: `${token}/b`, rowCount: rowCount - row },
  ]
}

/** The row as a dead letter; a reading is also moved in the books, from stored to dead-lettered. */
function deadLetter(part: BatchPart, split: Split, shard: number, position: number): BatchPart[] {
  const row = describeRow(part.block, 0)
  const arrivalMs = Date.parse(String(row.arrival ?? row.start ?? row.raised ?? row.ts))
  const letter = {
    table: 'dead_letters',
    columns: columnNames(DEAD_LETTERS_COLUMNS),
    block: letterBlock(part.table, row, arrivalMs, split, shard, position),
    token: `${split.token}/letter`,
    rowCount: 1,
  }
  if (part.table !== 'samples') return [letter]
  const correction = {
    table: 'ledger',
    columns: columnNames(LEDGER_COLUMNS),
    block: correctionBlock(String(row.stream), arrivalMs, split.mark, shard),
    token: `${split.token}/ledger`,
    rowCount: 1,
  }
  return [letter, correction]
}

function letterBlock(
  table: string,
  row: Record<string, string | number>,
  arrivalMs: number,
  split: Split,
  shard: number,
  position: number,
): Uint8Array {
  const payload = utf8(JSON.stringify({ table, ...row }))
  const writer = new BlockWriter()
  writer.begin(DEAD_LETTERS_COLUMNS.length, 1)
  writer.dateTime64('arrival', Float64Array.of(arrivalMs), null)
  writer.lowCardinality('stream', [utf8(String(row.stream))], null, null)
  writer.lowCardinality('device', [utf8(String(row.device))], null, null)
  writer.string('topic', payload, Int32Array.of(0), Int32Array.of(0), null)
  writer.lowCardinality(
    'reason',
    [utf8(`refused by ClickHouse with code ${split.exceptionCode}`)],
    null,
    null,
  )
  writer.string('payload', payload, Int32Array.of(0), Int32Array.of(payload.length), null)
  writer.uint32('shard', [shard], null)
  writer.uint64('position', Float64Array.of(position), null)
  return writer.finish().slice()
}

function correctionBlock(stream: string, arrivalMs: number, mark: number, shard: number): Uint8Array {
  const deltas: Record<string, number> = { stored: -1, dead_lettered: 1 }
  const [streamColumn, minute, shardColumn, markColumn, ...figures] = LEDGER_COLUMNS
  const writer = new BlockWriter()
  writer.begin(LEDGER_COLUMNS.length, 1)
  writer.lowCardinality(streamColumn.name, [utf8(stream)], null, null)
  writer.uint32(minute.name, [Math.floor(arrivalMs / 60_000) * 60], null, minute.type)
  writer.uint32(shardColumn.name, [shard], null)
  writer.uint64(markColumn.name, Float64Array.of(mark), null)
  for (const { name, type } of figures) writer.uint64(name, Float64Array.of(deltas[name] ?? 0), null, type)
  return writer.finish().slice()
}

function utf8(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}

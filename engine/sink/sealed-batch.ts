/** What a shard hands to its sink: the rows that end at one mark, as one Native block per table. */

import type { Alert } from '../shard/alert.ts'

export interface BatchPart {
  table: string
  columns: readonly string[]
  block: Uint8Array
  /** (store id, table, shard, mark): ClickHouse takes a block with a token that it has seen as done already. */
  token: string
  rowCount: number
}

export interface SealedBatch {
  mark: number
  /** In the order in which they are sent. */
  parts: BatchPart[]
  /** What else leaves when the mark is durable. */
  alerts: readonly Alert[]
  rowCount: number
  sizeBytes: number
}

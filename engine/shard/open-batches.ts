/**
 * The batches of a shard from their sealing until the journal durably knows that ClickHouse has them, in the order of
 * their marks. Owned by the shard's thread. Invariant: a batch is handed to the sink when its mark is durable, and parts
 * of it when the split that made them is.
 */
import { assert } from '../../base/assert.ts'
import {
  CONTROL_SIZE_BYTES,
  MARK_SIZE_BYTES,
  type Mark,
  type Split,
  splitSize,
  writeControl,
  writeMark,
  writeSplit,
} from '../../codecs/journal/control.ts'
import { RecordKind, type RecordViews } from '../../codecs/journal/record.ts'
import type { BatchPart, SealedBatch } from '../sink/sealed-batch.ts'
import type { Sink } from '../sink/sink.ts'
import { applySplit, nextSplit } from '../sink/split.ts'
import type { Alert } from './alert.ts'

interface OpenBatch {
  mark: Mark
  /** Where it begins. */
  startPosition: number
  /** Null once it is confirmed. */
  batch: SealedBatch | null
  /** `closing`: its confirmation is appended. */
  state: 'sealed' | 'appended' | 'sent' | 'confirmed' | 'closing'
}

export class OpenBatches {
  /** The last batch whose confirmation is durable. */
  confirmedMark: number
  rowsStored = 0
  #sink: Sink
  #alert: (alerts: readonly Alert[]) => void
  #shard: number
  #open: OpenBatch[] = []
  /** Steps towards a refused row: written down, then taken. */
  #splits: { split: Split; isAppended: boolean }[] = []

  /** `alert` gets what is to be told once a batch's mark is durable. */
  constructor(sink: Sink, alert: (alerts: readonly Alert[]) => void, shard: number, confirmedMark: number) {
    this.#sink = sink
    this.#alert = alert
    this.#shard = shard
    this.confirmedMark = confirmedMark
  }

  get isEmpty(): boolean {
    return this.#open.length === 0
  }

  /** Those that ClickHouse may not have yet; their rows are in memory. */
  get unconfirmedCount(): number {
    let count = 0
    for (const { batch } of this.#open) if (batch !== null) count++
    return count
  }

  /** Where the oldest batch begins that ClickHouse may not have; null without one. */
  get unconfirmedStart(): number | null {
    return this.#open.find(({ batch }) => batch !== null)?.startPosition ?? null
  }

  /** Where the oldest batch begins of which the journal does not durably know that ClickHouse has it. */
  get openStart(): number | null {
    return this.#open[0]?.startPosition ?? null
  }

  /** Takes a batch whose mark is still to be written down. */
  add(mark: Mark, startPosition: number, batch: SealedBatch): void {
    this.#open.push({ mark, startPosition, batch, state: 'sealed' })
  }

  /** Takes a batch whose mark was durable before the start, with the splits of all batches that were. */
  addRecovered(mark: Mark, startPosition: number, batch: SealedBatch, splits: readonly Split[]): void {
    this.#open.push({ mark, startPosition, batch, state: 'appended' })
    for (const split of splits) {
      if (split.mark === mark.number) applySplit(batch, split, this.#shard, mark.position)
    }
    this.#send()
  }

  /** At least the bytes that `encode` writes. */
  get controlSizeBytesMax(): number {
    let sizeBytes = this.#open.length * Math.max(MARK_SIZE_BYTES, CONTROL_SIZE_BYTES)
    for (const { split } of this.#splits) sizeBytes += splitSize(split)
    return sizeBytes
  }

  /** Writes what is to be written down; returns the offset behind it. */
  encode(views: RecordViews, offset: number): number {
    let at = offset
    for (const { mark, state } of this.#open) {
      if (state === 'sealed') at = writeMark(views, at, mark)
      else if (state === 'confirmed') at = writeControl(views, at, RecordKind.CONFIRMATION, mark.number)
    }
    for (const { split, isAppended } of this.#splits) if (!isAppended) at = writeSplit(views, at, split)
    return at
  }

  /** What was encoded is appended. */
  onAppended(): void {
    for (const step of this.#splits) step.isAppended = true
    for (const open of this.#open) {
      if (open.state === 'sealed') open.state = 'appended'
      else if (open.state === 'confirmed') open.state = 'closing'
    }
  }

  /** What was appended is durable. */
  onDurable(): void {
    while (this.#splits[0]?.isAppended) this.#takeSplit(this.#splits.splice(0, 1)[0].split)
    this.#send()
    while (this.#open[0]?.state === 'closing') this.confirmedMark = this.#open.splice(0, 1)[0].mark.number
  }

  /** ClickHouse refuses a row of the part: nearer to it by one step, once that is written down. */
  onRefused(batch: SealedBatch, part: BatchPart, exceptionCode: number): void {
    this.#splits.push({ split: nextSplit(batch, part, exceptionCode), isAppended: false })
  }

  onConfirmed(batch: SealedBatch): void {
    const open = this.#open.find(({ state }) => state === 'sent')
    assert(open?.batch === batch, 'confirmations come in the order of the marks')
    open.state = 'confirmed'
    open.batch = null
    this.rowsStored += batch.rowCount
  }

  #takeSplit(split: Split): void {
    const open = this.#open.find(({ mark }) => mark.number === split.mark)
    assert(open !== undefined && open.batch !== null, 'a batch that is split is open')
    applySplit(open.batch, split, this.#shard, open.mark.position)
    this.#sink.resume()
  }

  #send(): void {
    for (const open of this.#open) {
      if (open.state !== 'appended' || open.batch === null) continue
      open.state = 'sent'
      if (open.batch.alerts.length > 0) this.#alert(open.batch.alerts)
      this.#sink.send(open.batch)
    }
  }
}

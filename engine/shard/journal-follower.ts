/**
 * Processes what is journalled, in the journal's order, into batches. While the sink keeps up it is live: it works on the
 * bytes that were just appended, in the rings. While the sink is full, or blocks are being built of its rows, or a
 * snapshot is being copied, it stands still, and later catches up from the journal's files; a start after a crash is the
 * same thing. Owned by the shard's thread.
 * Invariants: processed <= appended; a batch leaves when its mark is durable; a snapshot holds the state where a batch
 * ended; a journal segment goes when neither an open batch nor the two newest snapshots need it.
 */
import { assert } from '../../base/assert.ts'
import { CONTROL_SIZE_BYTES, writeControl } from '../../codecs/journal/control.ts'
import { alignRecord, RecordKind, RecordViews } from '../../codecs/journal/record.ts'
import type { BatchConfig } from '../config.ts'
import { type BatchPlace, BatchReader } from '../journal/batch-reader.ts'
import type { Journal } from '../journal/journal.ts'
import { JournalError, type RecoveredMark } from '../journal/segment-recovery.ts'
import type { RestoredSnapshot, Snapshots } from '../journal/snapshots.ts'
import type { SealedBatch } from '../sink/sealed-batch.ts'
import type { Sink } from '../sink/sink.ts'
import type { Alert } from './alert.ts'
import type { Taken } from './journal-intake.ts'
import { OpenBatches } from './open-batches.ts'
import type { Pipeline } from './pipeline.ts'
import type { ProgressNote } from './progress-note.ts'
import type { Slices } from './slices.ts'
import { type Place, SnapshotTaker } from './snapshot-taker.ts'

/** How much a shard that is behind reads before it looks at its rings again, bytes. */
const CATCH_UP_SIZE_BYTES_MAX = 256 << 10
/** Batches that were sealed and are not yet in ClickHouse; more wait in the journal. */
const OPEN_BATCH_COUNT_MAX = 4
const TICK_INTERVAL_MS = 1000
/** A message that ended the engine so often is not tried again. */
const DEATH_COUNT_MAX = 3

export interface FollowerParts {
  shard: number
  journal: Journal
  snapshots: Snapshots
  pipeline: Pipeline
  /** Makes the pipeline's rows, which must stay as they are meanwhile, into the blocks of a batch. */
  blocks: {
    build(mark: number): Slices<SealedBatch>
    /** Nobody reads the batch any more. */
    recycle(batch: SealedBatch): void
  }
  batch: BatchConfig
  sink: Sink
  note: ProgressNote
  /** Bytes of journal from one snapshot to the next, at the least; the first one comes sooner. */
  snapshotIntervalBytes: number
  nowMs: number
  wake(): void
  /** Alerts whose batch is durable; after a start they may come again. */
  alert(alerts: readonly Alert[]): void
  report(fault: { code: string; message: string; isOver?: boolean }): void
}

/** What is to be brought to ClickHouse before the end: what was taken, with or without the windows that are open. */
export type Drain = 'none' | 'rows' | 'windows'

/** A batch whose blocks are being built, and what becomes of it then. */
interface Sealing {
  slices: Slices<SealedBatch>
  seal(batch: SealedBatch): void
}

export class JournalFollower {
  readonly batches: OpenBatches
  #parts: FollowerParts
  #reader = new BatchReader()
  /** The last batch that ended. */
  #mark: number
  #control = new RecordViews(new ArrayBuffer(1 << 12))
  #gapMs: number
  /** The record to skip: being written down, nothing is processed until that is durable. */
  #skip: number | null = null
  #processed: number
  #sealed: number
  #snapshots: SnapshotTaker
  #sealing: Sealing | null = null
  #isLive: boolean
  #rowsSinceMs = 0
  /** Of the last step. */
  #nowMs: number

  /** Takes the newest snapshot's state into the pipeline. Throws JournalError. */
  constructor(parts: FollowerParts) {
    this.#parts = parts
    const { journal, pipeline, note } = parts
    const snapshot = parts.snapshots.restore(journal.confirmedMark, journal.appendPosition)
    this.#mark = snapshot?.mark ?? 0
    const confirmedMark = snapshot?.confirmedMark ?? journal.confirmedMark
    this.batches = new OpenBatches(parts.sink, parts.alert, parts.shard, confirmedMark)
    this.#processed = this.#restore(snapshot)
    this.#snapshots = new SnapshotTaker({ ...parts, batches: this.batches }, this.#processed)
    this.#sealed = this.#processed
    this.#nowMs = parts.nowMs
    this.#isLive = this.#isCaughtUp
    this.#gapMs = journal.lastTimeMs > 0 ? Math.max(0, parts.nowMs - journal.lastTimeMs) : 0
    for (const position of journal.recoveredSkips) pipeline.skips.add(position)
    const { suspect } = note
    if (suspect !== null && suspect.deathCount >= DEATH_COUNT_MAX) this.#skip = suspect.position
  }

  get isLive(): boolean {
    return this.#isLive
  }

  /** Bytes journalled and not yet known to be in ClickHouse. */
  get backlogSizeBytes(): number {
    return this.#parts.journal.appendPosition - (this.batches.unconfirmedStart ?? this.#sealed)
  }

  /** Everything taken is in ClickHouse, and the journal knows it. */
  isDrained(drain: Drain): boolean {
    const { pipeline } = this.#parts
    const isEmpty = pipeline.rowCount === 0 && (drain === 'rows' || !pipeline.isOpen)
    return this.#isLive && isEmpty && this.batches.isEmpty && !this.#snapshots.isBusy // `finish` wants to write one
  }

  /** Whether time has to be written down though nothing else is: windows wait for it. */
  isTickDue(appendedMs: number, nowMs: number): boolean {
    return this.#isLive && nowMs >= appendedMs + TICK_INTERVAL_MS && this.#parts.pipeline.awaitsTime
  }

  /** The control records that are to be appended with the next batch. Valid until the next call. */
  encodeControl(): Uint8Array {
    const sizeMax = this.batches.controlSizeBytesMax + 2 * CONTROL_SIZE_BYTES
    if (sizeMax > this.#control.bytes.length) this.#control = new RecordViews(new ArrayBuffer(sizeMax * 2))
    const views = this.#control
    let offset = 0
    if (this.#gapMs > 0) offset = writeControl(views, offset, RecordKind.GAP, this.#gapMs)
    if (this.#skip !== null) offset = writeControl(views, offset, RecordKind.SKIP, this.#skip)
    offset = this.batches.encode(views, offset)
    return views.bytes.subarray(0, offset)
  }

  /** A batch was appended at `position`: the control records, then what was taken. Live, it is processed at once. */
  onAppended(position: number, control: Uint8Array, taken: readonly Taken[], nowMs: number): void {
    this.#gapMs = 0
    this.batches.onAppended()
    if (!this.#isLive) return
    const { pipeline, journal, note } = this.#parts
    const isBlocked = this.#isBatchFull() && this.#isSinkFull()
    if (isBlocked || this.#isStill || this.#skip !== null) {
      this.#isLive = false // from here on the journal's files are the queue
      return
    }
    let at = journal.appendPosition - control.length
    for (const { size } of taken) at -= size
    note.begin(position)
    pipeline.process(this.#control, 0, control.length, at)
    at += control.length
    for (const { ring, start, size } of taken) {
      pipeline.process(ring.views, start, start + size, at)
      at += size
    }
    pipeline.tick(nowMs)
    note.end()
    this.#processed = journal.appendPosition
    this.#noteRows(nowMs)
    if (pipeline.rowCount === 0) this.#sealed = this.#processed
  }

  /** ClickHouse has the batch. */
  onConfirmed(batch: SealedBatch): void {
    this.batches.onConfirmed(batch)
    this.#parts.blocks.recycle(batch)
  }

  /** The last append is durable. */
  onDurable(): void {
    if (this.#skip !== null) {
      this.#parts.pipeline.skips.add(this.#skip)
      this.#skip = null
    }
    this.batches.onDurable()
    this.#snapshots.release(this.#sealed)
  }

  /** Does what can be done now. */
  step(nowMs: number, drain: Drain): void {
    this.#nowMs = nowMs
    if (this.#sealing !== null) this.#buildSlice(this.#sealing)
    else if (this.#snapshots.isCopying) this.#snapshots.copy(nowMs)
    else if (!this.#isLive) this.#catchUp(nowMs)
    if (!this.#isLive || this.#isStill) return
    this.#sealIfDue(nowMs, drain)
    if (this.#parts.pipeline.rowCount === 0) this.#snapshots.takeIfDue(this.#place, nowMs)
  }

  /** After draining: a snapshot of what is left, so that the next start has nothing to replay. */
  finish(): Promise<boolean> {
    return this.#snapshots.finish(this.#place)
  }

  get #place(): Place {
    return { processed: this.#processed, sealed: this.#sealed, mark: this.#mark }
  }

  /** Where processing begins: behind the snapshot, or at the beginning of all. */
  #restore(snapshot: RestoredSnapshot | null): number {
    const { journal, pipeline } = this.#parts
    const position = snapshot?.position ?? 0
    if (position < journal.startPosition) {
      const message = `the journal begins at position ${journal.startPosition}, and no intact snapshot goes with it`
      throw new JournalError('JOURNAL_CORRUPT', message)
    }
    if (snapshot !== null) pipeline.load(snapshot.state)
    while (journal.recoveredMarks.length > 0 && journal.recoveredMarks[0].number <= this.#mark) {
      journal.recoveredMarks.shift() // not those of a flush that came right behind: it has the same position
    }
    return position
  }

  /** Goes on from the journal's files until nothing is left, the sink is full, or it is the rings' turn. */
  #catchUp(nowMs: number): void {
    const { journal } = this.#parts
    const stopAt = this.#processed + CATCH_UP_SIZE_BYTES_MAX
    while (this.#isMarkDue || (this.#processed < stopAt && this.#processed < journal.readablePosition)) {
      if (this.#isSinkFull() || this.#isStill || this.#skip !== null) return
      if (this.#isMarkDue) this.#sealRecovered(journal.recoveredMarks.splice(0, 1)[0])
      else if (this.#isBatchFull() && journal.recoveredMarks.length === 0) this.#seal(false)
      else this.#processNext(nowMs)
    }
    if (this.#isCaughtUp) this.#isLive = true
    if (this.#isLive || this.#processed < journal.readablePosition) this.#parts.wake()
  }

  /** The pipeline's rows or its state are being read, slice by slice. */
  get #isStill(): boolean {
    return this.#sealing !== null || this.#snapshots.isCopying
  }

  /** Nothing that the journal held at start is left to do. */
  get #isCaughtUp(): boolean {
    const { journal } = this.#parts
    return this.#processed === journal.appendPosition && journal.recoveredMarks.length === 0
  }

  /** A batch ended here before the restart. */
  get #isMarkDue(): boolean {
    const [mark] = this.#parts.journal.recoveredMarks
    return mark !== undefined && mark.position <= this.#processed
  }

  #processNext(nowMs: number): void {
    const position = this.#parts.journal.skipDamage(this.#processed)
    if (position > this.#processed) this.#processed = position
    else this.#processBatch(nowMs)
  }

  #processBatch(nowMs: number): void {
    const { journal, pipeline, note } = this.#parts
    const segment = journal.segmentAt(this.#processed)
    const place = this.#reader.read(segment, this.#processed)
    assert(
      place !== null,
      `journal segment ${segment.name} can't be read back at position ${this.#processed}`,
    )
    const { suspect } = note
    const isSuspect =
      suspect !== null && suspect.position >= this.#processed && suspect.position < place.endPosition
    if (isSuspect) this.#processCarefully(place)
    else {
      note.begin(this.#processed)
      const position = this.#processed + place.recordsStart
      pipeline.process(this.#reader.views, place.recordsStart, place.recordsEnd, position)
    }
    pipeline.tick(place.header.timeMs)
    note.end()
    this.#processed = place.endPosition
    this.#noteRows(nowMs)
    if (pipeline.rowCount === 0) this.#sealed = this.#processed
  }

  /** Record by record, so that a death leaves a note of the one that caused it. */
  #processCarefully({ recordsStart, recordsEnd }: BatchPlace): void {
    const { pipeline, note } = this.#parts
    const { views } = this.#reader
    for (let start = recordsStart; start < recordsEnd; ) {
      const end = start + alignRecord(views.u32[start >>> 2])
      note.begin(this.#processed + start)
      pipeline.process(views, start, end, this.#processed + start)
      start = end
    }
  }

  #sealIfDue(nowMs: number, drain: Drain): void {
    const { pipeline, batch } = this.#parts
    const isLeft = pipeline.rowCount > 0 || (drain === 'windows' && pipeline.isOpen)
    const isNow = drain === 'windows' || (drain === 'rows' && !this.#isSinkFull())
    if (isNow && isLeft) {
      this.#seal(drain === 'windows')
      this.#parts.wake()
      return
    }
    if (pipeline.rowCount === 0 || this.#isSinkFull()) return
    if (!this.#isBatchFull() && nowMs - this.#rowsSinceMs < batch.ageMsMax) return
    this.#seal(false)
    this.#parts.wake()
  }

  /** Ends a batch where processing stands. */
  #seal(isFlush: boolean): void {
    const { journal, pipeline } = this.#parts
    if (isFlush) pipeline.flush()
    if (pipeline.rowCount === 0) {
      this.#endRows()
      return
    }
    this.#build(journal.nextMark, (batch) => {
      this.#mark = journal.nextMark++
      this.batches.add({ number: this.#mark, position: this.#processed, isFlush }, this.#sealed, batch)
    })
  }

  /** Ends a batch where one ended before the restart: with its old mark, or not at all if ClickHouse has it. */
  #sealRecovered(mark: RecoveredMark): void {
    const { journal, pipeline } = this.#parts
    if (mark.isFlush) pipeline.flush()
    this.#mark = mark.number
    if (mark.isConfirmed || pipeline.rowCount === 0) {
      this.#endRows()
      return
    }
    this.#build(mark.number, (batch) =>
      this.batches.addRecovered(mark, this.#sealed, batch, journal.recoveredSplits),
    )
  }

  /** Makes the rows into the batch of a mark; from here on processing, not journalling, stands still until `seal`. */
  #build(mark: number, seal: (batch: SealedBatch) => void): void {
    this.#sealing = { slices: this.#parts.blocks.build(mark), seal }
    this.#buildSlice(this.#sealing)
  }

  #buildSlice({ slices, seal }: Sealing): void {
    const slice = slices.next()
    this.#parts.wake()
    if (slice.done !== true) return
    this.#sealing = null
    seal(slice.value)
    this.#endRows()
  }

  /** The rows are gone: state is all there is, and may be saved. */
  #endRows(): void {
    this.#parts.pipeline.clearRows()
    this.#sealed = this.#processed
    this.#rowsSinceMs = 0
    this.#snapshots.takeIfDue(this.#place, this.#nowMs)
  }

  #isBatchFull(): boolean {
    const { pipeline, batch } = this.#parts
    return pipeline.rowCount >= batch.rowsMax || pipeline.sizeBytes >= batch.sizeBytesMax
  }

  #isSinkFull(): boolean {
    return this.batches.unconfirmedCount >= OPEN_BATCH_COUNT_MAX
  }

  #noteRows(nowMs: number): void {
    if (this.#rowsSinceMs === 0 && this.#parts.pipeline.rowCount > 0) this.#rowsSinceMs = nowMs
  }
}

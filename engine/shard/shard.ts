/**
 * Owns the devices of one shard: takes what its rings hold, appends it to the journal in one write, starts the sync,
 * and processes the same bytes while the disk works. A step machine on the shard's thread: `step` does what can be
 * done now and returns when to call it again at the latest; the bell, a sync's end and a confirmation call it too.
 *
 * Processing follows the journal. While the sink keeps up it is live: it works on the ring's bytes. When the sink is
 * full it stops, the journal goes on, and later it catches up from the journal's files; a start after a crash is the
 * same thing. Invariants: processed <= appended; a ring's space is released when it is durable, and processed or
 * readable from the journal; a batch leaves when its mark is durable.
 */
import { assert } from '../../base/assert.ts'
import type { Clock } from '../../base/clock.ts'
import { BATCH_HEADER_SIZE_BYTES } from '../../codecs/journal/batch.ts'
import {
  CONFIRMATION_SIZE_BYTES,
  MARK_SIZE_BYTES,
  type Mark,
  writeConfirmation,
  writeMark,
} from '../../codecs/journal/control.ts'
import { RecordViews } from '../../codecs/journal/record.ts'
import type { BatchConfig } from '../config.ts'
import { BatchReader } from '../journal/batch-reader.ts'
import type { Journal, RecoveredMark } from '../journal/journal.ts'
import type { Doorbell } from '../ring/doorbell.ts'
import type { RingConsumer } from '../ring/ring.ts'
import type { SealedBatch } from '../sink/sealed-batch.ts'
import { Sink, type SinkSettings } from '../sink/sink.ts'
import type { Pipeline } from './pipeline.ts'

/** What one append takes from the rings, bytes; one record may pass it. */
const APPEND_SIZE_BYTES_MAX = 2 << 20
/** How much a shard that is behind reads before it looks at its rings again, bytes. */
const CATCH_UP_SIZE_BYTES_MAX = 4 << 20
/** Batches that were sealed and are not yet in ClickHouse; more wait in the journal. */
const OPEN_BATCH_COUNT_MAX = 4
const TICK_INTERVAL_MS = 1000
const RETRY_INTERVAL_MS = 500

export interface ShardParts {
  rings: readonly RingConsumer[]
  /** By gateway: rung when that gateway's ring has become durable. */
  gatewayBells: readonly Doorbell[]
  journal: Journal
  pipeline: Pipeline
  /** Makes the pipeline's rows into the blocks of a batch. */
  blocks: { build(pipeline: Pipeline, mark: number): SealedBatch }
  batch: BatchConfig
  sink: SinkSettings
  clock: Clock
  /** Asks for a step soon. */
  wake(): void
  report(fault: { code: string; message: string; isOver?: boolean }): void
}

interface OpenMark {
  mark: Mark
  /** Where its batch begins. */
  startPosition: number
  batch: SealedBatch
  state: 'sealed' | 'appended' | 'sent'
}

export class Shard {
  readonly sink: Sink
  rowsStored = 0
  /** Of journal syncs: count, and the time they took in all, us. */
  syncCount = 0
  syncTotalUs = 0
  #parts: ShardParts
  #reader = new BatchReader()
  #openMarks: OpenMark[] = []
  #confirmations: number[] = []
  #firstRing = 0
  #taken: { ring: RingConsumer; start: number; size: number }[] = []
  #control = new RecordViews(new ArrayBuffer(1 << 16))
  #processed: number
  #sealed: number
  #isLive: boolean
  #rowsSinceMs = 0
  #appendedMs = 0
  #retryAtMs = 0
  #isDiskTroubled = false
  #isDraining = false

  constructor(parts: ShardParts) {
    this.#parts = parts
    this.#processed = parts.journal.startPosition
    this.#sealed = this.#processed
    this.#isLive = this.#processed === parts.journal.appendPosition
    this.sink = new Sink(parts.sink, {
      onConfirmed: (batch) => this.#onConfirmed(batch),
      onTrouble: (error) => parts.report({ code: 'STORE_REFUSES', message: error.message }),
      onRecovered: () => parts.report({ code: 'STORE_REFUSES', message: 'inserts work again', isOver: true }),
      wake: () => parts.wake(),
    })
  }

  get isLive(): boolean {
    return this.#isLive
  }

  /** Bytes journalled and not yet known to be in ClickHouse. */
  get backlogSizeBytes(): number {
    return this.#parts.journal.appendPosition - (this.#openMarks[0]?.startPosition ?? this.#sealed)
  }

  /** Everything taken is in ClickHouse, and the journal knows it. */
  get isDrained(): boolean {
    const { pipeline, journal } = this.#parts
    const isEmpty = pipeline.rowCount === 0 && pipeline.windows.stats.openPanes === 0
    const isIdle = this.#confirmations.length === 0 && !journal.isSyncing
    return this.#isLive && isEmpty && isIdle && this.#openMarks.length === 0
  }

  /** Does what can be done now; returns when to call again at the latest, ms since the epoch. */
  step(): number {
    const nowMs = this.#parts.clock.nowMs()
    if (!this.#parts.journal.isSyncing && nowMs >= this.#retryAtMs) this.#append(nowMs)
    if (!this.#isLive) this.#catchUp(nowMs)
    this.#sealIfDue(nowMs)
    const sinkAtMs = this.sink.step(nowMs)
    return Math.min(nowMs + (this.#parts.pipeline.rowCount > 0 ? 100 : TICK_INTERVAL_MS), sinkAtMs)
  }

  /** Closes all windows into a last batch; the gateways take no more. */
  drain(): void {
    this.#isDraining = true
    this.#parts.wake()
  }

  /** After draining: the next start finds nothing to replay. */
  close(): void {
    const { journal } = this.#parts
    if (this.isDrained && !journal.isSyncing) {
      journal.roll()
      journal.releaseBefore(journal.appendPosition)
    }
    journal.close()
  }

  #append(nowMs: number): void {
    const { journal, rings } = this.#parts
    const taken = rings.map((ring) => ring.position)
    let position: number
    try {
      if (journal.isSegmentFull) this.#endSegment()
      position = journal.appendPosition
      if (!this.#write(nowMs)) return
    } catch (error) {
      rings.forEach((ring, index) => {
        ring.position = taken[index]
      })
      this.#onDiskTrouble(error as Error, nowMs)
      return
    }
    this.#onAppended(position, nowMs)
  }

  /** Appends what there is: rings, marks and confirmations, or nothing but the time. False when there is nothing. */
  #write(nowMs: number): boolean {
    const { journal, pipeline } = this.#parts
    this.#taken.length = 0
    if (!journal.isFull) this.#takeFromRings()
    const control = this.#encodeControl()
    const hasControl = control.length > 0
    const isTickDue =
      this.#isLive && pipeline.windows.stats.openPanes > 0 && nowMs >= this.#appendedMs + TICK_INTERVAL_MS
    if (this.#taken.length === 0 && !hasControl && !isTickDue) return false
    const records = this.#taken.map(({ ring, start, size }) => ring.views.bytes.subarray(start, start + size))
    if (hasControl) records.push(control)
    journal.append(records, nowMs, hasControl)
    return true
  }

  /** Takes from one ring after the other, and next time begins with the next one, so that none waits behind another. */
  #takeFromRings(): void {
    const { rings } = this.#parts
    let room = APPEND_SIZE_BYTES_MAX
    this.#firstRing = (this.#firstRing + 1) % rings.length
    for (let turn = 0; turn < rings.length && room > 0; turn++) {
      const ring = rings[(this.#firstRing + turn) % rings.length]
      for (let pass = 0; pass < 2 && room > 0; pass++) {
        const start = ring.offset() // the second pass goes on at the ring's start, when the first came to its end
        const size = ring.take(room)
        if (size === 0) break
        this.#taken.push({ ring, start, size })
        room -= size
      }
    }
  }

  #onAppended(position: number, nowMs: number): void {
    if (this.#isDiskTroubled) {
      this.#isDiskTroubled = false
      this.#parts.report({ code: 'JOURNAL_WRITE', message: 'the journal can be written again', isOver: true })
    }
    this.#appendedMs = nowMs
    this.#confirmations.length = 0
    for (const open of this.#openMarks) if (open.state === 'sealed') open.state = 'appended'
    this.#startSync()
    if (this.#isLive) this.#processLive(position, nowMs)
  }

  #startSync(): void {
    const { journal, rings, gatewayBells } = this.#parts
    const ends = rings.map((ring) => ring.position)
    const startUs = performance.now() * 1000
    journal.sync((error) => {
      // After a failed sync the kernel may have dropped the pages: this thread must not go on, the journal is read anew.
      if (error !== null) throw new Error(`journal sync failed: ${error.message}`, { cause: error })
      this.syncCount++
      this.syncTotalUs += performance.now() * 1000 - startUs
      for (let index = 0; index < rings.length; index++) {
        rings[index].release(ends[index])
        gatewayBells[index].ring()
      }
      this.#sendDurable()
      this.#parts.wake()
    })
  }

  #sendDurable(): void {
    for (const open of this.#openMarks) {
      if (open.state !== 'appended') continue
      open.state = 'sent'
      this.sink.send(open.batch)
    }
  }

  #processLive(position: number, nowMs: number): void {
    const { pipeline, journal } = this.#parts
    if (pipeline.rowCount >= this.#parts.batch.rowsMax && this.#isSinkFull()) {
      this.#isLive = false // from here on the journal's files are the queue
      return
    }
    let at = position + BATCH_HEADER_SIZE_BYTES
    for (const { ring, start, size } of this.#taken) {
      pipeline.process(ring.views, start, start + size, at)
      at += size
    }
    pipeline.tick(nowMs)
    this.#processed = journal.appendPosition
    this.#noteRows(nowMs)
    if (pipeline.rowCount === 0) this.#sealed = this.#processed
  }

  /** Goes on from the journal's files until nothing is left, the sink is full, or it is the rings' turn. */
  #catchUp(nowMs: number): void {
    const { journal, pipeline, batch } = this.#parts
    const stopAt = this.#processed + CATCH_UP_SIZE_BYTES_MAX
    while (!this.#isLive && this.#processed < stopAt) {
      if (this.#isSinkFull()) return
      if (pipeline.rowCount >= batch.rowsMax && journal.recoveredMarks.length === 0) this.#seal(false)
      if (this.#processed === journal.appendPosition) break
      this.#processNext(nowMs)
    }
    if (this.#processed === journal.appendPosition) this.#isLive = true
    else this.#parts.wake()
  }

  #processNext(nowMs: number): void {
    const { journal, pipeline } = this.#parts
    const segment = journal.segmentAt(this.#processed)
    const place = this.#reader.read(segment, this.#processed)
    assert(
      place !== null,
      `journal segment ${segment.name} can't be read back at position ${this.#processed}`,
    )
    const position = this.#processed + place.recordsStart
    pipeline.process(this.#reader.views, place.recordsStart, place.recordsEnd, position)
    pipeline.tick(place.header.timeMs)
    this.#processed = place.endPosition
    this.#noteRows(nowMs)
    while (journal.recoveredMarks[0]?.position === this.#processed) {
      const mark = journal.recoveredMarks.shift()
      if (mark !== undefined) this.#sealRecovered(mark)
    }
    if (this.#processed === segment.endPosition && segment !== journal.segments.at(-1)) this.#seal(true)
  }

  /** Before a new segment: all windows close into the old one's last batch. */
  #endSegment(): void {
    if (this.#processed === this.#parts.journal.appendPosition) this.#seal(true) // else catching up does it
    this.#parts.journal.roll()
  }

  #sealIfDue(nowMs: number): void {
    const { pipeline, batch } = this.#parts
    if (!this.#isLive) return
    if (this.#isDraining && (pipeline.windows.stats.openPanes > 0 || pipeline.rowCount > 0)) {
      this.#seal(true)
      this.#parts.wake()
      return
    }
    if (pipeline.rowCount === 0 || this.#isSinkFull()) return
    const isFull = pipeline.rowCount >= batch.rowsMax || pipeline.sizeBytes >= batch.sizeBytesMax
    if (!isFull && nowMs - this.#rowsSinceMs < batch.ageMsMax) return
    this.#seal(false)
    this.#parts.wake()
  }

  /** Ends a batch where processing stands. */
  #seal(isFlush: boolean): void {
    const { journal, pipeline } = this.#parts
    if (isFlush) pipeline.flush()
    if (pipeline.rowCount > 0) {
      this.#open({ number: journal.nextMark++, position: this.#processed, isFlush }, 'sealed')
    }
    this.#sealed = this.#processed
  }

  /** Ends a batch where one ended before the restart: with its old mark, or not at all if ClickHouse has it. */
  #sealRecovered(mark: RecoveredMark): void {
    const { pipeline } = this.#parts
    if (mark.isFlush) pipeline.flush()
    if (!mark.isConfirmed && pipeline.rowCount > 0) {
      this.#open(mark, 'appended')
      this.#sendDurable()
      return
    }
    pipeline.clearRows()
    this.#sealed = this.#processed
    this.#rowsSinceMs = 0
  }

  #open(mark: Mark, state: OpenMark['state']): void {
    const { pipeline, blocks } = this.#parts
    const batch = blocks.build(pipeline, mark.number)
    this.#openMarks.push({ mark, startPosition: this.#sealed, batch, state })
    pipeline.clearRows()
    this.#sealed = this.#processed
    this.#rowsSinceMs = 0
  }

  #onConfirmed(batch: SealedBatch): void {
    const open = this.#openMarks.shift()
    assert(open?.batch === batch, 'confirmations come in the order of the marks')
    this.rowsStored += batch.rowCount
    this.#confirmations.push(batch.mark)
    this.#releaseSegments()
  }

  /** Deletes what no replay needs: a batch is made again from the beginning of the segment in which it ends. */
  #releaseSegments(): void {
    const oldest = this.#openMarks[0]
    this.#parts.journal.releaseBefore(oldest === undefined ? this.#sealed : oldest.mark.position - 1)
  }

  #encodeControl(): Uint8Array {
    const sealed = this.#openMarks.filter((open) => open.state === 'sealed')
    const size = sealed.length * MARK_SIZE_BYTES + this.#confirmations.length * CONFIRMATION_SIZE_BYTES
    if (size > this.#control.bytes.length) this.#control = new RecordViews(new ArrayBuffer(size * 2))
    let offset = 0
    for (const { mark } of sealed) offset = writeMark(this.#control, offset, mark)
    for (const number of this.#confirmations) offset = writeConfirmation(this.#control, offset, number)
    return this.#control.bytes.subarray(0, offset)
  }

  #isSinkFull(): boolean {
    return this.#openMarks.length >= OPEN_BATCH_COUNT_MAX
  }

  #noteRows(nowMs: number): void {
    if (this.#rowsSinceMs === 0 && this.#parts.pipeline.rowCount > 0) this.#rowsSinceMs = nowMs
  }

  #onDiskTrouble(error: Error, nowMs: number): void {
    this.#retryAtMs = nowMs + RETRY_INTERVAL_MS
    if (!this.#isDiskTroubled) this.#parts.report({ code: 'JOURNAL_WRITE', message: error.message })
    this.#isDiskTroubled = true
  }
}

/**
 * Decides when a shard's state is written down, writes it slice by slice, and gives up what no start needs any more: older
 * snapshots, and journal segments. Owned by the shard's thread. Invariant: everything that the journal gives up is in ClickHouse,
 * and in a snapshot that recovery can begin from.
 */
import { StateWriter } from '../../codecs/state.ts'
import { isRoomFault } from '../journal/disk.ts'
import type { Journal } from '../journal/journal.ts'
import type { Snapshots } from '../journal/snapshots.ts'
import type { OpenBatches } from './open-batches.ts'
import type { Pipeline } from './pipeline.ts'

/** The first one comes early: its size tells how much room to keep for the next. */
const FIRST_SNAPSHOT_SHARE = 1 / 8
/** Journal between two snapshots to the size of one: what they cost stays bounded. */
const SNAPSHOT_SPACING = 2
/** After a snapshot that could not be written. */
const SNAPSHOT_RETRY_MS = 10_000

export interface SnapshotTakerParts {
  journal: Journal
  snapshots: Snapshots
  pipeline: Pipeline
  batches: OpenBatches
  /** Bytes of journal from one snapshot to the next, at the least; the first one comes sooner. */
  snapshotIntervalBytes: number
  wake(): void
  report(fault: { code: string; message: string; isOver?: boolean }): void
}

/** Where processing stands. */
export interface Place {
  processed: number
  /** Everything before it is in batches that ended. */
  sealed: number
  /** The last batch that ended. */
  mark: number
}

export class SnapshotTaker {
  #parts: SnapshotTakerParts
  /** Where the last one was taken, and when the next may be. */
  #takenAt: number
  #dueMs = 0
  #sealed: number
  #nowMs = 0

  constructor(parts: SnapshotTakerParts, position: number) {
    this.#parts = parts
    this.#takenAt = position
    this.#sealed = position
    parts.journal.keepRoomForSnapshot(parts.snapshots.sizeBytes)
  }

  /** The pipeline must stand still. */
  get isCopying(): boolean {
    return this.#parts.snapshots.isCopying
  }

  get isBusy(): boolean {
    return this.#parts.snapshots.isBusy
  }

  /** Only without rows. A full journal whose batches are all stored gets one at once: nothing comes to fill the interval. */
  takeIfDue(place: Place, nowMs: number): void {
    const { journal, batches } = this.#parts
    this.#nowMs = nowMs
    const sizeBytes = place.processed - this.#takenAt
    if (this.#isShort) this.release(place.sealed)
    const isStuck = journal.isFull && batches.isEmpty && sizeBytes > 0
    const isDue = isStuck || sizeBytes >= this.#intervalBytes
    if (!isDue || this.isBusy || nowMs < this.#dueMs) return
    this.#takenAt = place.processed
    try {
      this.#begin(place)
      this.copy(nowMs)
    } catch (error) {
      this.#onFault(error as Error)
    }
  }

  /** One slice, and with the last one the snapshot is complete. */
  copy(nowMs: number): void {
    const { snapshots, journal, report, wake } = this.#parts
    this.#nowMs = nowMs
    try {
      snapshots.continue((error) => {
        if (error !== null) this.#onFault(error)
        else {
          report({ code: 'SNAPSHOT', message: 'snapshots are written again', isOver: true })
          journal.keepRoomForSnapshot(snapshots.sizeBytes)
          this.release(this.#sealed)
        }
        wake()
      })
    } catch (error) {
      this.#onFault(error as Error)
    }
    wake()
  }

  /** Before the end: one of what is left, so that the next start has nothing to replay. False: it replays. */
  finish(place: Place): Promise<boolean> {
    const { snapshots, journal } = this.#parts
    const { processed } = place
    if (this.isBusy || processed !== journal.appendPosition) return Promise.resolve(false)
    if (this.#takenAt === processed && snapshots.positions.includes(processed)) return Promise.resolve(true)
    return new Promise((resolve) => {
      const end = (error: Error | null) => {
        if (error === null) this.release(place.sealed)
        else this.#onFault(error)
        resolve(error === null)
      }
      try {
        this.#takenAt = processed
        this.#begin(place)
        while (snapshots.isCopying) snapshots.continue(end)
      } catch (error) {
        end(error as Error)
      }
    })
  }

  /** Gives up what no start will need. */
  release(sealed: number): void {
    const { journal, snapshots, batches } = this.#parts
    this.#sealed = sealed
    const position = Math.min(batches.openStart ?? sealed, journal.durablePosition)
    journal.releaseBefore(snapshots.releaseBefore(position, this.#isShort))
  }

  get #intervalBytes(): number {
    const { snapshots, snapshotIntervalBytes } = this.#parts
    if (snapshots.positions.length === 0) return snapshotIntervalBytes * FIRST_SNAPSHOT_SHARE
    return Math.max(snapshotIntervalBytes, snapshots.sizeBytes * SNAPSHOT_SPACING)
  }

  /** Room is wanted more than a second snapshot. */
  get #isShort(): boolean {
    const { journal, batches } = this.#parts
    return journal.isDiskFull || (journal.isFull && batches.isEmpty)
  }

  #begin({ processed, mark }: Place): void {
    const { pipeline, snapshots, journal, batches } = this.#parts
    const state = new StateWriter()
    pipeline.save(state)
    journal.onSnapshot()
    snapshots.begin(processed, mark, batches.confirmedMark, state)
  }

  #onFault(error: Error): void {
    const { journal, batches, report } = this.#parts
    if (isRoomFault(error)) journal.yieldToSnapshot(batches.isEmpty)
    this.#takenAt = Number.NEGATIVE_INFINITY
    this.#dueMs = this.#nowMs + SNAPSHOT_RETRY_MS
    const message = `a snapshot can't be written (${error.message}); the journal grows until one can`
    report({ code: 'SNAPSHOT', message })
  }
}

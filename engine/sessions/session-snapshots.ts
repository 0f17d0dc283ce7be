/**
 * Decides when the sessions' state is written down, writes it slice by slice, and gives up the journal before it. Owned by
 * the session thread. What is written does not change any more, so the machine goes on meanwhile.
 */
import { StateWriter } from '../../codecs/state.ts'
import { isRoomFault } from '../journal/disk.ts'
import type { Journal } from '../journal/journal.ts'
import type { Snapshots } from '../journal/snapshots.ts'
import type { SessionMachine } from './session-machine.ts'

/** Journal between two snapshots to the size of one: what they cost stays bounded. */
const SPACING = 2
const RETRY_MS = 10_000

export interface SessionSnapshotParts {
  journal: Journal
  snapshots: Snapshots
  machine: SessionMachine
  /** Bytes of journal from one snapshot to the next, at the least. */
  intervalBytes: number
  wake(): void
  report(fault: { code: string; message: string; isOver?: boolean }): void
}

export class SessionSnapshots {
  #parts: SessionSnapshotParts
  #takenAt: number
  #dueMs = 0

  constructor(parts: SessionSnapshotParts, position: number) {
    this.#parts = parts
    this.#takenAt = position
    parts.journal.keepRoomForSnapshot(parts.snapshots.sizeBytes)
  }

  /** Everything appended is durable and applied: takes one if it is due, and goes on with one that is being written. */
  step(nowMs: number): void {
    const { snapshots, wake } = this.#parts
    try {
      if (snapshots.isCopying) this.#copy()
      else if (this.#isDue(nowMs)) this.#begin()
      else return
    } catch (error) {
      this.#onFault(error as Error, nowMs)
    }
    wake()
  }

  /** Before the end: so that the next start has nothing to replay. Not taken, it replays. */
  finish(): Promise<void> {
    const { snapshots, journal } = this.#parts
    if (snapshots.isBusy || this.#takenAt === journal.durablePosition) return Promise.resolve()
    return new Promise((resolve) => {
      const end = (error: Error | null) => {
        if (error === null) this.#release()
        resolve()
      }
      try {
        this.#begin()
        while (snapshots.isCopying) snapshots.continue(end)
      } catch {
        resolve()
      }
    })
  }

  #isDue(nowMs: number): boolean {
    const { journal, snapshots, intervalBytes } = this.#parts
    const sizeBytes = journal.durablePosition - this.#takenAt
    if (snapshots.isBusy || nowMs < this.#dueMs || sizeBytes === 0) return false
    return journal.isFull || sizeBytes >= Math.max(intervalBytes, snapshots.sizeBytes * SPACING)
  }

  #begin(): void {
    const { journal, snapshots, machine } = this.#parts
    this.#takenAt = journal.durablePosition
    const state = new StateWriter()
    machine.save(state)
    journal.onSnapshot()
    snapshots.begin(this.#takenAt, 0, 0, state)
  }

  #copy(): void {
    const { snapshots, journal, report, wake } = this.#parts
    snapshots.continue((error) => {
      if (error !== null) this.#onFault(error, 0)
      else {
        report({ code: 'SESSION_SNAPSHOT', message: 'snapshots of sessions are written again', isOver: true })
        journal.keepRoomForSnapshot(snapshots.sizeBytes)
        this.#release()
      }
      wake()
    })
  }

  #release(): void {
    const { journal, snapshots } = this.#parts
    journal.releaseBefore(snapshots.releaseBefore(this.#takenAt, journal.isDiskFull || journal.isFull))
  }

  #onFault(error: Error, nowMs: number): void {
    const { journal, report } = this.#parts
    if (isRoomFault(error)) journal.yieldToSnapshot(true)
    this.#takenAt = Number.NEGATIVE_INFINITY
    this.#dueMs = nowMs + RETRY_MS
    const message = `a snapshot of the sessions can't be written (${error.message}); their journal grows until one can`
    report({ code: 'SESSION_SNAPSHOT', message })
  }
}

/**
 * The session thread's work as a step machine: rings into the journal, records into the machine while the disk works,
 * answers and deliveries out when they are durable. Recovery is a replay from the newest snapshot. Owned by the session
 * thread; `step` does what can be done now and returns when to call it again at the latest.
 */
import { assert } from '../../base/assert.ts'
import type { Clock } from '../../base/clock.ts'
import { encodeSessionRecord, SessionRecordKind, sessionRecord } from '../../codecs/session/record.ts'
import { BatchReader } from '../journal/batch-reader.ts'
import type { JournalDisk } from '../journal/disk.ts'
import type { Journal } from '../journal/journal.ts'
import { JournalError, type JournalOwner } from '../journal/segment-recovery.ts'
import { Snapshots } from '../journal/snapshots.ts'
import type { Doorbell } from '../ring/doorbell.ts'
import type { RingConsumer } from '../ring/ring.ts'
import { JournalIntake } from '../shard/journal-intake.ts'
import type { Outlet } from './outlet.ts'
import { Outlets } from './outlets.ts'
import type { SessionLimits } from './session-context.ts'
import { SessionMachine } from './session-machine.ts'
import { SessionSnapshots } from './session-snapshots.ts'

/** When nothing rings: for the clock's sake, and for a disk that may have room again. */
const STEP_INTERVAL_MS = 1000
const FULL_STEP_INTERVAL_MS = 20
const NOTHING = new Uint8Array(0)

/** The journal's own mark: the last digits are the version of its records. */
export const SESSION_JOURNAL_OWNER: JournalOwner = {
  storeId: Buffer.from('MillraceSess0001'),
  shard: 0,
  shardCount: 1,
}

export interface SessionsParts {
  /** By gateway, as are the three below. */
  rings: readonly RingConsumer[]
  gatewayBells: readonly Doorbell[]
  outlets: readonly Outlet[]
  filtersTaken: SharedArrayBuffer
  disk: JournalDisk
  journal: Journal
  limits: SessionLimits
  /** Bytes of journal from one snapshot to the next, at the least. */
  snapshotIntervalBytes: number
  clock: Clock
  wake(): void
  report(fault: { code: string; message: string; isOver?: boolean }): void
}

export class Sessions {
  readonly machine: SessionMachine
  readonly intake: JournalIntake
  #parts: SessionsParts
  #outlets: Outlets
  #snapshots: SessionSnapshots
  #control = encodeSessionRecord(sessionRecord(SessionRecordKind.START))

  /** Throws JournalError. */
  constructor(parts: SessionsParts) {
    const { journal, disk, limits, report } = parts
    this.#parts = parts
    this.machine = new SessionMachine(limits)
    this.#outlets = new Outlets(parts.outlets, parts.filtersTaken)
    this.intake = new JournalIntake({ ...parts, onDurable: () => this.#outlets.publish() })
    for (const { segment, offset, start, end, setAside } of journal.damages) {
      const what = `${end - start} bytes of the sessions' journal segment ${segment} at byte ${offset} are damaged`
      report({ code: 'JOURNAL_DAMAGED', message: `${what}; they are set aside in ${setAside}` })
    }
    const snapshots = new Snapshots(disk, SESSION_JOURNAL_OWNER)
    const position = this.#recover(snapshots)
    const { snapshotIntervalBytes: intervalBytes } = parts
    this.#snapshots = new SessionSnapshots(
      { ...parts, machine: this.machine, snapshots, intervalBytes },
      position,
    )
    this.machine.connectOutput(this.#outlets)
  }

  /** Everything in the rings is journalled, and what it caused has left. */
  get isIdle(): boolean {
    return this.intake.isIdle && this.#parts.rings.every((ring) => ring.available() === 0)
  }

  step(): number {
    const { machine, intake } = this
    const nowMs = this.#parts.clock.nowMs()
    intake.rewriteIfDue(nowMs)
    if (intake.isIdle) {
      this.#outlets.publish()
      this.#snapshots.step(nowMs)
      if (!this.#outlets.isCongested) this.#append(nowMs)
    }
    const intervalMs = this.#parts.journal.isFull ? FULL_STEP_INTERVAL_MS : STEP_INTERVAL_MS
    return nowMs + Math.max(1, Math.min(intervalMs, machine.dueInMs(nowMs)))
  }

  /** Once no longer stepped. */
  async close(): Promise<void> {
    if (this.intake.isIdle) await this.#snapshots.finish()
    this.#parts.journal.close()
  }

  #append(nowMs: number): void {
    const { machine, intake } = this
    const control = this.#control
    if (intake.append(control, machine.isDue(nowMs), nowMs) < 0) return
    machine.advance(nowMs)
    if (control.length > 0) {
      this.#control = NOTHING
      machine.applyBytes(control)
    }
    for (const { ring, start, size } of intake.taken) machine.apply(ring.views, start, start + size)
  }

  /** The state at the journal's end; returns the position of the snapshot that it began from. */
  #recover(snapshots: Snapshots): number {
    const { journal } = this.#parts
    const { machine } = this
    const snapshot = snapshots.restore(0, journal.appendPosition)
    const start = snapshot?.position ?? 0
    if (start < journal.startPosition) {
      const message = `the sessions' journal begins at position ${journal.startPosition}, and no intact snapshot goes with it`
      throw new JournalError('JOURNAL_CORRUPT', message)
    }
    if (snapshot !== null) machine.load(snapshot.state)
    const reader = new BatchReader()
    for (let position = start; position < journal.appendPosition; ) {
      const next = journal.skipDamage(position)
      if (next > position) {
        position = next
        continue
      }
      const segment = journal.segmentAt(position)
      const place = reader.read(segment, position)
      assert(place !== null, `journal segment ${segment.name} can't be read back at position ${position}`)
      machine.advance(place.header.timeMs)
      machine.apply(reader.views, place.recordsStart, place.recordsEnd)
      position = place.endPosition
    }
    return start
  }
}

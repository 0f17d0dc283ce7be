/**
 * Owns the devices of one shard. A step machine on the shard's thread, of an intake (rings into the journal), a follower
 * (journal into batches) and a sink (batches into ClickHouse): `step` does what can be done now and returns when to call
 * it again at the latest; the bell, a sync's end and a confirmation call it too.
 */
import type { Clock } from '../../base/clock.ts'
import type { JournalDisk } from '../journal/disk.ts'
import type { JournalOwner } from '../journal/segment-recovery.ts'
import { Snapshots } from '../journal/snapshots.ts'
import { Sink, type SinkSettings } from '../sink/sink.ts'
import { EXCEPTION_CODE } from '../store/errors.ts'
import { type Drain, type FollowerParts, JournalFollower } from './journal-follower.ts'
import { type IntakeParts, JournalIntake } from './journal-intake.ts'
import { ProgressNote } from './progress-note.ts'

const STEP_INTERVAL_MS = 100

export interface ShardParts
  extends Pick<IntakeParts, 'rings' | 'gatewayBells' | 'journal' | 'wake' | 'report'>,
    Pick<FollowerParts, 'pipeline' | 'blocks' | 'batch' | 'snapshotIntervalBytes' | 'alert'> {
  disk: JournalDisk
  owner: JournalOwner
  sink: SinkSettings
  clock: Clock
}

export class Shard {
  readonly sink: Sink
  readonly intake: JournalIntake
  readonly follower: JournalFollower
  #parts: ShardParts
  #note: ProgressNote
  #drain: Drain = 'none'

  /** Throws JournalError. */
  constructor(parts: ShardParts) {
    this.#parts = parts
    const { journal, disk, owner, clock, wake, report } = parts
    this.#note = new ProgressNote(disk)
    this.sink = new Sink(parts.sink, {
      onConfirmed: (batch) => this.follower.onConfirmed(batch),
      onRefused: (batch, part, { exceptionCode, message }) => {
        if (part.rowCount === 1)
          report({ code: 'ROW_REFUSED', message: `a row becomes a dead letter: ${message}` })
        // Without an answer there is no code.
        this.follower.batches.onRefused(batch, part, exceptionCode || EXCEPTION_CODE.TIMEOUT_EXCEEDED)
        wake()
      },
      onTrouble: (error) => report({ code: 'STORE_REFUSES', message: error.message }),
      onRecovered: () => report({ code: 'STORE_REFUSES', message: 'inserts work again', isOver: true }),
      wake,
    })
    this.intake = new JournalIntake({ ...parts, onDurable: () => this.follower.onDurable() })
    const snapshots = new Snapshots(disk, owner)
    const nowMs = clock.nowMs()
    const { shard } = owner
    this.follower = new JournalFollower({
      ...parts,
      shard,
      snapshots,
      sink: this.sink,
      note: this.#note,
      nowMs,
    })
    for (const { segment, offset, start, end, setAside } of journal.damages) {
      const what = `${end - start} bytes of journal segment ${segment} at byte ${offset} are damaged`
      report({ code: 'JOURNAL_DAMAGED', message: `${what}; they are set aside in ${setAside}` })
    }
  }

  /** Everything taken is in ClickHouse, and the journal knows it. */
  get isDrained(): boolean {
    return this.follower.isDrained(this.#drain) && this.intake.isIdle
  }

  /** Does what can be done now; returns when to call again at the latest, ms since the epoch. */
  step(): number {
    const nowMs = this.#parts.clock.nowMs()
    this.intake.rewriteIfDue(nowMs)
    if (this.intake.isIdle) {
      const control = this.follower.encodeControl()
      const isTickDue = this.follower.isTickDue(this.intake.appendedMs, nowMs)
      const position = this.intake.append(control, isTickDue, nowMs)
      if (position >= 0) this.follower.onAppended(position, control, this.intake.taken, nowMs)
    }
    this.follower.step(nowMs, this.#drain)
    return Math.min(nowMs + STEP_INTERVAL_MS, this.sink.step(nowMs))
  }

  /** Brings everything taken to ClickHouse, open windows too when asked for; the gateways take no more. */
  drain(closesWindows: boolean): void {
    this.#drain = closesWindows ? 'windows' : 'rows'
    this.#parts.wake()
  }

  /** Once drained and no longer stepped: whether all of its state is in a snapshot now, and nothing is left to replay. */
  async finish(): Promise<boolean> {
    return this.isDrained && (await this.follower.finish())
  }

  async close(): Promise<void> {
    await this.finish()
    this.#note.close()
    this.#parts.journal.close()
  }
}

/**
 * From the rings into the journal: one append, then its sync, then the rings' space is free and the gateways may
 * acknowledge. Owned by the shard's thread. When the disk is full, nothing is taken until it has room; when a sync
 * fails, the batch, which still lies in the rings, is written again elsewhere.
 */
import { AssertionError } from '../../base/assert.ts'
import { isRoomFault } from '../journal/disk.ts'
import type { Batch, Journal } from '../journal/journal.ts'
import type { Doorbell } from '../ring/doorbell.ts'
import type { RingConsumer } from '../ring/ring.ts'

/** What one append takes from the rings, bytes; one record may pass it. */
const APPEND_SIZE_BYTES_MAX = 512 << 10
const RETRY_INTERVAL_MS = 500
const SEEK_ROOM_INTERVAL_MS = 2000

export interface IntakeParts {
  rings: readonly RingConsumer[]
  /** By gateway: rung when that gateway's ring has become durable. */
  gatewayBells: readonly Doorbell[]
  journal: Journal
  onDurable(): void
  wake(): void
  report(fault: { code: string; message: string; isOver?: boolean }): void
}

/** Records in a ring, of the last append. */
export interface Taken {
  ring: RingConsumer
  start: number
  size: number
}

export class JournalIntake {
  /** What the last append took, in the order in which it was written. */
  readonly taken: Taken[] = []
  appendedMs = 0
  syncCount = 0
  /** Time that syncs took, us. */
  syncTotalUs = 0
  #parts: IntakeParts
  #firstRing = 0
  #retryAtMs = 0
  #trouble = ''
  #troubleMessage = ''
  #mustRoll = false
  #mustRewrite = false
  #isDiskFull = false
  #seekRoomAtMs = 0

  constructor(parts: IntakeParts) {
    this.#parts = parts
  }

  /** Whether all that was appended is durable; else its memory must stay as it is. */
  get isIdle(): boolean {
    return !this.#parts.journal.isSyncing && !this.#mustRewrite
  }

  /**
   * When idle: appends the control records and what the rings hold, or when `isTickDue` nothing but the time. Returns the
   * batch's position, or -1 when there is nothing to append or it can't be done now.
   */
  append(control: Uint8Array, isTickDue: boolean, nowMs: number): number {
    const { journal, rings } = this.#parts
    if (nowMs < this.#retryAtMs) return -1
    this.#watchRoom(nowMs)
    const positions = rings.map((ring) => ring.position)
    try {
      if (journal.isSegmentFull || this.#mustRoll) journal.roll()
      this.#mustRoll = false
      const position = journal.appendPosition
      const batch = this.#gather(control, nowMs)
      if (batch.records.length === 0 && !isTickDue) return -1
      journal.append(batch)
      this.#onAppended(nowMs)
      return position
    } catch (error) {
      if (error instanceof AssertionError) throw error
      for (const [index, ring] of rings.entries()) ring.position = positions[index]
      this.taken.length = 0
      if (isRoomFault(error)) this.#onNoRoom(nowMs)
      else {
        this.#mustRoll = true
        this.#onTrouble('JOURNAL_WRITE', error as Error, nowMs)
      }
      return -1
    }
  }

  /** After a failed sync. */
  rewriteIfDue(nowMs: number): void {
    if (!this.#mustRewrite || nowMs < this.#retryAtMs) return
    try {
      this.#parts.journal.rewrite()
      this.#mustRewrite = false
      this.#startSync()
    } catch (error) {
      if (isRoomFault(error)) this.#onNoRoom(nowMs)
      this.#onTrouble('JOURNAL_SYNC', error as Error, nowMs)
    }
  }

  /** Says when the disk is full and when it no longer is, and asks it now and then. */
  #watchRoom(nowMs: number): void {
    const { journal, report } = this.#parts
    if (nowMs >= this.#seekRoomAtMs) {
      this.#seekRoomAtMs = nowMs + SEEK_ROOM_INTERVAL_MS
      journal.seekRoom()
    }
    if (journal.isDiskFull === this.#isDiskFull) return
    this.#isDiskFull = journal.isDiskFull
    const message = this.#isDiskFull
      ? 'the disk has no room for another journal segment; nothing is taken until it has'
      : 'the disk has room for the journal again'
    report({ code: 'DISK_FULL', message, isOver: !this.#isDiskFull })
  }

  #onNoRoom(nowMs: number): void {
    const next = this.#parts.journal.onNoRoom()
    this.#mustRoll = next === 'roll'
    if (next === 'full') this.#retryAtMs = nowMs + RETRY_INTERVAL_MS
    else this.#parts.wake()
    this.#watchRoom(nowMs)
  }

  #gather(control: Uint8Array, timeMs: number): Batch {
    const { journal, rings } = this.#parts
    this.taken.length = 0
    if (!journal.isFull) this.#takeFromRings()
    const records = this.taken.map(({ ring, start, size }) => ring.views.bytes.subarray(start, start + size))
    const hasControl = control.length > 0
    if (hasControl) records.unshift(control)
    return { records, ringPositions: rings.map((ring) => ring.position), timeMs, hasControl }
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
        this.taken.push({ ring, start, size })
        room -= size
      }
    }
  }

  #onAppended(nowMs: number): void {
    this.appendedMs = nowMs
    if (this.#trouble === 'JOURNAL_WRITE') this.#endTrouble('the journal can be written again')
    this.#startSync()
  }

  #startSync(): void {
    const { journal, rings, gatewayBells } = this.#parts
    const ends = rings.map((ring) => ring.position)
    const startUs = performance.now() * 1000
    journal.sync((error) => {
      this.syncCount++
      this.syncTotalUs += performance.now() * 1000 - startUs
      if (error === null) {
        for (const [index, ring] of rings.entries()) {
          ring.release(ends[index])
          gatewayBells[index].ring()
        }
        if (this.#trouble === 'JOURNAL_SYNC')
          this.#endTrouble('the journal is synced again, in a new segment')
        this.#parts.onDurable()
      } else {
        this.#mustRewrite = true
        this.#onTrouble('JOURNAL_SYNC', error, 0)
      }
      this.#parts.wake()
    })
  }

  #onTrouble(code: string, error: Error, nowMs: number): void {
    this.#retryAtMs = nowMs === 0 ? 0 : nowMs + RETRY_INTERVAL_MS
    const doing = code === 'JOURNAL_WRITE' ? 'written' : 'synced'
    const message = `the journal can't be ${doing} (${error.message}); nothing is acknowledged until it can`
    if (message === this.#troubleMessage) return
    this.#trouble = code
    this.#troubleMessage = message
    this.#parts.report({ code, message })
  }

  #endTrouble(message: string): void {
    this.#parts.report({ code: this.#trouble, message, isOver: true })
    this.#trouble = ''
    this.#troubleMessage = ''
  }
}

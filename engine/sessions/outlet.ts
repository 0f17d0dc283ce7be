/**
 * The session thread's way to one gateway: a ring, and behind it what the ring has no room for. Owned by the session
 * thread. Invariant: nothing is shown to the gateway before `publish`, which is called when the records that caused it are
 * durable. What waits here is bounded: the session thread takes nothing more while it is much.
 */
import { type SessionRecord, sessionRecordSize, writeSessionRecord } from '../../codecs/session/record.ts'
import { Fifo } from '../gateway/fifo.ts'
import type { Doorbell } from '../ring/doorbell.ts'
import { RingProducer } from '../ring/ring.ts'

export class Outlet {
  readonly recordSizeMax: number
  #producer: RingProducer
  #bell: Doorbell
  #waiting = new Fifo<SessionRecord>()

  constructor(ring: SharedArrayBuffer, bell: Doorbell) {
    this.#producer = new RingProducer(ring)
    this.#bell = bell
    this.recordSizeMax = this.#producer.recordSizeMax
  }

  get waitingCount(): number {
    return this.#waiting.count
  }

  // hot: per delivery
  send(record: SessionRecord): void {
    if (this.#waiting.count > 0 || !this.#write(record)) this.#waiting.push(record)
  }

  /** Everything sent is durable: shows it to the gateway, as far as there is room. True when that was something. */
  // hot: per batch
  publish(): boolean {
    for (let record = this.#waiting.peek(); record !== undefined; record = this.#waiting.peek()) {
      if (!this.#write(record)) break
      this.#waiting.shift()
    }
    if (!this.#producer.publish()) return false
    this.#bell.ring()
    return true
  }

  #write(record: SessionRecord): boolean {
    const size = sessionRecordSize(record)
    const at = this.#producer.claim(size)
    if (at < 0) return false
    writeSessionRecord(this.#producer.views, at, record)
    this.#producer.commit(size)
    return true
  }
}

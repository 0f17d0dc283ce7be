/**
 * The session thread's way to all gateways. Owned by the session thread. Each says in a word of shared memory up to which
 * filter it has taken what it was told, so that a SUBACK leaves only when a message published anywhere is seen here.
 */
import { FilterFlag, type SessionRecord, SessionRecordKind } from '../../codecs/session/record.ts'
import { Fifo } from '../gateway/fifo.ts'
import type { Outlet } from './outlet.ts'
import type { SessionOutput } from './session-context.ts'

const CONGESTED_COUNT = 100_000

interface Held {
  gateway: number
  record: SessionRecord
  sequence: number
}

export class Outlets implements SessionOutput {
  #outlets: readonly Outlet[]
  /** By gateway: the last filter that it has taken. */
  #taken: Int32Array
  #sequence = 0
  #held = new Fifo<Held>()

  constructor(outlets: readonly Outlet[], filtersTaken: SharedArrayBuffer) {
    this.#outlets = outlets
    this.#taken = new Int32Array(filtersTaken)
  }

  get isCongested(): boolean {
    return this.#outlets.some(({ waitingCount }) => waitingCount > CONGESTED_COUNT)
  }

  // hot: per delivery
  send(gateway: number, record: SessionRecord): void {
    // A snapshot may name a gateway that this start does not have.
    const outlet = this.#outlets[gateway] ?? this.#outlets[0]
    outlet.send(record)
  }

  tell(record: SessionRecord): void {
    const isNew = record.kind === SessionRecordKind.FILTER && (record.flags & FilterFlag.REMOVED) === 0
    if (isNew) this.#sequence = (this.#sequence + 1) | 0
    const told = record.kind === SessionRecordKind.FILTER ? { ...record, handle: this.#sequence } : record
    for (const outlet of this.#outlets) outlet.send(told)
  }

  sendWhenTaken(gateway: number, record: SessionRecord): void {
    if (this.#held.count === 0 && this.#isTaken(this.#sequence)) this.send(gateway, record)
    else this.#held.push({ gateway, record, sequence: this.#sequence })
  }

  /** Everything sent is durable: shows it to the gateways. True when that was something. */
  // hot: per batch
  publish(): boolean {
    for (let held = this.#held.peek(); held !== undefined; held = this.#held.peek()) {
      if (!this.#isTaken(held.sequence)) break
      this.send(held.gateway, held.record)
      this.#held.shift()
    }
    let hasPublished = false
    for (const outlet of this.#outlets) if (outlet.publish()) hasPublished = true
    return hasPublished
  }

  #isTaken(sequence: number): boolean {
    for (let gateway = 0; gateway < this.#outlets.length; gateway++) {
      if (((Atomics.load(this.#taken, gateway) - sequence) | 0) < 0) return false
    }
    return true
  }
}

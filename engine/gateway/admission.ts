/**
 * Who may connect now: connections of the whole engine, of one address, and how many a second this gateway
 * takes in. Owner: the gateway's thread. Invariant: what `admit` let in is given back by `leave`, once.
 */
import type { LimitsConfig } from '../config.ts'
import { type CloseReason, CloseReasons } from './close-reason.ts'
import type { ConnectionCounts } from './connection-counts.ts'

const SECOND_US = 1_000_000
/** So much of a second's connects may come at once. */
const BURST = 0.1

export class Admission {
  #limits: LimitsConfig
  #counts: ConnectionCounts
  #isByAddress: boolean
  /** Connects that may come now, and when that was reckoned. */
  #connects: number
  #reckonedUs = 0

  constructor(limits: LimitsConfig, counts: ConnectionCounts) {
    this.#limits = limits
    this.#counts = counts
    this.#isByAddress = limits.connectionsPerAddressMax > 0
    this.#connects = Math.max(1, limits.connectsPerSMax * BURST)
  }

  /** Null when one more from there may come. */
  admit(address: string): CloseReason | null {
    if (!this.#counts.open(this.#limits.connectionsMax)) return CloseReasons.tooManyConnections
    const refusal = this.#admitAt(address)
    if (refusal !== null) this.#counts.close()
    return refusal
  }

  /** A connection that was let in turns out to come from elsewhere: null when that is allowed. */
  move(from: string, to: string): CloseReason | null {
    if (from === to) return null
    const refusal = this.#admitAt(to)
    if (refusal === null) this.#leaveAt(from)
    return refusal
  }

  leave(address: string): void {
    this.#counts.close()
    this.#leaveAt(address)
  }

  /** Whether a connect may be looked at now; `nowUs` wraps at 2^32. */
  paceConnect(nowUs: number): boolean {
    const rate = this.#limits.connectsPerSMax
    if (rate === 0) return true
    const seconds = ((nowUs - this.#reckonedUs) >>> 0) / SECOND_US
    this.#reckonedUs = nowUs
    this.#connects = Math.min(Math.max(1, rate * BURST), this.#connects + seconds * rate)
    if (this.#connects < 1) return false
    this.#connects--
    return true
  }

  #admitAt(address: string): CloseReason | null {
    if (!this.#isByAddress || this.#counts.openAt(address, this.#limits.connectionsPerAddressMax)) return null
    return CloseReasons.tooManyFromAddress
  }

  #leaveAt(address: string): void {
    if (this.#isByAddress) this.#counts.closeAt(address)
  }
}

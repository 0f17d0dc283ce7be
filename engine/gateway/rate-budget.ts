/**
 * How much one device may send: a token bucket for messages and one for bytes, a second's worth deep. What a
 * read brought is charged after the fact, so a bucket may go into debt; until that is paid the connection is
 * not read. Owner: the gateway's thread.
 */
import type { LimitsConfig } from '../config.ts'

const SECOND_US = 1_000_000

export class RateBudget {
  /** Left to spend; below 0 is debt. */
  #messages: number
  #sizeBytes: number
  #chargedUs: number

  constructor(limits: LimitsConfig, nowUs: number) {
    this.#messages = limits.deviceMessagesPerSMax
    this.#sizeBytes = limits.deviceBytesPerSMax
    this.#chargedUs = nowUs
  }

  static isNeeded(limits: LimitsConfig): boolean {
    return limits.deviceMessagesPerSMax > 0 || limits.deviceBytesPerSMax > 0
  }

  /** Takes what was received; returns how long reading has to wait, us, 0 for not at all. `nowUs` wraps at 2^32. */
  // hot: per batch, where there are such limits
  charge(messages: number, sizeBytes: number, limits: LimitsConfig, nowUs: number): number {
    const { deviceMessagesPerSMax: messagesPerS, deviceBytesPerSMax: bytesPerS } = limits
    const seconds = ((nowUs - this.#chargedUs) >>> 0) / SECOND_US
    this.#chargedUs = nowUs
    this.#messages = Math.min(messagesPerS, this.#messages + seconds * messagesPerS) - messages
    this.#sizeBytes = Math.min(bytesPerS, this.#sizeBytes + seconds * bytesPerS) - sizeBytes
    let waitS = 0
    if (messagesPerS > 0 && this.#messages < 0) waitS = -this.#messages / messagesPerS
    if (bytesPerS > 0 && this.#sizeBytes < 0) waitS = Math.max(waitS, -this.#sizeBytes / bytesPerS)
    return waitS * SECOND_US
  }
}

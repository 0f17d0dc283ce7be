/**
 * Lets the devices of all groups publish at a rate: every few milliseconds whoever's turn it is writes. What a full
 * window or a dead engine keeps from being written is not made up for. Owned by the harness's thread.
 */
import type { DeviceGroup } from './device-group.ts'

const TURN_MS = 4

export class LoadPacer {
  /** New messages a second of all devices together; 0 pauses. */
  rate = 0
  perWrite = 1
  readonly #groups: readonly DeviceGroup[]
  #timer: NodeJS.Timeout | null = null
  #lastMs = 0
  #owed = 0
  #cursor = 0

  constructor(groups: readonly DeviceGroup[]) {
    this.#groups = groups
  }

  start(): void {
    this.#lastMs = performance.now()
    this.#timer = setInterval(() => this.#turn(), TURN_MS)
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer)
  }

  #turn(): void {
    const nowMs = performance.now()
    this.#owed = Math.min(this.rate, this.#owed + ((nowMs - this.#lastMs) * this.rate) / 1000)
    this.#lastMs = nowMs
    const links = this.#groups.flatMap((group) => group.links)
    for (let tried = 0; tried < links.length && this.#owed >= this.perWrite; ) {
      const link = links[this.#cursor++ % links.length]
      const written = link.publish(this.perWrite)
      this.#owed -= written
      tried = written > 0 ? 0 : tried + 1
    }
    this.#owed = Math.min(this.#owed, this.perWrite)
  }
}

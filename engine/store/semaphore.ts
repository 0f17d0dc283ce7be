/**
 * A bounded number of places and a bounded queue for them; beyond that, a refusal. First come, first served.
 */
import { ClickHouseFault, EXCEPTION_CODE } from './errors.ts'

export class Semaphore {
  readonly #waitingMax: number
  #free: number
  #waiting: ((release: () => void) => void)[] = []

  constructor(places: number, waitingMax: number) {
    this.#free = places
    this.#waitingMax = waitingMax
  }

  /** Waits for a place and gives the function that frees it, once. */
  acquire(): Promise<() => void> {
    if (this.#free > 0) {
      this.#free--
      return Promise.resolve(this.#releaser())
    }
    if (this.#waiting.length >= this.#waitingMax) {
      return Promise.reject(
        new ClickHouseFault(
          EXCEPTION_CODE.TOO_MANY_SIMULTANEOUS_QUERIES,
          `Too many simultaneous queries: ${this.#waitingMax} are waiting already; try again later. ` +
            '(TOO_MANY_SIMULTANEOUS_QUERIES)',
        ),
      )
    }
    return new Promise((resolve) => {
      this.#waiting.push(resolve)
    })
  }

  #releaser(): () => void {
    let isHeld = true
    return () => {
      if (!isHeld) return
      isHeld = false
      const next = this.#waiting.shift()
      if (next === undefined) this.#free++
      else next(this.#releaser())
    }
  }
}

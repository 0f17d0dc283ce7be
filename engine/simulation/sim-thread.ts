/** A thread of the product, in the simulation: it sleeps until its bell is rung, something wakes it, or time has come. */
import type { Clock } from '../../base/clock.ts'
import { Doorbell } from '../ring/doorbell.ts'

export abstract class SimThread {
  isWoken = true
  #clock: Clock
  #bell: Doorbell
  #word: Int32Array
  #dueMs = 0

  constructor(clock: Clock, bell: SharedArrayBuffer) {
    this.#clock = clock
    this.#bell = new Doorbell(bell)
    this.#word = new Int32Array(bell, 0, 1)
  }

  get nowMs(): number {
    return this.#clock.nowMs()
  }

  /** Whether it would run now. */
  get isRunnable(): boolean {
    return this.isWoken || Atomics.load(this.#word, 0) === 0 || this.nowMs >= this.#dueMs
  }

  run(): void {
    this.isWoken = false
    this.#bell.cancelSleep()
    this.#dueMs = this.work()
    this.#bell.announceSleep()
    this.look()
  }

  /** Does what can be done now; returns when to run again at the latest, ms. */
  protected abstract work(): number

  /** Looks once more, with its bell armed. */
  protected abstract look(): void
}

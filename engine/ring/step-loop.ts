/**
 * Steps a machine on its thread: when its bell is rung, when something wakes it, and when time has come. Sockets, timers
 * and the ends of syncs have their turn between two steps.
 */
import { systemClock } from '../../base/clock.ts'
import type { Doorbell } from './doorbell.ts'

export interface Stepped {
  /** Does what can be done now; returns when to call again at the latest, ms since the epoch. */
  step(): number
  /** Whether a step now would find something to take. */
  hasWork(): boolean
}

export class StepLoop {
  /** Nothing is stepped meanwhile; a wake after it goes on. */
  isPaused = false
  #bell: Doorbell
  #stepped: Stepped
  #isWoken = false
  #timer: NodeJS.Timeout | undefined

  constructor(bell: Doorbell, stepped: Stepped) {
    this.#bell = bell
    this.#stepped = stepped
  }

  /** Has it stepped soon; may be called from within a step. */
  wake = (): void => {
    if (this.#isWoken) return
    this.#isWoken = true
    setImmediate(this.#run)
  }

  stop(): void {
    this.isPaused = true
    clearTimeout(this.#timer)
  }

  #run = (): void => {
    this.#isWoken = false
    if (this.isPaused) return
    const bell = this.#bell
    const stepped = this.#stepped
    bell.cancelSleep()
    let atMs = stepped.step()
    bell.announceSleep()
    if (stepped.hasWork()) atMs = Math.min(atMs, stepped.step())
    bell.sleep(this.wake)
    clearTimeout(this.#timer)
    this.#timer = setTimeout(this.wake, Math.max(1, atMs - systemClock.nowMs()))
  }
}

/** Time comes in through here, so that a simulation can own it. */
export interface Clock {
  /** Wall time, milliseconds since the Unix epoch, integer. */
  nowMs(): number
}

export const systemClock: Clock = { nowMs: () => Date.now() }

/** A clock that stands still until it is told to move. */
export class ManualClock implements Clock {
  #nowMs: number

  constructor(startMs: number) {
    this.#nowMs = startMs
  }

  nowMs(): number {
    return this.#nowMs
  }

  advance(deltaMs: number): void {
    this.#nowMs += deltaMs
  }
}

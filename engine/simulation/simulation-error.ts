/** What ends a simulated run, or a life in it. */

/** A promise was broken. */
export class SimulationError extends Error {
  readonly code = 'SIMULATION'
}

/** The disk's fault, by the dice: a life that it ends was not ended by the engine's. */
export class DiskError extends Error {
  readonly code: string

  constructor(code: string) {
    super(code)
    this.code = code
  }
}

/** A promise was broken in a simulated run. */
export class SimulationError extends Error {
  readonly code = 'SIMULATION'
}

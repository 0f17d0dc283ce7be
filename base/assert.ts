/** Our own faults. A failed assertion ends the thread, and the engine starts again from its journal. */
export class AssertionError extends Error {
  readonly code = 'ASSERTION'
}

/** States an invariant of ours; faults from outside are typed errors instead. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new AssertionError(message)
}

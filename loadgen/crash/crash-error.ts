/** A promise that was broken, or a run that can't go on; `round` once it is known. */
export class CrashError extends Error {
  readonly code = 'CRASH'
}

/** What keeps an engine from starting or going on, in one line that says what to do about it. */
export class EngineError extends Error {
  readonly code: string

  constructor(code: string, message: string, cause?: unknown) {
    super(message, { cause })
    this.code = code
  }
}

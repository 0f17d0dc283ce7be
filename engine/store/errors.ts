/**
 * What can go wrong between the engine and its ClickHouse, as types: starting the store, and talking to it.
 * The HTTP statuses of ClickHouse's exception codes are here too. All thrown at the boundary, each with a
 * constant `code`.
 */

export type StoreStartCode =
  | 'DIRECTORY_IN_USE'
  | 'DIRECTORY_NOT_WRITABLE'
  | 'PORT_IN_USE'
  | 'ADDRESS_UNAVAILABLE'
  | 'LISTEN_REFUSED'
  | 'START_FAILED'

/** The store could not start; the message is one line that says what to do. */
export class StoreStartError extends Error {
  readonly code: StoreStartCode

  constructor(code: StoreStartCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'StoreStartError'
    this.code = code
  }
}

/**
 * An exception as ClickHouse words it, with its numeric code; `message` reads `Code: 62. DB::Exception: ...`.
 */
export class ClickHouseFault extends Error {
  readonly exceptionCode: number

  constructor(exceptionCode: number, text: string) {
    super(/^Code: \d+\./.test(text) ? text : `Code: ${exceptionCode}. DB::Exception: ${text}`)
    this.name = 'ClickHouseFault'
    this.exceptionCode = exceptionCode
  }
}

export const EXCEPTION_CODE = {
  BAD_ARGUMENTS: 36,
  UNKNOWN_FORMAT: 73,
  UNKNOWN_DATABASE: 81,
  SYNTAX_ERROR: 62,
  QUERY_IS_TOO_LARGE: 223,
  TIMEOUT_EXCEEDED: 159,
  READONLY: 164,
  WRONG_PASSWORD: 193,
  REQUIRED_PASSWORD: 194,
  TOO_MANY_SIMULTANEOUS_QUERIES: 202,
  UNKNOWN_SETTING: 115,
  INCORRECT_DATA: 117,
  ABORTED: 236,
  TOO_MANY_ROWS_OR_BYTES: 396,
  ACCESS_DENIED: 497,
  AUTHENTICATION_FAILED: 516,
  UNKNOWN: 1002,
} as const

const STATUS_BY_CODE: ReadonlyMap<number, number> = new Map([
  ...[6, 25, 26, 27, 36, 38, 41, 53, 62, 69, 72, 117, 167, 168, 376, 427, 441, 675, 676].map(
    (code): [number, number] => [code, 400],
  ),
  ...[35, 46, 47, 50, 56, 60, 63, 73, 81, 115, 336, 511].map((code): [number, number] => [code, 404]),
  ...[192, 193, 497, 512, 516].map((code): [number, number] => [code, 403]),
  [EXCEPTION_CODE.REQUIRED_PASSWORD, 401],
  [48, 501],
  [EXCEPTION_CODE.TIMEOUT_EXCEEDED, 408],
  [EXCEPTION_CODE.QUERY_IS_TOO_LARGE, 413],
  [76, 503],
  [209, 503],
  [439, 503],
  [EXCEPTION_CODE.TOO_MANY_SIMULTANEOUS_QUERIES, 503],
])

/** The HTTP status that goes with an exception code: 500 where ClickHouse has none of its own. */
export function httpStatusOf(exceptionCode: number): number {
  return STATUS_BY_CODE.get(exceptionCode) ?? 500
}

/** The fault in whatever chDB threw: its code and text without chDB's own preamble. */
export function faultOf(cause: unknown): ClickHouseFault {
  if (cause instanceof ClickHouseFault) return cause
  const message = cause instanceof Error ? cause.message : String(cause)
  const found = /Code: (\d+)\. [\s\S]*/.exec(message)
  if (found === null) return new ClickHouseFault(EXCEPTION_CODE.UNKNOWN, message)
  return new ClickHouseFault(Number(found[1]), found[0].trimEnd())
}

/**
 * What can be wrong with a payload. Scanners return these codes instead of row counts; nothing is thrown for
 * bad input. The texts go into dead letters.
 */

export const PayloadError = {
  MALFORMED: -1,
  TRUNCATED: -2,
  TRAILING_BYTES: -3,
  EMPTY: -4,
  NOT_OBJECT: -5,
  TOO_LARGE: -6,
  TOO_DEEP: -7,
  TOO_MANY_KEYS: -8,
  BAD_UTF8: -9,
  BAD_TIME: -10,
  NAME_EMPTY: -11,
  NAME_TOO_LONG: -12,
  NAMES_FULL: -13,
  KEY_NOT_STRING: -14,
  UNSUPPORTED_TYPE: -15,
} as const

export type PayloadError = (typeof PayloadError)[keyof typeof PayloadError]

/** What payloads of a stream are; AUTO tells by the first byte. */
export const PayloadCodec = { AUTO: 0, JSON: 1, MSGPACK: 2 } as const
export type PayloadCodec = (typeof PayloadCodec)[keyof typeof PayloadCodec]

/** Containers inside each other, the outermost counted as 1. */
export const DEPTH_MAX = 32
/** Of one dotted metric name. */
export const NAME_SIZE_BYTES_MAX = 256
/** Of one payload. */
export const PAYLOAD_SIZE_BYTES_MAX = 16 * 1024 * 1024
/** Of one top-level object, nested ones included. */
export const KEY_COUNT_MAX = 65_536

const TEXTS: Record<PayloadError, string> = {
  [PayloadError.MALFORMED]: 'payload is neither valid JSON nor valid MessagePack',
  [PayloadError.TRUNCATED]: 'payload ends in the middle of a value',
  [PayloadError.TRAILING_BYTES]: 'payload has bytes after its value',
  [PayloadError.EMPTY]: 'payload is empty',
  [PayloadError.NOT_OBJECT]: 'payload is not an object of metrics, nor an array of such objects',
  [PayloadError.TOO_LARGE]: `payload is larger than ${PAYLOAD_SIZE_BYTES_MAX} bytes`,
  [PayloadError.TOO_DEEP]: `payload is nested deeper than ${DEPTH_MAX} levels`,
  [PayloadError.TOO_MANY_KEYS]: `an object of the payload has more than ${KEY_COUNT_MAX} keys`,
  [PayloadError.BAD_UTF8]: 'payload has a string that is not UTF-8',
  [PayloadError.BAD_TIME]: 'time is neither an epoch number nor ISO 8601, or is outside 1970 to 2286',
  [PayloadError.NAME_EMPTY]: 'a metric has an empty name',
  [PayloadError.NAME_TOO_LONG]: `a metric name is longer than ${NAME_SIZE_BYTES_MAX} bytes`,
  [PayloadError.NAMES_FULL]: 'there is no room for another metric name',
  [PayloadError.KEY_NOT_STRING]: 'a MessagePack map has a key that is not a string',
  [PayloadError.UNSUPPORTED_TYPE]: 'a MessagePack value is binary or of an extension type',
}

/** What is wrong, in a few words. */
export function payloadErrorText(code: number): string {
  return TEXTS[code as PayloadError] ?? `payload error ${code}`
}

/**
 * MessagePack's scalars by their first byte: where they end and what they hold. Pure functions. They read up
 * to 16 bytes from `offset` on, which must exist in the view; whether the value ends in time is the caller's
 * comparison.
 */
import { secondsToMs } from '../event-time.ts'

export const NIL = 0xc0
export const FALSE = 0xc2
export const TRUE = 0xc3

/** Writes the number at `offset` to out[index]; returns the offset after it, or -1 when it is no number. */
// hot: per value
export function readNumber(view: DataView, offset: number, out: Float64Array, index: number): number {
  const byte = view.getUint8(offset)
  if (byte === 0xcb) {
    out[index] = view.getFloat64(offset + 1)
    return offset + 9
  }
  if (byte < 0x80) {
    out[index] = byte
    return offset + 1
  }
  if (byte === 0xca) {
    out[index] = view.getFloat32(offset + 1)
    return offset + 5
  }
  if (byte === 0xcf || byte === 0xd3) {
    // One rounding, in the sum: both terms are exact.
    const high = byte === 0xcf ? view.getUint32(offset + 1) : view.getInt32(offset + 1)
    out[index] = high * 4_294_967_296 + view.getUint32(offset + 5)
    return offset + 9
  }
  return readSmallInteger(view, offset, byte, out, index)
}

/** Integers of up to four bytes with a type byte of their own, and negative fixints. */
function readSmallInteger(
  view: DataView,
  offset: number,
  byte: number,
  out: Float64Array,
  index: number,
): number {
  if (byte >= 0xe0) {
    out[index] = byte - 256
    return offset + 1
  }
  switch (byte) {
    case 0xcc:
      out[index] = view.getUint8(offset + 1)
      return offset + 2
    case 0xcd:
      out[index] = view.getUint16(offset + 1)
      return offset + 3
    case 0xce:
      out[index] = view.getUint32(offset + 1)
      return offset + 5
    case 0xd0:
      out[index] = view.getInt8(offset + 1)
      return offset + 2
    case 0xd1:
      out[index] = view.getInt16(offset + 1)
      return offset + 3
    case 0xd2:
      out[index] = view.getInt32(offset + 1)
      return offset + 5
    default:
      return -1
  }
}

/** The kinds of value that have a count or a size. */
export const Kind = { OTHER: 0, STRING: 1, ARRAY: 2, MAP: 3, EXTENSION: 4, BINARY: 5 } as const

/** What the value that begins with `byte` is. */
export function kindOf(byte: number): number {
  if (byte >= 0x80 && byte <= 0xbf) return byte < 0x90 ? Kind.MAP : byte < 0xa0 ? Kind.ARRAY : Kind.STRING
  if (byte >= 0xd9 && byte <= 0xdb) return Kind.STRING
  if (byte === 0xdc || byte === 0xdd) return Kind.ARRAY
  if (byte === 0xde || byte === 0xdf) return Kind.MAP
  if ((byte >= 0xc7 && byte <= 0xc9) || (byte >= 0xd4 && byte <= 0xd8)) return Kind.EXTENSION
  return byte >= 0xc4 && byte <= 0xc6 ? Kind.BINARY : Kind.OTHER
}

/** Bytes of the header of a string, array or map that begins with `byte`: the type and the count. */
export function headerSizeBytes(byte: number): number {
  if (byte < 0xc0) return 1
  if (byte === 0xd9) return 2
  return byte === 0xda || byte === 0xdc || byte === 0xde ? 3 : 5
}

/** The count in that header: bytes of a string, elements of an array, pairs of a map. */
export function headerCount(view: DataView, offset: number, byte: number): number {
  if (byte < 0xa0) return byte & 0x0f
  if (byte < 0xc0) return byte & 0x1f
  const sizeBytes = headerSizeBytes(byte)
  if (sizeBytes === 2) return view.getUint8(offset + 1)
  return sizeBytes === 3 ? view.getUint16(offset + 1) : view.getUint32(offset + 1)
}

/** Bytes of the timestamp extension (type -1) at `offset`, all of it; 0 for any other value. */
export function timestampSizeBytes(view: DataView, offset: number): number {
  const byte = view.getUint8(offset)
  if (byte === 0xd6 || byte === 0xd7) return view.getInt8(offset + 1) !== -1 ? 0 : byte === 0xd6 ? 6 : 10
  const isLong = byte === 0xc7 && view.getUint8(offset + 1) === 12 && view.getInt8(offset + 2) === -1
  return isLong ? 15 : 0
}

/** That timestamp in ms since the epoch to out[index]; NaN when out of range. */
export function readTimestamp(view: DataView, offset: number, out: Float64Array, index: number): void {
  const byte = view.getUint8(offset)
  if (byte === 0xd6) {
    out[index] = secondsToMs(view.getUint32(offset + 2), 0)
  } else if (byte === 0xd7) {
    const upper = view.getUint32(offset + 2)
    out[index] = secondsToMs((upper & 3) * 4_294_967_296 + view.getUint32(offset + 6), upper >>> 2)
  } else {
    const seconds = view.getInt32(offset + 7) * 4_294_967_296 + view.getUint32(offset + 11)
    out[index] = secondsToMs(seconds, view.getUint32(offset + 3))
  }
}

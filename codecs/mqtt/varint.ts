/**
 * The variable byte integer of MQTT ([MQTT-1.5.5]): seven bits a byte, least significant first, at most four
 * bytes, and never longer than it need be.
 */
import { assert } from '../../base/assert.ts'

export const VARINT_MAX = 268_435_455

/** What `readVarint` returns in place of a value. */
export const VARINT_INCOMPLETE = -1
export const VARINT_MALFORMED = -2

/**
 * The value at `offset`, or one of the two codes above. Its size is `varintSize(value)`, as only the shortest
 * form is taken.
 */
// hot: per message
export function readVarint(bytes: Uint8Array, offset: number, end: number): number {
  let value = 0
  for (let shift = 0; shift < 28; shift += 7, offset++) {
    if (offset >= end) return VARINT_INCOMPLETE
    const byte = bytes[offset]
    value |= (byte & 0x7f) << shift
    if (byte < 0x80) return byte === 0 && shift > 0 ? VARINT_MALFORMED : value
  }
  return VARINT_MALFORMED
}

// hot: per message
export function varintSize(value: number): number {
  if (value < 0x80) return 1
  if (value < 0x4000) return 2
  return value < 0x20_0000 ? 3 : 4
}

/** Writes `value` at `offset` and returns the offset after it. */
// hot: per message
export function writeVarint(out: Uint8Array, offset: number, value: number): number {
  assert(value >= 0 && value <= VARINT_MAX, 'a variable byte integer is at most 268,435,455')
  for (; value >= 0x80; value >>>= 7) out[offset++] = (value & 0x7f) | 0x80
  out[offset] = value
  return offset + 1
}

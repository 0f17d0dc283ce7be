/**
 * Finds where a MessagePack value ends, without building it. Containers are counted, not descended into: no
 * depth to bound.
 */

/** Bytes behind the head that say a length, by head from 0xc4 on; 0 where there is none. */
const LENGTH_SIZES = new Uint8Array(256)
/** Bytes behind head and length that are there in any case. */
const FIXED_SIZES = new Uint8Array(256)
for (const [head, lengthSize, fixedSize] of [
  [0xc4, 1, 0],
  [0xc5, 2, 0],
  [0xc6, 4, 0], // bin
  [0xc7, 1, 1],
  [0xc8, 2, 1],
  [0xc9, 4, 1], // ext: a type behind the length
  [0xca, 0, 4],
  [0xcb, 0, 8], // float
  [0xcc, 0, 1],
  [0xcd, 0, 2],
  [0xce, 0, 4],
  [0xcf, 0, 8], // uint
  [0xd0, 0, 1],
  [0xd1, 0, 2],
  [0xd2, 0, 4],
  [0xd3, 0, 8], // int
  [0xd4, 0, 2],
  [0xd5, 0, 3],
  [0xd6, 0, 5],
  [0xd7, 0, 9],
  [0xd8, 0, 17], // fixext: a type and the bytes
  [0xd9, 1, 0],
  [0xda, 2, 0],
  [0xdb, 4, 0], // str
  [0xdc, 2, 0],
  [0xdd, 4, 0], // array
  [0xde, 2, 0],
  [0xdf, 4, 0], // map
]) {
  LENGTH_SIZES[head] = lengthSize
  FIXED_SIZES[head] = fixedSize
}

const NEVER_USED = 0xc1

/** The offset after the value at `start`; -1 when it does not end within bytes[start, end), or is none. */
// hot: per message
export function skipMsgpackValue(bytes: Uint8Array, start: number, end: number): number {
  let offset = start
  let left = 1
  while (left > 0) {
    // Every value has a byte at least: a bogus count ends here, not in a long loop.
    if (left > end - offset) return -1
    left--
    const head = bytes[offset++]
    if (head <= 0x7f || head >= 0xe0) continue
    if (head <= 0x8f) left += (head & 0x0f) * 2
    else if (head <= 0x9f) left += head & 0x0f
    else if (head <= 0xbf) offset += head & 0x1f
    else if (head === NEVER_USED) return -1
    else {
      const lengthSize = LENGTH_SIZES[head]
      if (end - offset < lengthSize + FIXED_SIZES[head]) return -1
      let length = 0
      for (let i = 0; i < lengthSize; i++) length = length * 256 + bytes[offset + i]
      offset += lengthSize + FIXED_SIZES[head]
      if (head >= 0xde) left += length * 2
      else if (head >= 0xdc) left += length
      else offset += length
    }
  }
  return offset > end ? -1 : offset
}

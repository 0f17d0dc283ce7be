/** UTF-8 as RFC 3629 defines it: no overlong forms, no surrogates, nothing above U+10FFFF. Pure functions. */

/**
 * Size in bytes of the well-formed sequence of two to four bytes at `offset`, whose first byte is not ASCII;
 * 0 when it is malformed or does not end before `end`.
 */
export function sequenceSizeBytes(view: DataView, offset: number, end: number): number {
  const lead = view.getUint8(offset)
  const sizeBytes = lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0
  if (sizeBytes === 0 || offset + sizeBytes > end) return 0
  const second = view.getUint8(offset + 1)
  const lowest = lead === 0xe0 ? 0xa0 : lead === 0xf0 ? 0x90 : 0x80
  const highest = lead === 0xed ? 0x9f : lead === 0xf4 ? 0x8f : 0xbf
  if (second < lowest || second > highest) return 0
  for (let i = 2; i < sizeBytes; i++) if ((view.getUint8(offset + i) & 0xc0) !== 0x80) return 0
  return sizeBytes
}

/**
 * Writes a code point (a lone surrogate too, in the same way) to out[offset..]; returns the offset after it.
 */
export function writeCodePoint(out: Uint8Array, offset: number, codePoint: number): number {
  if (codePoint < 0x80) {
    out[offset++] = codePoint
  } else if (codePoint < 0x800) {
    out[offset++] = 0xc0 | (codePoint >> 6)
    out[offset++] = 0x80 | (codePoint & 0x3f)
  } else if (codePoint < 0x10000) {
    out[offset++] = 0xe0 | (codePoint >> 12)
    out[offset++] = 0x80 | ((codePoint >> 6) & 0x3f)
    out[offset++] = 0x80 | (codePoint & 0x3f)
  } else {
    out[offset++] = 0xf0 | (codePoint >> 18)
    out[offset++] = 0x80 | ((codePoint >> 12) & 0x3f)
    out[offset++] = 0x80 | ((codePoint >> 6) & 0x3f)
    out[offset++] = 0x80 | (codePoint & 0x3f)
  }
  return offset
}

/** Turns surrogates, which only escapes can have written, into U+FFFD, in place: both take three bytes. */
export function replaceSurrogates(out: Uint8Array, start: number, end: number): void {
  for (let offset = start; offset + 2 < end; offset++) {
    if (out[offset] !== 0xed || out[offset + 1] < 0xa0) continue
    out[offset] = 0xef
    out[offset + 1] = 0xbf
    out[offset + 2] = 0xbd
  }
}

/**
 * Finds where a JSON value ends, without judging what is inside it: strings and brackets are enough to tell.
 */

const QUOTE = 0x22
const BACKSLASH = 0x5c

// hot: per message
export function skipSpace(bytes: Uint8Array, start: number, end: number): number {
  let offset = start
  while (offset < end) {
    const byte = bytes[offset]
    if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) break
    offset++
  }
  return offset
}

/** The offset after the value at `start`; -1 when it does not end within bytes[start, end), or is none. */
// hot: per message
export function skipJsonValue(bytes: Uint8Array, start: number, end: number): number {
  let depth = 0
  let offset = start
  while (offset < end) {
    const byte = bytes[offset]
    if (byte === QUOTE) {
      offset = skipString(bytes, offset, end)
      if (offset < 0) return -1
    } else if (byte === 0x7b || byte === 0x5b) {
      depth++
      offset++
    } else if (byte === 0x7d || byte === 0x5d) {
      if (depth === 0) return -1
      depth--
      offset++
    } else if (depth === 0) {
      return skipScalar(bytes, start, end)
    } else {
      offset++
      continue
    }
    if (depth === 0) return offset
  }
  return -1
}

/** From the opening quote to after the closing one; -1 without one. */
function skipString(bytes: Uint8Array, start: number, end: number): number {
  let offset = start + 1
  while (offset < end) {
    const byte = bytes[offset]
    if (byte === QUOTE) return offset + 1
    offset += byte === BACKSLASH ? 2 : 1
  }
  return -1
}

/** A number or a word: up to a comma, a bracket or white space. */
function skipScalar(bytes: Uint8Array, start: number, end: number): number {
  let offset = start
  while (offset < end) {
    const byte = bytes[offset]
    const isLetterOrDigit =
      (byte >= 0x30 && byte <= 0x39) || (byte >= 0x41 && byte <= 0x5a) || (byte >= 0x61 && byte <= 0x7a)
    if (!isLetterOrDigit && byte !== 0x2b && byte !== 0x2d && byte !== 0x2e) break // + - .
    offset++
  }
  return offset > start ? offset : -1
}

/**
 * JSON strings to unescaped, well-formed UTF-8 in a caller's buffer. Called on the shard's thread for keys
 * and text values. Surrogate escapes without a partner are written as they stand (three bytes) and reported,
 * so that keys which differ only there stay different until `replaceSurrogates`.
 */
import { PayloadError } from '../payload-error.ts'
import { sequenceSizeBytes, writeCodePoint } from '../payload-utf8.ts'

const QUOTE = 0x22
const BACKSLASH = 0x5c

/** What an escape's second byte stands for; 0 for none. */
const ESCAPES = new Uint8Array(256)
for (const [letter, character] of ['""', '\\\\', '//', 'b\b', 'f\f', 'n\n', 'r\r', 't\t']) {
  ESCAPES[letter.charCodeAt(0)] = character.charCodeAt(0)
}

export class JsonString {
  /** Where the last string ends in its buffer. */
  outEnd = 0
  /** Whether the last string holds a surrogate without its partner. */
  hasSurrogate = false
  #codePoint = 0

  /**
   * Scans the string whose opening quote stands before `start` into out[outStart, outMax). Returns the offset
   * after its closing quote, or TRUNCATED, MALFORMED, BAD_UTF8, or NAME_TOO_LONG when the buffer ends first.
   */
  // hot: per message
  scan(
    view: DataView,
    start: number,
    end: number,
    out: Uint8Array,
    outStart: number,
    outMax: number,
  ): number {
    let offset = start
    let outOffset = outStart
    this.hasSurrogate = false
    while (offset < end) {
      const byte = view.getUint8(offset)
      if (byte === QUOTE) {
        this.outEnd = outOffset
        return offset + 1
      }
      if (byte < 0x20) return PayloadError.MALFORMED
      if (outOffset + 4 > outMax && outOffset + this.#sizeAt(view, offset, end) > outMax) {
        return PayloadError.NAME_TOO_LONG
      }
      if (byte === BACKSLASH) {
        offset = this.#escape(view, offset + 1, end)
        if (offset < 0) return offset
        outOffset = writeCodePoint(out, outOffset, this.#codePoint)
      } else if (byte < 0x80) {
        out[outOffset++] = byte
        offset++
      } else {
        const sizeBytes = sequenceSizeBytes(view, offset, end)
        if (sizeBytes === 0) return PayloadError.BAD_UTF8
        for (let i = 0; i < sizeBytes; i++) out[outOffset++] = view.getUint8(offset++)
      }
    }
    return PayloadError.TRUNCATED
  }

  /**
   * Size in the buffer of the character at `offset`; 0 for a malformed one, which the scan itself reports.
   */
  #sizeAt(view: DataView, offset: number, end: number): number {
    const byte = view.getUint8(offset)
    if (byte >= 0x80) return sequenceSizeBytes(view, offset, end)
    if (byte !== BACKSLASH) return 1
    const had = this.hasSurrogate
    const after = this.#escape(view, offset + 1, end)
    this.hasSurrogate = had
    const codePoint = this.#codePoint
    if (after < 0) return 0
    return codePoint < 0x80 ? 1 : codePoint < 0x800 ? 2 : codePoint < 0x10000 ? 3 : 4
  }

  /** Reads the escape after a backslash into #codePoint, a surrogate pair as one. */
  #escape(view: DataView, offset: number, end: number): number {
    if (offset >= end) return PayloadError.TRUNCATED
    const letter = view.getUint8(offset)
    if (letter !== 0x75) {
      this.#codePoint = ESCAPES[letter]
      return this.#codePoint === 0 ? PayloadError.MALFORMED : offset + 1
    }
    const unit = hexUnit(view, offset + 1, end)
    if (unit < 0) return unit
    this.#codePoint = unit
    if (unit < 0xd800 || unit > 0xdfff) return offset + 5
    if (unit < 0xdc00 && isUnicodeEscape(view, offset + 5, end)) {
      const low = hexUnit(view, offset + 7, end)
      if (low >= 0xdc00 && low <= 0xdfff) {
        this.#codePoint = 0x10000 + ((unit & 0x3ff) << 10) + (low & 0x3ff)
        return offset + 11
      }
    }
    this.hasSurrogate = true
    return offset + 5
  }
}

function isUnicodeEscape(view: DataView, offset: number, end: number): boolean {
  return offset + 6 <= end && view.getUint8(offset) === BACKSLASH && view.getUint8(offset + 1) === 0x75
}

/** The four hexadecimal digits at `offset`. */
function hexUnit(view: DataView, offset: number, end: number): number {
  let unit = 0
  for (let i = 0; i < 4; i++) {
    if (offset + i >= end) return PayloadError.TRUNCATED
    const byte = view.getUint8(offset + i)
    const lower = byte | 0x20
    if (byte >= 0x30 && byte <= 0x39) unit = unit * 16 + byte - 0x30
    else if (lower >= 0x61 && lower <= 0x66) unit = unit * 16 + lower - 0x57
    else return PayloadError.MALFORMED
  }
  return unit
}

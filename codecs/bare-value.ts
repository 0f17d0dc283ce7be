/**
 * Payloads that are one bare value, on topics that name the metric: a JSON scalar, a MessagePack scalar, or, where the codec
 * is not fixed, plain text such as `ON`. One owner: the shard's thread. Invariant: a scan that fails leaves the columns as
 * they were.
 */
import type { ReadingColumns } from './columns.ts'
import { OVERREAD_BYTES, scanNumber } from './json/number.ts'
import { JsonString } from './json/string.ts'
import { FALSE, headerCount, headerSizeBytes, Kind, kindOf, NIL, readNumber, TRUE } from './msgpack/value.ts'
import { PayloadCodec, PayloadError } from './payload-error.ts'
import { replaceSurrogates, sequenceSizeBytes } from './payload-utf8.ts'

/** Of a bare text or number: other metrics are objects. */
export const BARE_SIZE_BYTES_MAX = 65_536
const SPACE = 0x20
const QUOTE = 0x22
/** The JSON words, little-endian: `true`, `fals` and `null`. */
const WORD_TRUE = 0x65757274
const WORD_FALS = 0x736c6166
const WORD_NULL = 0x6c6c756e
const LETTER_E = 0x65

export class BareValueScanner {
  /** The payload, a space, and room for reads that go past it. */
  #bytes = new Uint8Array(256 + OVERREAD_BYTES)
  #view = new DataView(this.#bytes.buffer)
  #strings = new JsonString()
  #columns!: ReadingColumns
  #size = 0

  /** Appends the value in bytes[start, end) as a row of `metric` without a time. Returns 1, 0 for null, or a PayloadError. */
  // hot: per message
  scan(
    bytes: Uint8Array,
    start: number,
    end: number,
    columns: ReadingColumns,
    metric: number,
    codec: PayloadCodec,
  ): number {
    if (end - start > BARE_SIZE_BYTES_MAX) return PayloadError.TOO_LARGE
    const isJson = codec !== PayloadCodec.MSGPACK
    this.#copy(bytes, start, end, isJson)
    if (this.#size === 0) return PayloadError.EMPTY
    this.#columns = columns
    columns.reserve(1)
    const textSizeBytes = columns.textSizeBytes
    const row = columns.count
    columns.textSize[row] = -1
    let result = isJson ? this.#scanJson(row) : this.#scanMsgpack(row)
    if (result < 0 && codec === PayloadCodec.AUTO && this.#view.getUint8(0) !== QUOTE) {
      columns.textSizeBytes = textSizeBytes
      result = this.#plainText(row)
    }
    if (result <= 0) {
      columns.textSizeBytes = textSizeBytes
      return result
    }
    columns.metric[row] = metric
    columns.tsMs[row] = NaN
    columns.count = row + 1
    return 1
  }

  /** The payload; of JSON without the white space around it. */
  #copy(bytes: Uint8Array, start: number, end: number, isJson: boolean): void {
    while (isJson && start < end && isSpace(bytes[start])) start++
    while (isJson && end > start && isSpace(bytes[end - 1])) end--
    const size = end - start
    if (size + OVERREAD_BYTES > this.#bytes.length) {
      this.#bytes = new Uint8Array((size + OVERREAD_BYTES) * 2)
      this.#view = new DataView(this.#bytes.buffer)
    }
    const to = this.#bytes
    for (let i = 0; i < size; i++) to[i] = bytes[start + i]
    to[size] = SPACE // a number ends there, whatever lay behind it
    this.#size = size
  }

  #scanJson(row: number): number {
    const view = this.#view
    const size = this.#size
    const { value } = this.#columns
    const byte = view.getUint8(0)
    if (byte === QUOTE) return this.#jsonText(row)
    const word = view.getInt32(0, true)
    if (word === WORD_NULL && size === 4) return 0
    const isFalse = word === WORD_FALS && size === 5 && view.getUint8(4) === LETTER_E
    if (isFalse || (word === WORD_TRUE && size === 4)) {
      value[row] = isFalse ? 0 : 1
      return 1
    }
    const after = scanNumber(view, 0, size + 1, value, row)
    if (after === size) return 1
    return after > 0 && after < size ? PayloadError.TRAILING_BYTES : PayloadError.MALFORMED
  }

  #jsonText(row: number): number {
    const columns = this.#columns
    columns.reserveText(this.#size)
    const start = columns.textSizeBytes
    const { text } = columns
    const after = this.#strings.scan(this.#view, 1, this.#size, text, start, text.length)
    if (after < 0) return after
    if (after !== this.#size) return PayloadError.TRAILING_BYTES
    const end = this.#strings.outEnd
    if (this.#strings.hasSurrogate) replaceSurrogates(text, start, end)
    return this.#addText(row, end)
  }

  /** All of the payload, as it is. */
  #plainText(row: number): number {
    const columns = this.#columns
    const view = this.#view
    const size = this.#size
    columns.reserveText(size)
    const start = columns.textSizeBytes
    for (let offset = 0; offset < size; ) {
      const byte = view.getUint8(offset)
      const sizeBytes = byte < 0x80 ? 1 : sequenceSizeBytes(view, offset, size)
      if (byte < SPACE || byte === 0x7f) return PayloadError.MALFORMED
      if (sizeBytes === 0) return PayloadError.BAD_UTF8
      for (const next = offset + sizeBytes; offset < next; offset++)
        columns.text[start + offset] = this.#bytes[offset]
    }
    return this.#addText(row, start + size)
  }

  #addText(row: number, end: number): number {
    const columns = this.#columns
    columns.value[row] = NaN
    columns.textStart[row] = columns.textSizeBytes
    columns.textSize[row] = end - columns.textSizeBytes
    columns.textSizeBytes = end
    return 1
  }

  #scanMsgpack(row: number): number {
    const view = this.#view
    const size = this.#size
    const byte = view.getUint8(0)
    let after = readNumber(view, 0, this.#columns.value, row)
    if (after < 0) {
      const kind = kindOf(byte)
      if (kind === Kind.STRING) return this.#msgpackText(byte, row)
      if (kind !== Kind.OTHER) return PayloadError.UNSUPPORTED_TYPE
      if (byte === NIL && size === 1) return 0
      if (byte !== TRUE && byte !== FALSE) return PayloadError.MALFORMED
      this.#columns.value[row] = byte === TRUE ? 1 : 0
      after = 1
    }
    if (after === size) return 1
    return after < size ? PayloadError.TRAILING_BYTES : PayloadError.TRUNCATED
  }

  #msgpackText(byte: number, row: number): number {
    const columns = this.#columns
    const view = this.#view
    const first = headerSizeBytes(byte)
    const last = first + headerCount(view, 0, byte)
    if (last > this.#size) return PayloadError.TRUNCATED
    if (last < this.#size) return PayloadError.TRAILING_BYTES
    columns.reserveText(last - first)
    const start = columns.textSizeBytes
    for (let offset = first; offset < last; ) {
      const lead = view.getUint8(offset)
      const sizeBytes = lead < 0x80 ? 1 : sequenceSizeBytes(view, offset, last)
      if (sizeBytes === 0) return PayloadError.BAD_UTF8
      for (const next = offset + sizeBytes; offset < next; offset++)
        columns.text[start + offset - first] = this.#bytes[offset]
    }
    return this.#addText(row, start + last - first)
  }
}

function isSpace(byte: number): boolean {
  return byte === SPACE || byte === 0x0a || byte === 0x0d || byte === 0x09
}

/**
 * JSON payloads to rows of ReadingColumns. The whole grammar of RFC 8259 is checked, and values are what
 * JSON.parse gives. One owner: the shard's thread.
 *
 * An object that looks like one seen before is followed along its shape (payload-shapes.ts): literals are
 * compared by words and values scanned straight into the columns. Whatever does not fit goes through the
 * general scan, with the same result; only that one reports errors.
 */
import type { ReadingColumns } from '../columns.ts'
import { epochToMs, isoToMs } from '../event-time.ts'
import { DEPTH_MAX, PayloadError } from '../payload-error.ts'
import { type ObjectRows, TimeState } from '../payload-rows.ts'
import { END, matchLiteral, type ShapeTable, TIME_SLOT } from '../payload-shapes.ts'
import { replaceSurrogates } from '../payload-utf8.ts'
import { scanEpochMs, scanNumber, scanWideNumber } from './number.ts'
import { JsonString } from './string.ts'

const QUOTE = 0x22
const COMMA = 0x2c
const MINUS = 0x2d
const DOT = 0x2e
const COLON = 0x3a
const OPEN_BRACKET = 0x5b
const CLOSE_BRACKET = 0x5d
const OPEN_BRACE = 0x7b
const CLOSE_BRACE = 0x7d
const LETTER_E = 0x65
const LETTER_F = 0x66
const LETTER_N = 0x6e
const LETTER_T = 0x74
/** `true` and `fals`, little-endian. */
const TRUE = 0x65757274
const FALS = 0x736c6166

/** What `#follow` returns when the payload does not fit the shape. */
const MISS = -1

export class JsonScanner {
  /** The shape of the last payload scanned, when it was one object with a known shape; else -1. */
  shape = -1
  /** The shape that every object of the last payload had; -1 when they differ or it is not known. */
  repeatedShape = -1
  #shapes: ShapeTable
  #rows: ObjectRows
  #strings = new JsonString()
  #timeMs = new Float64Array(1)
  /** The shape seen last, for payloads that come without a hint. */
  #recentShape = -1
  #objectShape = -1
  #bytes!: Uint8Array
  #view!: DataView
  #end = 0
  #columns!: ReadingColumns

  constructor(shapes: ShapeTable, rows: ObjectRows) {
    this.#shapes = shapes
    this.#rows = rows
  }

  /** Takes payloads from `bytes`, of which `view` is a view, and appends to `columns`, from now on. */
  attach(bytes: Uint8Array, view: DataView, columns: ReadingColumns): void {
    this.#bytes = bytes
    this.#view = view
    this.#columns = columns
  }

  /**
   * Scans the payload in [start, end), after which OVERREAD_BYTES must exist. Returns the number of rows
   * appended, or a PayloadError and leaves the columns as they were.
   */
  // hot: per message
  scan(start: number, end: number, shapeHint: number): number {
    const columns = this.#columns
    const count = columns.count
    const textSizeBytes = columns.textSizeBytes
    this.#end = end
    if (shapeHint >= 0 && shapeHint < this.#shapes.count) {
      const after = this.#follow(start, shapeHint)
      if (after === end || (after !== MISS && skipSpace(this.#view, after, end) === end)) {
        this.shape = shapeHint
        this.repeatedShape = shapeHint
        return columns.count - count
      }
      columns.count = count
      columns.textSizeBytes = textSizeBytes
    }
    this.shape = -1
    this.repeatedShape = -1
    const after = this.#payload(start, shapeHint)
    if (after === end) return columns.count - count
    columns.count = count
    columns.textSizeBytes = textSizeBytes
    this.shape = -1
    this.repeatedShape = -1
    return after < 0 ? after : PayloadError.TRAILING_BYTES
  }

  /** Returns the offset after the payload's value and the space behind it. */
  #payload(start: number, shapeHint: number): number {
    const offset = skipSpace(this.#view, start, this.#end)
    if (offset >= this.#end) return PayloadError.EMPTY
    const byte = this.#view.getUint8(offset)
    if (byte === OPEN_BRACKET) return this.#batch(offset + 1, shapeHint)
    if (byte !== OPEN_BRACE) return startsValue(byte) ? PayloadError.NOT_OBJECT : PayloadError.MALFORMED
    const after = this.#object(offset, shapeHint, shapeHint)
    if (after < 0) return after
    this.shape = this.#objectShape
    this.repeatedShape = this.#objectShape
    return after === this.#end ? after : skipSpace(this.#view, after, this.#end)
  }

  /** An array of objects; `offset` is after its bracket. Each object tries the shape of the one before it. */
  #batch(offset: number, shapeHint: number): number {
    const view = this.#view
    const end = this.#end
    let hint = shapeHint
    let shape = -2
    offset = skipSpace(view, offset, end)
    if (offset < end && view.getUint8(offset) === CLOSE_BRACKET) return skipSpace(view, offset + 1, end)
    for (let index = 0; ; index++) {
      if (offset >= end) return PayloadError.TRUNCATED
      const byte = view.getUint8(offset)
      if (byte !== OPEN_BRACE) {
        return startsValue(byte) || byte === OPEN_BRACKET ? PayloadError.NOT_OBJECT : PayloadError.MALFORMED
      }
      offset = this.#object(offset, hint, -1)
      if (offset < 0) return offset
      hint = this.#objectShape
      shape = shape === -2 || shape === hint ? hint : -1
      offset = skipSpace(view, offset, end)
      if (offset >= end) return PayloadError.TRUNCATED
      const separator = view.getUint8(offset++)
      if (separator === CLOSE_BRACKET) {
        this.shape = index === 0 ? shape : -1
        this.repeatedShape = shape
        return skipSpace(view, offset, end)
      }
      if (separator !== COMMA) return PayloadError.MALFORMED
      offset = skipSpace(view, offset, end)
    }
  }

  /**
   * A top-level object: along the shape hinted at, or its alternate, or by the general scan; not along the
   * one tried.
   */
  #object(start: number, shapeHint: number, shapeTried: number): number {
    const shapes = this.#shapes
    const hint = shapeHint >= 0 && shapeHint < shapes.count ? shapeHint : this.#recentShape
    if (hint >= 0) {
      let after = MISS
      if (hint !== shapeTried) {
        this.#objectShape = hint
        after = this.#follow(start, hint)
        if (after !== MISS) return after
      }
      const alternate = shapes.alternate(hint)
      if (alternate >= 0) {
        this.#objectShape = alternate
        after = this.#follow(start, alternate)
        if (after !== MISS) return after
      }
    }
    this.#rows.begin(this.#columns)
    const after = this.#members(start + 1, 0, 1)
    if (after < 0) return after
    const error = this.#rows.finish()
    if (error < 0) return error
    const shape = this.#rows.learn(shapes, this.#view, start, after)
    if (shape >= 0) {
      this.#recentShape = shape
      if (hint >= 0 && hint !== shape) shapes.setAlternate(hint, shape)
    }
    this.#objectShape = shape
    return after
  }

  /**
   * Scans the object at `start` along a shape. Returns the offset after it, or MISS with the columns as they
   * were.
   */
  // hot: per message
  #follow(start: number, shape: number): number {
    const program = this.#shapes.program(shape)
    const view = this.#view
    const end = this.#end
    const columns = this.#columns
    const textSizeBytes = columns.textSizeBytes
    columns.reserve(program[0])
    const { metric, value, textSize, tsMs } = columns
    const firstRow = columns.count
    let row = firstRow
    let time = NaN
    let offset = start
    let at = 1
    for (;;) {
      const next = offset + program[at]
      const slot = program[at + 1]
      if (next > end) break
      at = matchLiteral(program, at, view, offset)
      if (at < 0) break
      if (slot === END) {
        for (let i = firstRow; i < row; i++) tsMs[i] = time
        columns.count = row
        return next
      }
      if (slot === TIME_SLOT) {
        offset = this.#followTime(next)
        if (offset < 0) break
        time = this.#timeMs[0]
        continue
      }
      const byte = view.getUint8(next)
      if (byte <= 0x39 && byte !== QUOTE) {
        offset = scanNumber(view, next, end, value, row)
        textSize[row] = -1
      } else offset = this.#followOther(next, byte, row)
      if (offset < 0) break
      metric[row++] = slot
    }
    columns.textSizeBytes = textSizeBytes
    return MISS
  }

  /** The time at `offset` into #timeMs; returns the offset after it, or MISS. */
  #followTime(offset: number): number {
    const view = this.#view
    const end = this.#end
    const time = this.#timeMs
    if (view.getUint8(offset) !== QUOTE) {
      const afterMs = scanEpochMs(view, offset, time)
      if (afterMs > 0) return afterMs
      const after = scanWideNumber(view, offset, end, time, 0)
      if (after < 0) return MISS
      const ms = epochToMs(time[0])
      time[0] = ms
      return ms >= 0 ? after : MISS
    }
    let close = offset + 1
    while (close < end && view.getUint8(close) !== QUOTE) close++
    return isoToMs(this.#bytes, offset + 1, close, time, 0) ? close + 1 : MISS
  }

  /** A text or boolean at `offset` into the columns' row; returns the offset after it, or MISS. */
  #followOther(offset: number, byte: number, row: number): number {
    const columns = this.#columns
    if (byte === QUOTE) return this.#text(offset, row)
    columns.textSize[row] = -1
    const word = this.#view.getInt32(offset, true)
    columns.value[row] = word === TRUE ? 1 : 0
    if (word === TRUE) return offset + 4
    return word === FALS && this.#view.getUint8(offset + 4) === LETTER_E ? offset + 5 : MISS
  }

  /** The string whose quote is at `offset`, as the text of a row that exists or is about to. */
  #text(offset: number, row: number): number {
    const columns = this.#columns
    const end = this.#end
    columns.reserveText(end - offset)
    const start = columns.textSizeBytes
    const after = this.#strings.scan(this.#view, offset + 1, end, columns.text, start, columns.text.length)
    if (after < 0) return after
    const outEnd = this.#strings.outEnd
    if (this.#strings.hasSurrogate) replaceSurrogates(columns.text, start, outEnd)
    columns.textSizeBytes = outEnd
    columns.value[row] = NaN
    columns.textStart[row] = start
    columns.textSize[row] = outEnd - start
    return after
  }

  /** The members of an object; `offset` is after its brace. Returns the offset after it. */
  #members(offset: number, pathSize: number, depth: number): number {
    const view = this.#view
    const end = this.#end
    const rows = this.#rows
    const frame = rows.openFrame()
    offset = skipSpace(view, offset, end)
    if (offset < end && view.getUint8(offset) === CLOSE_BRACE) return offset + 1
    for (;;) {
      if (offset >= end) return PayloadError.TRUNCATED
      if (view.getUint8(offset) !== QUOTE) return PayloadError.MALFORMED
      const keyStart = frame === 0 ? 0 : pathSize + 1
      offset = this.#key(offset + 1, keyStart)
      if (offset < 0) return offset
      const keyEnd = this.#strings.outEnd
      const entry = rows.openKey(frame, keyStart, keyEnd)
      if (entry < 0) return entry
      if (this.#strings.hasSurrogate) replaceSurrogates(rows.path, keyStart, keyEnd)
      offset = skipSpace(view, offset, end)
      if (offset >= end) return PayloadError.TRUNCATED
      if (view.getUint8(offset) !== COLON) return PayloadError.MALFORMED
      offset = this.#value(skipSpace(view, offset + 1, end), keyEnd, depth, frame === 0)
      if (offset < 0) return offset
      rows.closeKey(entry)
      offset = skipSpace(view, offset, end)
      if (offset >= end) return PayloadError.TRUNCATED
      const separator = view.getUint8(offset)
      if (separator === CLOSE_BRACE) return offset + 1
      if (separator !== COMMA) return PayloadError.MALFORMED
      offset = skipSpace(view, offset + 1, end)
    }
  }

  /** The key after the quote into path[keyStart..], with a dot before it unless it is a top-level one. */
  #key(offset: number, keyStart: number): number {
    const { path } = this.#rows
    if (keyStart > path.length) return PayloadError.NAME_TOO_LONG
    if (keyStart > 0) path[keyStart - 1] = DOT
    return this.#strings.scan(this.#view, offset, this.#end, path, keyStart, path.length)
  }

  /**
   * The value at `offset`, whose name is path[0, pathSize), inside `depth` containers. Returns the offset
   * after it.
   */
  #value(offset: number, pathSize: number, depth: number, isTopLevel: boolean): number {
    if (offset >= this.#end) return PayloadError.TRUNCATED
    const byte = this.#view.getUint8(offset)
    const rank = isTopLevel ? this.#rows.timeRank(pathSize) : -1
    if (byte === OPEN_BRACE || byte === OPEN_BRACKET) {
      if (depth >= DEPTH_MAX) return PayloadError.TOO_DEEP
      if (rank >= 0) this.#rows.setTimeState(rank, TimeState.CONTAINER)
      return byte === OPEN_BRACE
        ? this.#members(offset + 1, pathSize, depth + 1)
        : this.#elements(offset + 1, pathSize, depth + 1)
    }
    if (byte === LETTER_N) {
      if (rank >= 0) this.#rows.setTimeState(rank, TimeState.NULL)
      return this.#word(offset, NULL_WORD)
    }
    const after = this.#scalar(offset, byte, pathSize, rank)
    if (after >= 0) this.#rows.noteSlot(offset, after)
    return after
  }

  /** A number, string or boolean as a new row. */
  #scalar(offset: number, byte: number, pathSize: number, rank: number): number {
    if (!startsValue(byte)) return PayloadError.MALFORMED
    const row = this.#rows.add(pathSize, rank)
    if (row < 0) return row
    if (rank >= 0) this.#rows.setTimeState(rank, row)
    if (byte === QUOTE) return this.#text(offset, row)
    if (byte <= 0x39) return this.#number(offset, row)
    if (rank >= 0) this.#rows.setBoolean(row)
    this.#columns.value[row] = byte === LETTER_T ? 1 : 0
    return this.#word(offset, byte === LETTER_T ? TRUE_WORD : FALSE_WORD)
  }

  /** The number at `offset`. Whether it is malformed or cut off must not depend on what lies after `end`. */
  #number(offset: number, row: number): number {
    const view = this.#view
    const end = this.#end
    const after = scanNumber(view, offset, end, this.#columns.value, row)
    if (after >= 0 && after < end) return after
    let at = offset
    while (at < end && isNumberByte(view.getUint8(at))) at++
    return at === end ? PayloadError.TRUNCATED : PayloadError.MALFORMED
  }

  /** The literal `word` at `offset`. */
  #word(offset: number, word: Uint8Array): number {
    for (let i = 0; i < word.length; i++) {
      if (offset + i >= this.#end) return PayloadError.TRUNCATED
      if (this.#view.getUint8(offset + i) !== word[i]) return PayloadError.MALFORMED
    }
    return offset + word.length
  }

  /** The elements of an array inside an object; `offset` is after its bracket. */
  #elements(offset: number, pathSize: number, depth: number): number {
    const view = this.#view
    const end = this.#end
    offset = skipSpace(view, offset, end)
    if (offset < end && view.getUint8(offset) === CLOSE_BRACKET) return offset + 1
    for (let index = 0; ; index++) {
      const size = this.#rows.pushIndex(pathSize, index)
      if (size < 0) return size
      offset = this.#value(offset, size, depth, false)
      if (offset < 0) return offset
      offset = skipSpace(view, offset, end)
      if (offset >= end) return PayloadError.TRUNCATED
      const separator = view.getUint8(offset)
      if (separator === CLOSE_BRACKET) return offset + 1
      if (separator !== COMMA) return PayloadError.MALFORMED
      offset = skipSpace(view, offset + 1, end)
    }
  }
}

const TRUE_WORD = new TextEncoder().encode('true')
const FALSE_WORD = new TextEncoder().encode('false')
const NULL_WORD = new TextEncoder().encode('null')

/** The offset of the first byte from `offset` on that is no white space; at most `end`. */
function skipSpace(view: DataView, offset: number, end: number): number {
  while (offset < end) {
    const byte = view.getUint8(offset)
    if (byte > 0x20 || (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09)) break
    offset++
  }
  return offset
}

/** Whether a scalar may begin with this byte. */
function startsValue(byte: number): boolean {
  return (
    (byte >= 0x30 && byte <= 0x39) ||
    byte === MINUS ||
    byte === QUOTE ||
    byte === LETTER_T ||
    byte === LETTER_F ||
    byte === LETTER_N
  )
}

function isNumberByte(byte: number): boolean {
  return (
    (byte >= 0x30 && byte <= 0x39) ||
    byte === MINUS ||
    byte === DOT ||
    byte === 0x2b ||
    (byte | 0x20) === LETTER_E
  )
}

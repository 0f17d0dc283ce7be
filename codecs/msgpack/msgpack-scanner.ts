/**
 * MessagePack payloads to rows of ReadingColumns, with the meaning that JSON payloads have. One owner: the
 * shard's thread.
 *
 * As in json-scanner.ts, an object like one seen before is followed along its shape, and everything else goes
 * through the general scan, with the same result; only that one reports errors.
 */
import type { ReadingColumns } from '../columns.ts'
import { epochToMs, isoToMs } from '../event-time.ts'
import { DEPTH_MAX, PayloadError } from '../payload-error.ts'
import { type ObjectRows, TimeState } from '../payload-rows.ts'
import { END, matchLiteral, type ShapeTable, TIME_SLOT } from '../payload-shapes.ts'
import { sequenceSizeBytes } from '../payload-utf8.ts'
import {
  FALSE,
  headerCount,
  headerSizeBytes,
  Kind,
  kindOf,
  NIL,
  readNumber,
  readTimestamp,
  TRUE,
  timestampSizeBytes,
} from './value.ts'

const DOT = 0x2e
/** What `#follow` returns when the payload does not fit the shape. */
const MISS = -1

export class MsgpackScanner {
  /** The shape of the last payload scanned, when it was one object with a known shape; else -1. */
  shape = -1
  /** The shape that every object of the last payload had; -1 when they differ or it is not known. */
  repeatedShape = -1
  #shapes: ShapeTable
  #rows: ObjectRows
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
      if (after === end) {
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

  /** Returns the offset after the payload's value. */
  #payload(start: number, shapeHint: number): number {
    if (start >= this.#end) return PayloadError.EMPTY
    const kind = kindOf(this.#view.getUint8(start))
    if (kind === Kind.ARRAY) return this.#batch(start, shapeHint)
    if (kind !== Kind.MAP) return PayloadError.NOT_OBJECT
    const after = this.#object(start, shapeHint, shapeHint)
    if (after < 0) return after
    this.shape = this.#objectShape
    this.repeatedShape = this.#objectShape
    return after
  }

  /** An array of maps. Each tries the shape of the one before it. */
  #batch(start: number, shapeHint: number): number {
    const view = this.#view
    const byte = view.getUint8(start)
    let offset = start + headerSizeBytes(byte)
    if (offset > this.#end) return PayloadError.TRUNCATED
    const count = headerCount(view, start, byte)
    let hint = shapeHint
    let shape = -2
    for (let index = 0; index < count; index++) {
      if (offset >= this.#end) return PayloadError.TRUNCATED
      if (kindOf(view.getUint8(offset)) !== Kind.MAP) return PayloadError.NOT_OBJECT
      offset = this.#object(offset, hint, -1)
      if (offset < 0) return offset
      hint = this.#objectShape
      shape = shape === -2 || shape === hint ? hint : -1
    }
    this.shape = count === 1 ? shape : -1
    this.repeatedShape = Math.max(shape, -1)
    return offset
  }

  /**
   * A top-level map: along the shape hinted at, or its alternate, or by the general scan; not along the one
   * tried.
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
    const after = this.#pairs(start, 0, 1)
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
   * Scans the map at `start` along a shape. Returns the offset after it, or MISS with the columns as they
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
      offset = readNumber(view, next, value, row)
      textSize[row] = -1
      if (offset < 0) offset = this.#followOther(next, row)
      if (offset < 0) break
      metric[row++] = slot
    }
    columns.textSizeBytes = textSizeBytes
    return MISS
  }

  /** The time at `offset` into #timeMs; returns the offset after it, or MISS. */
  #followTime(offset: number): number {
    const view = this.#view
    const time = this.#timeMs
    const after = readNumber(view, offset, time, 0)
    if (after > 0) {
      time[0] = epochToMs(time[0])
      return time[0] >= 0 ? after : MISS
    }
    const sizeBytes = timestampSizeBytes(view, offset)
    if (sizeBytes > 0) {
      readTimestamp(view, offset, time, 0)
      return time[0] >= 0 ? offset + sizeBytes : MISS
    }
    const byte = view.getUint8(offset)
    if (kindOf(byte) !== Kind.STRING) return MISS
    const first = offset + headerSizeBytes(byte)
    const last = first + headerCount(view, offset, byte)
    return last <= this.#end && isoToMs(this.#bytes, first, last, time, 0) ? last : MISS
  }

  /** A text or boolean at `offset` into the columns' row; returns the offset after it, or MISS. */
  #followOther(offset: number, row: number): number {
    const byte = this.#view.getUint8(offset)
    if (byte === TRUE || byte === FALSE) {
      this.#columns.value[row] = byte === TRUE ? 1 : 0
      return offset + 1
    }
    return kindOf(byte) === Kind.STRING ? this.#text(offset, byte, row) : MISS
  }

  /** The string at `offset`, as the text of a row. */
  #text(offset: number, byte: number, row: number): number {
    const columns = this.#columns
    const first = offset + headerSizeBytes(byte)
    if (first > this.#end) return PayloadError.TRUNCATED
    const sizeBytes = headerCount(this.#view, offset, byte)
    if (sizeBytes > this.#end - first) return PayloadError.TRUNCATED
    columns.reserveText(sizeBytes)
    const start = columns.textSizeBytes
    const after = this.#copy(first, first + sizeBytes, columns.text, start)
    if (after < 0) return after
    columns.textSizeBytes = start + sizeBytes
    columns.value[row] = NaN
    columns.textStart[row] = start
    columns.textSize[row] = sizeBytes
    return after
  }

  /** Copies UTF-8 from [offset, last) to out[outStart..]; returns `last` or BAD_UTF8. */
  #copy(offset: number, last: number, out: Uint8Array, outStart: number): number {
    const view = this.#view
    const shift = outStart - offset
    while (offset < last) {
      const byte = view.getUint8(offset)
      const sizeBytes = byte < 0x80 ? 1 : sequenceSizeBytes(view, offset, last)
      if (sizeBytes === 0) return PayloadError.BAD_UTF8
      for (const next = offset + sizeBytes; offset < next; offset++)
        out[offset + shift] = view.getUint8(offset)
    }
    return last
  }

  /** The pairs of the map at `offset`, inside `depth` containers with itself. Returns the offset after it. */
  #pairs(start: number, pathSize: number, depth: number): number {
    const view = this.#view
    const rows = this.#rows
    const byte = view.getUint8(start)
    let offset = start + headerSizeBytes(byte)
    if (offset > this.#end) return PayloadError.TRUNCATED
    const frame = rows.openFrame()
    const keyStart = frame === 0 ? 0 : pathSize + 1
    for (let left = headerCount(view, start, byte); left > 0; left--) {
      offset = this.#key(offset, keyStart)
      if (offset < 0) return offset
      const keyEnd = this.#keyEnd
      const entry = rows.openKey(frame, keyStart, keyEnd)
      if (entry < 0) return entry
      offset = this.#value(offset, keyEnd, depth, frame === 0)
      if (offset < 0) return offset
      rows.closeKey(entry)
    }
    return offset
  }

  #keyEnd = 0

  /** The key at `offset` into path[keyStart, #keyEnd), with a dot before it unless it is a top-level one. */
  #key(offset: number, keyStart: number): number {
    const { path } = this.#rows
    if (offset >= this.#end) return PayloadError.TRUNCATED
    const byte = this.#view.getUint8(offset)
    if (kindOf(byte) !== Kind.STRING) return PayloadError.KEY_NOT_STRING
    const first = offset + headerSizeBytes(byte)
    if (first > this.#end) return PayloadError.TRUNCATED
    const sizeBytes = headerCount(this.#view, offset, byte)
    if (sizeBytes > this.#end - first) return PayloadError.TRUNCATED
    if (keyStart + sizeBytes > path.length) return PayloadError.NAME_TOO_LONG
    if (keyStart > 0) path[keyStart - 1] = DOT
    this.#keyEnd = keyStart + sizeBytes
    return this.#copy(first, first + sizeBytes, path, keyStart)
  }

  /**
   * The value at `offset`, whose name is path[0, pathSize), inside `depth` containers. Returns the offset
   * after it.
   */
  #value(offset: number, pathSize: number, depth: number, isTopLevel: boolean): number {
    if (offset >= this.#end) return PayloadError.TRUNCATED
    const byte = this.#view.getUint8(offset)
    const rank = isTopLevel ? this.#rows.timeRank(pathSize) : -1
    const kind = kindOf(byte)
    if (kind === Kind.MAP || kind === Kind.ARRAY) {
      if (depth >= DEPTH_MAX) return PayloadError.TOO_DEEP
      if (rank >= 0) this.#rows.setTimeState(rank, TimeState.CONTAINER)
      return kind === Kind.MAP
        ? this.#pairs(offset, pathSize, depth + 1)
        : this.#elements(offset, pathSize, depth + 1)
    }
    if (byte === NIL) {
      if (rank >= 0) this.#rows.setTimeState(rank, TimeState.NULL)
      return offset + 1
    }
    const after = this.#scalar(offset, byte, kind, pathSize, rank)
    if (after > this.#end) return PayloadError.TRUNCATED
    if (after >= 0) this.#rows.noteSlot(offset, after)
    return after
  }

  /**
   * A number, string, boolean or time as a new row. Returns the offset after it, also when that is past the
   * end.
   */
  #scalar(offset: number, byte: number, kind: number, pathSize: number, rank: number): number {
    if (byte === 0xc1) return PayloadError.MALFORMED
    if (kind === Kind.BINARY) return PayloadError.UNSUPPORTED_TYPE
    if (kind === Kind.EXTENSION) return this.#timestamp(offset, pathSize, rank)
    const row = this.#rows.add(pathSize, rank)
    if (row < 0) return row
    if (rank >= 0) this.#rows.setTimeState(rank, row)
    if (kind === Kind.STRING) return this.#text(offset, byte, row)
    if (byte === TRUE || byte === FALSE) {
      if (rank >= 0) this.#rows.setBoolean(row)
      this.#columns.value[row] = byte === TRUE ? 1 : 0
      return offset + 1
    }
    return readNumber(this.#view, offset, this.#columns.value, row)
  }

  /** A timestamp extension, which only a time key may hold. */
  #timestamp(offset: number, pathSize: number, rank: number): number {
    const typeOffset = offset + (this.#view.getUint8(offset) === 0xc7 ? 2 : 1)
    if (typeOffset >= this.#end) return PayloadError.TRUNCATED
    const sizeBytes = timestampSizeBytes(this.#view, offset)
    if (sizeBytes === 0 || rank < 0) return PayloadError.UNSUPPORTED_TYPE
    const row = this.#rows.add(pathSize, rank)
    this.#rows.setTimeState(rank, row)
    this.#rows.setTimestamp(row)
    readTimestamp(this.#view, offset, this.#columns.value, row)
    return offset + sizeBytes
  }

  /**
   * The elements of the array at `offset`, inside `depth` containers with itself. Returns the offset after
   * it.
   */
  #elements(start: number, pathSize: number, depth: number): number {
    const view = this.#view
    const byte = view.getUint8(start)
    let offset = start + headerSizeBytes(byte)
    if (offset > this.#end) return PayloadError.TRUNCATED
    const count = headerCount(view, start, byte)
    for (let index = 0; index < count; index++) {
      const size = this.#rows.pushIndex(pathSize, index)
      if (size < 0) return size
      offset = this.#value(offset, size, depth, false)
      if (offset < 0) return offset
    }
    return offset
  }
}

/**
 * The rows of one top-level object while a general scan, JSON's or MessagePack's, goes through it: the dotted
 * path, the duplicate keys, the time. Rows are appended with the metric still open where it depends on what
 * follows, and `finish` settles them. One owner: the shard's thread.
 *
 * Invariant: between `begin` and `finish`, every scalar that is not null has exactly one row, in the order of
 * the payload.
 */
import type { ReadingColumns } from './columns.ts'
import { epochToMs, isoToMs } from './event-time.ts'
import type { MetricNames } from './metric-names.ts'
import { NAME_SIZE_BYTES_MAX, PayloadError } from './payload-error.ts'
import { ObjectKeys } from './payload-keys.ts'
import { type ShapeTable, SLOT_COUNT_MAX, TIME_SLOT } from './payload-shapes.ts'

/** The top-level keys that may be the time; the first of these that is present is. */
const TIME_KEYS = ['ts', 't', 'time', 'timestamp'].map((key) => new TextEncoder().encode(key))

/**
 * `metric` of a row: replaced by a later duplicate; at or below TIME_KEY: TIME_KEY - rank, a value under a
 * time key.
 */
const DEAD = -1
const TIME_KEY = -2
/**
 * `textSize`, until `finish`, of a row whose value is a time in ms already, and of a boolean under a time
 * key.
 */
const TIMESTAMP_SIZE = -2
const BOOLEAN_SIZE = -3

/** What a time key holds, when not the row (>= 0) of its value. */
export const TimeState = { ABSENT: -1, NULL: -2, CONTAINER: -3 } as const

export class ObjectRows {
  /** The path of the value being scanned; the names' owner is the scanner. */
  readonly path = new Uint8Array(NAME_SIZE_BYTES_MAX)
  #names: MetricNames
  #columns!: ReadingColumns
  #keys = new ObjectKeys()
  #firstRow = 0
  #frameCount = 0
  #hasDuplicate = false
  #timeState = new Int32Array(TIME_KEYS.length)
  #slotStart = new Int32Array(SLOT_COUNT_MAX)
  #slotEnd = new Int32Array(SLOT_COUNT_MAX)
  #slotMetric = new Int32Array(SLOT_COUNT_MAX)
  #timeMs = new Float64Array(1)
  #slotCount = 0

  constructor(names: MetricNames) {
    this.#names = names
  }

  /** Starts a top-level object whose rows are appended to `columns`. */
  begin(columns: ReadingColumns): void {
    this.#columns = columns
    this.#firstRow = columns.count
    this.#frameCount = 0
    this.#hasDuplicate = false
    this.#slotCount = 0
    const states = this.#timeState
    for (let rank = 0; rank < TIME_KEYS.length; rank++) states[rank] = TimeState.ABSENT
    this.#keys.clear()
  }

  /** Starts a `{ }`; returns its number, 0 for the top-level one. */
  openFrame(): number {
    return this.#frameCount++
  }

  /**
   * Starts the value of the key in path[keyStart, keyEnd) and drops the rows of an equal key before it.
   * Returns what `closeKey` wants, or TOO_MANY_KEYS.
   */
  openKey(frame: number, keyStart: number, keyEnd: number): number {
    const entry = this.#keys.open(frame, this.path, keyStart, keyEnd)
    if (entry < 0) return entry
    const count = this.#columns.count
    if (this.#keys.isDuplicate) {
      this.#hasDuplicate = true
      this.#columns.metric.fill(DEAD, this.#keys.firstRow(entry), this.#keys.endRow(entry))
    }
    this.#keys.setRows(entry, count, count)
    return entry
  }

  closeKey(entry: number): void {
    this.#keys.setRows(entry, this.#keys.firstRow(entry), this.#columns.count)
  }

  /** Which of the time keys path[0, keyEnd) is; -1 for none. */
  timeRank(keyEnd: number): number {
    if (this.path[0] !== 0x74) return -1
    for (let rank = 0; rank < TIME_KEYS.length; rank++) {
      const key = TIME_KEYS[rank]
      if (key.length !== keyEnd) continue
      let i = 1
      while (i < keyEnd && key[i] === this.path[i]) i++
      if (i === keyEnd) return rank
    }
    return -1
  }

  setTimeState(rank: number, state: number): void {
    this.#timeState[rank] = state
  }

  /** Appends `.` and a decimal index to path[0, size); returns the new size, or NAME_TOO_LONG. */
  pushIndex(size: number, index: number): number {
    let digits = 1
    for (let rest = index; rest >= 10; rest = Math.floor(rest / 10)) digits++
    const end = size + 1 + digits
    if (end > this.path.length) return PayloadError.NAME_TOO_LONG
    this.path[size] = 0x2e
    let rest = index
    for (let at = end - 1; at > size; at--) {
      this.path[at] = 0x30 + (rest % 10)
      rest = Math.floor(rest / 10)
    }
    return end
  }

  /**
   * Appends a row for a number at path[0, pathSize); the caller writes columns.value[row]. `rank` is the
   * top-level time key it stands under, or -1. Returns the row or an error.
   */
  add(pathSize: number, rank: number): number {
    const columns = this.#columns
    const row = columns.count
    let metric = TIME_KEY - rank
    if (rank < 0) {
      metric = this.#names.intern(this.path, 0, pathSize)
      if (metric < 0) return pathSize === 0 ? PayloadError.NAME_EMPTY : PayloadError.NAMES_FULL
    }
    columns.reserve(1)
    columns.metric[row] = metric
    columns.textSize[row] = -1
    columns.count = row + 1
    return row
  }

  /** Turns the row into a text reading of the `sizeBytes` last appended to columns.text. */
  setText(row: number, sizeBytes: number): void {
    const columns = this.#columns
    columns.value[row] = NaN
    columns.textStart[row] = columns.textSizeBytes - sizeBytes
    columns.textSize[row] = sizeBytes
  }

  /** Marks the row of a time key as a boolean, which is no time. */
  setBoolean(row: number): void {
    this.#columns.textSize[row] = BOOLEAN_SIZE
  }

  /** Marks the row of a time key as a time in ms, which is no number. */
  setTimestamp(row: number): void {
    this.#columns.textSize[row] = TIMESTAMP_SIZE
  }

  /** Notes where the payload has the value of the row that was added last. */
  // hot: per value of the general scan
  noteSlot(start: number, end: number): void {
    const slot = this.#slotCount++
    if (slot >= SLOT_COUNT_MAX) return
    this.#slotStart[slot] = start
    this.#slotEnd[slot] = end
  }

  /** Settles the object's time and its rows. Returns 0 or an error. */
  finish(): number {
    const states = this.#timeState
    const rankCount = TIME_KEYS.length
    let winner = 0
    while (winner < rankCount && states[winner] === TimeState.ABSENT) winner++
    let timeRow = -1
    let tsMs = NaN
    if (winner < rankCount && states[winner] !== TimeState.NULL) {
      timeRow = states[winner]
      if (timeRow < 0) return PayloadError.BAD_TIME
      tsMs = this.#rowTimeMs(timeRow)
      if (!(tsMs >= 0)) return PayloadError.BAD_TIME
    }
    for (let rank = winner + 1; rank < rankCount; rank++) {
      const error = states[rank] >= 0 ? this.#settleLoser(rank, states[rank]) : 0
      if (error < 0) return error
    }
    this.#compact(timeRow, tsMs)
    return 0
  }

  /** The shape of the finished object, which lies in view[start, end), or -1. */
  learn(shapes: ShapeTable, view: DataView, start: number, end: number): number {
    const slotCount = this.#slotCount
    if (this.#hasDuplicate || slotCount === 0 || slotCount > SLOT_COUNT_MAX) return -1
    return shapes.learn(view, start, end, slotCount, this.#slotStart, this.#slotEnd, this.#slotMetric)
  }

  /** The value of a row as a time; NaN when it is none. */
  #rowTimeMs(row: number): number {
    const columns = this.#columns
    const sizeBytes = columns.textSize[row]
    if (sizeBytes === TIMESTAMP_SIZE) return columns.value[row]
    if (sizeBytes === BOOLEAN_SIZE) return NaN
    if (sizeBytes < 0) return epochToMs(columns.value[row])
    const start = columns.textStart[row]
    return isoToMs(columns.text, start, start + sizeBytes, this.#timeMs, 0) ? this.#timeMs[0] : NaN
  }

  /** Makes a plain metric of a time key that is not the time. */
  #settleLoser(rank: number, row: number): number {
    const columns = this.#columns
    if (columns.textSize[row] === TIMESTAMP_SIZE) return PayloadError.UNSUPPORTED_TYPE
    if (columns.textSize[row] === BOOLEAN_SIZE) columns.textSize[row] = -1
    const key = TIME_KEYS[rank]
    const metric = this.#names.intern(key, 0, key.length)
    if (metric < 0) return PayloadError.NAMES_FULL
    columns.metric[row] = metric
    return 0
  }

  /** Takes out the time's row and the dead ones, and writes the time into the others. */
  #compact(timeRow: number, tsMs: number): void {
    const columns = this.#columns
    const { metric, value, textStart, textSize, tsMs: ts } = columns
    const firstRow = this.#firstRow
    const slotMetric = this.#slotMetric
    const end = columns.count
    let to = firstRow
    for (let row = firstRow; row < end; row++) {
      const slot = row - firstRow
      if (slot < SLOT_COUNT_MAX) slotMetric[slot] = row === timeRow ? TIME_SLOT : metric[row]
      if (row === timeRow || metric[row] === DEAD) continue
      if (to === row) {
        to++
        continue
      }
      metric[to] = metric[row]
      value[to] = value[row]
      textStart[to] = textStart[row]
      textSize[to] = textSize[row]
      to++
    }
    for (let row = firstRow; row < to; row++) ts[row] = tsMs
    columns.count = to
  }
}

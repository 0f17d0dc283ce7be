/**
 * What ordered windows ask to be written: rows of windows as they stand or as they closed, and amendments. One owner: the shard's
 * thread, which takes them and clears.
 *
 * A row replaces what an earlier batch said of (series, operator, startMs); a batch may hold such rows twice, and then the last
 * counts. count, firstTsMs and lastTsMs are those of all readings that the operator takes, texts among them when it was asked for
 * states; other doubles are of the numbers alone, and NaN when they were not asked for or are undefined.
 */
import type { Stateful, StateReader, StateWriter } from '../codecs/state.ts'

const CAPACITY_MIN = 1024

/** A row's doubles, in the order of the table's columns; times in ms. */
export const WindowCell = {
  startMs: 0,
  endMs: 1,
  count: 2,
  sum: 3,
  min: 4,
  max: 5,
  mean: 6,
  variance: 7,
  first: 8,
  firstTsMs: 9,
  last: 10,
  lastTsMs: 11,
  timeWeightedMean: 12,
  increase: 13,
  rate: 14,
  distinct: 15,
  q50: 16,
  q90: 17,
  q99: 18,
} as const
export const WINDOW_CELLS = 19

export class WindowRows {
  count = 0
  series = new Int32Array(CAPACITY_MIN)
  /** Index into the specs that the windows were made with. */
  operator = new Int32Array(CAPACITY_MIN)
  /** Row r has [r * WINDOW_CELLS, (r + 1) * WINDOW_CELLS), see WindowCell. Stale in locals after `append`. */
  cells = new Float64Array(CAPACITY_MIN * WINDOW_CELLS)
  /** Row r has the states [stateStart[r], stateEnd[r]), each one once. */
  stateStart = new Int32Array(CAPACITY_MIN)
  stateEnd = new Int32Array(CAPACITY_MIN)
  stateCount = 0
  /** Number of the state's text (ordered-texts.ts), or 0 for the state that is a number. */
  stateText = new Int32Array(CAPACITY_MIN)
  stateNumber = new Float64Array(CAPACITY_MIN)
  stateMs = new Float64Array(CAPACITY_MIN)

  /** Appends a row without values; returns where its cells begin. */
  append(series: number, operator: number, startMs: number, endMs: number): number {
    if (this.count === this.series.length) this.#grow()
    const row = this.count++
    this.series[row] = series
    this.operator[row] = operator
    const at = row * WINDOW_CELLS
    this.cells.fill(Number.NaN, at, at + WINDOW_CELLS)
    this.cells[at + WindowCell.startMs] = startMs
    this.cells[at + WindowCell.endMs] = endMs
    this.cells[at + WindowCell.count] = 0
    this.stateStart[row] = this.stateCount
    this.stateEnd[row] = this.stateCount
    return at
  }

  /** Appends a state to the newest row. */
  appendState(text: number, x: number, ms: number): void {
    const at = this.stateCount++
    if (at === this.stateText.length) {
      this.stateText = grown(this.stateText, new Int32Array(at * 2))
      this.stateNumber = grown(this.stateNumber, new Float64Array(at * 2))
      this.stateMs = grown(this.stateMs, new Float64Array(at * 2))
    }
    this.stateText[at] = text
    this.stateNumber[at] = x
    this.stateMs[at] = ms
    this.stateEnd[this.count - 1] = this.stateCount
  }

  /** Forgets the rows, keeps the memory. */
  clear(): void {
    this.count = 0
    this.stateCount = 0
  }

  #grow(): void {
    const capacity = this.series.length * 2
    this.series = grown(this.series, new Int32Array(capacity))
    this.operator = grown(this.operator, new Int32Array(capacity))
    this.stateStart = grown(this.stateStart, new Int32Array(capacity))
    this.stateEnd = grown(this.stateEnd, new Int32Array(capacity))
    this.cells = grown(this.cells, new Float64Array(capacity * WINDOW_CELLS))
  }
}

/** Ranges of one series and operator that lie apart: no more than this many stand in one batch. */
const RANGES_MAX = 8

/**
 * Ranges of reading times, [fromMs, toMs], whose windows are to be computed anew from all readings. What is near another range of
 * the same series and operator joins it; past RANGES_MAX, anything joins the newest.
 */
export class AmendmentRows implements Stateful {
  count = 0
  series = new Int32Array(CAPACITY_MIN)
  operator = new Int32Array(CAPACITY_MIN)
  fromMs = new Float64Array(CAPACITY_MIN)
  toMs = new Float64Array(CAPACITY_MIN)
  /** The row before of the same series and operator, or -1. */
  #previous = new Int32Array(CAPACITY_MIN)

  /** Asks for the range; `newest` is what the last call for the series and operator returned, as this one does, or -1. */
  ask(
    newest: number,
    series: number,
    operator: number,
    fromMs: number,
    toMs: number,
    nearMs: number,
  ): number {
    let previous = -1
    if (
      newest >= 0 &&
      newest < this.count &&
      this.series[newest] === series &&
      this.operator[newest] === operator
    ) {
      previous = newest
      let ranges = 0
      for (let row = newest; row >= 0; row = this.#previous[row], ranges++) {
        if (fromMs <= this.toMs[row] + nearMs && toMs >= this.fromMs[row] - nearMs) {
          this.#join(row, fromMs, toMs)
          return newest
        }
      }
      if (ranges >= RANGES_MAX) {
        this.#join(newest, fromMs, toMs)
        return newest
      }
    }
    if (this.count === this.series.length) this.#grow()
    const row = this.count++
    this.series[row] = series
    this.operator[row] = operator
    this.fromMs[row] = fromMs
    this.toMs[row] = toMs
    this.#previous[row] = previous
    return row
  }

  /** Forgets the rows, keeps the memory. */
  clear(): void {
    this.count = 0
  }

  /** Appends the other's rows, and clears it. */
  takeFrom(other: AmendmentRows): void {
    const { count } = this
    while (this.series.length < count + other.count) this.#grow()
    for (let row = 0; row < other.count; row++) {
      this.series[count + row] = other.series[row]
      this.operator[count + row] = other.operator[row]
      this.fromMs[count + row] = other.fromMs[row]
      this.toMs[count + row] = other.toMs[row]
    }
    this.count = count + other.count
    other.clear()
  }

  save(out: StateWriter): void {
    const { count } = this
    out.i32(this.series, count)
    out.i32(this.operator, count)
    out.f64(this.fromMs, count)
    out.f64(this.toMs, count)
    out.i32(this.#previous, count)
  }

  load(from: StateReader): void {
    const series = from.i32()
    const count = series.length
    while (this.series.length < count) this.#grow()
    this.series.set(series)
    this.operator.set(from.i32())
    this.fromMs.set(from.f64())
    this.toMs.set(from.f64())
    this.#previous.set(from.i32())
    this.count = count
  }

  #join(row: number, fromMs: number, toMs: number): void {
    if (fromMs < this.fromMs[row]) this.fromMs[row] = fromMs
    if (toMs > this.toMs[row]) this.toMs[row] = toMs
  }

  #grow(): void {
    const capacity = this.series.length * 2
    this.series = grown(this.series, new Int32Array(capacity))
    this.operator = grown(this.operator, new Int32Array(capacity))
    this.fromMs = grown(this.fromMs, new Float64Array(capacity))
    this.toMs = grown(this.toMs, new Float64Array(capacity))
    this.#previous = grown(this.#previous, new Int32Array(capacity))
  }
}

function grown<T extends { set(from: T): void }>(from: T, to: T): T {
  to.set(from)
  return to
}

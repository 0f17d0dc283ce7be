/**
 * The open window of each slot, for windows that depend on their own readings only (sessions, counts): one record per slot, filled
 * in event-time order. Values for exact quantiles and distinct counts, and states, are kept beside it; a window that needs more
 * room than there is becomes incomplete, and its owner leaves it to an amendment. One owner: an operator.
 */
import { assert } from '../base/assert.ts'
import type { Stateful, StateReader, StateWriter } from '../codecs/state.ts'
import { BLOCK_PAGE_LOG2, BLOCK_PLACE_MASK } from './double-blocks.ts'
import type { OrderedMemory } from './ordered-memory.ts'
import { increaseBetween, Wants } from './ordered-operator.ts'
import { WindowCell, type WindowRows } from './ordered-rows.ts'
import { countDistinct, writeQuantiles } from './sorted-values.ts'
import { addDuration, freeDurations, hasUnknownState, NO_ROOM, writeDurations } from './state-durations.ts'

/** Readings, texts included; 0 means that no window is open. */
const TAKEN = 0
const START_MS = 1
const END_MS = 2
/** Numbers, and what they come to. */
const N = 3
const FIRST_TS_MS = 4
const FIRST = 5
const LAST_TS_MS = 6
const LAST = 7
const SUM = 8
/** What rounding took from the sum (Neumaier, 1974). */
const ERROR = 9
const MIN = 10
const MAX = 11
/** Running mean and sum of squares about it (Welford, 1962). */
const MEAN = 12
const M2 = 13
const INTEGRAL = 14
const INCREASE = 15
const FLAGS = 16
const PLAIN_STRIDE = 17
const VALUES = 17
const VALUES_LOG2 = 18
/** Durations of states that ended, and the one in force at END_MS. */
const STATES = 19
const STATE_TEXT = 20
const STATE_NUMBER = 21
const STRIDE = 22

const CHANGED = 1
const INCOMPLETE = 2
const VALUES_LOG2_MIN = 3
/** 8,192 values of one window are kept. */
const VALUES_LOG2_MAX = 13
const CAPACITY_MIN = 64

export class WindowSummaries implements Stateful {
  readonly #wants: number
  readonly #memory: OrderedMemory
  readonly #stride: number
  #records: Float64Array

  constructor(wants: number, memory: OrderedMemory) {
    this.#wants = wants
    this.#memory = memory
    this.#stride = (wants & (Wants.values | Wants.states)) === 0 ? PLAIN_STRIDE : STRIDE
    this.#records = new Float64Array(CAPACITY_MIN * this.#stride)
  }

  admit(slot: number): void {
    if ((slot + 1) * this.#stride <= this.#records.length) return
    const records = new Float64Array(Math.max(this.#records.length * 2, (slot + 1) * this.#stride))
    records.set(this.#records)
    this.#records = records
  }

  /** Readings in the open window. */
  taken(slot: number): number {
    return this.#records[slot * this.#stride + TAKEN]
  }

  startMs(slot: number): number {
    return this.#records[slot * this.#stride + START_MS]
  }

  endMs(slot: number): number {
    return this.#records[slot * this.#stride + END_MS]
  }

  /** True when a reading came since `markShown`. */
  isChanged(slot: number): boolean {
    return (this.#records[slot * this.#stride + FLAGS] & CHANGED) !== 0
  }

  markShown(slot: number): void {
    this.#records[slot * this.#stride + FLAGS] &= ~CHANGED
  }

  /** True when the window cannot tell all it was asked for. */
  isIncomplete(slot: number): boolean {
    const at = slot * this.#stride
    if ((this.#records[at + FLAGS] & INCOMPLETE) !== 0) return true
    return (this.#wants & Wants.states) !== 0 && hasUnknownState(this.#memory, this.#records[at + STATES])
  }

  // hot: per message
  add(slot: number, ts: number, x: number): void {
    const at = slot * this.#stride
    const records = this.#records
    const wants = this.#wants
    if ((wants & Wants.states) !== 0) this.#pass(at, ts, 0, x)
    if (records[at + TAKEN]++ === 0) records[at + START_MS] = ts
    records[at + END_MS] = ts
    records[at + FLAGS] |= CHANGED
    const n = ++records[at + N]
    if (n === 1) {
      records[at + FIRST_TS_MS] = ts
      records[at + FIRST] = x
      records[at + MIN] = x
      records[at + MAX] = x
    } else {
      const last = records[at + LAST]
      if ((wants & Wants.timeWeightedMean) !== 0)
        records[at + INTEGRAL] += last * (ts - records[at + LAST_TS_MS])
      if ((wants & (Wants.increase | Wants.rate)) !== 0) records[at + INCREASE] += increaseBetween(last, x)
      if (x < records[at + MIN]) records[at + MIN] = x
      if (x > records[at + MAX]) records[at + MAX] = x
    }
    records[at + LAST_TS_MS] = ts
    records[at + LAST] = x
    const sum = records[at + SUM]
    const larger = sum + x
    records[at + ERROR] += Math.abs(sum) >= Math.abs(x) ? sum - larger + x : x - larger + sum
    records[at + SUM] = larger
    if ((wants & Wants.variance) !== 0) {
      const distance = x - records[at + MEAN]
      records[at + MEAN] += distance / n
      records[at + M2] += distance * (x - records[at + MEAN])
    }
    if ((wants & Wants.values) !== 0) this.#keepValue(at, n, x)
  }

  addText(slot: number, ts: number, text: number): void {
    const at = slot * this.#stride
    this.#pass(at, ts, text, 0)
    if (this.#records[at + TAKEN]++ === 0) this.#records[at + START_MS] = ts
    this.#records[at + END_MS] = ts
    this.#records[at + FLAGS] |= CHANGED
  }

  /** A reading that is not seen counts in the window; in an empty one, those that are seen come from `fromMs` on. */
  addUnseen(slot: number, fromMs: number): void {
    const at = slot * this.#stride
    if (this.#records[at + TAKEN]++ === 0) this.#records[at + START_MS] = fromMs
    this.#records[at + FLAGS] |= INCOMPLETE
  }

  /** Appends the window as a row. */
  write(slot: number, series: number, operator: number, rows: WindowRows): void {
    const records = this.#records
    const from = slot * this.#stride
    const startMs = records[from + START_MS]
    const endMs = records[from + END_MS]
    const at = rows.append(series, operator, startMs, endMs)
    rows.cells[at + WindowCell.count] = records[from + TAKEN]
    rows.cells[at + WindowCell.firstTsMs] = startMs
    rows.cells[at + WindowCell.lastTsMs] = endMs
    if (records[from + N] > 0) this.#writeNumbers(from, rows.cells, at)
    if ((this.#wants & Wants.states) !== 0) writeDurations(this.#memory, records[from + STATES], rows)
  }

  /** Leaves the slot without a window. */
  reset(slot: number): void {
    const at = slot * this.#stride
    const records = this.#records
    if (this.#stride === STRIDE) {
      if (records[at + VALUES] !== 0) this.#memory.give(records[at + VALUES], records[at + VALUES_LOG2])
      freeDurations(this.#memory, records[at + STATES])
    }
    records.fill(0, at, at + this.#stride)
  }

  /** Forgets all windows; the memory beside them is cleared by its owner. */
  clear(): void {
    this.#records.fill(0)
  }

  save(out: StateWriter): void {
    out.f64(this.#records)
  }

  load(from: StateReader): void {
    const records = from.f64()
    assert(records.length % this.#stride === 0, 'state has other windows')
    this.#records = records
  }

  /** A state begins at `ts`; the one before it lasted until then. */
  #pass(at: number, ts: number, text: number, x: number): void {
    const records = this.#records
    if (records[at + TAKEN] > 0 && (records[at + FLAGS] & INCOMPLETE) === 0) {
      const lastedMs = ts - records[at + END_MS]
      const lastText = records[at + STATE_TEXT]
      const lastX = records[at + STATE_NUMBER]
      const head = addDuration(this.#memory, records[at + STATES], lastText, lastX, lastedMs)
      if (head === NO_ROOM) records[at + FLAGS] |= INCOMPLETE
      else records[at + STATES] = head
    }
    records[at + STATE_TEXT] = text
    records[at + STATE_NUMBER] = x
  }

  #keepValue(at: number, n: number, x: number): void {
    const records = this.#records
    if ((records[at + FLAGS] & INCOMPLETE) !== 0) return
    const sizeLog2 = records[at + VALUES_LOG2]
    if (n === 1 || n > 1 << sizeLog2) {
      if (n > 1 << VALUES_LOG2_MAX || this.#memory.isFull) {
        records[at + FLAGS] |= INCOMPLETE
        return
      }
      this.#growValues(at, n - 1)
    }
    const block = records[at + VALUES]
    this.#memory.pages[block >>> BLOCK_PAGE_LOG2][(block & BLOCK_PLACE_MASK) + n - 1] = x
  }

  #growValues(at: number, count: number): void {
    const records = this.#records
    const memory = this.#memory
    const block = records[at + VALUES]
    const sizeLog2 = records[at + VALUES_LOG2]
    const largerLog2 = block === 0 ? VALUES_LOG2_MIN : sizeLog2 + 1
    const larger = memory.take(largerLog2)
    if (block !== 0) {
      const place = block & BLOCK_PLACE_MASK
      const values = memory.pages[block >>> BLOCK_PAGE_LOG2].subarray(place, place + count)
      memory.pages[larger >>> BLOCK_PAGE_LOG2].set(values, larger & BLOCK_PLACE_MASK)
      memory.give(block, sizeLog2)
    }
    records[at + VALUES] = larger
    records[at + VALUES_LOG2] = largerLog2
  }

  #writeNumbers(from: number, cells: Float64Array, at: number): void {
    const records = this.#records
    const wants = this.#wants
    const n = records[from + N]
    const sum = correctedSum(records[from + SUM], records[from + ERROR])
    if ((wants & Wants.sum) !== 0) cells[at + WindowCell.sum] = sum
    if ((wants & Wants.mean) !== 0) cells[at + WindowCell.mean] = sum / n
    if ((wants & Wants.min) !== 0) cells[at + WindowCell.min] = records[from + MIN]
    if ((wants & Wants.max) !== 0) cells[at + WindowCell.max] = records[from + MAX]
    if ((wants & Wants.first) !== 0) cells[at + WindowCell.first] = records[from + FIRST]
    if ((wants & Wants.last) !== 0) cells[at + WindowCell.last] = records[from + LAST]
    if ((wants & Wants.variance) !== 0) cells[at + WindowCell.variance] = records[from + M2] / n
    if ((wants & Wants.timeWeightedMean) !== 0) {
      const endMs = records[from + END_MS]
      const integral = records[from + INTEGRAL] + records[from + LAST] * (endMs - records[from + LAST_TS_MS])
      cells[at + WindowCell.timeWeightedMean] = integral / (endMs - records[from + FIRST_TS_MS])
    }
    if ((wants & Wants.increase) !== 0) cells[at + WindowCell.increase] = records[from + INCREASE]
    if ((wants & Wants.rate) !== 0) {
      const spanMs = records[from + END_MS] - records[from + START_MS]
      cells[at + WindowCell.rate] = spanMs === 0 ? Number.NaN : (records[from + INCREASE] * 1000) / spanMs
    }
    if ((wants & Wants.values) !== 0) this.#writeValues(from, n, cells, at)
  }

  #writeValues(from: number, n: number, cells: Float64Array, at: number): void {
    const block = this.#records[from + VALUES]
    const page = this.#memory.pages[block >>> BLOCK_PAGE_LOG2]
    const place = block & BLOCK_PLACE_MASK
    page.subarray(place, place + n).sort()
    if ((this.#wants & Wants.quantiles) !== 0) writeQuantiles(cells, at, page, place, n)
    if ((this.#wants & Wants.distinct) !== 0) cells[at + WindowCell.distinct] = countDistinct(page, place, n)
  }
}

/** The compensated sum; a sum that left the range of doubles is what it is. */
export function correctedSum(sum: number, error: number): number {
  return Number.isFinite(sum) ? sum + error : sum
}

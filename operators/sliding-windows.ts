/**
 * Sliding windows: at each time at which a series has a reading, those in (ts - width, ts], as a row [ts - width, ts]. The row leaves
 * when no reading of that time can come any more. One owner: the shard's thread. A window of more readings than are kept is left to
 * an amendment, and so are the rows that follow within its width.
 */
import { assert } from '../base/assert.ts'
import type { StateReader, StateWriter } from '../codecs/state.ts'
import type { OrderedMemory } from './ordered-memory.ts'
import { type OrderedOperator, type OrderedOutput, Wants } from './ordered-operator.ts'
import { WindowCell } from './ordered-rows.ts'
import { SlidingNumbers } from './sliding-numbers.ts'
import { SlidingStates } from './sliding-states.ts'
import { SlotAmendments } from './slot-amendments.ts'
import { hasUnknownState, writeDurations } from './state-durations.ts'

/** A slot's record: the time whose row did not leave yet, Infinity when there is none; up to where readings were not kept. */
const PENDING_MS = 0
const LOST_MS = 1
const STRIDE = 2
const CAPACITY_MIN = 64

export class SlidingWindows implements OrderedOperator {
  readonly takesTexts: boolean
  readonly #widthMs: number
  readonly #index: number
  readonly #output: OrderedOutput
  readonly #memory: OrderedMemory
  readonly #numbers: SlidingNumbers
  readonly #states: SlidingStates
  readonly #amendments: SlotAmendments
  #records: Float64Array = new Float64Array(CAPACITY_MIN * STRIDE)

  constructor(widthMs: number, wants: number, index: number, output: OrderedOutput, memory: OrderedMemory) {
    this.takesTexts = (wants & Wants.states) !== 0
    this.#widthMs = widthMs
    this.#index = index
    this.#output = output
    this.#memory = memory
    this.#numbers = new SlidingNumbers(wants, memory)
    this.#states = new SlidingStates(memory)
    this.#amendments = new SlotAmendments(index, output, widthMs)
  }

  admit(slot: number): void {
    this.#amendments.admit(slot)
    this.#numbers.admit(slot)
    this.#states.admit(slot)
    if ((slot + 1) * STRIDE <= this.#records.length) return
    const records = new Float64Array(this.#records.length * 2)
    records.set(this.#records)
    this.#records = records
  }

  open(slot: number): void {
    this.#amendments.open(slot)
    this.#records[slot * STRIDE + PENDING_MS] = Number.POSITIVE_INFINITY
    this.#records[slot * STRIDE + LOST_MS] = Number.NEGATIVE_INFINITY
  }

  // hot: per reading
  take(slot: number, pairs: Float64Array, start: number, end: number): void {
    for (let at = start; at < end; at += 2) this.#add(slot, pairs[at], pairs[at + 1])
  }

  // hot: per reading
  #add(slot: number, ts: number, x: number): void {
    this.#turnTo(slot, ts)
    const isKept = this.#numbers.append(slot, ts, x) && (!this.takesTexts || this.#states.append(slot, ts, x))
    if (!isKept) this.#lose(slot, ts)
  }

  addText(slot: number, ts: number, text: number): void {
    this.#turnTo(slot, ts)
    if (!this.#states.append(slot, ts + 0.5, text)) this.#lose(slot, ts)
  }

  settle(slot: number): void {
    if (this.dueMs(slot) < Number.POSITIVE_INFINITY) this.#emit(slot)
  }

  dueMs(slot: number): number {
    return this.#records[slot * STRIDE + PENDING_MS]
  }

  late(slot: number, ts: number): void {
    this.#amendments.ask(slot, ts, ts)
  }

  /** Every row leaves as soon as it can; none is open. */
  show(): void {}

  release(slot: number): void {
    this.#numbers.reset(slot)
    this.#states.reset(slot)
  }

  clear(): void {
    this.#numbers.clear()
    this.#states.clear()
  }

  save(out: StateWriter): void {
    this.#amendments.save(out)
    out.f64(this.#records)
    this.#numbers.save(out)
    this.#states.save(out)
  }

  load(from: StateReader): void {
    this.#amendments.load(from)
    const records = from.f64()
    assert(records.length % STRIDE === 0, 'state has other windows')
    this.#records = records
    this.#numbers.load(from)
    this.#states.load(from)
  }

  /** The window comes to end at `ts`. */
  #turnTo(slot: number, ts: number): void {
    const at = slot * STRIDE + PENDING_MS
    if (this.#records[at] === ts) return
    if (this.#records[at] < ts) this.#emit(slot)
    this.#numbers.dropUntil(slot, ts - this.#widthMs)
    if (this.takesTexts) this.#states.dropUntil(slot, ts - this.#widthMs)
    this.#records[at] = ts
  }

  #lose(slot: number, ts: number): void {
    this.#numbers.reset(slot)
    this.#states.reset(slot)
    this.#records[slot * STRIDE + LOST_MS] = ts
  }

  #emit(slot: number): void {
    const at = slot * STRIDE
    const { rows, slots } = this.#output
    const endMs = this.#records[at + PENDING_MS]
    const startMs = endMs - this.#widthMs
    this.#records[at + PENDING_MS] = Number.POSITIVE_INFINITY
    const states = this.takesTexts ? this.#states.durations(slot) : 0
    const dirtyUntilMs = Math.max(slots.dirtyUntilMs(slot), this.#records[at + LOST_MS])
    if (dirtyUntilMs > startMs || hasUnknownState(this.#memory, states)) {
      this.#amendments.ask(slot, endMs, endMs)
      return
    }
    const taken = this.takesTexts ? this.#states : this.#numbers
    const cellsAt = rows.append(slots.seriesOf[slot], this.#index, startMs, endMs)
    rows.cells[cellsAt + WindowCell.count] = taken.count(slot)
    rows.cells[cellsAt + WindowCell.firstTsMs] = taken.firstMs(slot)
    rows.cells[cellsAt + WindowCell.lastTsMs] = endMs
    if (this.#numbers.count(slot) > 0) this.#numbers.write(slot, rows.cells, cellsAt, endMs, this.#widthMs)
    writeDurations(this.#memory, states, rows)
  }
}

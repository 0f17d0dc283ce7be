/**
 * The readings in each slot's sliding window as states, and how long each state lasted. One owner: an operator, which adds at the new
 * end and drops from the old one. A ring entry is two doubles: ts and number, or ts + 0.5 and a text's number.
 */
import { assert } from '../base/assert.ts'
import type { Stateful, StateReader, StateWriter } from '../codecs/state.ts'
import { BLOCK_PAGE_LOG2, BLOCK_PLACE_MASK } from './double-blocks.ts'
import type { OrderedMemory } from './ordered-memory.ts'
import { addDuration, freeDurations, NO_ROOM } from './state-durations.ts'

const RING = 0
const SIZE_LOG2 = 1
const HEAD = 2
const COUNT = 3
const STATES = 4
const STRIDE = 5
const SIZE_LOG2_MIN = 3
const SIZE_LOG2_MAX = 13
const CAPACITY_MIN = 64

export class SlidingStates implements Stateful {
  readonly #memory: OrderedMemory
  #records: Float64Array = new Float64Array(CAPACITY_MIN * STRIDE)

  constructor(memory: OrderedMemory) {
    this.#memory = memory
  }

  admit(slot: number): void {
    if ((slot + 1) * STRIDE <= this.#records.length) return
    const records = new Float64Array(this.#records.length * 2)
    records.set(this.#records)
    this.#records = records
  }

  count(slot: number): number {
    return this.#records[slot * STRIDE + COUNT]
  }

  firstMs(slot: number): number {
    return Math.floor(this.#entry(slot * STRIDE, 0, 0))
  }

  /** Durations of the states that ended in the window: a chain's head. The last state begins at the newest reading. */
  durations(slot: number): number {
    return this.#records[slot * STRIDE + STATES]
  }

  /** Adds the newest reading, `key` as in the ring; false when there is no room for it. */
  append(slot: number, key: number, x: number): boolean {
    const at = slot * STRIDE
    const records = this.#records
    const count = records[at + COUNT]
    if (records[at + RING] === 0 || count === 1 << records[at + SIZE_LOG2]) {
      if (records[at + SIZE_LOG2] === SIZE_LOG2_MAX || this.#memory.isFull) return false
      this.#grow(at)
    }
    if (count > 0 && !this.#addLasted(at, count - 1, Math.floor(key), 1)) return false
    const place = this.#place(at, count)
    const page = this.#memory.pages[records[at + RING] >>> BLOCK_PAGE_LOG2]
    page[place] = key
    page[place + 1] = x
    records[at + COUNT]++
    return true
  }

  /** Drops the readings up to and including `untilMs`. */
  dropUntil(slot: number, untilMs: number): void {
    const at = slot * STRIDE
    const records = this.#records
    while (records[at + COUNT] > 0 && Math.floor(this.#entry(at, 0, 0)) <= untilMs) {
      if (records[at + COUNT] > 1) this.#addLasted(at, 0, Math.floor(this.#entry(at, 1, 0)), -1)
      records[at + HEAD] = (records[at + HEAD] + 1) & ((1 << records[at + SIZE_LOG2]) - 1)
      records[at + COUNT]--
    }
  }

  reset(slot: number): void {
    const at = slot * STRIDE
    const records = this.#records
    if (records[at + RING] !== 0) this.#memory.give(records[at + RING], records[at + SIZE_LOG2] + 1)
    freeDurations(this.#memory, records[at + STATES])
    records.fill(0, at, at + STRIDE)
  }

  /** Forgets all; the memory is cleared by its owner. */
  clear(): void {
    this.#records.fill(0)
  }

  save(out: StateWriter): void {
    out.f64(this.#records)
  }

  load(from: StateReader): void {
    const records = from.f64()
    assert(records.length % STRIDE === 0, 'state has other windows')
    this.#records = records
  }

  #place(at: number, index: number): number {
    const records = this.#records
    const mask = (1 << records[at + SIZE_LOG2]) - 1
    return (records[at + RING] & BLOCK_PLACE_MASK) + ((records[at + HEAD] + index) & mask) * 2
  }

  #entry(at: number, index: number, field: number): number {
    return this.#memory.pages[this.#records[at + RING] >>> BLOCK_PAGE_LOG2][this.#place(at, index) + field]
  }

  /** Counts (sign 1), or no longer counts (-1), that the reading's state lasted until `untilMs`. */
  #addLasted(at: number, index: number, untilMs: number, sign: number): boolean {
    const key = this.#entry(at, index, 0)
    const x = this.#entry(at, index, 1)
    const ts = Math.floor(key)
    const lastedMs = (untilMs - ts) * sign
    const isText = ts !== key
    const states = this.#records[at + STATES]
    const head = addDuration(this.#memory, states, isText ? x : 0, isText ? 0 : x, lastedMs)
    if (head === NO_ROOM) return false
    this.#records[at + STATES] = head
    return true
  }

  /** Twice the room, the oldest reading first in the ring. */
  #grow(at: number): void {
    const records = this.#records
    const ring = records[at + RING]
    const sizeLog2 = records[at + SIZE_LOG2]
    const largerLog2 = ring === 0 ? SIZE_LOG2_MIN : sizeLog2 + 1
    const larger = this.#memory.take(largerLog2 + 1)
    if (ring !== 0) {
      const page = this.#memory.pages[ring >>> BLOCK_PAGE_LOG2]
      const start = ring & BLOCK_PLACE_MASK
      const middle = start + records[at + HEAD] * 2
      const end = start + (2 << sizeLog2)
      const toPage = this.#memory.pages[larger >>> BLOCK_PAGE_LOG2]
      const toStart = larger & BLOCK_PLACE_MASK
      toPage.set(page.subarray(middle, end), toStart)
      toPage.set(page.subarray(start, middle), toStart + end - middle)
      this.#memory.give(ring, sizeLog2 + 1)
    }
    records[at + RING] = larger
    records[at + HEAD] = 0
    records[at + SIZE_LOG2] = largerLog2
  }
}

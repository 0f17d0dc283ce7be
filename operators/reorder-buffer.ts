/**
 * Holds each series' readings until they are due, and hands them to the operators in order. One owner: the shard's thread.
 * Invariants: what is held of a series is sorted and not below its frontier; operators have seen everything below the frontier
 * that was ever held, and nothing else.
 *
 * A held reading is two doubles in a ring in the series' block: ts and value; a text reading is ts + 0.5 and the text's number, so
 * that texts follow the numbers of their millisecond. Times are whole and within 2^51, where halves are exact.
 *
 * Bounds: a series holds HELD_MAX readings, then the older half leaves early; blocks have room for `heldMax` readings in all, then
 * series in turn give up all they hold.
 */
import { assert } from '../base/assert.ts'
import type { Stateful, StateReader, StateWriter } from '../codecs/state.ts'
import { BLOCK_PAGE_LOG2, BLOCK_PLACE_MASK, DoubleBlocks } from './double-blocks.ts'
import type { OrderedOperator } from './ordered-operator.ts'
import type { OrderedTexts } from './ordered-texts.ts'
import { QUIET, type SeriesSlots, SLOT_INT_STRIDE, SLOT_STRIDE, SlotField, SlotInt } from './series-slots.ts'

const HELD_MAX = 4096
/** Doubles of a series' first block: four readings. */
const SIZE_LOG2_MIN = 3

export class ReorderBuffer implements Stateful {
  heldCount = 0
  /** Readings that left before they were due, for want of room. */
  hurriedCount = 0
  readonly #slots: SeriesSlots
  readonly #texts: OrderedTexts
  readonly #operators: readonly OrderedOperator[]
  readonly #textOperators: readonly OrderedOperator[]
  readonly #usedMax: number
  readonly #blocks = new DoubleBlocks()
  #evictNext = 1

  constructor(
    slots: SeriesSlots,
    texts: OrderedTexts,
    operators: readonly OrderedOperator[],
    heldMax: number,
  ) {
    this.#slots = slots
    this.#texts = texts
    this.#operators = operators
    this.#textOperators = operators.filter((operator) => operator.takesTexts)
    this.#usedMax = heldMax * 2
  }

  /** Makes sure that one more reading of the slot finds room. It may raise frontiers, the slot's own among them. */
  // hot: per message
  makeRoom(slot: number): void {
    while (this.#blocks.usedCount >= this.#usedMax) this.#evict()
    if (this.#slots.ints[slot * SLOT_INT_STRIDE + SlotInt.count] === HELD_MAX) this.#hurryHalf(slot)
  }

  /** Takes a reading that is not below the slot's frontier; `key` is its ts, or ts + 0.5 with a text's number as `x`. */
  // hot: per message
  hold(slot: number, key: number, x: number): void {
    const { ints, fields } = this.#slots
    const at = slot * SLOT_INT_STRIDE
    const count = ints[at + SlotInt.count]
    let size = (1 << (ints[at + SlotInt.sizeLog2] & 31)) >> 1
    if (count >= size || ints[at + SlotInt.block] === 0) size = this.#grow(at)
    const block = ints[at + SlotInt.block]
    const page = this.#blocks.pages[block >>> BLOCK_PAGE_LOG2]
    const place = block & BLOCK_PLACE_MASK
    const mask = size - 1
    const head = ints[at + SlotInt.head]
    ints[at + SlotInt.count] = count + 1
    this.heldCount++
    const oldestAt = slot * SLOT_STRIDE + SlotField.oldestMs
    if (key < fields[oldestAt]) {
      const first = (head - 1) & mask
      ints[at + SlotInt.head] = first
      page[place + first * 2] = key
      page[place + first * 2 + 1] = x
      fields[oldestAt] = key
      return
    }
    let i = count
    for (; i > 0; i--) {
      const before = place + ((head + i - 1) & mask) * 2
      if (page[before] < key || (page[before] === key && !this.#isAfter(key, page[before + 1], x))) break
      const after = place + ((head + i) & mask) * 2
      page[after] = page[before]
      page[after + 1] = page[before + 1]
    }
    const to = place + ((head + i) & mask) * 2
    page[to] = key
    page[to + 1] = x
  }

  /** Raises the slot's frontier to `frontierMs` and hands on what is below it. */
  // hot: per message
  advance(slot: number, frontierMs: number): void {
    const { fields } = this.#slots
    const at = slot * SLOT_STRIDE
    if (!(frontierMs > fields[at + SlotField.frontierMs])) return
    fields[at + SlotField.frontierMs] = frontierMs
    const hasReadings = fields[at + SlotField.oldestMs] < frontierMs
    if (!hasReadings && !(fields[at + SlotField.dueMs] < frontierMs)) return
    if (hasReadings) this.#handOn(slot, frontierMs)
    let dueMs = Number.POSITIVE_INFINITY
    for (let i = 0; i < this.#operators.length; i++) {
      const operator = this.#operators[i]
      if (operator.dueMs(slot) < frontierMs) operator.settle(slot)
      const due = operator.dueMs(slot)
      if (due < dueMs) dueMs = due
    }
    fields[at + SlotField.dueMs] = dueMs
  }

  /** Hands on all that the slot holds, and gives back its memory. */
  drain(slot: number): void {
    const { fields, ints } = this.#slots
    this.advance(slot, fields[slot * SLOT_STRIDE + SlotField.newestMs] + 1)
    const at = slot * SLOT_INT_STRIDE
    assert(ints[at + SlotInt.count] === 0, 'a reading is held above the newest')
    if (ints[at + SlotInt.block] === 0) return
    this.#blocks.give(ints[at + SlotInt.block], ints[at + SlotInt.sizeLog2] & 31)
    ints[at + SlotInt.block] = 0
    ints[at + SlotInt.head] = 0
    ints[at + SlotInt.sizeLog2] &= QUIET
  }

  /** Forgets all, keeps the memory. The slots are cleared by their owner. */
  clear(): void {
    this.#blocks.clear()
    this.heldCount = 0
    this.#evictNext = 1
  }

  save(out: StateWriter): void {
    out.numbers(this.heldCount, this.hurriedCount, this.#evictNext)
    this.#blocks.save(out)
  }

  load(from: StateReader): void {
    const [heldCount, hurriedCount, evictNext] = from.numbers(3)
    this.heldCount = heldCount
    this.hurriedCount = hurriedCount
    this.#evictNext = evictNext | 0
    this.#blocks.load(from)
  }

  #isAfter(key: number, x: number, other: number): boolean {
    return Math.floor(key) === key ? x > other : this.#texts.compare(x, other) > 0
  }

  #handOn(slot: number, frontierMs: number): void {
    const { fields, ints } = this.#slots
    const at = slot * SLOT_INT_STRIDE
    const block = ints[at + SlotInt.block]
    const page = this.#blocks.pages[block >>> BLOCK_PAGE_LOG2]
    const place = block & BLOCK_PLACE_MASK
    const mask = ((1 << (ints[at + SlotInt.sizeLog2] & 31)) >> 1) - 1
    let head = ints[at + SlotInt.head]
    let left = ints[at + SlotInt.count]
    let key = Number.POSITIVE_INFINITY
    while (left > 0) {
      // A run ends where the ring does, at a text and at the frontier.
      const start = place + head * 2
      const last = start + Math.min(left, mask + 1 - head) * 2
      let end = start
      for (; end < last; end += 2) {
        key = page[end]
        if (key >= frontierMs || Math.floor(key) !== key) break
      }
      if (end > start) {
        for (let i = 0; i < this.#operators.length; i++) this.#operators[i].take(slot, page, start, end)
        left -= (end - start) >> 1
        head = (head + ((end - start) >> 1)) & mask
      } else {
        if (key >= frontierMs) break
        for (const operator of this.#textOperators) operator.addText(slot, Math.floor(key), page[start + 1])
        left--
        head = (head + 1) & mask
      }
    }
    this.heldCount -= ints[at + SlotInt.count] - left
    ints[at + SlotInt.head] = head
    ints[at + SlotInt.count] = left
    ints[at + SlotInt.sizeLog2] &= ~QUIET
    fields[slot * SLOT_STRIDE + SlotField.oldestMs] = left > 0 ? key : Number.POSITIVE_INFINITY
  }

  /** A block of twice the size for the slot, in order from its start; returns how many readings it has room for. */
  #grow(at: number): number {
    const { ints } = this.#slots
    const flags = ints[at + SlotInt.sizeLog2]
    const sizeLog2 = flags & 31
    const block = ints[at + SlotInt.block]
    const largerLog2 = block === 0 ? SIZE_LOG2_MIN : sizeLog2 + 1
    const larger = this.#blocks.take(largerLog2)
    if (block !== 0) {
      const page = this.#blocks.pages[block >>> BLOCK_PAGE_LOG2]
      const place = block & BLOCK_PLACE_MASK
      const to = this.#blocks.pages[larger >>> BLOCK_PAGE_LOG2]
      const toPlace = larger & BLOCK_PLACE_MASK
      const head = ints[at + SlotInt.head] * 2
      const size = 1 << sizeLog2
      to.set(page.subarray(place + head, place + size), toPlace)
      to.set(page.subarray(place, place + head), toPlace + size - head)
      this.#blocks.give(block, sizeLog2)
    }
    ints[at + SlotInt.block] = larger
    ints[at + SlotInt.head] = 0
    ints[at + SlotInt.sizeLog2] = (flags & QUIET) | largerLog2
    return (1 << largerLog2) >> 1
  }

  /** Makes room among the slot's readings: the older half leaves, and all that are as old as the last of it. */
  #hurryHalf(slot: number): void {
    const { ints } = this.#slots
    const at = slot * SLOT_INT_STRIDE
    const block = ints[at + SlotInt.block]
    const mask = ((1 << (ints[at + SlotInt.sizeLog2] & 31)) >> 1) - 1
    const middle = (ints[at + SlotInt.head] + HELD_MAX / 2) & mask
    const key = this.#blocks.pages[block >>> BLOCK_PAGE_LOG2][(block & BLOCK_PLACE_MASK) + middle * 2]
    const heldBefore = this.heldCount
    this.advance(slot, Math.floor(key) + 1)
    this.hurriedCount += heldBefore - this.heldCount
  }

  /** Makes room among the blocks: the slot next in turn gives up all it holds. */
  #evict(): void {
    const { ints, slotMax } = this.#slots
    let slot = this.#evictNext
    while (slot > slotMax || !this.#hasBlock(slot, ints)) slot = slot >= slotMax ? 1 : slot + 1
    const heldBefore = this.heldCount
    this.drain(slot)
    this.hurriedCount += heldBefore - this.heldCount
    this.#evictNext = slot + 1
  }

  /** In a free slot, `block` is the next free slot. */
  #hasBlock(slot: number, ints: Int32Array): boolean {
    return this.#slots.seriesOf[slot] >= 0 && ints[slot * SLOT_INT_STRIDE + SlotInt.block] !== 0
  }
}

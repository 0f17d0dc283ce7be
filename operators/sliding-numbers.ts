/**
 * The numbers in each slot's sliding window, and what they come to. One owner: an operator, which adds at the new end and drops from
 * the old one. Invariant: every figure is made by adding alone, so that a great number that left leaves no error behind.
 *
 * A queue of two stacks: of the older numbers (`front` many) each knows what it and those after it come to; the younger ones have one
 * running record. When the older ones are used up, all become older ones, once each. Values for exact quantiles and distinct counts
 * are kept sorted beside it. (Two stacks as in Tangwongsan et al., Low-Latency Sliding-Window Aggregation, DEBS 2017.)
 */
import { assert } from '../base/assert.ts'
import type { Stateful, StateReader, StateWriter } from '../codecs/state.ts'
import { BLOCK_PAGE_LOG2, BLOCK_PLACE_MASK } from './double-blocks.ts'
import type { OrderedMemory } from './ordered-memory.ts'
import { increaseBetween, Wants } from './ordered-operator.ts'
import { WindowCell } from './ordered-rows.ts'
import { lowerBound, writeQuantiles } from './sorted-values.ts'
import { correctedSum } from './window-summaries.ts'

/** A slot's record: ring, aggregates and sorted values are blocks of 2^SIZE_LOG2 numbers' worth. */
const RING = 0
const FIGURES = 1
const SORTED = 2
const SIZE_LOG2 = 3
const HEAD = 4
const COUNT = 5
const FRONT = 6
/** How many different numbers are in SORTED. */
const DISTINCT = 7
/** Figures of the younger numbers, or of a number and those after it. */
const BACK = 8
const STRIDE = BACK + 8

const SUM = 0
const ERROR = 1
const MIN = 2
const MAX = 3
const MEAN = 4
const M2 = 5
const INTEGRAL = 6
const INCREASE = 7
const FIGURES_LOG2 = 3
const SIZE_LOG2_MIN = 3
/** 8,192 numbers of one window are kept. */
const SIZE_LOG2_MAX = 13
const CAPACITY_MIN = 64

export class SlidingNumbers implements Stateful {
  readonly #wants: number
  readonly #memory: OrderedMemory
  #records: Float64Array = new Float64Array(CAPACITY_MIN * STRIDE)
  /** The figures of front and back together. */
  readonly #all = new Float64Array(8)

  constructor(wants: number, memory: OrderedMemory) {
    this.#wants = wants
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

  /** Event time of the oldest number; there is one. */
  firstMs(slot: number): number {
    const at = slot * STRIDE
    return this.#page(at, RING)[this.#ringAt(at, 0)]
  }

  /** Adds the newest number; false when there is no room for it. */
  // hot: per message
  append(slot: number, ts: number, x: number): boolean {
    const at = slot * STRIDE
    const records = this.#records
    if (records[at + RING] === 0 || records[at + COUNT] === 1 << records[at + SIZE_LOG2]) {
      if (records[at + SIZE_LOG2] === SIZE_LOG2_MAX || this.#memory.isFull) return false
      this.#grow(at)
    }
    const count = records[at + COUNT]++
    const ring = this.#page(at, RING)
    const place = this.#ringAt(at, count)
    ring[place] = ts
    ring[place + 1] = x
    const back = at + BACK
    if (count === records[at + FRONT]) {
      records.fill(0, back, back + 8)
      records[back + MIN] = x
      records[back + MAX] = x
    } else {
      const before = this.#ringAt(at, count - 1)
      records[back + INTEGRAL] += ring[before + 1] * (ts - ring[before])
      records[back + INCREASE] += increaseBetween(ring[before + 1], x)
    }
    addTo(records, back, count - records[at + FRONT], x)
    if ((this.#wants & Wants.values) !== 0) this.#insertSorted(at, count, x)
    return true
  }

  /** Drops the numbers up to and including `untilMs`. */
  // hot: per message
  dropUntil(slot: number, untilMs: number): void {
    const at = slot * STRIDE
    const records = this.#records
    while (records[at + COUNT] > 0) {
      const place = this.#ringAt(at, 0)
      const ring = this.#page(at, RING)
      if (ring[place] > untilMs) return
      if ((this.#wants & Wants.values) !== 0) this.#removeSorted(at, ring[place + 1])
      if (records[at + FRONT] === 0) this.#turn(at)
      records[at + HEAD] = (records[at + HEAD] + 1) & ((1 << records[at + SIZE_LOG2]) - 1)
      records[at + COUNT]--
      records[at + FRONT]--
    }
  }

  /** Fills the cells of a row, which begin at `cellsAt`; there is a number. */
  write(slot: number, cells: Float64Array, cellsAt: number, endMs: number, widthMs: number): void {
    const at = slot * STRIDE
    const wants = this.#wants
    const n = this.#records[at + COUNT]
    const ring = this.#page(at, RING)
    const first = this.#ringAt(at, 0)
    const last = this.#ringAt(at, n - 1)
    const all = this.#gather(at)
    const sum = correctedSum(all[SUM], all[ERROR])
    if ((wants & Wants.sum) !== 0) cells[cellsAt + WindowCell.sum] = sum
    if ((wants & Wants.mean) !== 0) cells[cellsAt + WindowCell.mean] = sum / n
    if ((wants & Wants.min) !== 0) cells[cellsAt + WindowCell.min] = all[MIN]
    if ((wants & Wants.max) !== 0) cells[cellsAt + WindowCell.max] = all[MAX]
    if ((wants & Wants.first) !== 0) cells[cellsAt + WindowCell.first] = ring[first + 1]
    if ((wants & Wants.last) !== 0) cells[cellsAt + WindowCell.last] = ring[last + 1]
    if ((wants & Wants.variance) !== 0) cells[cellsAt + WindowCell.variance] = all[M2] / n
    if ((wants & Wants.timeWeightedMean) !== 0) {
      const integral = all[INTEGRAL] + ring[last + 1] * (endMs - ring[last])
      cells[cellsAt + WindowCell.timeWeightedMean] = integral / (endMs - ring[first])
    }
    if ((wants & Wants.increase) !== 0) cells[cellsAt + WindowCell.increase] = all[INCREASE]
    if ((wants & Wants.rate) !== 0) cells[cellsAt + WindowCell.rate] = (all[INCREASE] * 1000) / widthMs
    if ((wants & Wants.distinct) !== 0) cells[cellsAt + WindowCell.distinct] = this.#records[at + DISTINCT]
    if ((wants & Wants.quantiles) !== 0) {
      const start = this.#records[at + SORTED] & BLOCK_PLACE_MASK
      writeQuantiles(cells, cellsAt, this.#page(at, SORTED), start, n)
    }
  }

  /** Forgets the slot's numbers and gives back their memory. */
  reset(slot: number): void {
    const at = slot * STRIDE
    this.#giveBlocks(at)
    this.#records.fill(0, at, at + STRIDE)
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

  #page(at: number, block: number): Float64Array {
    return this.#memory.pages[this.#records[at + block] >>> BLOCK_PAGE_LOG2]
  }

  /** Where the number `index` places behind the oldest one lies in the ring's page. */
  #ringAt(at: number, index: number): number {
    const records = this.#records
    const mask = (1 << records[at + SIZE_LOG2]) - 1
    return (records[at + RING] & BLOCK_PLACE_MASK) + ((records[at + HEAD] + index) & mask) * 2
  }

  #figuresAt(at: number, index: number): number {
    const records = this.#records
    const mask = (1 << records[at + SIZE_LOG2]) - 1
    return (
      (records[at + FIGURES] & BLOCK_PLACE_MASK) + (((records[at + HEAD] + index) & mask) << FIGURES_LOG2)
    )
  }

  /** Makes all numbers older ones. */
  #turn(at: number): void {
    const records = this.#records
    const ring = this.#page(at, RING)
    const figures = this.#page(at, FIGURES)
    const count = records[at + COUNT]
    for (let index = count - 1, after = 0; index >= 0; index--) {
      const place = this.#ringAt(at, index)
      const to = this.#figuresAt(at, index)
      const x = ring[place + 1]
      if (index === count - 1) {
        figures.fill(0, to, to + 8)
        figures[to + MIN] = x
        figures[to + MAX] = x
      } else {
        figures.copyWithin(to, after, after + 8)
        const next = this.#ringAt(at, index + 1)
        figures[to + INTEGRAL] += x * (ring[next] - ring[place])
        figures[to + INCREASE] += increaseBetween(x, ring[next + 1])
      }
      addTo(figures, to, count - 1 - index, x)
      after = to
    }
    records[at + FRONT] = count
  }

  /** The figures of all numbers, but for what `last` adds up to the window's end. */
  #gather(at: number): Float64Array {
    const records = this.#records
    const all = this.#all
    const frontCount = records[at + FRONT]
    const backCount = records[at + COUNT] - frontCount
    const back = at + BACK
    if (frontCount === 0) {
      for (let i = 0; i < 8; i++) all[i] = records[back + i]
      return all
    }
    const figures = this.#page(at, FIGURES)
    const from = this.#figuresAt(at, 0)
    for (let i = 0; i < 8; i++) all[i] = figures[from + i]
    if (backCount === 0) return all
    const ring = this.#page(at, RING)
    const before = this.#ringAt(at, frontCount - 1)
    const after = this.#ringAt(at, frontCount)
    const sum = all[SUM]
    const x = records[back + SUM]
    all[SUM] = sum + x
    all[ERROR] +=
      records[back + ERROR] + (Math.abs(sum) >= Math.abs(x) ? sum - all[SUM] + x : x - all[SUM] + sum)
    if (records[back + MIN] < all[MIN]) all[MIN] = records[back + MIN]
    if (records[back + MAX] > all[MAX]) all[MAX] = records[back + MAX]
    const distance = records[back + MEAN] - all[MEAN]
    all[M2] += records[back + M2] + (distance * distance * frontCount * backCount) / (frontCount + backCount)
    all[INTEGRAL] += ring[before + 1] * (ring[after] - ring[before]) + records[back + INTEGRAL]
    all[INCREASE] += increaseBetween(ring[before + 1], ring[after + 1]) + records[back + INCREASE]
    return all
  }

  #insertSorted(at: number, count: number, x: number): void {
    const page = this.#page(at, SORTED)
    const start = this.#records[at + SORTED] & BLOCK_PLACE_MASK
    const to = lowerBound(page, start, start + count, x)
    if (to === start + count || page[to] !== x) this.#records[at + DISTINCT]++
    page.copyWithin(to + 1, to, start + count)
    page[to] = x
  }

  #removeSorted(at: number, x: number): void {
    const page = this.#page(at, SORTED)
    const start = this.#records[at + SORTED] & BLOCK_PLACE_MASK
    const end = start + this.#records[at + COUNT]
    const from = lowerBound(page, start, end, x)
    if (from + 1 === end || page[from + 1] !== x) this.#records[at + DISTINCT]--
    page.copyWithin(from, from + 1, end)
  }

  /** Twice the room, the oldest number first in the ring. */
  #grow(at: number): void {
    const records = this.#records
    const [ring, figures, sorted] = [records[at + RING], records[at + FIGURES], records[at + SORTED]]
    const sizeLog2 = records[at + SIZE_LOG2]
    const largerLog2 = ring === 0 ? SIZE_LOG2_MIN : sizeLog2 + 1
    records[at + RING] = this.#memory.take(largerLog2 + 1)
    records[at + FIGURES] = this.#memory.take(largerLog2 + FIGURES_LOG2)
    if ((this.#wants & Wants.values) !== 0) records[at + SORTED] = this.#memory.take(largerLog2)
    records[at + SIZE_LOG2] = largerLog2
    if (ring === 0) return
    const head = records[at + HEAD]
    records[at + HEAD] = 0
    this.#moveRing(ring, records[at + RING], sizeLog2, head, 1)
    this.#moveRing(figures, records[at + FIGURES], sizeLog2, head, FIGURES_LOG2)
    this.#memory.give(ring, sizeLog2 + 1)
    this.#memory.give(figures, sizeLog2 + FIGURES_LOG2)
    if (sorted === 0) return
    this.#moveRing(sorted, records[at + SORTED], sizeLog2, 0, 0)
    this.#memory.give(sorted, sizeLog2)
  }

  /** Copies a full ring of 2^sizeLog2 entries of 2^entryLog2 doubles, from its head on. */
  #moveRing(block: number, to: number, sizeLog2: number, head: number, entryLog2: number): void {
    const { pages } = this.#memory
    const page = pages[block >>> BLOCK_PAGE_LOG2]
    const start = block & BLOCK_PLACE_MASK
    const middle = start + (head << entryLog2)
    const end = start + (1 << (sizeLog2 + entryLog2))
    const toPage = pages[to >>> BLOCK_PAGE_LOG2]
    const toStart = to & BLOCK_PLACE_MASK
    toPage.set(page.subarray(middle, end), toStart)
    toPage.set(page.subarray(start, middle), toStart + end - middle)
  }

  #giveBlocks(at: number): void {
    const records = this.#records
    if (records[at + RING] === 0) return
    const sizeLog2 = records[at + SIZE_LOG2]
    this.#memory.give(records[at + RING], sizeLog2 + 1)
    this.#memory.give(records[at + FIGURES], sizeLog2 + FIGURES_LOG2)
    if (records[at + SORTED] !== 0) this.#memory.give(records[at + SORTED], sizeLog2)
  }
}

/** Adds a number to figures of `n` others, but for what depends on its neighbours. */
function addTo(figures: Float64Array, at: number, n: number, x: number): void {
  const sum = figures[at + SUM]
  const larger = sum + x
  figures[at + ERROR] += Math.abs(sum) >= Math.abs(x) ? sum - larger + x : x - larger + sum
  figures[at + SUM] = larger
  if (x < figures[at + MIN]) figures[at + MIN] = x
  if (x > figures[at + MAX]) figures[at + MAX] = x
  const distance = x - figures[at + MEAN]
  figures[at + MEAN] += distance / (n + 1)
  figures[at + M2] += distance * (x - figures[at + MEAN])
}

/**
 * The readings of each slot's open window, in order: (ts, value) side by side in a block, and when that is full, in a chain of them.
 * The first block is as large as the slot's window before needed. One owner: the downsampler.
 *
 * A slot's record is 8 int32, blocks and places as in double-blocks.ts:  0 place of the next reading  1 where the newest block ends
 *   2 first block (0: none)  3 newest block  4 readings in those before it  5 size of the newest as a power of two  6 of the first
 *   7 whether there was no room for all
 * A block of 2^k doubles:  0 next block  1 unused  2.. readings
 */
import { assert } from '../../base/assert.ts'
import type { Stateful, StateReader, StateWriter } from '../../codecs/state.ts'
import { BLOCK_PAGE_LOG2, BLOCK_PLACE_MASK } from '../double-blocks.ts'
import type { OrderedMemory } from '../ordered-memory.ts'

const STRIDE_LOG2 = 3
const NEXT = 0
const END = 1
const FIRST = 2
const NEWEST = 3
const COUNT_BEFORE = 4
const NEWEST_LOG2 = 5
const FIRST_LOG2 = 6
const LOST = 7
const HEADER_SIZE = 2
const SIZE_LOG2_MIN = 4
const SIZE_LOG2_MAX = 12
/** Of a window: what is more is left to an amendment. */
const READINGS_MAX = 1_000_000

export class ReadingChains implements Stateful {
  /** What `gather` found: (ts, value) from `start` on. Good until the next call of anything here. */
  doubles: Float64Array = new Float64Array(0)
  start = 0
  readonly #memory: OrderedMemory
  #ints: Int32Array = new Int32Array(64 << STRIDE_LOG2)
  #scratch: Float64Array = new Float64Array(1024)

  constructor(memory: OrderedMemory) {
    this.#memory = memory
  }

  admit(slot: number): void {
    if ((slot + 1) << STRIDE_LOG2 <= this.#ints.length) return
    const ints = new Int32Array(Math.max(this.#ints.length * 2, (slot + 1) << STRIDE_LOG2))
    ints.set(this.#ints)
    this.#ints = ints
  }

  /** The slot is a new series'. */
  open(slot: number): void {
    this.#ints[(slot << STRIDE_LOG2) + FIRST_LOG2] = SIZE_LOG2_MIN
  }

  /** There was no room: the slot holds nothing any more, until it is freed. */
  isLost(slot: number): boolean {
    return this.#ints[(slot << STRIDE_LOG2) + LOST] === 1
  }

  /** The readings of `pairs` from `start` up to `end`: as many as there is room for. */
  // hot: per run of readings
  append(slot: number, pairs: Float64Array, start: number, end: number): void {
    const ints = this.#ints
    const at = slot << STRIDE_LOG2
    for (let from = start; from < end; ) {
      if (ints[at + NEXT] === ints[at + END] && !this.#extend(slot)) return
      const next = ints[at + NEXT]
      const page = this.#memory.pages[next >>> BLOCK_PAGE_LOG2]
      const to = Math.min(end, from + ints[at + END] - next)
      ints[at + NEXT] = next + to - from
      for (let place = next & BLOCK_PLACE_MASK; from < to; from++, place++) page[place] = pairs[from]
    }
  }

  /** Where the slot's readings are, side by side, with room for `spare` more if there is any; returns how many. */
  gather(slot: number, spare: number): number {
    const ints = this.#ints
    const at = slot << STRIDE_LOG2
    const count = this.#count(at)
    const first = ints[at + FIRST]
    if (first === ints[at + NEWEST] && spare === 0) {
      this.doubles = this.#memory.pages[first >>> BLOCK_PAGE_LOG2]
      this.start = (first & BLOCK_PLACE_MASK) + HEADER_SIZE
      return count
    }
    const sizeNeeded = (count + spare) * 2
    if (this.#scratch.length < sizeNeeded) this.#scratch = new Float64Array(sizeNeeded * 2)
    this.doubles = this.#scratch
    this.start = 0
    let sizeLog2 = ints[at + FIRST_LOG2]
    let block = first
    for (let copied = 0; copied < count * 2; ) {
      const page = this.#memory.pages[block >>> BLOCK_PAGE_LOG2]
      const place = block & BLOCK_PLACE_MASK
      const size = Math.min((1 << sizeLog2) - HEADER_SIZE, count * 2 - copied)
      for (let i = 0; i < size; i++) this.#scratch[copied + i] = page[place + HEADER_SIZE + i]
      copied += size
      block = page[place]
      sizeLog2 = largerLog2(sizeLog2)
    }
    return count
  }

  /** Forgets the slot's readings. */
  free(slot: number): void {
    const ints = this.#ints
    const at = slot << STRIDE_LOG2
    const count = this.#count(at)
    const newest = ints[at + NEWEST]
    let sizeLog2 = ints[at + FIRST_LOG2]
    for (let block = ints[at + FIRST]; block !== 0; ) {
      const next =
        block === newest ? 0 : this.#memory.pages[block >>> BLOCK_PAGE_LOG2][block & BLOCK_PLACE_MASK]
      this.#memory.give(block, sizeLog2)
      block = next
      sizeLog2 = largerLog2(sizeLog2)
    }
    ints.fill(0, at, at + (1 << STRIDE_LOG2))
    const neededLog2 = 32 - Math.clz32(count * 2 + HEADER_SIZE - 1)
    ints[at + FIRST_LOG2] = Math.min(Math.max(neededLog2, SIZE_LOG2_MIN), SIZE_LOG2_MAX)
  }

  /** Forgets all; the memory is cleared by its owner. */
  clear(): void {
    this.#ints.fill(0)
  }

  save(out: StateWriter): void {
    out.i32(this.#ints)
  }

  load(from: StateReader): void {
    this.#ints = from.i32()
  }

  #count(at: number): number {
    const ints = this.#ints
    const inNewest = ints[at + NEWEST] === 0 ? 0 : ints[at + NEXT] - ints[at + NEWEST] - HEADER_SIZE
    return ints[at + COUNT_BEFORE] + inNewest / 2
  }

  #extend(slot: number): boolean {
    const ints = this.#ints
    const at = slot << STRIDE_LOG2
    const memory = this.#memory
    if (ints[at + LOST] === 1) return false
    const count = this.#count(at)
    if (memory.isFull || count >= READINGS_MAX) {
      this.free(slot)
      ints[at + LOST] = 1
      return false
    }
    const newest = ints[at + NEWEST]
    const sizeLog2 = newest === 0 ? ints[at + FIRST_LOG2] : largerLog2(ints[at + NEWEST_LOG2])
    assert(sizeLog2 >= SIZE_LOG2_MIN, 'a slot was not opened')
    const block = memory.take(sizeLog2)
    if (newest === 0) ints[at + FIRST] = block
    else memory.pages[newest >>> BLOCK_PAGE_LOG2][newest & BLOCK_PLACE_MASK] = block
    ints[at + COUNT_BEFORE] = count
    ints[at + NEWEST] = block
    ints[at + NEWEST_LOG2] = sizeLog2
    ints[at + NEXT] = block + HEADER_SIZE
    ints[at + END] = block + (1 << sizeLog2)
    return true
  }
}

function largerLog2(sizeLog2: number): number {
  return Math.min(sizeLog2 + 1, SIZE_LOG2_MAX)
}

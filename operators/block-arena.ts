/**
 * Memory for sketches that grow: blocks of 2^k int32, each named by its address, in pages of one size class. Growing adds a page and
 * copies nothing, so it never stops the thread. One owner: the pool that made it. What was given back serves blocks of its size.
 *
 * Address = page * 2^PAGE_LOG2 + place; page 0 is a stand-in, so that address 0 is none and reads as zeros.
 * A free block's first int32 is the next free one's address.
 */
import { assert } from '../base/assert.ts'
import type { StateReader, StateWriter } from '../codecs/state.ts'

/** Of a page, and of the largest block: 2^15 int32 are 128 KiB. */
export const PAGE_LOG2 = 15
const PAGE_SIZE = 1 << PAGE_LOG2
export const PLACE_MASK = PAGE_SIZE - 1
const PAGE_COUNT_MAX = 2 ** (31 - PAGE_LOG2)
/** Up to here a loop is faster than `fill`. */
const LOOP_SIZE_MAX = 64
const CLASS_COUNT = PAGE_LOG2 + 1

export class BlockArena {
  /** The memory; a block lies whole in `pages[address >>> PAGE_LOG2]` from `address & PLACE_MASK` on. */
  readonly pages: Int32Array[] = [new Int32Array(4)]
  #pagesUsed = 1
  /** Per class: the first free block. */
  readonly #free = new Int32Array(CLASS_COUNT)
  /** Per class: what is left of its newest page, from `rest` up to `end`. */
  readonly #rest = new Float64Array(CLASS_COUNT)
  readonly #end = new Float64Array(CLASS_COUNT)

  /** A block of 2^sizeLog2 zeros. */
  take(sizeLog2: number): number {
    const size = 1 << sizeLog2
    let address = this.#free[sizeLog2]
    if (address !== 0) {
      this.#free[sizeLog2] = this.pages[address >>> PAGE_LOG2][address & PLACE_MASK]
    } else {
      if (this.#rest[sizeLog2] === this.#end[sizeLog2]) this.#addPage(sizeLog2)
      address = this.#rest[sizeLog2]
      this.#rest[sizeLog2] += size
    }
    const place = address & PLACE_MASK
    const page = this.pages[address >>> PAGE_LOG2]
    if (size > LOOP_SIZE_MAX) page.fill(0, place, place + size)
    else for (let i = place; i < place + size; i++) page[i] = 0
    return address
  }

  give(address: number, sizeLog2: number): void {
    this.pages[address >>> PAGE_LOG2][address & PLACE_MASK] = this.#free[sizeLog2]
    this.#free[sizeLog2] = address
  }

  /** Forgets all blocks, keeps the memory. */
  clear(): void {
    this.#pagesUsed = 1
    this.#free.fill(0)
    this.#rest.fill(0)
    this.#end.fill(0)
  }

  save(out: StateWriter): void {
    out.numbers(this.#pagesUsed)
    out.i32(this.#free)
    out.f64(this.#rest)
    out.f64(this.#end)
    const sizes = this.#sizes()
    for (let page = 1; page < this.#pagesUsed; page++) out.i32(this.pages[page], sizes[page])
  }

  load(from: StateReader): void {
    const [pagesUsed] = from.numbers(1)
    assert(pagesUsed >= 1 && pagesUsed <= PAGE_COUNT_MAX, 'state has another number of pages')
    this.#free.set(from.i32())
    this.#rest.set(from.f64())
    this.#end.set(from.f64())
    this.#pagesUsed = pagesUsed
    this.pages.length = 1
    const sizes = this.#sizes()
    for (let page = 1; page < pagesUsed; page++) {
      const ints = from.i32()
      assert(ints.length === sizes[page], 'state has a page of another size')
      this.pages.push(new Int32Array(PAGE_SIZE))
      this.pages[page].set(ints)
    }
  }

  /** Of each page, how much of it was ever taken: all but the newest page of a class are full. */
  #sizes(): Int32Array {
    const sizes = new Int32Array(this.#pagesUsed).fill(PAGE_SIZE)
    for (let sizeClass = 0; sizeClass < CLASS_COUNT; sizeClass++) {
      if (this.#end[sizeClass] === 0) continue
      const page = this.#end[sizeClass] / PAGE_SIZE - 1
      assert(page < this.#pagesUsed, 'state has another number of pages')
      sizes[page] = this.#rest[sizeClass] - page * PAGE_SIZE
    }
    return sizes
  }

  #addPage(sizeLog2: number): void {
    const page = this.#pagesUsed++
    assert(page < PAGE_COUNT_MAX, 'sketches take up more than 8 GiB')
    if (page === this.pages.length) this.pages.push(new Int32Array(PAGE_SIZE))
    this.#rest[sizeLog2] = page * PAGE_SIZE
    this.#end[sizeLog2] = (page + 1) * PAGE_SIZE
  }
}

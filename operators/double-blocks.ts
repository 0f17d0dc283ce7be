/**
 * Memory of doubles in blocks of 2^k, each named by its address, in pages of one block size. Growing adds a page and copies
 * nothing. One owner: the operator, or the operators of one shard that share it. A block's content is what was left in it.
 *
 * Address = page * 2^PAGE_LOG2 + place; page 0 is a stand-in, so that address 0 is none. A free block's first double is the next
 * free one's address.
 */
import { assert } from '../base/assert.ts'
import type { StateReader, StateWriter } from '../codecs/state.ts'

/** Of a page, and of the largest block: 2^16 doubles are 512 KiB. */
export const BLOCK_PAGE_LOG2 = 16
const PAGE_SIZE = 1 << BLOCK_PAGE_LOG2
export const BLOCK_PLACE_MASK = PAGE_SIZE - 1
const PAGE_COUNT_MAX = 2 ** (31 - BLOCK_PAGE_LOG2)
const CLASS_COUNT = BLOCK_PAGE_LOG2 + 1

export class DoubleBlocks {
  /** A block lies whole in `pages[address >>> BLOCK_PAGE_LOG2]` from `address & BLOCK_PLACE_MASK` on. */
  readonly pages: Float64Array[] = [new Float64Array(1)]
  /** Doubles in blocks that are taken. */
  usedCount = 0
  #pagesUsed = 1
  /** Per block size: the first free block, and what is left of the newest page, from `rest` up to `end`. */
  readonly #free = new Int32Array(CLASS_COUNT)
  readonly #rest = new Float64Array(CLASS_COUNT)
  readonly #end = new Float64Array(CLASS_COUNT)

  /** A block of 2^sizeLog2 doubles, not cleared. */
  take(sizeLog2: number): number {
    this.usedCount += 1 << sizeLog2
    const address = this.#free[sizeLog2]
    if (address !== 0) {
      this.#free[sizeLog2] = this.pages[address >>> BLOCK_PAGE_LOG2][address & BLOCK_PLACE_MASK]
      return address
    }
    if (this.#rest[sizeLog2] === this.#end[sizeLog2]) this.#addPage(sizeLog2)
    const fresh = this.#rest[sizeLog2]
    this.#rest[sizeLog2] = fresh + (1 << sizeLog2)
    return fresh
  }

  give(address: number, sizeLog2: number): void {
    this.usedCount -= 1 << sizeLog2
    this.pages[address >>> BLOCK_PAGE_LOG2][address & BLOCK_PLACE_MASK] = this.#free[sizeLog2]
    this.#free[sizeLog2] = address
  }

  /** Forgets all blocks, keeps the memory. */
  clear(): void {
    this.usedCount = 0
    this.#pagesUsed = 1
    this.#free.fill(0)
    this.#rest.fill(0)
    this.#end.fill(0)
  }

  save(out: StateWriter): void {
    out.numbers(this.usedCount, this.#pagesUsed)
    out.i32(this.#free)
    out.f64(this.#rest)
    out.f64(this.#end)
    const sizes = this.#sizes()
    for (let page = 1; page < this.#pagesUsed; page++) out.f64(this.pages[page], sizes[page])
  }

  load(from: StateReader): void {
    const [usedCount, pagesUsed] = from.numbers(2)
    assert(pagesUsed >= 1 && pagesUsed <= PAGE_COUNT_MAX, 'state has another number of pages')
    this.#free.set(from.i32())
    this.#rest.set(from.f64())
    this.#end.set(from.f64())
    this.usedCount = usedCount
    this.#pagesUsed = pagesUsed | 0
    this.pages.length = 1
    const sizes = this.#sizes()
    for (let page = 1; page < pagesUsed; page++) {
      const doubles = from.f64()
      assert(doubles.length === sizes[page], 'state has a page of another size')
      this.pages.push(new Float64Array(PAGE_SIZE))
      this.pages[page].set(doubles)
    }
  }

  /** Of each page, how much of it was ever taken: all but the newest page of a block size are full. */
  #sizes(): Int32Array {
    const sizes = new Int32Array(this.#pagesUsed).fill(PAGE_SIZE)
    for (let sizeLog2 = 0; sizeLog2 < CLASS_COUNT; sizeLog2++) {
      if (this.#end[sizeLog2] === 0) continue
      const page = this.#end[sizeLog2] / PAGE_SIZE - 1
      assert(page < this.#pagesUsed, 'state has another number of pages')
      sizes[page] = this.#rest[sizeLog2] - page * PAGE_SIZE
    }
    return sizes
  }

  /** A page that was used before is cleared, so that equal calls go on saving equal bytes. */
  #addPage(sizeLog2: number): void {
    const page = this.#pagesUsed++
    assert(page < PAGE_COUNT_MAX, 'blocks take up more than 16 GiB')
    if (page === this.pages.length) this.pages.push(new Float64Array(PAGE_SIZE))
    else this.pages[page].fill(0)
    this.#rest[sizeLog2] = page * PAGE_SIZE
    this.#end[sizeLog2] = (page + 1) * PAGE_SIZE
  }
}

/**
 * Records of a few doubles in pages, named by numbers from 1 up: what pools of fixed-size slots are made of. Growing adds a page and
 * copies nothing. One owner: the pool that made it. A free record's first double is the next free one's number.
 */
import { assert } from '../base/assert.ts'
import type { StateReader, StateWriter } from '../codecs/state.ts'

/** Records in a page. */
const PAGE_LOG2 = 12
const RECORD_MASK = (1 << PAGE_LOG2) - 1

export class RecordPages {
  readonly #stride: number
  readonly #pages: Float64Array[] = []
  #usedMax = 0
  #free = 0

  constructor(stride: number) {
    this.#stride = stride
  }

  /** The page that holds the record; it starts there at `offset(record)`. */
  page(record: number): Float64Array {
    return this.#pages[record >>> PAGE_LOG2]
  }

  offset(record: number): number {
    return (record & RECORD_MASK) * this.#stride
  }

  /** A record of zeros. */
  take(): number {
    let record = this.#free
    if (record !== 0) this.#free = this.page(record)[this.offset(record)]
    else {
      record = ++this.#usedMax
      while (record >>> PAGE_LOG2 >= this.#pages.length) this.#addPage()
    }
    const page = this.page(record)
    const offset = this.offset(record)
    for (let i = offset; i < offset + this.#stride; i++) page[i] = 0 // faster than `fill` on so few
    return record
  }

  give(record: number): void {
    this.page(record)[this.offset(record)] = this.#free
    this.#free = record
  }

  /** Forgets all records, keeps the memory. */
  clear(): void {
    this.#usedMax = 0
    this.#free = 0
  }

  save(out: StateWriter): void {
    out.numbers(this.#usedMax, this.#free)
    for (let page = 0; page < this.#pageCount(); page++) out.f64(this.#pages[page], this.#sizeOf(page))
  }

  load(from: StateReader): void {
    const [usedMax, free] = from.numbers(2)
    assert(free <= usedMax, 'state has a record past the last')
    this.#usedMax = usedMax | 0
    this.#free = free | 0
    this.#pages.length = 0
    for (let page = 0; page < this.#pageCount(); page++) {
      const doubles = from.f64()
      assert(doubles.length === this.#sizeOf(page), 'state has a page of another size')
      this.#addPage()
      this.#pages[page].set(doubles)
    }
  }

  #pageCount(): number {
    return this.#usedMax === 0 ? 0 : (this.#usedMax >>> PAGE_LOG2) + 1
  }

  #sizeOf(page: number): number {
    return Math.min(1 << PAGE_LOG2, this.#usedMax + 1 - (page << PAGE_LOG2)) * this.#stride
  }

  #addPage(): void {
    this.#pages.push(new Float64Array(this.#stride << PAGE_LOG2))
  }
}

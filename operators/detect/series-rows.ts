/**
 * A row of numbers for each series, in pages that never move, so that a new series costs no copy and no
 * pause. Series are dense numbers from 0; a new row is zero. Invariant: the number of slots never changes.
 */
import { assert } from '../../base/assert.ts'
import type { StateReader, StateWriter } from '../../codecs/state.ts'

const PAGE_BITS = 8
const PAGE_SERIES = 1 << PAGE_BITS

export class SeriesRows {
  readonly slots: number
  readonly #pages: Float64Array[] = []

  constructor(slots: number) {
    this.slots = slots
  }

  /** The page that holds the series' row. */
  // hot: per reading
  page(series: number): Float64Array {
    return this.#pages[series >> PAGE_BITS] ?? this.#addPages(series)
  }

  /** Where in its page the row begins. */
  // hot: per reading
  offset(series: number): number {
    return (series & (PAGE_SERIES - 1)) * this.slots
  }

  save(out: StateWriter): void {
    out.numbers(this.#pages.length)
    for (const page of this.#pages) out.f64(page)
  }

  /** Only into new rows of as many slots. */
  load(from: StateReader): void {
    assert(this.#pages.length === 0, 'rows that load a state are new')
    const [pages] = from.numbers(1)
    for (let i = 0; i < pages; i++) {
      const page = from.f64()
      assert(page.length === PAGE_SERIES * this.slots, 'state has rows of another length')
      this.#pages.push(page)
    }
  }

  #addPages(series: number): Float64Array {
    assert(Number.isInteger(series) && series >= 0 && series < 2 ** 31, 'series are dense numbers')
    const index = series >> PAGE_BITS
    while (this.#pages.length <= index) this.#pages.push(new Float64Array(PAGE_SERIES * this.slots))
    return this.#pages[index]
  }
}

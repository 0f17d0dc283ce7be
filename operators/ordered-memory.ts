/**
 * What the operators of ordered windows keep of readings, beyond a record per series: values, panes, states. Bounded in all: an
 * operator asks `isFull` before it takes more, and when it is, leaves the window to an amendment.
 */
import { DoubleBlocks } from './double-blocks.ts'

export class OrderedMemory extends DoubleBlocks {
  readonly #keptMax: number

  /** `keptMax` in doubles. */
  constructor(keptMax: number) {
    super()
    this.#keptMax = keptMax
  }

  get isFull(): boolean {
    return this.usedCount >= this.#keptMax
  }
}

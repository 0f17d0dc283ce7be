/**
 * Asks for amendments on behalf of one operator, and remembers where the last one of each slot stands, so that ranges of a batch
 * join. One owner: the operator.
 */
import type { Stateful, StateReader, StateWriter } from '../codecs/state.ts'
import type { OrderedOutput } from './ordered-operator.ts'

export class SlotAmendments implements Stateful {
  readonly #index: number
  readonly #output: Omit<OrderedOutput, 'rows'>
  readonly #nearMs: number
  #newest: Int32Array = new Int32Array(64)

  /** Ranges up to `nearMs` apart join. */
  constructor(index: number, output: Omit<OrderedOutput, 'rows'>, nearMs: number) {
    this.#index = index
    this.#output = output
    this.#nearMs = nearMs
  }

  admit(slot: number): void {
    if (slot < this.#newest.length) return
    const newest = new Int32Array(Math.max(this.#newest.length * 2, slot + 1))
    newest.set(this.#newest)
    this.#newest = newest
  }

  /** The slot is a new series'. */
  open(slot: number): void {
    this.#newest[slot] = -1
  }

  /** All windows that hold a reading of [fromMs, toMs] are to be computed anew. */
  ask(slot: number, fromMs: number, toMs: number): void {
    const { amendments, slots } = this.#output
    const series = slots.seriesOf[slot]
    this.#newest[slot] = amendments.ask(this.#newest[slot], series, this.#index, fromMs, toMs, this.#nearMs)
  }

  save(out: StateWriter): void {
    out.i32(this.#newest)
  }

  load(from: StateReader): void {
    this.#newest = from.i32()
  }
}

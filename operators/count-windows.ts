/**
 * Count windows: every `size` readings of a series by event time, the first of all being the first of a window; a window is
 * [first ts, last ts], and only full ones leave. One owner: the shard's thread.
 *
 * A late reading takes its place before the open window: each window from there on moves by one, so all of them are amended, and
 * the open one fills sooner, with a reading that is not seen. A series whose readings may not all have been counted (state was
 * lost) has no ranks to go by: it asks for an amendment every `size` readings, for ever. An amendment's range ends where readings
 * are settled: windows beyond are not final yet.
 */
import type { StateReader, StateWriter } from '../codecs/state.ts'
import type { OrderedMemory } from './ordered-memory.ts'
import { type OrderedOperator, type OrderedOutput, Wants } from './ordered-operator.ts'
import { SlotAmendments } from './slot-amendments.ts'
import { WindowSummaries } from './window-summaries.ts'

export class CountWindows implements OrderedOperator {
  readonly takesTexts: boolean
  readonly #size: number
  readonly #index: number
  readonly #output: OrderedOutput
  readonly #open: WindowSummaries
  readonly #amendments: SlotAmendments
  /** 1 for a slot whose series' ranks are not known. */
  #isRankLost: Uint8Array = new Uint8Array(64)

  constructor(size: number, wants: number, index: number, output: OrderedOutput, memory: OrderedMemory) {
    this.takesTexts = (wants & Wants.states) !== 0
    this.#size = size
    this.#index = index
    this.#output = output
    this.#open = new WindowSummaries(wants, memory)
    this.#amendments = new SlotAmendments(index, output, Number.POSITIVE_INFINITY)
  }

  admit(slot: number): void {
    this.#open.admit(slot)
    this.#amendments.admit(slot)
    if (slot < this.#isRankLost.length) return
    const isRankLost = new Uint8Array(this.#isRankLost.length * 2)
    isRankLost.set(this.#isRankLost)
    this.#isRankLost = isRankLost
  }

  open(slot: number): void {
    this.#amendments.open(slot)
    this.#isRankLost[slot] = this.#output.slots.dirtyUntilMs(slot) > Number.NEGATIVE_INFINITY ? 1 : 0
  }

  // hot: per reading
  take(slot: number, pairs: Float64Array, start: number, end: number): void {
    for (let at = start; at < end; at += 2) this.#add(slot, pairs[at], pairs[at + 1])
  }

  // hot: per reading
  #add(slot: number, ts: number, x: number): void {
    this.#open.add(slot, ts, x)
    if (this.#open.taken(slot) >= this.#size) this.#close(slot)
  }

  addText(slot: number, ts: number, text: number): void {
    this.#open.addText(slot, ts, text)
    if (this.#open.taken(slot) >= this.#size) this.#close(slot)
  }

  settle(): void {}

  dueMs(): number {
    return Number.POSITIVE_INFINITY
  }

  late(slot: number, ts: number): void {
    this.#ask(slot, ts)
    if (this.#isRankLost[slot] === 1) return
    this.#open.addUnseen(slot, this.#output.slots.frontierMs(slot))
    if (this.#open.taken(slot) >= this.#size) this.#close(slot)
  }

  /** Windows that are not full have no row; only where ranks are not known may there be one to tell of. */
  show(slot: number): void {
    if (this.#isRankLost[slot] === 1 && this.#open.taken(slot) > 0) this.#close(slot)
  }

  release(slot: number): void {
    this.#open.reset(slot)
  }

  clear(): void {
    this.#open.clear()
  }

  save(out: StateWriter): void {
    this.#amendments.save(out)
    this.#open.save(out)
    out.u8(this.#isRankLost)
  }

  load(from: StateReader): void {
    this.#amendments.load(from)
    this.#open.load(from)
    this.#isRankLost = from.u8()
  }

  #close(slot: number): void {
    const open = this.#open
    const { rows, slots } = this.#output
    if (this.#isRankLost[slot] === 1) this.#ask(slot, open.startMs(slot))
    else if (!open.isIncomplete(slot)) open.write(slot, slots.seriesOf[slot], this.#index, rows)
    else if (open.isChanged(slot)) this.#ask(slot, open.startMs(slot))
    open.reset(slot)
  }

  #ask(slot: number, fromMs: number): void {
    const { slots } = this.#output
    const settledMs = slots.frontierMs(slot) - 1
    this.#amendments.ask(
      slot,
      fromMs,
      Math.max(fromMs, settledMs, this.#isRankLost[slot] === 1 ? slots.dirtyUntilMs(slot) : settledMs),
    )
  }
}

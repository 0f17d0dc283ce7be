/**
 * Session windows: readings of a series that are at most a gap apart; a window is [first ts, last ts]. A session closes when no
 * reading can come that belongs to it. One owner: the shard's thread.
 */
import type { StateReader, StateWriter } from '../codecs/state.ts'
import type { OrderedMemory } from './ordered-memory.ts'
import { type OrderedOperator, type OrderedOutput, Wants } from './ordered-operator.ts'
import { SlotAmendments } from './slot-amendments.ts'
import { WindowSummaries } from './window-summaries.ts'

export class SessionWindows implements OrderedOperator {
  readonly takesTexts: boolean
  readonly #gapMs: number
  readonly #index: number
  readonly #output: OrderedOutput
  readonly #open: WindowSummaries
  readonly #amendments: SlotAmendments

  constructor(gapMs: number, wants: number, index: number, output: OrderedOutput, memory: OrderedMemory) {
    this.takesTexts = (wants & Wants.states) !== 0
    this.#gapMs = gapMs
    this.#index = index
    this.#output = output
    this.#open = new WindowSummaries(wants, memory)
    this.#amendments = new SlotAmendments(index, output, gapMs)
  }

  admit(slot: number): void {
    this.#open.admit(slot)
    this.#amendments.admit(slot)
  }

  open(slot: number): void {
    this.#amendments.open(slot)
  }

  // hot: per reading
  take(slot: number, pairs: Float64Array, start: number, end: number): void {
    for (let at = start; at < end; at += 2) this.#add(slot, pairs[at], pairs[at + 1])
  }

  // hot: per reading
  #add(slot: number, ts: number, x: number): void {
    if (ts - this.#open.endMs(slot) > this.#gapMs) this.#close(slot)
    this.#open.add(slot, ts, x)
  }

  addText(slot: number, ts: number, text: number): void {
    if (ts - this.#open.endMs(slot) > this.#gapMs) this.#close(slot)
    this.#open.addText(slot, ts, text)
  }

  settle(slot: number): void {
    this.#close(slot)
  }

  dueMs(slot: number): number {
    return this.#open.taken(slot) === 0 ? Number.POSITIVE_INFINITY : this.#open.endMs(slot) + this.#gapMs
  }

  late(slot: number, ts: number): void {
    this.#amendments.ask(slot, ts, ts)
  }

  show(slot: number): void {
    const open = this.#open
    if (open.taken(slot) === 0 || !open.isChanged(slot)) return
    open.markShown(slot)
    const startMs = open.startMs(slot)
    const { rows, slots } = this.#output
    if (startMs - this.#gapMs <= slots.dirtyUntilMs(slot) || open.isIncomplete(slot)) {
      this.#amendments.ask(slot, startMs, open.endMs(slot))
    } else {
      open.write(slot, slots.seriesOf[slot], this.#index, rows)
    }
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
  }

  load(from: StateReader): void {
    this.#amendments.load(from)
    this.#open.load(from)
  }

  #close(slot: number): void {
    if (this.#open.taken(slot) === 0) return
    this.show(slot)
    this.#open.reset(slot)
  }
}

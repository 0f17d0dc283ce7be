/**
 * Carried-forward aggregates over tumbling, hopping and calendar windows: time-weighted mean, increase, rate and durations of
 * states, for which the reading in force when a window begins counts, however old it is. Windows that hold no reading leave no row.
 * Hopping windows share panes. One owner: the shard's thread.
 *
 * A window closes when the frontier, or a reading, reaches its end. It is dirty when a reading that was not seen may lie behind the
 * one in force at its start. Panes of windows that all closed are given back, so the panes of a series lie within one window's
 * width; what finds no room for a pane is amended.
 */
import { assert } from '../base/assert.ts'
import type { StateReader, StateWriter } from '../codecs/state.ts'
import { CarriedPanes, PaneCell } from './carried-panes.ts'
import type { WindowSpans } from './carried-spans.ts'
import { CarriedSums } from './carried-sums.ts'
import type { OrderedMemory } from './ordered-memory.ts'
import { type OrderedOperator, type OrderedOutput, Wants } from './ordered-operator.ts'
import { SlotAmendments } from './slot-amendments.ts'

/** A slot's record. The carried number and state are those of the last reading. */
const HEAD = 0
const TAIL = 1
const TAIL_END_MS = 2
const DUE_MS = 3
/** The earliest window that did not close. */
const NEXT_WINDOW_MS = 4
const CARRIED_MS = 5
const CARRIED = 6
const STATE_MS = 7
const STATE_TEXT = 8
const STATE_NUMBER = 9
const CHANGED = 10
/** Up to there readings were not kept, for want of room. */
const LOST_MS = 11
const STRIDE = 12
const CAPACITY_MIN = 64

export class CarriedWindows implements OrderedOperator {
  readonly takesTexts: boolean
  readonly #spans: WindowSpans
  readonly #index: number
  readonly #output: OrderedOutput
  readonly #panes: CarriedPanes
  readonly #sums: CarriedSums
  readonly #amendments: SlotAmendments
  #records: Float64Array = new Float64Array(CAPACITY_MIN * STRIDE)

  constructor(
    spans: WindowSpans,
    wants: number,
    index: number,
    output: OrderedOutput,
    memory: OrderedMemory,
  ) {
    this.takesTexts = (wants & Wants.states) !== 0
    this.#spans = spans
    this.#index = index
    this.#output = output
    this.#panes = new CarriedPanes(memory, this.takesTexts)
    this.#sums = new CarriedSums(wants, memory, this.#panes)
    this.#amendments = new SlotAmendments(index, output, spans.endOf(0) - spans.paneStartOf(0))
  }

  admit(slot: number): void {
    this.#amendments.admit(slot)
    if ((slot + 1) * STRIDE <= this.#records.length) return
    const records = new Float64Array(this.#records.length * 2)
    records.set(this.#records)
    this.#records = records
  }

  open(slot: number): void {
    this.#amendments.open(slot)
    const at = slot * STRIDE
    this.#records.fill(Number.NEGATIVE_INFINITY, at, at + STRIDE)
    this.#records[at + HEAD] = 0
    this.#records[at + TAIL] = 0
    this.#records[at + DUE_MS] = Number.POSITIVE_INFINITY
    this.#records[at + CHANGED] = 0
  }

  // hot: per reading
  take(slot: number, pairs: Float64Array, start: number, end: number): void {
    for (let at = start; at < end; at += 2) this.#add(slot, pairs[at], pairs[at + 1])
  }

  // hot: per reading
  #add(slot: number, ts: number, x: number): void {
    const at = slot * STRIDE
    const records = this.#records
    const pane = ts < records[at + TAIL_END_MS] ? records[at + TAIL] : this.#openPane(slot, ts)
    if (pane === 0) this.#lose(slot, ts)
    else {
      this.#panes.addNumber(pane, ts, x)
      if (this.takesTexts && !this.#panes.addState(pane, ts, 0, x)) this.#lose(slot, ts)
      this.#panes.count(pane, ts)
      records[at + CHANGED] = 1
    }
    records[at + CARRIED_MS] = ts
    records[at + CARRIED] = x
    records[at + STATE_MS] = ts
    records[at + STATE_TEXT] = 0
    records[at + STATE_NUMBER] = x
  }

  addText(slot: number, ts: number, text: number): void {
    const at = slot * STRIDE
    const records = this.#records
    const pane = ts < records[at + TAIL_END_MS] ? records[at + TAIL] : this.#openPane(slot, ts)
    if (pane === 0) this.#lose(slot, ts)
    else {
      if (!this.#panes.addState(pane, ts, text, 0)) this.#lose(slot, ts)
      this.#panes.count(pane, ts)
      records[at + CHANGED] = 1
    }
    records[at + STATE_MS] = ts
    records[at + STATE_TEXT] = text
    records[at + STATE_NUMBER] = 0
  }

  settle(slot: number): void {
    this.#closeUntil(slot, this.#output.slots.frontierMs(slot))
  }

  dueMs(slot: number): number {
    return this.#records[slot * STRIDE + DUE_MS]
  }

  late(slot: number, ts: number): void {
    this.#amendments.ask(slot, ts, ts)
  }

  /** All panes lie in the earliest window that is open, so each window up to the last pane's start holds that pane. */
  show(slot: number): void {
    const at = slot * STRIDE
    const records = this.#records
    if (records[at + CHANGED] === 0 || records[at + HEAD] === 0) return
    records[at + CHANGED] = 0
    const tailStartMs = this.#panes.cell(records[at + TAIL], PaneCell.startMs)
    let pane = records[at + HEAD]
    for (let startMs = this.#earliestWindow(at); startMs <= tailStartMs; ) {
      while (this.#panes.cell(pane, PaneCell.startMs) < startMs) pane = this.#panes.cell(pane, PaneCell.next)
      this.#emit(slot, startMs, pane)
      startMs = this.#spans.nextWindow(startMs)
    }
  }

  release(slot: number): void {
    const at = slot * STRIDE + HEAD
    while (this.#records[at] !== 0) this.#records[at] = this.#panes.give(this.#records[at])
  }

  clear(): void {
    this.#records.fill(0)
  }

  save(out: StateWriter): void {
    this.#amendments.save(out)
    out.f64(this.#records)
  }

  load(from: StateReader): void {
    this.#amendments.load(from)
    const records = from.f64()
    assert(records.length % STRIDE === 0, 'state has other windows')
    this.#records = records
  }

  /** Closes the windows that end at `untilMs` or before; all their readings have come. */
  #closeUntil(slot: number, untilMs: number): void {
    const at = slot * STRIDE
    const records = this.#records
    while (records[at + DUE_MS] < untilMs) {
      const startMs = this.#earliestWindow(at)
      if (records[at + CHANGED] === 1) this.#emit(slot, startMs, records[at + HEAD])
      const nextMs = this.#spans.nextWindow(startMs)
      records[at + NEXT_WINDOW_MS] = nextMs
      let head = records[at + HEAD]
      while (head !== 0 && this.#panes.cell(head, PaneCell.startMs) < nextMs) head = this.#panes.give(head)
      records[at + HEAD] = head
      if (head === 0) {
        records[at + TAIL] = 0
        records[at + TAIL_END_MS] = Number.NEGATIVE_INFINITY
        records[at + DUE_MS] = Number.POSITIVE_INFINITY
      } else {
        records[at + DUE_MS] = this.#spans.endOf(this.#earliestWindow(at)) - 1
      }
    }
  }

  /** The earliest open window that holds the first pane. */
  #earliestWindow(at: number): number {
    const headStartMs = this.#panes.cell(this.#records[at + HEAD], PaneCell.startMs)
    return Math.max(this.#records[at + NEXT_WINDOW_MS], this.#spans.firstWindowOf(headStartMs))
  }

  /** A pane behind the last one, or 0 when there is no room. */
  #openPane(slot: number, ts: number): number {
    this.#closeUntil(slot, ts)
    if (this.#panes.isFull) return 0
    const at = slot * STRIDE
    const records = this.#records
    const startMs = this.#spans.paneStartOf(ts)
    const pane = this.#panes.take(startMs)
    this.#panes.set(pane, PaneCell.previousMs, records[at + CARRIED_MS])
    this.#panes.set(pane, PaneCell.previous, records[at + CARRIED])
    if (this.takesTexts) {
      this.#panes.set(pane, PaneCell.stateMs, records[at + STATE_MS])
      this.#panes.set(pane, PaneCell.stateText, records[at + STATE_TEXT])
      this.#panes.set(pane, PaneCell.stateNumber, records[at + STATE_NUMBER])
    }
    if (records[at + TAIL] !== 0) this.#panes.set(records[at + TAIL], PaneCell.next, pane)
    records[at + TAIL] = pane
    records[at + TAIL_END_MS] = this.#spans.paneEndOf(startMs)
    if (records[at + HEAD] === 0) {
      records[at + HEAD] = pane
      records[at + DUE_MS] = this.#spans.endOf(this.#earliestWindow(at)) - 1
    }
    return pane
  }

  #lose(slot: number, ts: number): void {
    this.#records[slot * STRIDE + LOST_MS] = ts
    this.#amendments.ask(slot, ts, ts)
  }

  /** The window's row, or what is asked for in its place; `pane` is the first one in it. */
  #emit(slot: number, startMs: number, pane: number): void {
    const { rows, slots } = this.#output
    const sums = this.#sums
    const endMs = this.#spans.endOf(startMs)
    sums.gather(pane, startMs, endMs)
    const dirtyUntilMs = Math.max(slots.dirtyUntilMs(slot), this.#records[slot * STRIDE + LOST_MS])
    if (sums.isComplete && !sums.isDirty(dirtyUntilMs)) sums.write(slots.seriesOf[slot], this.#index, rows)
    else this.#amendments.ask(slot, sums.firstMs, sums.lastMs)
    sums.release()
  }
}

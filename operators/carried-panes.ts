/**
 * Panes of carried-forward aggregates: what the readings of one span come to, in event-time order, and what was in force before
 * them. A pane is a block; panes of a series chain by NEXT. One owner: the operator.
 */
import { BLOCK_PAGE_LOG2, BLOCK_PLACE_MASK } from './double-blocks.ts'
import type { OrderedMemory } from './ordered-memory.ts'
import { increaseBetween } from './ordered-operator.ts'
import { addDuration, freeDurations, NO_ROOM } from './state-durations.ts'

/** PREVIOUS_*: the last number before the pane, -Infinity when there was none; STATE_*: the last reading of any type. */
export const PaneCell = {
  startMs: 0,
  /** Readings, texts included, and when the first and the last were. */
  taken: 1,
  openMs: 2,
  latestMs: 3,
  /** Numbers. */
  n: 4,
  previousMs: 5,
  previous: 6,
  firstMs: 7,
  first: 8,
  lastMs: 9,
  last: 10,
  /** Between the first number and the last. */
  integral: 11,
  increase: 12,
  next: 13,
  /** Only with states: the one in force before, durations between the first reading and the last, and the last. */
  stateMs: 14,
  stateText: 15,
  stateNumber: 16,
  states: 17,
  latestText: 18,
  latestNumber: 19,
} as const
const PLAIN_LOG2 = 4
const STATES_LOG2 = 5

export class CarriedPanes {
  readonly #memory: OrderedMemory
  readonly #sizeLog2: number

  constructor(memory: OrderedMemory, hasStates: boolean) {
    this.#memory = memory
    this.#sizeLog2 = hasStates ? STATES_LOG2 : PLAIN_LOG2
  }

  get isFull(): boolean {
    return this.#memory.isFull
  }

  /** The page that holds the pane, and where in it the pane begins. */
  page(pane: number): Float64Array {
    return this.#memory.pages[pane >>> BLOCK_PAGE_LOG2]
  }

  place(pane: number): number {
    return pane & BLOCK_PLACE_MASK
  }

  cell(pane: number, cell: number): number {
    return this.page(pane)[this.place(pane) + cell]
  }

  set(pane: number, cell: number, value: number): void {
    this.page(pane)[this.place(pane) + cell] = value
  }

  /** An empty pane. */
  take(startMs: number): number {
    const pane = this.#memory.take(this.#sizeLog2)
    const at = this.place(pane)
    const page = this.page(pane)
    page.fill(0, at, at + (1 << this.#sizeLog2))
    page[at + PaneCell.startMs] = startMs
    return pane
  }

  /** Gives the pane back; returns the next one of its chain. */
  give(pane: number): number {
    const next = this.cell(pane, PaneCell.next)
    if (this.#sizeLog2 === STATES_LOG2) freeDurations(this.#memory, this.cell(pane, PaneCell.states))
    this.#memory.give(pane, this.#sizeLog2)
    return next
  }

  // hot: per message
  addNumber(pane: number, ts: number, x: number): void {
    const page = this.page(pane)
    const at = this.place(pane)
    if (page[at + PaneCell.n]++ === 0) {
      page[at + PaneCell.firstMs] = ts
      page[at + PaneCell.first] = x
    } else {
      const last = page[at + PaneCell.last]
      page[at + PaneCell.integral] += last * (ts - page[at + PaneCell.lastMs])
      page[at + PaneCell.increase] += increaseBetween(last, x)
    }
    page[at + PaneCell.lastMs] = ts
    page[at + PaneCell.last] = x
  }

  /** A reading of any type; false when the state that ended found no room. */
  addState(pane: number, ts: number, text: number, x: number): boolean {
    const page = this.page(pane)
    const at = this.place(pane)
    let hasRoom = true
    if (page[at + PaneCell.taken] > 0) {
      const lastedMs = ts - page[at + PaneCell.latestMs]
      const lastText = page[at + PaneCell.latestText]
      const lastX = page[at + PaneCell.latestNumber]
      const head = addDuration(this.#memory, page[at + PaneCell.states], lastText, lastX, lastedMs)
      if (head === NO_ROOM) hasRoom = false
      else page[at + PaneCell.states] = head
    }
    page[at + PaneCell.latestText] = text
    page[at + PaneCell.latestNumber] = x
    return hasRoom
  }

  // hot: per message
  count(pane: number, ts: number): void {
    const page = this.page(pane)
    const at = this.place(pane)
    if (page[at + PaneCell.taken]++ === 0) page[at + PaneCell.openMs] = ts
    page[at + PaneCell.latestMs] = ts
  }
}

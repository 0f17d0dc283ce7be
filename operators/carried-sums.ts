/**
 * One window's carried-forward aggregates, put together from its panes and what was in force before them. One owner: an operator,
 * which gathers a window, has it written, and releases it.
 */
import { type CarriedPanes, PaneCell } from './carried-panes.ts'
import type { OrderedMemory } from './ordered-memory.ts'
import { increaseBetween, Wants } from './ordered-operator.ts'
import { WindowCell, type WindowRows } from './ordered-rows.ts'
import {
  addDuration,
  addDurations,
  freeDurations,
  hasUnknownState,
  NO_ROOM,
  writeDurations,
} from './state-durations.ts'

export class CarriedSums {
  /** False when states found no room, or one is unknown. */
  isComplete = true
  /** Event times of the window's first and last reading. */
  firstMs = 0
  lastMs = 0
  readonly #wants: number
  readonly #memory: OrderedMemory
  readonly #panes: CarriedPanes
  #startMs = 0
  #endMs = 0
  #taken = 0
  #n = 0
  /** When the number, and the state, in force at the start came; -Infinity when there was none. */
  #carriedMs = 0
  #stateMs = 0
  #coveredMs = 0
  #integral = 0
  #increase = 0
  #states = 0

  constructor(wants: number, memory: OrderedMemory, panes: CarriedPanes) {
    this.#wants = wants
    this.#memory = memory
    this.#panes = panes
  }

  /** Takes in the panes of [startMs, endMs), of which the first is `head`. */
  gather(head: number, startMs: number, endMs: number): void {
    this.#startMs = startMs
    this.#endMs = endMs
    this.#gatherNumbers(head)
    this.isComplete = true
    this.#states = 0
    if ((this.#wants & Wants.states) === 0) return
    this.#gatherStates(head)
    if (hasUnknownState(this.#memory, this.#states)) this.isComplete = false
  }

  /** True when readings up to `dirtyUntilMs` that were not seen may have a part in the window. */
  isDirty(dirtyUntilMs: number): boolean {
    if (dirtyUntilMs === Number.NEGATIVE_INFINITY) return false
    if ((this.#wants & Wants.states) !== 0 && this.#stateMs <= dirtyUntilMs) return true
    return this.#n > 0 && (this.#wants & ~Wants.states) !== 0 && this.#carriedMs <= dirtyUntilMs
  }

  write(series: number, operator: number, rows: WindowRows): void {
    const at = rows.append(series, operator, this.#startMs, this.#endMs)
    const { cells } = rows
    const wants = this.#wants
    cells[at + WindowCell.count] = this.#taken
    cells[at + WindowCell.firstTsMs] = this.firstMs
    cells[at + WindowCell.lastTsMs] = this.lastMs
    if (this.#n > 0) {
      if ((wants & Wants.timeWeightedMean) !== 0) {
        cells[at + WindowCell.timeWeightedMean] = this.#integral / this.#coveredMs
      }
      if ((wants & Wants.increase) !== 0) cells[at + WindowCell.increase] = this.#increase
      if ((wants & Wants.rate) !== 0) {
        cells[at + WindowCell.rate] = (this.#increase * 1000) / (this.#endMs - this.#startMs)
      }
    }
    if ((wants & Wants.states) !== 0) writeDurations(this.#memory, this.#states, rows)
  }

  release(): void {
    freeDurations(this.#memory, this.#states)
    this.#states = 0
  }

  #gatherNumbers(head: number): void {
    let taken = 0
    let n = 0
    let integral = 0
    let increase = 0
    let lastMs = 0
    let last = 0
    let next = 0
    for (let pane = head; pane !== 0; pane = next) {
      const page = this.#panes.page(pane)
      const at = this.#panes.place(pane)
      if (page[at + PaneCell.startMs] >= this.#endMs) break
      next = page[at + PaneCell.next]
      if (taken === 0) this.firstMs = page[at + PaneCell.openMs]
      taken += page[at + PaneCell.taken]
      this.lastMs = page[at + PaneCell.latestMs]
      if (page[at + PaneCell.n] === 0) continue
      const firstMs = page[at + PaneCell.firstMs]
      const first = page[at + PaneCell.first]
      if (n === 0) {
        this.#carriedMs = page[at + PaneCell.previousMs]
        const isCarried = this.#carriedMs > Number.NEGATIVE_INFINITY
        this.#coveredMs = this.#endMs - (isCarried ? this.#startMs : firstMs)
        if (isCarried) {
          integral = page[at + PaneCell.previous] * (firstMs - this.#startMs)
          increase = increaseBetween(page[at + PaneCell.previous], first)
        }
      } else {
        integral += last * (firstMs - lastMs)
        increase += increaseBetween(last, first)
      }
      n += page[at + PaneCell.n]
      integral += page[at + PaneCell.integral]
      increase += page[at + PaneCell.increase]
      lastMs = page[at + PaneCell.lastMs]
      last = page[at + PaneCell.last]
    }
    this.#taken = taken
    this.#n = n
    this.#integral = integral + last * (this.#endMs - lastMs)
    this.#increase = increase
  }

  #gatherStates(head: number): void {
    const panes = this.#panes
    this.#stateMs = panes.cell(head, PaneCell.stateMs)
    let sinceMs = this.#stateMs > Number.NEGATIVE_INFINITY ? this.#startMs : panes.cell(head, PaneCell.openMs)
    let text = panes.cell(head, PaneCell.stateText)
    let x = panes.cell(head, PaneCell.stateNumber)
    for (let pane = head; pane !== 0; pane = panes.cell(pane, PaneCell.next)) {
      if (panes.cell(pane, PaneCell.startMs) >= this.#endMs) break
      this.#last(text, x, panes.cell(pane, PaneCell.openMs) - sinceMs)
      if (this.isComplete) this.#addAll(panes.cell(pane, PaneCell.states))
      sinceMs = panes.cell(pane, PaneCell.latestMs)
      text = panes.cell(pane, PaneCell.latestText)
      x = panes.cell(pane, PaneCell.latestNumber)
    }
    this.#last(text, x, this.#endMs - sinceMs)
  }

  #last(text: number, x: number, ms: number): void {
    if (!this.isComplete) return
    const head = addDuration(this.#memory, this.#states, text, x, ms)
    if (head === NO_ROOM) this.isComplete = false
    else this.#states = head
  }

  #addAll(states: number): void {
    const head = addDurations(this.#memory, this.#states, states)
    if (head === NO_ROOM) this.isComplete = false
    this.#states = head === NO_ROOM ? 0 : head
  }
}

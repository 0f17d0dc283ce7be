/**
 * Downsampling by windows: when a window closes, its points leave as its pane chooses them. One owner: the shard's thread.
 *
 * A series that falls silent shows its open window's points as they stand; when more readings come, what is shown or closed
 * later is the difference: new points, and a deletion of each that is none any more. Windows that late readings, or readings of
 * an earlier life, belong to leave no points, they ask for an amendment.
 *
 * A slot's record is two doubles:  0 end of the open window (-Infinity: none)  1 readings since it was shown
 */
import type { StateReader, StateWriter } from '../../codecs/state.ts'
import { BLOCK_PAGE_LOG2, BLOCK_PLACE_MASK } from '../double-blocks.ts'
import type { OrderedMemory } from '../ordered-memory.ts'
import type { OrderedOperator } from '../ordered-operator.ts'
import type { AmendmentRows } from '../ordered-rows.ts'
import { type SeriesSlots, SLOT_STRIDE, SlotField } from '../series-slots.ts'
import { SlotAmendments } from '../slot-amendments.ts'
import { ChosenPoints, type PointPanes, withRoom } from './point-panes.ts'
import { PointKind, type PointRows } from './point-rows.ts'

/** Where downsamplers put what they have to say. */
export interface PointOutput {
  points: PointRows
  amendments: AmendmentRows
  slots: SeriesSlots
}

const STRIDE = 2
/** Ranges this many windows apart are amended apart. */
const NEAR_WINDOWS = 10

export class WindowPoints implements OrderedOperator {
  readonly takesTexts = false
  readonly #widthMs: number
  readonly #index: number
  readonly #output: PointOutput
  readonly #panes: PointPanes
  readonly #amendments: SlotAmendments
  readonly #shown: ShownPoints
  readonly #chosen = new ChosenPoints()
  #records: Float64Array = new Float64Array(64 * STRIDE).fill(Number.NEGATIVE_INFINITY)

  /** `amendmentIndex` names the downsampler among all that ask for amendments, `index` in points. */
  constructor(
    widthMs: number,
    panes: PointPanes,
    index: number,
    amendmentIndex: number,
    output: PointOutput,
    memory: OrderedMemory,
  ) {
    this.#widthMs = widthMs
    this.#index = index
    this.#output = output
    this.#panes = panes
    this.#amendments = new SlotAmendments(amendmentIndex, output, widthMs * NEAR_WINDOWS)
    this.#shown = new ShownPoints(memory)
  }

  admit(slot: number): void {
    const { length } = this.#records
    this.#records = withRoom(this.#records, slot, STRIDE)
    this.#records.fill(Number.NEGATIVE_INFINITY, length)
    this.#panes.admit(slot)
    this.#amendments.admit(slot)
    this.#shown.admit(slot)
  }

  open(slot: number): void {
    this.#amendments.open(slot)
    this.#panes.open(slot)
    this.#records[slot * STRIDE] = Number.NEGATIVE_INFINITY
  }

  // hot: per run of readings
  take(slot: number, pairs: Float64Array, start: number, end: number): void {
    const records = this.#records
    const at = slot * STRIDE
    for (let from = start; from < end; ) {
      if (!(pairs[from] < records[at])) {
        if (records[at] > Number.NEGATIVE_INFINITY) this.#close(slot)
        records[at] = (Math.floor(pairs[from] / this.#widthMs) + 1) * this.#widthMs
        records[at + 1] = 1
        this.#panes.begin(slot, pairs, from)
        from += 2
      }
      const to = endBefore(pairs, from, end, records[at])
      if (to > from) this.#panes.take(slot, pairs, from, to)
      records[at + 1] += (to - from) >> 1
      from = to
    }
  }

  addText(): void {}

  settle(slot: number): void {
    if (this.#output.slots.frontierMs(slot) >= this.#records[slot * STRIDE]) this.#close(slot)
  }

  dueMs(slot: number): number {
    const endMs = this.#records[slot * STRIDE]
    return endMs > Number.NEGATIVE_INFINITY ? endMs - 1 : Number.POSITIVE_INFINITY
  }

  late(slot: number, ts: number): void {
    this.#amendments.ask(slot, ts, ts)
  }

  show(slot: number): void {
    const at = slot * STRIDE
    if (!(this.#records[at] > Number.NEGATIVE_INFINITY) || this.#records[at + 1] === 0) return
    this.#write(slot, false)
    this.#records[at + 1] = 0
  }

  release(slot: number): void {
    this.#panes.free(slot)
    this.#shown.free(slot)
    this.#records[slot * STRIDE] = Number.NEGATIVE_INFINITY
  }

  clear(): void {
    this.#panes.clear()
    this.#shown.clear()
    this.#records.fill(Number.NEGATIVE_INFINITY)
  }

  save(out: StateWriter): void {
    this.#amendments.save(out)
    this.#panes.save(out)
    this.#shown.save(out)
    out.f64(this.#records)
  }

  load(from: StateReader): void {
    this.#amendments.load(from)
    this.#panes.load(from)
    this.#shown.load(from)
    this.#records = from.f64()
  }

  #close(slot: number): void {
    const at = slot * STRIDE
    if (this.#records[at + 1] > 0) this.#write(slot, true)
    this.release(slot)
  }

  #write(slot: number, isLast: boolean): void {
    const { points, slots } = this.#output
    const chosen = this.#chosen
    const startMs = this.#records[slot * STRIDE] - this.#widthMs
    if (startMs <= slots.dirtyUntilMs(slot) || !this.#panes.choose(slot, startMs, chosen)) {
      const newestMs = slots.fields[slot * SLOT_STRIDE + SlotField.newestMs]
      this.#amendments.ask(slot, startMs, Math.min(newestMs, startMs + this.#widthMs - 1))
      this.#shown.free(slot)
      return
    }
    const series = slots.seriesOf[slot]
    if (this.#shown.has(slot)) this.#shown.tellChanges(slot, chosen, series, this.#index, points)
    else points.appendWindow(series, this.#index, chosen.tsMs, chosen.value, chosen.count)
    this.#shown.free(slot)
    if (!isLast) this.#shown.remember(slot, chosen)
  }
}

/** Where the readings of [start, end) that are earlier than `endMs` end: mostly all of them are. */
function endBefore(pairs: Float64Array, start: number, end: number, endMs: number): number {
  if (start < end && pairs[end - 2] < endMs) return end
  let to = start
  while (to < end && pairs[to] < endMs) to += 2
  return to
}

/**
 * The points of open windows that were shown. A slot's record is 3 int32:  0 block (0: none)  1 points in it  2 its size as a power
 * of two; a block is (ts, value) for each.
 */
class ShownPoints {
  readonly #memory: OrderedMemory
  #ints: Int32Array = new Int32Array(64 * 3)

  constructor(memory: OrderedMemory) {
    this.#memory = memory
  }

  admit(slot: number): void {
    if ((slot + 1) * 3 <= this.#ints.length) return
    const ints = new Int32Array(Math.max(this.#ints.length * 2, (slot + 1) * 3))
    ints.set(this.#ints)
    this.#ints = ints
  }

  has(slot: number): boolean {
    return this.#ints[slot * 3] !== 0
  }

  /** Appends each point that is new, and a deletion of each that was shown and is not among the chosen. */
  tellChanges(
    slot: number,
    { tsMs, value, count }: ChosenPoints,
    series: number,
    index: number,
    points: PointRows,
  ): void {
    const block = this.#ints[slot * 3]
    const page = this.#memory.pages[block >>> BLOCK_PAGE_LOG2]
    let place = block & BLOCK_PLACE_MASK
    const end = place + this.#ints[slot * 3 + 1] * 2
    for (let i = 0; i < count || place < end; ) {
      const order =
        i === count
          ? 1
          : place >= end
            ? -1
            : compare(tsMs[i], page[place]) || compare(value[i], page[place + 1])
      if (order < 0) points.append(series, index, tsMs[i], value[i], Number.NaN, PointKind.kept)
      if (order > 0) points.append(series, index, page[place], page[place + 1], Number.NaN, PointKind.deleted)
      if (order <= 0) i++
      if (order >= 0) place += 2
    }
  }

  /** The slot has none. */
  remember(slot: number, { tsMs, value, count }: ChosenPoints): void {
    const at = slot * 3
    const sizeLog2 = 32 - Math.clz32(count * 2 - 1)
    const block = this.#memory.take(sizeLog2)
    const page = this.#memory.pages[block >>> BLOCK_PAGE_LOG2]
    let place = block & BLOCK_PLACE_MASK
    for (let i = 0; i < count; i++) {
      page[place++] = tsMs[i]
      page[place++] = value[i]
    }
    this.#ints[at] = block
    this.#ints[at + 1] = count
    this.#ints[at + 2] = sizeLog2
  }

  free(slot: number): void {
    const at = slot * 3
    if (this.#ints[at] === 0) return
    this.#memory.give(this.#ints[at], this.#ints[at + 2])
    this.#ints.fill(0, at, at + 3)
  }

  /** Forgets all; the memory is cleared by its owner. */
  clear(): void {
    this.#ints.fill(0)
  }

  save(out: StateWriter): void {
    out.i32(this.#ints)
  }

  load(from: StateReader): void {
    this.#ints = from.i32()
  }
}

function compare(one: number, other: number): number {
  return one < other ? -1 : one > other ? 1 : 0
}

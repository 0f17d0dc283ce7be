/**
 * The panes of LTTB and MinMaxLTTB. LTTB's buckets depend on how many readings the window has, so it keeps them all. MinMaxLTTB
 * divides the window's time into bins and keeps of each the smallest and the greatest reading, besides the window's first and
 * last; the triangles are over those. Published with bins of equal count or equal time (Van Der Donckt et al., "MinMaxLTTB",
 * 2023): equal time needs no more than `points * 4 + 2` readings, however many come.
 */
import type { StateReader, StateWriter } from '../../codecs/state.ts'
import type { OrderedMemory } from '../ordered-memory.ts'
import { largestTriangles } from './lttb.ts'
import { type ChosenPoints, type PointPanes, withRoom } from './point-panes.ts'
import { ReadingChains } from './reading-chains.ts'

export class LttbPanes implements PointPanes {
  readonly #triangles: Triangles
  readonly #chains: ReadingChains

  constructor(pointsMax: number, memory: OrderedMemory) {
    this.#triangles = new Triangles(pointsMax)
    this.#chains = new ReadingChains(memory)
  }

  admit(slot: number): void {
    this.#chains.admit(slot)
  }

  open(slot: number): void {
    this.#chains.open(slot)
  }

  begin(slot: number, pairs: Float64Array, at: number): void {
    this.#chains.append(slot, pairs, at, at + 2)
  }

  take(slot: number, pairs: Float64Array, start: number, end: number): void {
    this.#chains.append(slot, pairs, start, end)
  }

  choose(slot: number, _startMs: number, chosen: ChosenPoints): boolean {
    const chains = this.#chains
    if (chains.isLost(slot)) return false
    this.#triangles.choose(chains, chains.gather(slot, 0), chosen)
    return true
  }

  free(slot: number): void {
    this.#chains.free(slot)
  }

  clear(): void {
    this.#chains.clear()
  }

  save(out: StateWriter): void {
    this.#chains.save(out)
  }

  load(from: StateReader): void {
    this.#chains.load(from)
  }
}

/** A record:  0 newest reading (ts, value), in no bin yet  2 end of the open bin  4 its smallest reading  6 its greatest */
const STRIDE = 8
const BIN_END = 2
const MIN = 4
const MAX = 6
/** Bins for each point: four candidates for one that is chosen, as the authors advise. */
const BINS_PER_POINT = 2

export class MinMaxLttbPanes implements PointPanes {
  readonly #triangles: Triangles
  readonly #binMs: number
  readonly #chains: ReadingChains
  #records: Float64Array = new Float64Array(64 * STRIDE)

  constructor(widthMs: number, pointsMax: number, memory: OrderedMemory) {
    this.#triangles = new Triangles(pointsMax)
    this.#binMs = Math.ceil(widthMs / (pointsMax * BINS_PER_POINT))
    this.#chains = new ReadingChains(memory)
  }

  admit(slot: number): void {
    this.#chains.admit(slot)
    this.#records = withRoom(this.#records, slot, STRIDE)
  }

  open(slot: number): void {
    this.#chains.open(slot)
  }

  /** The first reading is in no bin. */
  begin(slot: number, pairs: Float64Array, from: number): void {
    this.#chains.append(slot, pairs, from, from + 2)
    const at = slot * STRIDE
    this.#records[at] = Number.NEGATIVE_INFINITY
    this.#records[at + BIN_END] = Number.NEGATIVE_INFINITY
  }

  /** The newest reading is in no bin yet: each finds its bin when the next one comes. */
  // hot: per run of readings
  take(slot: number, pairs: Float64Array, start: number, end: number): void {
    const records = this.#records
    const at = slot * STRIDE
    if (records[at] > Number.NEGATIVE_INFINITY) this.#settle(slot, records, at)
    for (let from = start; from < end - 2; from += 2) this.#settle(slot, pairs, from)
    records[at] = pairs[end - 2]
    records[at + 1] = pairs[end - 1]
  }

  choose(slot: number, _startMs: number, chosen: ChosenPoints): boolean {
    const chains = this.#chains
    if (chains.isLost(slot)) return false
    const records = this.#records
    const at = slot * STRIDE
    let count = chains.gather(slot, 3)
    const { doubles } = chains
    const push = (from: number): void => {
      doubles[count * 2] = records[from]
      doubles[count++ * 2 + 1] = records[from + 1]
    }
    if (records[at + BIN_END] > Number.NEGATIVE_INFINITY) {
      const one = earlier(records, at)
      const other = later(records, at)
      push(one)
      if (other !== one) push(other)
    }
    if (records[at] > Number.NEGATIVE_INFINITY) push(at)
    this.#triangles.choose(chains, count, chosen)
    return true
  }

  free(slot: number): void {
    this.#chains.free(slot)
  }

  clear(): void {
    this.#chains.clear()
  }

  save(out: StateWriter): void {
    this.#chains.save(out)
    out.f64(this.#records)
  }

  load(from: StateReader): void {
    this.#chains.load(from)
    this.#records = from.f64()
  }

  /** The reading at `pairs[from]` goes into its bin. When that is a new one, the open bin's extremes join the candidates. */
  // hot: per reading
  #settle(slot: number, pairs: Float64Array, from: number): void {
    const records = this.#records
    const at = slot * STRIDE
    const ts = pairs[from]
    const x = pairs[from + 1]
    if (!(ts < records[at + BIN_END])) {
      if (records[at + BIN_END] > Number.NEGATIVE_INFINITY) this.#endBin(slot, at)
      records[at + BIN_END] = (Math.floor(ts / this.#binMs) + 1) * this.#binMs
      records[at + MIN] = ts
      records[at + MIN + 1] = x
      records[at + MAX] = ts
      records[at + MAX + 1] = x
    } else if (x < records[at + MIN + 1]) {
      records[at + MIN] = ts
      records[at + MIN + 1] = x
    } else if (x > records[at + MAX + 1]) {
      records[at + MAX] = ts
      records[at + MAX + 1] = x
    }
  }

  #endBin(slot: number, at: number): void {
    const records = this.#records
    const one = earlier(records, at)
    const other = later(records, at)
    this.#chains.append(slot, records, one, one + 2)
    if (other !== one) this.#chains.append(slot, records, other, other + 2)
  }
}

/** Where the earlier of the bin's extremes is, and the later; the same place when they are one value. */
function earlier(records: Float64Array, at: number): number {
  return records[at + MIN] <= records[at + MAX] ? at + MIN : at + MAX
}

function later(records: Float64Array, at: number): number {
  if (records[at + MIN + 1] === records[at + MAX + 1]) return at + MIN
  return records[at + MIN] <= records[at + MAX] ? at + MAX : at + MIN
}

class Triangles {
  readonly #pointsMax: number
  readonly #indices: Int32Array

  constructor(pointsMax: number) {
    this.#pointsMax = pointsMax
    this.#indices = new Int32Array(pointsMax)
  }

  /** Of the `count` readings that were gathered. */
  // hot: per window
  choose({ doubles, start }: ReadingChains, count: number, chosen: ChosenPoints): void {
    const indices = this.#indices
    const chosenCount = largestTriangles(doubles, start, count, this.#pointsMax, indices)
    chosen.reserve(chosenCount)
    const { tsMs, value } = chosen
    let newest = -1
    for (let i = 0; i < chosenCount; i++) {
      const at = start + indices[i] * 2
      const ts = doubles[at]
      const x = doubles[at + 1]
      if (newest >= 0 && tsMs[newest] === ts && value[newest] === x) continue
      tsMs[++newest] = ts
      value[newest] = x
    }
    chosen.count = newest + 1
  }
}

/**
 * Hopping windows of a series over panes that they share: a pane is kept once, and a window leaves as one row when it closes, made
 * of two aggregates (van Herk, Gil and Werman: suffixes of the last block of panes, a prefix of this one), whatever its length.
 * One owner: the shard's thread. Invariant: in the rows of a window each pane that it contains counts exactly once.
 *
 * A pane begins at a multiple of `paneMs`, a window at one of `hop` panes; it is `length` panes. `sealedMs` is the time up to which
 * windows have left: those that end there or before. Panes that begin before it are late: the windows that have left get a partial
 * row each, the others take it in.
 *
 * A series has a block while a window with a pane in it is open: `length` + 2 records.
 *   record 0        2 sealedMs  3 begin of its newest pane  4 place of the pane that begins at sealedMs (i): its number modulo length
 *   record 1        all panes of this block: places 0 .. i
 *   records 2 ..    by place:  0 .. i panes of this block   i + 1 .. the last block's suffixes from there
 */
import type { StateReader, StateWriter } from '../codecs/state.ts'
import { HoppingBlocks, RECORD_STRIDE } from './hopping-blocks.ts'
import { copyRecord, joinRecord, mergeRecord, N } from './hopping-records.ts'
import type { PaneExtras } from './pane-extras.ts'
import type { PaneRows } from './pane-rows.ts'

const SEALED_MS = 2
const NEWEST_MS = 3
const PLACE = 4

const PREFIX = 1
const PANES = 2
const PREFIX_AT = PREFIX * RECORD_STRIDE
const PANES_AT = PANES * RECORD_STRIDE

export interface HoppingPlan {
  /** Index in the list of windows. */
  window: number
  paneMs: number
  /** Panes in a window, and from one window's begin to the next one's. */
  length: number
  hop: number
  earlyMs: number
  /** A bit for each extra that its rows have. */
  needs: number
}

export class HoppingPanes {
  readonly plan: HoppingPlan
  readonly #widthMs: number
  readonly #hopMs: number
  readonly #closed: PaneRows
  readonly #extras: PaneExtras
  readonly #blocks: HoppingBlocks
  readonly #blocksMax: number
  readonly #scratchSlots: Int32Array

  constructor(plan: HoppingPlan, panesMax: number, closed: PaneRows, extras: PaneExtras) {
    this.plan = plan
    this.#widthMs = plan.length * plan.paneMs
    this.#hopMs = plan.hop * plan.paneMs
    this.#closed = closed
    this.#extras = extras
    this.#blocks = new HoppingBlocks(PANES + plan.length, extras.count)
    this.#blocksMax = Math.max(1, Math.floor(panesMax / (PANES + plan.length)))
    this.#scratchSlots = new Int32Array(extras.count)
  }

  /** How many series have windows that hold something. */
  get count(): number {
    return this.#blocks.count
  }

  /** Makes room for the series. */
  admit(one: number): void {
    this.#blocks.admit(one)
  }

  has(one: number): boolean {
    return this.#blocks.of(one) !== 0
  }

  /**
   * Lets the windows go that end at `watermarkMs` or before. Returns when the next window of the series ends that holds something;
   * Infinity when there is none.
   */
  // hot: per pane
  advance(one: number, watermarkMs: number): number {
    const blocks = this.#blocks
    const block = blocks.of(one)
    if (block === 0) return Number.POSITIVE_INFINITY
    const chunk = blocks.chunk(block)
    const blockAt = blocks.offset(block)
    const { paneMs, hop } = this.plan
    if (chunk[blockAt + SEALED_MS] + paneMs <= watermarkMs) {
      this.#seal(one, block, chunk, blockAt, watermarkMs)
      if (blocks.of(one) === 0) return Number.POSITIVE_INFINITY
    }
    const endMs = chunk[blockAt + SEALED_MS] + paneMs
    return hop === 1 ? endMs : endMs + modulo(this.#widthMs - endMs, this.#hopMs)
  }

  /** Lets all windows go that hold something, as partial rows, and gives the memory back. */
  leave(one: number): void {
    this.advance(one, Number.POSITIVE_INFINITY)
  }

  /** Takes in a pane, or part of one: a record at `at`, slot numbers from `slotAt` on. */
  // hot: per pane
  add(
    one: number,
    startMs: number,
    fields: Float64Array,
    at: number,
    slots: Int32Array,
    slotAt: number,
  ): void {
    const block = this.#blocks.of(one)
    if (block !== 0) {
      const chunk = this.#blocks.chunk(block)
      const blockAt = this.#blocks.offset(block)
      if (startMs === chunk[blockAt + SEALED_MS]) {
        this.#mergeNext(block, chunk, blockAt, fields, at, slots, slotAt)
        return
      }
    }
    this.#addAside(one, startMs, fields, at, slots, slotAt)
  }

  /** Forgets all windows, keeps the memory. Slots were given back. */
  clear(): void {
    this.#blocks.clear()
  }

  save(out: StateWriter, seriesCount: number): void {
    this.#blocks.save(out, seriesCount)
  }

  load(from: StateReader, seriesCount: number): void {
    this.#blocks.load(from, seriesCount)
  }

  /** A pane that is not simply the next one of the series. */
  #addAside(
    one: number,
    startMs: number,
    fields: Float64Array,
    at: number,
    slots: Int32Array,
    slotAt: number,
  ): void {
    const blocks = this.#blocks
    const { paneMs } = this.plan
    // What comes may be cut where a day begins.
    const paneStartMs = Math.floor(startMs / paneMs) * paneMs
    const left = blocks.of(one)
    if (left !== 0) {
      const sealedMs = blocks.chunk(left)[blocks.offset(left) + SEALED_MS]
      if (paneStartMs < sealedMs) {
        this.#emitLate(one, paneStartMs, sealedMs, fields, at, slots, slotAt)
        if (paneStartMs + this.#widthMs > sealedMs)
          this.#mergeLate(left, paneStartMs, fields, at, slots, slotAt)
        return
      }
      this.advance(one, paneStartMs)
    }
    const block = blocks.of(one) === 0 ? this.#take(one, paneStartMs) : blocks.of(one)
    this.#mergeNext(block, blocks.chunk(block), blocks.offset(block), fields, at, slots, slotAt)
  }

  /** Seals panes that end at `watermarkMs` or before, which lets a window go every `hop` of them. */
  // hot: per pane
  #seal(one: number, block: number, chunk: Float64Array, blockAt: number, watermarkMs: number): void {
    const { length, hop, paneMs } = this.plan
    const widthMs = this.#widthMs
    const hasExtras = this.#extras.count > 0
    const panesAt = blockAt + PANES_AT
    const emptyMs = chunk[blockAt + NEWEST_MS] + widthMs
    const stopMs = Math.min(watermarkMs, emptyMs)
    let sealedMs = chunk[blockAt + SEALED_MS]
    let place = chunk[blockAt + PLACE]
    while (sealedMs + paneMs <= stopMs) {
      sealedMs += paneMs
      place++
      if (hop === 1 || (sealedMs - widthMs) % this.#hopMs === 0) {
        this.#emit(one, sealedMs - widthMs, block, chunk, blockAt, place)
      }
      if (place === length) {
        this.#turn(block, chunk, blockAt)
        place = 0
      }
      if (hasExtras) this.#giveSlots(block, PANES + place)
      chunk[panesAt + place * RECORD_STRIDE + N] = 0
    }
    chunk[blockAt + SEALED_MS] = sealedMs
    chunk[blockAt + PLACE] = place
    if (sealedMs >= emptyMs) this.#give(one, block)
  }

  /** The row of the window that ends before `place`: what this block has of it, and the last one's suffix from there. */
  // hot: per pane
  #emit(
    one: number,
    startMs: number,
    block: number,
    chunk: Float64Array,
    blockAt: number,
    place: number,
  ): void {
    const { length, window } = this.plan
    const prefixAt = blockAt + PREFIX_AT
    const suffixAt = blockAt + PANES_AT + place * RECORD_STRIDE
    const isPrefixed = chunk[prefixAt + N] > 0
    const isSuffixed = place < length && chunk[suffixAt + N] > 0
    const hasExtras = this.#extras.count > 0
    const merged = this.#scratchSlots
    if (hasExtras) this.#gatherSlots(block, place)
    if (isPrefixed && isSuffixed) {
      this.#closed.appendJoined(one, window, startMs, chunk, suffixAt - 1, prefixAt - 1, merged, 0)
    } else if (isPrefixed || isSuffixed) {
      this.#closed.append(one, window, startMs, chunk, (isPrefixed ? prefixAt : suffixAt) - 1, merged, 0)
    }
    if (hasExtras) this.#extras.give(merged, 0)
  }

  /** This block is full and becomes the last one: its panes become suffixes. */
  #turn(block: number, chunk: Float64Array, blockAt: number): void {
    const { length } = this.plan
    const hasExtras = this.#extras.count > 0
    let at = blockAt + PANES_AT + (length - 1) * RECORD_STRIDE
    for (let place = length - 2; place >= 0; place--) {
      joinRecord(chunk, at - RECORD_STRIDE, chunk, at)
      if (hasExtras) this.#mergeSlots(block, PANES + place, PANES + place + 1)
      at -= RECORD_STRIDE
    }
    chunk[blockAt + PREFIX_AT + N] = 0
    if (hasExtras) this.#giveSlots(block, PREFIX)
  }

  /** The pane as a partial row of each window that contains it and has left. */
  #emitLate(
    one: number,
    paneStartMs: number,
    sealedMs: number,
    fields: Float64Array,
    at: number,
    slots: Int32Array,
    slotAt: number,
  ): void {
    const { paneMs, window } = this.plan
    const firstMs = paneStartMs + paneMs - this.#widthMs
    const lastMs = Math.min(paneStartMs, sealedMs - this.#widthMs)
    for (let startMs = firstMs; startMs <= lastMs; startMs += paneMs) {
      if (startMs % this.#hopMs !== 0) continue
      this.#closed.append(one, window, startMs, fields, at - 1, slots, slotAt)
    }
  }

  /** Merges the pane that begins at sealedMs. */
  // hot: per pane
  #mergeNext(
    block: number,
    chunk: Float64Array,
    blockAt: number,
    fields: Float64Array,
    at: number,
    slots: Int32Array,
    slotAt: number,
  ): void {
    chunk[blockAt + NEWEST_MS] = chunk[blockAt + SEALED_MS]
    const place = chunk[blockAt + PLACE]
    const paneAt = blockAt + PANES_AT + place * RECORD_STRIDE
    if (chunk[paneAt + N] === 0) {
      copyRecord(chunk, paneAt, fields, at)
      joinRecord(chunk, blockAt + PREFIX_AT, fields, at)
    } else {
      mergeRecord(chunk, paneAt, fields, at)
      mergeRecord(chunk, blockAt + PREFIX_AT, fields, at)
    }
    if (this.#extras.count === 0) return
    this.#takeInSlots(block, PANES + place, slots, slotAt)
    this.#takeInSlots(block, PREFIX, slots, slotAt)
  }

  /** Merges a late pane that is in windows which are still open. */
  #mergeLate(
    block: number,
    paneStartMs: number,
    fields: Float64Array,
    at: number,
    slots: Int32Array,
    slotAt: number,
  ): void {
    const chunk = this.#blocks.chunk(block)
    const blockAt = this.#blocks.offset(block)
    const { length, paneMs } = this.plan
    const place = chunk[blockAt + PLACE]
    if (paneStartMs > chunk[blockAt + NEWEST_MS]) chunk[blockAt + NEWEST_MS] = paneStartMs
    const panePlace = place + (paneStartMs - chunk[blockAt + SEALED_MS]) / paneMs
    if (panePlace >= 0) {
      this.#mergeIn(block, PANES + panePlace, fields, at, slots, slotAt)
      this.#mergeIn(block, PREFIX, fields, at, slots, slotAt)
      return
    }
    for (let k = place + 1; k <= panePlace + length; k++) {
      this.#mergeIn(block, PANES + k, fields, at, slots, slotAt)
    }
  }

  #mergeIn(
    block: number,
    record: number,
    fields: Float64Array,
    at: number,
    slots: Int32Array,
    slotAt: number,
  ): void {
    const into = this.#blocks.offset(block) + record * RECORD_STRIDE
    mergeRecord(this.#blocks.chunk(block), into, fields, at)
    if (this.#extras.count > 0) this.#takeInSlots(block, record, slots, slotAt)
  }

  #takeInSlots(block: number, record: number, from: Int32Array, fromAt: number): void {
    const intoAt = this.#blocks.slotOffset(block) + record * this.#extras.count
    this.#extras.merge(this.#blocks.slots(block), intoAt, from, fromAt, this.plan.needs)
  }

  #mergeSlots(block: number, into: number, from: number): void {
    const slots = this.#blocks.slots(block)
    const at = this.#blocks.slotOffset(block)
    const { count } = this.#extras
    this.#extras.merge(slots, at + into * count, slots, at + from * count, -1)
  }

  #giveSlots(block: number, record: number): void {
    const at = this.#blocks.slotOffset(block) + record * this.#extras.count
    this.#extras.give(this.#blocks.slots(block), at)
  }

  /** What both parts of a window that ends before `place` hold; empty records have no slots. */
  #gatherSlots(block: number, place: number): void {
    const extras = this.#extras
    const slots = this.#blocks.slots(block)
    const at = this.#blocks.slotOffset(block)
    extras.merge(this.#scratchSlots, 0, slots, at + PREFIX * extras.count, -1)
    if (place === this.plan.length) return
    extras.merge(this.#scratchSlots, 0, slots, at + (PANES + place) * extras.count, -1)
  }

  /** An empty block for the series; at the bound, another series' windows leave early. */
  #take(one: number, sealedMs: number): number {
    const blocks = this.#blocks
    if (blocks.count >= this.#blocksMax) this.leave(blocks.takeTurn())
    const block = blocks.take(one)
    const chunk = blocks.chunk(block)
    const blockAt = blocks.offset(block)
    chunk[blockAt + SEALED_MS] = sealedMs
    chunk[blockAt + NEWEST_MS] = Number.NEGATIVE_INFINITY
    chunk[blockAt + PLACE] = modulo(sealedMs / this.plan.paneMs, this.plan.length)
    return block
  }

  #give(one: number, block: number): void {
    if (this.#extras.count > 0) {
      for (let record = PREFIX; record < PANES + this.plan.length; record++) this.#giveSlots(block, record)
    }
    this.#blocks.give(one)
  }
}

/** The remainder that is not negative. */
function modulo(a: number, b: number): number {
  return ((a % b) + b) % b
}

/**
 * Hopping windows of a series over panes that they share: a pane is kept once, and a window leaves as one row when it closes, made
 * of two aggregates (van Herk, Gil and Werman: suffixes of the last block of panes, a prefix of this one), whatever its length.
 * One owner: the shard's thread. Invariant: in the rows of a window each pane that it contains counts exactly once.
 *
 * Panes are numbered: pane p is [p * paneMs, (p + 1) * paneMs); a window is `length` panes that begin at a multiple of `hop`.
 * `sealed` is the number of the pane up to which windows have left: those that end at its start or before. Panes before it are
 * late: the windows that have left get a partial row each, the others take it in.
 *
 * A series has a block while a window with a pane in it is open, length + 2 records of eight doubles (and one more if that is even):
 *   record 0        0 sealed  1 newest pane  2 series  3 next free block  4 sealed modulo length (i)
 *   record 1        all sealed panes of this block: places 0 .. i - 1
 *   records 2 ..    by place:  0 .. i - 1 panes of this block   i the pane `sealed`   i + 1 .. the last block's suffixes from there
 *   a pane or aggregate:  0 n  1 sum  2 min  3 max  4 first  5 firstTsMs  6 last  7 lastTsMs
 */
import { assert } from '../base/assert.ts'
import type { StateReader, StateWriter } from '../codecs/state.ts'
import type { PaneExtras } from './pane-extras.ts'
import type { PaneRows } from './pane-rows.ts'

const RECORD = 8
const SEALED = 0
const NEWEST = 1
const SERIES = 2
const NEXT_FREE = 3
const PLACE = 4

const N = 0
const SUM = 1
const MIN = 2
const MAX = 3
const FIRST = 4
const FIRST_TS_MS = 5
const LAST = 6
const LAST_TS_MS = 7

const CAPACITY_MIN = 1024
/** Blocks lie in chunks, so that room for more of them is made without copying. */
const CHUNK_SIZE_BYTES = 4 << 20

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
  /** Blocks in use. */
  count = 0
  readonly #closed: PaneRows
  readonly #extras: PaneExtras
  readonly #blocksMax: number
  readonly #blockSize: number
  readonly #slotsSize: number
  readonly #chunkShift: number
  readonly #chunks: Float64Array[] = []
  readonly #slotChunks: Int32Array[] = []
  readonly #scratchSlots: Int32Array
  #blockOf = new Int32Array(CAPACITY_MIN)
  #free = 0
  #usedMax = 0
  #evictNext = 1

  constructor(plan: HoppingPlan, panesMax: number, closed: PaneRows, extras: PaneExtras) {
    this.plan = plan
    this.#closed = closed
    this.#extras = extras
    this.#blocksMax = Math.max(1, Math.floor(panesMax / (plan.length + 2)))
    // An odd number of cache lines: blocks an even number apart compete for half of a cache (`npm run bench -- windows`).
    this.#blockSize = ((plan.length + 2) | 1) * RECORD
    this.#slotsSize = (plan.length + 2) * extras.count
    this.#chunkShift = Math.max(0, Math.floor(Math.log2(CHUNK_SIZE_BYTES / 8 / this.#blockSize)))
    this.#scratchSlots = new Int32Array(extras.count)
  }

  /** Makes room for the series. */
  admit(one: number): void {
    if (one < this.#blockOf.length) return
    let capacity = this.#blockOf.length
    while (capacity <= one) capacity *= 2
    const blockOf = new Int32Array(capacity)
    blockOf.set(this.#blockOf)
    this.#blockOf = blockOf
  }

  has(one: number): boolean {
    return this.#blockOf[one] !== 0
  }

  /** When the next window of the series ends that holds something; Infinity when there is none. */
  nextEndMs(one: number): number {
    const block = this.#blockOf[one]
    if (block === 0) return Number.POSITIVE_INFINITY
    const { length, hop, paneMs } = this.plan
    const end = this.#chunks[block >> this.#chunkShift][this.#at(block) + SEALED] + 1
    return (hop === 1 ? end : end + modulo(length - end, hop)) * paneMs
  }

  /** Lets the windows go that end at `watermarkMs` or before. */
  advance(one: number, watermarkMs: number): void {
    if (this.#blockOf[one] !== 0) this.#advance(one, Math.floor(watermarkMs / this.plan.paneMs))
  }

  /** Lets all windows go that hold something, as partial rows, and gives the memory back. */
  leave(one: number): void {
    if (this.#blockOf[one] !== 0) this.#advance(one, Number.POSITIVE_INFINITY)
  }

  /** Takes in a pane: eight doubles from `at` on in the order of a record, slot numbers from `slotAt` on. */
  // hot: per pane
  add(
    one: number,
    startMs: number,
    fields: Float64Array,
    at: number,
    slots: Int32Array,
    slotAt: number,
  ): void {
    const pane = Math.floor(startMs / this.plan.paneMs)
    const block = this.#blockOf[one]
    if (block === 0) {
      this.#mergeNext(this.#take(one, pane), pane, fields, at, slots, slotAt)
      return
    }
    const sealed = this.#chunks[block >> this.#chunkShift][this.#at(block) + SEALED]
    if (pane === sealed) {
      this.#mergeNext(block, pane, fields, at, slots, slotAt)
    } else if (pane < sealed) {
      this.#emitLate(one, pane, sealed, fields, at, slots, slotAt)
      if (pane + this.plan.length > sealed) this.#mergeLate(block, pane, fields, at, slots, slotAt)
    } else {
      this.#advance(one, pane)
      const left = this.#blockOf[one]
      this.#mergeNext(left === 0 ? this.#take(one, pane) : left, pane, fields, at, slots, slotAt)
    }
  }

  /** Forgets all windows, keeps the memory. */
  clear(): void {
    this.count = 0
    this.#free = 0
    this.#usedMax = 0
    this.#evictNext = 1
    this.#blockOf.fill(0)
  }

  save(out: StateWriter, seriesCount: number): void {
    out.numbers(this.count, this.#free, this.#usedMax, this.#evictNext)
    out.i32(this.#blockOf, seriesCount)
    const { chunkCount, blocksPerChunk } = this.#chunking()
    for (let i = 0; i < chunkCount; i++) {
      const blocks = Math.min(blocksPerChunk, this.#usedMax + 1 - i * blocksPerChunk)
      out.f64(this.#chunks[i], blocks * this.#blockSize)
      out.i32(this.#slotChunks[i], blocks * this.#slotsSize)
    }
  }

  load(from: StateReader, seriesCount: number): void {
    const [count, free, usedMax, evictNext] = from.numbers(4)
    const blockOf = from.i32()
    assert(blockOf.length === seriesCount, 'state has hopping windows of another number of series')
    assert(count <= usedMax && free <= usedMax, 'state has a block past the last')
    assert(evictNext >= 1 && evictNext <= usedMax + 1, 'state has a cursor past the last block')
    if (seriesCount > 0) this.admit(seriesCount - 1)
    this.#blockOf.set(blockOf)
    this.count = count | 0
    this.#free = free | 0
    this.#usedMax = usedMax | 0
    this.#evictNext = evictNext | 0
    const { chunkCount, blocksPerChunk } = this.#chunking()
    for (let i = 0; i < chunkCount; i++) {
      const blocks = Math.min(blocksPerChunk, this.#usedMax + 1 - i * blocksPerChunk)
      const records = from.f64()
      const slots = from.i32()
      assert(records.length === blocks * this.#blockSize, 'state has another number of blocks')
      assert(slots.length === blocks * this.#slotsSize, 'state has another number of slots')
      this.#addChunk()
      this.#chunks[i].set(records)
      this.#slotChunks[i].set(slots)
    }
    let blockCount = 0
    for (const block of blockOf) {
      assert(block >= 0 && block <= usedMax, 'state has a block past the last')
      if (block !== 0) blockCount++
    }
    assert(blockCount === count, 'state has other blocks than its series')
  }

  #chunking(): { chunkCount: number; blocksPerChunk: number } {
    const blocksPerChunk = 1 << this.#chunkShift
    const chunkCount = this.#usedMax === 0 ? 0 : Math.floor(this.#usedMax / blocksPerChunk) + 1
    return { chunkCount, blocksPerChunk }
  }

  /** Seals panes before `toPane`, which lets a window go every `hop` of them; gives the block back when nothing is in it. */
  #advance(one: number, toPane: number): void {
    const block = this.#blockOf[one]
    if (block === 0) return
    const { length, hop, paneMs, window } = this.plan
    const chunk = this.#chunks[block >> this.#chunkShift]
    const blockAt = this.#at(block)
    const prefixAt = blockAt + RECORD
    const emptyAt = chunk[blockAt + NEWEST] + length
    const stop = Math.min(toPane, emptyAt)
    let sealed = chunk[blockAt + SEALED]
    if (sealed >= stop) return
    let place = chunk[blockAt + PLACE]
    while (sealed < stop) {
      const at = prefixAt + RECORD + place * RECORD
      joinRecord(chunk, prefixAt, at)
      if (this.#extras.count > 0) this.#mergeSlots(block, 1, 2 + place)
      sealed++
      if (hop === 1 || (sealed - length) % hop === 0) {
        this.#emit(one, window, (sealed - length) * paneMs, block, chunk, prefixAt, place)
      }
      place++
      if (place === length) {
        this.#turn(block, chunk, prefixAt)
        place = 0
      }
      if (this.#extras.count > 0) this.#giveSlots(block, 2 + place)
      chunk[prefixAt + RECORD + place * RECORD + N] = 0
    }
    chunk[blockAt + SEALED] = sealed
    chunk[blockAt + PLACE] = place
    if (sealed >= emptyAt) this.#give(one, block)
  }

  /** The row of the window whose last pane stands at `place`: what this block has of it, and the last one's suffix. */
  #emit(
    one: number,
    window: number,
    startMs: number,
    block: number,
    chunk: Float64Array,
    prefixAt: number,
    place: number,
  ): void {
    const suffixAt = prefixAt + (place + 2) * RECORD
    const isPrefixed = chunk[prefixAt + N] > 0
    const isSuffixed = place + 1 < this.plan.length && chunk[suffixAt + N] > 0
    if (!isPrefixed && !isSuffixed) return
    const extras = this.#extras
    const merged = this.#scratchSlots
    if (extras.count > 0) {
      const slots = this.#slotChunks[block >> this.#chunkShift]
      const slotsAt = this.#slotsAt(block)
      if (isPrefixed) extras.merge(merged, 0, slots, slotsAt + extras.count, -1)
      if (isSuffixed) extras.merge(merged, 0, slots, slotsAt + (place + 3) * extras.count, -1)
    }
    const closed = this.#closed
    if (isPrefixed && isSuffixed) {
      closed.appendJoined(one, window, startMs, chunk, suffixAt - 1, prefixAt - 1, merged, 0)
    } else {
      closed.append(one, window, startMs, chunk, (isPrefixed ? prefixAt : suffixAt) - 1, merged, 0)
    }
    if (extras.count > 0) extras.give(merged, 0)
  }

  /** This block is full and becomes the last one: its panes become suffixes. */
  #turn(block: number, chunk: Float64Array, prefixAt: number): void {
    for (let k = this.plan.length - 2; k >= 0; k--) {
      const at = prefixAt + RECORD + k * RECORD
      joinRecord(chunk, at, at + RECORD)
      if (this.#extras.count > 0) this.#mergeSlots(block, 2 + k, 3 + k)
    }
    chunk[prefixAt + N] = 0
    if (this.#extras.count > 0) this.#giveSlots(block, 1)
  }

  /** The pane as a partial row of each window that contains it and has left. */
  #emitLate(
    one: number,
    pane: number,
    sealed: number,
    fields: Float64Array,
    at: number,
    slots: Int32Array,
    slotAt: number,
  ): void {
    const { length, hop, paneMs, window } = this.plan
    const lastEnd = Math.min(pane + length, sealed)
    for (let end = pane + 1; end <= lastEnd; end++) {
      if ((end - length) % hop !== 0) continue
      this.#closed.append(one, window, (end - length) * paneMs, fields, at - 1, slots, slotAt)
    }
  }

  /** Merges the pane `sealed`. */
  // hot: per pane
  #mergeNext(
    block: number,
    pane: number,
    fields: Float64Array,
    at: number,
    slots: Int32Array,
    slotAt: number,
  ): void {
    const chunk = this.#chunks[block >> this.#chunkShift]
    const blockAt = this.#at(block)
    chunk[blockAt + NEWEST] = pane
    this.#mergeIn(block, 2 + chunk[blockAt + PLACE], fields, at, slots, slotAt)
  }

  /** Merges a late pane that is in windows which are still open. */
  #mergeLate(
    block: number,
    pane: number,
    fields: Float64Array,
    at: number,
    slots: Int32Array,
    slotAt: number,
  ): void {
    const chunk = this.#chunks[block >> this.#chunkShift]
    const blockAt = this.#at(block)
    const place = chunk[blockAt + PLACE]
    if (pane > chunk[blockAt + NEWEST]) chunk[blockAt + NEWEST] = pane
    const panePlace = place + pane - chunk[blockAt + SEALED]
    if (panePlace >= 0) {
      this.#mergeIn(block, 2 + panePlace, fields, at, slots, slotAt)
      this.#mergeIn(block, 1, fields, at, slots, slotAt)
      return
    }
    for (let k = place + 1; k <= panePlace + this.plan.length; k++) {
      this.#mergeIn(block, 2 + k, fields, at, slots, slotAt)
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
    const shift = this.#chunkShift
    mergeRecord(this.#chunks[block >> shift], this.#at(block) + record * RECORD, fields, at)
    if (this.#extras.count === 0) return
    const intoAt = this.#slotsAt(block) + record * this.#extras.count
    this.#extras.merge(this.#slotChunks[block >> shift], intoAt, slots, slotAt, this.plan.needs)
  }

  #mergeSlots(block: number, into: number, from: number): void {
    const slots = this.#slotChunks[block >> this.#chunkShift]
    const at = this.#slotsAt(block)
    const { count } = this.#extras
    this.#extras.merge(slots, at + into * count, slots, at + from * count, -1)
  }

  #giveSlots(block: number, record: number): void {
    const slots = this.#slotChunks[block >> this.#chunkShift]
    this.#extras.give(slots, this.#slotsAt(block) + record * this.#extras.count)
  }

  #at(block: number): number {
    return (block & ((1 << this.#chunkShift) - 1)) * this.#blockSize
  }

  #slotsAt(block: number): number {
    return (block & ((1 << this.#chunkShift) - 1)) * this.#slotsSize
  }

  /** An empty block for the series; at the bound, another series' windows leave early. */
  #take(one: number, sealed: number): number {
    if (this.count >= this.#blocksMax) this.#evict()
    let block = this.#free
    if (block !== 0) {
      this.#free = this.#chunks[block >> this.#chunkShift][this.#at(block) + NEXT_FREE]
    } else {
      block = ++this.#usedMax
      while (block >> this.#chunkShift >= this.#chunks.length) this.#addChunk()
    }
    this.count++
    this.#blockOf[one] = block
    const chunk = this.#chunks[block >> this.#chunkShift]
    const at = this.#at(block)
    chunk[at + SEALED] = sealed
    chunk[at + NEWEST] = Number.NEGATIVE_INFINITY
    chunk[at + SERIES] = one
    chunk[at + NEXT_FREE] = 0
    chunk[at + PLACE] = modulo(sealed, this.plan.length)
    chunk.fill(0, at + RECORD, at + this.#blockSize)
    return block
  }

  #give(one: number, block: number): void {
    const chunk = this.#chunks[block >> this.#chunkShift]
    const at = this.#at(block)
    if (this.#extras.count > 0) {
      for (let record = 1; record < this.plan.length + 2; record++) this.#giveSlots(block, record)
    }
    chunk[at + SERIES] = -1
    chunk[at + NEXT_FREE] = this.#free
    this.#free = block
    this.#blockOf[one] = 0
    this.count--
  }

  #evict(): void {
    let block = this.#evictNext
    let one = -1
    while (one < 0) {
      if (block > this.#usedMax) block = 1
      one = this.#chunks[block >> this.#chunkShift][this.#at(block) + SERIES]
      block++
    }
    this.#evictNext = block
    this.leave(one)
  }

  #addChunk(): void {
    this.#chunks.push(new Float64Array(this.#blockSize << this.#chunkShift))
    this.#slotChunks.push(new Int32Array(this.#slotsSize << this.#chunkShift))
  }
}

/** Merges a record of which all is later. One with n = 0 is empty, whatever else stands in it. */
// hot: per pane
function joinRecord(records: Float64Array, into: number, later: number): void {
  const n = records[later + N]
  if (n === 0) return
  if (records[into + N] === 0) {
    for (let i = 0; i < RECORD; i++) records[into + i] = records[later + i]
    return
  }
  records[into + N] += n
  records[into + SUM] += records[later + SUM]
  records[into + MIN] = Math.min(records[into + MIN], records[later + MIN])
  records[into + MAX] = Math.max(records[into + MAX], records[later + MAX])
  records[into + LAST] = records[later + LAST]
  records[into + LAST_TS_MS] = records[later + LAST_TS_MS]
}

/** Merges a record that may reach over the same time. */
// hot: per pane
function mergeRecord(into: Float64Array, at: number, from: Float64Array, source: number): void {
  if (from[source + N] === 0) return
  if (into[at + N] === 0) {
    for (let i = 0; i < RECORD; i++) into[at + i] = from[source + i]
    return
  }
  into[at + N] += from[source + N]
  into[at + SUM] += from[source + SUM]
  if (from[source + MIN] < into[at + MIN]) into[at + MIN] = from[source + MIN]
  if (from[source + MAX] > into[at + MAX]) into[at + MAX] = from[source + MAX]
  const firstTs = from[source + FIRST_TS_MS]
  if (
    firstTs < into[at + FIRST_TS_MS] ||
    (firstTs === into[at + FIRST_TS_MS] && from[source + FIRST] < into[at + FIRST])
  ) {
    into[at + FIRST_TS_MS] = firstTs
    into[at + FIRST] = from[source + FIRST]
  }
  const lastTs = from[source + LAST_TS_MS]
  if (
    lastTs > into[at + LAST_TS_MS] ||
    (lastTs === into[at + LAST_TS_MS] && from[source + LAST] > into[at + LAST])
  ) {
    into[at + LAST_TS_MS] = lastTs
    into[at + LAST] = from[source + LAST]
  }
}

/** The remainder that is not negative. */
function modulo(a: number, b: number): number {
  return ((a % b) + b) % b
}

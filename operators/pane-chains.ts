/**
 * The open panes of each series beside its current one, chained in order of (level, start): narrow before
 * wide. One owner: the shard's thread. Invariant: a pane of the pool is in one chain, once.
 *
 * Four int32 a series:  0 head (0 is none)  1 length  2 watched (1 while the series is in a queue)  3 unused
 */
import { assert } from '../base/assert.ts'
import type { StateReader, StateWriter } from '../codecs/state.ts'
import type { PaneExtras } from './pane-extras.ts'
import { PanePool } from './pane-pool.ts'

const STRIDE = 4
const HEAD = 0
const LENGTH = 1
const WATCHED = 2
const CAPACITY_MIN = 1024

export class PaneChains {
  readonly pool: PanePool
  #series = new Int32Array(CAPACITY_MIN * STRIDE)

  constructor(panesMax: number, extras: PaneExtras) {
    this.pool = new PanePool(panesMax, extras)
  }

  head(one: number): number {
    return this.#series[one * STRIDE + HEAD]
  }

  length(one: number): number {
    return this.#series[one * STRIDE + LENGTH]
  }

  isWatched(one: number): boolean {
    return this.#series[one * STRIDE + WATCHED] !== 0
  }

  setWatched(one: number, isWatched: boolean): void {
    this.#series[one * STRIDE + WATCHED] = isWatched ? 1 : 0
  }

  /** Makes room for the series. */
  admit(one: number): void {
    const needed = (one + 1) * STRIDE
    if (needed <= this.#series.length) return
    let size = this.#series.length
    while (size < needed) size *= 2
    const series = new Int32Array(size)
    series.set(this.#series)
    this.#series = series
  }

  /**
   * The series' pane of that level and start, opened if need be; sought in the chain after the pane
   * `previous`, or from its head when that is 0.
   */
  paneAt(one: number, previous: number, level: number, startMs: number): number {
    const pool = this.pool
    let before = previous
    let pane = before === 0 ? this.head(one) : pool.next(before)
    while (pane !== 0 && isBefore(pool, pane, level, startMs)) {
      before = pane
      pane = pool.next(pane)
    }
    if (pane === 0 || pool.level(pane) !== level || pool.startMs(pane) !== startMs) {
      pane = pool.take(level, startMs, pane)
      if (before === 0) this.#series[one * STRIDE + HEAD] = pane
      else pool.setNext(before, pane)
      this.#series[one * STRIDE + LENGTH]++
    }
    return pane
  }

  /** Takes `pane`, which stands after `previous` (0: at the head), out; returns the one behind it. */
  remove(one: number, previous: number, pane: number): number {
    const next = this.pool.next(pane)
    if (previous === 0) this.#series[one * STRIDE + HEAD] = next
    else this.pool.setNext(previous, next)
    this.#series[one * STRIDE + LENGTH]--
    this.pool.give(pane)
    return next
  }

  /** Forgets all panes, keeps the memory. */
  clear(): void {
    this.pool.clear()
    this.#series.fill(0)
  }

  /** The chains of the first `seriesCount` series; no other has one. */
  save(out: StateWriter, seriesCount: number): void {
    out.i32(this.#series, seriesCount * STRIDE)
    this.pool.save(out)
  }

  load(from: StateReader, seriesCount: number): void {
    const series = from.i32()
    assert(series.length === seriesCount * STRIDE, 'state has chains of another number of series')
    if (seriesCount > 0) this.admit(seriesCount - 1)
    this.#series.set(series)
    this.pool.load(from)
    let paneCount = 0
    for (let at = LENGTH; at < series.length; at += STRIDE) paneCount += series[at]
    assert(paneCount === this.pool.count, 'state has other panes than its chains')
  }
}

function isBefore(pool: PanePool, pane: number, level: number, startMs: number): boolean {
  const paneLevel = pool.level(pane)
  return paneLevel < level || (paneLevel === level && pool.startMs(pane) < startMs)
}

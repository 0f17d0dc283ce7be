/**
 * The current pane of each series: the one with its newest event time, where nearly every reading belongs.
 * One owner: the shard's thread. Invariant: its lastTsMs is what the watermark follows.
 *
 * `#hot`, eight doubles a series, one cache line (`npm run bench -- window-layout`):
 *     0 limitMs  1 n  2 sum  3 min  4 max  5 last  6 lastTsMs  7 seenMs (engine time of the last reading)
 *   A reading with lastTsMs < ts < limitMs belongs to the current pane and lets no other pane go: limitMs is
 *   its end, or the event time at which another pane of the series, or a hopping window, is due. Without a current pane, limitMs
 *   and lastTsMs are 0, and n is 0, or -1 when `last` is the newest event time.
 *   seenMs is more than a date can be once the series was silent: QUIET_MS or GONE_MS later (width-family.ts).
 * `#cold`, three doubles a series:  0 startMs  1 first  2 firstTsMs
 * `#slots`: slot numbers of what a pane keeps besides.
 */
import { assert } from '../base/assert.ts'
import type { StateReader, StateWriter } from '../codecs/state.ts'
import type { PaneExtras } from './pane-extras.ts'
import { lowerFirst, PaneField, type PanePool, raiseLast } from './pane-pool.ts'

const HOT_STRIDE = 8
const LIMIT_MS = 0
const N = 1
const SUM = 2
const MIN = 3
const MAX = 4
const LAST = 5
const LAST_TS_MS = 6
const SEEN_MS = 7

const COLD_STRIDE = 3
const START_MS = 0
const FIRST = 1
const FIRST_TS_MS = 2

const CAPACITY_MIN = 1024

export class CurrentPanes {
  /** How many series have a current pane. */
  count = 0
  seriesCount = 0
  engineMs = 0
  /** Only so that the compiler keeps the reads of `touch`. */
  touchedSum = 0
  #hot = new Float64Array(CAPACITY_MIN * HOT_STRIDE)
  #cold = new Float64Array(CAPACITY_MIN * COLD_STRIDE)
  readonly #extras: PaneExtras
  #slots: Int32Array

  constructor(extras: PaneExtras) {
    this.#extras = extras
    this.#slots = new Int32Array(CAPACITY_MIN * extras.count)
  }

  /** Adds rows while each is the next one of its series' current pane; returns the first other, or `end`. */
  // hot: per message
  addRun(series: Int32Array, tsMs: Float64Array, value: Float64Array, start: number, end: number): number {
    const hot = this.#hot
    const { seriesCount, engineMs } = this
    for (let row = start; row < end; row++) {
      const one = series[row]
      if (one >= seriesCount) return row
      const at = one * HOT_STRIDE
      const ts = tsMs[row]
      const x = value[row]
      if (ts > hot[at + LAST_TS_MS] && ts < hot[at + LIMIT_MS] && x - x === 0) {
        hot[at + N] += 1
        hot[at + SUM] += x
        if (x < hot[at + MIN]) hot[at + MIN] = x
        if (x > hot[at + MAX]) hot[at + MAX] = x
        hot[at + LAST] = x
        hot[at + LAST_TS_MS] = ts
        hot[at + SEEN_MS] = engineMs
      } else {
        return row
      }
    }
    return end
  }

  /** Adds the rows to what their series' current panes keep besides. */
  // hot: per message
  addExtras(series: Int32Array, value: Float64Array, start: number, end: number, needs: number): void {
    const extras = this.#extras
    for (let row = start; row < end; row++) {
      extras.add(this.#slots, series[row] * extras.count, value[row], needs)
    }
  }

  /**
   * Reads the records that the next rows need. With nothing to decide in between, the processor waits for
   * many of them at once, where the adding loop waits for one after the other: 24 ns instead of 60 a reading
   * at a million series (`npm run bench -- window-layout`).
   */
  // hot: per message
  touch(series: Int32Array, start: number, end: number): void {
    const hot = this.#hot
    const { seriesCount } = this
    let sum = 0
    for (let row = start; row < end; row++)
      if (series[row] < seriesCount) sum += hot[series[row] * HOT_STRIDE]
    this.touchedSum = sum
  }

  /** Makes room for the series, which is a new one. */
  admit(one: number): void {
    if ((one + 1) * HOT_STRIDE > this.#hot.length) this.#adopt(this.#hot, this.#cold, this.#slots, one + 1)
    this.#cold.fill(0, this.seriesCount * COLD_STRIDE, (one + 1) * COLD_STRIDE)
    this.seriesCount = one + 1
  }

  has(one: number): boolean {
    return this.#hot[one * HOT_STRIDE + N] > 0
  }

  /** True when the pane that starts there is the series' current one. */
  hasAt(one: number, startMs: number): boolean {
    return this.has(one) && this.#cold[one * COLD_STRIDE + START_MS] === startMs
  }

  startMs(one: number): number {
    return this.#cold[one * COLD_STRIDE + START_MS]
  }

  /** The greatest event time; the watermark is the lateness below it. */
  newestMs(one: number): number {
    const at = one * HOT_STRIDE
    const n = this.#hot[at + N]
    return n > 0 ? this.#hot[at + LAST_TS_MS] : n < 0 ? this.#hot[at + LAST] : Number.NEGATIVE_INFINITY
  }

  seenMs(one: number): number {
    return this.#hot[one * HOT_STRIDE + SEEN_MS]
  }

  setSeenMs(one: number, seenMs: number): void {
    this.#hot[one * HOT_STRIDE + SEEN_MS] = seenMs
  }

  /** Without a current pane there is no limit to set. */
  setLimitMs(one: number, limitMs: number): void {
    if (this.has(one)) this.#hot[one * HOT_STRIDE + LIMIT_MS] = limitMs
  }

  lowerLimitMs(one: number, limitMs: number): void {
    const at = one * HOT_STRIDE + LIMIT_MS
    if (this.has(one) && limitMs < this.#hot[at]) this.#hot[at] = limitMs
  }

  /** Adds a reading of the current pane, in any order; true when it passes the limit. */
  add(one: number, ts: number, x: number): boolean {
    const hot = this.#hot
    const cold = this.#cold
    const at = one * HOT_STRIDE
    const coldAt = one * COLD_STRIDE
    hot[at + N] += 1
    hot[at + SUM] += x
    if (x < hot[at + MIN]) hot[at + MIN] = x
    if (x > hot[at + MAX]) hot[at + MAX] = x
    const firstTs = cold[coldAt + FIRST_TS_MS]
    if (ts < firstTs || (ts === firstTs && x < cold[coldAt + FIRST])) {
      cold[coldAt + FIRST_TS_MS] = ts
      cold[coldAt + FIRST] = x
    }
    const lastTs = hot[at + LAST_TS_MS]
    if (ts > lastTs || (ts === lastTs && x > hot[at + LAST])) {
      hot[at + LAST_TS_MS] = ts
      hot[at + LAST] = x
    }
    return ts >= hot[at + LIMIT_MS]
  }

  /** Opens the current pane with its first reading, over what was in the record; sets no limit yet. */
  open(one: number, startMs: number, ts: number, x: number): void {
    const hot = this.#hot
    const cold = this.#cold
    const at = one * HOT_STRIDE
    const coldAt = one * COLD_STRIDE
    if (!(hot[at + N] > 0)) this.count++
    cold[coldAt + START_MS] = startMs
    cold[coldAt + FIRST] = x
    cold[coldAt + FIRST_TS_MS] = ts
    hot[at + N] = 1
    hot[at + SUM] = x
    hot[at + MIN] = x
    hot[at + MAX] = x
    hot[at + LAST] = x
    hot[at + LAST_TS_MS] = ts
  }

  /** Moves the current pane into a pane of the pool. The record stays; `open` or `close` follows. */
  mergeInto(pool: PanePool, pane: number, one: number): void {
    const hot = this.#hot
    const cold = this.#cold
    const at = one * HOT_STRIDE
    const coldAt = one * COLD_STRIDE
    const fields = pool.fields
    const paneAt = pool.offset(pane)
    fields[paneAt + PaneField.n] += hot[at + N]
    fields[paneAt + PaneField.sum] += hot[at + SUM]
    if (hot[at + MIN] < fields[paneAt + PaneField.min]) fields[paneAt + PaneField.min] = hot[at + MIN]
    if (hot[at + MAX] > fields[paneAt + PaneField.max]) fields[paneAt + PaneField.max] = hot[at + MAX]
    lowerFirst(fields, paneAt, cold[coldAt + FIRST_TS_MS], cold[coldAt + FIRST])
    raiseLast(fields, paneAt, hot[at + LAST_TS_MS], hot[at + LAST])
    const { count } = this.#extras
    if (count > 0) this.#extras.move(pool.slots, pool.slotOffset(pane), this.#slots, one * count)
  }

  /** Leaves the series without a current pane, but with its newest event time. */
  close(one: number): void {
    const hot = this.#hot
    const at = one * HOT_STRIDE
    this.count--
    hot[at + LIMIT_MS] = 0
    hot[at + N] = -1
    hot[at + LAST] = hot[at + LAST_TS_MS]
    hot[at + LAST_TS_MS] = 0
  }

  /** Forgets the newest event time of a series without a current pane. */
  forget(one: number): void {
    const at = one * HOT_STRIDE
    this.#hot[at + N] = 0
    this.#hot[at + LAST] = 0
  }

  /** Forgets all series, keeps the memory. Their slots were given back. What `#cold` held is gone when they are admitted again. */
  clear(): void {
    this.#hot.fill(0, 0, this.seriesCount * HOT_STRIDE)
    this.count = 0
    this.seriesCount = 0
  }

  save(out: StateWriter): void {
    out.numbers(this.seriesCount, this.count, this.engineMs)
    out.f64(this.#hot, this.seriesCount * HOT_STRIDE)
    out.f64(this.#cold, this.seriesCount * COLD_STRIDE)
    out.i32(this.#slots, this.seriesCount * this.#extras.count)
  }

  load(from: StateReader): void {
    const [seriesCount, count, engineMs] = from.numbers(3)
    const hot = from.f64()
    const cold = from.f64()
    const slots = from.i32()
    assert(hot.length === seriesCount * HOT_STRIDE, 'state has another number of series')
    assert(cold.length === seriesCount * COLD_STRIDE, 'state has another number of series')
    assert(slots.length === seriesCount * this.#extras.count, 'state has another number of slots')
    assert(count <= seriesCount, 'state has more current panes than series')
    this.#adopt(hot, cold, slots, seriesCount)
    this.seriesCount = seriesCount | 0
    this.count = count | 0
    this.engineMs = engineMs
  }

  /** Takes over the records with room for `seriesMax` series and some more. */
  #adopt(hot: Float64Array, cold: Float64Array, slots: Int32Array, seriesMax: number): void {
    let capacity = CAPACITY_MIN
    while (capacity < seriesMax) capacity *= 2
    this.#hot = new Float64Array(capacity * HOT_STRIDE)
    this.#cold = new Float64Array(capacity * COLD_STRIDE)
    this.#hot.set(hot)
    this.#slots = new Int32Array(capacity * this.#extras.count)
    this.#slots.set(slots)
    this.#cold.set(cold)
  }
}

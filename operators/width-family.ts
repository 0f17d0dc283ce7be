/**
 * Tumbling windows of one base width and the wider ones fed from it. Each series has a current pane, the one with its
 * newest event time, in a record of one cache line; its other open panes are chained in a pool, ordered by (level, start).
 * One owner: the shard's thread. Invariants: a reading is in exactly one pane of the base width; a pane hands what it
 * holds to the wider panes once, when it leaves; the current pane holds the newest event time, so it never lags behind it.
 *
 * `#hot`, eight doubles a series:  0 limitMs  1 n  2 sum  3 min  4 max  5 last  6 lastTsMs  7 seenMs
 *   A reading with lastTsMs < ts < limitMs belongs to the current pane and lets no other pane go: limitMs is the end of
 *   the current pane, or the event time at which another one is due. Zeros are a series without a current pane.
 * `#cold`, six doubles a series:   0 startMs  1 first  2 firstTsMs  3 newestMs, when there is no current pane
 *                                  4 int32 head of the chain, int32 its length  5 int32 flags, int32 unused
 */
import { assert } from '../base/assert.ts'
import { lowerFirst, PaneField, PanePool, raiseLast } from './pane-pool.ts'
import type { PaneRows } from './pane-rows.ts'
import { SeriesQueue } from './series-queue.ts'
import type { WidthFamilyPlan } from './width-plan.ts'

const HOT_STRIDE = 8
const LIMIT_MS = 0
const N = 1
const SUM = 2
const MIN = 3
const MAX = 4
const LAST = 5
const LAST_TS_MS = 6
const SEEN_MS = 7

const COLD_STRIDE = 6
const START_MS = 0
const FIRST = 1
const FIRST_TS_MS = 2
const NEWEST_MS = 3
const INT_HEAD = 8
const INT_CHAIN_LENGTH = 9
const INT_FLAGS = 10

const FLAG_HAS_NEWEST = 1
const FLAG_IS_WATCHED = 2

/** Which panes of a series a call lets go: those the watermark passed; these and ahead ones left alone; all. */
const Release = { due: 0, stale: 1, all: 2 } as const
type Release = (typeof Release)[keyof typeof Release]

/** The range of a JavaScript date. Other times are no times. */
const TS_MS_MAX = 8.64e15
const SWEEP_SERIES_MAX = 262_144
const TICK_ROWS_MAX = 65_536
/** Panes that late and ahead readings may hold open in one series, beside those that lateness does. */
const STRAY_PANES_MAX = 64

export interface FamilySettings {
  latenessMs: number
  idleTimeoutMs: number
  panesMax: number
}

export class WidthFamily {
  lateCount = 0
  aheadCount = 0
  skippedCount = 0
  readonly #plan: WidthFamilyPlan
  readonly #settings: FamilySettings
  readonly #baseMs: number
  readonly #chainLengthMax: number
  readonly #closed: PaneRows
  readonly #pool = new PanePool()
  /** Series with late or ahead panes, which `tick` looks after. */
  readonly #watched = new SeriesQueue()
  #hot = new Float64Array(1024 * HOT_STRIDE)
  #cold = new Float64Array(1024 * COLD_STRIDE)
  #ints = new Int32Array(this.#cold.buffer)
  #seriesCount = 0
  #currentCount = 0
  #sweepNext = 0
  #evictNext = 0
  #flushNext = 0
  #engineMs = 0
  #aheadLimitMs = 0

  constructor(plan: WidthFamilyPlan, settings: FamilySettings, closed: PaneRows) {
    this.#plan = plan
    this.#settings = settings
    this.#closed = closed
    this.#baseMs = plan.widthsMs[0]
    const chainLengths = plan.widthsMs.map((width) => Math.ceil(settings.latenessMs / width) + 2)
    this.#chainLengthMax = chainLengths.reduce((sum, length) => sum + length, STRAY_PANES_MAX)
  }

  get openCount(): number {
    return this.#currentCount + this.#pool.count
  }

  get seriesCount(): number {
    return this.#seriesCount
  }

  // hot: per message
  push(
    series: Int32Array,
    tsMs: Float64Array,
    value: Float64Array,
    start: number,
    end: number,
    aheadLimitMs: number,
    engineMs: number,
  ): void {
    this.#aheadLimitMs = aheadLimitMs
    this.#engineMs = engineMs
    let seriesCount = this.#seriesCount
    let hot = this.#hot
    for (let row = start; row < end; row++) {
      const one = series[row]
      if (one >= seriesCount) {
        this.#admit(one)
        seriesCount = this.#seriesCount
        hot = this.#hot
      }
      const at = one * HOT_STRIDE
      const ts = tsMs[row]
      const x = value[row]
      if (ts > hot[at + LAST_TS_MS] && ts < hot[at + LIMIT_MS] && ts <= aheadLimitMs && x - x === 0) {
        hot[at + N] += 1
        hot[at + SUM] += x
        if (x < hot[at + MIN]) hot[at + MIN] = x
        if (x > hot[at + MAX]) hot[at + MAX] = x
        hot[at + LAST] = x
        hot[at + LAST_TS_MS] = ts
        hot[at + SEEN_MS] = engineMs
      } else {
        this.#pushAside(one, tsMs, value, row)
      }
    }
  }

  /**
   * Lets stale panes go: late ones, ahead ones that got no reading for the idle timeout, and all of a series that got none.
   * The work of one call is bounded; what is left over comes with the next.
   */
  tick(engineMs: number): void {
    this.#engineMs = engineMs
    let rowsMax = this.#closed.count + TICK_ROWS_MAX
    for (let left = this.#watched.length; left > 0 && this.#closed.count < rowsMax; left--) {
      const one = this.#watched.take()
      this.#ints[one * COLD_STRIDE * 2 + INT_FLAGS] &= ~FLAG_IS_WATCHED
      if (this.#release(one, Release.stale)) this.#watch(one)
    }
    rowsMax = this.#closed.count + TICK_ROWS_MAX
    const seenMsMax = engineMs - this.#settings.idleTimeoutMs
    const hot = this.#hot
    let left = Math.min(this.#seriesCount, SWEEP_SERIES_MAX)
    for (; left > 0 && this.#closed.count < rowsMax; left--) {
      const one = this.#sweepNext
      this.#sweepNext = one + 1 === this.#seriesCount ? 0 : one + 1
      if (hot[one * HOT_STRIDE + SEEN_MS] <= seenMsMax) this.#leave(one)
    }
  }

  /** Lets panes go, series by series, until there are `rowsMax` rows; true once all have left and the family is as new. */
  flush(rowsMax: number): boolean {
    for (; this.#flushNext < this.#seriesCount; this.#flushNext++) {
      if (this.#closed.count >= rowsMax) return false
      this.#leave(this.#flushNext)
    }
    assert(this.openCount === 0, 'a pane stayed open through a flush')
    this.#hot.fill(0, 0, this.#seriesCount * HOT_STRIDE)
    this.#cold.fill(0, 0, this.#seriesCount * COLD_STRIDE)
    this.#pool.clear()
    this.#watched.clear()
    this.#seriesCount = 0
    this.#sweepNext = 0
    this.#evictNext = 0
    this.#flushNext = 0
    return true
  }

  /** A reading that is not simply the next one of the current pane. */
  #pushAside(one: number, tsMs: Float64Array, value: Float64Array, row: number): void {
    assert(one >= 0, 'a series number is negative')
    const ts = tsMs[row]
    if (value[row] - value[row] !== 0 || !(Math.abs(ts) <= TS_MS_MAX)) {
      this.skippedCount++
      return
    }
    while (this.#pool.count >= this.#settings.panesMax) this.#evict()
    this.#hot[one * HOT_STRIDE + SEEN_MS] = this.#engineMs
    const startMs = startOfPane(ts, this.#baseMs)
    const newestMs = this.#newestMs(one)
    if (ts > this.#aheadLimitMs) {
      this.aheadCount++
      this.#addBeside(one, startMs, tsMs, value, row)
      this.#watch(one)
    } else if (this.#hasCurrent(one) && startMs === this.#cold[one * COLD_STRIDE + START_MS]) {
      this.#addToCurrent(one, ts, value[row])
    } else if (ts > newestMs) {
      this.#advance(one, startMs, ts, value[row])
    } else {
      this.#addBeside(one, startMs, tsMs, value, row)
      if (startMs + this.#baseMs + this.#settings.latenessMs <= newestMs) {
        this.lateCount++
        this.#watch(one)
      }
    }
  }

  #addToCurrent(one: number, ts: number, x: number): void {
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
      if (ts >= hot[at + LIMIT_MS]) this.#release(one, Release.due)
    }
  }

  /** Adds the reading in row `row` to a pane of the chain. */
  #addBeside(one: number, startMs: number, tsMs: Float64Array, value: Float64Array, row: number): void {
    const chainAt = one * COLD_STRIDE * 2 + INT_CHAIN_LENGTH
    if (this.#ints[chainAt] >= this.#chainLengthMax) {
      this.#release(one, Release.due)
      if (this.#ints[chainAt] >= this.#chainLengthMax) this.#release(one, Release.all)
    }
    this.#pool.addReading(this.#paneAt(one, 0, 0, startMs), tsMs, value, row)
    const at = one * HOT_STRIDE
    const dueMs = startMs + this.#baseMs + this.#settings.latenessMs
    if (dueMs > this.#hot[at + LAST_TS_MS] && dueMs < this.#hot[at + LIMIT_MS])
      this.#hot[at + LIMIT_MS] = dueMs
  }

  /** Opens a new current pane with the reading that is the series' newest; lets go what is due by it. */
  #advance(one: number, startMs: number, ts: number, x: number): void {
    if (this.#hasCurrent(one)) this.#shelve(one)
    else this.#currentCount++
    const hot = this.#hot
    const cold = this.#cold
    const at = one * HOT_STRIDE
    const coldAt = one * COLD_STRIDE
    cold[coldAt + START_MS] = startMs
    cold[coldAt + FIRST] = x
    cold[coldAt + FIRST_TS_MS] = ts
    hot[at + N] = 1
    hot[at + SUM] = x
    hot[at + MIN] = x
    hot[at + MAX] = x
    hot[at + LAST] = x
    hot[at + LAST_TS_MS] = ts
    this.#release(one, Release.due)
  }

  /** Moves the current pane into the chain, merging it with what ahead readings of its window have left there. */
  #shelve(one: number): void {
    const hot = this.#hot
    const cold = this.#cold
    const at = one * HOT_STRIDE
    const coldAt = one * COLD_STRIDE
    const pane = this.#paneAt(one, 0, 0, cold[coldAt + START_MS])
    const fields = this.#pool.fields
    const paneAt = this.#pool.offset(pane)
    fields[paneAt + PaneField.n] += hot[at + N]
    fields[paneAt + PaneField.sum] += hot[at + SUM]
    if (hot[at + MIN] < fields[paneAt + PaneField.min]) fields[paneAt + PaneField.min] = hot[at + MIN]
    if (hot[at + MAX] > fields[paneAt + PaneField.max]) fields[paneAt + PaneField.max] = hot[at + MAX]
    lowerFirst(fields, paneAt, cold[coldAt + FIRST_TS_MS], cold[coldAt + FIRST])
    raiseLast(fields, paneAt, hot[at + LAST_TS_MS], hot[at + LAST])
  }

  /** Lets all panes of a series go; keeps its watermark. */
  #leave(one: number): void {
    const at = one * HOT_STRIDE
    if (this.#hasCurrent(one)) {
      this.#cold[one * COLD_STRIDE + NEWEST_MS] = this.#hot[at + LAST_TS_MS]
      this.#ints[one * COLD_STRIDE * 2 + INT_FLAGS] |= FLAG_HAS_NEWEST
      this.#shelve(one)
      this.#hot.fill(0, at, at + HOT_STRIDE)
      this.#currentCount--
    }
    this.#release(one, Release.all)
    this.#hot[at + SEEN_MS] = Number.POSITIVE_INFINITY
  }

  /** Lets panes of the chain go, narrow before wide, and sets the limit anew. True when panes ahead of the newest remain. */
  #release(one: number, which: Release): boolean {
    const pool = this.#pool
    const { widthsMs, windows } = this.#plan
    const { latenessMs } = this.#settings
    const newestMs = this.#newestMs(one)
    let limitMs = this.#cold[one * COLD_STRIDE + START_MS] + this.#baseMs
    let areAheadLeft = false
    let previous = 0
    let pane = this.#ints[one * COLD_STRIDE * 2 + INT_HEAD]
    while (pane !== 0) {
      const level = pool.level(pane)
      const startMs = pool.startMs(pane)
      const dueMs = startMs + widthsMs[level] + latenessMs
      if (
        which === Release.all ||
        dueMs <= newestMs ||
        (which === Release.stale && startMs > newestMs && this.#isLeftAlone(pane))
      ) {
        this.#feed(one, pane, level)
        this.#closed.append(one, windows[level], pool, pane)
        pane = this.#unchain(one, previous, pane)
        continue
      }
      if (dueMs < limitMs) limitMs = dueMs
      if (startMs > newestMs) areAheadLeft = true
      previous = pane
      pane = pool.next(pane)
    }
    if (this.#hasCurrent(one)) this.#hot[one * HOT_STRIDE + LIMIT_MS] = limitMs
    return areAheadLeft
  }

  #isLeftAlone(pane: number): boolean {
    const touchedMs = this.#pool.fields[this.#pool.offset(pane) + PaneField.touchedMs]
    return touchedMs + this.#settings.idleTimeoutMs <= this.#engineMs
  }

  /** Merges a pane that leaves into the wider ones it feeds. They stand behind it in the chain. */
  #feed(one: number, pane: number, level: number): void {
    const { children, widthsMs } = this.#plan
    for (let i = 0; i < children[level].length; i++) {
      const wider = children[level][i]
      const startMs = startOfPane(this.#pool.startMs(pane), widthsMs[wider])
      const widerPane = this.#paneAt(one, pane, wider, startMs)
      this.#pool.addPane(widerPane, pane)
    }
  }

  /** The series' pane of that level and start, opened if need be; sought in the chain after `previous`, 0 for its head. */
  #paneAt(one: number, previous: number, level: number, startMs: number): number {
    const pool = this.#pool
    const intAt = one * COLD_STRIDE * 2
    let before = previous
    let pane = before === 0 ? this.#ints[intAt + INT_HEAD] : pool.next(before)
    while (
      pane !== 0 &&
      (pool.level(pane) < level || (pool.level(pane) === level && pool.startMs(pane) < startMs))
    ) {
      before = pane
      pane = pool.next(pane)
    }
    if (pane === 0 || pool.level(pane) !== level || pool.startMs(pane) !== startMs) {
      pane = pool.take(level, startMs, pane)
      if (before === 0) this.#ints[intAt + INT_HEAD] = pane
      else pool.setNext(before, pane)
      this.#ints[intAt + INT_CHAIN_LENGTH]++
    }
    pool.fields[pool.offset(pane) + PaneField.touchedMs] = this.#engineMs
    return pane
  }

  /** Takes the pane after `previous` out of the chain and returns the one behind it. */
  #unchain(one: number, previous: number, pane: number): number {
    const intAt = one * COLD_STRIDE * 2
    const next = this.#pool.next(pane)
    if (previous === 0) this.#ints[intAt + INT_HEAD] = next
    else this.#pool.setNext(previous, next)
    this.#ints[intAt + INT_CHAIN_LENGTH]--
    this.#pool.give(pane)
    return next
  }

  /** Makes room in a full pool: the chain of the next series in turn leaves as partial rows. */
  #evict(): void {
    for (;;) {
      const one = this.#evictNext
      this.#evictNext = one + 1 === this.#seriesCount ? 0 : one + 1
      if (this.#ints[one * COLD_STRIDE * 2 + INT_HEAD] === 0) continue
      this.#release(one, Release.all)
      return
    }
  }

  #watch(one: number): void {
    const at = one * COLD_STRIDE * 2 + INT_FLAGS
    if ((this.#ints[at] & FLAG_IS_WATCHED) !== 0) return
    this.#ints[at] |= FLAG_IS_WATCHED
    this.#watched.append(one)
  }

  #hasCurrent(one: number): boolean {
    return this.#hot[one * HOT_STRIDE + N] > 0
  }

  /** The greatest event time that was not ahead of its arrival; the watermark is the lateness below it. */
  #newestMs(one: number): number {
    if (this.#hasCurrent(one)) return this.#hot[one * HOT_STRIDE + LAST_TS_MS]
    const hasNewest = (this.#ints[one * COLD_STRIDE * 2 + INT_FLAGS] & FLAG_HAS_NEWEST) !== 0
    return hasNewest ? this.#cold[one * COLD_STRIDE + NEWEST_MS] : Number.NEGATIVE_INFINITY
  }

  #admit(one: number): void {
    let capacity = this.#hot.length / HOT_STRIDE
    while (capacity <= one) capacity *= 2
    if (capacity * HOT_STRIDE > this.#hot.length) {
      const hot = new Float64Array(capacity * HOT_STRIDE)
      const cold = new Float64Array(capacity * COLD_STRIDE)
      hot.set(this.#hot)
      cold.set(this.#cold)
      this.#hot = hot
      this.#cold = cold
      this.#ints = new Int32Array(cold.buffer)
    }
    this.#seriesCount = one + 1
  }
}

/** The greatest multiple of the width that is not above `ts`. The quotient may have been rounded up to a whole number. */
function startOfPane(ts: number, widthMs: number): number {
  const startMs = Math.floor(ts / widthMs) * widthMs
  return startMs > ts ? startMs - widthMs : startMs + 0
}

/**
 * Tumbling windows of one base width and the wider ones fed from it. One owner: the shard's thread.
 * Invariants: a reading is in exactly one pane of the base width, the current one of its series or one in its
 * chain; a pane hands what it holds to the wider panes once, when it leaves.
 */
import { assert } from '../base/assert.ts'
import type { StateReader, StateWriter } from '../codecs/state.ts'
import { CurrentPanes } from './current-panes.ts'
import { PaneChains } from './pane-chains.ts'
import { PaneField } from './pane-pool.ts'
import type { PaneRows } from './pane-rows.ts'
import { SeriesQueue } from './series-queue.ts'
import type { WidthFamilyPlan } from './width-plan.ts'

/** Which panes of a chain a call lets go: those that are due; these and ahead ones left alone; all. */
const Release = { due: 0, stale: 1, all: 2 } as const
type Release = (typeof Release)[keyof typeof Release]

/** The range of a JavaScript date. Other times are no times. */
const TS_MS_MAX = 8.64e15
/** Records touched ahead of their use, and the number of series up to which the caches hold them anyway. */
const BLOCK_ROWS = 96
const CACHED_SERIES_MAX = 16_384
/** A tick's bounds: series that it looks at, rows that it lets go for staleness and for silence each. */
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
  readonly #current = new CurrentPanes()
  readonly #chains: PaneChains
  /** Series with late or ahead panes, which `tick` looks after. */
  readonly #watched = new SeriesQueue()
  #sweepNext = 0
  #evictNext = 0
  #flushNext = 0

  constructor(plan: WidthFamilyPlan, settings: FamilySettings, closed: PaneRows) {
    this.#plan = plan
    this.#settings = settings
    this.#closed = closed
    this.#chains = new PaneChains(settings.panesMax)
    this.#baseMs = plan.widthsMs[0]
    const chainLengths = plan.widthsMs.map((width) => Math.ceil(settings.latenessMs / width) + 2)
    this.#chainLengthMax = chainLengths.reduce((sum, length) => sum + length, STRAY_PANES_MAX)
  }

  get openCount(): number {
    return this.#current.count + this.#chains.pool.count
  }

  get seriesCount(): number {
    return this.#current.seriesCount
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
    const current = this.#current
    current.aheadLimitMs = aheadLimitMs
    current.engineMs = engineMs
    let row = start
    while (row < end) {
      const blockEnd = Math.min(end, row + BLOCK_ROWS)
      if (current.seriesCount > CACHED_SERIES_MAX) current.touch(series, row, blockEnd)
      row = current.addRun(series, tsMs, value, row, blockEnd)
      for (; row < blockEnd; row = current.addRun(series, tsMs, value, row + 1, blockEnd)) {
        this.#addAside(series[row], tsMs, value, row)
      }
    }
  }

  /**
   * Lets stale panes go: late ones, ahead ones that got no reading for the idle timeout, and all of a series
   * that got none. The work of one call is bounded; what is left over comes with the next.
   */
  tick(engineMs: number): void {
    const current = this.#current
    current.engineMs = engineMs
    let rowsMax = this.#closed.count + TICK_ROWS_MAX
    for (let left = this.#watched.length; left > 0 && this.#closed.count < rowsMax; left--) {
      const one = this.#watched.take()
      this.#chains.setWatched(one, false)
      if (this.#release(one, Release.stale)) this.#watch(one)
    }
    rowsMax = this.#closed.count + TICK_ROWS_MAX
    const seenMsMax = engineMs - this.#settings.idleTimeoutMs
    let left = Math.min(current.seriesCount, SWEEP_SERIES_MAX)
    for (; left > 0 && this.#closed.count < rowsMax; left--) {
      const one = this.#sweepNext
      this.#sweepNext = one + 1 === current.seriesCount ? 0 : one + 1
      if (current.seenMs(one) <= seenMsMax) this.#leave(one)
    }
  }

  /** Lets panes go, series by series, to `rowsMax` rows; true once all have left and the family is as new. */
  flush(rowsMax: number): boolean {
    for (; this.#flushNext < this.#current.seriesCount; this.#flushNext++) {
      if (this.#closed.count >= rowsMax) return false
      this.#leave(this.#flushNext)
    }
    assert(this.openCount === 0, 'a pane stayed open through a flush')
    this.#current.clear()
    this.#chains.clear()
    this.#watched.clear()
    this.#sweepNext = 0
    this.#evictNext = 0
    this.#flushNext = 0
    return true
  }

  save(out: StateWriter): void {
    out.numbers(this.lateCount, this.aheadCount, this.skippedCount)
    out.numbers(this.#sweepNext, this.#evictNext, this.#flushNext)
    this.#current.save(out)
    this.#watched.save(out)
    this.#chains.save(out, this.#current.seriesCount)
  }

  /** Integers come as doubles; `| 0` here and below keeps them integers to the compiler. */
  load(from: StateReader): void {
    const [lateCount, aheadCount, skippedCount] = from.numbers(3)
    const [sweepNext, evictNext, flushNext] = from.numbers(3)
    this.#current.load(from)
    this.#watched.load(from)
    const { seriesCount } = this.#current
    this.#chains.load(from, seriesCount)
    const seriesLast = Math.max(0, seriesCount - 1)
    assert(sweepNext <= seriesLast && evictNext <= seriesLast, 'state has a cursor past the last series')
    assert(flushNext <= seriesCount, 'state has a flush past the last series')
    assert(this.#watched.length <= seriesCount, 'state watches more series than there are')
    this.lateCount = lateCount
    this.aheadCount = aheadCount
    this.skippedCount = skippedCount
    this.#sweepNext = sweepNext | 0
    this.#evictNext = evictNext | 0
    this.#flushNext = flushNext | 0
  }

  /** A reading that is not simply the next one of the current pane. */
  #addAside(one: number, tsMs: Float64Array, value: Float64Array, row: number): void {
    if (one >= this.#current.seriesCount) {
      this.#current.admit(one)
      this.#chains.admit(one)
    }
    const ts = tsMs[row]
    const x = value[row]
    if (x - x !== 0 || !(Math.abs(ts) <= TS_MS_MAX)) {
      this.skippedCount++
      return
    }
    assert(one >= 0, 'a series number is negative')
    const current = this.#current
    while (this.#chains.pool.count >= this.#settings.panesMax) this.#evict()
    current.setSeenMs(one, current.engineMs)
    const startMs = startOfPane(ts, this.#baseMs)
    const newestMs = current.newestMs(one)
    if (ts > current.aheadLimitMs) {
      this.aheadCount++
      this.#addToChain(one, startMs, tsMs, value, row)
      this.#watch(one)
    } else if (current.hasAt(one, startMs)) {
      if (current.add(one, ts, x)) this.#release(one, Release.due)
    } else if (ts > newestMs) {
      if (current.has(one)) this.#shelve(one)
      current.open(one, startMs, ts, x)
      this.#release(one, Release.due)
    } else {
      this.#addToChain(one, startMs, tsMs, value, row)
      if (startMs + this.#baseMs + this.#settings.latenessMs <= newestMs) {
        this.lateCount++
        this.#watch(one)
      }
    }
  }

  #addToChain(one: number, startMs: number, tsMs: Float64Array, value: Float64Array, row: number): void {
    const current = this.#current
    const chains = this.#chains
    if (chains.length(one) >= this.#chainLengthMax) {
      this.#release(one, Release.due)
      if (chains.length(one) >= this.#chainLengthMax) this.#release(one, Release.all)
    }
    const pane = chains.paneAt(one, 0, 0, startMs, current.engineMs)
    chains.pool.addReading(pane, tsMs, value, row)
    const dueMs = startMs + this.#baseMs + this.#settings.latenessMs
    if (dueMs > current.newestMs(one)) current.lowerLimitMs(one, dueMs)
  }

  /** Moves the current pane into the chain, to what ahead readings may have left there of the same window. */
  #shelve(one: number): void {
    const startMs = this.#current.startMs(one)
    const pane = this.#chains.paneAt(one, 0, 0, startMs, this.#current.engineMs)
    this.#current.mergeInto(this.#chains.pool, pane, one)
  }

  /** Lets all panes of a series go; keeps its watermark. */
  #leave(one: number): void {
    if (this.#current.has(one)) {
      this.#shelve(one)
      this.#current.close(one)
    }
    this.#release(one, Release.all)
    this.#current.setSeenMs(one, Number.POSITIVE_INFINITY)
  }

  /**
   * Lets panes of the chain go, narrow before wide, and sets the limit anew. True when panes remain that lie
   * ahead of the newest event time.
   */
  #release(one: number, which: Release): boolean {
    const { pool } = this.#chains
    const { widthsMs, windows } = this.#plan
    const { latenessMs } = this.#settings
    const newestMs = this.#current.newestMs(one)
    let limitMs = this.#current.startMs(one) + this.#baseMs
    let areAheadLeft = false
    let previous = 0
    let pane = this.#chains.head(one)
    while (pane !== 0) {
      const level = pool.level(pane)
      const startMs = pool.startMs(pane)
      const dueMs = startMs + widthsMs[level] + latenessMs
      const isAhead = startMs > newestMs
      if (
        which === Release.all ||
        dueMs <= newestMs ||
        (which === Release.stale && isAhead && this.#isLeftAlone(pane))
      ) {
        this.#feed(one, pane, level)
        this.#closed.append(one, windows[level], pool, pane)
        pane = this.#chains.remove(one, previous, pane)
        continue
      }
      if (dueMs < limitMs) limitMs = dueMs
      if (isAhead) areAheadLeft = true
      previous = pane
      pane = pool.next(pane)
    }
    this.#current.setLimitMs(one, limitMs)
    return areAheadLeft
  }

  #isLeftAlone(pane: number): boolean {
    const { pool } = this.#chains
    const touchedMs = pool.fields[pool.offset(pane) + PaneField.touchedMs]
    return touchedMs + this.#settings.idleTimeoutMs <= this.#current.engineMs
  }

  /** Merges a pane that leaves into the wider ones it feeds. They stand behind it in the chain. */
  #feed(one: number, pane: number, level: number): void {
    const { children, widthsMs } = this.#plan
    const { pool } = this.#chains
    for (let i = 0; i < children[level].length; i++) {
      const wider = children[level][i]
      const startMs = startOfPane(pool.startMs(pane), widthsMs[wider])
      pool.addPane(this.#chains.paneAt(one, pane, wider, startMs, this.#current.engineMs), pane)
    }
  }

  /** Makes room in a full pool: the chain of the next series in turn leaves as partial rows. */
  #evict(): void {
    let one = this.#evictNext
    while (this.#chains.head(one) === 0) one = one + 1 === this.#current.seriesCount ? 0 : one + 1
    this.#release(one, Release.all)
    this.#evictNext = one
  }

  #watch(one: number): void {
    if (this.#chains.isWatched(one)) return
    this.#chains.setWatched(one, true)
    this.#watched.append(one)
  }
}

/** The greatest multiple of the width, in ms, not above `ts`; the inner floor is for times like -5e-324. */
function startOfPane(ts: number, widthMs: number): number {
  return Math.floor(Math.floor(ts) / widthMs) * widthMs + 0
}

/**
 * Windows of one base level and the wider ones fed from it. One owner: the shard's thread. Invariants: a reading is in exactly one
 * pane of the base level, the current one of its series or one in its chain; a pane hands what it holds to the wider panes and the
 * hopping windows once, when it leaves.
 */
import { assert } from '../base/assert.ts'
import type { StateReader, StateWriter } from '../codecs/state.ts'
import { CurrentPanes } from './current-panes.ts'
import { HoppingPanes } from './hopping-panes.ts'
import { PaneChains } from './pane-chains.ts'
import type { PaneExtras } from './pane-extras.ts'
import { PaneField } from './pane-pool.ts'
import type { PaneRows } from './pane-rows.ts'
import { SeriesQueue } from './series-queue.ts'
import type { FamilyPlan, Level } from './window-plan.ts'

/**
 * Which panes of a chain a call lets go: those that are due; those of a series that is silent; all; those of one level, which is
 * added to `early`.
 */
const Release = { due: 0, silent: 1, all: 2, early: 3 } as const
type Release = number

/** The range of a JavaScript date. Other times are no times. */
const TS_MS_MAX = 8.64e15
/** Records touched ahead of their use, and the number of series up to which the caches hold them anyway. */
const BLOCK_ROWS = 96
const CACHED_SERIES_MAX = 16_384
/**
 * A tick's bounds: series that it looks at, those among them that are silent and hold something, and rows that it lets go for each
 * reason.
 */
const SWEEP_SERIES_MAX = 262_144
const SWEEP_QUIET_MAX = 65_536
const TICK_ROWS_MAX = 65_536
/** Panes that late readings may hold open in one series, beside those that lateness does. */
const STRAY_PANES_MAX = 64
/** Added to the engine time of the last reading of a series that is silent and holds wide panes, or nothing but its watermark. */
const QUIET_MS = 2e15
const GONE_MS = 4e15

export interface FamilySettings {
  latenessMs: number
  idleTimeoutMs: number
  forgetAfterMs: number
  panesMax: number
  hoppingPanesMax: number
}

/** Open panes of a level, or hopping windows, that leave every so often. */
interface EarlyResults {
  level: number
  hopping: HoppingPanes | null
  everyMs: number
  dueMs: number
  /** The series that it comes to next; -1 between the times. */
  next: number
}

export class WidthFamily {
  lateCount = 0
  skippedCount = 0
  readonly #levels: readonly Level[]
  readonly #settings: FamilySettings
  readonly #chainLengthMax: number
  readonly #closed: PaneRows
  /** Extras of the base level. */
  readonly #needs: number
  readonly #current: CurrentPanes
  readonly #chains: PaneChains
  readonly #hoppings: readonly HoppingPanes[]
  /** Panes of these levels stay open when their series is silent, till its time would have passed their end. */
  readonly #areWide: readonly boolean[]
  readonly #earlies: EarlyResults[] = []
  /** Series with late panes, which `tick` looks after. */
  readonly #watched = new SeriesQueue()
  #sweepNext = 0
  #evictNext = 0
  #flushNext = 0

  constructor(plan: FamilyPlan, settings: FamilySettings, closed: PaneRows, extras: PaneExtras) {
    const { levels, hoppings } = plan
    this.#levels = levels
    this.#settings = settings
    this.#closed = closed
    this.#needs = levels[0].needs
    this.#current = new CurrentPanes(extras)
    this.#chains = new PaneChains(settings.panesMax, extras)
    this.#hoppings = hoppings.map((one) => new HoppingPanes(one, settings.hoppingPanesMax, closed, extras))
    this.#areWide = levels.map(({ widthMs }) => widthMs > 60_000 && widthMs > 2 * settings.idleTimeoutMs)
    const chainLengths = levels.map(({ widthMs, cuts }) => {
      return (Math.ceil(settings.latenessMs / widthMs) + 2) * (1 + cuts.length)
    })
    this.#chainLengthMax = chainLengths.reduce((sum, length) => sum + length, STRAY_PANES_MAX)
    for (const [level, { earlyMs }] of levels.entries()) this.#addEarly(level, null, earlyMs)
    for (const hopping of this.#hoppings) this.#addEarly(-1, hopping, hopping.plan.earlyMs)
  }

  #addEarly(level: number, hopping: HoppingPanes | null, everyMs: number): void {
    if (everyMs === Number.POSITIVE_INFINITY) return
    this.#earlies.push({ level, hopping, everyMs, dueMs: Number.NEGATIVE_INFINITY, next: -1 })
  }

  get openCount(): number {
    const hoppingCount = this.#hoppings.reduce((sum, { count }) => sum + count, 0)
    return this.#current.count + this.#chains.pool.count + hoppingCount
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
    engineMs: number,
  ): void {
    const current = this.#current
    const needs = this.#needs
    current.engineMs = engineMs
    let row = start
    while (row < end) {
      const blockEnd = Math.min(end, row + BLOCK_ROWS)
      if (current.seriesCount > CACHED_SERIES_MAX) current.touch(series, row, blockEnd)
      while (row < blockEnd) {
        const next = current.addRun(series, tsMs, value, row, blockEnd)
        if (needs !== 0) current.addExtras(series, value, row, next, needs)
        row = next
        if (row < blockEnd) this.#addAside(series[row], series, tsMs, value, row++)
      }
    }
  }

  /**
   * Lets stale panes go: late ones, those of a series that got no reading for the idle timeout, and early results. The work of one call is bounded; what is left over comes with the next.
   */
  tick(engineMs: number): void {
    const current = this.#current
    current.engineMs = engineMs
    const rowsMax = this.#closed.count + TICK_ROWS_MAX
    for (let left = this.#watched.length; left > 0 && this.#closed.count < rowsMax; left--) {
      const one = this.#watched.take()
      this.#chains.setWatched(one, false)
      this.#release(one, Release.due)
    }
    this.#sweep(engineMs)
    for (const early of this.#earlies) this.#letGoEarly(early, engineMs)
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
    for (const hopping of this.#hoppings) hopping.clear()
    for (const early of this.#earlies) {
      early.dueMs = Number.NEGATIVE_INFINITY
      early.next = -1
    }
    this.#sweepNext = 0
    this.#evictNext = 0
    this.#flushNext = 0
    return true
  }

  save(out: StateWriter): void {
    out.numbers(this.lateCount, this.skippedCount)
    out.numbers(this.#sweepNext, this.#evictNext, this.#flushNext)
    out.numbers(...this.#earlies.flatMap(({ dueMs, next }) => [dueMs, next]))
    this.#current.save(out)
    this.#watched.save(out)
    this.#chains.save(out, this.#current.seriesCount)
    for (const hopping of this.#hoppings) hopping.save(out, this.#current.seriesCount)
  }

  /** Integers come as doubles; `| 0` here and below keeps them integers to the compiler. */
  load(from: StateReader): void {
    const [lateCount, skippedCount] = from.numbers(2)
    const [sweepNext, evictNext, flushNext] = from.numbers(3)
    const earlies = from.numbers(this.#earlies.length * 2)
    this.#current.load(from)
    this.#watched.load(from)
    const { seriesCount } = this.#current
    this.#chains.load(from, seriesCount)
    for (const hopping of this.#hoppings) hopping.load(from, seriesCount)
    const seriesLast = Math.max(0, seriesCount - 1)
    assert(sweepNext <= seriesLast && evictNext <= seriesLast, 'state has a cursor past the last series')
    assert(flushNext <= seriesCount, 'state has a flush past the last series')
    assert(this.#watched.length <= seriesCount, 'state watches more series than there are')
    for (const [i, early] of this.#earlies.entries()) {
      early.dueMs = earlies[i * 2]
      early.next = earlies[i * 2 + 1] | 0
      assert(early.next >= -1 && early.next <= seriesLast, 'state has a cursor past the last series')
    }
    this.lateCount = lateCount
    this.skippedCount = skippedCount
    this.#sweepNext = sweepNext | 0
    this.#evictNext = evictNext | 0
    this.#flushNext = flushNext | 0
  }

  /** A reading that is not simply the next one of the current pane. */
  #addAside(one: number, series: Int32Array, tsMs: Float64Array, value: Float64Array, row: number): void {
    if (one >= this.#current.seriesCount) this.#admit(one)
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
    const startMs = this.#startOf(0, ts)
    const newestMs = current.newestMs(one)
    if (current.hasAt(one, startMs)) {
      const isDue = current.add(one, ts, x)
      if (this.#needs !== 0) current.addExtras(series, value, row, row + 1, this.#needs)
      if (isDue) this.#release(one, Release.due)
    } else if (ts > newestMs) {
      if (current.has(one)) this.#shelve(one)
      current.open(one, startMs, ts, x)
      if (this.#needs !== 0) current.addExtras(series, value, row, row + 1, this.#needs)
      this.#release(one, Release.due)
    } else {
      this.#addToChain(one, startMs, tsMs, value, row)
      if (this.#endOf(0, startMs) + this.#settings.latenessMs <= newestMs) {
        this.lateCount++
        this.#watch(one)
      }
    }
  }

  #admit(one: number): void {
    this.#current.admit(one)
    this.#chains.admit(one)
    for (const hopping of this.#hoppings) hopping.admit(one)
  }

  #addToChain(one: number, startMs: number, tsMs: Float64Array, value: Float64Array, row: number): void {
    const current = this.#current
    const chains = this.#chains
    if (chains.length(one) >= this.#chainLengthMax) {
      this.#release(one, Release.due)
      if (chains.length(one) >= this.#chainLengthMax) this.#release(one, Release.all)
    }
    const pane = chains.paneAt(one, 0, 0, startMs)
    chains.pool.addReading(pane, tsMs, value, row, this.#needs)
    const dueMs = this.#endOf(0, startMs) + this.#settings.latenessMs
    if (dueMs > current.newestMs(one)) current.lowerLimitMs(one, dueMs)
  }

  /** Moves the current pane into the chain, to what early results or silence left there of the same window. */
  #shelve(one: number): void {
    const startMs = this.#current.startMs(one)
    const pane = this.#chains.paneAt(one, 0, 0, startMs)
    this.#current.mergeInto(this.#chains.pool, pane, one)
  }

  #shelveAndClose(one: number): void {
    if (!this.#current.has(one)) return
    this.#shelve(one)
    this.#current.close(one)
  }

  /** Lets all panes of a series go; keeps its watermark. */
  #leave(one: number): void {
    this.#shelveAndClose(one)
    this.#release(one, Release.all)
    for (const hopping of this.#hoppings) hopping.leave(one)
  }

  /** Looks at the next series in turn: what of silent ones must leave, and which are to be forgotten. */
  #sweep(engineMs: number): void {
    const current = this.#current
    const { idleTimeoutMs, forgetAfterMs } = this.#settings
    const rowsMax = this.#closed.count + TICK_ROWS_MAX
    const seenMsMax = engineMs - idleTimeoutMs
    const forgetMsMax = engineMs - forgetAfterMs
    let quietLeft = SWEEP_QUIET_MAX
    let left = Math.min(current.seriesCount, SWEEP_SERIES_MAX)
    for (; left > 0 && quietLeft > 0 && this.#closed.count < rowsMax; left--) {
      const one = this.#sweepNext
      this.#sweepNext = one + 1 === current.seriesCount ? 0 : one + 1
      const seenMs = current.seenMs(one)
      if (seenMs <= seenMsMax) {
        this.#quieten(one, seenMs, forgetMsMax)
      } else if (seenMs >= QUIET_MS && seenMs < GONE_MS) {
        quietLeft--
        this.#quieten(one, seenMs - QUIET_MS, forgetMsMax)
      } else if (seenMs >= GONE_MS && seenMs - GONE_MS <= forgetMsMax) {
        this.#forget(one)
      }
    }
  }

  /** The series has been silent since `seenMs`: what is not wide leaves at once, the rest as its time would have gone on. */
  #quieten(one: number, seenMs: number, forgetMsMax: number): void {
    if (seenMs <= forgetMsMax) {
      this.#forget(one)
      return
    }
    this.#shelveAndClose(one)
    this.#release(one, Release.silent, seenMs)
    const isGone = this.#chains.head(one) === 0 && this.#hoppings.every((hopping) => !hopping.has(one))
    this.#current.setSeenMs(one, seenMs + (isGone ? GONE_MS : QUIET_MS))
  }

  #forget(one: number): void {
    this.#leave(one)
    this.#current.forget(one)
    this.#current.setSeenMs(one, Number.POSITIVE_INFINITY)
  }

  #letGoEarly(early: EarlyResults, engineMs: number): void {
    if (early.next < 0) {
      if (engineMs < early.dueMs) return
      early.dueMs = (Math.floor(engineMs / early.everyMs) + 1) * early.everyMs
      early.next = 0
    }
    const { seriesCount } = this.#current
    const rowsMax = this.#closed.count + TICK_ROWS_MAX
    const end = Math.min(seriesCount, early.next + SWEEP_SERIES_MAX)
    for (; early.next < end && this.#closed.count < rowsMax; early.next++) {
      if (early.hopping !== null) {
        early.hopping.leave(early.next)
      } else {
        if (early.level === 0) this.#shelveAndClose(early.next)
        if (this.#chains.head(early.next) !== 0) this.#release(early.next, Release.early + early.level)
      }
    }
    if (early.next >= seriesCount) early.next = -1
  }

  /**
   * Lets panes of the chain go, narrow before wide, then hopping windows, and sets the limit anew. `seenMs` goes with a
   * silent series.
   */
  #release(one: number, which: Release, seenMs = 0): void {
    const { pool } = this.#chains
    const { latenessMs } = this.#settings
    const newestMs = this.#current.newestMs(one)
    const reachedMs = which === Release.silent ? newestMs + this.#current.engineMs - seenMs : newestMs
    let limitMs = this.#current.has(one) ? this.#endOf(0, this.#current.startMs(one)) : 0
    let previous = 0
    let pane = this.#chains.head(one)
    while (pane !== 0) {
      const level = pool.level(pane)
      const startMs = pool.startMs(pane)
      const dueMs = this.#endOf(level, startMs) + latenessMs
      if (
        dueMs <= reachedMs ||
        which === Release.all ||
        which === Release.early + level ||
        (which === Release.silent && !this.#areWide[level])
      ) {
        this.#letGo(one, pane, level, startMs)
        pane = this.#chains.remove(one, previous, pane)
        continue
      }
      if (dueMs < limitMs) limitMs = dueMs
      previous = pane
      pane = pool.next(pane)
    }
    for (let i = 0; i < this.#hoppings.length; i++) {
      const nextEndMs = this.#hoppings[i].advance(one, reachedMs - latenessMs)
      limitMs = Math.min(limitMs, nextEndMs + latenessMs)
    }
    this.#current.setLimitMs(one, limitMs)
  }

  /** A pane leaves: into the wider ones it feeds, which stand behind it in the chain, into hopping windows, and as a row. */
  // hot: per pane
  #letGo(one: number, pane: number, level: number, startMs: number): void {
    const { children, hoppings, window, calendar, widthMs } = this.#levels[level]
    const { pool } = this.#chains
    for (let i = 0; i < children.length; i++) {
      const wider = children[i]
      const widerStartMs = this.#startOf(wider, startMs)
      const into = this.#chains.paneAt(one, pane, wider, widerStartMs)
      pool.addPane(into, pane, this.#levels[wider].needs)
    }
    const at = pool.offset(pane)
    const slotAt = pool.slotOffset(pane)
    for (let i = 0; i < hoppings.length; i++) {
      const hopping = this.#hoppings[hoppings[i]]
      hopping.add(one, startMs, pool.fields, at + PaneField.n, pool.slots, slotAt)
    }
    if (window < 0) return
    const windowStartMs = calendar === null ? startOfPane(startMs, widthMs) : startMs
    this.#closed.append(one, window, windowStartMs, pool.fields, at, pool.slots, slotAt)
  }

  /** The start of the level's pane that holds `ts`. */
  #startOf(level: number, ts: number): number {
    const { widthMs, calendar, cuts } = this.#levels[level]
    if (calendar !== null) return calendar.startOf(ts)
    let startMs = startOfPane(ts, widthMs)
    for (let i = 0; i < cuts.length; i++) startMs = Math.max(startMs, cuts[i].startOf(ts))
    return startMs
  }

  /** The end of the level's pane that starts there. */
  #endOf(level: number, startMs: number): number {
    const { widthMs, calendar, cuts } = this.#levels[level]
    if (calendar !== null) return calendar.endOf(startMs)
    if (cuts.length === 0) return startMs + widthMs
    let endMs = startOfPane(startMs, widthMs) + widthMs
    for (let i = 0; i < cuts.length; i++) endMs = Math.min(endMs, cuts[i].endOf(startMs))
    return endMs
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

/**
 * Event-time windows whose partial rows merge (tumbling, hopping, calendar units) over series of readings, with a watermark per
 * series. Pure and deterministic: no clock, no input or output; the same calls give the same rows, byte for byte, and how readings
 * of one arrival are cut into pushes changes nothing but the order among windows that do not feed one another. One owner: the
 * shard's thread. Invariant: in the rows of a window each reading counts exactly once.
 *
 * A pane [k * width, (k + 1) * width) or span of a calendar leaves when its series' watermark reaches its end. The watermark is the
 * greatest event time seen less the lateness (Akidau et al., The Dataflow Model, VLDB 2015; here per series). Readings that are
 * late open a partial pane that leaves with the next tick. A series that is silent for the idle timeout gives up its panes, but those
 * over a minute and over twice the timeout wide, and hopping windows, leave when its event time, had it gone on with the engine's,
 * passes their end. After `forgetAfterMs` all of a silent series is given up, its watermark too; in each family of windows 104 bytes
 * remain of it, and 4 per hopping window.
 *
 * Bounds: at `panesMax` open panes besides the current ones, the panes of the series next in turn leave early; so do those of a
 * series whose stray panes pass 64, and at `hoppingPanesMax` the hopping windows of another series. A tick looks at 262,144 series
 * and lets about 131,072 rows go, and 65,536 for each window with early results; the rest follows with the next ones.
 */
import { assert } from '../base/assert.ts'
import type { Stateful, StateReader, StateWriter } from '../codecs/state.ts'
import { CompensatedSums } from './compensated-sum.ts'
import { DistinctCounts } from './distinct-count.ts'
import { Moments } from './moments.ts'
import { PaneExtras } from './pane-extras.ts'
import { PaneRows } from './pane-rows.ts'
import { QuantileSketches } from './quantile-sketch.ts'
import type { SlotPool } from './slot-pool.ts'
import { WidthFamily } from './width-family.ts'
import {
  EXTRA_BITS,
  type MergeableWindow,
  needsOf,
  planFamilies,
  WindowSettingsError,
} from './window-plan.ts'

export interface TumblingSettings {
  /** Tumbling windows of these widths: whole milliseconds, each once, in any order. */
  widthsMs: readonly number[]
  /** More windows; in the rows their indices go on from those of the widths. None by default. */
  windows?: readonly MergeableWindow[]
  /** Whether all rows have the rounding error of their sum beside it; not by default. */
  sumErrors?: boolean
  latenessMs: number
  idleTimeoutMs: number
  /** Bound on open panes besides the one current pane of each series; 4 million by default, 80 bytes each. */
  panesMax?: number
  /** Bound on the panes that open hopping windows hold; 16 million by default, 64 bytes each. */
  hoppingPanesMax?: number
  /** Time without a reading after which nothing is known of a series any more; 7 days by default. */
  forgetAfterMs?: number
}

export interface WindowStats {
  /** Readings for a pane that had left: they amend it. Counted at the narrowest level. */
  late: number
  /** Readings without a finite value or a time that a date can have: in no window. */
  skipped: number
  /** A series' open hopping windows of one kind count as one. */
  openPanes: number
  series: number
}

/** To be raised when the saved layout changes, or a constant or rule that decides which rows come next. */
const STATE_VERSION = 3
const PANES_MAX = 4_000_000
/** Nearly 3 GB of records for each width that is no multiple of a narrower one. */
const PANES_MAX_MAX = 32_000_000
const HOPPING_PANES_MAX = 16_000_000
const HOPPING_PANES_MAX_MAX = 512_000_000
const FORGET_AFTER_MS = 7 * 86_400_000

export class TumblingWindows implements Stateful {
  /** Rows that left. The owner takes them and clears it. */
  readonly closed: PaneRows
  /** What rows have besides, in the same order as `closed`; null when no window asked for it. */
  readonly moments: Moments | null
  readonly distinct: DistinctCounts | null
  readonly quantiles: QuantileSketches | null
  readonly sums: CompensatedSums | null
  readonly #extras: PaneExtras
  readonly #families: WidthFamily[]
  readonly #settingsSaved: Float64Array
  #gapMs = 0

  /** Throws WindowSettingsError. */
  constructor(settings: TumblingSettings) {
    checkSettings(settings)
    const { widthsMs, windows: more = [], sumErrors = false, panesMax = PANES_MAX } = settings
    const { latenessMs, idleTimeoutMs, forgetAfterMs = FORGET_AFTER_MS } = settings
    const { hoppingPanesMax = HOPPING_PANES_MAX } = settings
    const tumbling = widthsMs.map((widthMs) => ({ kind: 'tumbling', widthMs }) as const)
    const windows: MergeableWindow[] = [...tumbling, ...more]
    const needsAll = sumErrors ? EXTRA_BITS.sum_error : 0
    const plans = planFamilies(windows, needsAll)
    const needs = windows.map((window) => needsOf(window, needsAll))
    const isNeeded = (name: keyof typeof EXTRA_BITS) => needs.some((bits) => (bits & EXTRA_BITS[name]) !== 0)
    this.moments = isNeeded('variance') ? new Moments() : null
    this.distinct = isNeeded('distinct') ? new DistinctCounts() : null
    this.quantiles = isNeeded('quantiles') ? new QuantileSketches() : null
    this.sums = isNeeded('sum_error') ? new CompensatedSums() : null
    this.#extras = this.#gatherExtras()
    this.closed = new PaneRows(1024, this.#extras.count > 0 ? this.#extras : null, needs)
    const numbers = [latenessMs, idleTimeoutMs, panesMax, hoppingPanesMax, forgetAfterMs]
    this.#settingsSaved = Float64Array.of(STATE_VERSION, ...numbers, needsAll, ...windows.flatMap(toNumbers))
    const familySettings = { latenessMs, idleTimeoutMs, forgetAfterMs, panesMax, hoppingPanesMax }
    const none = new PaneExtras([], [])
    this.#families = plans.map((plan) => {
      const extras = plan.levels[0].needs === 0 ? none : this.#extras
      return new WidthFamily(plan, familySettings, this.closed, extras)
    })
  }

  #gatherExtras(): PaneExtras {
    const pools: SlotPool[] = []
    const bits: number[] = []
    const all = [this.moments, this.distinct, this.quantiles, this.sums]
    for (const [i, pool] of all.entries()) {
      if (pool === null) continue
      pools.push(pool)
      bits.push(1 << i)
    }
    return new PaneExtras(pools, bits)
  }

  /**
   * Takes the rows [start, end) of the columns, all arrived at `arrivalMs`. Series numbers are dense, 0 and
   * up; new ones may come at any time.
   */
  // hot: per message
  push(
    series: Int32Array,
    tsMs: Float64Array,
    value: Float64Array,
    arrivalMs: number,
    start: number,
    end: number,
  ): void {
    assert(Number.isFinite(arrivalMs), 'a push has no arrival time')
    for (let i = 0; i < this.#families.length; i++) {
      this.#families[i].push(series, tsMs, value, start, end, arrivalMs - this.#gapMs)
    }
  }

  /** Journalled time has come to `nowMs`: lets go late panes, and those of series that have been idle. */
  tick(nowMs: number): void {
    assert(Number.isFinite(nowMs), 'a tick has no time')
    for (const family of this.#families) family.tick(nowMs - this.#gapMs)
  }

  /** The engine was down that long before the next call: nobody was idle in it. */
  gap(durationMs: number): void {
    assert(Number.isFinite(durationMs), 'a gap has no duration')
    this.#gapMs += durationMs
  }

  /**
   * Lets every open pane go as a partial row, and forgets watermarks and series (drain, end of a journal
   * segment). With `rowsMax` it stops when `closed` holds that many rows, or up to a chain of panes more, and
   * returns false: take them and call it again, with nothing pushed in between, until it returns true.
   */
  flush(rowsMax = Number.POSITIVE_INFINITY): boolean {
    for (const family of this.#families) if (!family.flush(rowsMax)) return false
    for (const pool of this.#extras.pools) pool.clear()
    this.#gapMs = 0
    return true
  }

  /**
   * Gathers all that decides the rows to come, and the counters, as views: nothing may be called until they
   * are written. The rows in `closed` must have been taken. Also between the pieces of a flush.
   */
  save(out: StateWriter): void {
    assert(this.closed.count === 0, 'rows were not taken before the state was saved')
    out.f64(this.#settingsSaved)
    out.numbers(this.#gapMs)
    for (const family of this.#families) family.save(out)
    for (const pool of this.#extras.pools) pool.save(out)
  }

  /** Only into new windows. Throws WindowSettingsError for a state of other settings; drop what threw. */
  load(from: StateReader): void {
    assert(this.closed.count === 0 && this.stats.series === 0, 'windows that load a state are not new')
    const settings = from.f64()
    const own = this.#settingsSaved
    if (settings.length !== own.length || settings.some((value, index) => value !== own[index])) {
      throw new WindowSettingsError(`state of windows with settings ${settings}, not ${own}`)
    }
    this.#gapMs = from.numbers(1)[0]
    for (const family of this.#families) family.load(from)
    for (const pool of this.#extras.pools) pool.load(from)
  }

  /** As in `stats`, for those who ask often. */
  get lateCount(): number {
    return this.#families[0].lateCount
  }

  /** Of the rows in `closed`, what they have besides: about as it will be stored, uncompressed. */
  get rowsExtraSizeBytes(): number {
    let sizeBytes = 0
    for (const pool of this.#extras.pools) sizeBytes += pool.rowsSizeBytes
    return sizeBytes
  }

  get stats(): WindowStats {
    const [narrowest] = this.#families
    return {
      late: narrowest.lateCount,
      skipped: narrowest.skippedCount,
      openPanes: this.#families.reduce((sum, family) => sum + family.openCount, 0),
      series: narrowest.seriesCount,
    }
  }
}

/** A window as its state knows it. */
function toNumbers(window: MergeableWindow): number[] {
  const numbers = [needsOf(window, 0), window.earlyMs ?? 0]
  if (window.kind === 'tumbling') return [1, window.widthMs, ...numbers]
  if (window.kind === 'hopping') return [2, window.widthMs, window.hopMs, ...numbers]
  const zone = Buffer.from(window.timeZone)
  return [3, ['day', 'week', 'month'].indexOf(window.unit), zone.length, ...zone, ...numbers]
}

function checkSettings(settings: TumblingSettings): void {
  const { latenessMs, idleTimeoutMs, forgetAfterMs = FORGET_AFTER_MS } = settings
  for (const [name, ms] of Object.entries({ latenessMs, idleTimeoutMs, forgetAfterMs })) {
    if (!Number.isSafeInteger(ms) || ms < 0) {
      throw new WindowSettingsError(`${name}: ${ms} is not a whole number of milliseconds`)
    }
  }
  if (forgetAfterMs < idleTimeoutMs) {
    throw new WindowSettingsError(`forgetAfterMs: ${forgetAfterMs} is less than idleTimeoutMs`)
  }
  const { panesMax = 1, hoppingPanesMax = 1 } = settings
  checkCount('panesMax', panesMax, PANES_MAX_MAX)
  checkCount('hoppingPanesMax', hoppingPanesMax, HOPPING_PANES_MAX_MAX)
}

function checkCount(name: string, count: number, countMax: number): void {
  if (!Number.isInteger(count) || count < 1 || count > countMax) {
    throw new WindowSettingsError(`${name}: ${count} is not a whole number of 1 to ${countMax}`)
  }
}

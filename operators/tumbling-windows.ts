/**
 * Tumbling event-time windows over series of readings, with a watermark per series and partial rows that
 * merge. Pure and deterministic: no clock, no input or output; the same calls give the same rows, byte for
 * byte, and how readings of one arrival are cut into pushes changes nothing but the order among widths that
 * are not multiples of one another. One owner: the shard's thread. Invariant: in the rows of a width each
 * reading counts exactly once.
 *
 * A pane [k * width, (k + 1) * width) leaves when its series' watermark reaches its end. The watermark is the
 * greatest event time seen less the lateness; readings further ahead of their arrival than the guard do not
 * move it. Late readings open a partial pane that leaves with the next tick; so do ahead ones when the
 * watermark reaches them or nothing more came for the idle timeout. A series that is silent for the idle
 * timeout gives up all its panes. (Watermarks and lateness as in Akidau et al., The Dataflow Model, VLDB
 * 2015; here per series.)
 *
 * Bounds: at `panesMax` open panes besides the current ones, the panes of the series next in turn leave
 * early; so do those of a series whose stray panes pass 64. A tick looks at 262,144 series and lets about
 * 131,072 rows go; the rest follows with the next ones.
 */
import { assert } from '../base/assert.ts'
import type { Stateful, StateReader, StateWriter } from '../codecs/state.ts'
import { PaneRows } from './pane-rows.ts'
import { WidthFamily } from './width-family.ts'
import { planFamilies, WindowSettingsError } from './width-plan.ts'

export interface TumblingSettings {
  /** Whole milliseconds, each once, in any order. */
  widthsMs: readonly number[]
  latenessMs: number
  idleTimeoutMs: number
  aheadGuardMs: number
  /** Bound on open panes besides the one current pane of each series; 4 million by default, 88 bytes each. */
  panesMax?: number
}

export interface WindowStats {
  /** Readings for a pane that had left: they amend it. Counted at the narrowest width. */
  late: number
  /** Readings ahead of their arrival by more than the guard. */
  ahead: number
  /** Readings without a finite value or a time that a date can have: in no window. */
  skipped: number
  openPanes: number
  series: number
}

/** To be raised when the saved layout changes, or a constant or rule that decides which rows come next. */
const STATE_VERSION = 1
const PANES_MAX = 4_000_000
/** Nearly 3 GB of records for each width that is no multiple of a narrower one. */
const PANES_MAX_MAX = 32_000_000

export class TumblingWindows implements Stateful {
  /** Rows that left. The owner takes them and clears it. */
  readonly closed = new PaneRows()
  readonly #families: WidthFamily[]
  readonly #aheadGuardMs: number
  readonly #settingsSaved: Float64Array
  #gapMs = 0

  /** Throws WindowSettingsError. */
  constructor(settings: TumblingSettings) {
    checkSettings(settings)
    const { widthsMs, latenessMs, idleTimeoutMs, aheadGuardMs, panesMax = PANES_MAX } = settings
    this.#aheadGuardMs = aheadGuardMs
    const numbers = [latenessMs, idleTimeoutMs, aheadGuardMs, panesMax, ...widthsMs]
    this.#settingsSaved = Float64Array.of(STATE_VERSION, ...numbers)
    const familySettings = { latenessMs, idleTimeoutMs, panesMax }
    this.#families = planFamilies(widthsMs).map((plan) => new WidthFamily(plan, familySettings, this.closed))
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
    const aheadLimitMs = arrivalMs + this.#aheadGuardMs
    for (let i = 0; i < this.#families.length; i++) {
      this.#families[i].push(series, tsMs, value, start, end, aheadLimitMs, arrivalMs - this.#gapMs)
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
  }

  /** As in `stats`, for those who ask often. */
  get lateCount(): number {
    return this.#families[0].lateCount
  }

  get stats(): WindowStats {
    const [narrowest] = this.#families
    return {
      late: narrowest.lateCount,
      ahead: narrowest.aheadCount,
      skipped: narrowest.skippedCount,
      openPanes: this.#families.reduce((sum, family) => sum + family.openCount, 0),
      series: narrowest.seriesCount,
    }
  }
}

function checkSettings(settings: TumblingSettings): void {
  for (const name of ['latenessMs', 'idleTimeoutMs', 'aheadGuardMs'] as const) {
    if (!Number.isSafeInteger(settings[name]) || settings[name] < 0) {
      throw new WindowSettingsError(`${name}: ${settings[name]} is not a whole number of milliseconds`)
    }
  }
  const { panesMax = 1 } = settings
  if (!Number.isInteger(panesMax) || panesMax < 1 || panesMax > PANES_MAX_MAX) {
    throw new WindowSettingsError(`panesMax: ${panesMax} is not a whole number of 1 to ${PANES_MAX_MAX}`)
  }
}

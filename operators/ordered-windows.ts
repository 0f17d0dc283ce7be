/**
 * Windows that do not merge: sessions, counts, sliding ones, and carried-forward aggregates over aligned windows; and downsampling
 * (downsample/point-spec.ts). Readings are put in order first, per series (reorder-buffer.ts); operators see them in order, and their rows are final unless readings come late.
 * Pure and deterministic: no clock, no input or output; the same calls give the same rows, byte for byte, and how readings of one
 * arrival are cut into pushes changes nothing. One owner: the shard's thread. Invariant: rows and amendments together, the later
 * over the earlier, say what the definitions say of all readings so far that are not held.
 *
 * A reading is held until the series' newest event time is more than the lateness above it, or the series was silent for the idle
 * timeout. Then open windows are shown as they stand; so they are every `earlyMs` of an operator. A reading below what was handed
 * on is late: no operator takes it; the windows it belongs to are asked to be computed anew from all readings (an amendment).
 * Amendments are dear, an insert that carries one more than what is in it: they leave every `amendEveryMs`, joined where they can be.
 *
 * A series that is silent for `forgetMs` loses its state. After that, and in windows that are not fresh, readings of an earlier
 * life may be there, none further ahead of its arrival than the guard; windows up to that event time are dirty. Where all there is
 * compresses, a flush forgets nothing: lines can't be computed anew, so they go on.
 *
 * Bounds: those of the buffer and of each operator. A tick looks at 262,144 series and lets about 65,536 rows go for each of its
 * tasks; the rest follows with the next ones.
 */
import { assert } from '../base/assert.ts'
import type { Stateful, StateReader, StateWriter } from '../codecs/state.ts'
import { makeDownsampler } from './downsample/downsamplers.ts'
import { PointRows } from './downsample/point-rows.ts'
import { isCompression } from './downsample/point-spec.ts'
import { makeOperator } from './ordered-kinds.ts'
import { OrderedMemory } from './ordered-memory.ts'
import type { OrderedOperator } from './ordered-operator.ts'
import { AmendmentRows, WindowRows } from './ordered-rows.ts'
import { completeSettings, type OrderedSettings, settingsNumbers } from './ordered-settings.ts'
import { OrderedTexts } from './ordered-texts.ts'
import { ReorderBuffer } from './reorder-buffer.ts'
import { QUIET, SeriesSlots, SLOT_INT_STRIDE, SLOT_STRIDE, SlotField, SlotInt } from './series-slots.ts'
import { WindowSettingsError } from './window-plan.ts'

/** The columns of a ReadingColumns that matter here. */
export interface OrderedReadings {
  tsMs: Float64Array
  value: Float64Array
  textStart: Int32Array
  textSize: Int32Array
  text: Uint8Array
}

export interface OrderedStats {
  /** Readings below what was handed on: amended. */
  late: number
  /** Readings without a finite value or a possible time, and texts that no operator takes: in no window. */
  skipped: number
  /** Readings that left the buffer before they were due, for want of room. */
  hurried: number
  held: number
  /** Series with state. */
  series: number
}

/** Makes what an owner adds to the operators. */
type Attached = (slots: SeriesSlots) => OrderedOperator[]

/** Halves of milliseconds are exact up to there: the year 73,000. */
const TS_MS_MAX = 2 ** 51
const SWEEP_SLOTS_MAX = 262_144
const TICK_ROWS_MAX = 65_536
/** Amendments that wait to be joined with others; a tick lets more of them go. */
const ASKED_MAX = 65_536

export class OrderedWindows implements Stateful {
  /** What the owner takes and clears. */
  readonly rows = new WindowRows()
  /** `operator` counts the downsamplers after the windows. */
  readonly amendments = new AmendmentRows()
  readonly points = new PointRows()
  /** The texts that states in `rows` name by number. */
  readonly texts = new OrderedTexts()
  readonly #slots = new SeriesSlots()
  readonly #memory: OrderedMemory
  /** Windows, then downsamplers; these keep what they have until their series is forgotten, or all are. */
  readonly #operators: OrderedOperator[]
  readonly #downsamplers: OrderedOperator[]
  readonly #buffer: ReorderBuffer
  readonly #settings: Required<OrderedSettings>
  readonly #settingsSaved: Float64Array
  readonly #takesTexts: boolean
  /** A flush ends no series' line. */
  readonly #outlivesFlush: boolean
  /** Amendments that were asked for and did not leave yet, and the engine time at which they next do. */
  readonly #asked = new AmendmentRows()
  #amendAtMs = Number.NEGATIVE_INFINITY
  #isFresh: boolean
  /** The greatest arrival so far: clocks may be set back. */
  #newestMs: number
  #gapMs = 0
  #lateCount = 0
  #skippedCount = 0
  #sweepNext = 1
  #flushNext = 1
  /** Nothing waits for time to pass; and whether the sweep that is under way has found nothing else so far. Not saved. */
  #isQuiet = false
  #isSweepQuiet = false
  /** Per operator: engine time of its next early round, and the slot that the round has come to (0 outside of one). */
  readonly #earlyAtMs: Float64Array
  readonly #earlyNext: Int32Array

  /**
   * `isFresh`: no reading of any series came before the first push; otherwise the first windows of each series are amended,
   * those up to `sinceMs` and the guard at the least. `attached` see the readings after the windows, and their state is saved
   * with these. Throws WindowSettingsError.
   */
  constructor(
    settings: OrderedSettings,
    isFresh: boolean,
    sinceMs = Number.NEGATIVE_INFINITY,
    attached: Attached = () => [],
  ) {
    this.#settings = completeSettings(settings)
    this.#settingsSaved = settingsNumbers(this.#settings)
    this.#isFresh = isFresh
    this.#newestMs = sinceMs
    const output = { rows: this.rows, points: this.points, amendments: this.#asked, slots: this.#slots }
    this.#memory = new OrderedMemory(this.#settings.keptMax)
    const { specs, downsamplers, idleTimeoutMs } = this.#settings
    const windows = specs.map((spec, index) => makeOperator(spec, index, output, this.#memory))
    this.#downsamplers = downsamplers.map((spec, index) =>
      makeDownsampler(spec, index, specs.length + index, output, this.#memory, idleTimeoutMs),
    )
    this.#operators = [...windows, ...this.#downsamplers, ...attached(this.#slots)]
    this.#takesTexts = this.#operators.some((operator) => operator.takesTexts)
    this.#outlivesFlush = downsamplers.length === this.#operators.length && downsamplers.every(isCompression)
    this.#buffer = new ReorderBuffer(this.#slots, this.texts, this.#operators, this.#settings.heldMax)
    this.#earlyAtMs = new Float64Array(settings.specs.length).fill(Number.NaN)
    this.#earlyNext = new Int32Array(settings.specs.length)
  }

  /** Takes the rows [start, end), all arrived at `arrivalMs`. Series numbers are dense; new ones may come at any time. */
  // hot: per message
  push(series: Int32Array, readings: OrderedReadings, arrivalMs: number, start: number, end: number): void {
    assert(Number.isFinite(arrivalMs), 'a push has no arrival time')
    if (arrivalMs > this.#newestMs) this.#newestMs = arrivalMs
    const { tsMs, value } = readings
    for (let row = start; row < end; row++) {
      const ts = Math.floor(tsMs[row]) + 0
      const x = value[row] + 0
      if (!(Math.abs(ts) <= TS_MS_MAX)) this.#skippedCount++
      else if (x - x === 0) this.#add(series[row], ts, ts, x, arrivalMs)
      else if (this.#takesTexts && readings.textSize[row] > 0)
        this.#addText(series[row], readings, row, ts, arrivalMs)
      else this.#skippedCount++
    }
  }

  /** Journalled time has come to `nowMs`: shows open windows, settles series that are idle, forgets those that stay away. */
  tick(nowMs: number): void {
    assert(Number.isFinite(nowMs), 'a tick has no time')
    const engineMs = nowMs - this.#gapMs
    this.#amend(engineMs)
    for (let index = 0; index < this.#settings.specs.length; index++) this.#showEarly(index, engineMs)
    const rowsMax = this.#rowCount + TICK_ROWS_MAX
    let left = Math.min(this.#slots.slotMax, SWEEP_SLOTS_MAX)
    for (; left > 0 && this.#rowCount < rowsMax; left--) {
      if (this.#sweepNext > this.#slots.slotMax) this.#beginSweep()
      const slot = this.#sweepNext++
      if (this.#slots.seriesOf[slot] >= 0 && !this.#sweep(slot, engineMs)) this.#isSweepQuiet = false
    }
    if (this.#slots.slotMax === 0) this.#isQuiet = true
  }

  /** Whether no reading is held and no open window waits to be shown: ticks would change nothing but what is forgotten. */
  get isQuiet(): boolean {
    return this.#isQuiet && this.#asked.count === 0
  }

  /** The engine was down that long before the next call: nobody was idle in it. */
  gap(durationMs: number): void {
    assert(Number.isFinite(durationMs), 'a gap has no duration')
    this.#gapMs += durationMs
  }

  /**
   * Hands on all readings, shows every open window, keeps the ends of lines, and forgets all series; what comes later finds dirty
   * windows. With `rowsMax` it stops when there are that many rows, or a series' worth more, and returns false: take them and call it again, with nothing
   * pushed in between, until it returns true.
   */
  flush(rowsMax = Number.POSITIVE_INFINITY): boolean {
    for (; this.#flushNext <= this.#slots.slotMax; this.#flushNext++) {
      if (this.#rowCount >= rowsMax) {
        this.amendments.takeFrom(this.#asked)
        return false
      }
      if (this.#slots.seriesOf[this.#flushNext] < 0) continue
      this.#settleIdle(this.#flushNext)
      for (const downsampler of this.#downsamplers) downsampler.release(this.#flushNext)
    }
    assert(this.#buffer.heldCount === 0, 'a reading stayed held through a flush')
    this.amendments.takeFrom(this.#asked)
    this.#isQuiet = true
    this.#isSweepQuiet = true
    this.#sweepNext = 1
    this.#flushNext = 1
    if (this.#outlivesFlush) return true
    this.#amendAtMs = Number.NEGATIVE_INFINITY
    this.#isFresh = false
    this.#gapMs = 0
    this.#earlyAtMs.fill(Number.NaN)
    this.#earlyNext.fill(0)
    for (const operator of this.#operators) operator.clear()
    this.#memory.clear()
    this.#buffer.clear()
    this.#slots.clear()
    return true
  }

  /** Forgets the rows and amendments: they are on their way. */
  clearRows(): void {
    this.rows.clear()
    this.points.clear()
    this.amendments.clear()
  }

  /**
   * Gathers all that decides the rows to come, and the counters, as views: nothing may be called until they are written. Rows must
   * have been taken. Also between the pieces of a flush.
   */
  save(out: StateWriter): void {
    assert(
      this.rows.count + this.points.count + this.amendments.count === 0,
      'rows were not taken before the state was saved',
    )
    out.f64(this.#settingsSaved)
    out.numbers(this.#isFresh ? 1 : 0, this.#newestMs, this.#gapMs, this.#lateCount, this.#skippedCount)
    out.numbers(this.#sweepNext, this.#flushNext, this.#amendAtMs)
    out.f64(this.#earlyAtMs)
    out.i32(this.#earlyNext)
    for (const part of this.#stateful()) part.save(out)
  }

  /** Only into new windows. Throws WindowSettingsError for a state of other settings; drop what threw. */
  load(from: StateReader): void {
    assert(this.#slots.slotMax === 0 && this.rows.count === 0, 'windows that load a state are not new')
    const settings = from.f64()
    const own = this.#settingsSaved
    if (settings.length !== own.length || settings.some((value, index) => value !== own[index])) {
      throw new WindowSettingsError('state of ordered windows with other settings')
    }
    const [isFresh, newestMs, gapMs, lateCount, skippedCount] = from.numbers(5)
    this.#newestMs = newestMs
    const [sweepNext, flushNext, amendAtMs] = from.numbers(3)
    this.#amendAtMs = amendAtMs
    this.#isFresh = isFresh === 1
    this.#gapMs = gapMs
    this.#lateCount = lateCount
    this.#skippedCount = skippedCount
    this.#sweepNext = sweepNext | 0
    this.#flushNext = flushNext | 0
    this.#earlyAtMs.set(from.f64())
    this.#earlyNext.set(from.i32())
    for (const part of this.#stateful()) part.load(from)
  }

  get stats(): OrderedStats {
    return {
      late: this.#lateCount,
      skipped: this.#skippedCount,
      hurried: this.#buffer.hurriedCount,
      held: this.#buffer.heldCount,
      series: this.#slots.count,
    }
  }

  get #rowCount(): number {
    return this.rows.count + this.points.count + this.amendments.count + this.#asked.count
  }

  #stateful(): Stateful[] {
    return [this.texts, this.#asked, this.#slots, this.#buffer, this.#memory, ...this.#operators]
  }

  #addText(series: number, readings: OrderedReadings, row: number, ts: number, arrivalMs: number): void {
    const start = readings.textStart[row]
    const text = this.texts.intern(readings.text, start, start + readings.textSize[row])
    this.#add(series, ts, ts + 0.5, text, arrivalMs)
  }

  // hot: per message
  #add(series: number, ts: number, key: number, x: number, arrivalMs: number): void {
    const slots = this.#slots
    this.#isQuiet = false
    this.#isSweepQuiet = false
    let slot = slots.find(series)
    if (slot <= 0) slot = this.#admit(series)
    this.#buffer.makeRoom(slot)
    const { fields } = slots
    const at = slot * SLOT_STRIDE
    fields[at + SlotField.seenMs] = arrivalMs - this.#gapMs
    if (ts < fields[at + SlotField.frontierMs]) {
      this.#late(slot, ts, x, ts !== key)
      return
    }
    this.#buffer.hold(slot, key, x)
    if (ts > fields[at + SlotField.newestMs]) fields[at + SlotField.newestMs] = ts
    const frontierMs = fields[at + SlotField.newestMs] - this.#settings.latenessMs
    if (frontierMs > fields[at + SlotField.frontierMs]) this.#buffer.advance(slot, frontierMs)
  }

  #admit(series: number): number {
    const { aheadGuardMs, forgetMs } = this.#settings
    let dirtyUntilMs = Number.NEGATIVE_INFINITY
    if (this.#slots.isKnown(series)) dirtyUntilMs = this.#newestMs + aheadGuardMs - forgetMs
    if (!this.#isFresh) dirtyUntilMs = this.#newestMs + aheadGuardMs
    const slot = this.#slots.take(series, Math.ceil(dirtyUntilMs))
    for (const operator of this.#operators) {
      operator.admit(slot)
      operator.open(slot)
    }
    return slot
  }

  #late(slot: number, ts: number, x: number, isText: boolean): void {
    this.#lateCount++
    const at = slot * SLOT_STRIDE + SlotField.dirtyUntilMs
    if (ts > this.#slots.fields[at]) this.#slots.fields[at] = ts
    for (const operator of this.#operators) if (!isText || operator.takesTexts) operator.late(slot, ts, x)
  }

  /** Lets amendments go at multiples of their period, so that no series decides when those of others leave; or when there are many. */
  #amend(engineMs: number): void {
    const { amendEveryMs } = this.#settings
    if (engineMs < this.#amendAtMs && this.#asked.count < ASKED_MAX) return
    this.#amendAtMs = amendEveryMs === 0 ? engineMs : (Math.floor(engineMs / amendEveryMs) + 1) * amendEveryMs
    this.amendments.takeFrom(this.#asked)
  }

  /** Goes on with the operator's early round, or begins one when it is time. */
  #showEarly(index: number, engineMs: number): void {
    const { earlyMs } = this.#settings.specs[index]
    if (earlyMs === null) return
    const atMs = this.#earlyAtMs[index]
    let slot = this.#earlyNext[index]
    if (slot === 0) {
      if (engineMs < atMs) return
      this.#earlyAtMs[index] = (Math.floor(engineMs / earlyMs) + 1) * earlyMs
      if (Number.isNaN(atMs)) return
      slot = 1
    }
    const operator = this.#operators[index]
    const slotEnd = Math.min(this.#slots.slotMax + 1, slot + SWEEP_SLOTS_MAX)
    const rowsMax = this.#rowCount + TICK_ROWS_MAX
    for (; slot < slotEnd && this.#rowCount < rowsMax; slot++) {
      if (this.#slots.seriesOf[slot] >= 0) operator.show(slot)
    }
    this.#earlyNext[index] = slot > this.#slots.slotMax ? 0 : slot
  }

  #beginSweep(): void {
    this.#sweepNext = 1
    this.#isQuiet = this.#isSweepQuiet
    this.#isSweepQuiet = true
  }

  /** Whether the slot was quiet already. */
  #sweep(slot: number, engineMs: number): boolean {
    const { fields, ints } = this.#slots
    const silentMs = engineMs - fields[slot * SLOT_STRIDE + SlotField.seenMs]
    const { idleTimeoutMs, forgetMs } = this.#settings
    const at = slot * SLOT_INT_STRIDE
    const isQuiet = (ints[at + SlotInt.sizeLog2] & QUIET) !== 0 && ints[at + SlotInt.count] === 0
    if (silentMs < idleTimeoutMs) return isQuiet
    if (!isQuiet) this.#settleIdle(slot)
    if (silentMs >= forgetMs) {
      for (const operator of this.#operators) operator.release(slot)
      this.#slots.give(slot)
    }
    return isQuiet
  }

  /** Hands on what the slot holds and shows its open windows; they stay open. */
  #settleIdle(slot: number): void {
    this.#buffer.drain(slot)
    for (const operator of this.#operators) operator.show(slot)
    this.#slots.ints[slot * SLOT_INT_STRIDE + SlotInt.sizeLog2] |= QUIET
  }
}

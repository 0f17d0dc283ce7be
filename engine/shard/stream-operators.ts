/**
 * All operators of a shard, in sets by the readings that they see, and which stream's readings go where. Owned by the shard's
 * thread.
 */
import { assert } from '../../base/assert.ts'
import type { ReadingColumns } from '../../codecs/columns.ts'
import type { MetricNames } from '../../codecs/metric-names.ts'
import type { StateReader, StateWriter } from '../../codecs/state.ts'
import { PLAIN_AGGREGATES, type WindowSpec, windowLabel } from '../../operators/window-spec.ts'
import { EVERY_BRANCH, FedRows, type RowBranches } from '../steps/row-branches.ts'
import { type OperatorSetPlan, type PlannedWindow, planOfWidths, planOperatorSets } from './operator-plan.ts'
import { OperatorSet, type OperatorTimes, type Past, type SetParts } from './operator-set.ts'
import type { PipelineStream } from './pipeline-stream.ts'
import { describeSet, planBeside, planRetired, readSet } from './saved-sets.ts'

export interface StreamOperatorsSettings extends OperatorTimes {
  /** The tumbling windows of all streams when `streams` is left out. */
  widthsMs?: readonly number[]
  /** Whether readings came that neither the journal nor a snapshot knows of. */
  hasPast?: boolean
  /** By number. Left out: all are plain. */
  streams?: readonly PipelineStream[]
}

export class StreamOperators {
  /** Not empty. Retired ones are among them while they have rows. */
  sets: OperatorSet[]
  #settings: StreamOperatorsSettings
  #parts: SetParts
  #pointsTaken = 0
  /** By stream; without streams, of all. */
  #setsOfStream: OperatorSet[][] = []
  /** The first of the sets, so many. */
  #retiredCount = 0
  #newestArrivalMs = Number.NEGATIVE_INFINITY

  constructor(settings: StreamOperatorsSettings, metrics: MetricNames) {
    this.#settings = settings
    this.#parts = { fed: new FedRows(), metrics }
    const past = { newestArrivalMs: Number.NEGATIVE_INFINITY }
    this.sets = this.#makeSets(this.#plan(), settings.hasPast === true ? past : null)
  }

  get rowCount(): number {
    let count = 0
    for (let i = 0; i < this.sets.length; i++) count += this.sets[i].rowCount
    return count
  }

  /** Of the rows, beyond what every row counts. */
  get rowsExtraSizeBytes(): number {
    return this.sets.reduce((sum, set) => sum + set.rowsExtraSizeBytes, 0)
  }

  /** Open windows, those that do not merge by their series. */
  get openCount(): number {
    return this.sets.reduce((sum, set) => sum + set.openCount, 0)
  }

  /** Whether windows wait for time to pass. */
  get isOpen(): boolean {
    return this.sets.some((set) => set.isOpen)
  }

  /** Readings that came behind their windows. */
  get lateCount(): number {
    return this.sets.reduce((sum, set) => sum + set.lateCount, 0)
  }

  /** That downsamplers told, since the start. */
  get pointCount(): number {
    return this.sets.reduce((sum, set) => sum + set.pointCount, this.#pointsTaken)
  }

  /** Takes the rows [start, end), all of one stream and arrival; returns how many of them came behind their windows. */
  // hot: per batch
  push(
    stream: number,
    series: Int32Array,
    readings: ReadingColumns,
    { bits }: RowBranches,
    arrivalMs: number,
    start: number,
    end: number,
  ): number {
    const sets = this.#setsOfStream.length === 0 ? this.sets : this.#setsOfStream[stream]
    if (arrivalMs > this.#newestArrivalMs) this.#newestArrivalMs = arrivalMs
    let late = 0
    for (let i = 0; i < sets.length; i++) {
      const lateBefore = sets[i].lateCount
      sets[i].push(series, readings, bits, arrivalMs, start, end)
      late = Math.max(late, sets[i].lateCount - lateBefore)
    }
    return late
  }

  tick(nowMs: number): void {
    for (const set of this.sets) set.tick(nowMs)
  }

  gap(durationMs: number): void {
    for (const set of this.sets) set.gap(durationMs)
  }

  flush(): void {
    for (const set of this.sets) set.flush()
  }

  clearRows(): void {
    this.#pointsTaken = this.pointCount
    for (const set of this.sets) set.clearRows()
    if (this.#retiredCount === 0) return
    this.sets = this.sets.slice(this.#retiredCount)
    this.#retiredCount = 0
  }

  save(out: StateWriter): void {
    const { latenessMs, idleTimeoutMs, aheadGuardMs } = this.#settings
    out.numbers(this.#newestArrivalMs, latenessMs, idleTimeoutMs, aheadGuardMs, this.sets.length)
    for (const set of this.sets) {
      out.u8(describeSet(set.plan))
      out.state(set)
    }
  }

  /**
   * What was saved may be of other operators, which have rows then: see saved-sets.ts. The first batch has them, and whoever starts
   * from this state again under the same config gets the same.
   */
  load(from: StateReader): void {
    const [newestArrivalMs, latenessMs, idleTimeoutMs, aheadGuardMs, count] = from.numbers(5)
    this.#newestArrivalMs = newestArrivalMs
    const times = { latenessMs, idleTimeoutMs, aheadGuardMs }
    const areTimesSame = Object.entries(times).every(
      ([name, ms]) => this.#settings[name as keyof typeof times] === ms,
    )
    const saved = Array.from({ length: count }, () => ({ set: readSet(from.u8()), state: from.state() }))
    const { plans, heirs } = planBeside(this.#plan(), areTimesSame ? saved.map(({ set }) => set) : [])
    const sets = this.#makeSets(plans, { newestArrivalMs })
    const retired: OperatorSet[] = []
    for (const [index, { set: description, state }] of saved.entries()) {
      const heir = heirs[index] ?? null
      const set =
        sets.find(({ plan }) => plan === heir) ??
        new OperatorSet(planRetired(description), times, this.#parts, null, false)
      set.load(state)
      assert(state.isAtEnd, 'the state of operators is read to its end')
      if (heir !== null) continue
      set.flush()
      if (set.rowCount > 0) retired.push(set)
    }
    this.sets = [...retired, ...sets] // of two that recompute one window the later one stands
    this.#retiredCount = retired.length
  }

  #plan(): OperatorSetPlan[] {
    const { streams, widthsMs = [] } = this.#settings
    return streams === undefined ? planOfWidths(widthsMs.map(tumblingOperator)) : planOperatorSets(streams)
  }

  #makeSets(plans: readonly OperatorSetPlan[], past: Past): OperatorSet[] {
    const { streams = [] } = this.#settings
    const isAlone = plans.length === 1 && plans[0].branches === EVERY_BRANCH
    const sets = plans.map((plan) => new OperatorSet(plan, this.#settings, this.#parts, past, isAlone))
    this.#setsOfStream = streams.map((_, stream) => sets.filter(({ plan }) => plan.streams.includes(stream)))
    return sets
  }
}

function tumblingOperator(widthMs: number): PlannedWindow {
  const spec: WindowSpec = { kind: 'tumbling', widthMs, aggregates: [...PLAIN_AGGREGATES], earlyMs: null }
  return { label: windowLabel(spec), spec }
}

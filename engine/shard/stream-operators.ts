/**
 * All operators of a shard, in sets by the readings that they see, and which stream's readings go where. Owned by the shard's
 * thread.
 */
import { assert } from '../../base/assert.ts'
import type { ReadingColumns } from '../../codecs/columns.ts'
import type { StateReader, StateWriter } from '../../codecs/state.ts'
import { PLAIN_AGGREGATES, type WindowSpec, windowLabel } from '../../operators/window-spec.ts'
import { EVERY_BRANCH, FedRows, type RowBranches } from '../steps/row-branches.ts'
import { type PlannedOperator, planOfWidths, planOperatorSets } from './operator-plan.ts'
import { OperatorSet, type OperatorTimes } from './operator-set.ts'
import type { PipelineStream } from './pipeline-stream.ts'

export interface StreamOperatorsSettings extends OperatorTimes {
  /** The tumbling windows of all streams when `streams` is left out. */
  widthsMs?: readonly number[]
  /** Whether readings came that neither the journal nor a snapshot knows of. */
  hasPast?: boolean
  /** By number. Left out: all are plain. */
  streams?: readonly PipelineStream[]
}

export class StreamOperators {
  /** Not empty. */
  sets: OperatorSet[]
  #settings: StreamOperatorsSettings
  #fed = new FedRows()
  /** By stream; without streams, of all. */
  #setsOfStream: OperatorSet[][] = []

  constructor(settings: StreamOperatorsSettings) {
    this.#settings = settings
    this.sets = this.#makeSets(settings.hasPast !== true)
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
    for (const set of this.sets) set.clearRows()
  }

  save(out: StateWriter): void {
    out.numbers(this.sets.length)
    for (const set of this.sets) {
      out.u8(Buffer.from(set.plan.key))
      out.state(set)
    }
  }

  /** What was saved may be of other operators: those that are the same go on, new ones know that readings came before them. */
  load(from: StateReader): void {
    this.sets = this.#makeSets(false)
    const [count] = from.numbers(1)
    for (let i = 0; i < count; i++) {
      const key = Buffer.from(from.u8()).toString()
      const state = from.state()
      const set = this.sets.find(({ plan }) => plan.key === key)
      set?.load(state)
      assert(set === undefined || state.isAtEnd, 'the state of operators is read to its end')
    }
  }

  #makeSets(isFresh: boolean): OperatorSet[] {
    const { streams, widthsMs = [] } = this.#settings
    const plans =
      streams === undefined ? planOfWidths(widthsMs.map(tumblingOperator)) : planOperatorSets(streams)
    const isAlone = plans.length === 1 && plans[0].branches === EVERY_BRANCH
    const sets = plans.map((plan) => new OperatorSet(plan, this.#settings, this.#fed, isFresh, isAlone))
    this.#setsOfStream = (streams ?? []).map((_, stream) =>
      sets.filter(({ plan }) => plan.streams.includes(stream)),
    )
    return sets
  }
}

function tumblingOperator(widthMs: number): PlannedOperator {
  const spec: WindowSpec = { kind: 'tumbling', widthMs, aggregates: [...PLAIN_AGGREGATES], earlyMs: null }
  return { label: windowLabel(spec), spec }
}

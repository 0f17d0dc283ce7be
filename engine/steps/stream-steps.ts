/**
 * What a stream's config does to the readings of a message between decoding and storing: the topic's metric level, the
 * selection of metrics, filters, maps and derived metrics in their order, and which branches a reading belongs to. Works in
 * place on the rows of one message. Owned by the shard's thread. Invariant: equal messages give equal rows whatever came
 * before, as far as the user's functions do.
 */
import type { ReadingColumns } from '../../codecs/columns.ts'
import type { MetricNames } from '../../codecs/metric-names.ts'
import { PayloadCodec } from '../../codecs/payload.ts'
import type { GroupFunction, ReadingMap, ReadingTest, StreamConfig, StreamPipeline } from '../config.ts'
import { levelIndex, METRIC_LEVEL, parseTopicPattern, type TopicLevel } from '../topic-pattern.ts'
import { MetricFilter, takesAll } from './metric-filter.ts'
import type { RowBranches } from './row-branches.ts'
import type { StepFaults } from './step-faults.ts'
import type { TextCache } from './text-cache.ts'
import { GroupView, MessageView, ReadingView } from './views.ts'

type PlannedStep =
  | { kind: 'filter'; where: string; fn: ReadingTest }
  | { kind: 'map'; where: string; metrics: MetricFilter; fn: ReadingMap }
  | { kind: 'derive'; where: string; name: Uint8Array; metric: number; fn: GroupFunction }

interface PlannedBranch {
  where: string
  metrics: MetricFilter | null
  filter: ReadingTest | null
}

/** Shared by all streams of a shard. */
export interface StepContext {
  columns: ReadingColumns
  names: MetricNames
  texts: TextCache
  faults: StepFaults
}

const CODECS = { auto: PayloadCodec.AUTO, json: PayloadCodec.JSON, msgpack: PayloadCodec.MSGPACK }
const NAMES_FULL = 'there is no room for another metric name'

/** Whether readings of the stream go to `samples` and every operator just as they were decoded. */
export function isPlain(
  { topic }: StreamConfig,
  { codec, selection, isRaw, steps, branches }: StreamPipeline,
): boolean {
  const isWhole = branches.every((branch) => branch.filter === null && takesAll(branch.selection))
  const namesMetric = topic.split('/').includes(`{${METRIC_LEVEL}}`)
  return codec === 'auto' && takesAll(selection) && isRaw && steps.length === 0 && isWhole && !namesMetric
}

export class StreamSteps {
  readonly codec: PayloadCodec
  /** Which level of the topic names the metric; -1 for none. */
  readonly metricLevel: number
  readonly isRaw: boolean
  /** Whether every branch takes every reading. */
  readonly isWhole: boolean
  /** Why the last `run` failed. */
  reason = ''
  #context: StepContext
  #levels: readonly TopicLevel[]
  #name: string
  #selection: MetricFilter | null
  #steps: PlannedStep[]
  #branches: PlannedBranch[]
  #message: MessageView
  #reading: ReadingView
  #group: GroupView
  /** The step or branch whose function is running. */
  #where = ''
  #order = new Int32Array(64)

  constructor(stream: StreamConfig, pipeline: StreamPipeline, context: StepContext) {
    const { columns, names, texts } = context
    this.#context = context
    this.#name = stream.name
    this.#levels = parseTopicPattern(stream.topic) ?? []
    this.metricLevel = levelIndex(this.#levels, METRIC_LEVEL)
    this.codec = CODECS[pipeline.codec]
    this.isRaw = pipeline.isRaw
    this.#selection = takesAll(pipeline.selection) ? null : new MetricFilter(names, pipeline.selection)
    this.#steps = pipeline.steps.map((step, index) => this.#plan(step, index))
    this.#branches = pipeline.branches.map(({ selection, filter }, index) => ({
      where: `branches[${index}].filter`,
      metrics: takesAll(selection) ? null : new MetricFilter(names, selection),
      filter,
    }))
    this.isWhole = this.#branches.every(({ metrics, filter }) => metrics === null && filter === null)
    this.#message = new MessageView(texts)
    this.#reading = new ReadingView(this.#message, columns, names, texts)
    this.#group = new GroupView(this.#message, columns, names, texts)
  }

  /**
   * The rows from `first` on are the message's; their times are set. What is left of them, and what was derived, is there
   * afterwards, and `branches` has a bit for each branch that takes the row. Returns how many readings were filtered out, or -1
   * with the reason when a function threw; then the rows are spoiled.
   */
  // hot: per message of a stream with steps
  run(
    bytes: Uint8Array,
    topicStart: number,
    topicEnd: number,
    deviceStart: number,
    deviceEnd: number,
    arrivalMs: number,
    first: number,
    branches: RowBranches,
  ): number {
    const { columns } = this.#context
    const message = this.#message
    message.stream = this.#name
    message.levels = this.#levels
    message.arrivalMs = arrivalMs
    message.setTopic(bytes, topicStart, topicEnd, deviceStart, deviceEnd)
    const decodedCount = columns.count
    let derivedCount = 0
    try {
      if (this.#selection !== null) this.#select(this.#selection, first)
      for (let i = 0; i < this.#steps.length; i++) {
        const step = this.#steps[i]
        this.#where = step.where
        if (step.kind === 'filter') this.#filter(step.fn, first)
        else if (step.kind === 'map') this.#map(step.metrics, step.fn, first)
        else {
          const added = this.#derive(step, first)
          if (added < 0) return -1
          derivedCount += added
        }
      }
      if (!this.isWhole) this.#branch(branches, first)
    } catch (thrown) {
      this.reason = this.#context.faults.reason(this.#where, thrown)
      return -1
    }
    return decodedCount + derivedCount - columns.count
  }

  #plan(step: StreamPipeline['steps'][number], index: number): PlannedStep {
    const { names } = this.#context
    const place = `steps[${index}]`
    if (step.kind === 'filter') return { kind: 'filter', where: `${place} filter`, fn: step.fn }
    if (step.kind === 'map') {
      const metrics = new MetricFilter(names, { include: [step.metric], exclude: [] })
      return { kind: 'map', where: `${place} map ${step.metric}`, metrics, fn: step.fn }
    }
    const name = new TextEncoder().encode(step.name)
    return { kind: 'derive', where: `${place} derive ${step.name}`, name, metric: -1, fn: step.fn }
  }

  #select(selection: MetricFilter, first: number): void {
    const { columns } = this.#context
    const { metric } = columns
    let to = first
    for (let row = first, end = columns.count; row < end; row++) {
      if (selection.takes(metric[row])) columns.move(row, to++)
    }
    columns.count = to
  }

  #filter(fn: ReadingTest, first: number): void {
    const { columns } = this.#context
    const reading = this.#reading
    let to = first
    for (let row = first, end = columns.count; row < end; row++) {
      reading.row = row
      const isKept: unknown = fn(reading)
      if (isKept === true) columns.move(row, to++)
      else if (isKept !== false) throw new TypeError(`returned ${typeof isKept}, not true or false`)
    }
    columns.count = to
  }

  #map(metrics: MetricFilter, fn: ReadingMap, first: number): void {
    const { columns } = this.#context
    const reading = this.#reading
    let to = first
    for (let row = first, end = columns.count; row < end; row++) {
      if (metrics.takes(columns.metric[row])) {
        reading.row = row
        const value: unknown = fn(reading)
        if (typeof value === 'number') {
          if (Number.isNaN(value)) continue
          columns.value[row] = value
          columns.textSize[row] = -1
        } else if (typeof value === 'string') setText(columns, row, value)
        else throw new TypeError(`returned ${value === null ? 'null' : typeof value}, not a number or a text`)
      }
      columns.move(row, to++)
    }
    columns.count = to
  }

  /** Returns how many rows were added, or -1 when there is no room for the name. */
  #derive(step: PlannedStep & { kind: 'derive' }, first: number): number {
    const { columns, names } = this.#context
    if (step.metric < 0) step.metric = names.intern(step.name, 0, step.name.length)
    if (step.metric < 0) {
      this.reason = NAMES_FULL
      return -1
    }
    const end = columns.count
    const isSorted = isAscending(columns.tsMs, first, end)
    const order = isSorted ? null : this.#orderByTime(first, end)
    const group = this.#group
    for (let at = first; at < end; ) {
      const timeMs = columns.tsMs[order === null ? at : order[at - first]]
      group.begin(timeMs)
      for (; at < end; at++) {
        const row = order === null ? at : order[at - first]
        if (columns.tsMs[row] !== timeMs) break
        group.add(columns.metric[row], row)
      }
      const value: unknown = step.fn(group)
      if (typeof value !== 'number') throw new TypeError(`returned ${typeof value}, not a number`)
      if (!Number.isNaN(value)) addNumber(columns, step.metric, timeMs, value)
    }
    return columns.count - end
  }

  /** The rows [first, end) by time, those of one time in their order. */
  #orderByTime(first: number, end: number): Int32Array {
    const count = end - first
    if (count > this.#order.length) this.#order = new Int32Array(count * 2)
    const order = this.#order.subarray(0, count)
    for (let i = 0; i < count; i++) order[i] = first + i
    const { tsMs } = this.#context.columns
    return order.sort((a, b) => tsMs[a] - tsMs[b] || a - b)
  }

  #branch(out: RowBranches, first: number): void {
    const { columns } = this.#context
    const reading = this.#reading
    const branches = this.#branches
    const end = columns.count
    out.reserve(end)
    for (let row = first; row < end; row++) {
      reading.row = row
      let bits = 0
      for (let i = 0; i < branches.length; i++) {
        const { metrics, filter, where } = branches[i]
        if (metrics !== null && !metrics.takes(columns.metric[row])) continue
        if (filter !== null) {
          this.#where = where
          const isTaken: unknown = filter(reading)
          if (isTaken === false) continue
          if (isTaken !== true) throw new TypeError(`returned ${typeof isTaken}, not true or false`)
        }
        bits |= 1 << i
      }
      out.bits[row] = bits
    }
  }
}

function isAscending(tsMs: Float64Array, first: number, end: number): boolean {
  for (let row = first + 1; row < end; row++) if (tsMs[row] < tsMs[row - 1]) return false
  return true
}

function addNumber(columns: ReadingColumns, metric: number, timeMs: number, value: number): void {
  columns.reserve(1)
  const row = columns.count++
  columns.metric[row] = metric
  columns.tsMs[row] = timeMs
  columns.value[row] = value
  columns.textSize[row] = -1
}

function setText(columns: ReadingColumns, row: number, text: string): void {
  columns.reserveText(text.length * 3)
  const start = columns.textSizeBytes
  const { written } = new TextEncoder().encodeInto(text, columns.text.subarray(start))
  columns.value[row] = NaN
  columns.textStart[row] = start
  columns.textSize[row] = written
  columns.textSizeBytes = start + written
}

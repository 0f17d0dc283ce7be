/**
 * What a user's functions see of a message: a reading of it, or its readings of one time. Nothing is allocated per reading: one
 * object of each serves all, and texts come from a cache. Owned by the shard's thread. Invariant: a view shows what the columns
 * hold now, so it is good only while the function that got it runs.
 */
import type { ReadingColumns } from '../../codecs/columns.ts'
import type { MetricNames } from '../../codecs/metric-names.ts'
import type { Reading, ReadingGroup } from '../config.ts'
import { levelIndex, type TopicLevel } from '../topic-pattern.ts'
import type { TextCache } from './text-cache.ts'

const SLASH = 0x2f
/** Names that derive functions ask for by a text, of which the bytes are kept. */
const NAME_COUNT_MAX = 4096

/** The message that the steps are at. */
export class MessageView {
  stream = ''
  arrivalMs = 0
  levels: readonly TopicLevel[] = []
  #texts: TextCache
  #bytes: Uint8Array = new Uint8Array(0)
  #topicStart = 0
  #topicEnd = 0
  #deviceStart = 0
  #deviceEnd = 0
  #device: string | null = null
  /** The level that was asked for last; names are not empty. */
  #levelName = ''
  #level = ''

  constructor(texts: TextCache) {
    this.#texts = texts
  }

  /** The topic is bytes[topicStart, topicEnd), and the device's name in it. */
  // hot: per message of a stream with steps
  setTopic(
    bytes: Uint8Array,
    topicStart: number,
    topicEnd: number,
    deviceStart: number,
    deviceEnd: number,
  ): void {
    this.#bytes = bytes
    this.#topicStart = topicStart
    this.#topicEnd = topicEnd
    this.#deviceStart = deviceStart
    this.#deviceEnd = deviceEnd
    this.#device = null
    this.#levelName = ''
  }

  get device(): string {
    this.#device ??= this.#texts.text(this.#bytes, this.#deviceStart, this.#deviceEnd)
    return this.#device
  }

  // hot: per reading of a step that asks for it
  level(name: string): string {
    if (name === this.#levelName) return this.#level
    const index = levelIndex(this.levels, name)
    if (index < 0) throw new RangeError(`the topic has no level {${name}}`)
    const start = levelStart(this.#bytes, this.#topicStart, this.#topicEnd, index)
    this.#level = this.#texts.text(this.#bytes, start, levelEnd(this.#bytes, start, this.#topicEnd))
    this.#levelName = name
    return this.#level
  }
}

/** Where the level with this index begins in the topic bytes[start, end). */
export function levelStart(bytes: Uint8Array, start: number, end: number, index: number): number {
  let at = start
  for (let left = index; left > 0 && at < end; at++) if (bytes[at] === SLASH) left--
  return at
}

export function levelEnd(bytes: Uint8Array, start: number, end: number): number {
  let at = start
  while (at < end && bytes[at] !== SLASH) at++
  return at
}

export class ReadingView implements Reading {
  row = 0
  #message: MessageView
  #columns: ReadingColumns
  #names: MetricNames
  #texts: TextCache

  constructor(message: MessageView, columns: ReadingColumns, names: MetricNames, texts: TextCache) {
    this.#message = message
    this.#columns = columns
    this.#names = names
    this.#texts = texts
  }

  get stream(): string {
    return this.#message.stream
  }

  get device(): string {
    return this.#message.device
  }

  get metric(): string {
    return this.#names.text(this.#columns.metric[this.row])
  }

  get value(): number {
    return this.#columns.value[this.row]
  }

  get text(): string | null {
    return textOfRow(this.#columns, this.row, this.#texts)
  }

  get timeMs(): number {
    return this.#columns.tsMs[this.row]
  }

  get arrivalMs(): number {
    return this.#message.arrivalMs
  }

  level(name: string): string {
    return this.#message.level(name)
  }
}

export class GroupView implements ReadingGroup {
  timeMs = 0
  #message: MessageView
  #columns: ReadingColumns
  #names: MetricNames
  #texts: TextCache
  /** Row of each metric of the group, valid where the stamp is the group's. */
  #rowOfMetric = new Int32Array(256)
  #stamps = new Int32Array(256)
  #stamp = 0
  #asked = new Map<string, { bytes: Uint8Array; metric: number }>()

  constructor(message: MessageView, columns: ReadingColumns, names: MetricNames, texts: TextCache) {
    this.#message = message
    this.#columns = columns
    this.#names = names
    this.#texts = texts
  }

  begin(timeMs: number): void {
    this.timeMs = timeMs
    if (this.#names.count > this.#rowOfMetric.length) this.#grow(this.#names.count)
    this.#stamp++
    if (this.#stamp < 0x7fffffff) return
    this.#stamps.fill(0)
    this.#stamp = 1
  }

  /** Of two readings of one metric the later one counts. */
  // hot: per reading of a message with derived metrics
  add(metric: number, row: number): void {
    if (metric >= this.#rowOfMetric.length) this.#grow(metric + 1)
    this.#rowOfMetric[metric] = row
    this.#stamps[metric] = this.#stamp
  }

  get stream(): string {
    return this.#message.stream
  }

  get device(): string {
    return this.#message.device
  }

  get arrivalMs(): number {
    return this.#message.arrivalMs
  }

  level(name: string): string {
    return this.#message.level(name)
  }

  value(metric: string): number {
    const row = this.#rowOf(metric)
    return row < 0 ? NaN : this.#columns.value[row]
  }

  text(metric: string): string | null {
    const row = this.#rowOf(metric)
    return row < 0 ? null : textOfRow(this.#columns, row, this.#texts)
  }

  has(metric: string): boolean {
    return this.#rowOf(metric) >= 0
  }

  #rowOf(name: string): number {
    let asked = this.#asked.get(name)
    if (asked === undefined) {
      asked = { bytes: new TextEncoder().encode(name), metric: -1 }
      if (this.#asked.size < NAME_COUNT_MAX) this.#asked.set(name, asked)
    }
    if (asked.metric < 0) asked.metric = this.#names.find(asked.bytes, 0, asked.bytes.length)
    const { metric } = asked
    if (metric < 0 || metric >= this.#stamps.length || this.#stamps[metric] !== this.#stamp) return -1
    return this.#rowOfMetric[metric]
  }

  #grow(countMin: number): void {
    const count = Math.max(countMin, this.#rowOfMetric.length * 2)
    const rows = new Int32Array(count)
    rows.set(this.#rowOfMetric)
    this.#rowOfMetric = rows
    const stamps = new Int32Array(count)
    stamps.set(this.#stamps)
    this.#stamps = stamps
  }
}

function textOfRow(columns: ReadingColumns, row: number, texts: TextCache): string | null {
  const size = columns.textSize[row]
  if (size < 0) return null
  const start = columns.textStart[row]
  return texts.text(columns.text, start, start + size)
}

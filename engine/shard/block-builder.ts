/**
 * Makes the rows of a pipeline into Native blocks, one per table, in the tables' order. Owned by the shard's thread.
 * Equal rows and equal marks give equal blocks, and the token of a block is (store id, table, shard, mark).
 */
import { BlockWriter } from '../../codecs/native/block-writer.ts'
import type { BatchPart, SealedBatch } from '../sink/sealed-batch.ts'
import {
  columnNames,
  DEAD_LETTERS_COLUMNS,
  LEDGER_COLUMNS,
  ROLLUPS_COLUMNS,
  SAMPLES_COLUMNS,
  TABLE_COLUMNS,
  type TableName,
} from '../store/columns.ts'
import type { DeadLetters } from './dead-letters.ts'
import type { Ledger } from './ledger.ts'
import type { Pipeline } from './pipeline.ts'
import { RowOrder } from './row-order.ts'

/** More than the milliseconds of four centuries, and far below 2^53 for 256 widths. */
const START_SPAN_MS = 2 ** 44

/** Of one block: well within what the store takes in one insert. */
const BLOCK_ROWS_MAX = 1_000_000

/** Months that one insert may touch: ClickHouse refuses more than 100 partitions. */
const PARTITIONS_MAX = 90
const SHORTEST_MONTH_MS = 28 * 86_400_000

/** Places in the order of the rows. */
interface Range {
  start: number
  end: number
}

export interface BlockSettings {
  storeId: Uint8Array
  shard: number
  streams: readonly string[]
  /** The windows' widths as the column `window` names them. */
  widths: readonly string[]
}

export class BlockBuilder {
  #settings: BlockSettings
  #pipeline: Pipeline
  #writer = new BlockWriter()
  #order: RowOrder
  #streams: Uint8Array[]
  #widths: Uint8Array[]
  #widthRank: Int32Array
  #paneKey = new Float64Array(1024)
  #tokenPrefix: string

  constructor(settings: BlockSettings, pipeline: Pipeline) {
    this.#settings = settings
    this.#pipeline = pipeline
    this.#streams = settings.streams.map(utf8)
    this.#widths = settings.widths.map(utf8)
    const sorted = [...settings.widths].sort()
    this.#widthRank = Int32Array.from(settings.widths, (width) => sorted.indexOf(width))
    this.#order = new RowOrder(pipeline.devices, pipeline.series, pipeline.metrics, settings.streams)
    this.#tokenPrefix = Buffer.from(settings.storeId).toString('hex')
  }

  /** The pipeline's rows as the batch of `mark`; the pipeline is left as it is. */
  build(pipeline: Pipeline, mark: number): SealedBatch {
    const { readings, windows, deadLetters, ledger } = pipeline
    const parts: BatchPart[] = []
    if (readings.count > 0) {
      parts.push(...this.#parts('samples', mark, this.#sortSamples(), (range) => this.#samples(range)))
    }
    if (windows.closed.count > 0) {
      parts.push(...this.#parts('rollups', mark, this.#sortRollups(), (range) => this.#rollups(range)))
    }
    if (deadLetters.count > 0) {
      parts.push(
        ...this.#parts('dead_letters', mark, [whole(deadLetters.count)], () =>
          this.#deadLetters(deadLetters),
        ),
      )
    }
    if (ledger.count > 0) {
      parts.push(...this.#parts('ledger', mark, [whole(ledger.count)], () => this.#ledger(ledger, mark)))
    }
    const sizeBytes = parts.reduce((sum, part) => sum + part.block.length, 0)
    return { mark, parts, rowCount: pipeline.rowCount, sizeBytes }
  }

  /** A part for each range of the ordered rows. Their order decides where one ends, and that is the same in a replay. */
  #parts(table: TableName, mark: number, ranges: Range[], build: (range: Range) => Uint8Array): BatchPart[] {
    const columns = columnNames(TABLE_COLUMNS[table])
    const token = `${this.#tokenPrefix}/${table}/${this.#settings.shard}/${mark}`
    return ranges.map((range, piece) => ({
      table,
      columns,
      block: build(range).slice(), // the writer's memory is for the next block
      token: ranges.length === 1 ? token : `${token}/${piece}`,
      rowCount: range.end - range.start,
    }))
  }

  #sortSamples(): Range[] {
    const { readings, seriesOfRow } = this.#pipeline
    const { count, tsMs } = readings
    this.#order.sort(seriesOfRow, count)
    this.#order.sortRuns(tsMs)
    let minMs = Number.POSITIVE_INFINITY
    let maxMs = Number.NEGATIVE_INFINITY
    for (let row = 0; row < count; row++) {
      if (tsMs[row] < minMs) minMs = tsMs[row]
      if (tsMs[row] > maxMs) maxMs = tsMs[row]
    }
    if (maxMs - minMs < PARTITIONS_MAX * SHORTEST_MONTH_MS) return cut(count)
    const months = Int32Array.from(tsMs.subarray(0, count), monthOf)
    this.#order.groupBy(months, count)
    return cutByMonth(months, this.#order.order, count)
  }

  #sortRollups(): Range[] {
    const panes = this.#pipeline.windows.closed
    if (this.#paneKey.length < panes.count) this.#paneKey = new Float64Array(panes.count * 2)
    for (let row = 0; row < panes.count; row++) {
      this.#paneKey[row] = this.#widthRank[panes.window[row]] * START_SPAN_MS + panes.startMs[row]
    }
    this.#order.sort(panes.series, panes.count)
    this.#order.sortRuns(this.#paneKey)
    return cut(panes.count)
  }

  #samples(range: Range): Uint8Array {
    const { readings, arrivalMs } = this.#pipeline
    const writer = this.#writer
    const order = this.#order.order.subarray(range.start, range.end)
    writer.begin(SAMPLES_COLUMNS.length, order.length)
    this.#writeSeriesColumns(range)
    writer.dateTime64('ts', readings.tsMs, order)
    writer.float64('value', readings.value, order)
    writer.string('text', readings.text, readings.textStart, readings.textSize, order)
    writer.dateTime64('arrival', arrivalMs, order)
    return writer.finish()
  }

  #rollups(range: Range): Uint8Array {
    const panes = this.#pipeline.windows.closed
    const writer = this.#writer
    const order = this.#order.order.subarray(range.start, range.end)
    const [, , , , , count, sum, min, max, first, last] = ROLLUPS_COLUMNS
    writer.begin(ROLLUPS_COLUMNS.length, order.length)
    this.#writeSeriesColumns(range)
    writer.lowCardinality('window', this.#widths, panes.window, order)
    writer.dateTime64('start', panes.startMs, order)
    writer.uint64(count.name, panes.n, order, count.type)
    writer.float64(sum.name, panes.sum, order, sum.type)
    writer.float64(min.name, panes.min, order, min.type)
    writer.float64(max.name, panes.max, order, max.type)
    writer.dateTime64AndFloat64(first.name, first.type, panes.firstTsMs, panes.first, order)
    writer.dateTime64AndFloat64(last.name, last.type, panes.lastTsMs, panes.last, order)
    return writer.finish()
  }

  #deadLetters(letters: DeadLetters): Uint8Array {
    const writer = this.#writer
    const { count, bytes, deviceStart, deviceSize } = letters
    const rows = Array.from({ length: count }, (_, row) => row)
    const devices = rows.map((row) => bytes.subarray(deviceStart[row], deviceStart[row] + deviceSize[row]))
    const reasons = [...new Set(letters.reason)]
    const reasonOfRow = Int32Array.from(letters.reason, (reason) => reasons.indexOf(reason))
    writer.begin(DEAD_LETTERS_COLUMNS.length, count)
    writer.dateTime64('arrival', letters.arrivalMs, null)
    writer.lowCardinality('stream', this.#streams, letters.stream, null)
    writer.lowCardinality('device', devices, Int32Array.from(rows), null)
    writer.string('topic', bytes, letters.topicStart, letters.topicSize, null)
    writer.lowCardinality('reason', reasons.map(utf8), reasonOfRow, null)
    writer.string('payload', bytes, letters.payloadStart, letters.payloadSize, null)
    writer.uint32('shard', new Uint32Array(count).fill(this.#settings.shard), null)
    writer.uint64('position', letters.position, null)
    return writer.finish()
  }

  #ledger(ledger: Ledger, mark: number): Uint8Array {
    const { count } = ledger
    const writer = this.#writer
    const figures = [
      ledger.accepted,
      ledger.stored,
      ledger.filtered,
      ledger.deadLettered,
      ledger.duplicate,
      ledger.amended,
      ledger.messages,
    ]
    const [stream, minute, shard, markColumn, ...columns] = LEDGER_COLUMNS
    writer.begin(LEDGER_COLUMNS.length, count)
    writer.lowCardinality(stream.name, this.#streams, ledger.stream, null)
    writer.uint32(minute.name, ledger.minuteS, null, minute.type)
    writer.uint32(shard.name, new Uint32Array(count).fill(this.#settings.shard), null)
    writer.uint64(markColumn.name, new Float64Array(count).fill(mark), null)
    for (const [index, { name, type }] of columns.entries()) writer.uint64(name, figures[index], null, type)
    return writer.finish()
  }

  #writeSeriesColumns({ start, end }: Range): void {
    const { streamIndices, deviceIndices, metricIndices, deviceDictionary, metricDictionary } = this.#order
    this.#writer.lowCardinality('stream', this.#streams, streamIndices.subarray(start, end), null)
    this.#writer.lowCardinality('device', deviceDictionary, deviceIndices.subarray(start, end), null)
    this.#writer.lowCardinality('metric', metricDictionary, metricIndices.subarray(start, end), null)
  }
}

function whole(count: number): Range {
  return { start: 0, end: count }
}

/** Ranges of a bounded size: a flush of all windows has very many rows. */
function cut(count: number): Range[] {
  return Array.from({ length: Math.ceil(count / BLOCK_ROWS_MAX) }, (_, piece) => ({
    start: piece * BLOCK_ROWS_MAX,
    end: Math.min(count, (piece + 1) * BLOCK_ROWS_MAX),
  }))
}

/** Ranges of at most PARTITIONS_MAX months each; the rows are ordered by month. */
function cutByMonth(months: Int32Array, order: Int32Array, count: number): Range[] {
  const ranges: Range[] = []
  let start = 0
  let monthCount = 1
  for (let place = 1; place < count; place++) {
    if (months[order[place]] === months[order[place - 1]]) continue
    if (++monthCount <= PARTITIONS_MAX) continue
    ranges.push({ start, end: place })
    start = place
    monthCount = 1
  }
  return [...ranges, { start, end: count }]
}

function monthOf(ms: number): number {
  const date = new Date(ms)
  return date.getUTCFullYear() * 12 + date.getUTCMonth()
}

function utf8(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}

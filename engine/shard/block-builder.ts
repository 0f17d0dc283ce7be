/**
 * Makes the rows of a pipeline into Native blocks, one per table, in the tables' order. Owned by the shard's thread.
 * Equal rows and equal marks give equal blocks, and the token of a block is (store id, table, shard, mark). A batch is
 * built in slices, between which the shard syncs; the pipeline must stand still until the last one.
 */
import { BlockWriter } from '../../codecs/native/block-writer.ts'
import type { BatchPart, SealedBatch } from '../sink/sealed-batch.ts'
import {
  type ColumnSpec,
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
import { rowSlices, runSlices, type Slices } from './slices.ts'

/** More than the milliseconds of four centuries, and far below 2^53 for 256 widths. */
const START_SPAN_MS = 2 ** 44

/** Of one block: well within what the store takes in one insert. */
const BLOCK_ROWS_MAX = 1_000_000

/** Months that one insert may touch: ClickHouse refuses more than 100 partitions. */
const PARTITIONS_MAX = 90
const SHORTEST_MONTH_MS = 28 * 86_400_000

/** Rows that are worth no slices: half a millisecond. */
const ROWS_AT_ONCE_MAX = 8192

/** Of a row in a block, in bytes, texts and dictionaries left out: the memory to begin with. */
const SAMPLE_SIZE_BYTES = 31
const ROLLUP_SIZE_BYTES = 80
const TEXT_HEAD_SIZE_BYTES_MAX = 5
const DICTIONARY_ENTRY_SIZE_BYTES = 32

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

  /** The pipeline's rows as the batch of `mark`, with the last slice; the pipeline is left as it is. */
  *build(pipeline: Pipeline, mark: number): Slices<SealedBatch> {
    const slices = this.#build(pipeline, mark)
    return pipeline.rowCount > ROWS_AT_ONCE_MAX ? yield* slices : runSlices(slices)
  }

  *#build(pipeline: Pipeline, mark: number): Slices<SealedBatch> {
    const { readings, windows, deadLetters, ledger } = pipeline
    const parts: BatchPart[] = []
    if (readings.count > 0) {
      const ranges = yield* this.#sortSamples()
      parts.push(...(yield* this.#parts('samples', mark, ranges, (range) => this.#samples(range))))
    }
    if (windows.closed.count > 0) {
      const ranges = yield* this.#sortRollups()
      parts.push(...(yield* this.#parts('rollups', mark, ranges, (range) => this.#rollups(range))))
    }
    if (deadLetters.count > 0) {
      const ranges = [whole(deadLetters.count)]
      parts.push(...(yield* this.#parts('dead_letters', mark, ranges, () => this.#deadLetters(deadLetters))))
    }
    if (ledger.count > 0) {
      const ranges = [whole(ledger.count)]
      parts.push(...(yield* this.#parts('ledger', mark, ranges, () => this.#ledger(ledger, mark))))
    }
    const sizeBytes = parts.reduce((sum, part) => sum + part.block.length, 0)
    return { mark, parts, rowCount: pipeline.rowCount, sizeBytes }
  }

  /** A part for each range of the ordered rows. Their order decides where one ends, and that is the same in a replay. */
  *#parts(
    table: TableName,
    mark: number,
    ranges: Range[],
    write: (range: Range) => Slices,
  ): Slices<BatchPart[]> {
    const columns = columnNames(TABLE_COLUMNS[table])
    const token = `${this.#tokenPrefix}/${table}/${this.#settings.shard}/${mark}`
    const parts: BatchPart[] = []
    for (const [piece, range] of ranges.entries()) {
      yield* write(range)
      parts.push({
        table,
        columns,
        block: this.#writer.take(),
        token: ranges.length === 1 ? token : `${token}/${piece}`,
        rowCount: range.end - range.start,
      })
    }
    return parts
  }

  *#sortSamples(): Slices<Range[]> {
    const { readings, seriesOfRow } = this.#pipeline
    const { count, tsMs } = readings
    yield* this.#order.sort(seriesOfRow, count)
    yield* this.#order.sortRuns(tsMs)
    let minMs = Number.POSITIVE_INFINITY
    let maxMs = Number.NEGATIVE_INFINITY
    for (let row = 0; row < count; row++) {
      if (tsMs[row] < minMs) minMs = tsMs[row]
      if (tsMs[row] > maxMs) maxMs = tsMs[row]
    }
    yield
    if (maxMs - minMs < PARTITIONS_MAX * SHORTEST_MONTH_MS) return cut(count)
    const months = new Int32Array(count)
    yield* rowSlices(count, (start, end) => {
      for (let row = start; row < end; row++) months[row] = monthOf(tsMs[row])
    })
    yield* this.#order.groupBy(months, count)
    return cutByMonth(months, this.#order.order, count)
  }

  *#sortRollups(): Slices<Range[]> {
    const panes = this.#pipeline.windows.closed
    if (this.#paneKey.length < panes.count) this.#paneKey = new Float64Array(panes.count * 2)
    const key = this.#paneKey
    const rank = this.#widthRank
    yield* rowSlices(panes.count, (start, end) => {
      for (let row = start; row < end; row++) {
        key[row] = rank[panes.window[row]] * START_SPAN_MS + panes.startMs[row]
      }
    })
    yield* this.#order.sort(panes.series, panes.count)
    yield* this.#order.sortRuns(key)
    return cut(panes.count)
  }

  *#samples(range: Range): Slices {
    const { readings, arrivalMs } = this.#pipeline
    const { tsMs, value, text, textStart, textSize, textSizeBytes } = readings
    const writer = this.#writer
    const order = this.#order.order.subarray(range.start, range.end)
    const textBytes = textSizeBytes > 0 ? textSizeBytes + order.length * TEXT_HEAD_SIZE_BYTES_MAX : 0
    const sizeBytes = order.length * SAMPLE_SIZE_BYTES + this.#dictionarySizeBytes + textBytes
    writer.begin(SAMPLES_COLUMNS.length, order.length, sizeBytes)
    yield* this.#writeSeriesColumns(range)
    const [, , , tsColumn, valueColumn, textColumn, arrivalColumn] = SAMPLES_COLUMNS
    writer.beginColumn(tsColumn.name, tsColumn.type)
    yield* pieces(order, (rows) => writer.addDateTimes(tsMs, rows))
    writer.beginColumn(valueColumn.name, valueColumn.type)
    yield* pieces(order, (rows) => writer.addFloat64(value, rows))
    writer.beginColumn(textColumn.name, textColumn.type)
    yield* pieces(order, (rows) => writer.addStrings(text, textStart, textSize, rows))
    writer.beginColumn(arrivalColumn.name, arrivalColumn.type)
    yield* pieces(order, (rows) => writer.addDateTimes(arrivalMs, rows))
  }

  *#rollups(range: Range): Slices {
    const panes = this.#pipeline.windows.closed
    const writer = this.#writer
    const order = this.#order.order.subarray(range.start, range.end)
    const [, , , window, start, count, sum, min, max, first, last] = ROLLUPS_COLUMNS
    writer.begin(
      ROLLUPS_COLUMNS.length,
      order.length,
      order.length * ROLLUP_SIZE_BYTES + this.#dictionarySizeBytes,
    )
    yield* this.#writeSeriesColumns(range)
    writer.lowCardinality(window.name, this.#widths, panes.window, order)
    yield
    writer.beginColumn(start.name, start.type)
    yield* pieces(order, (rows) => writer.addDateTimes(panes.startMs, rows))
    writer.beginColumn(count.name, count.type)
    yield* pieces(order, (rows) => writer.addUint64(panes.n, rows))
    const numbers: [ColumnSpec, Float64Array][] = [
      [sum, panes.sum],
      [min, panes.min],
      [max, panes.max],
    ]
    for (const [{ name, type }, values] of numbers) {
      writer.beginColumn(name, type)
      yield* pieces(order, (rows) => writer.addFloat64(values, rows))
    }
    const ends: [ColumnSpec, Float64Array, Float64Array][] = [
      [first, panes.firstTsMs, panes.first],
      [last, panes.lastTsMs, panes.last],
    ]
    for (const [{ name, type }, tsMs, values] of ends) {
      writer.beginColumn(name, type, 2) // a tuple: one element after the other
      yield* pieces(order, (rows) => writer.addDateTimes(tsMs, rows))
      yield* pieces(order, (rows) => writer.addFloat64(values, rows))
    }
  }

  *#deadLetters(letters: DeadLetters): Slices {
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
    yield
  }

  *#ledger(ledger: Ledger, mark: number): Slices {
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
    yield
  }

  *#writeSeriesColumns({ start, end }: Range): Slices {
    const { streamIndices, deviceIndices, metricIndices, deviceDictionary, metricDictionary } = this.#order
    this.#writer.lowCardinality('stream', this.#streams, streamIndices.subarray(start, end), null)
    yield
    this.#writer.lowCardinality('device', deviceDictionary, deviceIndices.subarray(start, end), null)
    yield
    this.#writer.lowCardinality('metric', metricDictionary, metricIndices.subarray(start, end), null)
    yield
  }

  get #dictionarySizeBytes(): number {
    const { deviceDictionary, metricDictionary } = this.#order
    return (deviceDictionary.length + metricDictionary.length) * DICTIONARY_ENTRY_SIZE_BYTES
  }
}

/** Calls `add` with one part of the order after the other. */
function pieces(order: Int32Array, add: (rows: Int32Array) => void): Slices {
  return rowSlices(order.length, (start, end) => add(order.subarray(start, end)))
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

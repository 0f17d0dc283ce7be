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
    const parts = [
      ...this.#parts(
        'samples',
        mark,
        readings.count,
        () => this.#sortSamples(),
        (order) => this.#samples(order),
      ),
      ...this.#parts(
        'rollups',
        mark,
        windows.closed.count,
        () => this.#sortRollups(),
        (order) => this.#rollups(order),
      ),
      ...this.#parts(
        'dead_letters',
        mark,
        deadLetters.count,
        () => {},
        () => this.#deadLetters(deadLetters),
      ),
      ...this.#parts(
        'ledger',
        mark,
        ledger.count,
        () => {},
        () => this.#ledger(ledger, mark),
      ),
    ]
    const sizeBytes = parts.reduce((sum, part) => sum + part.block.length, 0)
    return { mark, parts, rowCount: pipeline.rowCount, sizeBytes }
  }

  /**
   * One part, or when there are very many rows (a flush of all windows) several: the order of the rows decides where one
   * ends, and that is the same in a replay.
   */
  #parts(
    table: TableName,
    mark: number,
    count: number,
    sort: () => void,
    build: (order: Range) => Uint8Array,
  ): BatchPart[] {
    if (count === 0) return []
    sort()
    const columns = columnNames(TABLE_COLUMNS[table])
    const token = `${this.#tokenPrefix}/${table}/${this.#settings.shard}/${mark}`
    if (count <= BLOCK_ROWS_MAX) {
      return [{ table, columns, block: build({ start: 0, end: count }).slice(), token }] // the writer's memory is reused
    }
    return Array.from({ length: Math.ceil(count / BLOCK_ROWS_MAX) }, (_, piece) => {
      const start = piece * BLOCK_ROWS_MAX
      const block = build({ start, end: Math.min(count, start + BLOCK_ROWS_MAX) }).slice()
      return { table, columns, block, token: `${token}/${piece}` }
    })
  }

  #sortSamples(): void {
    const { readings, seriesOfRow } = this.#pipeline
    this.#order.sort(seriesOfRow, readings.count)
    this.#order.sortRuns(readings.tsMs)
  }

  #sortRollups(): void {
    const panes = this.#pipeline.windows.closed
    if (this.#paneKey.length < panes.count) this.#paneKey = new Float64Array(panes.count * 2)
    for (let row = 0; row < panes.count; row++) {
      this.#paneKey[row] = this.#widthRank[panes.window[row]] * START_SPAN_MS + panes.startMs[row]
    }
    this.#order.sort(panes.series, panes.count)
    this.#order.sortRuns(this.#paneKey)
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
      new Float64Array(count), // filtered: nothing filters yet
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
    for (const [index, { name }] of columns.entries()) writer.uint64(name, figures[index], null)
    return writer.finish()
  }

  #writeSeriesColumns({ start, end }: Range): void {
    const { streamIndices, deviceIndices, metricIndices, deviceDictionary, metricDictionary } = this.#order
    this.#writer.lowCardinality('stream', this.#streams, streamIndices.subarray(start, end), null)
    this.#writer.lowCardinality('device', deviceDictionary, deviceIndices.subarray(start, end), null)
    this.#writer.lowCardinality('metric', metricDictionary, metricIndices.subarray(start, end), null)
  }
}

function utf8(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}

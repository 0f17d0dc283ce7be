/**
 * Makes the rows of a pipeline into Native blocks, one per table, in the tables' order. Owned by the shard's thread.
 * Equal rows and equal marks give equal blocks, and the token of a block is (store id, table, shard, mark).
 */
import { BlockWriter } from '../../codecs/native/block-writer.ts'
import type { PaneRows } from '../../operators/pane-rows.ts'
import type { BatchPart, SealedBatch } from '../sink/sealed-batch.ts'
import {
  columnNames,
  DEAD_LETTERS_COLUMNS,
  ROLLUPS_COLUMNS,
  SAMPLES_COLUMNS,
  TABLE_COLUMNS,
  type TableName,
} from '../store/columns.ts'
import type { DeadLetters } from './dead-letters.ts'
import type { Pipeline } from './pipeline.ts'
import { RowOrder } from './row-order.ts'

/** More than the milliseconds of four centuries, and far below 2^53 for 256 widths. */
const START_SPAN_MS = 2 ** 44

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
    const parts: BatchPart[] = []
    if (pipeline.readings.count > 0) parts.push(this.#part('samples', mark, this.#samples()))
    if (pipeline.windows.closed.count > 0)
      parts.push(this.#part('rollups', mark, this.#rollups(pipeline.windows.closed)))
    if (pipeline.deadLetters.count > 0)
      parts.push(this.#part('dead_letters', mark, this.#deadLetters(pipeline.deadLetters)))
    const sizeBytes = parts.reduce((sum, part) => sum + part.block.length, 0)
    return { mark, parts, rowCount: pipeline.rowCount, sizeBytes }
  }

  #part(table: TableName, mark: number, block: Uint8Array): BatchPart {
    const columns = columnNames(TABLE_COLUMNS[table])
    const token = `${this.#tokenPrefix}/${table}/${this.#settings.shard}/${mark}`
    return { table, columns, block: block.slice(), token } // a copy: the writer's memory is for the next block
  }

  #samples(): Uint8Array {
    const { readings, seriesOfRow, arrivalMs } = this.#pipeline
    const writer = this.#writer
    const { order } = this.#sort(seriesOfRow, readings.count, readings.tsMs)
    writer.begin(SAMPLES_COLUMNS.length, readings.count)
    this.#writeSeriesColumns()
    writer.dateTime64('ts', readings.tsMs, order)
    writer.float64('value', readings.value, order)
    writer.string('text', readings.text, readings.textStart, readings.textSize, order)
    writer.dateTime64('arrival', arrivalMs, order)
    return writer.finish()
  }

  #rollups(panes: PaneRows): Uint8Array {
    const writer = this.#writer
    if (this.#paneKey.length < panes.count) this.#paneKey = new Float64Array(panes.count * 2)
    for (let row = 0; row < panes.count; row++) {
      this.#paneKey[row] = this.#widthRank[panes.window[row]] * START_SPAN_MS + panes.startMs[row]
    }
    const { order } = this.#sort(panes.series, panes.count, this.#paneKey)
    const [, , , , , , , , , first, last] = ROLLUPS_COLUMNS
    writer.begin(ROLLUPS_COLUMNS.length, panes.count)
    this.#writeSeriesColumns()
    writer.lowCardinality('window', this.#widths, panes.window, order)
    writer.dateTime64('start', panes.startMs, order)
    writer.uint64('count', panes.n, order, ROLLUPS_COLUMNS[5].type)
    writer.float64('sum', panes.sum, order, ROLLUPS_COLUMNS[6].type)
    writer.float64('min', panes.min, order, ROLLUPS_COLUMNS[7].type)
    writer.float64('max', panes.max, order, ROLLUPS_COLUMNS[8].type)
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

  #sort(series: Int32Array, count: number, key: Float64Array): RowOrder {
    this.#order.sort(series, count)
    this.#order.sortRuns(key)
    return this.#order
  }

  #writeSeriesColumns(): void {
    const { streamIndices, deviceIndices, metricIndices, deviceDictionary, metricDictionary } = this.#order
    this.#writer.lowCardinality('stream', this.#streams, streamIndices, null)
    this.#writer.lowCardinality('device', deviceDictionary, deviceIndices, null)
    this.#writer.lowCardinality('metric', metricDictionary, metricIndices, null)
  }
}

function utf8(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}

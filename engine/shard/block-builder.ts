/**
 * Makes the rows of a pipeline into Native blocks, one per table, in the tables' order. Owned by the shard's thread.
 * Equal rows and equal marks give equal blocks, and the token of a block is (store id, table, shard, mark). A batch is
 * built in slices, between which the shard syncs; the pipeline must stand still until the last one.
 */
import { BlockWriter } from '../../codecs/native/block-writer.ts'
import type { BatchPart, SealedBatch } from '../sink/sealed-batch.ts'
import {
  columnNames,
  DEAD_LETTERS_COLUMNS,
  LEDGER_COLUMNS,
  SAMPLES_COLUMNS,
  type TableName,
} from '../store/columns.ts'
import { AlertBlocks, alertsOf } from './alert-blocks.ts'
import { AmendmentBlocks } from './amendment-blocks.ts'
import { cut, orderOf, pieces, type Range, whole } from './block-ranges.ts'
import type { DeadLetters } from './dead-letters.ts'
import type { Ledger } from './ledger.ts'
import type { Pipeline } from './pipeline.ts'
import { PointBlocks } from './point-blocks.ts'
import { RollupBlocks } from './rollup-blocks.ts'
import { RowOrder } from './row-order.ts'
import { rowSlices, runSlices, type Slices } from './slices.ts'
import { WindowBlocks } from './window-blocks.ts'

/** Months that one insert may touch: ClickHouse refuses more than 100 partitions. */
const PARTITIONS_MAX = 90
const SHORTEST_MONTH_MS = 28 * 86_400_000

/** Rows that are worth no slices: half a millisecond. */
const ROWS_AT_ONCE_MAX = 8192

/** Of a row in a block, in bytes, texts and dictionaries left out: the memory to begin with. */
const SAMPLE_SIZE_BYTES = 31
const TEXT_HEAD_SIZE_BYTES_MAX = 5

/** Marks of a generation: versions of rows stay whole numbers that a double holds for some 8000 of them. */
const GENERATION_SPAN = 2 ** 40

export interface BlockSettings {
  storeId: Uint8Array
  /** Of the layout: rows of windows replace those of earlier ones. 0 when left out. */
  generation?: number
  shard: number
  streams: readonly string[]
  /** By stream, how long `samples` keeps readings; null for ever. */
  rawRetentionMs?: readonly (number | null)[]
}

/** What makes the blocks of one table out of one source of rows. */
interface BlockSource {
  readonly table: TableName
  readonly columns: readonly string[]
  readonly rowCount: number
  sort(): Slices<Range[]>
  write(range: Range, mark: number): Slices
}

/** What makes the blocks of a set's rows. */
interface TableBlocks {
  readonly columns: readonly string[]
  readonly rowCount: number
  sort(): Slices<Range[]>
  /** With room for another version above this one. */
  write(range: Range, version: number): Slices
}

export class BlockBuilder {
  #settings: BlockSettings
  #pipeline: Pipeline
  #writer = new BlockWriter()
  #order: RowOrder
  #streams: Uint8Array[]
  #tokenPrefix: string

  constructor(settings: BlockSettings, pipeline: Pipeline) {
    this.#settings = settings
    this.#pipeline = pipeline
    this.#streams = settings.streams.map(utf8)
    this.#order = new RowOrder(pipeline.devices, pipeline.series, pipeline.metrics, settings.streams)
    this.#tokenPrefix = Buffer.from(settings.storeId).toString('hex')
  }

  /** The pipeline's rows as the batch of `mark`, with the last slice; the pipeline is left as it is. */
  *build(mark: number): Slices<SealedBatch> {
    const slices = this.#build(mark)
    return this.#pipeline.rowCount > ROWS_AT_ONCE_MAX ? yield* slices : runSlices(slices)
  }

  /** Nobody reads the batch any more: its memory is for another one. */
  recycle({ parts }: SealedBatch): void {
    for (const { block } of parts) this.#writer.recycle(block)
  }

  *#build(mark: number): Slices<SealedBatch> {
    const parts: BatchPart[] = []
    for (const source of this.#sources()) {
      if (source.rowCount > 0) parts.push(...(yield* this.#parts(source, mark)))
    }
    this.#name(parts, mark)
    const sizeBytes = parts.reduce((sum, part) => sum + part.block.length, 0)
    const alerts = alertsOf(this.#pipeline, this.#settings.streams)
    return { mark, parts, alerts, rowCount: parts.reduce((sum, part) => sum + part.rowCount, 0), sizeBytes }
  }

  /** In the order in which they are sent: amendments read the samples, and stand above the windows and points, of their batch. */
  #sources(): BlockSource[] {
    const { readings, deadLetters, ledger } = this.#pipeline
    return [
      {
        table: 'samples',
        columns: columnNames(SAMPLES_COLUMNS),
        rowCount: readings.count,
        sort: () => this.#sortSamples(),
        write: (range) => this.#samples(range),
      },
      ...this.#setSources(),
      {
        table: 'dead_letters',
        columns: columnNames(DEAD_LETTERS_COLUMNS),
        rowCount: deadLetters.count,
        sort: () => unsorted(deadLetters.count),
        write: () => this.#deadLetters(deadLetters),
      },
      {
        table: 'ledger',
        columns: columnNames(LEDGER_COLUMNS),
        rowCount: ledger.count,
        sort: () => unsorted(ledger.count),
        write: (_, mark) => this.#ledger(ledger, mark),
      },
    ]
  }

  #setSources(): BlockSource[] {
    const order = this.#order
    const writer = this.#writer
    const sources: BlockSource[] = []
    for (const { merging, plan } of this.#pipeline.operators.sets) {
      if (merging === null) continue
      const blocks = new RollupBlocks(merging, plan.merging, order, writer)
      sources.push(this.#source('rollups', blocks))
    }
    for (const { ordered, plan } of this.#pipeline.operators.sets) {
      if (ordered === null) continue
      const amendments = new AmendmentBlocks(
        ordered,
        [...plan.ordered, ...plan.downsamplers],
        order,
        writer,
        this.#pipeline.timeMs,
        (series) => this.#keptSinceMs(series),
      )
      sources.push(this.#source('windows', new WindowBlocks(ordered, plan.ordered, order, writer)))
      sources.push(this.#source('points', new PointBlocks(ordered.points, plan.downsamplers, order, writer)))
      sources.push(this.#source('amendments', amendments))
    }
    for (const detector of this.#pipeline.detectors.all)
      sources.push(this.#source('anomalies', new AlertBlocks(detector, order, writer)))
    return sources
  }

  #source(table: TableName, blocks: TableBlocks): BlockSource {
    const { generation = 0 } = this.#settings
    return {
      table,
      columns: blocks.columns,
      rowCount: blocks.rowCount,
      sort: () => blocks.sort(),
      write: (range, mark) => blocks.write(range, generation * GENERATION_SPAN + 2 * mark),
    }
  }

  /** From when on `samples` has the readings of a series. */
  #keptSinceMs(series: number): number {
    const { devices, series: table, timeMs } = this.#pipeline
    const retentionMs = this.#settings.rawRetentionMs?.[devices.stream[table.device[series]]] ?? null
    return retentionMs === null ? Number.NEGATIVE_INFINITY : timeMs - retentionMs
  }

  /** A part for each range of the ordered rows. Their order decides where one ends, and that is the same in a replay. */
  *#parts(source: BlockSource, mark: number): Slices<BatchPart[]> {
    const { table, columns } = source
    const ranges = yield* source.sort()
    const parts: BatchPart[] = []
    for (const range of ranges) {
      yield* source.write(range, mark)
      const block = this.#writer.take()
      parts.push({ table, columns, block, token: '', rowCount: range.end - range.start })
    }
    return parts
  }

  /** Gives the parts their tokens. */
  #name(parts: readonly BatchPart[], mark: number): void {
    const ofTable = Map.groupBy(parts, ({ table }) => table)
    for (const [table, pieces] of ofTable) {
      const token = `${this.#tokenPrefix}/${table}/${this.#settings.shard}/${mark}`
      for (const [piece, part] of pieces.entries())
        part.token = pieces.length === 1 ? token : `${token}/${piece}`
    }
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
    if (maxMs - minMs < PARTITIONS_MAX * SHORTEST_MONTH_MS) return cut(count, SAMPLE_SIZE_BYTES)
    const months = new Int32Array(count)
    yield* rowSlices(count, (start, end) => {
      for (let row = start; row < end; row++) months[row] = monthOf(tsMs[row])
    })
    yield* this.#order.groupBy(months, count)
    return cutByMonth(months, this.#order.order, count)
  }

  *#samples(range: Range): Slices {
    const { readings, arrivalMs } = this.#pipeline
    const { tsMs, value, text, textStart, textSize, textSizeBytes } = readings
    const writer = this.#writer
    const order = orderOf(this.#order, range)
    const textBytes = textSizeBytes > 0 ? textSizeBytes + order.length * TEXT_HEAD_SIZE_BYTES_MAX : 0
    const sizeBytes = order.length * SAMPLE_SIZE_BYTES + this.#order.dictionarySizeBytes + textBytes
    writer.begin(SAMPLES_COLUMNS.length, order.length, sizeBytes)
    yield* this.#order.writeColumns(writer, range)
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
}

// biome-ignore lint/correctness/useYield: rows that keep their order take no time
function* unsorted(count: number): Slices<Range[]> {
  return [whole(count)]
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

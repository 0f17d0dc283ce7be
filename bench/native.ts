/**
 * Blocks for `samples`: 100,000 readings of 3 metrics each, sorted by a permutation as a shard sorts its
 * batch, against JSONEachRow by JSON.stringify of the same rows and against a DataView writer that gathers
 * value by value.
 */
import { Prng } from '../base/prng.ts'
import { BlockWriter } from '../codecs/native/block-writer.ts'
import type { Bench, BenchSize, Measure } from './bench.ts'
import { compare } from './harness.ts'

const METRICS = ['temperature', 'humidity', 'pressure']
const DEVICE_COUNT = 10_000
const encoder = new TextEncoder()

/** A batch as a shard holds it: rows in order of arrival, and their order in the table. */
export class SampleBatch {
  readonly rowCount: number
  readonly devices: Uint8Array[]
  readonly device: Int32Array
  readonly metric: Int32Array
  readonly tsMs: Float64Array
  readonly value: Float64Array
  readonly arrivalMs: Float64Array
  readonly textStart: Int32Array
  readonly textSize: Int32Array
  readonly order: Int32Array

  constructor(readingCount: number) {
    const rowCount = readingCount * METRICS.length
    const prng = new Prng(1)
    this.rowCount = rowCount
    this.devices = Array.from({ length: DEVICE_COUNT }, (_, i) => encoder.encode(`device-${i}`))
    this.device = Int32Array.from(
      { length: rowCount },
      (_, i) => Math.floor(i / METRICS.length) % DEVICE_COUNT,
    )
    this.metric = Int32Array.from({ length: rowCount }, (_, i) => i % METRICS.length)
    this.tsMs = Float64Array.from({ length: rowCount }, (_, i) => 1_700_000_000_000 + Math.floor(i / 300))
    this.value = Float64Array.from({ length: rowCount }, () => Math.round(prng.normal() * 1000) / 100)
    this.arrivalMs = this.tsMs.map((ms) => ms + 40)
    this.textStart = new Int32Array(rowCount)
    this.textSize = new Int32Array(rowCount).fill(-1)
    const key = (row: number): number => this.device[row] * METRICS.length + this.metric[row]
    this.order = Int32Array.from({ length: rowCount }, (_, i) => i).sort((a, b) => key(a) - key(b) || a - b)
  }

  /** As one block of the table `samples`. */
  block(writer: BlockWriter): Uint8Array {
    writer.begin(7, this.rowCount)
    writer.lowCardinality('stream', STREAM, null, null)
    writer.lowCardinality('device', this.devices, this.device, this.order)
    writer.lowCardinality('metric', METRIC_NAMES, this.metric, this.order)
    writer.dateTime64('ts', this.tsMs, this.order)
    writer.float64('value', this.value, this.order)
    writer.string('text', NO_TEXT, this.textStart, this.textSize, this.order)
    writer.dateTime64('arrival', this.arrivalMs, this.order)
    return writer.finish()
  }

  /** The same rows in JSONEachRow. */
  jsonLines(): string {
    const lines: string[] = []
    const devices = this.devices.map((name) => new TextDecoder().decode(name))
    for (const row of this.order) {
      lines.push(
        JSON.stringify({
          stream: 'telemetry',
          device: devices[this.device[row]],
          metric: METRICS[this.metric[row]],
          ts: this.tsMs[row],
          value: this.value[row],
          text: '',
          arrival: this.arrivalMs[row],
        }),
      )
    }
    return lines.join('\n')
  }
}

const STREAM = [encoder.encode('telemetry')]
const METRIC_NAMES = METRICS.map((name) => encoder.encode(name))
const NO_TEXT = new Uint8Array(0)

/** The obvious way to gather a column of floats, for comparison. */
function gatherByDataView(batch: SampleBatch, view: DataView): void {
  const { value, order, rowCount } = batch
  for (let row = 0, offset = 13; row < rowCount; row++, offset += 8) {
    view.setFloat64(offset, value[order[row]], true)
  }
}

export const bench: Bench = {
  name: 'native',
  about: 'blocks of samples: 100,000 messages of 3 metrics, 10,000 devices, in the order of the table',
  async run(size: BenchSize): Promise<Measure[]> {
    const batch = new SampleBatch(size === 'full' ? 100_000 : 1000)
    const writer = new BlockWriter()
    const column = new BlockWriter()
    const dates = new BlockWriter()
    const view = new DataView(new ArrayBuffer(batch.rowCount * 8 + 64))
    const bigints = new BigInt64Array(batch.rowCount)
    const ns = await compare(
      {
        block: () => void batch.block(writer),
        json: () => void batch.jsonLines(),
        float: () => {
          column.begin(1, batch.rowCount)
          column.float64('value', batch.value, batch.order)
        },
        floatByDataView: () => gatherByDataView(batch, view),
        date: () => {
          dates.begin(1, batch.rowCount)
          dates.dateTime64('ts', batch.tsMs, batch.order)
        },
        dateByBigInt: () => {
          const { tsMs, order, rowCount } = batch
          for (let row = 0; row < rowCount; row++) bigints[row] = BigInt(Math.floor(tsMs[order[row]]))
        },
      },
      { operations: batch.rowCount, size },
    )
    return [
      { name: 'a row of samples, 7 columns', value: ns.block, unit: 'ns/row' },
      { name: 'the same by JSON.stringify', value: ns.json, unit: 'ns/row' },
      { name: 'rows against JSON.stringify', value: ns.json / ns.block, unit: 'times faster', atLeast: 10 },
      { name: 'Float64, gathered', value: ns.float, unit: 'ns/value' },
      { name: 'Float64, gathered by DataView', value: ns.floatByDataView, unit: 'ns/value' },
      { name: 'DateTime64(3), gathered', value: ns.date, unit: 'ns/value' },
      { name: 'DateTime64(3), gathered by BigInt', value: ns.dateByBigInt, unit: 'ns/value' },
      { name: 'block size', value: batch.block(writer).length / batch.rowCount, unit: 'bytes/row' },
    ]
  },
}

/**
 * Payload bytes to readings: JSON or MessagePack, told apart by the first byte. One owner: the shard's
 * thread.
 *
 * A payload is an object of metrics with an optional time, or an array of such objects. The time is the first
 * present of the top-level keys `ts`, `t`, `time`, `timestamp`, read as event-time.ts says; the others then
 * are metrics, and null means no time. Nested values get dotted names (`a.b`, `a.0`), booleans are 0 and 1,
 * strings text readings, null none. Of equal keys in one object the last counts, as in JSON.parse; names that
 * are equal only once dotted are readings of their own.
 *
 * Invariant: a scan that fails leaves the columns as they were, and equal payloads give equal rows whatever
 * came before.
 */
import { assert } from '../base/assert.ts'
import { BareValueScanner } from './bare-value.ts'
import type { ReadingColumns } from './columns.ts'
import { JsonScanner } from './json/json-scanner.ts'
import { OVERREAD_BYTES } from './json/number.ts'
import type { MetricNames } from './metric-names.ts'
import { MsgpackScanner } from './msgpack/msgpack-scanner.ts'
import { PAYLOAD_SIZE_BYTES_MAX, PayloadCodec, PayloadError } from './payload-error.ts'
import { ObjectRows } from './payload-rows.ts'
import { ShapeTable } from './payload-shapes.ts'

// biome-ignore lint/performance/noBarrelFile: the scanners need the codes, users one module for all of it
export { PayloadCodec, PayloadError, payloadErrorText } from './payload-error.ts'

export class PayloadScanner {
  /** The shape the last successful scan followed; -1 when the payload was not one object or has none yet. */
  shape = -1
  /**
   * The shape that every object of the last payload had, -1 when there is none: the rows are that shape's
   * metrics over and over. Good as the next hint for the device.
   */
  repeatedShape = -1
  /** Whether the last `scanNamed` found a bare value. */
  isBare = false
  #shapes: ShapeTable
  #json: JsonScanner
  #msgpack: MsgpackScanner
  /**
   * What the scanners are attached to, and its size: a typed array's length goes through a double when asked.
   */
  #bytes: Uint8Array = new Uint8Array(0)
  #sizeBytes = 0
  #view: DataView = new DataView(new ArrayBuffer(0))
  #columns: ReadingColumns | undefined
  #scratch: Uint8Array = new Uint8Array(256)
  #bare = new BareValueScanner()

  constructor(names: MetricNames) {
    const rows = new ObjectRows(names)
    this.#shapes = new ShapeTable()
    this.#json = new JsonScanner(this.#shapes, rows)
    this.#msgpack = new MsgpackScanner(this.#shapes, rows)
  }

  /**
   * The metrics of the rows of a payload with this shape, in their order; the same for ever. Not to be
   * changed.
   */
  shapeMetrics(shape: number): Int32Array {
    return this.#shapes.metrics(shape)
  }

  /**
   * Appends the readings in bytes[start, end) to the columns. The hint is the shape of the device's payload
   * before, or -1. Returns the number of rows appended or a negative PayloadError.
   */
  // hot: per message
  scan(
    bytes: Uint8Array,
    start: number,
    end: number,
    columns: ReadingColumns,
    shapeHint: number,
    codec: PayloadCodec = PayloadCodec.AUTO,
  ): number {
    if (bytes !== this.#bytes || columns !== this.#columns) this.#attach(bytes, columns)
    assert(start >= 0 && start <= end && end <= this.#sizeBytes, 'payload: range outside the bytes')
    if (end - start > PAYLOAD_SIZE_BYTES_MAX) return this.#fail(PayloadError.TOO_LARGE)
    if (end + OVERREAD_BYTES > this.#sizeBytes) return this.#scanCopy(start, end, columns, shapeHint, codec)
    if (
      codec === PayloadCodec.AUTO
        ? isMsgpackContainer(this.#view.getUint8(start))
        : codec !== PayloadCodec.JSON
    ) {
      const scanner = this.#msgpack
      const rowCount = scanner.scan(start, end, shapeHint)
      this.shape = scanner.shape
      this.repeatedShape = scanner.repeatedShape
      return rowCount
    }
    const scanner = this.#json
    const rowCount = scanner.scan(start, end, shapeHint)
    this.shape = scanner.shape
    this.repeatedShape = scanner.repeatedShape
    return rowCount
  }

  /**
   * As scan, on a topic that names the metric: a payload that is neither an object nor an array is one bare value, a row of
   * `metric`. See bare-value.ts.
   */
  // hot: per message
  scanNamed(
    bytes: Uint8Array,
    start: number,
    end: number,
    columns: ReadingColumns,
    shapeHint: number,
    codec: PayloadCodec,
    metric: number,
  ): number {
    this.isBare = !startsContainer(bytes, start, end, codec)
    if (!this.isBare) return this.scan(bytes, start, end, columns, shapeHint, codec)
    this.shape = -1
    this.repeatedShape = -1
    return this.#bare.scan(bytes, start, end, columns, metric, codec)
  }

  #attach(bytes: Uint8Array, columns: ReadingColumns): void {
    this.#bytes = bytes
    this.#sizeBytes = bytes.length
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#columns = columns
    this.#json.attach(bytes, this.#view, columns)
    this.#msgpack.attach(bytes, this.#view, columns)
  }

  /**
   * As scan, for a payload so close to the end of its buffer that the scanners' wide reads would leave it.
   */
  #scanCopy(
    start: number,
    end: number,
    columns: ReadingColumns,
    shapeHint: number,
    codec: PayloadCodec,
  ): number {
    const bytes = this.#bytes
    const sizeBytes = end - start
    if (sizeBytes + OVERREAD_BYTES > this.#scratch.length) {
      this.#scratch = new Uint8Array((sizeBytes + OVERREAD_BYTES) * 2)
    }
    const scratch = this.#scratch
    for (let i = 0; i < sizeBytes; i++) scratch[i] = bytes[start + i]
    return this.scan(scratch, 0, sizeBytes, columns, shapeHint, codec)
  }

  #fail(error: PayloadError): PayloadError {
    this.shape = -1
    this.repeatedShape = -1
    return error
  }
}

/** Whether a MessagePack map or array begins with this byte; no JSON text does. */
function isMsgpackContainer(byte: number): boolean {
  return (byte >= 0x80 && byte <= 0x9f) || (byte >= 0xdc && byte <= 0xdf)
}

function startsContainer(bytes: Uint8Array, start: number, end: number, codec: PayloadCodec): boolean {
  if (start >= end) return false
  if (codec !== PayloadCodec.JSON && isMsgpackContainer(bytes[start])) return true
  if (codec === PayloadCodec.MSGPACK) return false
  while (start < end && bytes[start] <= 0x20) start++
  return start < end && (bytes[start] === 0x7b || bytes[start] === 0x5b)
}

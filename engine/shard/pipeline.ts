/**
 * From journal records to rows: decodes payloads into columns, finds each reading's series, feeds the windows, keeps what
 * can't be decoded, tells redelivered messages, and keeps the books. Pure: it sees records and the journal's time, nothing
 * else, so that a replay gives the same rows. Owned by the shard's thread. Invariant: row r of `readings`, `seriesOfRow`
 * and `arrivalMs` is one reading.
 */
import { assert } from '../../base/assert.ts'
import { hashBytes } from '../../base/hash.ts'
import { ReadingColumns } from '../../codecs/columns.ts'
import { readControl } from '../../codecs/journal/control.ts'
import {
  alignRecord,
  RECORD_HEADER_SIZE_BYTES,
  RecordFlag,
  RecordKind,
  type RecordViews,
} from '../../codecs/journal/record.ts'
import { MetricNames } from '../../codecs/metric-names.ts'
import { DATE_TIME_MS_MAX, DATE_TIME_MS_MIN } from '../../codecs/native/date-time.ts'
import { PayloadScanner, payloadErrorText } from '../../codecs/payload.ts'
import type { Stateful, StateReader, StateWriter } from '../../codecs/state.ts'
import { type TumblingSettings, TumblingWindows } from '../../operators/tumbling-windows.ts'
import { DeadLetters } from './dead-letters.ts'
import { DeviceTable } from './device-table.ts'
import { Ledger } from './ledger.ts'
import { Redelivery } from './redelivery.ts'
import { SeriesTable } from './series-table.ts'

const TICK_INTERVAL_MS = 1000
const SKIP_REASON = 'skipped: it ended the engine again and again'

export interface PipelineSettings extends TumblingSettings {
  /** Unacknowledged messages of one client. */
  inFlightMax: number
}

export class Pipeline {
  readonly devices = new DeviceTable()
  readonly series = new SeriesTable()
  readonly metrics = new MetricNames()
  readonly readings = new ReadingColumns(1 << 16)
  readonly deadLetters = new DeadLetters()
  readonly ledger = new Ledger()
  readonly windows: TumblingWindows
  /** Journal positions of messages that are not to be decoded. */
  readonly skips = new Set<number>()
  seriesOfRow = new Int32Array(1 << 16)
  arrivalMs = new Float64Array(1 << 16)
  messageCount = 0
  readingCount = 0
  deadLetterCount = 0
  duplicateCount = 0
  #redelivery: Redelivery
  #scanner: PayloadScanner
  #tickMs = Number.NEGATIVE_INFINITY
  /** Rows [windowed, count) have not been windowed yet; they are of one stream and arrived at one time. */
  #windowed = 0
  #windowedStream = 0
  #windowedArrivalMs = 0
  #refusal = ''
  #runLength = 0
  #letter = { arrivalMs: 0, stream: 0, deviceStart: 0, deviceSize: 0, position: 0 }

  constructor(settings: PipelineSettings) {
    this.#scanner = new PayloadScanner(this.metrics)
    this.#redelivery = new Redelivery(settings.inFlightMax)
    this.windows = new TumblingWindows(settings)
  }

  /** Rows that wait to be written. */
  get rowCount(): number {
    return this.readings.count + this.windows.closed.count + this.deadLetters.count + this.ledger.count
  }

  get sizeBytes(): number {
    return this.rowCount * 32 + this.readings.textSizeBytes + this.deadLetters.sizeBytes
  }

  /** Takes the records in views[start, end), whose first byte stands at `position` in the journal. */
  process(views: RecordViews, start: number, end: number, position: number): void {
    const { bytes, u32 } = views
    for (let offset = start; offset < end; ) {
      const size = u32[offset >>> 2]
      const kind = bytes[offset + 4]
      if (kind === RecordKind.MQTT_PUBLISH || kind === RecordKind.WEBSOCKET_FRAME) {
        this.#processMessage(views, offset, size, position + (offset - start))
      } else if (kind === RecordKind.GAP) {
        this.windows.gap(readControl(views, offset))
      }
      offset += alignRecord(size)
    }
    this.#feedWindows()
  }

  /** The journal's time has come to `timeMs`. */
  tick(timeMs: number): void {
    if (timeMs - this.#tickMs < TICK_INTERVAL_MS) return
    this.#tickMs = timeMs
    this.windows.tick(timeMs)
  }

  /** Closes every window into the rows: a journal segment ends here, or the engine stops. */
  flush(): void {
    this.#tickMs = Number.NEGATIVE_INFINITY
    this.windows.flush()
  }

  /** Forgets the rows: they are on their way, or known to be stored. */
  clearRows(): void {
    this.readings.clear()
    this.windows.closed.clear()
    this.deadLetters.clear()
    this.ledger.clear()
    this.#windowed = 0
  }

  /** Only between batches: rows are not part of the state. */
  save(out: StateWriter): void {
    assert(this.rowCount === 0, 'state is saved where a batch ended')
    out.numbers(this.#tickMs)
    for (const part of this.#stateful()) part.save(out)
  }

  /** Into a new pipeline with the same settings. */
  load(from: StateReader): void {
    this.#tickMs = from.numbers(1)[0]
    for (const part of this.#stateful()) part.load(from)
    assert(from.isAtEnd, 'the state is read to its end')
  }

  #stateful(): Stateful[] {
    return [this.metrics, this.devices, this.series, this.#redelivery, this.windows]
  }

  // hot: per message
  #processMessage(views: RecordViews, offset: number, size: number, position: number): void {
    const { u16, f64 } = views
    const half = offset >>> 1
    const stream = u16[half + 13]
    const arrivalMs = f64[(offset >>> 3) + 1]
    const topicStart = offset + RECORD_HEADER_SIZE_BYTES
    const topicEnd = topicStart + u16[half + 3]
    const end = offset + size
    this.messageCount++
    if (arrivalMs !== this.#windowedArrivalMs || stream !== this.#windowedStream) {
      this.#feedWindows()
      this.#windowedArrivalMs = arrivalMs
      this.#windowedStream = stream
    }
    const { ledger, readings } = this
    const entry = ledger.row(stream, arrivalMs)
    ledger.messages[entry]++
    const first = readings.count
    const textFirst = readings.textSizeBytes
    const isDuplicate = this.#isDuplicate(views, offset, topicEnd, end)
    const count = this.#decode(views, offset, topicStart, topicEnd, end, position)
    const accepted = Math.abs(count) // one for a message that can't be decoded
    ledger.accepted[entry] += accepted
    if (count >= 0 && !isDuplicate) {
      ledger.stored[entry] += count
      this.readingCount += count
      return
    }
    readings.count = first
    readings.textSizeBytes = textFirst
    if (isDuplicate) {
      ledger.duplicate[entry] += accepted
      this.duplicateCount++
    } else {
      ledger.deadLettered[entry]++
      this.#addDeadLetter(views, offset, topicStart, topicEnd, end, position)
    }
  }

  /** Appends the message's readings; returns how many, or -1 and the reason in #refusal. */
  // hot: per message
  #decode(
    views: RecordViews,
    offset: number,
    topicStart: number,
    topicEnd: number,
    end: number,
    position: number,
  ): number {
    const { bytes, u16, u32 } = views
    const { devices } = this
    const half = offset >>> 1
    if (this.skips.size > 0 && this.skips.has(position)) return this.#refuse(SKIP_REASON)
    const nameStart = topicStart + u16[half + 10]
    const device = devices.find(u16[half + 13], u32[(offset >>> 2) + 4], bytes, nameStart, u16[half + 11])
    if (device < 0) return this.#refuse('too many devices')
    const first = this.readings.count
    const count = this.#scanner.scan(bytes, topicEnd, end, this.readings, devices.shape[device])
    if (count < 0) return this.#refuse(payloadErrorText(count))
    return this.#placeRows(device, first, count, this.#windowedArrivalMs) ? count : -1
  }

  #refuse(reason: string): number {
    this.#refusal = reason
    return -1
  }

  /** Whether an earlier connection of the client brought this message; QoS 0 has no second delivery. */
  // hot: per message
  #isDuplicate(views: RecordViews, offset: number, payloadStart: number, end: number): boolean {
    const { bytes, u16, u32, f64 } = views
    const flags = bytes[offset + 5]
    const clientHash = u32[(offset >>> 2) + 7]
    const sequence = f64[(offset >>> 3) + 4]
    if (bytes[offset + 4] === RecordKind.WEBSOCKET_FRAME) {
      const session = clientHash ^ u32[(offset >>> 2) + 4]
      return this.#redelivery.isDuplicateFrame(session, sequence, hashBytes(bytes, payloadStart, end))
    }
    if ((flags & (RecordFlag.QOS_1 | RecordFlag.QOS_2)) === 0) return false
    const isDup = (flags & RecordFlag.DUP) !== 0
    const hash = hashBytes(bytes, payloadStart, end)
    return this.#redelivery.isDuplicatePublish(clientHash, sequence, u16[(offset >>> 1) + 12], isDup, hash)
  }

  #addDeadLetter(
    views: RecordViews,
    offset: number,
    topicStart: number,
    topicEnd: number,
    end: number,
    position: number,
  ): void {
    const { bytes, u16, f64 } = views
    const half = offset >>> 1
    const letter = this.#letter
    letter.arrivalMs = f64[(offset >>> 3) + 1]
    letter.stream = u16[half + 13]
    letter.deviceStart = u16[half + 10]
    letter.deviceSize = u16[half + 11]
    letter.position = position
    this.deadLetters.add(bytes, topicStart, topicEnd, end, letter, this.#refusal)
    this.deadLetterCount++
  }

  /** Gives the rows of one message their series and times; false when they can't have them. */
  // hot: per message
  #placeRows(device: number, first: number, count: number, arrivalMs: number): boolean {
    const readings = this.readings
    if (readings.count > this.seriesOfRow.length) this.#grow()
    const base = this.#seriesBase(device)
    const runLength = this.#runLength
    const { tsMs, metric } = readings
    const seriesOfRow = this.seriesOfRow
    const arrivals = this.arrivalMs
    for (let row = first, end = first + count, place = 0; row < end; row++) {
      const ts = tsMs[row]
      if (Number.isNaN(ts)) tsMs[row] = arrivalMs
      else if (ts >= DATE_TIME_MS_MIN && ts <= DATE_TIME_MS_MAX)
        tsMs[row] = Math.floor(ts) // as it is stored
      else {
        this.#refusal = 'time is outside the years 1900 to 2299'
        return false
      }
      const series = base >= 0 ? base + place : this.series.find(device, metric[row])
      if (++place === runLength) place = 0
      if (series < 0) {
        this.#refusal = 'too many series'
        return false
      }
      seriesOfRow[row] = series
      arrivals[row] = arrivalMs
    }
    return true
  }

  /**
   * The first of the series in a row that the message's shape has for this device, and in #runLength how many they are;
   * -1 when they do not lie in a row. The rows of an array of equal objects go through them over and over.
   */
  // hot: per message
  #seriesBase(device: number): number {
    const shape = this.#scanner.repeatedShape
    const { devices } = this
    if (shape < 0) return -1
    const isNew = devices.shape[device] !== shape
    devices.shape[device] = shape
    this.#runLength = this.#scanner.shapeMetrics(shape).length
    if (devices.baseShape[device] === shape) return devices.seriesBase[device]
    if (!isNew || devices.baseShape[device] >= 0) return -1
    const base = this.series.findRun(device, this.#scanner.shapeMetrics(shape))
    if (base >= 0) {
      devices.baseShape[device] = shape
      devices.seriesBase[device] = base
    }
    return base
  }

  // hot: per batch
  #feedWindows(): void {
    const { readings, windows, ledger } = this
    if (this.#windowed === readings.count) return
    const lateBefore = windows.lateCount
    const arrivalMs = this.#windowedArrivalMs
    windows.push(this.seriesOfRow, readings.tsMs, readings.value, arrivalMs, this.#windowed, readings.count)
    this.#windowed = readings.count
    const late = windows.lateCount - lateBefore
    if (late > 0) ledger.amended[ledger.row(this.#windowedStream, arrivalMs)] += late
  }

  #grow(): void {
    const capacity = this.readings.capacity
    const series = new Int32Array(capacity)
    series.set(this.seriesOfRow)
    this.seriesOfRow = series
    const arrivals = new Float64Array(capacity)
    arrivals.set(this.arrivalMs)
    this.arrivalMs = arrivals
  }
}

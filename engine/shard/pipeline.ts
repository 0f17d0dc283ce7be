/**
 * From journal records to rows: decodes payloads into columns, finds each reading's series, feeds the windows, and keeps
 * what can't be decoded. Pure: it sees records and the journal's time, nothing else, so that a replay gives the same
 * rows. Owned by the shard's thread. Invariant: row r of `readings`, `series` and `arrivalMs` is one reading.
 */
import { ReadingColumns } from '../../codecs/columns.ts'
import {
  alignRecord,
  RECORD_HEADER_SIZE_BYTES,
  RecordKind,
  type RecordViews,
} from '../../codecs/journal/record.ts'
import { MetricNames } from '../../codecs/metric-names.ts'
import { DATE_TIME_MS_MAX, DATE_TIME_MS_MIN } from '../../codecs/native/date-time.ts'
import { PayloadScanner, payloadErrorText } from '../../codecs/payload.ts'
import { type TumblingSettings, TumblingWindows } from '../../operators/tumbling-windows.ts'
import { DeadLetters } from './dead-letters.ts'
import { DeviceTable } from './device-table.ts'
import { SeriesTable } from './series-table.ts'

const TICK_INTERVAL_MS = 1000

export class Pipeline {
  readonly devices = new DeviceTable()
  readonly series = new SeriesTable()
  readonly metrics = new MetricNames()
  readonly readings = new ReadingColumns(1 << 16)
  readonly deadLetters = new DeadLetters()
  readonly windows: TumblingWindows
  seriesOfRow = new Int32Array(1 << 16)
  arrivalMs = new Float64Array(1 << 16)
  messageCount = 0
  readingCount = 0
  deadLetterCount = 0
  #scanner: PayloadScanner
  #tickMs = Number.NEGATIVE_INFINITY
  /** Rows [windowed, count) all arrived at windowedArrivalMs and have not been windowed yet. */
  #windowed = 0
  #windowedArrivalMs = 0
  #refusal = ''
  #runLength = 0
  #letter = { arrivalMs: 0, stream: 0, deviceStart: 0, deviceSize: 0, position: 0 }

  constructor(windows: TumblingSettings) {
    this.#scanner = new PayloadScanner(this.metrics)
    this.windows = new TumblingWindows(windows)
  }

  /** Rows that wait to be written. */
  get rowCount(): number {
    return this.readings.count + this.windows.closed.count + this.deadLetters.count
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
    this.#windowed = 0
  }

  // hot: per message
  #processMessage(views: RecordViews, offset: number, size: number, position: number): void {
    const { bytes, u16, u32, f64 } = views
    const half = offset >>> 1
    const stream = u16[half + 13]
    const arrivalMs = f64[(offset >>> 3) + 1]
    const topicStart = offset + RECORD_HEADER_SIZE_BYTES
    const topicEnd = topicStart + u16[half + 3]
    const end = offset + size
    this.messageCount++
    if (arrivalMs !== this.#windowedArrivalMs) {
      this.#feedWindows()
      this.#windowedArrivalMs = arrivalMs
    }
    const deviceStart = u16[half + 10]
    const deviceSize = u16[half + 11]
    const devices = this.devices
    const device = devices.find(stream, u32[(offset >>> 2) + 4], bytes, topicStart + deviceStart, deviceSize)
    const first = this.readings.count
    const textFirst = this.readings.textSizeBytes
    let reason = 'too many devices'
    if (device >= 0) {
      const count = this.#scanner.scan(bytes, topicEnd, end, this.readings, devices.shape[device])
      if (count >= 0 && this.#placeRows(device, first, count, arrivalMs)) {
        this.readingCount += count
        return
      }
      reason = count < 0 ? payloadErrorText(count) : this.#refusal
      this.readings.count = first
      this.readings.textSizeBytes = textFirst
    }
    const letter = this.#letter
    letter.arrivalMs = arrivalMs
    letter.stream = stream
    letter.deviceStart = deviceStart
    letter.deviceSize = deviceSize
    letter.position = position
    this.deadLetters.add(bytes, topicStart, topicEnd, end, letter, reason)
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
    const base = this.series.addRun(device, this.#scanner.shapeMetrics(shape))
    if (base >= 0) {
      devices.baseShape[device] = shape
      devices.seriesBase[device] = base
    }
    return base
  }

  // hot: per batch
  #feedWindows(): void {
    const { readings } = this
    if (this.#windowed === readings.count) return
    this.windows.push(
      this.seriesOfRow,
      readings.tsMs,
      readings.value,
      this.#windowedArrivalMs,
      this.#windowed,
      readings.count,
    )
    this.#windowed = readings.count
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

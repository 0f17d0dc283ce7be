/**
 * From journal records to rows: decodes payloads into columns, lets the streams' steps at them, finds each reading's series,
 * feeds the operators, keeps what can't be decoded, tells redelivered messages, and keeps the books. Pure: it sees records and the
 * journal's time, nothing else, so that a replay gives the same rows. Owned by the shard's thread. Invariant: row r of
 * `readings`, and of the columns beside them, is one reading.
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
import type { Stateful, StateReader, StateWriter } from '../../codecs/state.ts'
import { quarantineReason, readingPayload } from '../steps/quarantine.ts'
import { RowBranches } from '../steps/row-branches.ts'
import { StepFaults } from '../steps/step-faults.ts'
import { isPlain, StreamSteps } from '../steps/stream-steps.ts'
import { TextCache } from '../steps/text-cache.ts'
import { DeadLetters } from './dead-letters.ts'
import { DeviceMetrics, NO_DEVICE } from './device-metrics.ts'
import { DeviceTable } from './device-table.ts'
import { Ledger } from './ledger.ts'
import { MessageDecoder } from './message-decoder.ts'
import { Redelivery } from './redelivery.ts'
import { SeriesPlacement } from './series-placement.ts'
import { SeriesTable } from './series-table.ts'
import { StreamDetectors, type StreamDetectorsSettings } from './stream-detectors.ts'
import { StreamOperators, type StreamOperatorsSettings } from './stream-operators.ts'

const TICK_INTERVAL_MS = 1000
const SKIP_REASON = 'skipped: it ended the engine again and again'

const METRICS_PER_DEVICE_MAX = 1000
const TIME_REASON = 'time is outside the years 1900 to 2299'

export interface PipelineSettings extends StreamOperatorsSettings, StreamDetectorsSettings {
  /** Unacknowledged messages of one client. */
  inFlightMax: number
  /** Readings further ahead of their arrival are quarantined. */
  aheadGuardMs: number
  /** 1000 when left out. */
  metricsPerDeviceMax?: number
}

export class Pipeline {
  readonly devices = new DeviceTable()
  readonly series = new SeriesTable()
  readonly metrics = new MetricNames()
  readonly readings = new ReadingColumns(1 << 16)
  readonly deadLetters = new DeadLetters()
  readonly ledger = new Ledger()
  readonly operators: StreamOperators
  readonly detectors: StreamDetectors
  /** Journal positions of messages that are not to be decoded. */
  readonly skips = new Set<number>()
  messageCount = 0
  readingCount = 0
  deadLetterCount = 0
  quarantinedCount = 0
  duplicateCount = 0
  /** Which branches of its stream take each row; see RowBranches. */
  readonly branches = new RowBranches()
  /** By stream; null for those whose readings go just as they are decoded. */
  #steps: (StreamSteps | null)[]
  #hasSteps: boolean
  #faults = new StepFaults()
  #deviceMetrics: DeviceMetrics
  #aheadGuardMs: number
  #aheadReason: string
  #redelivery: Redelivery
  #decoder: MessageDecoder
  #placement: SeriesPlacement
  #tickMs = Number.NEGATIVE_INFINITY
  /** Rows [windowed, count) have not been windowed yet; they are of one stream and arrived at one time. */
  #windowed = 0
  #windowedStream = 0
  #windowedArrivalMs = 0
  #refusal = ''

  constructor(settings: PipelineSettings) {
    this.#redelivery = new Redelivery(settings.inFlightMax)
    this.operators = new StreamOperators(settings, this.metrics)
    this.detectors = new StreamDetectors(settings, this.series, this.metrics)
    this.#aheadGuardMs = settings.aheadGuardMs
    this.#aheadReason = quarantineReason(settings.aheadGuardMs)
    const { readings, metrics, series, devices } = this
    const countMax = settings.metricsPerDeviceMax ?? METRICS_PER_DEVICE_MAX
    this.#deviceMetrics = new DeviceMetrics(countMax, metrics, series)
    const parts = { devices, series, metrics, readings, deviceMetrics: this.#deviceMetrics }
    this.#decoder = new MessageDecoder(parts)
    const { scanner } = this.#decoder
    this.#placement = new SeriesPlacement({ ...parts, scanner, aheadGuardMs: settings.aheadGuardMs })
    const context = { columns: readings, names: metrics, texts: new TextCache(), faults: this.#faults }
    this.#steps = (settings.streams ?? []).map(({ stream, pipeline }) =>
      isPlain(stream, pipeline) ? null : new StreamSteps(stream, pipeline, context),
    )
    this.#hasSteps = this.#steps.some((steps) => steps !== null)
  }

  /** The series of each row of the readings. */
  get seriesOfRow(): Int32Array {
    return this.#placement.seriesOfRow
  }

  get arrivalMs(): Float64Array {
    return this.#placement.arrivalMs
  }

  /** Rows that wait to be written. */
  get rowCount(): number {
    const { readings, operators, detectors, deadLetters, ledger } = this
    return readings.count + operators.rowCount + detectors.rowCount + deadLetters.count + ledger.count
  }

  get sizeBytes(): number {
    const { readings, operators, detectors, deadLetters } = this
    const extraSizeBytes = operators.rowsExtraSizeBytes + detectors.rowsExtraSizeBytes
    return this.rowCount * 32 + readings.textSizeBytes + deadLetters.sizeBytes + extraSizeBytes
  }

  /** Whether a flush would make rows: of open windows, or of readings that are held. */
  get isOpen(): boolean {
    return this.operators.isOpen || this.detectors.isOpen
  }

  /** Whether time that passes may make rows. */
  get awaitsTime(): boolean {
    return this.operators.isOpen || this.detectors.awaitsTime
  }

  /** The journal's time, as far as it was processed. */
  get timeMs(): number {
    return Math.max(this.#tickMs, this.#windowedArrivalMs)
  }

  /** Takes the records in views[start, end), whose first byte stands at `position` in the journal. */
  process(views: RecordViews, start: number, end: number, position: number): void {
    const { bytes, u32 } = views
    for (let offset = start; offset < end; ) {
      const size = u32[offset >>> 2]
      const kind = bytes[offset + 4]
      if (kind === RecordKind.MQTT_PUBLISH || kind === RecordKind.WEBSOCKET_FRAME) {
        this.#processMessage(views, offset, size, position + (offset - start))
      } else if (kind === RecordKind.MQTT_PUBREL) {
        const clientHash = u32[(offset >>> 2) + 7]
        this.#redelivery.release(clientHash, views.f64[(offset >>> 3) + 4], views.u16[(offset >>> 1) + 12])
      } else if (kind === RecordKind.GAP) {
        const durationMs = readControl(views, offset)
        this.operators.gap(durationMs)
        this.detectors.gap(durationMs)
      }
      offset += alignRecord(size)
    }
    this.#feedWindows()
  }

  /** The journal's time has come to `timeMs`. */
  tick(timeMs: number): void {
    if (timeMs - this.#tickMs < TICK_INTERVAL_MS) return
    this.#tickMs = timeMs
    this.operators.tick(timeMs)
    this.detectors.tick(timeMs)
  }

  /** Closes every window into the rows: a journal segment ends here, or the engine stops. */
  flush(): void {
    this.#tickMs = Number.NEGATIVE_INFINITY
    this.operators.flush()
    this.detectors.flush()
  }

  /** Forgets the rows: they are on their way, or known to be stored. */
  clearRows(): void {
    this.readings.clear()
    this.operators.clearRows()
    this.detectors.clearRows()
    this.deadLetters.clear()
    this.ledger.clear()
    this.#faults.clear()
    this.#windowed = 0
  }

  /** Only between batches: rows are not part of the state. */
  save(out: StateWriter): void {
    assert(this.rowCount === 0, 'state is saved where a batch ended')
    out.numbers(this.#tickMs, this.#windowedArrivalMs)
    for (const part of this.#stateful()) part.save(out)
    this.detectors.save(out)
  }

  /** Into a new pipeline, whose operators may be others than those that were saved. */
  load(from: StateReader): void {
    const [tickMs, arrivalMs] = from.numbers(2)
    this.#tickMs = tickMs
    this.#windowedArrivalMs = arrivalMs
    for (const part of this.#stateful()) part.load(from)
    if (!from.isAtEnd) this.detectors.load(from) // older snapshots end here
    assert(from.isAtEnd, 'the state is read to its end')
  }

  #stateful(): Stateful[] {
    return [this.metrics, this.devices, this.series, this.#deviceMetrics, this.#redelivery, this.operators]
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
    const steps = this.#hasSteps ? this.#steps[stream] : null
    const decoded = this.#decode(views, offset, topicStart, topicEnd, end, position, steps)
    if (decoded >= 0 && !isDuplicate) {
      if (steps === null && this.#placeRows(first, decoded, arrivalMs)) {
        ledger.accepted[entry] += decoded
        ledger.stored[entry] += decoded
        this.readingCount += decoded
        return
      }
      if (this.#refine(views, offset, topicStart, topicEnd, position, steps, entry, first)) return
    }
    readings.count = first
    readings.textSizeBytes = textFirst
    const accepted = Math.abs(decoded) // one for a message that can't be decoded
    if (isDuplicate) {
      ledger.accepted[entry] += accepted
      ledger.duplicate[entry] += accepted
      this.duplicateCount++
    } else {
      ledger.accepted[entry]++
      ledger.deadLettered[entry]++
      this.deadLetters.add(views, offset, position, this.#refusal)
      this.deadLetterCount++
    }
  }

  // hot: per message
  #decode(
    views: RecordViews,
    offset: number,
    topicStart: number,
    topicEnd: number,
    end: number,
    position: number,
    steps: StreamSteps | null,
  ): number {
    if (this.skips.size > 0 && this.skips.has(position)) return this.#refuse(SKIP_REASON)
    const count = this.#decoder.decode(views, offset, topicStart, topicEnd, end, steps)
    return count < 0 ? this.#refuse(this.#decoder.refusal) : count
  }

  // hot: per message
  #placeRows(first: number, count: number, arrivalMs: number): boolean {
    const { device, scanner } = this.#decoder
    return this.#placement.placeRows(first, count, device, scanner.repeatedShape, arrivalMs)
  }

  /**
   * Settles a message that the short way did not: times, readings too far ahead, the stream's steps, new series. False, with the
   * reason in #refusal, when all of it is a dead letter.
   */
  #refine(
    views: RecordViews,
    offset: number,
    topicStart: number,
    topicEnd: number,
    position: number,
    steps: StreamSteps | null,
    entry: number,
    first: number,
  ): boolean {
    const { readings, ledger, deadLetters } = this
    const letterCount = deadLetters.count
    const letterSizeBytes = deadLetters.sizeBytes
    const quarantined = this.#quarantine(views, offset, position, first)
    if (quarantined > 0) this.quarantinedCount += quarantined
    const isAllAhead = quarantined > 0 && readings.count === first
    if (isAllAhead) this.#refusal = this.#aheadReason
    let filtered = quarantined < 0 || isAllAhead ? -1 : 0
    if (steps !== null && filtered === 0)
      filtered = this.#runSteps(steps, views, offset, topicStart, topicEnd, first)
    if (filtered < 0 || !this.#placeAll(first)) {
      deadLetters.truncate(letterCount, letterSizeBytes)
      return false
    }
    const count = readings.count - first
    const stored = steps === null || steps.isRaw ? count : 0
    ledger.accepted[entry] += count + filtered + quarantined
    ledger.stored[entry] += stored
    ledger.filtered[entry] += filtered + count - stored
    ledger.deadLettered[entry] += quarantined
    this.readingCount += count
    this.deadLetterCount += quarantined
    return true
  }

  /**
   * Gives the rows from `first` on their times, and takes those out that are too far ahead: a dead letter each. Returns how
   * many, or -1 when a time can't be stored.
   */
  #quarantine(views: RecordViews, offset: number, position: number, first: number): number {
    const { readings, metrics } = this
    const { tsMs } = readings
    const arrivalMs = this.#windowedArrivalMs
    const limitMs = arrivalMs + this.#aheadGuardMs
    const end = readings.count
    let to = first
    for (let row = first; row < end; row++) {
      const ts = tsMs[row]
      if (Number.isNaN(ts)) tsMs[row] = arrivalMs
      else if (ts >= DATE_TIME_MS_MIN && ts <= DATE_TIME_MS_MAX) tsMs[row] = Math.floor(ts)
      else return this.#refuse(TIME_REASON)
      if (tsMs[row] <= limitMs) readings.move(row, to++)
      else {
        const payload = readingPayload(readings, metrics, row, this.#decoder.prefixSize)
        this.deadLetters.addPayload(views, offset, position, this.#aheadReason, payload)
      }
    }
    readings.count = to
    return end - to
  }

  // hot: per message of a stream with steps
  #runSteps(
    steps: StreamSteps,
    views: RecordViews,
    offset: number,
    topicStart: number,
    topicEnd: number,
    first: number,
  ): number {
    const { branches } = this
    const { device, scanner } = this.#decoder
    if (scanner.repeatedShape >= 0) this.devices.shape[device] = scanner.repeatedShape
    this.#deviceMetrics.device = NO_DEVICE // derived metrics are the config's
    const deviceStart = topicStart + views.u16[(offset >>> 1) + 10]
    const deviceEnd = deviceStart + views.u16[(offset >>> 1) + 11]
    const arrivalMs = this.#windowedArrivalMs
    const filtered = steps.run(
      views.bytes,
      topicStart,
      topicEnd,
      deviceStart,
      deviceEnd,
      arrivalMs,
      first,
      branches,
    )
    return filtered < 0 ? this.#refuse(steps.reason) : filtered
  }

  // hot: per message of a stream with steps
  #placeAll(first: number): boolean {
    const placement = this.#placement
    if (placement.placeAll(first, this.#decoder.device, this.#windowedArrivalMs)) return true
    this.#refusal = placement.refusal
    return false
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

  // hot: per batch
  #feedWindows(): void {
    const { readings, ledger, operators, detectors, branches } = this
    const first = this.#windowed
    const end = readings.count
    if (first === end) return
    const stream = this.#windowedStream
    const arrivalMs = this.#windowedArrivalMs
    const late = operators.push(stream, this.seriesOfRow, readings, branches, arrivalMs, first, end)
    detectors.push(stream, this.seriesOfRow, readings, branches, arrivalMs, first, end)
    const steps = this.#hasSteps ? this.#steps[stream] : null
    if (steps !== null && !steps.isRaw) readings.count = first // they are in no table but the windows'
    this.#windowed = readings.count
    if (late > 0) ledger.amended[ledger.row(stream, arrivalMs)] += late
  }
}

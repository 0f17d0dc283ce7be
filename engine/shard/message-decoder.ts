/**
 * Payloads to readings: finds the device, scans the payload as its stream's codec says, and gives the metrics the names that the
 * topic adds to them, within the bound of the device's names. Owned by the shard's thread.
 */
import type { ReadingColumns } from '../../codecs/columns.ts'
import type { RecordViews } from '../../codecs/journal/record.ts'
import type { MetricNames } from '../../codecs/metric-names.ts'
import { PayloadError, PayloadScanner, payloadErrorText } from '../../codecs/payload.ts'
import { NAME_SIZE_BYTES_MAX } from '../../codecs/payload-error.ts'
import { MetricPrefix } from '../steps/metric-prefix.ts'
import type { StreamSteps } from '../steps/stream-steps.ts'
import { levelEnd, levelStart } from '../steps/views.ts'
import type { DeviceMetrics } from './device-metrics.ts'
import type { DeviceTable } from './device-table.ts'

const DASH = 0x2d

export interface DecoderParts {
  devices: DeviceTable
  metrics: MetricNames
  readings: ReadingColumns
  deviceMetrics: DeviceMetrics
}

export class MessageDecoder {
  readonly scanner: PayloadScanner
  /** Of the message that was decoded last. */
  device = 0
  /** Bytes that its topic put before its metrics. */
  prefixSize = 0
  /** Why it could not be decoded. */
  refusal = ''
  #parts: DecoderParts
  #deviceMetrics: DeviceMetrics
  #prefix: MetricPrefix

  constructor(parts: DecoderParts) {
    this.#parts = parts
    this.#deviceMetrics = parts.deviceMetrics
    this.scanner = new PayloadScanner(parts.metrics)
    this.#prefix = new MetricPrefix(parts.metrics)
  }

  /** Appends the message's readings; returns how many, or -1 and the reason in `refusal`. */
  // hot: per message
  decode(
    views: RecordViews,
    offset: number,
    topicStart: number,
    topicEnd: number,
    end: number,
    steps: StreamSteps | null,
  ): number {
    const { bytes, u16, u32 } = views
    const { devices, readings } = this.#parts
    const half = offset >>> 1
    const nameStart = topicStart + u16[half + 10]
    const device = devices.find(u16[half + 13], u32[(offset >>> 2) + 4], bytes, nameStart, u16[half + 11])
    if (device < 0) return this.#refuse('too many devices')
    this.device = device
    this.prefixSize = 0
    this.#deviceMetrics.device = device
    const hint = devices.shape[device]
    const count =
      steps === null
        ? this.scanner.scan(bytes, topicEnd, end, readings, hint)
        : this.#decodeWith(steps, bytes, topicStart, topicEnd, end, hint)
    return count < 0 ? this.#refuse(this.#decodeError(count)) : count
  }

  /** As the stream's codec and its topic's metric level say. */
  #decodeWith(
    steps: StreamSteps,
    bytes: Uint8Array,
    topicStart: number,
    topicEnd: number,
    end: number,
    hint: number,
  ): number {
    const { readings, metrics } = this.#parts
    const scanner = this.scanner
    const start = steps.metricLevel < 0 ? -1 : levelStart(bytes, topicStart, topicEnd, steps.metricLevel)
    const stop = start < 0 ? -1 : levelEnd(bytes, start, topicEnd)
    // A device that named no topic has `-` there.
    if (start < 0 || (stop === start + 1 && bytes[start] === DASH))
      return scanner.scan(bytes, topicEnd, end, readings, hint, steps.codec)
    const metric = metrics.intern(bytes, start, stop)
    if (metric < 0) return this.#nameError(stop - start)
    this.prefixSize = stop - start + 1
    const first = readings.count
    const count = scanner.scanNamed(bytes, topicEnd, end, readings, hint, steps.codec, metric)
    if (scanner.isBare) this.prefixSize = 0
    if (count <= 0 || scanner.isBare) return count
    if (this.#prefix.apply(readings, first, readings.count, metric)) return count
    return this.#prefix.isTooLong ? PayloadError.NAME_TOO_LONG : PayloadError.NAMES_FULL
  }

  #nameError(size: number): PayloadError {
    if (size === 0) return PayloadError.NAME_EMPTY
    return size > NAME_SIZE_BYTES_MAX ? PayloadError.NAME_TOO_LONG : PayloadError.NAMES_FULL
  }

  #decodeError(code: number): string {
    const { metrics } = this.#parts
    const isDevices = code === PayloadError.NAMES_FULL && metrics.count < metrics.countMax
    return isDevices ? this.#deviceMetrics.refusal : payloadErrorText(code)
  }

  #refuse(reason: string): number {
    this.refusal = reason
    return -1
  }
}

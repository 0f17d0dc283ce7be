/**
 * The series of each row of the readings, and its times. The short way, for messages like the device's last one, looks up one
 * number per message; the other takes whatever comes, and makes new series. Owned by the shard's thread. Invariant: row r of
 * `seriesOfRow` and `arrivalMs` belongs to row r of the readings.
 */
import type { ReadingColumns } from '../../codecs/columns.ts'
import { DATE_TIME_MS_MAX, DATE_TIME_MS_MIN } from '../../codecs/native/date-time.ts'
import type { PayloadScanner } from '../../codecs/payload.ts'
import type { DeviceMetrics } from './device-metrics.ts'
import type { DeviceTable } from './device-table.ts'
import type { SeriesTable } from './series-table.ts'
import { copied } from './typed-arrays.ts'

export interface PlacementParts {
  devices: DeviceTable
  series: SeriesTable
  readings: ReadingColumns
  deviceMetrics: DeviceMetrics
  scanner: PayloadScanner
  aheadGuardMs: number
}

export class SeriesPlacement {
  seriesOfRow: Int32Array = new Int32Array(1 << 16)
  arrivalMs: Float64Array = new Float64Array(1 << 16)
  /** Why the rows of the last message could not have series. */
  refusal = ''
  readonly #devices: DeviceTable
  readonly #series: SeriesTable
  readonly #readings: ReadingColumns
  readonly #deviceMetrics: DeviceMetrics
  readonly #scanner: PayloadScanner
  readonly #aheadGuardMs: number
  #runLength = 0

  constructor(parts: PlacementParts) {
    this.#devices = parts.devices
    this.#series = parts.series
    this.#readings = parts.readings
    this.#deviceMetrics = parts.deviceMetrics
    this.#scanner = parts.scanner
    this.#aheadGuardMs = parts.aheadGuardMs
  }

  /** Gives the rows of one message their series and times; false when that needs more care. */
  // hot: per message
  placeRows(first: number, count: number, device: number, shape: number, arrivalMs: number): boolean {
    const readings = this.#readings
    const table = this.#series
    if (readings.count > this.seriesOfRow.length) this.#grow()
    const base = this.#seriesBase(device, shape)
    const limitMs = Math.min(DATE_TIME_MS_MAX, arrivalMs + this.#aheadGuardMs)
    const runLength = this.#runLength
    const { tsMs, metric } = readings
    const seriesOfRow = this.seriesOfRow
    const arrivals = this.arrivalMs
    for (let row = first, end = first + count, place = 0; row < end; row++) {
      const ts = tsMs[row]
      if (Number.isNaN(ts)) tsMs[row] = arrivalMs
      else if (ts >= DATE_TIME_MS_MIN && ts <= limitMs)
        tsMs[row] = Math.floor(ts) // as it is stored
      else return false
      const series = base >= 0 ? base + place : table.lookup(device, metric[row])
      if (++place === runLength) place = 0
      if (series < 0) return false
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
  #seriesBase(device: number, shape: number): number {
    if (shape < 0) return -1
    const devices = this.#devices
    const scanner = this.#scanner
    const isNew = devices.shape[device] !== shape
    devices.shape[device] = shape
    this.#runLength = scanner.shapeMetrics(shape).length
    if (devices.baseShape[device] === shape) return devices.seriesBase[device]
    if (!isNew || devices.baseShape[device] >= 0) return -1
    const base = this.#deviceMetrics.findRun(device, scanner.shapeMetrics(shape))
    if (base >= 0) {
      devices.baseShape[device] = shape
      devices.seriesBase[device] = base
    }
    return base
  }

  /** Gives the rows from `first` on their series, new ones if need be, all or none; false when there is no room for those. */
  // hot: per message of a stream with steps
  placeAll(first: number, device: number, arrivalMs: number): boolean {
    const readings = this.#readings
    const series = this.#series
    const end = readings.count
    if (readings.capacity > this.seriesOfRow.length) this.#grow()
    const { metric } = readings
    const { seriesOfRow, arrivalMs: arrivals } = this
    let isAnyNew = false
    for (let row = first; row < end; row++) {
      const found = series.lookup(device, metric[row])
      seriesOfRow[row] = found
      arrivals[row] = arrivalMs
      if (found < 0) isAnyNew = true
    }
    if (!isAnyNew) return true
    const added = new Set<number>()
    for (let row = first; row < end; row++) if (seriesOfRow[row] < 0) added.add(metric[row])
    if (series.count + added.size > series.countMax) this.refusal = 'too many series'
    else if (!this.#deviceMetrics.admit(device, added)) this.refusal = this.#deviceMetrics.refusal
    else {
      for (let row = first; row < end; row++) seriesOfRow[row] = series.find(device, metric[row])
      return true
    }
    return false
  }

  #grow(): void {
    const { capacity } = this.#readings
    this.seriesOfRow = copied(this.seriesOfRow, new Int32Array(capacity))
    this.arrivalMs = copied(this.arrivalMs, new Float64Array(capacity))
  }
}

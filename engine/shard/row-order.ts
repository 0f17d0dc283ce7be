/**
 * Sorts the rows of a batch into the tables' order (stream, device, metric, then as the caller says) and makes the
 * dictionaries of their LowCardinality columns on the way. Owned by the shard's thread; scratch memory is kept. All
 * long passes are slices.
 *
 * A counting sort by series: only the devices that a batch touches are ordered, by a rank that is brought up to date
 * when new devices have come. Rows of one series keep their order.
 */

import type { MetricNames } from '../../codecs/metric-names.ts'
import type { BlockWriter } from '../../codecs/native/block-writer.ts'
import type { DeviceTable } from './device-table.ts'
import type { SeriesTable } from './series-table.ts'
import { rowSlices, type Slices, sortSlices } from './slices.ts'
import { copied } from './typed-arrays.ts'

/** Rows or devices that are placed in one slice. */
const PLACED_COUNT_MAX = 16_384
/** Rows that are looked at, whether they are in order, in one slice. */
const SCANNED_COUNT_MAX = 65_536
/** What sorting a row costs more than a look at it. */
const SORT_WORK = 32

const DICTIONARY_ENTRY_SIZE_BYTES = 32

export class RowOrder {
  /** Row number by place; the first `count` are valid after `sort`. */
  order = new Int32Array(1024)
  /** By place: indices into the dictionaries. */
  streamIndices = new Int32Array(1024)
  deviceIndices = new Int32Array(1024)
  metricIndices = new Int32Array(1024)
  deviceDictionary: Uint8Array[] = []
  metricDictionary: Uint8Array[] = []
  /** Where the rows of each touched series start, and behind the last one the count; by touched series. */
  runStarts = new Int32Array(1025)
  runCount = 0
  #devices: DeviceTable
  #series: SeriesTable
  #metrics: MetricNames
  #streams: Uint8Array[]
  #streamRank: Int32Array
  #deviceByRank: Int32Array = new Int32Array(0)
  #rankOfDevice: Int32Array = new Int32Array(0)
  #metricRank: Int32Array = new Int32Array(0)
  #rowsOfSeries: Int32Array = new Int32Array(0)
  #nextSeries: Int32Array = new Int32Array(0)
  #firstSeries: Int32Array = new Int32Array(0)
  #touchedRanks: Int32Array = new Int32Array(1024)
  #touchedCount = 0
  #dictionaryOfMetric: Int32Array = new Int32Array(0)

  /** `streams`: the streams' names by index; the stream dictionary is this list. */
  constructor(devices: DeviceTable, series: SeriesTable, metrics: MetricNames, streams: readonly string[]) {
    this.#devices = devices
    this.#series = series
    this.#metrics = metrics
    this.#streams = streams.map((name) => new TextEncoder().encode(name))
    this.#streamRank = ranksOf(this.#streams)
  }

  /** Of the dictionaries of devices and metrics, about. */
  get dictionarySizeBytes(): number {
    return (this.deviceDictionary.length + this.metricDictionary.length) * DICTIONARY_ENTRY_SIZE_BYTES
  }

  /** The first three columns of most tables, for a range of places. */
  *writeColumns(writer: BlockWriter, { start, end }: { start: number; end: number }): Slices {
    writer.lowCardinality('stream', this.#streams, this.streamIndices.subarray(start, end), null)
    yield
    writer.lowCardinality('device', this.deviceDictionary, this.deviceIndices.subarray(start, end), null)
    yield
    writer.lowCardinality('metric', this.metricDictionary, this.metricIndices.subarray(start, end), null)
    yield
  }

  /** Orders `count` rows whose series are given. */
  *sort(seriesOfRow: Int32Array, count: number): Slices {
    this.#reserve(count)
    yield* this.#rankDevices()
    if (this.#metricRank.length !== this.#metrics.count) this.#rankMetrics()
    this.#touchedCount = 0
    yield* rowSlices(count, (start, end) => this.#gather(seriesOfRow, start, end))
    yield* sortSlices(this.#touchedRanks.subarray(0, this.#touchedCount))
    yield* this.#place(this.#touchedCount)
    const cursor = this.#rowsOfSeries
    yield* rowSlices(count, (start, end) => fillOrder(this.order, cursor, seriesOfRow, start, end))
    yield* rowSlices(count, (start, end) => {
      for (let row = start; row < end; row++) cursor[seriesOfRow[row]] = 0
    })
  }

  /** Sorts each series' rows by `key` ascending, stable; rows that come in order already cost one comparison. */
  *sortRuns(key: Float64Array): Slices {
    const { runStarts } = this
    const order = this.order.subarray(0, runStarts[this.runCount])
    const compare = (a: number, b: number) => key[a] - key[b]
    for (let run = 0, work = 0; run < this.runCount; run++) {
      const start = runStarts[run]
      const end = runStarts[run + 1]
      work += end - start
      if (!isOrdered(order, key, start, end)) {
        yield* sortSlices(order.subarray(start, end), compare)
        work += (end - start) * SORT_WORK
      }
      if (work < SCANNED_COUNT_MAX) continue
      work = 0
      yield
    }
  }

  /** After sorting: brings rows with equal keys together, ascending; within a key their order stays. */
  *groupBy(keyOfRow: Int32Array, count: number): Slices {
    const { order } = this
    const places = Int32Array.from({ length: count }, (_, place) => place)
    yield* sortSlices(places, (a, b) => keyOfRow[order[a]] - keyOfRow[order[b]])
    for (const column of [order, this.streamIndices, this.deviceIndices, this.metricIndices]) {
      const grouped = new Int32Array(count)
      yield* rowSlices(count, (start, end) => {
        for (let place = start; place < end; place++) grouped[place] = column[places[place]]
      })
      column.set(grouped)
    }
  }

  /** Counts the rows of each series and lists the series of each touched device. */
  #gather(seriesOfRow: Int32Array, start: number, end: number): void {
    const rows = this.#rowsOfSeries
    const next = this.#nextSeries
    const first = this.#firstSeries
    const deviceOf = this.#series.device
    const rank = this.#rankOfDevice
    let touched = this.#touchedCount
    for (let row = start; row < end; row++) {
      const series = seriesOfRow[row]
      if (rows[series]++ > 0) continue
      const device = deviceOf[series]
      if (first[device] < 0) {
        if (touched === this.#touchedRanks.length) {
          this.#touchedRanks = copied(this.#touchedRanks, new Int32Array(touched * 2))
        }
        this.#touchedRanks[touched++] = rank[device]
      }
      next[series] = first[device]
      first[device] = series
    }
    this.#touchedCount = touched
  }

  /** Walks the touched devices in order: gives every series its first place, every place its dictionary indices. */
  *#place(touched: number): Slices {
    const mine = this.#dictionaryOfMetric.fill(-1)
    this.deviceDictionary = new Array(touched)
    this.metricDictionary = []
    this.runCount = 0
    let place = 0
    for (let index = 0, done = 0; index < touched; index++) {
      place = this.#placeDevice(index, place, mine)
      if (place + index - done < PLACED_COUNT_MAX) continue
      done = place + index
      yield
    }
    this.runStarts[this.runCount] = place
  }

  /** Returns the place behind the device's rows. */
  #placeDevice(index: number, first: number, dictionaryOfMetric: Int32Array): number {
    const { streamIndices, deviceIndices, metricIndices } = this
    const rows = this.#rowsOfSeries
    const device = this.#deviceByRank[this.#touchedRanks[index]]
    const stream = this.#devices.stream[device]
    this.deviceDictionary[index] = this.#devices.name(device)
    let place = first
    for (let series = this.#seriesByMetric(device); series >= 0; series = this.#nextSeries[series]) {
      const metric = this.#series.metric[series]
      if (dictionaryOfMetric[metric] < 0) {
        dictionaryOfMetric[metric] = this.metricDictionary.push(this.#metrics.bytes(metric)) - 1
      }
      const end = place + rows[series]
      rows[series] = place
      this.runStarts[this.runCount++] = place
      streamIndices.fill(stream, place, end)
      deviceIndices.fill(index, place, end)
      metricIndices.fill(dictionaryOfMetric[metric], place, end)
      place = end
    }
    this.#firstSeries[device] = -1
    return place
  }

  /** Sorts the device's list of touched series by metric (a handful: by insertion) and returns its head. */
  #seriesByMetric(device: number): number {
    const next = this.#nextSeries
    const metricOf = this.#series.metric
    const rank = this.#metricRank
    let head = -1
    for (let series = this.#firstSeries[device]; series >= 0; ) {
      const following = next[series]
      const mine = rank[metricOf[series]]
      if (head < 0 || rank[metricOf[head]] > mine) {
        next[series] = head
        head = series
      } else {
        let before = head
        while (next[before] >= 0 && rank[metricOf[next[before]]] < mine) before = next[before]
        next[series] = next[before]
        next[before] = series
      }
      series = following
    }
    return head
  }

  #reserve(count: number): void {
    if (count > this.order.length) {
      const capacity = Math.max(count, this.order.length * 2)
      this.order = new Int32Array(capacity)
      this.streamIndices = new Int32Array(capacity)
      this.deviceIndices = new Int32Array(capacity)
      this.metricIndices = new Int32Array(capacity)
      this.runStarts = new Int32Array(capacity + 1)
    }
    if (this.#series.count > this.#rowsOfSeries.length) {
      this.#rowsOfSeries = new Int32Array(this.#series.device.length)
      this.#nextSeries = new Int32Array(this.#series.device.length)
    }
    if (this.#devices.count > this.#firstSeries.length) {
      this.#firstSeries = new Int32Array(this.#devices.stream.length).fill(-1)
    }
  }

  /** Sorts the devices that are new and merges them with those that have their order already. */
  *#rankDevices(): Slices {
    const known = this.#deviceByRank
    const count = this.#devices.count
    if (known.length === count) return
    const compare = (a: number, b: number) => this.#compareDevices(a, b)
    const added = Int32Array.from({ length: count - known.length }, (_, i) => known.length + i)
    yield* sortSlices(added, compare)
    const merged = new Int32Array(count)
    let i = 0
    let j = 0
    yield* rowSlices(count, (start, end) => {
      for (let place = start; place < end; place++) {
        const isKnown = j === added.length || (i < known.length && compare(known[i], added[j]) < 0)
        merged[place] = isKnown ? known[i++] : added[j++]
      }
    })
    this.#deviceByRank = merged
    if (this.#rankOfDevice.length < count) this.#rankOfDevice = new Int32Array(this.#devices.stream.length)
    const rank = this.#rankOfDevice
    yield* rowSlices(count, (start, end) => {
      for (let place = start; place < end; place++) rank[merged[place]] = place
    })
  }

  #rankMetrics(): void {
    const names = Array.from({ length: this.#metrics.count }, (_, index) => this.#metrics.bytes(index))
    this.#metricRank = ranksOf(names)
    this.#dictionaryOfMetric = new Int32Array(names.length)
  }

  #compareDevices(a: number, b: number): number {
    const { stream, names, nameStart, nameSize } = this.#devices
    if (stream[a] !== stream[b]) return this.#streamRank[stream[a]] - this.#streamRank[stream[b]]
    const startA = nameStart[a]
    const startB = nameStart[b]
    const shared = Math.min(nameSize[a], nameSize[b])
    for (let i = 0; i < shared; i++) {
      const difference = names[startA + i] - names[startB + i]
      if (difference !== 0) return difference
    }
    return nameSize[a] - nameSize[b]
  }
}

// hot: per batch
function fillOrder(
  order: Int32Array,
  cursor: Int32Array,
  seriesOfRow: Int32Array,
  start: number,
  end: number,
): void {
  for (let row = start; row < end; row++) order[cursor[seriesOfRow[row]]++] = row
}

// hot: per series of a batch
function isOrdered(order: Int32Array, key: Float64Array, start: number, end: number): boolean {
  for (let place = start + 1; place < end; place++) {
    if (key[order[place]] < key[order[place - 1]]) return false
  }
  return true
}

/** The rank of each name in byte order. */
function ranksOf(names: readonly Uint8Array[]): Int32Array {
  const sorted = names.map((_, index) => index).sort((a, b) => Buffer.compare(names[a], names[b]))
  const ranks = new Int32Array(names.length)
  sorted.forEach((index, rank) => {
    ranks[index] = rank
  })
  return ranks
}

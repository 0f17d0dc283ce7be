/**
 * How many metrics each device has: a device that invents names without end must not use up the shard's. Owned by the shard's
 * thread. Invariant: the count of a device is that of its series, and of names that only its refused messages have brought;
 * it never passes the bound.
 */
import type { MetricNames } from '../../codecs/metric-names.ts'
import type { Stateful, StateReader, StateWriter } from '../../codecs/state.ts'
import type { SeriesTable } from './series-table.ts'
import { copied } from './typed-arrays.ts'

const NOBODY = -1

export class DeviceMetrics implements Stateful {
  readonly countMax: number
  readonly refusal: string
  #names: MetricNames
  #series: SeriesTable
  /** By device. */
  #count: Int32Array = new Int32Array(1024)
  #deviceCount = 0
  /** By metric, the device that brought its name: it has been counted there. */
  #bringer: Int32Array = new Int32Array(256)

  constructor(countMax: number, names: MetricNames, series: SeriesTable) {
    this.countMax = countMax
    this.refusal = `the device has more than ${countMax} metrics`
    this.#names = names
    this.#series = series
  }

  /** Until `closeNames`, new names are refused when the device may bring no more. */
  // hot: per message
  openNames(device: number): void {
    if (device >= this.#deviceCount) this.#addDevice(device)
    const names = this.#names
    names.countLimit = Math.min(names.countMax, names.count + this.countMax - this.#count[device])
  }

  /** Whether it is the device, and not the shard, that has too many names. */
  get isDeviceFull(): boolean {
    return this.#names.countLimit < this.#names.countMax
  }

  /** The names from `before` on have come with the device's message. */
  closeNames(device: number, before: number): void {
    this.#bring(device, before)
    this.#count[device] += this.#names.count - before
  }

  /** The names from `before` on are the config's. */
  addOwnNames(before: number): void {
    this.#bring(NOBODY, before)
  }

  /** Counts the metrics for the device, none of which has a series yet; false when they are too many. */
  admit(device: number, metrics: Iterable<number>): boolean {
    let added = 0
    for (const metric of metrics) if (this.#bringer[metric] !== device) added++
    if (this.#count[device] + added > this.countMax) return false
    this.#count[device] += added
    return true
  }

  /** As SeriesTable.findRun, within the bound. */
  findRun(device: number, metrics: Int32Array): number {
    const series = this.#series
    const isThere = metrics.length > 0 && series.lookup(device, metrics[0]) >= 0
    if (!isThere && this.#count[device] + metrics.length > this.countMax) return -1
    const before = series.count
    const base = series.findRun(device, metrics)
    if (series.count > before) this.admit(device, series.metric.subarray(before, series.count))
    return base
  }

  save(out: StateWriter): void {
    out.i32(this.#count, this.#deviceCount)
    out.i32(this.#bringer, this.#names.count)
  }

  load(from: StateReader): void {
    const counts = from.i32()
    this.#deviceCount = counts.length
    this.#count = copied(counts, new Int32Array(Math.max(this.#count.length, counts.length)))
    const bringers = from.i32()
    this.#bringer = copied(bringers, new Int32Array(Math.max(this.#bringer.length, bringers.length)))
  }

  #addDevice(device: number): void {
    this.#deviceCount = device + 1
    const { length } = this.#count
    if (device >= length) this.#count = copied(this.#count, new Int32Array(length * 2))
    this.#count[device] = 0
  }

  #bring(device: number, before: number): void {
    const { count } = this.#names
    const { length } = this.#bringer
    if (count > length) this.#bringer = copied(this.#bringer, new Int32Array(Math.max(count, length * 2)))
    this.#bringer.fill(device, before, count)
  }
}

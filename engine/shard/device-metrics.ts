/**
 * How many metrics each device has: a device that invents names without end must not use up the shard's. Owned by the shard's
 * thread. Invariant: the count of a device is that of its series, and of names that only its refused messages have brought;
 * it never passes the bound.
 */
import type { MetricNames, NameGate } from '../../codecs/metric-names.ts'
import type { Stateful, StateReader, StateWriter } from '../../codecs/state.ts'
import type { SeriesTable } from './series-table.ts'
import { copied } from './typed-arrays.ts'

/** In the place of a device: the config itself. */
export const NO_DEVICE = -1

export class DeviceMetrics implements NameGate, Stateful {
  /** Whose message is being decoded: new names are counted for it. */
  device = NO_DEVICE
  readonly countMax: number
  readonly refusal: string
  #names: MetricNames
  #series: SeriesTable
  /** By device; those beyond its end have none. */
  #count: Int32Array = new Int32Array(1024)
  /** By metric, the device that brought its name: it has been counted there. */
  #bringer: Int32Array = new Int32Array(256)

  /** Becomes the gate of `names`. */
  constructor(countMax: number, names: MetricNames, series: SeriesTable) {
    this.countMax = countMax
    this.refusal = `the device has more than ${countMax} metrics`
    this.#names = names
    this.#series = series
    names.gate = this
  }

  /** Whether the device may bring another name, which then has this index. */
  admitName(index: number): boolean {
    const { device } = this
    if (device !== NO_DEVICE && !this.#add(device, 1)) return false
    const { length } = this.#bringer
    if (index >= length) this.#bringer = copied(this.#bringer, new Int32Array(length * 2))
    this.#bringer[index] = device
    return true
  }

  /** Counts the metrics for the device, none of which has a series yet; false when they are too many. */
  admit(device: number, metrics: Iterable<number>): boolean {
    let added = 0
    for (const metric of metrics) if (this.#bringer[metric] !== device) added++
    return this.#add(device, added)
  }

  /** As SeriesTable.findRun, within the bound. */
  findRun(device: number, metrics: Int32Array): number {
    const series = this.#series
    const isThere = metrics.length > 0 && series.lookup(device, metrics[0]) >= 0
    if (!isThere && (this.#count[device] ?? 0) + metrics.length > this.countMax) return -1
    const before = series.count
    const base = series.findRun(device, metrics)
    if (series.count > before) this.admit(device, series.metric.subarray(before, series.count))
    return base
  }

  save(out: StateWriter): void {
    let deviceCount = this.#count.length
    while (deviceCount > 0 && this.#count[deviceCount - 1] === 0) deviceCount--
    out.i32(this.#count, deviceCount)
    out.i32(this.#bringer, this.#names.count)
  }

  load(from: StateReader): void {
    const counts = from.i32()
    this.#count = copied(counts, new Int32Array(counts.length))
    const bringers = from.i32()
    this.#bringer = copied(bringers, new Int32Array(Math.max(this.#bringer.length, bringers.length)))
  }

  #add(device: number, added: number): boolean {
    if (device >= this.#count.length)
      this.#count = copied(this.#count, new Int32Array(Math.max(device + 1, this.#count.length * 2)))
    if (this.#count[device] + added > this.countMax) return false
    this.#count[device] += added
    return true
  }
}

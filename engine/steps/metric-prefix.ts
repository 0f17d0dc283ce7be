/**
 * The metric that a topic names: of a bare payload the metric itself, of an object what stands before its metrics. Owned by the
 * shard's thread. What is remembered follows from the names alone, so it is not state.
 */
import type { ReadingColumns } from '../../codecs/columns.ts'
import type { MetricNames } from '../../codecs/metric-names.ts'
import { NAME_SIZE_BYTES_MAX } from '../../codecs/payload-error.ts'

const DOT = 0x2e
/** More metrics than there can be. */
const METRIC_SPAN = 2 ** 20

export class MetricPrefix {
  #names: MetricNames
  /** (prefix, metric) to the metric with the prefix. */
  #prefixed = new Map<number, number>()
  #scratch = new Uint8Array(1024)
  /** Whether the last name that could not be had is longer than names may be. */
  isTooLong = false

  constructor(names: MetricNames) {
    this.#names = names
  }

  /** Puts the prefix and a dot before the metrics of the rows [first, end). False when a name is too long or there is no room. */
  // hot: per message on a topic that names a metric
  apply(columns: ReadingColumns, first: number, end: number, prefix: number): boolean {
    const { metric } = columns
    for (let row = first; row < end; row++) {
      const prefixed =
        this.#prefixed.get(prefix * METRIC_SPAN + metric[row]) ?? this.#add(prefix, metric[row])
      if (prefixed < 0) return false
      metric[row] = prefixed
    }
    return true
  }

  #add(prefix: number, metric: number): number {
    const before = this.#names.bytes(prefix)
    const name = this.#names.bytes(metric)
    const scratch = this.#scratch
    scratch.set(before)
    scratch[before.length] = DOT
    scratch.set(name, before.length + 1)
    const size = before.length + 1 + name.length
    this.isTooLong = size > NAME_SIZE_BYTES_MAX
    const prefixed = this.#names.intern(scratch, 0, size)
    if (prefixed >= 0) this.#prefixed.set(prefix * METRIC_SPAN + metric, prefixed)
    return prefixed
  }
}

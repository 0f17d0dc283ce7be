/** Which operators' branches each reading is for. Owned by the shard's thread. */
import type { ReadingColumns } from '../../codecs/columns.ts'
import type { MetricFilter } from './metric-filter.ts'

/** Of operators that take every reading, whatever its bits. */
export const EVERY_BRANCH = -1

/** For each row of the readings, a bit for each of its stream's branches that takes it; of streams whose branches take all, unset. */
export class RowBranches {
  bits = new Int32Array(1024)

  reserve(count: number): void {
    if (count <= this.bits.length) return
    const longer = new Int32Array(Math.max(count, this.bits.length * 2))
    longer.set(this.bits)
    this.bits = longer
  }
}

/** The readings that some operators see, side by side, in the columns that operators ask for. */
export class FedRows {
  count = 0
  /** The shard's numbers. */
  series = new Int32Array(256)
  tsMs = new Float64Array(256)
  value = new Float64Array(256)
  textStart = new Int32Array(256)
  textSize = new Int32Array(256)
  text: Uint8Array = new Uint8Array(0)

  /**
   * Takes those of the rows [start, end) that have a bit of `branches` and a metric that the filter takes, in place of what was
   * there.
   */
  // hot: per batch of a stream with branches
  take(
    branches: number,
    filter: MetricFilter | null,
    bits: Int32Array,
    series: Int32Array,
    readings: ReadingColumns,
    start: number,
    end: number,
  ): void {
    const { tsMs, metric, value, textStart, textSize } = readings
    if (end - start > this.series.length) this.#grow((end - start) * 2)
    this.text = readings.text
    let count = 0
    for (let row = start; row < end; row++) {
      if (branches !== EVERY_BRANCH && (bits[row] & branches) === 0) continue
      if (filter !== null && !filter.takes(metric[row])) continue
      this.series[count] = series[row]
      this.tsMs[count] = tsMs[row]
      this.value[count] = value[row]
      this.textStart[count] = textStart[row]
      this.textSize[count] = textSize[row]
      count++
    }
    this.count = count
  }

  #grow(capacity: number): void {
    this.series = new Int32Array(capacity)
    this.tsMs = new Float64Array(capacity)
    this.value = new Float64Array(capacity)
    this.textStart = new Int32Array(capacity)
    this.textSize = new Int32Array(capacity)
  }
}

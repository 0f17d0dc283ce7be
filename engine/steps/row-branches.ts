/** Which operators' branches each reading is for. Owned by the shard's thread. */

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

/** The readings that any branch takes, side by side, as windows want them. */
export class FedRows {
  series = new Int32Array(256)
  tsMs = new Float64Array(256)
  value = new Float64Array(256)

  /** Takes those of the rows [start, end) whose bits are not 0; returns how many. */
  // hot: per batch of a stream with branches
  take(
    bits: Int32Array,
    series: Int32Array,
    tsMs: Float64Array,
    value: Float64Array,
    start: number,
    end: number,
  ): number {
    if (end - start > this.series.length) {
      const capacity = (end - start) * 2
      this.series = new Int32Array(capacity)
      this.tsMs = new Float64Array(capacity)
      this.value = new Float64Array(capacity)
    }
    let count = 0
    for (let row = start; row < end; row++) {
      if (bits[row] === 0) continue
      this.series[count] = series[row]
      this.tsMs[count] = tsMs[row]
      this.value[count] = value[row]
      count++
    }
    return count
  }
}

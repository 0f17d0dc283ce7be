/**
 * Points as downsamplers hand them out, for the table `points`. One owner: the shard's thread, which takes them and clears.
 * A row replaces what an earlier batch said of (series, downsampler, tsMs, value); of two in one batch the last counts.
 */
const CAPACITY_MIN = 1024

/** What a row says of its point. */
export const PointKind = {
  /** It is of the downsampled series. */
  kept: 0,
  /** It came late and compression had passed it: it is kept beside the line. */
  late: 1,
  /** It was shown before its window was complete, and is none of the window's points any more. */
  deleted: 2,
} as const
export type PointKind = (typeof PointKind)[keyof typeof PointKind]

export class PointRows {
  count = 0
  series = new Int32Array(CAPACITY_MIN)
  /** Index into the specs that the downsamplers were made with. */
  downsampler = new Int32Array(CAPACITY_MIN)
  tsMs = new Float64Array(CAPACITY_MIN)
  value = new Float64Array(CAPACITY_MIN)
  /** How far dropped readings since the point before may lie from the kept line; NaN where a line begins, and of windows. */
  deviation = new Float64Array(CAPACITY_MIN)
  kind = new Uint8Array(CAPACITY_MIN)

  append(
    series: number,
    downsampler: number,
    tsMs: number,
    value: number,
    deviation: number,
    kind: PointKind,
  ): void {
    if (this.count === this.series.length) this.#grow()
    const row = this.count++
    this.series[row] = series
    this.downsampler[row] = downsampler
    this.tsMs[row] = tsMs
    this.value[row] = value
    this.deviation[row] = deviation
    this.kind[row] = kind
  }

  /** Appends `count` kept points of a window. */
  // hot: per window
  appendWindow(
    series: number,
    downsampler: number,
    tsMs: Float64Array,
    value: Float64Array,
    count: number,
  ): void {
    const first = this.count
    while (first + count > this.series.length) this.#grow()
    for (let row = first, i = 0; i < count; row++, i++) {
      this.series[row] = series
      this.downsampler[row] = downsampler
      this.tsMs[row] = tsMs[i]
      this.value[row] = value[i]
      this.deviation[row] = Number.NaN
      this.kind[row] = PointKind.kept
    }
    this.count = first + count
  }

  /** Forgets the rows, keeps the memory. */
  clear(): void {
    this.count = 0
  }

  #grow(): void {
    const capacity = this.series.length * 2
    this.series = grown(this.series, new Int32Array(capacity))
    this.downsampler = grown(this.downsampler, new Int32Array(capacity))
    this.tsMs = grown(this.tsMs, new Float64Array(capacity))
    this.value = grown(this.value, new Float64Array(capacity))
    this.deviation = grown(this.deviation, new Float64Array(capacity))
    this.kind = grown(this.kind, new Uint8Array(capacity))
  }
}

function grown<T extends { set(from: T): void }>(from: T, to: T): T {
  to.set(from)
  return to
}

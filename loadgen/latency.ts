/** Latencies in whole microseconds, three significant digits, up to ten minutes; HdrHistogram. One owner. */
import {
  build,
  decodeFromCompressedBase64,
  encodeIntoCompressedBase64,
  type Histogram,
} from 'hdr-histogram-js'

const LATENCY_US_MAX = 600_000_000

export interface LatencySummary {
  count: number
  p50Ms: number
  p90Ms: number
  p99Ms: number
  p999Ms: number
  maxMs: number
}

export class LatencyHistogram {
  readonly #histogram: Histogram = build({
    lowestDiscernibleValue: 1,
    highestTrackableValue: LATENCY_US_MAX,
    numberOfSignificantValueDigits: 3,
    bitBucketSize: 64,
  })

  // hot: per read
  record(latencyMs: number, count: number): void {
    const latencyUs = Math.min(LATENCY_US_MAX, Math.max(1, Math.round(latencyMs * 1000)))
    this.#histogram.recordValueWithCount(latencyUs, count)
  }

  encode(): string {
    return encodeIntoCompressedBase64(this.#histogram)
  }

  /** Adds what another one encoded. */
  add(encoded: string): void {
    this.#histogram.add(decodeFromCompressedBase64(encoded))
  }

  reset(): void {
    this.#histogram.reset()
  }

  summary(): LatencySummary {
    const histogram = this.#histogram
    const percentileMs = (percentile: number): number =>
      histogram.totalCount === 0 ? 0 : histogram.getValueAtPercentile(percentile) / 1000
    return {
      count: histogram.totalCount,
      p50Ms: percentileMs(50),
      p90Ms: percentileMs(90),
      p99Ms: percentileMs(99),
      p999Ms: percentileMs(99.9),
      maxMs: percentileMs(100),
    }
  }
}

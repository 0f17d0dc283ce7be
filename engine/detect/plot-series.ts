/**
 * What a plot keeps of a series of any length: at most BUCKETS_MAX stretches with their lowest and highest values: when they are
 * used up, neighbours merge. One owner: the job that reads the file.
 */
import { EpisodeState } from '../../operators/detect/episodes.ts'

const BUCKETS_MAX = 2048
const EPISODES_MAX = 2000

export interface Bucket {
  fromMs: number
  toMs: number
  low: number
  high: number
  expectedLow: number
  expectedHigh: number
  score: number
}

/** `value` and what was expected are those of its worst reading so far. */
export interface PlotEpisode {
  startMs: number
  endMs: number
  severity: number
  score: number
  value: number
  expectedLow: number
  expectedHigh: number
}

export class PlotSeries {
  buckets: Bucket[] = []
  episodes: PlotEpisode[] = []
  gapsMs: number[] = []
  readings = 0
  #perBucket = 1

  add(tsMs: number, value: number, score: number, expectedLow: number, expectedHigh: number): void {
    const point = { fromMs: tsMs, toMs: tsMs, low: value, high: value, expectedLow, expectedHigh, score }
    if (this.readings % this.#perBucket === 0) {
      if (this.buckets.length === BUCKETS_MAX) this.#halve()
      this.buckets.push(point)
    } else {
      const last = this.buckets.length - 1
      this.buckets[last] = merge(this.buckets[last], point)
    }
    this.readings++
  }

  addGap(tsMs: number): void {
    if (this.gapsMs.length < EPISODES_MAX) this.gapsMs.push(tsMs)
  }

  addEpisode(state: number, episode: PlotEpisode): void {
    const last = this.episodes.at(-1)
    if (last?.startMs === episode.startMs) Object.assign(last, episode)
    else if (state === EpisodeState.raised && this.episodes.length < EPISODES_MAX) this.episodes.push(episode)
  }

  #halve(): void {
    const { buckets } = this
    this.buckets = buckets.flatMap((bucket, i) => (i % 2 === 1 ? [merge(buckets[i - 1], bucket)] : []))
    this.#perBucket *= 2
  }
}

function merge(a: Bucket, b: Bucket): Bucket {
  return {
    fromMs: Math.min(a.fromMs, b.fromMs),
    toMs: Math.max(a.toMs, b.toMs),
    low: lowest(a.low, b.low),
    high: -lowest(-a.high, -b.high),
    expectedLow: lowest(a.expectedLow, b.expectedLow),
    expectedHigh: -lowest(-a.expectedHigh, -b.expectedHigh),
    score: Math.max(a.score, b.score),
  }
}

/** The lower one, of those that are numbers. */
function lowest(a: number, b: number): number {
  return Number.isNaN(a) || b < a ? b : a
}

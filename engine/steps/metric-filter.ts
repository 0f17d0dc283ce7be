/**
 * Which metrics a selection takes, decided once for each name: include and exclude lists with `*` for any characters. Owned by
 * the shard's thread. What is remembered follows from the names alone, so it is not state.
 */
import type { MetricNames } from '../../codecs/metric-names.ts'
import type { Selection } from '../config.ts'

const UNKNOWN = 0
const TAKEN = 1
const LEFT = 2

export class MetricFilter {
  #names: MetricNames
  #selection: Selection
  #known = new Uint8Array(256)

  constructor(names: MetricNames, selection: Selection) {
    this.#names = names
    this.#selection = selection
  }

  // hot: per reading of a stream with a selection
  takes(metric: number): boolean {
    const known = metric < this.#known.length ? this.#known[metric] : UNKNOWN
    return known === UNKNOWN ? this.#decide(metric) : known === TAKEN
  }

  #decide(metric: number): boolean {
    if (metric >= this.#known.length) {
      const longer = new Uint8Array(Math.max(metric + 1, this.#known.length * 2))
      longer.set(this.#known)
      this.#known = longer
    }
    const name = this.#names.text(metric)
    const { include, exclude } = this.#selection
    const matches = (pattern: string) => matchesPattern(pattern, name)
    const isTaken = (include === null || include.some(matches)) && !exclude.some(matches)
    this.#known[metric] = isTaken ? TAKEN : LEFT
    return isTaken
  }
}

/** Whether a selection takes every metric. */
export function takesAll({ include, exclude }: Selection): boolean {
  return exclude.length === 0 && (include === null || include.some((pattern) => /^\*+$/.test(pattern)))
}

/** Whether `*` in the pattern can stand for characters so that it is the text. Of several `*`, only the last is tried again. */
function matchesPattern(pattern: string, text: string): boolean {
  let at = 0
  let star = -1
  let starText = 0
  for (let i = 0; i < text.length; ) {
    if (pattern[at] === '*') {
      star = at++
      starText = i
    } else if (at < pattern.length && pattern[at] === text[i]) {
      at++
      i++
    } else if (star >= 0) {
      at = star + 1
      i = ++starText
    } else return false
  }
  while (pattern[at] === '*') at++
  return at === pattern.length
}

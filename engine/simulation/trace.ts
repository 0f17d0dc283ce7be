/**
 * What happened last in a run, for whoever has to find out why it failed: the newest events, with their time. Events are
 * kept as they come and made into text only when somebody asks.
 */
import type { Clock } from '../../base/clock.ts'

const EVENTS_MAX = 4000

export class Trace {
  /** How often what happened, for whoever asks whether a run met anything at all. */
  readonly tallies: Record<string, number> = {}
  /** Of all events. */
  count = 0
  #clock: Clock
  #startMs: number
  #events: unknown[][] = []

  constructor(clock: Clock) {
    this.#clock = clock
    this.#startMs = clock.nowMs()
  }

  tally(name: string, count = 1): void {
    this.tallies[name] = (this.tallies[name] ?? 0) + count
  }

  note(...event: unknown[]): void {
    this.count++
    if (this.#events.length >= 2 * EVENTS_MAX) this.#events = this.#events.slice(EVENTS_MAX)
    this.#events.push([this.#clock.nowMs() - this.#startMs, ...event])
  }

  /** The last events, oldest first; before them all those of the message that `failure` speaks of. */
  lines(count: number, failure: string): string[] {
    const lines = this.#events.map(([atMs, ...event]) => `${atMs} ms ${event.join(' ')}`)
    const subject = /message \d+\b/.exec(failure)?.[0]
    const about = subject === undefined ? [] : lines.filter((line) => `${line} `.includes(`${subject} `))
    return [...about, '...', ...lines.slice(-count)]
  }
}

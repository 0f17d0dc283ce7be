/**
 * Where aligned windows lie, for carried-forward aggregates. A pane is a span that each window holds whole or not at all; windows
 * that hold a pane follow one another by `nextWindow`. Pure.
 */
import { Calendar } from './calendar.ts'
import type { CalendarUnit, WindowSpec } from './window-spec.ts'

export interface WindowSpans {
  paneStartOf(ts: number): number
  paneEndOf(paneStartMs: number): number
  /** The start of the earliest window that holds the pane. */
  firstWindowOf(paneStartMs: number): number
  endOf(windowStartMs: number): number
  nextWindow(windowStartMs: number): number
}

export function makeSpans(
  spec: Extract<WindowSpec, { kind: 'tumbling' | 'hopping' | 'calendar' }>,
): WindowSpans {
  if (spec.kind === 'calendar') return new CalendarSpans(spec.unit, spec.timeZone)
  return new HoppingSpans(spec.widthMs, spec.kind === 'hopping' ? spec.hopMs : spec.widthMs)
}

/** Windows [k * hop, k * hop + width) for whole k; a hop is at most the width. */
class HoppingSpans implements WindowSpans {
  readonly #widthMs: number
  readonly #hopMs: number
  readonly #paneMs: number

  constructor(widthMs: number, hopMs: number) {
    this.#widthMs = widthMs
    this.#hopMs = hopMs
    this.#paneMs = greatestDivisor(widthMs, hopMs)
  }

  paneStartOf(ts: number): number {
    return Math.floor(ts / this.#paneMs) * this.#paneMs + 0
  }

  paneEndOf(paneStartMs: number): number {
    return paneStartMs + this.#paneMs
  }

  firstWindowOf(paneStartMs: number): number {
    return Math.ceil((paneStartMs + this.#paneMs - this.#widthMs) / this.#hopMs) * this.#hopMs + 0
  }

  endOf(windowStartMs: number): number {
    return windowStartMs + this.#widthMs
  }

  nextWindow(windowStartMs: number): number {
    return windowStartMs + this.#hopMs
  }
}

class CalendarSpans implements WindowSpans {
  readonly #calendar: Calendar

  constructor(unit: CalendarUnit, timeZone: string) {
    this.#calendar = new Calendar(unit, timeZone)
  }

  paneStartOf(ts: number): number {
    return this.#calendar.startOf(ts)
  }

  paneEndOf(paneStartMs: number): number {
    return this.#calendar.endOf(paneStartMs)
  }

  firstWindowOf(paneStartMs: number): number {
    return paneStartMs
  }

  endOf(windowStartMs: number): number {
    return this.#calendar.endOf(windowStartMs)
  }

  nextWindow(windowStartMs: number): number {
    return this.#calendar.endOf(windowStartMs)
  }
}

function greatestDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestDivisor(b, a % b)
}

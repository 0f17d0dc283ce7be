/** Where windows aligned to the clock begin and end, as SQL over times in Int64 ms. Pure text. */
import { quoteString } from './sql-tokens.ts'

export interface Bounds {
  /** The start of the earliest and of the latest window that holds the time. */
  first(t: string): string
  last(t: string): string
  /** The starts of all of them, an array. */
  all(t: string): string
  end(start: string): string
}

/** Tumbling (hop = width) and hopping windows; both lengths are columns. */
export const CLOCK_BOUNDS: Bounds = {
  first: (t) => `(${t} - width - positiveModulo(${t} - width, hop) + hop)`,
  last: (t) => `(${t} - positiveModulo(${t}, hop))`,
  all: (t) => `range(${CLOCK_BOUNDS.first(t)}, ${t} + 1, hop)`,
  end: (start) => `(${start} + width)`,
}

/** Days, weeks from Monday and months; the unit is a column, but a zone must be a constant in ClickHouse. */
export function calendarBounds(timeZone: string): Bounds {
  const zone = quoteString(timeZone)
  const dateOf = (t: string): string => `toDate32(fromUnixTimestamp64Milli(${t}, ${zone}))`
  const startOf = (date: string): string => `toUnixTimestamp64Milli(toDateTime64(${date}, 3, ${zone}))`
  const start = (t: string): string => {
    const date = dateOf(t)
    const back = `multiIf(unit = 'week', toDayOfWeek(${date}) - 1, unit = 'month', toDayOfMonth(${date}) - 1, 0)`
    return startOf(`addDays(${date}, -(${back}))`)
  }
  return {
    first: start,
    last: start,
    all: (t) => `[${start(t)}]`,
    end: (from) => {
      const date = dateOf(from)
      return startOf(`if(unit = 'month', addMonths(${date}, 1), addDays(${date}, if(unit = 'week', 7, 1)))`)
    },
  }
}

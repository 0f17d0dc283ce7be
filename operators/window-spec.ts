/**
 * What a window operator is told to do, as plain data: the config makes it, operators and the store's tables read it.
 * A spec's label stands in the column `window` and, with the stream, names the operator.
 */

export type Aggregate =
  | 'count'
  | 'sum'
  | 'min'
  | 'max'
  | 'mean'
  | 'first'
  | 'last'
  | 'variance'
  | 'distinct'
  | 'quantiles'
  | 'time_weighted_mean'
  | 'increase'
  | 'rate'
  | 'states'

/** Those whose partial rows merge: over tumbling, hopping and calendar windows they go to `rollups`. */
export const MERGEABLE_AGGREGATES: readonly Aggregate[] = [
  'count',
  'sum',
  'min',
  'max',
  'mean',
  'first',
  'last',
  'variance',
  'distinct',
  'quantiles',
]

/** Those that need a series' readings in order; they go to `windows`. */
export const ORDERED_AGGREGATES: readonly Aggregate[] = ['time_weighted_mean', 'increase', 'rate', 'states']

/** What every pane holds anyway, and a window gets that names no aggregates. */
export const PLAIN_AGGREGATES: readonly Aggregate[] = ['count', 'sum', 'min', 'max', 'mean', 'first', 'last']

export type CalendarUnit = 'day' | 'week' | 'month'

export type WindowKind =
  | { kind: 'tumbling'; widthMs: number }
  | { kind: 'hopping'; widthMs: number; hopMs: number }
  /** Days, weeks from Monday, or months of an IANA time zone. */
  | { kind: 'calendar'; unit: CalendarUnit; timeZone: string }
  /** Readings of a series that are at most gapMs apart. */
  | { kind: 'session'; gapMs: number }
  /** Every `size` readings of a series, by event time. */
  | { kind: 'count'; size: number }
  /** At each reading, those in (ts - widthMs, ts]. */
  | { kind: 'sliding'; widthMs: number }

export type WindowSpec = WindowKind & {
  /** Without repetition, in the order of MERGEABLE_AGGREGATES, then ORDERED_AGGREGATES. */
  aggregates: Aggregate[]
  /** Open windows also leave this often, ms; null when only closed ones leave. */
  earlyMs: number | null
}

const UNITS: readonly (readonly [name: string, ms: number])[] = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1000],
  ['ms', 1],
]

/** A duration in the widest unit that it is a whole number of: 90_000 is `90s`, 120_000 is `2m`. */
export function durationLabel(durationMs: number): string {
  for (const [name, ms] of UNITS) if (durationMs % ms === 0) return `${durationMs / ms}${name}`
  throw new RangeError(`${durationMs} ms is not a whole number of milliseconds`)
}

/** What stands in the column `window`. Two specs of one stream with the same label are the same windows. */
export function windowLabel(spec: WindowKind): string {
  switch (spec.kind) {
    case 'tumbling':
      return durationLabel(spec.widthMs)
    case 'hopping':
      return `${durationLabel(spec.widthMs)}/${durationLabel(spec.hopMs)}`
    case 'calendar':
      return `${spec.unit} ${spec.timeZone}`
    case 'session':
      return `session ${durationLabel(spec.gapMs)}`
    case 'count':
      return `count ${spec.size}`
    case 'sliding':
      return `sliding ${durationLabel(spec.widthMs)}`
  }
}

/** Whether windows of this kind are the same however their readings are dealt out: partial rows can merge. */
export function isAlignedKind(spec: WindowKind): boolean {
  return spec.kind === 'tumbling' || spec.kind === 'hopping' || spec.kind === 'calendar'
}

/** The aggregates of a spec that go to `rollups`. */
export function rollupAggregates(spec: WindowSpec): Aggregate[] {
  return isAlignedKind(spec) ? spec.aggregates.filter((name) => MERGEABLE_AGGREGATES.includes(name)) : []
}

/** The aggregates of a spec that go to `windows`. */
export function windowAggregates(spec: WindowSpec): Aggregate[] {
  return isAlignedKind(spec)
    ? spec.aggregates.filter((name) => ORDERED_AGGREGATES.includes(name))
    : spec.aggregates
}

/**
 * Windows that do not merge, computed by SQL from the readings: one SELECT per kind. The materialized views of
 * `amendments` use them over the ranges that late readings touch, `batchWindows` over all of `samples`; that one is what
 * an analyst may compare `windows_latest` with. Pure text.
 *
 * Each takes a query of taken readings with `range_id`, other columns of RANGE_COLUMNS, `t` (ms), `value` and `text`, and
 * gives the columns `range_id`, `start_ms`, `order_` (of rows with the same start the greatest stands) and one for each of MEASURES, its
 * name followed by `_`. Times are Int64 ms throughout, so that nothing depends on a server's time zone.
 */
import { assert } from '../../base/assert.ts'
import {
  type Aggregate,
  type WindowSpec,
  windowAggregates,
  windowLabel,
} from '../../operators/window-spec.ts'
import { DATABASE } from './columns.ts'
import { quoteString } from './sql-tokens.ts'
import { type Bounds, CLOCK_BOUNDS, calendarBounds } from './window-bounds.ts'

/** What the queries below are told of a range of readings of one series, and of the windows to make of it. */
export const RANGE_COLUMNS = [
  /** Stands for the rest where readings are many; windows of two ranges never mix. */
  ['range_id', 'UInt128'],
  ['stream', 'LowCardinality(String)'],
  ['device', 'LowCardinality(String)'],
  ['metric', 'LowCardinality(String)'],
  ['window', 'LowCardinality(String)'],
  /** What came late, both ends included. */
  ['from_ms', 'Int64'],
  ['to_ms', 'Int64'],
  /** Names with commas between. */
  ['aggregates', 'LowCardinality(String)'],
  ['width', 'Int64'],
  ['hop', 'Int64'],
  ['gap', 'Int64'],
  ['size', 'Int64'],
  ['unit', 'LowCardinality(String)'],
  ['version', 'UInt64'],
  /** The readings that are needed, both ends included. */
  ['read_from', 'Int64'],
  ['read_to', 'Int64'],
  /** The windows that are affected, by their starts, both ends included. */
  ['start_from', 'Int64'],
  ['start_to', 'Int64'],
  /** Between two steps: what was not found nearby. */
  ['lacks_before', 'UInt8'],
  ['lacks_after', 'UInt8'],
] as const

/** The columns of `windows` between its key and its version. */
export const MEASURES = [
  'end',
  'count',
  'sum',
  'min',
  'max',
  'mean',
  'variance',
  'first',
  'first_ts',
  'last',
  'last_ts',
  'time_weighted_mean',
  'increase',
  'rate',
  'states',
  'distinct',
  'q50',
  'q90',
  'q99',
] as const

const TIMES: ReadonlySet<string> = new Set(['end', 'first_ts', 'last_ts'])

/** What DateTime64(3) holds: the years 1900 .. 2299. */
export const TS_MS_MIN = -2_208_988_800_000
export const TS_MS_MAX = 10_413_791_999_999

export function timeOf(ms: string): string {
  return `fromUnixTimestamp64Milli(least(greatest(${ms}, ${TS_MS_MIN}), ${TS_MS_MAX}))`
}

/** Whether one of these is among the `aggregates`; cheap, for it is computed once for each entry of their dictionary. */
export function asksFor(...names: Aggregate[]): string {
  const asks = names.map((name) => `position(concat(',', aggregates, ','), ',${name},') > 0`)
  return `(${asks.join(' OR ')})`
}

/** NaN and infinities are stored, but not windowed. */
export const IS_NUMBER = 'isFinite(value)'
/** The readings that windows are made of: numbers, and texts where states are asked for. */
export const IS_TAKEN = `(${IS_NUMBER} OR (text != '' AND ${asksFor('states')}))`

export function rangeId(...columns: string[]): string {
  return `reinterpretAsUInt128(sipHash128(${columns.join(', ')}))`
}

/** A range's readings in order: those of one time numbers by value, then texts by bytes. */
const IN_ORDER = 't, NOT is_number, if(is_number, value, 0), text'

/**
 * Each reading with its rank, the one before it, and the last number before it. `place` is SQL that grows along the order: a
 * predecessor counts from the window's `first_place` on. Frames are short, for ClickHouse keeps what is in a frame.
 */
function withPredecessors(readings: string, place: string): string {
  const frame = 'ROWS BETWEEN 1 PRECEDING AND CURRENT ROW'
  const lag = (names: readonly string[], prefix: string, over: string): string =>
    names.map((name) => `lagInFrame(${name}) ${over} AS ${prefix}${name}_before`).join(', ')
  const all = `OVER (PARTITION BY range_id ORDER BY ${IN_ORDER} ${frame})`
  const numbers = `OVER (PARTITION BY range_id, is_number ORDER BY rank ${frame})`
  return `SELECT *, lagInFrame(toUInt8(1)) ${numbers} AS has_number_before, ${lag(['t', 'value', 'place'], 'number_', numbers)}
    FROM (
      SELECT *, ${place} AS place
      FROM (
        SELECT *, toInt64(row_number() ${all}) AS rank, ${lag(['t', 'value', 'text', 'is_number'], '', all)}
        FROM (SELECT *, ${IS_NUMBER} AS is_number FROM (${readings}))
      )
    )`
}

/** What a state is called: the text, or the number as ClickHouse prints it; -0 is 0. */
const STATE = 'if(is_number, toString(value + 0.), text)'
const STATE_BEFORE = 'if(is_number_before, toString(value_before + 0.), text_before)'

interface Measure {
  readonly name: string
  readonly call: string
  readonly parameters?: string
  readonly value?: string
  readonly of?: string
}

/** Times are clipped to `since_ms`: what was in force before a window is carried into it from its start. */
const STEP = {
  ofNumber: 'is_number AND has_number_before AND number_place_before >= first_place',
  since: 'greatest(number_t_before, since_ms)',
  area: 'number_value_before * (t - greatest(number_t_before, since_ms))',
  rise: 'if(value >= number_value_before, value - number_value_before, value)',
  ofState: `rank > 1 AND place_before >= first_place AND ${asksFor('states')}`,
  lasted: 't - greatest(t_before, since_ms)',
}

const NUMBER_MEASURES: readonly Measure[] = [
  { name: 'n', call: 'count' },
  { name: 'total', call: 'sumKahan', value: 'value' },
  { name: 'low', call: 'min', value: 'value' },
  { name: 'high', call: 'max', value: 'value' },
  { name: 'spread', call: 'varPopStable', value: 'value' },
  { name: 'earliest', call: 'min', value: '(t, value)' },
  { name: 'latest', call: 'max', value: '(t, value)' },
  { name: 'kinds', call: 'uniqExact', value: 'value + 0.', of: `is_number AND ${asksFor('distinct')}` },
  {
    name: 'quantiles',
    call: 'quantilesExact',
    parameters: '(0.5, 0.9, 0.99)',
    value: 'value',
    of: `is_number AND ${asksFor('quantiles')}`,
  },
]

/** What is carried from reading to reading within a window, and into it. */
const STEP_MEASURES: readonly Measure[] = [
  {
    name: 'covered_from',
    call: 'min',
    value: `if(${STEP.ofNumber}, ${STEP.since}, t)`,
  },
  { name: 'area', call: 'sumKahan', value: STEP.area, of: STEP.ofNumber },
  { name: 'risen', call: 'sumKahan', value: STEP.rise, of: STEP.ofNumber },
  {
    name: 'lasted',
    call: 'sumMap',
    value: `[if(${asksFor('states')}, ${STATE_BEFORE}, '')], [${STEP.lasted}]`,
    of: STEP.ofState,
  },
]

/** sumKahanIf loses numbers in frames with others that do not count (ClickHouse 26.7), so those are added as 0. */
function measures(list: readonly Measure[], over = ''): string {
  return list
    .map(({ name, call, parameters = '', value, of = 'is_number' }) => {
      if (call === 'sumKahan') return `sumKahan(if(${of}, ${value}, 0))${over} AS ${name}`
      const values = value === undefined ? of : `${value}, ${of}`
      return `${call}If${parameters}(${values})${over} AS ${name}`
    })
    .join(', ')
}

/** One row for each group of rows of `withPredecessors`, with since_ms and first_place; `end` is SQL over the group. */
function grouped(placed: string, keys: string, end: string): string {
  return `SELECT range_id, aggregates, ${keys}, count() AS taken, min(t) AS from_t, max(t) AS to_t, ${end} AS end_ms,
      argMax(if(${asksFor('states')}, ${STATE}, ''), rank) AS last_state,
      ${measures(NUMBER_MEASURES)}, ${measures(STEP_MEASURES)}
    FROM (${placed}) GROUP BY range_id, aggregates, ${keys}`
}

/**
 * The rows of MEASURES; what was not asked for, or has no number, is NaN. In two steps, for ClickHouse puts an alias's
 * expression in each place of it.
 */
function windowRows(windows: string, start: string, order = '0'): string {
  const asked = (name: Aggregate, sql: string, column: string = name): string =>
    `if(has(asked, '${name}'), ${sql}, nan) AS ${column}_`
  return `SELECT range_id, start_ms, order_, end_ms AS end_, taken AS count_, from_t AS first_ts_, to_t AS last_ts_, ${[
    asked('sum', 'total'),
    asked('min', 'low'),
    asked('max', 'high'),
    asked('mean', 'total / n'),
    asked('variance', 'spread'),
    asked('first', 'earliest.2'),
    asked('last', 'latest.2'),
    asked('time_weighted_mean', '(area + latest.2 * (end_ms - latest.1)) / (end_ms - covered_from)'),
    asked('increase', 'risen'),
    asked('rate', 'if(end_ms > start_ms, risen / ((end_ms - start_ms) / 1000), nan)'),
    asked('distinct', 'toFloat64(kinds)'),
    ...['q50', 'q90', 'q99'].map((name, i) => asked('quantiles', `quantiles[${i + 1}]`, name)),
    `mapFromArrays(stayed.1, arrayMap(ms -> ms / 1000, stayed.2)) AS all_states`,
    `CAST(if(${asksFor('states')}, mapFilter((state, s) -> s > 0, all_states), map()), 'Map(String, Float64)') AS states_`,
  ].join(', ')}
    FROM (
      SELECT *, ${start} AS start_ms, ${order} AS order_, if(n > 0, splitByChar(',', aggregates), []) AS asked,
        arrayReduce('sumMap', [lasted.1, [last_state]], [lasted.2, [end_ms - to_t]]) AS stayed
      FROM (${windows})
    )`
}

/**
 * Runs of readings that are at most `gap` apart, run_from to run_to. Those of one interval of that length are always of one
 * run, so that only one row for each interval is sorted.
 */
export function sessionRuns(readings: string): string {
  const over = `OVER (PARTITION BY range_id ORDER BY interval_ms ROWS BETWEEN`
  return `SELECT range_id, from_ms, to_ms, gap, min(from_t) AS run_from, max(to_t) AS run_to
    FROM (
      SELECT *, countIf(begins) ${over} UNBOUNDED PRECEDING AND CURRENT ROW) AS run
      FROM (
        SELECT *, from_t - lagInFrame(to_t, 1, from_t - gap - 1) ${over} 1 PRECEDING AND CURRENT ROW) > gap AS begins
        FROM (
          SELECT range_id, from_ms, to_ms, gap, t - positiveModulo(t, gap) AS interval_ms, min(t) AS from_t, max(t) AS to_t
          FROM (${readings}) GROUP BY range_id, from_ms, to_ms, gap, interval_ms
        )
      )
    )
    GROUP BY range_id, from_ms, to_ms, gap, run`
}

/** Readings at most `gap` apart; from the first to the last. */
function sessionWindows(readings: string): string {
  const placed = `SELECT *, start AS first_place, t_before AS place_before, ${TS_MS_MIN} AS since_ms
    FROM (${withPredecessors(readings, 't')}) AS readings
    ASOF INNER JOIN (SELECT range_id, run_from AS t, run_from AS start FROM (${sessionRuns(readings)})) AS runs
      USING (range_id, t)`
  return windowRows(grouped(placed, 'start', 'max(t)'), 'start')
}

/** Every `size` readings, from the first on that is read; only full windows, and only those that end in the range. */
function countWindows(readings: string): string {
  const placed = `SELECT *, intDiv(rank - 1, size) AS number, number * size + 1 AS first_place, rank - 1 AS place_before,
      ${TS_MS_MIN} AS since_ms
    FROM (${withPredecessors(readings, 'rank')})`
  const windows = grouped(placed, 'number, size, from_ms, to_ms', 'max(t)')
  const full = `SELECT * FROM (${windows}) WHERE taken = size AND end_ms >= from_ms AND end_ms <= to_ms`
  return windowRows(full, 'from_t', 'number')
}

/** Windows aligned to the clock: the reading before a window is carried into it. */
function carriedWindows(readings: string, bounds: Bounds): string {
  const placed = `SELECT *, start, start AS since_ms, 0 AS first_place, 0 AS place_before
    FROM (${withPredecessors(readings, '0')})
    ARRAY JOIN ${bounds.all('t')} AS start
    WHERE start >= start_from AND start <= start_to`
  return windowRows(grouped(placed, 'start, width, unit', bounds.end('start')), 'start')
}

/**
 * At each reading, those of the width before it. A frame's length must be a constant in ClickHouse, so time is measured in
 * windows: divided by half a millisecond less than the width, readings of one window are less than 1 apart, others more,
 * by a margin that Float64 keeps. A frame's first reading has no predecessor in it, so steps are summed without its own.
 */
function slidingWindows(readings: string): string {
  const over = `OVER (PARTITION BY range_id ORDER BY t / (width - 0.5) RANGE BETWEEN 1 PRECEDING AND CURRENT ROW)`
  const steps = (step: string, names: Aggregate[], of: string): string =>
    `groupArrayIf((rank, ${step}), ${of} AND ${asksFor(...names)}) ${over}`
  const sumOf = (numbers: string): string =>
    `arrayReduce('sumKahan', arrayMap(step -> step.2, arrayFilter(step -> step.1 > first_number, ${numbers})))`
  return windowRows(
    `SELECT *, t AS end_ms, '' AS last_state, earliest.1 AS covered_from,
      ${sumOf('areas')} AS area, ${sumOf('rises')} AS risen,
      arrayReduce('sumMap', arrayMap(step -> [step.2.1], stays_within), arrayMap(step -> [step.2.2], stays_within)) AS lasted
    FROM (
      SELECT *, arrayFilter(step -> step.1 > first_reading, stays) AS stays_within
      FROM (
        SELECT *, count() ${over} AS taken, min(t) ${over} AS from_t, max(t) ${over} AS to_t,
          minIf(rank, is_number) ${over} AS first_number, min(rank) ${over} AS first_reading,
          ${measures(NUMBER_MEASURES, ` ${over}`)},
          ${steps(STEP.area, ['time_weighted_mean'], STEP.ofNumber)} AS areas,
          ${steps(STEP.rise, ['increase', 'rate'], STEP.ofNumber)} AS rises,
          ${steps(`(${STATE_BEFORE}, ${STEP.lasted})`, ['states'], STEP.ofState)} AS stays
        FROM (SELECT *, ${TS_MS_MIN} AS since_ms, 0 AS first_place, 0 AS place_before
          FROM (${withPredecessors(readings, '0')}))
      )
      WHERE t - width >= start_from AND t - width <= start_to
      LIMIT 1 BY range_id, t
    )`,
    't - width',
  )
}

/** The windows of a kind from readings; `timeZone` is that of a calendar. */
export function windowsOf(kind: WindowSpec['kind'], readings: string, timeZone = 'UTC'): string {
  switch (kind) {
    case 'session':
      return sessionWindows(readings)
    case 'count':
      return countWindows(readings)
    case 'sliding':
      return slidingWindows(readings)
    case 'calendar':
      return carriedWindows(readings, calendarBounds(timeZone))
    default:
      return carriedWindows(readings, CLOCK_BOUNDS)
  }
}

/** SELECT items that turn MEASURES into the columns of `windows`. */
export function measureColumns(): string {
  return MEASURES.map((name) =>
    TIMES.has(name) ? `fromUnixTimestamp64Milli(${name}_) AS \`${name}\`` : `${name}_ AS \`${name}\``,
  ).join(', ')
}

/** The way back. */
export function storedMeasure(name: (typeof MEASURES)[number]): string {
  return TIMES.has(name) ? `toUnixTimestamp64Milli(\`${name}\`)` : `\`${name}\``
}

/**
 * Batch SQL over all readings of a stream that gives the rows of `windows_latest` for a spec, however they came: the
 * aggregates of it that do not merge. `condition` is SQL over the series' columns, for those of some of them.
 */
export function batchWindows(stream: string, spec: WindowSpec, condition = '1'): string {
  const aggregates = windowAggregates(spec)
  assert(aggregates.length > 0, `no aggregate of ${windowLabel(spec)} goes to the windows`)
  const constants = {
    window: quoteString(windowLabel(spec)),
    from_ms: `toInt64(${TS_MS_MIN})`,
    to_ms: `toInt64(${TS_MS_MAX})`,
    aggregates: quoteString(aggregates.join(',')),
    width: `toInt64(${'widthMs' in spec ? spec.widthMs : 1})`,
    hop: `toInt64(${spec.kind === 'hopping' ? spec.hopMs : 'widthMs' in spec ? spec.widthMs : 1})`,
    gap: `toInt64(${spec.kind === 'session' ? spec.gapMs : 1})`,
    size: `toInt64(${spec.kind === 'count' ? spec.size : 1})`,
    unit: quoteString(spec.kind === 'calendar' ? spec.unit : ''),
    start_from: `toInt64(${2 * TS_MS_MIN})`,
    start_to: `toInt64(${TS_MS_MAX})`,
  }
  const columns = Object.entries(constants).map(([name, sql]) => `${sql} AS ${name}`)
  const id = rangeId('stream', 'device', 'metric')
  const samples = `${DATABASE}.samples WHERE stream = ${quoteString(stream)} AND ${condition}`
  const readings = `SELECT ${id} AS range_id, ${columns.join(', ')}, toUnixTimestamp64Milli(ts) AS t, value, text
    FROM ${samples} AND ${IS_TAKEN}`
  const windows = windowsOf(spec.kind, readings, spec.kind === 'calendar' ? spec.timeZone : undefined)
  return `SELECT stream, device, metric, ${constants.window} AS window,
      fromUnixTimestamp64Milli(start_ms) AS start, ${measureColumns()}
    FROM (${windows}) AS windows
    INNER JOIN (SELECT DISTINCT ${id} AS range_id, stream, device, metric FROM ${samples}) AS series USING (range_id)
    ORDER BY stream, device, metric, start, order_ DESC
    LIMIT 1 BY stream, device, metric, start`
}

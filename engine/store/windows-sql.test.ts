import { afterAll, beforeAll, expect, test } from 'vitest'
import { Prng } from '../../base/prng.ts'
import { Calendar } from '../../operators/calendar.ts'
import { type OracleRow, type OrderedReading, windowsOf } from '../../operators/ordered-oracle.ts'
import { WindowCell } from '../../operators/ordered-rows.ts'
import { type WindowSpec, windowAggregates, windowLabel } from '../../operators/window-spec.ts'
import { createSchema } from './schema.ts'
import { quoteString } from './sql-tokens.ts'
import { openFixture, type StoreFixture } from './store-fixture.ts'
import { batchWindows } from './windows-sql.ts'

const ZONES = ['Europe/Berlin', 'America/Havana']
const MINUTE_MS = 60_000
const DAY_MS = 86_400_000
/** Two days before clocks are set back in both zones. */
const BASE_MS = Date.UTC(2025, 9, 31)
const METRICS = ['level', "it's \\ odd"]

let fixture: StoreFixture

afterAll(() => fixture.close())

const PLAIN = [
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
] as const
const CARRIED = ['time_weighted_mean', 'increase', 'rate', 'states'] as const
const all = { aggregates: [...PLAIN, ...CARRIED], earlyMs: null }
const plain = { aggregates: [...PLAIN], earlyMs: null }

const SPECS: WindowSpec[] = [
  { kind: 'session', gapMs: 20 * MINUTE_MS, ...all },
  { kind: 'session', gapMs: 5 * MINUTE_MS, ...plain },
  { kind: 'count', size: 7, ...all },
  { kind: 'count', size: 4, aggregates: ['sum', 'increase'], earlyMs: null },
  { kind: 'sliding', widthMs: 30 * MINUTE_MS, ...all },
  { kind: 'sliding', widthMs: 1, ...plain },
  { kind: 'tumbling', widthMs: 10 * MINUTE_MS, ...all },
  { kind: 'hopping', widthMs: 50 * MINUTE_MS, hopMs: 20 * MINUTE_MS, ...all },
  { kind: 'hopping', widthMs: DAY_MS, hopMs: 6 * 3_600_000, aggregates: ['rate'], earlyMs: null },
  { kind: 'calendar', unit: 'day', timeZone: ZONES[0], ...all },
  { kind: 'calendar', unit: 'week', timeZone: ZONES[1], ...all },
  { kind: 'calendar', unit: 'month', timeZone: ZONES[1], aggregates: ['states', 'increase'], earlyMs: null },
]

beforeAll(async () => {
  fixture = await openFixture()
  await createSchema((sql) => fixture.target.command(sql), { syncOnInsert: true, windows: SPECS })
})

interface Span {
  startMs: number
  endMs: number
}

function spansOf(spec: WindowSpec): (ts: number) => Span[] {
  if (spec.kind === 'calendar') {
    const calendar = new Calendar(spec.unit, spec.timeZone)
    return (ts) => {
      calendar.locate(ts)
      return [{ startMs: calendar.startMs, endMs: calendar.endMs }]
    }
  }
  if (spec.kind !== 'tumbling' && spec.kind !== 'hopping') return () => []
  const { widthMs } = spec
  const hopMs = spec.kind === 'hopping' ? spec.hopMs : widthMs
  return (ts) => {
    const spans: Span[] = []
    for (let startMs = Math.floor(ts / hopMs) * hopMs; startMs > ts - widthMs; startMs -= hopMs) {
      spans.push({ startMs, endMs: startMs + widthMs })
    }
    return spans
  }
}

interface Sample extends OrderedReading {
  isEmptyText?: boolean
}

/** Bursts, equal times, texts, what is no number, long silences and long runs without a pause. */
function randomReading(prng: Prng, series: number): Sample {
  const stretch = prng.between(0, 9)
  const ts =
    stretch < 4
      ? BASE_MS + prng.between(0, 40) * 5 * MINUTE_MS
      : stretch < 7
        ? BASE_MS + 3 * DAY_MS + prng.between(0, 200) * 15 * MINUTE_MS
        : BASE_MS + prng.between(-8, 40) * DAY_MS + prng.between(0, DAY_MS)
  const kind = prng.between(0, 19)
  if (kind === 0) return { series, ts, value: Number.NaN }
  if (kind === 1) return { series, ts, value: Number.NEGATIVE_INFINITY }
  if (kind < 5) return { series, ts, value: ['on', 'off', 'ünklar'][kind - 2] }
  if (kind === 5) return { series, ts, value: -0 }
  return { series, ts, value: prng.between(-20, 80) / 8 }
}

const sqlTime = (ms: number): string => `fromUnixTimestamp64Milli(toInt64(${ms}))`

async function insertSamples(samples: readonly Sample[], token: string): Promise<void> {
  const rows = samples.map(({ series, ts, value }) => {
    const number = typeof value === 'number' ? `${value}` : 'nan'
    const text = typeof value === 'number' ? '' : value
    const name = quoteString(METRICS[series % 2])
    return `('s', 'd${series}', ${name}, ${sqlTime(ts)}, ${number.replace('Infinity', 'inf')}, ${quoteString(text)}, 0)`
  })
  await fixture.target.command(
    `INSERT INTO millrace.samples SETTINGS insert_deduplication_token = '${token}' VALUES ${rows.join()}`,
  )
}

interface Amendment {
  series: number
  spec: WindowSpec
  fromMs: number
  toMs: number
}

async function insertAmendments(amendments: readonly Amendment[], version: number): Promise<void> {
  const rows = amendments.map(({ series, spec, fromMs, toMs }) => {
    const of = (name: string): unknown => (spec as unknown as Record<string, unknown>)[name] ?? 0
    const texts = [spec.kind, windowLabel(spec), windowAggregates(spec).join()].map(quoteString)
    const lengths = [of('widthMs'), of('hopMs'), of('gapMs'), of('size')]
    const unit = spec.kind === 'calendar' ? [spec.unit, spec.timeZone] : ['', '']
    return `('s', 'd${series}', ${quoteString(METRICS[series % 2])}, ${texts}, ${lengths},
      ${unit.map(quoteString)}, ${sqlTime(fromMs)}, ${sqlTime(toMs)}, ${version}, now64(3))`
  })
  await fixture.target.command(`INSERT INTO millrace.amendments VALUES ${rows.join()}`)
}

/** Columns of numbers, and the cell of the oracle's row that each is. */
const CELLS: Record<string, keyof typeof WindowCell> = {
  end: 'endMs',
  count: 'count',
  sum: 'sum',
  min: 'min',
  max: 'max',
  mean: 'mean',
  variance: 'variance',
  first: 'first',
  first_ts: 'firstTsMs',
  last: 'last',
  last_ts: 'lastTsMs',
  time_weighted_mean: 'timeWeightedMean',
  increase: 'increase',
  rate: 'rate',
  distinct: 'distinct',
  q50: 'q50',
  q90: 'q90',
  q99: 'q99',
}

type TableRow = Record<string, number | string | null> & { states: Record<string, number> }

const TIMES = ['start', 'end', 'first_ts', 'last_ts']
const asMs = (source: string): string =>
  `SELECT * REPLACE (${TIMES.map((name) => `toUnixTimestamp64Milli(${name}) AS ${name}`)}) FROM ${source}`

async function tableRows(source: string): Promise<Map<string, TableRow>> {
  const rows = new Map<string, TableRow>()
  for (const row of await fixture.target.query<TableRow>(asMs(source))) {
    const key = `${row.device} ${row.window} ${Number(row.start)}`
    expect(rows.has(key), `${key} is there twice`).toBe(false)
    rows.set(key, row)
  }
  return rows
}

function expectedRows(samples: readonly Sample[], specs: readonly WindowSpec[]): Map<string, OracleRow> {
  const expected = new Map<string, OracleRow>()
  const bySeries = Map.groupBy(samples, (sample) => sample.series)
  for (const [series, readings] of bySeries) {
    for (const spec of specs) {
      for (const row of windowsOf(spec, readings, spansOf(spec))) {
        expected.set(`d${series} ${windowLabel(spec)} ${row.startMs}`, row)
      }
    }
  }
  return expected
}

function expectSame(found: Map<string, TableRow>, expected: Map<string, OracleRow>, what: string): void {
  const missing = [...expected.keys()].filter((key) => !found.has(key))
  const tooMany = [...found.keys()].filter((key) => !expected.has(key))
  expect({ missing, tooMany }, what).toEqual({ missing: [], tooMany: [] })
  for (const [key, row] of expected) {
    const stored = found.get(key) as TableRow
    for (const [name, cell] of Object.entries(CELLS)) {
      const value = stored[name] === null ? Number.NaN : Number(stored[name])
      const wanted = row.cells[WindowCell[cell]]
      const tolerance = 1e-13 * (row.sizes[cell] ?? 0)
      const isSame = Object.is(value + 0, wanted + 0) || Math.abs(value - wanted) <= tolerance
      if (!isSame) expect.fail(`${what}: ${key} ${name} is ${value}, not ${wanted}`)
    }
    const states = Object.fromEntries(
      [...row.states].map(([state, ms]) => [state.replace(/^#/, ''), ms / 1000]),
    )
    expect(stored.states, `${what}: ${key} states`).toEqual(states)
  }
}

test('amendments make the windows of what is stored, for every kind', async () => {
  const seed = 11
  const prng = new Prng(seed)
  const samples: Sample[] = Array.from({ length: 500 }, () => randomReading(prng, prng.between(0, 3)))
  await insertSamples(samples, 'first')
  const everything = { fromMs: BASE_MS - 20 * DAY_MS, toMs: BASE_MS + 60 * DAY_MS }
  const first = [0, 1, 2, 3].flatMap((series) => SPECS.map((spec) => ({ series, spec, ...everything })))
  await insertAmendments(first, 1)
  for (const spec of SPECS) {
    const what = `seed ${seed}, ${windowLabel(spec)} at once`
    expectSame(await tableRows(`(${batchWindows('s', spec)})`), expectedRows(samples, [spec]), what)
  }
  expectSame(await tableRows('millrace.windows_latest'), expectedRows(samples, SPECS), `seed ${seed}, first`)
  for (let round = 1; round <= 4; round++) {
    const late = Array.from({ length: prng.between(1, 6) }, () => randomReading(prng, prng.between(0, 3)))
    samples.push(...late)
    await insertSamples(late, `late${round}`)
    const newestMs = Math.max(...samples.map(({ ts }) => ts))
    const amendments: Amendment[] = []
    for (const [series, readings] of Map.groupBy(late, (sample) => sample.series)) {
      const fromMs = Math.min(...readings.map(({ ts }) => ts))
      const toMs = Math.max(...readings.map(({ ts }) => ts))
      for (const spec of SPECS) {
        const isCount = spec.kind === 'count'
        amendments.push({ series, spec, fromMs, toMs: isCount ? newestMs : toMs })
        // Another one for the same windows: what lies before it is not yet right when they are inserted together.
        if (isCount)
          amendments.push({
            series,
            spec,
            fromMs: fromMs + Math.floor(prng.unit() * (newestMs - fromMs)),
            toMs: newestMs,
          })
      }
    }
    await insertAmendments(amendments, round + 1)
    expectSame(
      await tableRows('millrace.windows_latest'),
      expectedRows(samples, SPECS),
      `seed ${seed}, round ${round}`,
    )
  }
})

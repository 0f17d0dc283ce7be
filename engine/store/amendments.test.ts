/** Amendments in cases that random streams seldom meet, against a real ClickHouse. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { BlockWriter } from '../../codecs/native/block-writer.ts'
import type { WindowSpec } from '../../operators/window-spec.ts'
import { AMENDMENTS_COLUMNS, columnNames } from './columns.ts'
import { createSchema } from './schema.ts'
import { openFixture, type StoreFixture, send } from './store-fixture.ts'

const DAY_MS = 86_400_000
const ZONE = 'America/New_York'
const SPECS: WindowSpec[] = [
  { kind: 'session', gapMs: 1000, aggregates: ['sum'], earlyMs: null },
  { kind: 'count', size: 2, aggregates: ['sum'], earlyMs: null },
  { kind: 'tumbling', widthMs: 60_000, aggregates: ['time_weighted_mean', 'states'], earlyMs: null },
  { kind: 'calendar', unit: 'day', timeZone: ZONE, aggregates: ['increase'], earlyMs: null },
]

let fixture: StoreFixture

beforeAll(async () => {
  fixture = await openFixture()
  await createSchema((sql) => fixture.target.command(sql), { syncOnInsert: true, windows: SPECS })
})
afterAll(() => fixture.close())

let tokenCount = 0

/** Readings [ms, value] of a device. */
async function store(device: string, readings: readonly (readonly [number, number])[]): Promise<void> {
  const rows = readings.map(
    ([ms, value]) => `('s', '${device}', 'm', fromUnixTimestamp64Milli(toInt64(${ms})), ${value})`,
  )
  await fixture.target.command(
    `INSERT INTO millrace.samples (stream, device, metric, ts, value)
      SETTINGS insert_deduplication_token = 't${++tokenCount}' VALUES ${rows}`,
  )
}

interface Asked {
  device: string
  kind: WindowSpec['kind']
  fromMs: number
  toMs: number
  version: number
}

const NAMES: Partial<Record<WindowSpec['kind'], string>> = {
  session: 'sum',
  count: 'sum',
  tumbling: 'time_weighted_mean,states',
  calendar: 'increase',
}

/** A block as a shard sends it. */
function amendmentBlock({ device, kind, fromMs, toMs, version }: Asked): Uint8Array {
  const writer = new BlockWriter()
  const texts = { stream: 's', device, metric: 'm', kind, window: kind, aggregates: NAMES[kind] as string }
  const numbers = { width_ms: 60_000, hop_ms: 0, gap_ms: 1000, size: 2 }
  writer.begin(AMENDMENTS_COLUMNS.length, 1)
  const text = (name: string, value: string): void =>
    writer.lowCardinality(name, [Buffer.from(value)], null, null)
  for (const [name, value] of Object.entries(texts)) text(name, value)
  for (const [name, value] of Object.entries(numbers)) writer.uint64(name, Float64Array.of(value), null)
  text('unit', 'day')
  text('zone', ZONE)
  writer.dateTime64('from_ts', Float64Array.of(fromMs), null)
  writer.dateTime64('to_ts', Float64Array.of(toMs), null)
  writer.uint64('version', Float64Array.of(version), null)
  writer.dateTime64('arrival', Float64Array.of(Date.now()), null)
  return writer.finish()
}

const amend = (asked: Asked, token = `a${++tokenCount}`): Promise<void> =>
  fixture.target.insert('amendments', columnNames(AMENDMENTS_COLUMNS), amendmentBlock(asked), token)

/** Start and end of a device's windows, and one more column. */
async function windows(device: string, column: string): Promise<unknown[][]> {
  const rows = await fixture.target.query<Record<string, unknown>>(
    `SELECT toUnixTimestamp64Milli(start) AS start_ms, toUnixTimestamp64Milli(end) AS end_ms, ${column} AS x
      FROM millrace.windows_latest WHERE device = {device:String} ORDER BY start_ms`,
    { device },
  )
  return rows.map(({ start_ms, end_ms, x }) => [Number(start_ms), Number(end_ms), x])
}

test('an insert whose views failed runs them when it is sent again with its token', async () => {
  const { target } = fixture
  const asked: Asked = { device: 'again', kind: 'session', fromMs: 5000, toMs: 5000, version: 3 }
  await store('again', [[5000, 1]])
  await target.command('ALTER TABLE millrace.windows ADD CONSTRAINT broken CHECK version = 0')
  await expect(amend(asked, 'once')).rejects.toThrow(/broken/)
  expect(await windows('again', 'sum')).toEqual([])
  await target.command('ALTER TABLE millrace.windows DROP CONSTRAINT broken')
  await amend(asked, 'once')
  expect(await windows('again', 'sum')).toEqual([[5000, 5000, 1]])
  await amend(asked, 'once')
  expect(await windows('again', 'sum')).toEqual([[5000, 5000, 1]])
})

test('a session that joins two takes the place of both, and rows of no window go', async () => {
  const device = 'joined'
  await store(device, [
    [1000, 1],
    [3000, 2],
    [9000, 3],
  ])
  await amend({ device, kind: 'session', fromMs: 0, toMs: 10_000, version: 1 })
  expect(await windows(device, 'sum')).toEqual([
    [1000, 1000, 1],
    [3000, 3000, 2],
    [9000, 9000, 3],
  ])
  await store(device, [[2000, 4]])
  await amend({ device, kind: 'session', fromMs: 2000, toMs: 2000, version: 3 })
  expect(await windows(device, 'sum')).toEqual([
    [1000, 3000, 7],
    [9000, 9000, 3],
  ])
  // As if an operator without its state had begun in the middle.
  await fixture.target.command(`INSERT INTO millrace.windows (stream, device, metric, window, start, end, sum, version)
    VALUES ('s', '${device}', 'm', 'session', fromUnixTimestamp64Milli(toInt64(2000)), fromUnixTimestamp64Milli(toInt64(3000)), 6, 4)`)
  expect((await windows(device, 'sum')).length).toBe(3)
  await amend({ device, kind: 'session', fromMs: 2500, toMs: 3000, version: 5 })
  expect(await windows(device, 'sum')).toEqual([
    [1000, 3000, 7],
    [9000, 9000, 3],
  ])
  await fixture.target.command('OPTIMIZE TABLE millrace.windows FINAL')
  expect((await windows(device, 'sum')).length).toBe(2)
})

test('a session that goes on for days is found whole', async () => {
  const device = 'long'
  const readings = Array.from({ length: 3000 }, (_, i) => [i * 300_000, 1] as const)
  const gaps = `INSERT INTO millrace.amendments
    SELECT 's', '${device}', 'm', 'session', 'session', 'sum', 0, 0, 300000, 0, '', '', fromUnixTimestamp64Milli(toInt64(450000000)),
      fromUnixTimestamp64Milli(toInt64(450000000)), 1, now64(3)`
  await store(device, readings)
  await fixture.target.command(gaps)
  expect(await windows(device, 'sum')).toEqual([[0, 2999 * 300_000, 3000]])
})

test('count windows beyond the range stay, also one that starts in the same millisecond as one within', async () => {
  const device = 'ties'
  await store(device, [
    [1000, 1],
    [1000, 2],
    [1000, 4],
    [2000, 8],
    [3000, 16],
    [3000, 32],
  ])
  await amend({ device, kind: 'count', fromMs: 0, toMs: 9000, version: 1 })
  expect(await windows(device, 'sum')).toEqual([
    [1000, 2000, 12], // and not [1000, 1000, 3], of the same key
    [3000, 3000, 48],
  ])
  await amend({ device, kind: 'count', fromMs: 1000, toMs: 1000, version: 3 })
  expect(await windows(device, 'sum')).toEqual([
    [1000, 2000, 12],
    [3000, 3000, 48],
  ])
  await store(device, [[500, 64]])
  await amend({ device, kind: 'count', fromMs: 500, toMs: 2000, version: 5 })
  expect(await windows(device, 'sum')).toEqual([
    [500, 1000, 65],
    [1000, 1000, 6],
    [3000, 3000, 48], // its readings moved on, but it ends beyond what is settled
  ])
})

test('what is carried comes from far before, and goes far beyond', async () => {
  const device = 'carried'
  const far = 400 * DAY_MS
  await store(device, [
    [0, 8],
    [far + 30_000, 4],
    [2 * far + 15_000, 2],
  ])
  await amend({ device, kind: 'tumbling', fromMs: far + 30_000, toMs: far + 30_000, version: 1 })
  expect(await windows(device, 'time_weighted_mean')).toEqual([
    [far, far + 60_000, 6],
    [2 * far, 2 * far + 60_000, (4 * 15 + 2 * 45) / 60],
  ])
  await store(device, [[far + 30_000, 6]])
  await amend({ device, kind: 'tumbling', fromMs: far + 30_000, toMs: far + 30_000, version: 3 })
  expect(await windows(device, 'time_weighted_mean')).toEqual([
    [far, far + 60_000, 7],
    [2 * far, 2 * far + 60_000, (6 * 15 + 2 * 45) / 60],
  ])
})

test('days of a zone, before 1970 too', async () => {
  const device = 'days'
  await store(device, [
    [-3600_000, 1],
    [3600_000, 5],
    [20 * 3600_000, 7],
  ])
  await amend({ device, kind: 'calendar', fromMs: -3600_000, toMs: 3600_000, version: 1 })
  const midnightMs = 5 * 3600_000
  expect(await windows(device, 'increase')).toEqual([
    [midnightMs - DAY_MS, midnightMs, 4],
    [midnightMs, midnightMs + DAY_MS, 2],
  ])
})

test('analysts read the newest versions', async () => {
  await store('seen', [[1000, 5]])
  await amend({ device: 'seen', kind: 'session', fromMs: 1000, toMs: 1000, version: 7 })
  const query = `SELECT window, sum, states FROM windows_latest WHERE device = 'seen' FORMAT TSV`
  const answer = await send(`${fixture.url}/?database=millrace`, query)
  expect([answer.status, answer.text]).toEqual([200, 'session\t5\t{}\n'])
})

import { afterAll, beforeAll, expect, test } from 'vitest'
import { Prng } from '../../base/prng.ts'
import { BlockWriter } from '../../codecs/native/block-writer.ts'
import { CompensatedSums } from '../../operators/compensated-sum.ts'
import { DistinctCounts } from '../../operators/distinct-count.ts'
import { Moments } from '../../operators/moments.ts'
import { QuantileSketches } from '../../operators/quantile-sketch.ts'
import { columnNames, ROLLUPS_COLUMNS, ROLLUPS_EXTRA_COLUMNS } from './columns.ts'
import { createSchema, SCHEMA_VERSION } from './schema.ts'
import { openFixture, type StoreFixture, send } from './store-fixture.ts'
import { StoreError } from './target.ts'

let fixture: StoreFixture
beforeAll(async () => {
  fixture = await openFixture()
})
afterAll(() => fixture.close())

const encoder = new TextEncoder()
const ALL_COLUMNS = [...ROLLUPS_COLUMNS, ...ROLLUPS_EXTRA_COLUMNS]
const START_MS = 1_700_000_000_000

/** Values of one window and series. */
interface Group {
  startMs: number
  values: number[]
}

/** A partial row of all columns for each group; the groups of one start merge. */
function rollupsBlock(groups: readonly Group[]): Uint8Array {
  const sums = new CompensatedSums()
  const moments = new Moments()
  const distinct = new DistinctCounts()
  const quantiles = new QuantileSketches()
  for (const { values } of groups) {
    for (const pool of [sums, moments, distinct, quantiles]) {
      const slot = pool.take()
      for (const value of values) pool.add(slot, value)
      pool.appendRow(slot)
      pool.give(slot)
    }
  }
  const column = (of: (group: Group) => number): Float64Array => Float64Array.from(groups, of)
  const [, , , , , count, sum, min, max, first, last] = ROLLUPS_COLUMNS
  const [sumError, variance, registers, bins] = ROLLUPS_EXTRA_COLUMNS
  const start = column((group) => group.startMs)
  const writer = new BlockWriter()
  writer.begin(ALL_COLUMNS.length, groups.length)
  for (const name of ['stream', 'device', 'metric', 'window'])
    writer.lowCardinality(name, [encoder.encode(name)], null, null)
  writer.dateTime64('start', start, null)
  writer.uint64(count.name, moments.rows.n, null, count.type)
  writer.float64(sum.name, sums.rows.sum, null, sum.type)
  const low = column((group) => Math.min(...group.values))
  const high = column((group) => Math.max(...group.values))
  writer.float64(min.name, low, null, min.type)
  writer.float64(max.name, high, null, max.type)
  writer.dateTime64AndFloat64(first.name, first.type, start, low, null)
  writer.dateTime64AndFloat64(last.name, last.type, start, high, null)
  writer.float64(sumError.name, sums.rows.error, null, sumError.type)
  writer.varianceStates(variance.name, moments.rows.n, moments.rows.mean, moments.rows.m2, null)
  writer.keyedArrays(registers.name, registers.type, distinct.rows, null)
  writer.keyedArrays(bins.name, bins.type, quantiles.rows, null)
  return writer.finish()
}

const insertGroups = (groups: readonly Group[], token: string): Promise<void> =>
  fixture.target.insert('rollups', columnNames(ALL_COLUMNS), rollupsBlock(groups), token)

async function insertSamples(groups: readonly Group[], token: string): Promise<void> {
  const rows = groups.flatMap(({ startMs, values }) =>
    values.map((value) => `('stream', 'device', 'metric', fromUnixTimestamp64Milli(${startMs}), ${value})`),
  )
  await fixture.target.command(
    `INSERT INTO millrace.samples (stream, device, metric, ts, value)
      SETTINGS insert_deduplication_token = '${token}' VALUES ${rows.join(', ')}`,
  )
}

async function clearTables(): Promise<void> {
  for (const table of ['samples', 'rollups']) await fixture.target.command(`TRUNCATE TABLE millrace.${table}`)
}

const AGGREGATES = ['count', 'sum', 'variance', 'distinct', 'q50', 'q90', 'q99'] as const
type Aggregates = Record<(typeof AGGREGATES)[number], number>

const ORACLE = `SELECT toUInt32(count()) AS count, sumKahan(value) AS sum, varPopStable(value) AS variance,
    toUInt32(uniqExact(value + 0.)) AS distinct, quantileExact(0.5)(value) AS q50,
    quantileExact(0.9)(value) AS q90, quantileExact(0.99)(value) AS q99
  FROM millrace.samples GROUP BY ts ORDER BY ts`

const MERGED = `SELECT toUInt32(count) AS count, sum, variance, distinct, q50, q90, q99
  FROM millrace.rollups_merged ORDER BY start`

function expectClose(found: Aggregates, exact: Aggregates, sizes: number, what: string): void {
  expect(found.count, what).toBe(exact.count)
  expect(Math.abs(found.sum - exact.sum), what).toBeLessThanOrEqual(sizes * 2 ** -50)
  expect(Math.abs(found.variance - exact.variance), what).toBeLessThanOrEqual(exact.variance * 1e-9)
  const off = Math.abs(found.distinct - exact.distinct)
  expect(off, `${what}: ${found.distinct} of ${exact.distinct}`).toBeLessThanOrEqual(
    1 + exact.distinct * 0.07,
  )
  for (const name of ['q50', 'q90', 'q99'] as const) {
    const error = Math.abs(found[name] - exact[name])
    expect(error, `${what}, ${name}`).toBeLessThanOrEqual(Math.abs(exact[name]) / 128)
  }
}

const DRAWS: ((prng: Prng) => number)[] = [
  (prng) => 20 + prng.normal(),
  (prng) => prng.between(-3, 3),
  (prng) => prng.normal() * 10 ** prng.between(-3, 6),
  (prng) => 1e6 + prng.between(0, 100) / 128,
  () => 7.25,
]

test('partial rows in any pieces merge to what SQL over samples says', async () => {
  for (const seed of [1, 2]) {
    const prng = new Prng(seed)
    const sizes = DRAWS.map(() => 0)
    for (let piece = 0; piece < 6; piece++) {
      const groups = DRAWS.map((draw, index) => {
        const values = Array.from({ length: prng.between(1, piece === 0 ? 4000 : 300) }, () => draw(prng))
        for (const value of values) sizes[index] += Math.abs(value)
        return { startMs: START_MS + index * 10_000, values }
      })
      await insertSamples(groups, `s${seed}/${piece}`)
      await insertGroups(groups, `r${seed}/${piece}`)
    }
    const oracle = await fixture.target.query<Aggregates>(ORACLE)
    const check = async (what: string): Promise<void> => {
      const found = await fixture.target.query<Aggregates>(MERGED)
      expect(found.length).toBe(DRAWS.length)
      for (const [row, exact] of oracle.entries()) {
        expectClose(found[row], exact, sizes[row], `seed ${seed}, ${what}, row ${row}`)
      }
    }
    await check('as inserted')
    await fixture.target.command('OPTIMIZE TABLE millrace.rollups FINAL')
    await check('merged parts')
    await clearTables()
  }
})

test('what was not asked for is NaN, and does not disturb what was', async () => {
  const { target } = fixture
  const base = `INSERT INTO millrace.rollups (${columnNames(ROLLUPS_COLUMNS).join(', ')})`
  const reading = '(fromUnixTimestamp64Milli(0), 3)'
  const values = `VALUES ('stream', 'device', 'metric', 'window', fromUnixTimestamp64Milli(0), 1, 3, 3, 3,
    ${reading}, ${reading})`
  await target.command(`${base} SETTINGS insert_deduplication_token = 'plain' ${values}`)
  const text = `SELECT arrayStringConcat(arrayMap(x -> toString(x), [sum, variance, distinct, q50, q90, q99]), ' ') AS text
    FROM millrace.rollups_merged`
  expect(await target.query(text)).toEqual([{ text: '3 nan nan nan nan nan' }])
  await insertGroups([{ startMs: 0, values: [1, 1, 4] }], 'asked')
  expect(await target.query(text)).toEqual([{ text: '9 2 2 1.0078125 4 4' }])
  await clearTables()
})

/** The middle of a bin, as operators/quantile-sketch.ts tells it. */
function middleOf(key: number): number {
  const view = new DataView(new ArrayBuffer(8))
  view.setUint32(0, (Math.abs(key) * 2 + 1) * 2 ** 13)
  return key === 0 ? 0 : Math.sign(key) * view.getFloat64(0)
}

test('analysts have the functions, and they give the floats that the bins stand for', async () => {
  const prng = new Prng(4)
  const keys = [
    0,
    1,
    -1,
    131_007,
    -131_007,
    ...Array.from({ length: 200 }, () => prng.between(-131_007, 131_007)),
  ]
  const sql = `SELECT millrace_quantile(0.5, ([toInt32(key)], [toUInt64(1)])) AS middle
    FROM (SELECT arrayJoin([${keys}]) AS key)`
  const answer = await send(`${fixture.url}/`, `${sql} FORMAT JSONCompactColumns`)
  expect(JSON.parse(answer.text)).toEqual([keys.map(middleOf)])
  const ranks = await send(
    `${fixture.url}/`,
    `SELECT arrayMap(q -> millrace_quantile(q, ([65472, 65536, 65600], [5, 4, 1])), [0, 0.49, 0.5, 0.89, 0.9, 1])`,
  )
  expect(JSON.parse(ranks.text)).toEqual([65472, 65472, 65536, 65536, 65600, 65600].map(middleOf))
  const none = await send(
    `${fixture.url}/`,
    'SELECT millrace_quantile(0.5, sumMap(quantiles)), millrace_distinct(maxMap(distinct)) FROM rollups',
  )
  expect(none.text).toBe('nan\tnan\n')
  const dropped = await send(`${fixture.url}/`, 'DROP FUNCTION millrace_quantile')
  expect(dropped.text).toMatch(/readonly mode/)
})

test('sketches cut into partial rows give the quantiles of the whole, also far below the greatest', async () => {
  const values = [2 ** 80, 2 ** 30, 2 ** 10, 3, 3, -5, -(2 ** 20), 0]
  const quantilesOf = async (pieces: number[][]): Promise<unknown> => {
    await clearTables()
    for (const [index, piece] of pieces.entries())
      await insertGroups([{ startMs: 0, values: piece }], `${pieces.length}/${index}`)
    const levels = '[0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1]'
    return fixture.target.query(
      `SELECT arrayMap(q -> millrace_quantile(q, bins), ${levels}) AS q
        FROM (SELECT sumMap(quantiles) AS bins FROM millrace.rollups)`,
    )
  }
  const whole = await quantilesOf([values])
  expect(whole).toEqual([
    { q: [-(2 ** 20), 0, 0, 0, 0, 0, 2 ** 30, 2 ** 80, 2 ** 80].map((x) => x * (1 + 1 / 128)) },
  ])
  expect(await quantilesOf(values.map((value) => [value]))).toEqual(whole)
  await clearTables()
})

test('a database of version 2 gets the columns, and keeps its rows', async () => {
  const { target } = fixture
  const [{ sql }] = await target.query<{ sql: string }>(
    "SELECT create_table_query AS sql FROM system.tables WHERE database = 'millrace' AND name = 'rollups'",
  )
  const dropped = columnNames(ROLLUPS_EXTRA_COLUMNS).map((name) => `DROP COLUMN \`${name}\``)
  const version2 = [
    `ALTER TABLE millrace.rollups ${dropped.join(', ')}`,
    'DROP FUNCTION millrace_quantile',
    'TRUNCATE TABLE millrace.migrations',
    'INSERT INTO millrace.migrations (version) VALUES (2)',
    `INSERT INTO millrace.rollups (device, count, sum) SETTINGS insert_deduplication_token = 'old' VALUES ('old', 2, 5)`,
  ]
  for (const statement of version2) await target.command(statement)
  const again = () => createSchema((statement) => target.command(statement), { syncOnInsert: true })
  expect(await again()).toBe(null)
  expect(await again()).toBe(null)
  expect(await target.query('SELECT max(version) AS version FROM millrace.migrations')).toEqual([
    { version: SCHEMA_VERSION },
  ])
  await insertGroups([{ startMs: 0, values: [1, 2, 4] }], 'new')
  const found = await target.query(
    'SELECT toUInt8(count) AS n, sum, q50 FROM millrace.rollups_merged ORDER BY n',
  )
  expect(found).toEqual([
    { n: 2, sum: 5, q50: null },
    { n: 3, sum: 7, q50: 2 + 2 / 128 },
  ])
  const [{ sql: migrated }] = await target.query<{ sql: string }>(
    "SELECT create_table_query AS sql FROM system.tables WHERE database = 'millrace' AND name = 'rollups'",
  )
  expect(migrated).toBe(sql)
  await clearTables()
})

test('a server that refuses functions is told of, and has all the rest', async () => {
  const refuse = (error: Error) => async (statement: string) => {
    if (/FUNCTION/.test(statement)) throw error
    await fixture.target.command(statement)
  }
  const denied = new StoreError('AUTHENTICATION', false, 'denied', 497)
  expect(await createSchema(refuse(denied), { syncOnInsert: true })).toMatch(/GRANT CREATE FUNCTION/)
  const broken = createSchema(refuse(new StoreError('UNREACHABLE', true, 'gone')), { syncOnInsert: true })
  await expect(broken).rejects.toThrow('gone')
})

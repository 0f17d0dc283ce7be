import { afterAll, beforeAll, expect, test } from 'vitest'
import { Prng } from '../../base/prng.ts'
import { BlockWriter } from '../../codecs/native/block-writer.ts'
import {
  columnNames,
  ROLLUPS_COLUMNS,
  ROLLUPS_EXTRA_COLUMNS,
  SAMPLES_COLUMNS,
  TABLE_COLUMNS,
} from './columns.ts'
import { createSchema, DEDUPLICATION_WINDOW, SCHEMA_VERSION } from './schema.ts'
import { openFixture, type StoreFixture } from './store-fixture.ts'

let fixture: StoreFixture

beforeAll(async () => {
  fixture = await openFixture()
})
afterAll(() => fixture.close())

const again = (): Promise<string | null> =>
  createSchema((sql) => fixture.target.command(sql), { syncOnInsert: true })

test('may be created again, and is recorded once', async () => {
  await again()
  await again()
  const rows = await fixture.target.query('SELECT version FROM migrations')
  expect(rows).toEqual([{ version: SCHEMA_VERSION }])
})

test('a database of version 1 gets what came later, and keeps what it has', async () => {
  const { target } = fixture
  const version1 = [
    'DROP VIEW millrace.ledger_balance SYNC',
    'DROP TABLE millrace.ledger SYNC',
    'TRUNCATE TABLE millrace.migrations',
    'INSERT INTO millrace.migrations (version) VALUES (1)',
    `INSERT INTO millrace.samples (stream, device, metric, value) SETTINGS insert_deduplication_token = 'old'
      VALUES ('old', 'd', 'm', 1)`,
  ]
  for (const statement of version1) await target.command(statement)
  await again()
  expect(await target.query('SELECT version FROM millrace.migrations ORDER BY version')).toEqual([
    { version: 1 },
    { version: SCHEMA_VERSION },
  ])
  expect(await target.query('SELECT count() AS n FROM millrace.ledger_balance')).toEqual([{ n: 0 }])
  expect(await target.query("SELECT value FROM millrace.samples WHERE stream = 'old'")).toEqual([
    { value: 1 },
  ])
  await target.command('TRUNCATE TABLE millrace.samples')
})

test('the ledger sums up by stream and minute, and tells what does not add up', async () => {
  const { target } = fixture
  const rows = [
    "('a', 60, 0, 1, 10, 7, 1, 1, 1, 4, 5)",
    "('a', 60, 1, 1, 5, 5, 0, 0, 0, 0, 2)",
    "('a', 60, 0, 1, 2, 0, 0, 0, 2, 0, 1)", // of one key: merges into the first
    "('a', 120, 0, 2, 3, 4, 0, 0, 0, 0, 3)",
  ]
  for (const [index, row] of rows.entries()) {
    await target.command(
      `INSERT INTO millrace.ledger SETTINGS insert_deduplication_token = 'ledger${index}' VALUES ${row}`,
    )
  }
  const balance = `SELECT stream, toUnixTimestamp(minute) AS minute, accepted, stored, filtered, dead_lettered,
    duplicate, amended, messages, difference FROM millrace.ledger_balance ORDER BY minute`
  const expected = [
    [60, 17, 12, 1, 1, 3, 4, 8, 0],
    [120, 3, 4, 0, 0, 0, 0, 3, -1],
  ]
  const found = async () =>
    (await target.query<Record<string, unknown>>(balance)).map(({ stream, ...counts }) =>
      Object.values(counts).map(Number),
    )
  expect(await found()).toEqual(expected)
  await target.command('OPTIMIZE TABLE millrace.ledger FINAL')
  expect(await found()).toEqual(expected)
  expect(await target.query('SELECT count() AS n FROM millrace.ledger')).toEqual([{ n: 3 }])
})

test('a database of a newer version is refused in words', async () => {
  await fixture.target.command(`INSERT INTO millrace.migrations (version) VALUES (${SCHEMA_VERSION + 1})`)
  await expect(again()).rejects.toThrow(/^the database was written by a newer millrace; start that one$/)
  await fixture.target.command(
    `ALTER TABLE millrace.migrations DELETE WHERE version > ${SCHEMA_VERSION} SETTINGS mutations_sync = 1`,
  )
  await again()
})

test('the tables have the columns that blocks are built for, and remember tokens where they must', async () => {
  for (const [table, columns] of Object.entries(TABLE_COLUMNS)) {
    const found = await fixture.target.query(
      `SELECT name, type FROM system.columns WHERE database = {d:String} AND table = {t:String}
        ORDER BY position`,
      { d: 'millrace', t: table },
    )
    const all = table === 'rollups' ? [...columns, ...ROLLUPS_EXTRA_COLUMNS] : columns
    expect(found).toEqual(all.map(({ name, type }) => ({ name, type })))
    const [{ sql }] = await fixture.target.query<{ sql: string }>(
      'SELECT create_table_query AS sql FROM system.tables WHERE database = {d:String} AND name = {t:String}',
      { d: 'millrace', t: table },
    )
    const remembered = ['windows', 'amendments', 'points'].includes(table) ? 0 : DEDUPLICATION_WINDOW
    expect(sql).toContain(`non_replicated_deduplication_window = ${remembered}`)
    expect(sql).toContain('fsync_after_insert = 1')
  }
})

const encoder = new TextEncoder()
const WINDOW_MS = 10_000
const SERIES = 5
const START_MS = 1_700_000_000_000

interface Sample {
  series: number
  tsMs: number
  value: number
}

/** Few event times, so that many are equal. */
function randomSamples(prng: Prng, count: number): Sample[] {
  return Array.from({ length: count }, () => ({
    series: prng.between(0, SERIES - 1),
    tsMs: START_MS + prng.between(0, 6) * 5000 + prng.between(0, 1),
    value: prng.between(-8, 8) / 4,
  }))
}

function seriesColumns(writer: BlockWriter, rows: readonly { series: number }[]): void {
  const devices = Array.from({ length: SERIES }, (_, i) => encoder.encode(`d${i}`))
  writer.lowCardinality('stream', [encoder.encode('s')], null, null)
  writer.lowCardinality(
    'device',
    devices,
    Int32Array.from(rows, (row) => row.series),
    null,
  )
  writer.lowCardinality('metric', [encoder.encode('m')], null, null)
}

function samplesBlock(samples: readonly Sample[]): Uint8Array {
  const writer = new BlockWriter()
  const column = (of: (sample: Sample) => number): Float64Array => Float64Array.from(samples, of)
  const zeros = new Int32Array(samples.length)
  writer.begin(SAMPLES_COLUMNS.length, samples.length)
  seriesColumns(writer, samples)
  writer.dateTime64(
    'ts',
    column((sample) => sample.tsMs),
    null,
  )
  writer.float64(
    'value',
    column((sample) => sample.value),
    null,
  )
  writer.string('text', new Uint8Array(0), zeros, zeros, null)
  writer.dateTime64(
    'arrival',
    column((sample) => sample.tsMs),
    null,
  )
  return writer.finish()
}

/** One row per window of these samples, folded in their order: what a shard would send for them. */
function partialRollups(samples: readonly Sample[]): Uint8Array {
  interface Pane extends Sample {
    startMs: number
    count: number
    sum: number
    min: number
    max: number
    first: Sample
    last: Sample
  }
  const isBefore = (a: Sample, b: Sample): boolean =>
    a.tsMs < b.tsMs || (a.tsMs === b.tsMs && a.value < b.value)
  const panes = new Map<string, Pane>()
  for (const sample of samples) {
    const startMs = Math.floor(sample.tsMs / WINDOW_MS) * WINDOW_MS
    const id = `${sample.series}/${startMs}`
    const { value } = sample
    const pane = panes.get(id)
    if (pane === undefined) {
      const fresh = { startMs, count: 1, sum: value, min: value, max: value, first: sample, last: sample }
      panes.set(id, { ...sample, ...fresh })
      continue
    }
    pane.count++
    pane.sum += value
    pane.min = Math.min(pane.min, value)
    pane.max = Math.max(pane.max, value)
    if (isBefore(sample, pane.first)) pane.first = sample
    if (isBefore(pane.last, sample)) pane.last = sample
  }
  const rows = [...panes.values()]
  const column = (of: (pane: Pane) => number): Float64Array => Float64Array.from(rows, of)
  const writer = new BlockWriter()
  writer.begin(ROLLUPS_COLUMNS.length, rows.length)
  seriesColumns(writer, rows)
  const [, , , , , count, sum, min, max, first, last] = ROLLUPS_COLUMNS
  writer.lowCardinality('window', [encoder.encode('10s')], null, null)
  writer.dateTime64(
    'start',
    column((pane) => pane.startMs),
    null,
  )
  writer.uint64(
    'count',
    column((pane) => pane.count),
    null,
    count.type,
  )
  writer.float64(
    'sum',
    column((pane) => pane.sum),
    null,
    sum.type,
  )
  writer.float64(
    'min',
    column((pane) => pane.min),
    null,
    min.type,
  )
  writer.float64(
    'max',
    column((pane) => pane.max),
    null,
    max.type,
  )
  writer.dateTime64AndFloat64(
    'first',
    first.type,
    column((p) => p.first.tsMs),
    column((p) => p.first.value),
    null,
  )
  writer.dateTime64AndFloat64(
    'last',
    last.type,
    column((p) => p.last.tsMs),
    column((p) => p.last.value),
    null,
  )
  return writer.finish()
}

// The query of schema.ts, for windows of 10 s.
const ORACLE = `SELECT stream, device, metric,
    toDateTime64(toStartOfInterval(ts, INTERVAL 10 SECOND), 3) AS start,
    count() AS count, sum(value) AS sum, avg(value) AS mean, min(value) AS min, max(value) AS max,
    argMin(value, (ts, value)) AS first, min(ts) AS first_ts,
    argMax(value, (ts, value)) AS last, max(ts) AS last_ts
  FROM millrace.samples WHERE NOT isNaN(value) GROUP BY ALL ORDER BY ALL`

const MERGED = `SELECT stream, device, metric, start, count, sum, mean, min, max,
    first, first_ts, last, last_ts
  FROM millrace.rollups_merged WHERE window = '10s' ORDER BY ALL`

test('partial rows in any order and any pieces merge to what SQL over samples says', async () => {
  const seed = 5
  const prng = new Prng(seed)
  const { target } = fixture
  for (let piece = 0; piece < 8; piece++) {
    const samples = randomSamples(prng, prng.between(1, 120))
    await target.insert('samples', columnNames(SAMPLES_COLUMNS), samplesBlock(samples), `s${piece}`)
    await target.insert('rollups', columnNames(ROLLUPS_COLUMNS), partialRollups(samples), `r${piece}`)
  }
  const oracle = await target.query(ORACLE)
  expect(oracle.length).toBeGreaterThan(10)
  expect(await target.query(MERGED), `seed ${seed}`).toEqual(oracle)
  await target.command('OPTIMIZE TABLE millrace.rollups FINAL')
  expect(await target.query(MERGED), `seed ${seed}, merged parts`).toEqual(oracle)
})

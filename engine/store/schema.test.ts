import { afterAll, beforeAll, expect, test } from 'vitest'
import { Prng } from '../../base/prng.ts'
import { BlockWriter } from '../../codecs/native/block-writer.ts'
import { columnNames, ROLLUPS_COLUMNS, SAMPLES_COLUMNS, TABLE_COLUMNS } from './columns.ts'
import { createSchema, DEDUPLICATION_WINDOW, SCHEMA_VERSION } from './schema.ts'
import { openFixture, type StoreFixture } from './store-fixture.ts'

let fixture: StoreFixture

beforeAll(async () => {
  fixture = await openFixture()
})
afterAll(() => fixture.close())

const again = (): Promise<void> => createSchema((sql) => fixture.target.command(sql), { syncOnInsert: true })

test('may be created again, and is recorded once', async () => {
  await again()
  await again()
  const rows = await fixture.target.query('SELECT version FROM migrations')
  expect(rows).toEqual([{ version: SCHEMA_VERSION }])
})

test('a database of a newer version is refused in words', async () => {
  await fixture.target.command(`INSERT INTO millrace.migrations (version) VALUES (${SCHEMA_VERSION + 1})`)
  await expect(again()).rejects.toThrow(/^the database was written by a newer millrace; start that one$/)
  await fixture.target.command(
    `ALTER TABLE millrace.migrations DELETE WHERE version > ${SCHEMA_VERSION} SETTINGS mutations_sync = 1`,
  )
  await again()
})

test('the tables have the columns that blocks are built for, and remember tokens', async () => {
  for (const [table, columns] of Object.entries(TABLE_COLUMNS)) {
    const found = await fixture.target.query(
      `SELECT name, type FROM system.columns WHERE database = {d:String} AND table = {t:String}
        ORDER BY position`,
      { d: 'millrace', t: table },
    )
    expect(found).toEqual(columns.map(({ name, type }) => ({ name, type })))
    const [{ sql }] = await fixture.target.query<{ sql: string }>(
      'SELECT create_table_query AS sql FROM system.tables WHERE database = {d:String} AND name = {t:String}',
      { d: 'millrace', t: table },
    )
    expect(sql).toContain(`non_replicated_deduplication_window = ${DEDUPLICATION_WINDOW}`)
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

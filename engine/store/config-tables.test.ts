/** Retention and units against a real ClickHouse. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { compress, downsample, type MillraceOptions, session, tiers, tumbling } from '../config.ts'
import { checkConfig } from '../config-check.ts'
import { applyConfigToTables } from './config-tables.ts'
import { openFixture, type StoreFixture } from './store-fixture.ts'

let fixture: StoreFixture
beforeAll(async () => {
  fixture = await openFixture()
})
afterAll(() => fixture?.close())

const apply = (options: MillraceOptions) => applyConfigToTables(fixture.target, checkConfig(options))
const topic = (name: string) => ({ name, topic: `${name}/{device}` })

async function countBy(sql: string): Promise<Record<string, number>> {
  const rows = await fixture.target.query<{ name: string; n: string }>(sql)
  return Object.fromEntries(rows.map(({ name, n }) => [name, Number(n)]))
}

test('units are in the view metrics, and gone when the config has them no more', async () => {
  const units = { temperature: '°C', "o'clock\\": "'h" }
  await apply({ streams: [{ ...topic('a'), metrics: { units } }, topic('b')] })
  const all = 'SELECT stream, metric, unit FROM millrace.metrics ORDER BY metric'
  expect(await fixture.target.query(all)).toEqual([
    { stream: 'a', metric: "o'clock\\", unit: "'h" },
    { stream: 'a', metric: 'temperature', unit: '°C' },
  ])
  await apply({})
  expect(await fixture.target.query(all)).toEqual([])
})

test('rows are kept as long as the config says, by stream and window, and for ever when it says nothing', async () => {
  const { target } = fixture
  const config: MillraceOptions = {
    streams: [
      { ...topic('a'), operators: [tiers('raw for 30d', '10s for 7d', '1m for 90d', '1h')] },
      {
        ...topic('b'),
        raw: { retention: '2y' },
        operators: [tumbling('10s'), session('30s', { retention: '7d' })],
      },
    ],
  }
  await target.command(`INSERT INTO millrace.samples (stream, device, metric, ts)
    SELECT stream, 'd', concat('m', toString(age)), now64(3) - toIntervalDay(age)
    FROM (SELECT arrayJoin(['a', 'b', 'c']) AS stream, arrayJoin([1, 40, 800]) AS age)`)
  await target.command(`INSERT INTO millrace.rollups (stream, device, metric, window, start)
    SELECT stream, 'd', 'm', window, now64(3) - toIntervalDay(age)
    FROM (SELECT arrayJoin(['a', 'b']) AS stream, arrayJoin(['10s', '1m', '1h']) AS window, arrayJoin([1, 40, 800]) AS age)`)
  const ttls = () =>
    countBy(`SELECT name, toString(create_table_query LIKE '% TTL %') AS n FROM system.tables
      WHERE database = 'millrace' AND name IN ('samples', 'rollups') ORDER BY name`)
  await apply({})
  expect(await ttls()).toEqual({ rollups: 0, samples: 0 })
  await apply(config)
  expect(await ttls()).toEqual({ rollups: 1, samples: 1 })
  for (const table of ['samples', 'rollups']) await target.command(`OPTIMIZE TABLE millrace.${table} FINAL`)
  const samples = 'SELECT stream AS name, toString(count()) AS n FROM millrace.samples GROUP BY stream'
  expect(await countBy(samples)).toEqual({ a: 1, b: 2, c: 3 })
  const rollups = `SELECT concat(stream, ' ', window) AS name, toString(count()) AS n FROM millrace.rollups GROUP BY name`
  expect(await countBy(rollups)).toEqual({
    'a 10s': 1,
    'a 1m': 2,
    'a 1h': 3,
    'b 10s': 3,
    'b 1m': 3,
    'b 1h': 3,
  })
  const changes = `SELECT name, toString(metadata_version) AS n FROM system.tables WHERE database = 'millrace'`
  const before = await countBy(changes)
  await apply(config)
  expect(await countBy(changes)).toEqual(before)
  await apply({})
  expect(await ttls()).toEqual({ rollups: 0, samples: 0 })
})

test('points are kept as long as the config says, by stream and method', async () => {
  const { target } = fixture
  await target.command(`INSERT INTO millrace.points (stream, device, metric, method, ts, late)
    SELECT stream, 'd', 'm', method, now64(3) - toIntervalDay(age), age % 2
    FROM (SELECT arrayJoin(['a', 'b']) AS stream, arrayJoin(['m4 1m', 'deadband 1']) AS method, arrayJoin([1, 40, 800]) AS age)`)
  const operators = [
    downsample('m4', '1m', { retention: '30d' }),
    compress('deadband', { deviation: 1, retention: '2y' }),
  ]
  await apply({ streams: [{ ...topic('a'), operators }, topic('b')] })
  await target.command('OPTIMIZE TABLE millrace.points FINAL')
  const found = `SELECT concat(stream, ' ', method) AS name, toString(count()) AS n FROM millrace.points GROUP BY name`
  expect(await countBy(found)).toEqual({ 'a m4 1m': 1, 'a deadband 1': 2, 'b m4 1m': 3, 'b deadband 1': 3 })
})

test('rows that are to be kept longer than ClickHouse can reckon are refused, not deleted at once', async () => {
  const keeping = (retention: '50y' | '90y') => ({ streams: [{ ...topic('long'), raw: { retention } }] })
  await fixture.target.command(`INSERT INTO millrace.samples (stream, device, metric, ts)
    VALUES ('long', 'd', 'm', now64(3))`)
  await apply(keeping('50y'))
  await fixture.target.command('OPTIMIZE TABLE millrace.samples FINAL')
  expect(
    await countBy(`SELECT stream AS name, toString(count()) AS n FROM millrace.samples
    WHERE stream = 'long' GROUP BY stream`),
  ).toEqual({ long: 1 })
  expect(() => apply(keeping('90y'))).toThrow(/retention is "90y", must be .* to 50y/)
  await apply({})
})

test('a TTL that somebody else has set stays', async () => {
  await fixture.target.command(
    'ALTER TABLE millrace.samples MODIFY TTL toDateTime(arrival) + toIntervalYear(9)',
  )
  await apply({})
  const [{ query }] = await fixture.target.query<{ query: string }>(
    `SELECT create_table_query AS query FROM system.tables WHERE database = 'millrace' AND name = 'samples'`,
  )
  expect(query).toMatch(/toIntervalYear\(9\)/)
})

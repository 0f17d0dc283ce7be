import { afterAll, beforeAll, expect, test } from 'vitest'
import { Prng } from '../../base/prng.ts'
import { makeReadings, type Point } from '../../operators/downsample/downsample-fixture.ts'
import { largestTriangles } from '../../operators/downsample/lttb.ts'
import {
  LONGEST_MS,
  type PointSpec,
  pointLabel,
  type WindowPointSpec,
} from '../../operators/downsample/point-spec.ts'
import { pointsOf } from '../../operators/downsample/points-oracle.ts'
import { createSchema, VIEWS_QUERY } from './schema.ts'
import { quoteString } from './sql-tokens.ts'
import { openFixture, type StoreFixture } from './store-fixture.ts'

const SPECS: WindowPointSpec[] = [
  { method: 'mean', widthMs: 60_000, points: 0 },
  { method: 'min-max', widthMs: 60_000, points: 0 },
  { method: 'm4', widthMs: 10_000, points: 0 },
  { method: 'm4', widthMs: 3_600_000, points: 0 },
  { method: 'lttb', widthMs: 60_000, points: 5 },
  { method: 'lttb', widthMs: 600_000, points: 20 },
  { method: 'minmax-lttb', widthMs: 600_000, points: 7 },
]
const COMPRESSION: PointSpec = {
  method: 'deadband',
  deviation: 1,
  pointsPerHour: null,
  longestMs: LONGEST_MS,
}

let fixture: StoreFixture

beforeAll(async () => {
  fixture = await openFixture()
  const downsamplers = [...SPECS, COMPRESSION]
  await createSchema((sql) => fixture.target.command(sql), { syncOnInsert: true, downsamplers })
})

afterAll(() => fixture.close())

const sqlTime = (ms: number): string => `fromUnixTimestamp64Milli(toInt64(${ms}))`

async function insertSamples(device: string, readings: readonly Point[]): Promise<void> {
  const rows = readings.map(
    ({ ts, value }) => `('s', '${device}', 'm', ${sqlTime(ts)}, ${value}, '', now64(3))`,
  )
  await fixture.target.command(
    `INSERT INTO millrace.samples SETTINGS insert_deduplication_token = '${device} ${readings.length}' VALUES ${rows.join()}`,
  )
}

interface Amendment {
  device: string
  spec: WindowPointSpec
  fromMs: number
  toMs: number
}

async function insertAmendments(amendments: readonly Amendment[], version: number): Promise<void> {
  const rows = amendments.map(({ device, spec, fromMs, toMs }) => {
    const label = quoteString(pointLabel(spec))
    return `('s', '${device}', 'm', '${spec.method}', ${label}, '', ${spec.widthMs}, 0, 0, ${spec.points}, '', '',
      ${sqlTime(fromMs)}, ${sqlTime(toMs)}, ${version}, now64(3))`
  })
  await fixture.target.command(`INSERT INTO millrace.amendments VALUES ${rows.join()}`)
}

async function storedPoints(device: string, spec: WindowPointSpec): Promise<Point[]> {
  const rows = await fixture.target.query<{ t: string; value: number }>(
    `SELECT toUnixTimestamp64Milli(ts) AS t, value FROM millrace.points_latest
      WHERE device = '${device}' AND method = ${quoteString(pointLabel(spec))} AND late = 0 ORDER BY ts, value`,
  )
  return rows.map(({ t, value }) => ({ ts: Number(t), value }))
}

function expectSame(found: readonly Point[], expected: readonly Point[], about: string): void {
  const isNear = (a: number, b: number): boolean => Math.abs(a - b) <= 1e-12 * Math.abs(b)
  expect(
    found.map(({ ts }) => ts),
    about,
  ).toEqual(expected.map(({ ts }) => ts))
  const isSame = found.every(({ value }, i) => isNear(value, expected[i].value))
  expect(isSame, about).toBe(true)
}

test('amendments choose the points of what is stored, and take back others', async () => {
  for (let seed = 1; seed <= 4; seed++) {
    const prng = new Prng(seed)
    const device = `d${seed}`
    const stepMs = seed % 2 === 0 ? 700 : 1 // several readings of one time, or few
    const readings = makeReadings(prng, 400)
      .map(({ ts }, i) => ({
        ts: 1_700_000_000_000 + Math.floor(ts / stepMs) * stepMs,
        value: seed === 4 ? 0.1 : prng.normal() + i / 50,
      }))
      .sort((a, b) => a.ts - b.ts || a.value - b.value)
    const late = readings.filter(() => prng.unit() < 0.1)
    const onTime = readings.filter((reading) => !late.includes(reading))
    const all = { fromMs: readings[0].ts, toMs: readings[readings.length - 1].ts }
    await insertSamples(device, onTime)
    await insertAmendments(
      SPECS.map((spec) => ({ device, spec, ...all })),
      1,
    )
    for (const spec of SPECS) {
      const about = `seed ${seed}, ${pointLabel(spec)}`
      expectSame(await storedPoints(device, spec), pointsOf(spec, onTime), about)
    }
    await insertSamples(device, late)
    const amendments = late.flatMap(({ ts }) => SPECS.map((spec) => ({ device, spec, fromMs: ts, toMs: ts })))
    await insertAmendments(amendments, 2)
    for (const spec of SPECS) {
      const about = `seed ${seed}, ${pointLabel(spec)}, amended`
      expectSame(await storedPoints(device, spec), pointsOf(spec, readings), about)
    }
  }
})

test('views that are there are not made again; one that is gone is, and one of another version is replaced', async () => {
  const { target } = fixture
  const made: string[] = []
  const execute = async (sql: string) => {
    const name = /MATERIALIZED VIEW \w+\.`(.*?)`/.exec(sql)?.[1]
    if (name !== undefined) made.push(name)
    await target.command(sql)
  }
  const create = async () => {
    made.length = 0
    const views = await target.query<{ name: string; comment: string }>(VIEWS_QUERY)
    const found = new Map(views.map(({ name, comment }) => [name, comment]))
    await createSchema(execute, { syncOnInsert: true, downsamplers: SPECS, views: found })
    return [...made].sort()
  }
  await create()
  expect(await create()).toEqual([])
  await target.command('DROP VIEW millrace.amend_points_lttb_0')
  await target.command(`CREATE OR REPLACE MATERIALIZED VIEW millrace.amend_points_m4_0 TO millrace.points AS
    SELECT stream FROM millrace.amended_points_m4 WHERE 0`)
  expect(await create()).toEqual(['amend_points_lttb_0', 'amend_points_m4_0'])
  const [{ query }] = await target.query<{ query: string }>(
    `SELECT create_table_query AS query FROM system.tables WHERE name = 'amend_points_m4_0'`,
  )
  expect(query).not.toContain('WHERE 0')
})

test("largest triangles are those of ClickHouse's largestTriangleThreeBuckets", async () => {
  for (let seed = 1; seed <= 20; seed++) {
    const prng = new Prng(seed)
    let t = 1_700_000_000_000
    const points = Array.from({ length: prng.between(3, 300) }, () => {
      t += prng.between(1, 3000)
      return [t, prng.normal()] as const
    })
    const pointsMax = prng.between(3, 40)
    const rows = points.map(([ts, value]) => `(toInt64(${ts}), ${value})`)
    const [{ found }] = await fixture.target.query<{ found: number[] }>(
      `SELECT arrayMap(p -> toFloat64(p.1), largestTriangleThreeBuckets(${pointsMax})(p.1, p.2)) AS found
        FROM (SELECT arrayJoin([${rows}]) AS p)`,
    )
    const chosen = new Int32Array(pointsMax)
    const doubles = Float64Array.from(points.flat())
    const count = largestTriangles(doubles, 0, points.length, pointsMax, chosen)
    const own = [...chosen.subarray(0, count)].map((i) => points[i][0])
    expect(found.map(Number), `seed ${seed}`).toEqual(own)
  }
})

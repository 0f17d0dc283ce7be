/** Cooked points in a real ClickHouse: those that are as their samples, missing, wrong or too many. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { SaidPoint } from '../../operators/downsample/downsample-fixture.ts'
import { downsample as keep } from '../../operators/downsample/downsample-fixture.ts'
import type { PointSpec } from '../../operators/downsample/point-spec.ts'
import { compress, downsample } from '../config.ts'
import { checkConfig } from '../config-check.ts'
import { layoutOf } from '../config-layout.ts'
import { openFixture, type StoreFixture } from '../store/store-fixture.ts'
import { connectStore, type StoreTarget } from '../store/target.ts'
import { comparedWindows } from './compared-windows.ts'
import { checkPoints } from './point-check.ts'

const START_MS = 1_700_000_000_000
const EVER = Number.NEGATIVE_INFINITY
const QUIET = Number.POSITIVE_INFINITY

let fixture: StoreFixture
/** As analysts see it: what the audit asks must pass the guard. */
let target: StoreTarget
beforeAll(async () => {
  fixture = await openFixture()
  target = connectStore({ url: fixture.url })
  const rows = devices.flatMap((device) =>
    READINGS.map(({ ts, value }) => `('s', '${device}', 'm', ${at(ts)}, ${value}, '', ${at(ts)})`),
  )
  await fixture.target.command(`INSERT INTO millrace.samples VALUES ${rows}`)
  await fixture.target.command(
    `INSERT INTO millrace.samples SELECT * REPLACE ('other' AS metric) FROM millrace.samples`,
  )
  for (const { label, spec } of COMPARED.points)
    for (const device of devices) await insert(device, label, spec)
})
afterAll(async () => {
  await target.close()
  await fixture.close()
})

const devices = ['d0', 'd1', 'd2']
const READINGS = Array.from({ length: 300 }, (_, i) => ({
  ts: START_MS + i * 1000,
  value: Math.round(Math.sin(i / 9) * 40) / 4,
}))
const METRICS = { metrics: ['m'] }
const COMPARED = comparedWindows(
  layoutOf(
    checkConfig({
      streams: [
        {
          name: 's',
          topic: 's/{device}',
          operators: [
            downsample('mean', '10s', METRICS),
            downsample('m4', '1m', METRICS),
            downsample('lttb', '1m', { ...METRICS, points: 5 }),
            compress('deadband', { ...METRICS, deviation: 1 }),
            compress('swinging-door', { ...METRICS, deviation: 0.5 }),
          ],
        },
      ],
    }),
  ).streams,
)

function at(ms: number): string {
  return `fromUnixTimestamp64Milli(toInt64(${ms}))`
}

async function insert(device: string, label: string, spec: PointSpec): Promise<void> {
  const rows = keep(spec, READINGS).map(
    ({ ts, value, deviation }: SaidPoint) =>
      `('s', '${device}', 'm', '${label}', ${at(ts)}, ${value}, ${Number.isNaN(deviation) ? 'nan' : deviation}, 0, 2, 0)`,
  )
  await fixture.target.command(`INSERT INTO millrace.points VALUES ${rows}`)
}

async function check(label: string, sinceMs = EVER, quietSinceMs = QUIET) {
  const points = COMPARED.points.find((each) => each.label === label)
  if (points === undefined) throw new Error(label)
  const { sums, differences } = await checkPoints(target, points, sinceMs, quietSinceMs)
  return {
    sums: sums.map(({ series, compared, equal }) => [series, compared, equal]),
    texts: differences.map(({ text }) => text),
  }
}

/** A newer version of a point: `deleted`, or moved by so much. */
async function change(label: string, device: string, ms: number, columns: string): Promise<void> {
  await fixture.target.command(`INSERT INTO millrace.points SELECT * REPLACE (${columns}) FROM (
    SELECT * FROM millrace.points WHERE method = '${label}' AND device = '${device}' AND ts = ${at(ms)})`)
}

test('points that are those of their samples', async () => {
  expect(await check('mean 10s')).toEqual({ sums: [[3, 3 * 30, 3 * 30]], texts: [] })
  expect(await check('m4 1m')).toEqual({ sums: [[3, 3 * 6, 3 * 6]], texts: [] })
  expect(await check('lttb 1m 5')).toEqual({ sums: [[3, 3 * 6, 3 * 6]], texts: [] })
  expect(await check('deadband 1')).toEqual({ sums: [[3, 900, 900]], texts: [] })
  expect(await check('swinging-door 0.5')).toEqual({ sums: [[3, 900, 900]], texts: [] })
})

test('of what is kept no more, and series that are not quiet, nothing is told', async () => {
  const sinceMs = START_MS + 130_000
  expect(await check('m4 1m', sinceMs)).toEqual({ sums: [[3, 3 * 3, 3 * 3]], texts: [] })
  const { sums, texts } = await check('swinging-door 0.5', sinceMs)
  expect([sums[0][0], texts]).toEqual([3, []])
  expect(sums[0][1]).toBeGreaterThan(3 * 150)
  expect(await check('m4 1m', EVER, START_MS + 299_000)).toEqual({ sums: [], texts: [] })
})

test('points that are missing, wrong or too many', async () => {
  await change('m4 1m', 'd1', START_MS + 299_000, '1 AS deleted, 3 AS version')
  await change('lttb 1m 5', 'd0', START_MS, 'ts + toIntervalMillisecond(1) AS ts')
  await change('mean 10s', 'd2', START_MS, 'value + 1 AS value')
  expect((await check('m4 1m')).texts).toEqual([
    'points m4 1m of s d1 m, window from 2023-11-14T22:18:00.000Z: samples give 3 points, the table has 2',
  ])
  expect((await check('lttb 1m 5')).texts).toEqual([
    'points lttb 1m 5 of s d0 m, window from 2023-11-14T22:13:00.000Z: samples give 5 points, the table has 6',
  ])
  expect((await check('mean 10s')).texts).toEqual([
    'points mean 10s of s d2 m, window from 2023-11-14T22:13:20.000Z: samples give 1 points, the table has 2',
  ])
  const [{ ms }] = await target.query<{ ms: string }>(
    `SELECT toString(toUnixTimestamp64Milli(ts)) AS ms FROM millrace.points_latest
      WHERE method = 'deadband 1' AND device = 'd0' ORDER BY ts LIMIT 1 OFFSET 4`,
  )
  await change('deadband 1', 'd0', Number(ms), '1 AS deleted, 3 AS version')
  const { texts } = await check('deadband 1')
  expect(texts[0]).toBe(
    `points deadband 1 of s d0 m: the reading of ${new Date(Number(ms)).toISOString()} is neither a point nor near the line`,
  )
})

/** The detector itself: a store that holds exactly what was sent, then one fault at a time. */
import { connect, createServer, type Server } from 'node:net'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type ChdbEndpoint, startChdbEndpoint } from './chdb-endpoint.ts'
import type { ConnectionOutcome } from './fleet-options.ts'
import { verificationText } from './load-report.ts'
import {
  deviceName,
  messagesOfDevice,
  metricName,
  type TelemetryPlan,
  telemetryTsMs,
  telemetryValue,
} from './telemetry.ts'
import { type VerificationReport, verifyLoad } from './verification.ts'

const plan: TelemetryPlan = {
  prefix: 'check-',
  deviceDigits: 4,
  devices: 5,
  connections: 2,
  metrics: 3,
  seed: 7,
  baseMs: Date.UTC(2026, 10, 20, 12, 0, 3),
  stepMs: 700,
}
const SENT = [130, 90]
const READINGS = (SENT[0] + SENT[1]) * plan.metrics

function outcome(connection: number, change: Partial<ConnectionOutcome> = {}): ConnectionOutcome {
  const sent = SENT[connection]
  return { connection, sent, answered: sent, refused: [], acknowledgedEarly: [], republished: [], ...change }
}

/** Returns the port. */
async function listen(server: Server, port: number): Promise<number> {
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  const address = server.address()
  return typeof address === 'object' && address !== null ? address.port : 0
}

describe('verification against chDB', () => {
  let store: ChdbEndpoint

  beforeAll(async () => {
    store = await startChdbEndpoint()
    await store.execute('CREATE DATABASE millrace ENGINE = Atomic')
    await store.execute(`CREATE TABLE millrace.samples (stream LowCardinality(String),
      device LowCardinality(String), metric LowCardinality(String), ts DateTime64(3), value Float64,
      text String, arrival DateTime64(3))
      ENGINE = MergeTree ORDER BY (stream, device, metric, ts)`)
    await store.execute(`CREATE TABLE millrace.rollups_merged (stream LowCardinality(String),
      device LowCardinality(String), metric LowCardinality(String),
      window LowCardinality(String), start DateTime64(3),
      count UInt64, sum Float64, mean Float64, min Float64, max Float64, first Float64, last Float64)
      ENGINE = MergeTree ORDER BY (stream, device, metric, window, start)`)
  })

  afterAll(() => store.close())

  beforeEach(async () => {
    await store.execute('TRUNCATE TABLE millrace.samples')
    await store.execute('TRUNCATE TABLE millrace.rollups_merged')
    const rows: string[] = []
    for (let device = 0; device < plan.devices; device++) {
      const messages = messagesOfDevice(plan, device, SENT[device % plan.connections])
      for (let seq = 0; seq < messages; seq++) {
        for (let metric = 0; metric < plan.metrics; metric++) rows.push(row(device, seq, metric))
      }
    }
    expect(rows.length).toBe(READINGS)
    await store.execute(
      `INSERT INTO millrace.samples (stream, device, metric, ts, value) VALUES ${rows.join(',')}`,
    )
    for (const [window, seconds] of [
      ['10s', 10],
      ['1m', 60],
    ]) {
      await store.execute(`INSERT INTO millrace.rollups_merged SELECT stream, device, metric, '${window}',
        toStartOfInterval(ts, INTERVAL ${seconds} SECOND) AS start, count(), sum(value), avg(value),
        min(value), max(value), argMin(value, ts), argMax(value, ts) FROM millrace.samples GROUP BY ALL`)
    }
  })

  function row(
    device: number,
    seq: number,
    metric: number,
    value = telemetryValue(plan, device, seq, metric),
  ): string {
    const ts = `fromUnixTimestamp64Milli(toInt64(${telemetryTsMs(plan, seq)}))`
    return `('telemetry', '${deviceName(plan, device)}', '${metricName(metric)}', ${ts}, ${value})`
  }

  const insert = (values: string) =>
    store.execute(`INSERT INTO millrace.samples (stream, device, metric, ts, value) VALUES ${values}`)
  const change = (table: string, how: string) =>
    store.execute(`ALTER TABLE millrace.${table} ${how} SETTINGS mutations_sync = 2`)
  const tsOf = (seq: number) => `fromUnixTimestamp64Milli(${telemetryTsMs(plan, seq)})`
  const device2 = `device = 'check-0002'`

  function verify(outcomes = [outcome(0), outcome(1)]): Promise<VerificationReport> {
    const address = { host: '127.0.0.1', port: store.port }
    return verifyLoad({ plan, outcomes }, { store: address, waitMs: 0, rollupsWaitMs: 1 })
  }

  test('all is well', async () => {
    const report = await verify()
    expect(report.rows).toEqual({
      sent: READINGS,
      acknowledged: READINGS,
      stored: READINGS,
      missing: 0,
      duplicated: 0,
      republishedCopies: 0,
      wrong: 0,
      foreign: 0,
      storedUnacknowledged: 0,
      examples: [],
    })
    for (const { compared, equal } of report.windows) {
      expect(compared).toBeGreaterThan(plan.devices)
      expect(equal).toBe(compared)
    }
    expect(report.isOk).toBe(true)
    expect(verificationText(report)).toMatch(/^verified +yes, in/m)
  })

  test('an engine that makes other windows', async () => {
    await store.execute(`INSERT INTO millrace.rollups_merged
      SELECT * REPLACE ('5m' AS window) FROM (SELECT * FROM millrace.rollups_merged WHERE window = '1m')`)
    await change('rollups_merged', `DELETE WHERE window = '1m'`)
    const report = await verify()
    expect(report.isOk).toBe(false)
    expect(report.windows.map(({ window, examples }) => [window, examples])).toEqual([
      ['10s', []],
      [
        '1m',
        [
          'rollups has no window of 1m (there are 10s, 5m): only 10s and 1m can be verified, --rollups-wait 0 leaves them out',
        ],
      ],
    ])
  })

  test('a missing row', async () => {
    await change('samples', `DELETE WHERE ${device2} AND metric = 'm1' AND ts = ${tsOf(3)}`)
    const report = await verify()
    expect(report.isOk).toBe(false)
    expect(report.rows.missing).toBe(1)
    expect(report.rows.examples[0]).toContain('acknowledged, not stored: check-0002 m1')
    expect(report.windows.map(({ wrong }) => wrong)).toEqual([1, 1])
  })

  test('a missing row that was never acknowledged, or refused, is allowed', async () => {
    // Device 2 belongs to connection 0 (devices 0, 2, 4): its message 3 is the connection's 10th.
    await change(
      'samples',
      `DELETE WHERE ${device2} AND ts = fromUnixTimestamp64Milli(${telemetryTsMs(plan, 3)})`,
    )
    expect((await verify([outcome(0, { refused: [10] }), outcome(1)])).rows.missing).toBe(0)
    expect((await verify([outcome(0, { answered: 10 }), outcome(1)])).rows).toMatchObject({
      missing: 0,
      acknowledged: (10 + SENT[1]) * plan.metrics,
      storedUnacknowledged: (SENT[0] - 11) * plan.metrics,
    })
    const early = await verify([outcome(0, { answered: 5, acknowledgedEarly: [10] }), outcome(1)])
    expect(early.rows.missing).toBe(plan.metrics)
  })

  test('a duplicated row', async () => {
    await insert(row(4, 2, 0))
    const report = await verify()
    expect(report.isOk).toBe(false)
    expect(report.rows).toMatchObject({ duplicated: 1, missing: 0, foreign: 0 })
    expect(report.rows.examples[0]).toContain('stored 2 times, published 1: check-0004 seq')
  })

  test('a second copy is allowed where the message was published anew, a third is not', async () => {
    await insert([0, 1, 2].map((metric) => row(4, 2, metric)).join(','))
    const republished: [number, number][] = [[8, 9]]
    expect((await verify([outcome(0, { republished }), outcome(1)])).rows).toMatchObject({
      duplicated: 0,
      republishedCopies: 3,
    })
    await insert(row(4, 2, 1))
    expect((await verify([outcome(0, { republished }), outcome(1)])).rows.duplicated).toBe(1)
  })

  test('a wrong value, also by one bit', async () => {
    const value = telemetryValue(plan, 1, 5, 1)
    const next = new Float64Array([value])
    new BigUint64Array(next.buffer)[0] += 1n
    await change(
      'samples',
      `UPDATE value = ${next[0]} WHERE value = ${value} AND device = 'check-0001' AND metric = 'm1'`,
    )
    const report = await verify()
    expect(report.isOk).toBe(false)
    expect(report.rows).toMatchObject({ wrong: 1, missing: 1 })
  })

  test('rows of no message: another time, device, metric, stream, or with a text', async () => {
    const ts = `fromUnixTimestamp64Milli(toInt64(${telemetryTsMs(plan, 1)}))`
    const odd = `fromUnixTimestamp64Milli(toInt64(${telemetryTsMs(plan, 1) + 1}))`
    await insert(
      [
        `('telemetry', 'check-0001', 'seq', ${odd}, 1)`,
        `('telemetry', 'check-0001', 'm9', ${ts}, 1)`,
        `('telemetry', 'check-00010', 'seq', ${ts}, 1)`,
        `('telemetry', 'check-0777', 'seq', ${ts}, 1)`,
        `('telemetry', 'check-0001', 'seq', now64(3), 1)`,
        `('other', 'check-0001', 'seq', ${ts}, 1)`,
      ].join(','),
    )
    await store.execute(`INSERT INTO millrace.samples (stream, device, metric, ts, value, text)
      VALUES ('telemetry', 'check-0001', 'seq', ${ts}, 1000000001, 'text')`)
    const report = await verify()
    expect(report.isOk).toBe(false)
    expect(report.rows).toMatchObject({ foreign: 7, duplicated: 0, wrong: 0, missing: 0 })
  })

  test('a rollup that is wrong, doubled, without samples, or missing', async () => {
    const first = Math.floor(plan.baseMs / 10_000) * 10_000
    const start = `fromUnixTimestamp64Milli(${first})`
    const at = `${device2} AND window = '10s' AND metric = 'seq' AND start = ${start}`
    for (const column of [
      'sum = sum + 1',
      'min = min + 1',
      'max = max - 1',
      'first = last',
      'last = first',
    ]) {
      await change('rollups_merged', `UPDATE ${column} WHERE ${at}`)
      const [tens, minutes] = (await verify()).windows
      expect([tens.wrong, minutes.wrong], column).toEqual([1, 0])
    }
    await change('rollups_merged', `DELETE WHERE ${at}`)
    expect((await verify()).windows[0]).toMatchObject({ wrong: 1, open: 0 })
    await store.execute(`INSERT INTO millrace.rollups_merged (stream, device, metric, window, start, count)
      VALUES ('telemetry', 'check-0003', 'seq', '10s', now64(3), 1)`)
    const report = await verify()
    expect(report.windows[0]).toMatchObject({ wrong: 2, open: 0 })
    expect(report.isOk).toBe(false)
  })

  test('a window that is not due yet is open, not wrong, and nothing is verified by it', async () => {
    const lastSeq = messagesOfDevice(plan, 2, SENT[0]) - 1
    const last = Math.floor(telemetryTsMs(plan, lastSeq) / 10_000) * 10_000
    await change('rollups_merged', `DELETE WHERE ${device2} AND start >= fromUnixTimestamp64Milli(${last})`)
    const report = await verify()
    expect(report.windows[0]).toMatchObject({ wrong: 0, open: plan.metrics })
    expect(report.isOk).toBe(false)
    const openCount = report.windows[0].open + report.windows[1].open
    const verdict = new RegExp(
      `^verified +NO \\(${openCount} windows are still open: --rollups-wait .*\\), in`,
      'm',
    )
    expect(verificationText(report)).toMatch(verdict)
  })

  test('windows that are not waited for are not compared, and that is said', async () => {
    await store.execute('TRUNCATE TABLE millrace.rollups_merged')
    const address = { host: '127.0.0.1', port: store.port }
    const outcomes = [outcome(0), outcome(1)]
    const report = await verifyLoad({ plan, outcomes }, { store: address, waitMs: 0, rollupsWaitMs: 0 })
    expect(report).toMatchObject({ isOk: true, windows: [] })
    expect(verificationText(report)).toMatch(
      /^rollups +not compared .*\nverified +rows yes, rollups not, in/m,
    )
  })

  test('waits for a store that does not answer yet', async () => {
    const late = createServer((socket) => {
      const upstream = connect(store.port, '127.0.0.1')
      socket.pipe(upstream).pipe(socket)
      for (const end of [socket, upstream]) end.on('error', () => {})
    })
    const port = await listen(late, 0)
    await new Promise((resolve) => late.close(resolve))
    const outcomes = [outcome(0), outcome(1)]
    const address = { host: '127.0.0.1', port }
    const waiting = verifyLoad({ plan, outcomes }, { store: address, waitMs: 20_000, rollupsWaitMs: 1 })
    await new Promise((resolve) => setTimeout(resolve, 100))
    await listen(late, port)
    expect((await waiting).isOk).toBe(true)
    await new Promise((resolve) => late.close(resolve))
  })

  test('waits for rows on their way', async () => {
    const late = [0, 1, 2].map((metric) => row(0, 0, metric)).join(',')
    const where = `device = 'check-0000' AND ts = fromUnixTimestamp64Milli(${telemetryTsMs(plan, 0)})`
    await change('samples', `DELETE WHERE ${where}`)
    const address = { host: '127.0.0.1', port: store.port }
    const outcomes = [outcome(0), outcome(1)]
    const waiting = verifyLoad({ plan, outcomes }, { store: address, waitMs: 20_000, rollupsWaitMs: 0 })
    await insert(late)
    expect((await waiting).isOk).toBe(true)
  })

  test('a store that is not there is one clear error', async () => {
    const nowhere = { host: '127.0.0.1', port: 1 }
    const outcomes = [outcome(0), outcome(1)]
    await expect(verifyLoad({ plan, outcomes }, { store: nowhere, waitMs: 0 })).rejects.toThrow(
      /the store at http:.*ECONNREFUSED/,
    )
  })
})

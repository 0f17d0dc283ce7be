/** Cooked rows with known differences in a real ClickHouse: each kind is found, and nothing else. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import {
  calendar,
  count,
  DEFAULT_CONFIG,
  hopping,
  type MillraceOptions,
  type Operator,
  type StreamOptions,
  session,
  sliding,
  tumbling,
} from '../config.ts'
import { checkConfig } from '../config-check.ts'
import { layoutOf } from '../config-layout.ts'
import { columnNames, ROLLUPS_COLUMNS } from '../store/columns.ts'
import { openFixture, type StoreFixture } from '../store/store-fixture.ts'
import { connectStore, type StoreTarget } from '../store/target.ts'
import { batchWindows } from '../store/windows-sql.ts'
import { type AuditReport, runAudit } from './audit.ts'
import { formatAudit } from './audit-report.ts'
import type { JournalFindings } from './journal-walk.ts'
import { shortestTtlMs } from './retention.ts'

const TABLES = ['samples', 'rollups', 'dead_letters', 'ledger', 'windows']

let fixture: StoreFixture
/** As analysts see it: everything the audit asks must pass the guard. */
let target: StoreTarget

beforeAll(async () => {
  fixture = await openFixture()
  target = connectStore({ url: fixture.url })
  for (const table of TABLES) {
    // Nothing here must survive a power cut.
    await fixture.target.command(
      `ALTER TABLE millrace.${table} MODIFY SETTING fsync_after_insert = 0, fsync_part_directory = 0`,
    )
  }
})
afterAll(async () => {
  await target.close()
  await fixture.close()
})

let insertNumber = 0
/** Its rows are new, however equal to others. */
async function insert(statement: string): Promise<void> {
  const [into, ...rest] = statement.split(/(?=\sSELECT | VALUES )/)
  const token = `SETTINGS insert_deduplication_token = 'cooked ${insertNumber++}'`
  await fixture.target.command(`INSERT INTO millrace.${into} ${token} ${rest.join('')}`)
}

/** 2023-11-14 22:13:20, and arrivals over four minutes. */
const START_MS = 1_700_000_000_000
const COUNT = 240
const BROKEN = 7

/** One reading a second in three series, of which every tenth is text; and their books. */
async function cook(): Promise<void> {
  await insert(`samples SELECT 'telemetry', 'd' || toString(number % 3), 'm',
    fromUnixTimestamp64Milli(${START_MS} + number * 1000), number % 10 = 0 ? nan : number, '',
    fromUnixTimestamp64Milli(${START_MS} + number * 1000 + 5) FROM numbers(${COUNT})`)
  await insert(`dead_letters SELECT fromUnixTimestamp64Milli(${START_MS} + number * 10000), 'telemetry', 'd0',
    'devices/d0/telemetry', 'no JSON', 'x', 0, number * 8 FROM numbers(${BROKEN})`)
  await insert(`ledger SELECT stream, toStartOfMinute(arrival), 0, 1, count() + 2, count(), 0, 0, 2, 1, count()
    FROM millrace.samples GROUP BY 1, 2`)
  await insert(`ledger SELECT stream, toStartOfMinute(arrival), 1, 1, count(), 0, 0, count(), 0, 0, count()
    FROM millrace.dead_letters GROUP BY 1, 2`)
  for (const [window, seconds] of [
    ['10s', 10],
    ['1m', 60],
  ]) {
    await insert(`rollups (${columnNames(ROLLUPS_COLUMNS).join(', ')})
      SELECT stream, device, metric, '${window}', toStartOfInterval(ts, INTERVAL ${seconds} SECOND),
      count(), sum(value), min(value), max(value), min((ts, value)), max((ts, value))
      FROM millrace.samples WHERE NOT isNaN(value) GROUP BY 1, 2, 3, 5`)
  }
}

async function wipe(): Promise<void> {
  for (const table of TABLES) await fixture.target.command(`TRUNCATE TABLE millrace.${table}`)
}

const DRAINED: JournalFindings = {
  shard: 0,
  segmentCount: 1,
  sizeBytes: 0,
  messageCount: 0,
  pendingCount: 0,
  pendingOldestMs: null,
  messagesEnd: 0,
  timeMs: 0,
  areWindowsClosed: true,
  gaps: [],
  damages: [],
  setAside: [],
}

async function audit(
  journal: Partial<JournalFindings> = {},
  sinceMs: number | null = null,
  widths = DEFAULT_CONFIG.windows.widths,
): Promise<AuditReport> {
  return await auditConfig({ windows: { widths } }, journal, sinceMs)
}

async function auditConfig(
  options: MillraceOptions,
  journal: Partial<JournalFindings> = {},
  sinceMs: number | null = null,
): Promise<AuditReport> {
  const walk = () => Promise.resolve([{ ...DRAINED, ...journal }])
  return await runAudit({ target, walk, layout: layoutOf(checkConfig(options)), sinceMs })
}

const texts = (report: AuditReport): string[] => report.differences.map(({ text }) => text)

describe('cooked books', () => {
  beforeEach(cook)
  afterEach(wipe)

  test('that balance', async () => {
    const report = await audit()
    expect(texts(report)).toEqual([])
    expect(report).toMatchObject({ isBalanced: true, isSettled: true, pendingCount: 0, notes: [] })
    const stored = COUNT
    expect(report.ledger).toEqual([
      {
        stream: 'telemetry',
        accepted: stored + 10 + BROKEN,
        stored,
        filtered: 0,
        deadLettered: BROKEN,
        duplicate: 10,
        amended: 5,
        messages: stored + BROKEN,
        difference: 0,
      },
    ])
    expect(report.tables).toEqual([
      { table: 'samples', stream: 'telemetry', ledger: stored, rows: stored, inFlight: 0 },
      { table: 'dead_letters', stream: 'telemetry', ledger: BROKEN, rows: BROKEN, inFlight: 0 },
    ])
    const finite = COUNT - COUNT / 10
    expect(report.windows).toEqual([
      { stream: 'telemetry', window: '10s', samples: finite, rollups: finite, open: 0 },
      { stream: 'telemetry', window: '1m', samples: finite, rollups: finite, open: 0 },
    ])
    expect(formatAudit(report)).toMatch(/\nbalanced: yes\n$/)
  })

  /** Only where nothing else is: deletes need no mutation of a whole part then. */
  async function without(table: string, condition: string): Promise<void> {
    await fixture.target.command(
      `ALTER TABLE millrace.${table} DELETE WHERE ${condition} SETTINGS mutations_sync = 1`,
    )
  }

  test('a row is missing: from samples and, as its windows count it, from there', async () => {
    await without('samples', `toUnixTimestamp64Milli(ts) = ${START_MS + 121_000}`)
    const report = await audit()
    expect(report).toMatchObject({ isBalanced: false, differenceCount: 3 })
    expect(texts(report)).toEqual([
      'samples of telemetry at 2023-11-14 22:15: the ledger says 60 stored, the table has 59',
      'rollups 10s of telemetry in the hour from 2023-11-14 22:00: samples has 215 readings, the windows count 216',
      'rollups 1m of telemetry in the hour from 2023-11-14 22:00: samples has 215 readings, the windows count 216',
    ])
    expect(formatAudit(report)).toMatch(/\nbalanced: NO\n$/)
  })

  test('a row too many, of text', async () => {
    await insert(
      `samples VALUES ('telemetry', 'd9', 'm', 5, nan, 'x', fromUnixTimestamp64Milli(${START_MS}))`,
    )
    expect(texts(await audit())).toEqual([
      'samples of telemetry at 2023-11-14 22:13: the ledger says 40 stored, the table has 41',
    ])
  })

  test('a ledger row twice, also when it was merged', async () => {
    await insert(`ledger SELECT * FROM millrace.ledger
      WHERE shard = 0 AND toUnixTimestamp(minute) % 3600 = 14 * 60`)
    const expected = [
      'samples of telemetry at 2023-11-14 22:14: the ledger says 120 stored, the table has 60',
    ]
    expect(texts(await audit())).toEqual(expected)
    await fixture.target.command('OPTIMIZE TABLE millrace.ledger FINAL')
    expect(texts(await audit())).toEqual(expected)
  })

  test('a ledger row that does not add up', async () => {
    await insert(`ledger VALUES ('other', ${START_MS / 1000 - 20}, 3, 9, 5, 0, 1, 0, 2, 0, 1)`)
    const report = await audit()
    expect(texts(report)).toEqual(['ledger of other at 2023-11-14 22:13: 5 accepted, 3 accounted for'])
    expect(report.ledger[0]).toMatchObject({ stream: 'other', accepted: 5, difference: 2 })
  })

  test('a dead letter is missing, and one too many', async () => {
    await without('dead_letters', 'position = 8')
    expect(texts(await audit())).toEqual([
      'dead_letters of telemetry at 2023-11-14 22:13: the ledger says 4 dead-lettered, the table has 3',
    ])
    await insert(`dead_letters SELECT * FROM millrace.dead_letters WHERE position IN (16, 48)`)
    expect(texts(await audit())).toEqual([
      'dead_letters of telemetry at 2023-11-14 22:14: the ledger says 3 dead-lettered, the table has 4',
    ])
  })

  test('a rollup twice, and one missing in another hour', async () => {
    await insert(`rollups SELECT * FROM millrace.rollups WHERE window = '1m' ORDER BY start, device LIMIT 1`)
    await insert(
      `samples VALUES ('telemetry', 'd0', 'm', -1.5, 3, '', fromUnixTimestamp64Milli(${START_MS}))`,
    )
    const found = texts(await audit())
    expect(found.slice(1)).toEqual([
      'rollups 10s of telemetry in the hour from 1969-12-31 23:00: samples has 1 readings, the windows count 0',
      'rollups 1m of telemetry in the hour from 1969-12-31 23:00: samples has 1 readings, the windows count 0',
      'rollups 1m of telemetry in the hour from 2023-11-14 22:00: samples has 216 readings, the windows count 228',
    ])
  })

  test('a width that was never written is missed when the config has it', async () => {
    expect((await audit({}, null, ['10s', '1m'])).isBalanced).toBe(true)
    expect((await audit({}, null, ['10s', '5m'])).differences).toMatchObject([
      { check: 'rollups', window: '5m', expected: 216, found: 0 },
    ])
  })

  test('only from a time on', async () => {
    await without('samples', `toUnixTimestamp64Milli(ts) = ${START_MS}`)
    await without('samples', `toUnixTimestamp64Milli(ts) = ${START_MS + 1000}`)
    expect((await audit()).isBalanced).toBe(false)
    const report = await audit({}, START_MS + 60_000)
    expect(texts(report)).toEqual([])
    expect(report.tables[0].rows).toBe(240 - 40 - 60)
  })

  test('messages that are pending leave their minutes in flight, and only those', async () => {
    await without('ledger', `toUnixTimestamp(minute) * 1000 >= ${START_MS + 160_000}`)
    const strict = await audit()
    expect(strict.isBalanced).toBe(false)
    const pending = { pendingCount: 3, pendingOldestMs: START_MS + 190_000, areWindowsClosed: false }
    const report = await audit(pending)
    expect(texts(report)).toEqual([])
    expect(report).toMatchObject({ isBalanced: true, isSettled: false, pendingCount: 3 })
    expect(report.tables[0].inFlight).toBeGreaterThan(0)
    const later = await audit({ ...pending, pendingOldestMs: START_MS + 235_000 })
    expect(later.differences.map(({ check }) => check)).toEqual(['samples'])
  })

  test('open windows explain what is missing at the end, and nothing else', async () => {
    // The newest windows of every series, as an engine holds them: 10 s of lateness behind the newest reading.
    const newestMs = START_MS + (COUNT - 1) * 1000
    await without('rollups', `window = '10s' AND toUnixTimestamp64Milli(start) > ${newestMs - 20_000}`)
    expect((await audit()).differences).toMatchObject([{ check: 'rollups', window: '10s' }])
    const running = { areWindowsClosed: false, timeMs: newestMs + 1000, messagesEnd: 5 }
    const open = await audit(running)
    expect(texts(open)).toEqual([])
    expect(open).toMatchObject({ isBalanced: true, isSettled: false })
    expect(open.windows[0].open).toBe(open.windows[0].samples - open.windows[0].rollups)
    const idle = await audit({ ...running, timeMs: newestMs + 60_000 })
    expect(idle.differences).toMatchObject([{ check: 'rollups', window: '10s' }])
    const gap = { endMs: newestMs + 50_000, durationMs: 45_000 }
    const afterGap = await audit({ ...running, timeMs: newestMs + 60_000, gaps: [gap] })
    expect(texts(afterGap)).toEqual([])
    // One that ended long ago is no open one.
    await without('rollups', `window = '10s' AND toUnixTimestamp64Milli(start) < ${START_MS + 60_000}`)
    expect((await audit(running)).differences).toMatchObject([{ check: 'rollups', window: '10s' }])
  })

  test('what a TTL may have deleted is not compared, nor what an older database stored', async () => {
    const days = Math.floor((Date.now() - START_MS) / 86_400_000) - 1
    await fixture.target.command(
      `ALTER TABLE millrace.samples MODIFY TTL toDateTime(ts) + INTERVAL ${days} DAY SETTINGS mutations_sync = 1`,
    )
    await fixture.target.command('OPTIMIZE TABLE millrace.samples FINAL')
    const aged = await audit()
    expect(aged.notes).toMatchObject([
      expect.stringMatching(/^samples older than .* is not compared: its TTL/),
    ])
    expect(texts(aged)).toEqual([])
    expect(aged.tables).toMatchObject([{ table: 'dead_letters' }])
    await fixture.target.command('ALTER TABLE millrace.samples REMOVE TTL')
    await fixture.target.command('INSERT INTO millrace.migrations (version) VALUES (1)')
    const upgraded = await audit({}, null, ['1h'])
    expect(upgraded.tables).toEqual([])
    expect(upgraded.notes).toMatchObject([expect.stringMatching(/the database had no ledger yet/)])
    await fixture.target.command(
      'ALTER TABLE millrace.migrations DELETE WHERE version = 1 SETTINGS mutations_sync = 1',
    )
  })

  test('damage in what is pending is a difference; elsewhere it is none', async () => {
    const damage = { segment: '0000000002.journal', offset: 64, sizeBytes: 400, isConfirmed: false }
    const damages = [damage, { ...damage, isConfirmed: true }]
    const report = await audit({ damages, setAside: ['2-0.damaged'] })
    expect(texts(report)).toEqual([
      'journal: journal/0/0000000002.journal is damaged at byte 64, 400 bytes; unconfirmed messages in it are lost',
    ])
    expect(report.notes).toEqual(['the engine found damage and set it aside: journal/0/2-0.damaged'])
  })
})

describe('windows of every kind', () => {
  beforeEach(cook)
  afterEach(wipe)

  const KINDS: Operator[] = [
    tumbling('10s'),
    hopping('1m', '20s'),
    calendar('day', 'Asia/Kolkata', { aggregates: ['mean', 'time_weighted_mean'] }),
    session('2s'),
    count(7),
    sliding('5s', { aggregates: ['min', 'increase'] }),
  ]
  const streamOf = (operators: Operator[], more: Partial<StreamOptions> = {}): MillraceOptions => ({
    streams: [{ name: 'telemetry', topic: 'devices/{device}/telemetry', operators, ...more }],
  })

  /** Of all windows but 10s and 1m, which are cooked. */
  async function cookWindows(): Promise<void> {
    const rollups = (
      window: string,
      starts: string,
    ): string => `rollups (${columnNames(ROLLUPS_COLUMNS).join(', ')})
      SELECT stream, device, metric, '${window}', ${starts} AS start,
      count(), sum(value), min(value), max(value), min((ts, value)), max((ts, value))
      FROM millrace.samples WHERE NOT isNaN(value) GROUP BY 1, 2, 3, 5`
    const hop = 'toStartOfInterval(ts, INTERVAL 20 SECOND)'
    await insert(
      rollups('1m/20s', `arrayJoin([${hop}, ${hop} - INTERVAL 20 SECOND, ${hop} - INTERVAL 40 SECOND])`),
    )
    await insert(rollups('day Asia/Kolkata', `toStartOfDay(ts, 'Asia/Kolkata')`))
    for (const { spec } of checkConfig(streamOf(KINDS)).pipelines[0].operators.slice(2))
      await insert(`windows SELECT *, 2, 0 FROM (${batchWindows('telemetry', spec)})`)
  }

  test('are as their readings', async () => {
    await cookWindows()
    const report = await auditConfig(streamOf(KINDS))
    expect(texts(report)).toEqual([])
    expect(report).toMatchObject({ isBalanced: true, isSettled: true, notes: [] })
    expect(report.windows.map(({ window, samples, rollups }) => [window, samples, rollups])).toEqual([
      ['10s', 216, 216],
      ['1m/20s', 3 * 216, 3 * 216],
      ['day Asia/Kolkata', 216, 216],
    ])
    const sampled = report.sampledWindows.map(({ window, series, compared, equal }) => [
      window,
      series,
      compared - equal,
    ])
    expect(sampled).toEqual(
      ['day Asia/Kolkata', 'session 2s', 'count 7', 'sliding 5s'].map((window) => [window, 3, 0]),
    )
    expect(formatAudit(report)).toMatch(
      /\nwindows that do not merge +series +windows +as in samples\nday Asia/,
    )
  })

  test('are missing, wrong, or too many', async () => {
    await cookWindows()
    const remove = (table: string, condition: string) =>
      fixture.target.command(
        `ALTER TABLE millrace.${table} DELETE WHERE ${condition} SETTINGS mutations_sync = 1`,
      )
    await remove('rollups', `window = '1m/20s' AND device = 'd1' AND toUnixTimestamp(start) = 1700000040`)
    await remove(
      'windows',
      `window = 'count 7' AND device = 'd2' AND toUnixTimestamp64Milli(start) = ${START_MS + 2000}`,
    )
    await insert(`windows SELECT * REPLACE (start - 1 AS start) FROM millrace.windows
      WHERE window = 'sliding 5s' AND device = 'd0' ORDER BY start LIMIT 1`)
    await insert(`windows SELECT * REPLACE (count + 1 AS count, 3 AS version) FROM millrace.windows
      WHERE window = 'day Asia/Kolkata' AND device = 'd0'`)
    expect(texts(await auditConfig(streamOf(KINDS)))).toEqual([
      expect.stringMatching(
        /^rollups 1m\/20s of telemetry in the hour from 2023-11-14 22:00: samples has 648 readings, the windows/,
      ),
      expect.stringMatching(
        /^windows day Asia\/Kolkata of telemetry d0 m, .*: samples give one of 72 readings, the table has one of 73/,
      ),
      'windows count 7 of telemetry d2 m, start 2023-11-14T22:13:22.000Z: samples give one of 7 readings, the table has no such window',
      expect.stringMatching(
        /^windows sliding 5s of telemetry d0 m, .*: samples give no such window, the table has one of /,
      ),
    ])
  })

  test('of series that are not quiet are left out', async () => {
    const running = { areWindowsClosed: false, timeMs: START_MS + COUNT * 1000, messagesEnd: 5 }
    const report = await auditConfig(streamOf([session('2s')]), running)
    expect(report).toMatchObject({ isBalanced: true, sampledWindows: [] })
    const later = await auditConfig(streamOf([session('2s')]), {
      ...running,
      timeMs: running.timeMs + 60_000,
    })
    expect(later).toMatchObject({ isBalanced: false, sampledWindows: [{ series: 3, equal: 0 }] })
  })

  test('of a part of the readings, and those that cannot be compared', async () => {
    await insert(`samples SELECT * REPLACE ('x%.y' AS metric) FROM millrace.samples`)
    await insert(`ledger SELECT * REPLACE (2 AS mark) FROM millrace.ledger WHERE shard = 0`)
    const branches = (include: string[], exclude: string[]) => ({
      branches: [{ metrics: { include, exclude }, operators: [tumbling('10s')] }],
    })
    const options = (more: Partial<StreamOptions>): MillraceOptions => ({
      streams: [{ name: 'telemetry', topic: 'devices/{device}/telemetry', ...more }],
    })
    expect(texts(await auditConfig(options({})))).toHaveLength(2)
    expect(texts(await auditConfig(options(branches(['m', 'z'], []))))).toEqual([])
    expect(texts(await auditConfig(options(branches(['*'], ['x%*y']))))).toEqual([])
    expect(texts(await auditConfig(options(branches(['*'], ['x_*y']))))).toHaveLength(1)
    const filtered = await auditConfig(
      options({
        branches: [{ filter: () => true, operators: [tumbling('1m')] }, { operators: [tumbling('1h')] }],
      }),
    )
    expect(filtered.notes).toEqual([
      'windows 1m of telemetry are not compared: a filter decides what they take',
    ])
    expect(filtered.differences).toMatchObject([{ window: '1h', expected: 432, found: 0 }])
    const none = await auditConfig(options({ raw: false }))
    expect(none.notes).toEqual([
      'windows of telemetry are not compared: its readings are not kept (raw: false)',
    ])
    expect(none).toMatchObject({ isBalanced: true, windows: [] })
  })
})

test('many differences: the first are listed, all are counted', async () => {
  await insert(`ledger SELECT 'telemetry', number * 60, 0, 1, 1, 1, 0, 0, 0, 0, 1 FROM numbers(1, 500)`)
  const report = await audit()
  expect(report.differenceCount).toBe(500)
  expect(report.differences.length).toBeLessThanOrEqual(100)
  expect(report.differences[0].at).toBe('1970-01-01 00:01')
  expect(formatAudit(report)).toContain('difference: and 400 more\n')
  await wipe()
})

test('an empty database balances', async () => {
  expect(await audit()).toMatchObject({ isBalanced: true, ledger: [], tables: [], windows: [] })
})

test('a database without a ledger is refused with what to do', async () => {
  await fixture.target.command('RENAME TABLE millrace.ledger TO millrace.ledger_away')
  await expect(audit()).rejects.toThrow(/has no ledger: start an engine of this version on it once/)
  await fixture.target.command('RENAME TABLE millrace.ledger_away TO millrace.ledger')
})

test.each([
  ['CREATE TABLE x (a Int8) ENGINE = MergeTree ORDER BY a SETTINGS index_granularity = 8192', null],
  ['... ORDER BY a TTL toDateTime(ts) + toIntervalDay(30) SETTINGS x = 1', 30 * 86_400_000],
  ['... TTL ts + toIntervalMonth(2), ts + toIntervalWeek(1) SETTINGS x = 1', 7 * 86_400_000],
  ['... TTL ts + toIntervalFortnight(2)', Number.NaN],
  ['... TTL expires', Number.NaN],
])('the TTL of %s', (statement, expected) => {
  expect(shortestTtlMs(statement)).toBe(expected)
})

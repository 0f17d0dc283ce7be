import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { BlockWriter } from '../../codecs/native/block-writer.ts'
import { type Answer, openFixture, type StoreFixture, send, temporaryDirectory } from './store-fixture.ts'

// What a hostile analyst tries against a live store. The file with the secret, the listening server and the
// directory to write to are real: an attack that gets through is seen by what it leaves, not only by the
// status.
const SECRET = 'kingfisher-4711'
const QUERY_SECONDS_MAX = 1

let fixture: StoreFixture
let workplace: string
let secretPath: string
let bait: Server
let baitUrl: string
const baitRequests: string[] = []
let tablesBefore: unknown[] = []

beforeAll(async () => {
  fixture = await openFixture({
    limits: {
      queryTimeSecondsMax: QUERY_SECONDS_MAX,
      queryMemorySizeBytes: 100_000_000,
      queriesMax: 3,
      queriesWaitingMax: 6,
    },
  })
  workplace = temporaryDirectory()
  secretPath = join(workplace, 'secret.txt')
  writeFileSync(secretPath, SECRET)
  mkdirSync(join(workplace, 'out'))
  bait = createServer((message, response) => {
    baitRequests.push(message.url ?? '')
    response.end(SECRET)
  })
  await new Promise<void>((resolve) => bait.listen(0, '127.0.0.1', resolve))
  baitUrl = `http://127.0.0.1:${(bait.address() as AddressInfo).port}`
  tablesBefore = await tables()
})

afterAll(async () => {
  bait.close()
  await fixture.close()
  rmSync(workplace, { recursive: true })
})

const ask = (sql: string, params = ''): Promise<Answer> => send(`${fixture.url}/${params}`, sql)

const tables = (): Promise<{ name: string }[]> =>
  fixture.target.query("SELECT name FROM system.tables WHERE database = 'millrace' ORDER BY name")

async function rowsInserted(): Promise<number> {
  const [row] = await fixture.target.query<{ n: number }>('SELECT toUInt32(count()) AS n FROM dead_letters')
  return row.n
}

let inserted = 0

/** The sink's side, as alive as ever. */
async function insertOne(): Promise<void> {
  const writer = new BlockWriter()
  writer.begin(1, 1)
  writer.uint64('position', Float64Array.of(inserted), null)
  await fixture.target.insert('dead_letters', ['position'], writer.finish(), `attack-${inserted++}`)
}

describe('reading what is not the database', () => {
  // %S is the secret's path, %U the server, %W the directory to write to.
  const attacks = [
    "SELECT file('%S')",
    "SELECT FILE('%S')",
    "SELECT `file`('%S')",
    `SELECT "f\\x69le"('%S')`,
    "SELECT/**/file/**/(/**/'%S'/**/)",
    "SELECT file --\n('%S')",
    "SELECT * FROM (SELECT file('%S'))",
    "WITH (SELECT file('%S')) AS s SELECT s",
    "WITH x AS (SELECT file('%S') AS s) SELECT s FROM x",
    "SELECT 1 WHERE '' IN (SELECT file('%S'))",
    "SELECT * APPLY(file) FROM (SELECT '%S')",
    "SELECT t.* APPLY file FROM (SELECT '%S' AS p) AS t",
    "SELECT COLUMNS('p') APPLY(x -> file(x)) FROM (SELECT '%S' AS p)",
    "SELECT arrayMap(file, ['%S'])",
    "SELECT arrayMap(x -> file(x), ['%S'])",
    "SELECT .1file('%S')",
    "SELECT 1 /* /* */ , file('%S') /* */ */",
    "SELECT $$, file('%S'), $$",
    "SELECT 1 # '\n, file('%S') -- '",
    "SELECT 1 // '\n, file('%S') -- '",
    "SELECT '\\', file('%S'), '",
    "SELECT * FROM file('%S', 'LineAsString')",
    "SELECT * FROM `file`('%S', 'LineAsString', 'line String')",
    "SELECT * FROM '%S'",
    'SELECT * FROM `%S`',
    'SELECT * FROM default.`%S`',
    "DESCRIBE file('%S')",
    "DESCRIBE TABLE file('%S', 'CSVWithNames')",
    "EXPLAIN SELECT * FROM file('%S', 'LineAsString')",
    "SELECT * FROM view(SELECT * FROM file('%S', 'LineAsString'))",
    "SELECT * FROM viewExplain('EXPLAIN', '', (SELECT * FROM file('%S', 'LineAsString')))",
    "SELECT * FROM viewIfPermitted(SELECT file('%S') AS x ELSE null('x String'))",
    "SELECT * FROM loop(file('%S', 'LineAsString')) LIMIT 1",
    "SELECT * FROM eval('SELECT file(''%S'')')",
    "SELECT * FROM fileCluster('default', '%S', 'LineAsString')",
    "SELECT * FROM cluster('default', file('%S', 'LineAsString'))",
    "SELECT * FROM filesystem('%W')",
    "SELECT * FROM executable('cat', 'LineAsString', 'line String')",
    "SELECT * FROM sqlite('%S', 'x')",
    "SELECT * FROM icebergLocal('%W')",
    "SELECT * FROM deltaLakeLocal('%W')",
    "SELECT * FROM values('a String, b String DEFAULT file(''%S'')', ('x', 'y'))",
    "SELECT b FROM values('a String, b String ALIAS file(''%S'')', 'x')",
    "SELECT * FROM format(JSONEachRow, 'a String, b String DEFAULT file(''%S'')', '{}')",
    "SELECT b FROM format(JSONEachRow, 'a String, b String ALIAS file(''%S'')', '{}')",
    "SELECT b FROM format('JSONEachRow', concat('a String, b String ALIAS fi', 'le(''%S'')'), '{}')",
    "SELECT * FROM (SELECT b FROM format(CSV, 'b String ALIAS file(''%S'')', '{}') SETTINGS readonly=0)",
    "SELECT b FROM values(concat('a String, b String ALIAS fi', 'le(''%S'')'), 'x')",
    "SELECT * FROM (SELECT 1 FROM eval('SELECT 1') SETTINGS allow_experimental_eval_table_function=1)",
    "SELECT * FROM generateRandom('a String DEFAULT file(''%S'')') LIMIT 1",
    "SELECT * FROM null('a String DEFAULT file(''%S'')')",
    "SELECT catboostEvaluate('%S', 1)",
    "SELECT dictGet('%S', 'x', 1)",
    "SELECT * FROM dictionary('%S')",
    "SELECT * FROM url('%U/a', 'LineAsString')",
    "DESCRIBE url('%U/b')",
    "SELECT * FROM s3('%U/bucket/c', 'LineAsString')",
    "SELECT * FROM gcs('%U/bucket/d', 'LineAsString')",
    "SELECT * FROM urlCluster('default', '%U/e', 'LineAsString')",
    "SELECT * FROM hdfs('%U/f', 'CSV')",
    "SELECT * FROM azureBlobStorage('%U', 'c', 'b')",
    "SELECT * FROM remote('127.0.0.1', system.one)",
    "SELECT * FROM remoteSecure('127.0.0.1', system.one)",
    "SELECT * FROM mysql('127.0.0.1:1', 'a', 'b', 'c', 'd')",
    "SELECT * FROM postgresql('127.0.0.1:1', 'a', 'b', 'c', 'd')",
    "SELECT * FROM mongodb('127.0.0.1:1', 'a', 'b', 'c', 'd', 'x Int8')",
    "SELECT * FROM redis('127.0.0.1:1', 'k', 'k String')",
    "SELECT * FROM merge('system', '.*')",
    'SELECT path FROM system.disks',
    'SELECT * FROM system.processes',
    'SELECT query FROM`system`.`processes`',
    'SELECT * FROM "system"."server_settings"',
    'SELECT * FROM system . /* */ users',
    'SHOW PROCESSLIST',
    "SELECT getServerSetting('path')",
    'SELECT 1 FORMAT Template SETTINGS format_template_resultset = 1',
  ]
  for (const template of attacks) {
    test(template, async () => {
      const sql = template.replaceAll('%S', secretPath).replaceAll('%U', baitUrl).replaceAll('%W', workplace)
      const answer = await ask(sql)
      const withoutTheQuery = answer.text.replaceAll(secretPath, '').replaceAll(workplace, '')
      expect(withoutTheQuery).not.toContain(SECRET)
      expect(withoutTheQuery).not.toContain(fixture.directory)
      expect(answer.status).toBeGreaterThanOrEqual(400)
    })
  }

  test('placeholders that become names', async () => {
    const path = encodeURIComponent(secretPath)
    for (const [sql, params] of [
      ['SELECT * FROM {d:Identifier}.{t:Identifier}', '?param_d=system&param_t=processes'],
      ['SELECT * FROM {t:Identifier}', '?param_t=system.processes'],
      ['SELECT * FROM {t:Identifier}', `?param_t=${path}`],
      ["SELECT {f:Identifier}('x')", '?param_f=file'],
      ['SELECT * FROM processes', '?database=system'],
      ['SELECT * FROM processes', '?database=SYSTEM'],
      ['SELECT * FROM `x`', `?database=${path}`],
    ]) {
      const answer = await ask(sql, params)
      expect([sql, answer.status >= 400]).toEqual([sql, true])
    }
  })

  test('nobody was called, and an answer never names the machine\u2019s paths', () => {
    expect(baitRequests).toEqual([])
  })
})

describe('changing, writing, stopping', () => {
  const attacks = [
    'DROP TABLE millrace.samples',
    'DROP DATABASE millrace',
    'TRUNCATE TABLE millrace.samples',
    "INSERT INTO millrace.samples (device) VALUES ('x')",
    'INSERT INTO millrace.dead_letters (position) SELECT 1',
    "INSERT INTO FUNCTION file('%W/out/a', 'CSV') SELECT 1",
    'CREATE TABLE millrace.x (a Int8) ENGINE = Memory',
    'CREATE TEMPORARY TABLE x (a Int8)',
    'CREATE VIEW millrace.v AS SELECT 1',
    'CREATE FUNCTION f AS (x) -> x',
    'CREATE USER u',
    "CREATE DATABASE d ENGINE = Filesystem('%W')",
    'ALTER TABLE millrace.samples DELETE WHERE 1',
    'RENAME TABLE millrace.samples TO millrace.x',
    'ATTACH TABLE millrace.x',
    'DETACH TABLE millrace.samples PERMANENTLY',
    'OPTIMIZE TABLE millrace.samples',
    'SYSTEM SHUTDOWN',
    'SYSTEM KILL',
    'SYSTEM STOP MERGES',
    'KILL QUERY WHERE 1',
    'SET readonly = 0',
    'SET max_memory_usage = 0',
    'USE system',
    'GRANT ALL ON *.* TO default',
    'EXECUTE AS default SELECT 1',
    "BACKUP TABLE millrace.samples TO File('%W/out/b')",
    "SELECT 1 INTO OUTFILE '%W/out/c'",
    "SELECT 1 INTO/**/OUTFILE '%W/out/d' FORMAT CSV",
    "SELECT 1 INTO\nOUTFILE '%W/out/e' TRUNCATE",
    "SELECT 1 INTO OUTFILE '%W/out/f' APPEND AND STDOUT",
    "EXPLAIN SELECT 1 INTO OUTFILE '%W/out/g'",
    'SELECT 1; DROP TABLE millrace.samples',
    "SELECT 1;\n\nSELECT 1 INTO OUTFILE '%W/out/h'",
    'SELECT 1 /* ; */ ; SYSTEM SHUTDOWN',
    "SELECT '\n\n'; DROP TABLE millrace.samples",
    '(SELECT 1); (DROP TABLE millrace.samples)',
    'SELECT 1 PARALLEL WITH DROP TABLE millrace.samples',
    'SELECT 1 SETTINGS readonly = 0',
    'SELECT 1 SETTINGS max_memory_usage = 0',
    'SELECT 1 FORMAT CSV SETTINGS max_execution_time = 0',
    'SELECT * FROM (SELECT 1 SETTINGS max_execution_time = 0)',
    'SELECT 1 FORMAT CSV INTO OUTFILE 1',
    'EXPLAIN INSERT INTO millrace.dead_letters (position) VALUES (1)',
  ]
  for (const template of attacks) {
    test(template, async () => {
      const answer = await ask(template.replaceAll('%W', workplace))
      if (!template.startsWith('EXPLAIN INSERT')) expect(answer.status).toBeGreaterThanOrEqual(400)
    })
  }

  test('and everything is as it was', async () => {
    expect(readdirSync(join(workplace, 'out'))).toEqual([])
    expect(await rowsInserted()).toBe(inserted)
    expect(tablesBefore).not.toEqual([])
    expect(await tables()).toEqual(tablesBefore)
    await insertOne()
    expect(await rowsInserted()).toBe(inserted)
    expect(existsSync(secretPath)).toBe(true)
  })
})

describe('exhausting', () => {
  test('queries that eat time, memory and result end at their limits, one by one', async () => {
    for (const [sql, codes] of [
      ['SELECT count() FROM numbers(1000000000000) WHERE number % 7 = 1', ['159']],
      ['SELECT (SELECT count() FROM numbers(1000000000000) WHERE number % 7 = 1)', ['159']],
      ['SELECT sleepEachRow(0.5) FROM numbers(1000) SETTINGS max_block_size = 1', ['164']],
      ['SELECT sleepEachRow(0.05) FROM numbers(1000)', ['159', '160']],
      ['SELECT groupArray(number) FROM numbers(1000000000)', ['241', '159']],
      ['SELECT number FROM numbers(1000000000) ORDER BY rand()', ['241', '159']],
      ["SELECT repeat('x', 1000000000)", ['241', '131']],
      [
        'SELECT count() FROM numbers(1000000) a CROSS JOIN numbers(1000000) b CROSS JOIN numbers(1000) c',
        ['159', '241'],
      ],
    ] as const) {
      // The store's own limit for the first; a tighter one, as a reader may ask for, for the rest.
      const answer = await ask(
        sql,
        sql.startsWith('SELECT count() FROM numbers(') ? '' : '?max_execution_time=0.2',
      )
      expect([sql, codes.includes(answer.headers['x-clickhouse-exception-code'] as never)]).toEqual([
        sql,
        true,
      ])
    }
    const deep = await ask(`SELECT ${'('.repeat(5000)}1${')'.repeat(5000)}`)
    expect(deep.status).toBeGreaterThanOrEqual(400)
  })

  test('a storm of them, with slow readers, stops no insert and no answer for long', async () => {
    const { port } = new URL(fixture.url)
    const sql = "SELECT number, repeat('x', 100) FROM system.numbers"
    const slow = Array.from({ length: 2 }, () => {
      const socket = connect(Number(port), '127.0.0.1')
      socket.on('error', () => {})
      socket.pause()
      socket.write(`POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${sql.length}\r\n\r\n${sql}`)
      return socket
    })
    const storm = Array.from({ length: 13 }, (_, i) =>
      ask(
        i < 9
          ? 'SELECT count() FROM numbers(1000000000000)'
          : 'SELECT groupArray(number) FROM numbers(1000000000)',
        '?max_execution_time=0.4',
      ),
    )
    for (let i = 0; i < 10; i++) await insertOne()
    for (const socket of slow) socket.destroy()
    const codes = (await Promise.all(storm)).map((answer) => answer.headers['x-clickhouse-exception-code'])
    // Three run, six wait, and who comes then is told so.
    expect(codes.filter((code) => code === '202').length).toBeGreaterThanOrEqual(13 - 3 - 6)
    expect(codes.filter((code) => code === '159').length).toBeGreaterThanOrEqual(6)
    expect((await ask('SELECT 1')).text).toBe('1\n')
    expect(await rowsInserted()).toBe(inserted)
  })

  test('clients that leave take their queries with them', async () => {
    const running = async (): Promise<number> => {
      const [row] = await fixture.target.query<{ n: number }>(
        `SELECT toUInt32(count()) AS n FROM system.processes
          WHERE query LIKE '%/* reader %' AND query NOT LIKE '%system.processes%'`,
      )
      return row.n
    }
    const until = async (isIt: (count: number) => boolean): Promise<void> => {
      while (!isIt(await running())) await new Promise((resolve) => setTimeout(resolve, 10))
    }
    const controller = new AbortController()
    const body = 'SELECT count() FROM numbers(1000000000000)'
    const left = fetch(fixture.url, { method: 'POST', body, signal: controller.signal }).catch(
      (cause) => cause.name,
    )
    await until((count) => count === 1)
    controller.abort()
    expect(await left).toBe('AbortError')
    await until((count) => count === 0)
    expect((await ask('SELECT 1')).text).toBe('1\n')
  })
})

import { connect } from 'node:net'
import { gunzipSync, gzipSync } from 'node:zlib'
import { ClickHouseLogLevel, createClient } from '@clickhouse/client'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openFixture, type StoreFixture, send } from './store-fixture.ts'

const quiet = { log: { level: ClickHouseLogLevel.OFF } }
let fixture: StoreFixture
let url: string

beforeAll(async () => {
  fixture = await openFixture()
  url = fixture.url
  await fixture.target.command(
    `INSERT INTO millrace.samples SELECT 'telemetry', concat('device-', toString(number % 10)), 'temperature',
      toDateTime64(1700000000 + number, 3), number / 2, '', now64(3) FROM numbers(1000)`,
  )
})
afterAll(() => fixture.close())

describe('ClickHouse\u2019s HTTP protocol', () => {
  test('queries by body, by ?query=, and by both', async () => {
    expect((await send(`${url}/`, 'SELECT count() FROM samples')).text).toBe('1000\n')
    expect((await send(`${url}/?query=SELECT%201`, '', {}, 'GET')).text).toBe('1\n')
    expect((await send(`${url}/?query=SELECT`, '1 + 1')).text).toBe('2\n')
    expect((await send(`${url}/?database=millrace`, 'SELECT count() FROM samples FORMAT CSV;')).text).toBe(
      '1000\n',
    )
    expect((await send(`${url}/?database=default`, 'SELECT currentDatabase()')).text).toBe('millrace\n')
  })

  test('/ping and / say Ok, other paths and methods do not', async () => {
    for (const path of ['/ping', '/', '/?'])
      expect((await send(url + path, '', {}, 'GET')).text).toBe('Ok.\n')
    expect((await send(`${url}/play`, '', {}, 'GET')).status).toBe(404)
    expect((await send(`${url}/`, 'SELECT 1', {}, 'PUT')).status).toBe(405)
  })

  test('headers tell format, query, summary', async () => {
    const answer = await send(
      `${url}/?query_id=mine&default_format=JSONEachRow`,
      'SELECT 1 AS x FROM numbers(3)',
    )
    expect(answer.text).toBe('{"x":1}\n{"x":1}\n{"x":1}\n')
    expect(answer.headers['x-clickhouse-query-id']).toBe('mine')
    expect(answer.headers['x-clickhouse-format']).toBe('JSONEachRow')
    expect(answer.headers['content-type']).toBe('application/x-ndjson; charset=UTF-8')
    expect(JSON.parse(String(answer.headers['x-clickhouse-summary']))).toMatchObject({ read_rows: '3' })
    expect((await send(`${url}/`, 'SELECT 1 FORMAT JSON')).headers['content-type']).toMatch(
      /^application\/json/,
    )
  })

  test('parameters of every kind of value, as @clickhouse/client sends them', async () => {
    const client = createClient({ ...quiet, url })
    const values = {
      text: "it's\ta \\ \u00e9\u{1f30a}\n{x:String} -- \\' `\"",
      list: ['a', "b'c\t\\"],
      number: -7,
      big: 2n ** 63n,
      when: new Date(1_700_000_000_123),
      nothing: null,
      yes: true,
      map: { a: 1 },
      table: 'samples',
    }
    const result = await client.query({
      query: `SELECT {text:String} AS text, {list:Array(String)} AS list, {number:Int32} AS number,
        toString({big:UInt64}) AS big, toUnixTimestamp64Milli({when:DateTime64(3)}) AS when,
        {nothing:Nullable(String)} AS nothing, {yes:Bool} AS yes,
        {map:Map(String, Int8)} AS map, toUInt32(count()) AS count
        FROM {table:Identifier}`,
      query_params: values,
      format: 'JSONEachRow',
    })
    const expected = { ...values, big: String(values.big), when: values.when.getTime(), count: 1000 }
    const { table: _, ...columns } = expected
    expect(await result.json()).toEqual([columns])
    await client.close()
    expect((await send(`${url}/?param_x=1`, 'SELECT {y:Int8}')).headers['x-clickhouse-exception-code']).toBe(
      '456',
    )
    expect((await send(`${url}/?param_a%3Db=1`, 'SELECT 1')).status).toBe(400)
  })

  test('gzip both ways, for small results and streamed ones', async () => {
    const accepts = { 'Accept-Encoding': 'gzip' }
    for (const [rows, size] of [
      [10, 20],
      [300_000, 1_988_890],
    ]) {
      const sql = `SELECT number FROM numbers(${rows})`
      const answer = await send(`${url}/?enable_http_compression=1`, gzipSync(sql), {
        ...accepts,
        'Content-Encoding': 'gzip',
      })
      expect(answer.headers['content-encoding']).toBe('gzip')
      expect(gunzipSync(answer.body).length).toBe(size)
      expect((await send(`${url}/`, sql, accepts)).body.length).toBe(size)
    }
    const odd = await send(`${url}/`, 'SELECT 1', { 'Content-Encoding': 'br' })
    expect([odd.status, odd.text]).toEqual([400, expect.stringMatching(/gzip and deflate/)])
    expect((await send(`${url}/`, 'SELECT 1', { 'Content-Encoding': 'gzip' })).status).toBe(500)
    expect((await send(`${url}/?compress=1`, 'SELECT 1')).status).toBe(501)
  })

  test('what tools ask to draw their trees', async () => {
    const ask = async (sql: string) => (await send(`${url}/`, sql)).text.trim().split('\n')
    expect(await ask('SHOW DATABASES')).toContain('millrace')
    for (const sql of ['SHOW TABLES', 'SHOW TABLES FROM millrace', "SHOW TABLES LIKE '%s'"])
      expect(await ask(sql)).toEqual(expect.arrayContaining(['samples', 'rollups', 'dead_letters']))
    expect((await ask('SHOW COLUMNS FROM samples')).map((row) => row.split('\t')[0])).toContain('device')
    expect(await ask('SHOW FULL TABLES')).toContain('samples\tMergeTree')
    expect((await ask('SHOW CREATE TABLE samples')).join()).toMatch(/^CREATE TABLE millrace\.samples/)
    const json = (await ask('SHOW TABLES FORMAT JSONEachRow')).map((row) => JSON.parse(row).name)
    expect(json).toContain('samples')
  })

  test('errors have their status, code and ClickHouse\u2019s words', async () => {
    for (const [sql, status, code] of [
      ['SELEC 1', 500, '164'],
      ['SELECT 1 +', 400, '62'],
      ['SELECT nothing', 404, '47'],
      ['SELECT * FROM nowhere', 404, '60'],
      ['SELECT 1 FORMAT Nothing', 404, '73'],
      ["SELECT throwIf(1, 'boom')", 500, '395'],
      ['DROP TABLE samples', 500, '164'],
    ] as const) {
      const answer = await send(`${url}/`, sql)
      expect([sql, answer.status, answer.headers['x-clickhouse-exception-code']]).toEqual([sql, status, code])
      expect(answer.text).toMatch(new RegExp(`^Code: ${code}\\. DB::Exception: `))
    }
    expect((await send(`${url}/`, Buffer.from([0x53, 0xff]))).status).toBe(400)
    expect((await send(`${url}/`, `SELECT '${'x'.repeat(1 << 20)}'`)).status).toBe(413)
  })

  test('an error after the first rows is in the stream, marked by its tag', async () => {
    const sql = 'SELECT throwIf(number = 900000), repeat(toString(number), 10) FROM numbers(1000000)'
    const answer = await send(`${url}/`, sql)
    expect(answer.status).toBe(200)
    const tag = String(answer.headers['x-clickhouse-exception-tag'])
    const end = answer.text.slice(answer.text.lastIndexOf(`__exception__\r\n${tag}\r\nCode: 395`))
    expect(end).toMatch(new RegExp(`\\n\\d+ ${tag}\\r\\n__exception__\\r\\n$`))
    const client = createClient({ ...quiet, url })
    const result = await client.query({ query: sql, format: 'JSONEachRow' })
    const readAll = async (): Promise<void> => {
      for await (const _ of result.stream());
    }
    await expect(readAll()).rejects.toThrow(/throwIf|FUNCTION_THROW_IF|Value passed/)
    await client.close()
  })

  test('@clickhouse/client reads: JSON, streams, parameters, compression, ping', async () => {
    const client = createClient({ ...quiet, url, compression: { response: true, request: false } })
    expect(await client.ping()).toEqual({ success: true })
    const result = await client.query({
      query: 'SELECT device, count() AS n FROM samples WHERE device = {d:String} GROUP BY device',
      query_params: { d: 'device-3' },
      format: 'JSONEachRow',
      clickhouse_settings: { output_format_json_quote_64bit_integers: 1, max_execution_time: 5 },
    })
    expect(await result.json()).toEqual([{ device: 'device-3', n: '100' }])
    const stream = await client.query({ query: 'SELECT number FROM numbers(200000)', format: 'JSONEachRow' })
    let sum = 0
    for await (const rows of stream.stream<{ number: number }>())
      for (const row of rows) sum += row.json().number
    expect(sum).toBe((200_000 * 199_999) / 2)
    const json = await (await client.query({ query: 'SELECT 1 AS x', format: 'JSON' })).json<{ x: number }>()
    expect([json.data, json.rows]).toEqual([[{ x: 1 }], 1])
    await expect(client.query({ query: 'SELECT nothing' })).rejects.toMatchObject({ code: '47' })
    await client.close()
  })

  test('a request byte by byte, and one that ends in the middle', async () => {
    const { port } = new URL(url)
    const bytes = Buffer.from(
      'POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 8\r\n\r\nSELECT 1',
    )
    const talk = (count: number): Promise<string> =>
      new Promise((resolve) => {
        const socket = connect(Number(port), '127.0.0.1')
        socket.setNoDelay(true)
        let text = ''
        socket.on('data', (chunk) => {
          text += chunk
        })
        socket.on('close', () => resolve(text))
        socket.on('connect', async () => {
          for (let i = 0; i < count; i++) {
            socket.write(bytes.subarray(i, i + 1))
            await new Promise((next) => setImmediate(next))
          }
          if (count < bytes.length) socket.destroy()
        })
      })
    expect(await talk(bytes.length)).toMatch(/^HTTP\/1\.1 200 OK[\s\S]*\r\n\r\n1\n$/)
    expect(await talk(bytes.length - 1)).toBe('')
    expect((await send(`${url}/`, 'SELECT 1')).text).toBe('1\n')
  })
})

describe('whom the port answers', () => {
  test('hosts of this machine only', async () => {
    const { port } = new URL(url)
    for (const host of ['localhost', 'LOCALHOST:1', `127.0.0.1:${port}`, '[::1]:8123', '127.0.0.1']) {
      expect([host, (await send(`${url}/`, 'SELECT 1', { Host: host })).status]).toEqual([host, 200])
    }
    for (const host of [
      'evil.example',
      `evil.example:${port}`,
      '127.0.0.1.evil.example',
      '192.0.2.1',
      '[::2]',
      'a@localhost',
    ]) {
      expect([host, (await send(`${url}/`, 'SELECT 1', { Host: host })).status]).toEqual([host, 403])
    }
  })

  test('pages of this machine only', async () => {
    const own = await send(`${url}/`, 'SELECT 1', { Origin: 'http://localhost:8080' })
    expect([own.status, own.headers['access-control-allow-origin']]).toEqual([200, 'http://localhost:8080'])
    for (const origin of [
      'https://evil.example',
      'null',
      'http://localhost.evil.example',
      'http://evil.example/localhost',
    ]) {
      const answer = await send(`${url}/`, 'SELECT 1', { Origin: origin })
      expect([origin, answer.status, answer.headers['access-control-allow-origin']]).toEqual([
        origin,
        403,
        undefined,
      ])
    }
    const image = await send(`${url}/?query=SELECT+1`, '', { 'Sec-Fetch-Site': 'cross-site' }, 'GET')
    expect(image.status).toBe(403)
  })
})

describe('what a reader learns of the machine', () => {
  const ask = async (sql: string): Promise<string> => (await send(`${url}/`, sql)).text

  test('no path, in no column of any system table that is open', async () => {
    const open =
      'tables databases columns parts_columns errors settings merges projections data_skipping_indices'
    for (const table of open.split(' ')) {
      const rows = await ask(`SELECT * FROM system.${table} FORMAT JSONEachRow`)
      expect(rows, table).not.toMatch(/^Code/)
      expect(rows, table).not.toContain(fixture.directory)
    }
    const paths = await ask("SELECT data_paths[1] FROM system.tables WHERE name = 'samples'")
    expect(paths).toMatch(/^\/proc\/self\/cwd\/store\/store\/.*\/\n$/)
  })

  test('no path and nothing of our making, in errors: a query that is cut short ends where it ends', async () => {
    for (const sql of [
      'SELECT x FROM',
      'SELECT 1 +',
      'SELECT 1 WHERE',
      'SHOW',
      "SELECT '\u00fc' FROM samples\nWHERE",
    ]) {
      const text = await ask(sql)
      expect(text, sql).toMatch(
        /^Code: 62\. DB::Exception: Syntax error: failed at the end of the query\. Expected /,
      )
      expect(text, sql).not.toMatch(/OUTFILE '|TRUNCATE|\.pipe|reader \d|store-run/)
    }
    expect(await ask('SELECT 1 1 FROM samples')).toMatch(
      /failed at position 10 \(1\): 1 FROM samples\. Expected/,
    )
    for (const sql of [
      'SELECT nothing FROM samples',
      "SELECT throwIf(1, 'x')",
      'SELECT * FROM nowhere',
      'SELECT 1 FORMAT No',
    ])
      expect(await ask(sql), sql).not.toMatch(/OUTFILE '|TRUNCATE|\.pipe|reader \d|store-run|\/proc/)
  })
})

describe('what a reader may ask for in the URL', () => {
  const setting = async (name: string, value: string): Promise<string> =>
    (await send(`${url}/?${name}=${value}`, `SELECT getSetting('${name}')`)).text.trim()

  test('bounds only tighter than the store\u2019s, and how the output looks', async () => {
    expect(await setting('max_execution_time', '3')).toBe('3')
    expect(await setting('max_execution_time', '3000')).toBe('30')
    expect(await setting('max_execution_time', '0')).toBe('30')
    expect(await setting('max_execution_time', '-1')).toBe('30')
    expect(await setting('max_memory_usage', 'x')).toMatch(/^\d+$/)
    expect(await setting('readonly', '0')).toBe('1')
    expect((await send(`${url}/?output_format_csv_crlf_end_of_line=1`, 'SELECT 1 FORMAT CSV')).text).toBe(
      '1\r\n',
    )
  })

  test('nothing else', async () => {
    for (const name of [
      'allow_ddl',
      'max_bytes_to_read',
      'format_schema',
      'output_format_schema',
      'format_template_row',
      'allow_introspection_functions',
      'readonly%3D0%2Cx',
    ]) {
      expect([name, (await send(`${url}/?${name}=1`, 'SELECT 1')).status]).toEqual([name, 500])
    }
  })
})

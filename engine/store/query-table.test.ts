import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { queryTable } from './query-table.ts'
import { openFixture, type StoreFixture } from './store-fixture.ts'
import { cutToWidth, textWidth } from './text-width.ts'

let fixture: StoreFixture

beforeAll(async () => {
  fixture = await openFixture()
})
afterAll(() => fixture.close())

const table = async (sql: string, rowsMax?: number): Promise<string[]> => {
  const text = await queryTable(sql, { url: fixture.url }, { rowsMax, cellWidthMax: 20 })
  return text.replace(/in \d+\.\d{3} s/, 'in T').split('\n')
}

test('numbers to the right, the rest to the left, NULL and big numbers as they are', async () => {
  const sql = `SELECT number AS n, ['x', 'yyy'][number + 1] AS text, if(number = 0, NULL, 1.5) AS half,
    toUInt64(-1) AS big, [toString(number), NULL] AS list, nan AS f, true AS yes FROM numbers(2)`
  expect(await table(sql)).toEqual([
    'n  text  half                   big  list          f  yes',
    ['─', 4, 4, 20, 10, 3, 4].map((n) => (n === '─' ? n : '─'.repeat(Number(n)))).join('  '),
    "0  x     NULL  18446744073709551615  ['0',NULL]  nan  true",
    "1  yyy    1.5  18446744073709551615  ['1',NULL]  nan  true",
    '2 rows in T',
    '',
  ])
})

test('wide letters, joined emoji and combining marks keep the columns straight', async () => {
  const lines = await table(
    `SELECT arrayJoin(['a', '漢字', 'e\u0301', '\u{1f469}\u200d\u{1f680}', '\u{1f30a}']) AS t, 1 AS n`,
  )
  expect(new Set(lines.slice(0, 7).map((line) => textWidth(line)))).toEqual(new Set([7]))
})

test('nothing of a value steers the terminal', async () => {
  const sql = `SELECT 'a\\x1b[2J\\x07\\n\\t\\r\u202eb\u0085' AS \`na\\x1bme\``
  const lines = await table(sql)
  expect(lines[2]).toBe('a\\x1b[2J\\x07\\n\\t\\r\\…')
  expect(lines[0]).toBe('na\\x1bme')
  await expect(table("SELECT throwIf(1, 'x\\x1b[2Jy')")).rejects.toThrow('x\\x1b[2Jy')
})

test('rows are bounded, and said to be; a query without rows, and one with a format of its own', async () => {
  const lines = await table('SELECT number FROM numbers(1000000)', 3)
  expect(lines.slice(2)).toEqual([
    '     0',
    '     1',
    '     2',
    '3 rows in T, and more: add a LIMIT, or a FORMAT to get them all',
    '',
  ])
  expect(await table('SELECT number FROM numbers(3)', 3)).toContain('3 rows in T')
  expect(await table('SELECT 1 AS x WHERE 0')).toEqual(['x', '─', '0 rows in T', ''])
  expect(await table("SELECT 1, 'x' FORMAT CSV")).toEqual(['1,"x"', ''])
})

test('faults are one line each', async () => {
  await expect(table('SELECT nothing')).rejects.toThrow(/^Code: 47\. DB::Exception: [^\n]+$/)
  await expect(
    table('SELECT throwIf(number = 900000), repeat(toString(number), 9) FROM numbers(1000000)', 1e9),
  ).rejects.toThrow(/^the query failed after its first rows$/)
  await expect(queryTable('SELECT 1', { url: 'http://127.0.0.1:1' })).rejects.toThrow(
    /^nothing answers at http:\/\/127\.0\.0\.1:1 \(ECONNREFUSED\): is millrace running/,
  )
  const silent = createServer(() => {})
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(silent.address() as AddressInfo).port}`
  await expect(queryTable('SELECT 1', { url }, { timeoutMs: 50 })).rejects.toThrow(/no answer in time/)
  silent.closeAllConnections()
  silent.close()
})

test('cutting by width', () => {
  expect(cutToWidth('abc', 3)).toBe('abc')
  expect(cutToWidth('abcd', 3)).toBe('ab…')
  expect(cutToWidth('漢字字', 4)).toBe('漢…')
  expect(textWidth('')).toBe(0)
})

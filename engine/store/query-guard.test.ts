import { describe, expect, test } from 'vitest'
import { Prng } from '../../base/prng.ts'
import type { ClickHouseFault } from './errors.ts'
import { forbiddenTableFunctions, guardReadQuery, guardWriteQuery } from './query-guard.ts'
import { quoteName, quoteString, tokenizeSql } from './sql-tokens.ts'

const FORBIDDEN = forbiddenTableFunctions([
  'file',
  'url',
  'remote',
  's3',
  'numbers',
  'view',
  'merge',
  'eval',
  'format',
  'values',
])

function codeOf(work: () => unknown): number {
  try {
    work()
    return 0
  } catch (fault) {
    return (fault as ClickHouseFault).exceptionCode
  }
}

const readCode = (sql: string, placeholders = new Map<string, string>()): number =>
  codeOf(() => guardReadQuery(sql, FORBIDDEN, placeholders))

describe('tokens', () => {
  const values = (sql: string): string[] => tokenizeSql(sql).tokens.map((token) => token.value)

  test('quotes, escapes, numbers and signs', () => {
    expect(values(`SELECT 'a''b\\'c\\n', \`f\\x69le\`, "x""y"`)).toEqual([
      'SELECT',
      "a'b'c\n",
      ',',
      'file',
      ',',
      'x"y',
    ])
    expect(values('t.1 1e-5<.5 0x1F 1_000 x->y::Int8')).toEqual([
      't',
      '.1',
      '1e-5',
      '<',
      '.5',
      '0x1F',
      '1_000',
      'x',
      '->',
      'y',
      '::',
      'Int8',
    ])
    expect(values("'\\\\' 'file'")).toEqual(['\\', 'file'])
  })

  test('comments become blanks of the same size, and hide nothing', () => {
    const { text, tokens } = tokenizeSql("a -- 'x\nb /* ' \n file( */ c '--' '/*'")
    expect(text).toBe("a      \nb                 c '--' '/*'".replace('\n', ' '))
    expect(tokens.map((token) => token.value)).toEqual(['a', 'b', 'c', '--', '/*'])
  })

  for (const sql of [
    "SELECT 'open",
    'SELECT `open',
    'SELECT "open',
    'SELECT 1 /* open',
    'SELECT 1 /* a /* b */ c */',
    'SELECT 1 // 2',
    'SELECT 1 # 2',
    'SELECT $a$x$a$',
    'SELECT \u2018x\u2019',
    'SELECT \u00a01',
    'SELECT @@version',
    'SELECT 1\\G',
    'SELECT 1\0',
  ]) {
    test(`unreadable is refused: ${JSON.stringify(sql)}`, () => {
      expect(codeOf(() => tokenizeSql(sql))).toBe(62)
    })
  }

  test('quoting and reading are inverse, for any text', () => {
    const seed = 99
    const prng = new Prng(seed)
    const alphabet = ['\\', "'", '`', '"', '\0', '\n', 'x', '41', '\u00e9', '-', '*', '/']
    for (let round = 0; round < 2000; round++) {
      const text = Array.from({ length: prng.between(0, 12) }, () => alphabet[prng.between(0, 11)]).join('')
      expect(values(quoteString(text)), `seed ${seed} round ${round}`).toEqual([text])
      expect(values(quoteName(text)), `seed ${seed} round ${round}`).toEqual([text])
    }
  })
})

describe('where a query is cut to take its output elsewhere', () => {
  const cut = (sql: string): string[] => {
    const { text, format } = guardReadQuery(sql, FORBIDDEN)
    return [text, format ?? '-']
  }

  test('a format at the end', () => {
    expect(cut('SELECT 1')).toEqual(['SELECT 1', '-'])
    expect(cut('SELECT 1 FORMAT JSON;')).toEqual(['SELECT 1', 'JSON'])
    expect(cut('SELECT count(*) FROM t FORMAT CSV -- x')).toEqual(['SELECT count(*) FROM t', 'CSV'])
    expect(cut('SELECT * FORMAT CSV')).toEqual(['SELECT *', 'CSV'])
    expect(cut('(SELECT 1) UNION ALL (SELECT 2) FORMAT TSV')[1]).toBe('TSV')
    expect(cut('SHOW TABLES FORMAT JSON')[1]).toBe('JSON')
  })

  test('a name that is called format', () => {
    for (const sql of [
      'SELECT a FROM t ORDER BY format DESC',
      'SELECT 1 AS format FROM t',
      "SELECT format('{}', 1) AS x",
      "SELECT 'FORMAT CSV'",
      'SELECT (SELECT 1 FORMAT CSV)',
      'SELECT `a` FROM t -- FORMAT CSV',
    ]) {
      expect(cut(sql)[1], sql).toBe('-')
    }
  })
})

describe('what a reader may send', () => {
  for (const sql of [
    'SELECT 1',
    'select 1;',
    ' /* c */ with 1 as x select x',
    '(((select 1)))',
    'FROM numbers(3) SELECT number',
    'SHOW TABLES',
    'DESCRIBE samples',
    'EXPLAIN SELECT 1',
    'EXISTS TABLE samples',
    "SELECT 'file(''/etc/passwd'')', 'DROP TABLE x; SELECT', 'INTO OUTFILE'",
    'SELECT * FROM system.tables, system.parts_columns',
    'SELECT device, filename FROM samples',
    'SELECT count() FROM view(SELECT 1)',
    "SELECT {x:String}, {y:Array(String)} FROM samples WHERE device = 'system-1'",
    'SELECT settings, settings FROM (SELECT 1 AS settings) WHERE settings = 1',
    "SELECT name FROM system.settings s WHERE s.name = 'x'",
    "SELECT format('{}-{}', device, metric) FROM samples",
    'SELECT into, outfit FROM (SELECT 1 AS into, 2 AS outfit)',
  ]) {
    test(`taken: ${sql}`, () => expect(readCode(sql)).toBe(0))
  }

  for (const [sql, code] of [
    ['', 62],
    [';', 62],
    ['DROP TABLE samples', 164],
    ['/* SELECT */ DROP TABLE samples', 164],
    ['INSERT INTO samples VALUES (1)', 164],
    ['SET readonly = 0', 164],
    ['USE system', 164],
    ['KILL QUERY WHERE 1', 164],
    ['SYSTEM SHUTDOWN', 164],
    ['ATTACH TABLE x', 164],
    ['DETACH TABLE samples', 164],
    ['BACKUP TABLE samples TO File(1)', 164],
    ['(DROP TABLE samples)', 164],
    ['`SELECT` 1', 164],
    ['SELECT 1; DROP TABLE samples', 62],
    ['SELECT 1;;SELECT 2', 62],
    ["SELECT file('/etc/passwd')", 497],
    ["SELECT FILE /* x */ ('/etc/passwd')", 497],
    ["SELECT `file`('/etc/passwd')", 497],
    ['SELECT "f\\x69le"(\'/etc/passwd\')', 497],
    ["SELECT * APPLY(file) FROM (SELECT '/etc/passwd')", 497],
    ["SELECT arrayMap(file, ['/etc/passwd'])", 497],
    ["SELECT .1file('/etc/passwd')", 497],
    ["SELECT * FROM url\n('http://x')", 497],
    ["SELECT * FROM (SELECT * FROM s3('x'))", 497],
    ["WITH x AS (SELECT * FROM remote('h', system.one)) SELECT * FROM x", 497],
    ["SELECT 1 IN (SELECT * FROM `Url`('http://x'))", 497],
    ["SELECT * FROM view(SELECT * FROM eval('SELECT 1'))", 497],
    ["SELECT 1 INTO OUTFILE '/tmp/x'", 497],
    ["SELECT 1 INTO/**/OUTFILE '/tmp/x'", 497],
    ['SELECT * FROM system.disks', 497],
    ['SELECT * FROM `system` . `processes`', 497],
    ['SELECT * FROM SYSTEM.server_settings', 497],
    ['SELECT * FROM system.{t:Identifier}', 497],
    ['SHOW PROCESSLIST', 497],
    ['SHOW FULL PROCESSLIST', 497],
    ['SELECT 1 SETTINGS max_threads = 1', 164],
    ['SELECT 1 settings/**/readonly=0', 164],
    ['SELECT * FROM (SELECT 1 SETTINGS readonly = 0)', 164],
    ['SELECT 1 AS AS SETTINGS readonly = 0', 164],
    ['SELECT 1 SETTINGS `readonly` = 0', 164],
    ['SELECT 1 SETTINGS from = 0', 164],
    ['SELECT 1 SETTINGS force_primary_key', 164],
    ['SELECT t. SETTINGS readonly = 0', 164],
    ['SELECT 1 FORMAT CSV SETTINGS a = 1', 164],
    ["SELECT b FROM format(JSONEachRow, 'b String ALIAS 1', '{}')", 497],
    ["SELECT b FROM format('JSONEachRow', 'b String ALIAS 1', '{}')", 497],
    ["SELECT getServerSetting('path')", 497],
  ] as [string, number][]) {
    test(`refused with ${code}: ${JSON.stringify(sql)}`, () => expect(readCode(sql)).toBe(code))
  }

  test('a placeholder that becomes a name', () => {
    expect(readCode('SELECT * FROM {t:Identifier}', new Map([['t', 'samples']]))).toBe(0)
    expect(readCode('SELECT * FROM {d:Identifier}.disks', new Map([['d', 'system']]))).toBe(497)
    expect(readCode('SELECT * FROM { d : Identifier }.disks', new Map([['d', 'System']]))).toBe(497)
    expect(readCode('SELECT * FROM {t:Identifier}', new Map([['t', 'system.disks']]))).toBe(497)
    expect(readCode('SELECT {f:Identifier}', new Map([['f', 'file']]))).toBe(497)
  })
})

describe('what a writer may send', () => {
  const writeCode = (sql: string): number => codeOf(() => guardWriteQuery(sql, FORBIDDEN))

  test('changes within the database', () => {
    for (const sql of [
      'CREATE TABLE millrace.x (a Int8) ENGINE = MergeTree ORDER BY a',
      'INSERT INTO millrace.x VALUES (1), (2)',
      'INSERT INTO millrace.x (a, b) values (1, 2)',
      'INSERT INTO millrace.x SELECT 1',
      'ALTER TABLE millrace.x DELETE WHERE 1',
      'DROP TABLE millrace.x',
      'OPTIMIZE TABLE millrace.x FINAL',
    ]) {
      expect(writeCode(sql), sql).toBe(0)
    }
    expect(guardWriteQuery('DROP TABLE x -- y\n;', FORBIDDEN)).toBe('DROP TABLE x')
  })

  test('nothing that reaches files, networks or the process', () => {
    for (const sql of [
      'SYSTEM SHUTDOWN',
      "ATTACH TABLE x FROM '/tmp/x' (a Int8) ENGINE = Log",
      "INSERT INTO millrace.x FROM INFILE '/etc/passwd' FORMAT LineAsString",
      "INSERT INTO millrace.x SELECT file('/etc/passwd')",
      "INSERT INTO millrace.x VALUES (file('/etc/passwd'))",
      "INSERT INTO millrace.x SELECT b FROM values('b String ALIAS 1', 'x')",
      "INSERT INTO millrace.x SELECT b FROM y, values('b String ALIAS 1', 'x')",
      "INSERT INTO millrace.x SELECT b FROM y JOIN values('b String ALIAS 1', 'x') ON 1",
      "INSERT INTO millrace.x SELECT b FROM format(CSV, 'b String ALIAS 1', 'x')",
      "INSERT INTO FUNCTION url('http://x', 'CSV') SELECT 1",
      "CREATE TABLE millrace.x (a Int8) ENGINE = File('CSV')",
      "CREATE TABLE millrace.x (a Int8) ENGINE = URL('http://x')",
      'CREATE TABLE millrace.x (a Int8) ENGINE = MergeTree ORDER BY a SETTINGS disk = disk(type = s3)',
    ]) {
      expect(writeCode(sql), sql).toBe(497)
    }
    expect(writeCode('DROP TABLE x; DROP TABLE y')).toBe(62)
  })
})

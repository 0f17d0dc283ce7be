/** `millrace detect` as its user meets it: results, plots, and one line for whatever is wrong. */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { Prng } from '../../base/prng.ts'
import { detectFile } from '../detect/detect-file.ts'
import { runMillrace, temporaryDirectory } from '../engine-process.ts'

const cleanups: (() => unknown)[] = []

afterEach(() => {
  for (const cleanup of cleanups.splice(0).reverse()) cleanup()
})

function newDirectory(): string {
  const directory = temporaryDirectory()
  cleanups.push(directory.remove)
  return directory.path
}

/** Two days and a half of a reading every five minutes, with a spike and a gap. */
function writeSeries(path: string, time: (tsMs: number) => string = plainTime): void {
  const prng = new Prng(1)
  const lines = ['timestamp,value']
  for (let i = 0; i < 720; i++) {
    if (i >= 500 && i < 520) continue
    const value = 20 + prng.normal() + (i === 650 ? 50 : 0)
    lines.push(`${time(Date.UTC(2026, 2, 1) + i * 300_000)},${value.toFixed(3)}`)
  }
  writeFileSync(path, `${lines.join('\n')}\n`)
}

function plainTime(tsMs: number): string {
  return new Date(tsMs).toISOString().slice(0, 19).replace('T', ' ')
}

function rowsOf(path: string): string[][] {
  const lines = readFileSync(path, 'utf8').trimEnd().split('\n')
  return lines.map((line) => line.split(','))
}

/** One file through the operators, in this process. */
async function detectText(text: string, withGaps = false) {
  const directory = newDirectory()
  const path = join(directory, 'in.csv')
  const out = join(directory, 'out')
  mkdirSync(out)
  writeFileSync(path, text)
  const job = { path, directory: out, detector: 'adaptive', limits: {}, withGaps, plot: false }
  return { outcome: await detectFile(job), out }
}

test('a row for each reading, overdue rows with --with-gaps, a page with --plot', async () => {
  const directory = newDirectory()
  for (const name of ['a.csv', 'b.csv']) writeSeries(join(directory, name))
  const out = join(directory, 'deep/out')
  const files = ['a.csv', 'b.csv'].map((name) => join(directory, name))
  const outcome = await runMillrace(['detect', ...files, '--out', out, '--with-gaps', '--plot'])
  expect(outcome).toMatchObject({ code: 0, stderr: '' })
  expect(outcome.stdout.split('\n')[0]).toMatch(/a\.csv: 700 readings, \d alerts?, once overdue$/)
  expect(readdirSync(out).sort()).toEqual(['a.csv', 'a.html', 'b.csv', 'b.html'])
  expect(readFileSync(join(out, 'a.csv'))).toEqual(readFileSync(join(out, 'b.csv')))
  const [header, ...rows] = rowsOf(join(out, 'a.csv'))
  expect(header).toEqual(['timestamp', 'value', 'anomaly_score'])
  const given = rowsOf(files[0]).slice(1)
  expect(rows.filter(([, value]) => value !== '').map((row) => row.slice(0, 2))).toEqual(given)
  const overdue = rows.filter(([, value]) => value === '')
  expect(overdue).toEqual([['2026-03-02 17:47:30', '', '1']])
  const spike = rows.find(([time]) => time === plainTime(Date.UTC(2026, 2, 1) + 650 * 300_000))
  expect(Number(spike?.[2])).toBeGreaterThan(0.5)
  const page = readFileSync(join(out, 'a.html'), 'utf8')
  expect(page).toContain('<svg')
  expect(page).not.toMatch(/<script|(?:src|href)=|NaN|Infinity|undefined/)
})

test('the detector missing judges no reading and finds what is overdue', async () => {
  const directory = newDirectory()
  writeSeries(join(directory, 'a.csv'))
  const out = join(directory, 'out')
  const outcome = await runMillrace([
    'detect',
    join(directory, 'a.csv'),
    '--out',
    out,
    '--detector',
    'missing',
  ])
  expect(outcome).toMatchObject({ code: 0, stderr: '' })
  expect(outcome.stdout).toMatch(/a\.csv: 700 readings, 0 alerts, once overdue\n$/)
  const rows = rowsOf(join(out, 'a.csv')).slice(1)
  expect(rows.filter(([, , score]) => score !== '0')).toEqual([['2026-03-02 17:47:30', '', '1']])
})

test.each([
  ['ISO with a zone', (tsMs: number) => new Date(tsMs).toISOString(), '2026-03-02T17:47:30Z'],
  ['epoch seconds', (tsMs: number) => String(tsMs / 1000), String(Date.UTC(2026, 2, 2, 17, 47, 30) / 1000)],
  ['epoch milliseconds', (tsMs: number) => String(tsMs), String(Date.UTC(2026, 2, 2, 17, 47, 30))],
])('overdue rows are written as the file writes times: %s', async (_, time, expected) => {
  const directory = newDirectory()
  writeSeries(join(directory, 'x.csv'), time)
  const { outcome, out } = await detectText(readFileSync(join(directory, 'x.csv'), 'utf8'), true)
  expect(outcome).toMatchObject({ readings: 700, gaps: 1 })
  expect(rowsOf(join(out, 'in.csv')).find(([, value]) => value === '')?.[0]).toBe(expected)
})

describe('files as people keep them', () => {
  test('BOM, CRLF, quotes, further columns, blank lines, missing values, disorder', async () => {
    const text =
      '\ufeffname,Value,Timestamp\r\n"a, b",1.5,2026-01-01T00:00\r\n\r\nx,,2026-01-01T00:01\r\nx,NaN,2026-01-01T00:02\r\n' +
      'x,"2",2026-01-01T00:03\r\nx,3,2026-01-01T00:00\r\nx,-4e2,2026-01-01T00:03'
    const { outcome, out } = await detectText(text)
    expect(outcome).toMatchObject({ readings: 6, skipped: 3 })
    expect(outcome.fault).toBeUndefined()
    expect(rowsOf(join(out, 'in.csv')).map(([, value]) => value)).toEqual([
      'value',
      '1.5',
      '',
      'NaN',
      '2',
      '3',
      '-4e2',
    ])
  })

  test.each([
    ['', 'line 1: the file is empty'],
    ['time;value\n', 'line 1: the header must name the columns timestamp and value'],
    ['2026-01-01,5\n', 'line 1: the header must name the columns timestamp and value'],
    ['timestamp,value\n2026-01-01,5\n2026-13-01,5\n', 'line 3: "2026-13-01" is no time'],
    ['timestamp,value\n2026-01-01,5x\n', 'line 2: "5x" is no number'],
    ['timestamp,value\n\n2026-01-01\n', 'line 3: 1 fields, the header has 2'],
    [`timestamp,value\n${'9'.repeat(100_000)}`, 'a line is longer than 65536 characters'],
  ])('%j is refused: %s', async (text, fault) => {
    const { outcome, out } = await detectText(text)
    expect(outcome.fault).toBe(fault)
    expect(readdirSync(out)).toEqual([])
  })

  test('a header alone is a series without readings', async () => {
    const { outcome, out } = await detectText('timestamp,value\n')
    expect(outcome).toMatchObject({ readings: 0, episodes: 0 })
    expect(rowsOf(join(out, 'in.csv'))).toHaveLength(1)
  })
})

test('one bad file is one line and exit code 1; the others are done', async () => {
  const directory = newDirectory()
  writeSeries(join(directory, 'good.csv'))
  writeFileSync(join(directory, 'bad.csv'), 'timestamp,value\n2026-01-01,up\n')
  const files = ['bad.csv', 'good.csv', 'none.csv'].map((name) => join(directory, name))
  const outcome = await runMillrace(['detect', ...files, '--out', join(directory, 'out')])
  expect(outcome.code).toBe(1)
  const faults = outcome.stderr.trimEnd().split('\n')
  expect(faults).toHaveLength(2)
  expect(faults[0]).toMatch(/^millrace detect: .*bad\.csv: line 2: "up" is no number$/)
  expect(faults[1]).toMatch(/none\.csv: .*no such file/)
  expect(readdirSync(join(directory, 'out'))).toEqual(['good.csv'])
})

describe('wrong calls end with 2', () => {
  test.each([
    [['x.csv'], /needs --out DIR/],
    [['--out', 'o'], /takes at least one file/],
    [['x.csv', '--out', 'o', '--detector', 'magic'], /no detector "magic", but adaptive, hampel/],
    [['a/x.csv', 'b/x.csv', '--out', 'o'], /a\/x\.csv and b\/x\.csv would give the same result file/],
    [['o/x.csv', '--out', 'o'], /o\/x\.csv lies in --out itself/],
    [['x.csv', '--out', 'o', '--low', '3'], /--low is for --detector limits/],
    [['x.csv', '--out', 'o', '--detector', 'limits'], /needs --low, --high or both/],
    [['x.csv', '--out', 'o', '--detector', 'limits', '--low', 'x'], /--low takes a number, not "x"/],
    [['x.csv', '--out', 'o', '--detector', 'limits', '--low', '3', '--high', '2'], /no room/],
  ])('millrace detect %j', async (args, pattern) => {
    const outcome = await runMillrace(['detect', ...args])
    expect(outcome.stderr.trimEnd().split('\n')).toHaveLength(1)
    expect(outcome).toMatchObject({ code: 2, stdout: '' })
    expect(outcome.stderr).toMatch(pattern)
    expect(existsSync('o')).toBe(false)
  })
})

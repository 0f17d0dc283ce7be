import {
  appendFileSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import {
  LETTERS_COLUMNS,
  lettersBlock,
  openFixture,
  type StoreFixture,
  temporaryDirectory,
} from './store-fixture.ts'

/** The directory of a table of the fixture. */
async function tableDirectory(fixture: StoreFixture, table: string): Promise<string> {
  const sql = `SELECT data_paths[1] AS path FROM system.tables
    WHERE database = 'millrace' AND name = '${table}'`
  const [row] = await fixture.target.query<{ path: string }>(sql)
  return row.path.replace('/proc/self/cwd', fixture.directory)
}

/** Ends the store as it stands; what ClickHouse would still tidy up stays. */
async function kill(fixture: StoreFixture): Promise<void> {
  process.kill(fixture.store.pid, 'SIGKILL')
  await fixture.store.exited
  await fixture.target.close()
}

async function positions(fixture: StoreFixture): Promise<number[]> {
  const rows = await fixture.target.query<{ p: number }>(
    'SELECT toUInt32(position) AS p FROM dead_letters ORDER BY position',
  )
  return rows.map((row) => row.p)
}

const insert = (fixture: StoreFixture, position: number): Promise<void> =>
  fixture.target.insert('dead_letters', LETTERS_COLUMNS, lettersBlock([position]), `token-${position}`)

/** A store with three inserts, killed; then the power cut is staged in its files. */
async function threeInserts(directory: string): Promise<string> {
  const fixture = await openFixture({ directory })
  await fixture.target.command(
    'ALTER TABLE millrace.dead_letters MODIFY SETTING max_bytes_to_merge_at_max_space_in_pool = 1',
  )
  for (const position of [0, 1, 2]) await insert(fixture, position)
  const log = join(
    await tableDirectory(fixture, 'dead_letters'),
    'deduplication_logs',
    'deduplication_log_1.txt',
  )
  await kill(fixture)
  expect(readFileSync(log, 'utf8').split('\n').length).toBe(4)
  return log
}

test('a part whose record the power cut took is set aside, and its insert comes again once', async () => {
  const directory = temporaryDirectory()
  const log = await threeInserts(directory)
  const text = readFileSync(log, 'utf8')
  truncateSync(log, text.lastIndexOf('\n', text.length - 2) + 1)
  writeFileSync(join(directory, 'store-run', 'boot-id'), 'the boot before')
  const lines: string[] = []
  const fixture = await openFixture({ directory, log: (line) => lines.push(line) })
  expect(lines).toEqual([expect.stringMatching(/^set aside .*all_3_3_0: its insert was not confirmed/)])
  expect(await positions(fixture)).toEqual([0, 1])
  for (const position of [2, 1, 2]) await insert(fixture, position)
  expect(await positions(fixture)).toEqual([0, 1, 2])
  expect(readdirSync(join(log, '..', '..', 'detached'))).toEqual(['ignored_all_3_3_0'])
  await fixture.close()
})

test('after a mere kill nothing is set aside, even without a record', async () => {
  const directory = temporaryDirectory()
  const log = await threeInserts(directory)
  truncateSync(log, 0)
  const fixture = await openFixture({ directory })
  expect(await positions(fixture)).toEqual([0, 1, 2])
  await fixture.close()
})

test('a torn record is cut off, and tokens count before and after it, through later starts', async () => {
  const directory = temporaryDirectory()
  const log = await threeInserts(directory)
  const size = statSync(log).size
  for (const tail of ['1\tall_4_4_0', '\0\0\0\0', '1\tall_4_4_0\tx\0\n']) {
    appendFileSync(log, tail)
    const lines: string[] = []
    const fixture = await openFixture({ directory, log: (line) => lines.push(line) })
    expect(lines).toEqual([expect.stringMatching(/^cut a torn record off /)])
    expect(statSync(log).size).toBe(size)
    await insert(fixture, 2)
    await kill(fixture)
  }
  const fixture = await openFixture({ directory })
  await insert(fixture, 3)
  await kill(fixture)
  const last = await openFixture({ directory })
  for (const position of [0, 1, 2, 3]) await insert(last, position)
  expect(await positions(last)).toEqual([0, 1, 2, 3])
  await last.close()
  rmSync(directory, { recursive: true, force: true })
})

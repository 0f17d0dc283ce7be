/** Journals that an engine can't go on with: said in one line, with exit code 1, and never by a hang or a restart. */
import { closeSync, cpSync, mkdirSync, openSync, readdirSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { EngineProcess, runMillrace, temporaryDirectory } from './engine-process.ts'

/** A port of this machine where nobody listens: nothing leaves the journal. */
const NO_SERVER = ['--clickhouse', 'http://127.0.0.1:1']
const FREE = ['--mqtt', ':0', '--ws', ':0', '--http', ':0']

const { path, remove } = temporaryDirectory()
afterAll(remove)

/** Overwrites what tells a segment from any other file. */
function spoilHeader(file: string): void {
  const descriptor = openSync(file, 'r+')
  writeSync(descriptor, 'ruin', 0)
  closeSync(descriptor)
}

function putDirectory(file: string): void {
  rmSync(file)
  mkdirSync(file)
}

describe.each([
  ['two shards', ['--gateways', '2', '--shards', '2'], 1],
  ['one thread', ['--gateways', '0'], 0],
])('%s', (name, layout, shard) => {
  const data = join(path, name)

  /** Each start begins a new segment; nothing was confirmed, so the older ones stay. */
  beforeAll(async () => {
    for (let life = 0; life < 2; life++) {
      const engine = await EngineProcess.start(['--data', data, ...layout, ...NO_SERVER])
      const load = ['load', '--mqtt', engine.addresses.mqtt, '--messages', '200', '--json']
      expect((await runMillrace(load)).code).toBe(0)
      await engine.kill()
    }
  })

  function copyWith(change: (segment: string) => void): string {
    const copy = join(path, 'copy')
    rmSync(copy, { recursive: true, force: true })
    cpSync(data, copy, { recursive: true })
    const journal = join(copy, 'journal', String(shard))
    const [oldest, ...newer] = readdirSync(journal).filter((file) => file.endsWith('.journal'))
    expect(newer.length).toBeGreaterThan(0)
    change(join(journal, oldest))
    return copy
  }

  test.each([
    [
      'a segment without its header',
      spoilHeader,
      /can't be read: journal segment \d+.* has no valid header; /,
    ],
    ['a directory in place of a segment', putDirectory, /can't be opened: EISDIR/],
  ])('%s', async (_, change, pattern) => {
    const copy = copyWith(change)
    const args = ['start', '--data', copy, ...FREE, ...layout, ...NO_SERVER]
    const { code, stderr, stdout } = await runMillrace(args)
    expect(stdout).not.toContain('ready')
    const lines = stderr.trimEnd().split('\n')
    expect(lines.filter((line) => !line.includes('127.0.0.1:1'))).toEqual([expect.stringMatching(pattern)])
    expect(lines.at(-1)).toContain(join(copy, 'journal', String(shard)))
    expect(code).toBe(1)
  })
})

test('an engine that was ready is not started again from a journal that it can not read', async () => {
  const data = join(path, 'ready')
  const engine = await EngineProcess.start(['--data', data, '--shards', '1', ...NO_SERVER])
  onTestFinished(() => engine.kill())
  // What has no rows in ClickHouse yet is not given up.
  const load = ['load', '--mqtt', engine.addresses.mqtt, '--messages', '200', '--json']
  expect((await runMillrace(load)).code).toBe(0)
  spoilHeader(join(data, 'journal', '0', '0000000001.journal'))
  process.kill(engine.enginePid, 'SIGKILL')
  expect(await engine.ended).toBe(1)
  expect(engine.events.at(-1)).toMatchObject({ event: 'fault', code: 'JOURNAL_CORRUPT', isOver: false })
})

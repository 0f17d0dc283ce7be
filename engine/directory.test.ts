import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { DataDirectory } from './directory.ts'

const path = mkdtempSync(join(tmpdir(), 'millrace-directory-'))

afterEach(() => rmSync(path, { recursive: true, force: true }))

function start(): number {
  const directory = new DataDirectory(path)
  const count = directory.countStart()
  directory.close()
  return count
}

test('each start in a data directory has a number of its own, from 1 on, below 2^20', () => {
  expect([start(), start(), start()]).toEqual([1, 2, 3])
  writeFileSync(join(path, 'starts'), '01048574')
  expect([start(), start(), start()]).toEqual([1_048_575, 1, 2])
  expect(readFileSync(join(path, 'starts'), 'latin1')).toBe('00000002')
})

test('a number that can not be read is replaced by one that is hardly in use', () => {
  start()
  writeFileSync(join(path, 'starts'), 'what?')
  const count = start()
  expect(count).toBeGreaterThan(0)
  expect(count).toBeLessThan(2 ** 20)
  expect(start()).toBe(count + 1)
})

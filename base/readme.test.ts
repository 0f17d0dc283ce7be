/** The page that everybody sees first: short, readable in a terminal, and with links that lead somewhere. */
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'

const root = dirname(import.meta.dirname)
const text = readFileSync(join(root, 'README.md'), 'utf8')

test('fewer than 120 lines, of at most 120 columns', () => {
  const lines = text.trimEnd().split('\n')
  expect(lines.length).toBeLessThan(120)
  expect(lines.filter((line) => line.length > 120)).toEqual([])
})

test('links to files lead to files', () => {
  const targets = [...text.matchAll(/\]\(([^):]+)\)/g)].map(([, target]) => target)
  expect(targets.length).toBeGreaterThan(0)
  for (const target of targets) expect(existsSync(join(root, target)), target).toBe(true)
})

test('what devices do after a lost connection is told', () => {
  expect(text).toMatch(/After a lost connection .*\bDUP\b.*\bsession and `seq`/s)
})

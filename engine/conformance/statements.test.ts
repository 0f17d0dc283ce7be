/** The tables of normative statements have no gap: each is shown by a test beside this file, or says why there is nothing to show. */
import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { STATEMENTS_V4 } from './statements-v4.ts'
import { STATEMENTS_V5 } from './statements-v5.ts'

const directory = new URL('.', import.meta.url)
const sources = readdirSync(directory)
  .filter((file) => file.endsWith('.test.ts'))
  .map((file) => readFileSync(new URL(file, directory), 'utf8'))

/** Numbers behind `v4:` or `v5:` in the tests' sources. */
function shownBy(version: 'v4' | 'v5'): Set<string> {
  const found = sources.flatMap((source) => [...source.matchAll(new RegExp(`${version}: '([^']*)'`, 'g'))])
  return new Set(found.flatMap(([, numbers]) => numbers.split(' ')))
}

describe.each([
  ['v4', STATEMENTS_V4, 141],
  ['v5', STATEMENTS_V5, 251],
] as const)('%s', (version, table, count) => {
  const statements = table
    .trim()
    .split('\n')
    .map((line) => {
      const [, number, exempt, words] = /^(\S+) (client: |void: )?(.+)$/.exec(line) ?? []
      return { number, bindsServer: exempt === undefined, words }
    })
  const numbers = statements.map(({ number }) => number)
  const shown = shownBy(version)

  test('each statement is listed once', () => {
    expect(new Set(numbers).size).toBe(count)
    expect(numbers).toHaveLength(count)
  })

  test('each one that binds this server is shown', () => {
    const missing = statements.filter(({ number, bindsServer }) => bindsServer && !shown.has(number))
    expect(missing.map(({ number, words }) => `${number} ${words}`)).toEqual([])
  })

  test('tests name statements that there are', () => {
    expect([...shown].filter((number) => !numbers.includes(number))).toEqual([])
  })
})

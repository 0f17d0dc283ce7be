/** Patterns of metrics against regular expressions. */
import { expect, test } from 'vitest'
import { Prng } from '../../base/prng.ts'
import { MetricNames } from '../../codecs/metric-names.ts'
import { MetricFilter, takesAll } from './metric-filter.ts'

function filterOf(names: readonly string[], include: string[] | null, exclude: string[]): boolean[] {
  const metrics = new MetricNames()
  const filter = new MetricFilter(metrics, { include, exclude })
  return names.map((name) => {
    const bytes = new TextEncoder().encode(name)
    const metric = metrics.intern(bytes, 0, bytes.length)
    expect(filter.takes(metric)).toBe(filter.takes(metric))
    return filter.takes(metric)
  })
}

test('random patterns take what the regular expression takes', () => {
  for (let seed = 1; seed <= 2000; seed++) {
    const prng = new Prng(seed)
    const word = (letters: string, size: number) =>
      Array.from({ length: prng.between(1, size) }, () => letters[prng.between(0, letters.length - 1)]).join(
        '',
      )
    const patterns = [word('ab.*', 6), word('ab.**', 6)]
    const names = Array.from({ length: 300 }, () => word('ab.', 7))
    const expression = (pattern: string) =>
      new RegExp(`^${pattern.replaceAll('.', '\\.').replaceAll('*', '.*')}$`)
    const [include, exclude] = [expression(patterns[0]), expression(patterns[1])]
    const wanted = names.map((name) => include.test(name) && !exclude.test(name))
    expect(filterOf(names, [patterns[0]], [patterns[1]]), `seed ${seed} ${patterns}`).toEqual(wanted)
  }
})

test('a pattern of many stars and a long name end soon', () => {
  const pattern = `${'*a'.repeat(100)}b`
  expect(filterOf(['a'.repeat(256), `${'a'.repeat(255)}b`], [pattern], [])).toEqual([false, true])
})

test('what takes all is known', () => {
  expect(takesAll({ include: null, exclude: [] })).toBe(true)
  expect(takesAll({ include: ['a', '**'], exclude: [] })).toBe(true)
  expect(takesAll({ include: ['a*'], exclude: [] })).toBe(false)
  expect(takesAll({ include: null, exclude: ['a'] })).toBe(false)
})

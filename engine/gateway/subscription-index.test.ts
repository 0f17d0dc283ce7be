import { describe, expect, test } from 'vitest'
import { Prng } from '../../base/prng.ts'
import { SubscriptionIndex } from './subscription-index.ts'

/** Section 4.7 level by level, for one filter: the oracle. */
function isMatch(filter: string, topic: string): boolean {
  if (topic.startsWith('$') && (filter.startsWith('+') || filter.startsWith('#'))) return false
  const pattern = filter.split('/')
  const levels = topic.split('/')
  for (let i = 0; i < pattern.length; i++) {
    if (pattern[i] === '#') return true
    // `a/#` matches `a`: nothing is left of the topic, and only `#` of the filter.
    if (i === levels.length) return false
    if (pattern[i] !== '+' && pattern[i] !== levels[i]) return false
    if (i === levels.length - 1 && pattern[i + 1] === '#') return true
  }
  return pattern.length === levels.length
}

function matches(index: SubscriptionIndex<number>, topic: string): number[] {
  const into: number[] = []
  index.match(topic, into)
  return into.sort((a, b) => a - b)
}

function indexOf(...filters: string[]): SubscriptionIndex<number> {
  const index = new SubscriptionIndex<number>()
  for (const [i, filter] of filters.entries()) expect(index.add(filter, i)).toBe(true)
  return index
}

const LEVELS = ['a', 'b', '', '$x', 'ab']

function randomTopic(prng: Prng): string {
  const levels = Array.from({ length: prng.between(1, 4) }, () => LEVELS[prng.between(0, LEVELS.length - 1)])
  return levels.join('/') || '/'
}

function randomFilter(prng: Prng): string {
  const levels = Array.from({ length: prng.between(1, 4) }, () =>
    prng.unit() < 0.35 ? '+' : LEVELS[prng.between(0, LEVELS.length - 1)],
  )
  if (prng.unit() < 0.25) levels[levels.length - 1] = '#'
  return levels.join('/') || '/'
}

// The non-normative examples of sections 4.7.1 and 4.7.2.
test.each<[string, string[], string[]]>([
  [
    'sport/tennis/player1/#',
    ['sport/tennis/player1', 'sport/tennis/player1/ranking', 'sport/tennis/player1/score/wimbledon'],
    ['sport/tennis', 'sport/tennis/player10', 'sport/tennis/player2'],
  ],
  ['sport/#', ['sport', 'sport/', 'sport/a/b'], ['sports', '/sport']],
  ['#', ['a', '/', 'a/b/c'], ['$SYS', '$SYS/a']],
  [
    'sport/tennis/+',
    ['sport/tennis/player1', 'sport/tennis/'],
    ['sport/tennis/player1/ranking', 'sport/tennis'],
  ],
  ['sport/+', ['sport/'], ['sport']],
  ['+/+', ['/finance'], ['finance', '$SYS/a']],
  ['/+', ['/finance'], ['finance']],
  ['+', ['finance', 'a'], ['/finance', '$SYS']],
  ['$SYS/#', ['$SYS', '$SYS/a', '$SYS/a/b'], ['SYS/a']],
  ['$SYS/monitor/+', ['$SYS/monitor/Clients'], ['$SYS/monitor']],
  ['+/monitor/Clients', ['a/monitor/Clients'], ['$SYS/monitor/Clients']],
  ['a/+/#', ['a/b', 'a/$b', 'a//c'], ['a']],
])('%s', (filter, yes, no) => {
  const index = indexOf(filter)
  for (const topic of yes) expect(matches(index, topic), topic).toEqual([0])
  for (const topic of no) expect(matches(index, topic), topic).toEqual([])
})

test('each matching subscription comes once, overlaps of one subscriber too', () => {
  const index = new SubscriptionIndex<string>()
  index.add('a/+', 'one')
  index.add('a/#', 'one')
  index.add('a/b', 'two')
  index.add('a/b', 'three')
  const into: string[] = ['kept']
  index.match('a/b', into)
  expect(into[0]).toBe('kept')
  expect(into.slice(1).sort()).toEqual(['one', 'one', 'three', 'two'])
})

test('random adding, removing and matching against the oracle', () => {
  for (let seed = 1; seed <= 40; seed++) {
    const prng = new Prng(seed)
    const index = new SubscriptionIndex<number>()
    const held = new Map<string, { filter: string; subscriber: number }>()
    for (let step = 0; step < 300; step++) {
      const filter = randomFilter(prng)
      const subscriber = prng.between(0, 5)
      const key = `${filter} ${subscriber}`
      const { version } = index
      const isAdding = prng.unit() < 0.6
      if (isAdding) {
        expect(index.add(filter, subscriber)).toBe(true)
      } else {
        expect(index.remove(filter, subscriber), `seed ${seed}`).toBe(held.has(key))
      }
      expect(index.version !== version, `seed ${seed}`).toBe(isAdding !== held.has(key))
      if (isAdding) held.set(key, { filter, subscriber })
      else held.delete(key)
      expect(index.count).toBe(held.size)
      const topic = randomTopic(prng)
      const expected = [...held.values()].filter((pair) => isMatch(pair.filter, topic))
      const subscribers = expected.map((pair) => pair.subscriber).sort((a, b) => a - b)
      expect(matches(index, topic), `seed ${seed}, step ${step}, ${topic}`).toEqual(subscribers)
    }
    for (const { filter, subscriber } of held.values()) expect(index.remove(filter, subscriber)).toBe(true)
    // Empty again: no node is left behind.
    expect(index.count).toBe(0)
    expect(index.nodeCount).toBe(0)
  }
})

describe('bounds', () => {
  test('the count: a pair that is there already needs no room', () => {
    const index = new SubscriptionIndex<number>({ countMax: 2, depthMax: 8 })
    expect(index.add('a', 1)).toBe(true)
    expect(index.add('b/c', 1)).toBe(true)
    expect(index.add('b/d', 1)).toBe(false)
    expect(index.add('a', 2)).toBe(false)
    expect(index.add('a', 1)).toBe(true)
    expect(matches(index, 'b/d')).toEqual([])
    expect(index.remove('a', 1)).toBe(true)
    expect(index.add('b/d', 1)).toBe(true)
    expect(index.nodeCount).toBe(3)
  })

  test('the depth: of filters, not of topics', () => {
    const index = new SubscriptionIndex<number>({ countMax: 9, depthMax: 3 })
    expect(index.add('a/b/c', 1)).toBe(true)
    expect(index.add('a/b/#', 2)).toBe(true)
    expect(index.add('a/b/c/d', 3)).toBe(false)
    expect(index.add('//'.repeat(30_000), 3)).toBe(false)
    expect(index.remove('a/b/c/d', 3)).toBe(false)
    expect(matches(index, `a/b${'/c'.repeat(30_000)}`)).toEqual([2])
  })

  test('the nodes, so that few long filters cannot take the memory of many', () => {
    const index = new SubscriptionIndex<number>({ nodeCountMax: 10 })
    expect(index.add('a/b/c/d/e/f/g/h', 1)).toBe(true)
    expect(index.add('x/b/c', 1)).toBe(false)
    expect(index.add('x/y', 1)).toBe(true)
    expect(index.nodeCount).toBe(10)
    expect(index.remove('a/b/c/d/e/f/g/h', 1)).toBe(true)
    expect(index.nodeCount).toBe(2)
  })

  test('a topic of many levels against filters of many wildcards visits each node once', () => {
    const index = new SubscriptionIndex<number>()
    for (let mask = 0; mask < 1024; mask++) {
      index.add(Array.from({ length: 10 }, (_, i) => ((mask >> i) & 1 ? '+' : 'a')).join('/'), mask)
    }
    expect(matches(index, 'a/a/a/a/a/a/a/a/a/a')).toHaveLength(1024)
    expect(matches(index, `a${'/a'.repeat(32_000)}`)).toHaveLength(0)
  })
})

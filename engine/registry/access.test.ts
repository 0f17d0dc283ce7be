/** Rules against a brute-force oracle: every topic over a small alphabet, and filters as the specification defines them. */
import { describe, expect, test } from 'vitest'
import { Prng } from '../../base/prng.ts'
import { Access, Role } from './access.ts'
import { bindRule, coversFilter, matchesTopic, parseRule, type Subject } from './access-rule.ts'

const NOBODY: Subject = { device: null, client: 'c', groups: [], members: [] }

function access(rules: string[], subject: Partial<Subject> = {}): Access {
  return new Access(new Role({ publish: rules, subscribe: rules }), { ...NOBODY, ...subject })
}

function mayPublish(of: Access, topic: string): boolean {
  const bytes = Buffer.from(`xx${topic}yy`)
  return of.mayPublish(bytes, 2, bytes.length - 2)
}

/** Section 4.7 of MQTT 5.0, by recursion over levels. */
function isMatch(filter: string[], topic: string[], isFirst = true): boolean {
  const [level, ...rest] = filter
  if (isFirst && topic[0].startsWith('$') && (level === '#' || level === '+')) return false
  if (level === '#') return true
  if (topic.length === 0) return filter.length === 0
  if (filter.length === 0 || (level !== '+' && level !== topic[0])) return false
  if (topic.length === 1 && rest.length === 1 && rest[0] === '#') return true
  return isMatch(rest, topic.slice(1), false)
}

/** All topics of up to five levels: deeper and stranger ones than any filter below names. */
function topics(): string[][] {
  const levels = ['a', 'b', '', 'other']
  let longest: string[][] = [...levels, '$SYS'].map((level) => [level])
  const all = [...longest]
  for (let depth = 2; depth <= 5; depth++) {
    longest = longest.flatMap((topic) => levels.map((level) => [...topic, level]))
    all.push(...longest)
  }
  return all
}

function pick<T>(prng: Prng, choices: readonly T[]): T {
  return choices[prng.between(0, choices.length - 1)]
}

function randomFilter(prng: Prng): string {
  const levels = Array.from({ length: prng.between(1, 3) }, () => pick(prng, ['a', 'b', '', '+', '+']))
  if (prng.between(0, 2) === 0) levels.push('#')
  if (prng.between(0, 9) === 0) levels[0] = '$SYS'
  return levels.join('/') || '+'
}

test('random filters and rules agree with all topics there are', () => {
  const seed = 20_261_128
  const prng = new Prng(seed)
  const all = topics()
  let covered = 0
  for (let round = 0; round < 1000; round++) {
    const [ruleText, filter] = [randomFilter(prng), randomFilter(prng)]
    const [rule] = bindRule(parseRule(ruleText) ?? [], NOBODY)
    const about = `seed ${seed} round ${round}: rule ${ruleText}, filter ${filter}`
    const taken = all.filter((topic) => isMatch(filter.split('/'), topic))
    const isCovered = taken.every((topic) => isMatch(ruleText.split('/'), topic))
    expect(`${about}: ${coversFilter(rule, filter)}`).toBe(`${about}: ${isCovered}`)
    if (isCovered) covered++
    const topic = pick(prng, all)
    const bytes = Buffer.from(topic.join('/'))
    const matched = matchesTopic(rule, bytes, 0, bytes.length)
    expect(`${about} ${topic.join('/')}: ${matched}`).toBe(
      `${about} ${topic.join('/')}: ${isMatch(ruleText.split('/'), topic)}`,
    )
  }
  expect(covered).toBeGreaterThan(100)
})

describe('placeholders', () => {
  test('{device} is the name, and nobody without one has it', () => {
    const pump = access(['devices/{device}/#'], { device: 'pump' })
    for (const topic of ['devices/pump/telemetry', 'devices/pump/a/b', 'devices/pump'])
      expect(mayPublish(pump, topic)).toBe(true)
    for (const topic of ['devices/pump-7/telemetry', 'devices/pum', 'devices', 'x/devices/pump/t'])
      expect(mayPublish(pump, topic)).toBe(false)
    expect(mayPublish(access(['devices/{device}/#']), 'devices//x')).toBe(false)
  })

  test.each(['+', '#', 'a/b', 'a/#', '+/x', ''])(
    'a client that calls itself %j gets no more by that',
    (client) => {
      const of = access(['c/{client}/x', 'c/{client}'], { client })
      for (const topic of ['c/a/x', 'c/b/x', 'c/a/b/x', 'c/a', 'c/a/b/c'])
        expect(mayPublish(of, topic)).toBe(false)
      for (const filter of ['c/+/x', 'c/#', 'c/a/#', 'c/a/x', '#'])
        expect(of.maySubscribe(filter)).toBe(false)
    },
  )

  test('a plain {client} is its level', () => {
    const of = access(['c/{client}/x'], { client: 'me' })
    expect(mayPublish(of, 'c/me/x')).toBe(true)
    expect(of.maySubscribe('c/me/x')).toBe(true)
    expect(of.maySubscribe('c/+/x')).toBe(false)
  })

  test('{group} is each of the groups', () => {
    const of = access(['{group}/+/set', 'x/{group}'], { groups: ['hall', 'west'] })
    expect(mayPublish(of, 'west/1/set')).toBe(true)
    expect(of.maySubscribe('hall/+/set')).toBe(true)
    expect(of.maySubscribe('+/+/set')).toBe(false)
    expect(mayPublish(of, 'x/east')).toBe(false)
  })

  test('{member} is whoever is in one of the groups at the time', () => {
    const hall = new Set(['a', 'ü'])
    const of = access(['devices/{member}/#'], { members: [new Set(['b']), hall] })
    for (const name of ['a', 'b', 'ü']) expect(mayPublish(of, `devices/${name}/t`)).toBe(true)
    expect(mayPublish(of, 'devices/c/t')).toBe(false)
    expect(of.maySubscribe('devices/a/#')).toBe(true)
    expect(of.maySubscribe('devices/+/cmd')).toBe(false)
    hall.add('c')
    hall.delete('a')
    expect(mayPublish(of, 'devices/c/t')).toBe(true)
    expect(mayPublish(of, 'devices/a/t')).toBe(false)
  })
})

test('a shared subscription is judged by its filter', () => {
  const of = access(['devices/{device}/#'], { device: 'a' })
  expect(of.maySubscribe('$share/g/devices/a/+')).toBe(true)
  expect(of.maySubscribe('$share/g/devices/+/x')).toBe(false)
  expect(of.maySubscribe('$share/g/#')).toBe(false)
})

test('topics of the server are only for who has them named', () => {
  const all = access(['#'])
  expect(all.maySubscribe('$SYS/#')).toBe(false)
  expect(all.maySubscribe('#')).toBe(true)
  expect(access(['$SYS/#']).maySubscribe('$SYS/broker/+')).toBe(true)
  expect(access(['$SYS/#']).maySubscribe('$SYS')).toBe(true)
})

test('without rules nothing is allowed', () => {
  expect(mayPublish(access([]), 'a')).toBe(false)
  expect(access([]).maySubscribe('a')).toBe(false)
})

test.each(['', 'a/#/b', 'a#', 'a+/b', '{device', 'x{device}', '{user}/a', '$share/g/a', 'a\0b'])(
  '%j is no rule',
  (text) => {
    expect(parseRule(text)).toBeNull()
  },
)

import { expect, test } from 'vitest'
import { hashBytes } from '../base/hash.ts'
import { Prng } from '../base/prng.ts'
import { MetricNames } from './metric-names.ts'

const encoder = new TextEncoder()

function intern(names: MetricNames, text: string): number {
  const bytes = encoder.encode(text)
  return names.intern(bytes, 0, bytes.length)
}

test('a name keeps the index it got first', () => {
  const names = new MetricNames()
  expect([intern(names, 'temp'), intern(names, 'hum'), intern(names, 'temp')]).toEqual([0, 1, 0])
  expect(names.count).toBe(2)
  expect(names.text(1)).toBe('hum')
  expect(names.bytes(0)).toEqual(encoder.encode('temp'))
})

test('only the range counts, and the name survives its buffer', () => {
  const names = new MetricNames()
  const buffer = encoder.encode('xxtempyy')
  expect(names.intern(buffer, 2, 6)).toBe(0)
  buffer.fill(0)
  expect(intern(names, 'temp')).toBe(0)
  expect(names.text(0)).toBe('temp')
})

test('empty and oversized names are refused, 256 bytes are not', () => {
  const names = new MetricNames()
  const bytes = new Uint8Array(400).fill(0x61)
  expect(names.intern(bytes, 5, 5)).toBe(-1)
  expect(names.intern(bytes, 6, 5)).toBe(-1)
  expect(names.intern(bytes, 0, 257)).toBe(-1)
  expect(names.intern(bytes, 0, 256)).toBe(0)
  expect(names.intern(bytes, 0, 255)).toBe(1)
  expect(names.count).toBe(2)
})

test('at its bound it refuses new names and still finds the old ones', () => {
  const names = new MetricNames(3)
  expect(['a', 'b', 'c', 'd', 'b', 'e', 'a'].map((name) => intern(names, name))).toEqual([
    0, 1, 2, -1, 1, -1, 0,
  ])
  expect(names.count).toBe(3)
})

test('grows far beyond its first table; a Map agrees', () => {
  const seed = 11
  const prng = new Prng(seed)
  const names = new MetricNames()
  const expected = new Map<string, number>()
  for (let i = 0; i < 100_000; i++) {
    const name = `${'é'.repeat(prng.between(0, 3))}metric.${prng.between(0, 10_000)}`
    if (!expected.has(name)) expected.set(name, expected.size)
    if (intern(names, name) !== expected.get(name)) expect.fail(`seed ${seed}, step ${i}: ${name}`)
  }
  expect(names.count).toBe(expected.size)
  for (const [name, index] of expected) if (names.text(index) !== name) expect.fail(`text of ${index}`)
})

test('names of equal hash stay apart', () => {
  const nameOfHash = new Map<number, string>()
  const pairs: [string, string][] = []
  for (let i = 0; i < 300_000; i++) {
    const name = `metric-${i}`
    const bytes = encoder.encode(name)
    const hash = hashBytes(bytes, 0, bytes.length)
    const other = nameOfHash.get(hash)
    if (other !== undefined) pairs.push([other, name])
    nameOfHash.set(hash, name)
  }
  // About ten, by the birthday bound: n^2 / 2^33.
  expect(pairs.length).toBeGreaterThan(0)
  const names = new MetricNames()
  expect(pairs.flat().map((name) => intern(names, name))).toEqual(pairs.flat().map((_, i) => i))
  expect(pairs.flat().map((name) => intern(names, name))).toEqual(pairs.flat().map((_, i) => i))
})

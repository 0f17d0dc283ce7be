import { encode } from '@msgpack/msgpack'
import { describe, expect, test } from 'vitest'
import { Prng } from '../base/prng.ts'
import { ReadingColumns } from './columns.ts'
import { MetricNames } from './metric-names.ts'
import { PayloadError, PayloadScanner, payloadErrorText } from './payload.ts'
import { PoisonedScanner, type Reading } from './payload-oracle.ts'

const json = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value))
const ENCODERS: [string, (value: unknown) => Uint8Array][] = [
  ['JSON', json],
  ['MessagePack', (value) => encode(value)],
]
const TS = 1_726_000_000_123

describe.each(ENCODERS)('%s', (_, bytesOf) => {
  const metrics = (readings: Reading[]): string[] => readings.map(({ name }) => name)

  test('an object, its time, its names', () => {
    const { result, readings } = new PoisonedScanner().scan(
      bytesOf({ a: 1.5, ts: TS, b: { c: true, d: ['x', null, -2] }, e: null }),
    )
    expect(result).toBe(4)
    expect(readings).toEqual([
      { name: 'a', tsMs: TS, value: 1.5 },
      { name: 'b.c', tsMs: TS, value: 1 },
      { name: 'b.d.0', tsMs: TS, value: 'x' },
      { name: 'b.d.2', tsMs: TS, value: -2 },
    ])
  })

  test('objects of an array have times of their own', () => {
    const { readings } = new PoisonedScanner().scan(
      bytesOf([{ ts: TS, a: 1 }, { a: 2 }, {}, { t: TS + 1, a: 3 }]),
    )
    expect(readings.map(({ tsMs }) => tsMs)).toEqual([TS, Number.NaN, TS + 1])
  })

  test('a shape is known from the second payload on, and its rows are its metrics', () => {
    const scanner = new PoisonedScanner()
    const make = (a: unknown) => bytesOf({ ts: TS, a, b: { c: 2.5 } })
    expect(scanner.scan(make(1)).shape).toBe(-1)
    const { shape } = scanner.scan(make(2))
    expect(shape).toBe(0)
    for (const value of [3, -0.25, 1e300, true, 'text', '', 'größe', TS, 123_456_789_012, 0.1 + 0.2]) {
      const got = scanner.scan(make(value), shape)
      expect(got.shape).toBe(shape)
      expect(got.repeatedShape).toBe(shape)
      expect(metrics(got.readings)).toEqual(['a', 'b.c'])
      expect(got.readings[0].value).toBe(value === true ? 1 : value)
    }
    expect([...scanner.scanner.shapeMetrics(shape)].map((index) => scanner.names.text(index))).toEqual([
      'a',
      'b.c',
    ])
    expect(scanner.scan(make(null), shape).shape).toBe(-1)
    const other = scanner.scan(make(null), shape)
    expect(other.shape).toBe(1)
    expect(metrics(other.readings)).toEqual(['b.c'])
  })

  test('any hint will do', () => {
    const scanner = new PoisonedScanner()
    const payloads = [{ a: 1 }, { b: 1, a: 2 }, { a: 1, b: 2 }, { ts: TS, a: 1 }].map(bytesOf)
    const shapes = payloads.map((payload) => {
      scanner.scan(payload)
      return scanner.scan(payload).shape
    })
    expect(new Set(shapes).size).toBe(4)
    for (const hint of [-1, 0, 1, 2, 3, 4, 4096, 2 ** 31 - 1]) {
      payloads.forEach((payload, index) => {
        expect(scanner.scan(payload, hint).shape).toBe(shapes[index])
      })
    }
  })

  test('two layouts by turns keep their shapes', () => {
    const scanner = new PoisonedScanner()
    const payloads = [bytesOf({ a: 1, b: 2 }), bytesOf({ volt: 230.5 })]
    let hint = -1
    const shapes: number[] = []
    for (let round = 0; round < 20; round++) {
      hint = scanner.scan(payloads[round % 2], hint).shape
      shapes.push(hint)
    }
    expect(shapes.slice(2)).toEqual(Array.from({ length: 18 }, (_, index) => index % 2))
  })

  test('the shape of an array is that of its one object; repeatedShape that of all', () => {
    const scanner = new PoisonedScanner()
    const one = { ts: TS, a: 1 }
    scanner.scan(bytesOf(one))
    const { shape } = scanner.scan(bytesOf(one))
    const scan = (value: unknown) => {
      const { shape: single, repeatedShape } = scanner.scan(bytesOf(value), shape)
      return [single, repeatedShape]
    }
    expect(scan([one])).toEqual([shape, shape])
    expect(scan([one, one, one])).toEqual([-1, shape])
    expect(scan([one, { b: 1 }])).toEqual([-1, -1])
    expect(scan([])).toEqual([-1, -1])
    expect(scan([{}])).toEqual([-1, -1])
  })

  test('an error appends nothing, whatever came before it', () => {
    const names = new MetricNames()
    const scanner = new PayloadScanner(names)
    const columns = new ReadingColumns(1)
    const bad = bytesOf([
      { a: 'text', b: 1 },
      { a: 'more', b: 2 },
      { ts: 'never', a: 'text', b: 1 },
    ])
    const good = bytesOf({ a: 'kept', b: 1 })
    for (let round = 0; round < 4; round++) {
      expect(scanner.scan(good, 0, good.length, columns, 0)).toBe(2)
      const { count, textSizeBytes } = columns
      expect(scanner.scan(bad, 0, bad.length, columns, 0)).toBe(PayloadError.BAD_TIME)
      expect(scanner.scan(good, 0, good.length - 1, columns, 0)).toBe(PayloadError.TRUNCATED)
      expect([columns.count, columns.textSizeBytes]).toEqual([count, textSizeBytes])
      expect([scanner.shape, scanner.repeatedShape]).toEqual([-1, -1])
    }
    expect(new TextDecoder().decode(columns.text.slice(0, columns.textSizeBytes))).toBe('kept'.repeat(4))
  })

  test('a shape that fits only halfway leaves no text behind', () => {
    const scanner = new PoisonedScanner()
    for (let round = 0; round < 2; round++) scanner.scan(bytesOf({ a: 'text', b: 1 }))
    for (const payload of [{ a: 'text', b: null }, [{ a: 'text', b: null }]]) {
      expect(scanner.scan(bytesOf(payload)).result).toBe(1)
      expect(scanner.columns.textSizeBytes).toBe(4)
    }
  })

  test('names and keys are bounded', () => {
    const scanner = new PoisonedScanner(new MetricNames(2))
    expect(scanner.scan(bytesOf({ a: 1, b: 1 })).result).toBe(2)
    expect(scanner.scan(bytesOf({ a: 1, c: 1 })).result).toBe(PayloadError.NAMES_FULL)
    expect(scanner.scan(bytesOf({ a: 1, c: null })).result).toBe(1)
    expect(scanner.scan(bytesOf({ ts: TS, t: 1 })).result).toBe(PayloadError.NAMES_FULL)
    expect(scanner.scan(bytesOf({ ts: TS, a: 1 })).result).toBe(1)
    const keys = (count: number) =>
      bytesOf(Object.fromEntries(Array.from({ length: count }, (_, i) => [`k${i}`, null])))
    expect(scanner.scan(keys(65_536)).result).toBe(0)
    expect(scanner.scan(keys(65_537)).result).toBe(PayloadError.TOO_MANY_KEYS)
  })

  test('wide objects and long arrays are scanned, without a shape', () => {
    const scanner = new PoisonedScanner()
    const wide = Object.fromEntries(Array.from({ length: 3000 }, (_, index) => [`k${index}`, index]))
    for (let round = 0; round < 3; round++) {
      const got = scanner.scan(bytesOf(wide))
      expect([got.result, got.shape]).toEqual([3000, -1])
      expect(got.readings.every(({ value }, index) => value === index)).toBe(true)
    }
    const long = Array.from({ length: 3000 }, (_, index) => index)
    expect(scanner.scan(bytesOf({ long })).readings.at(-1)).toEqual({
      name: 'long.2999',
      tsMs: Number.NaN,
      value: 2999,
    })
  })

  test('payloads right up to the end of a buffer, and in one of their own', () => {
    const names = new MetricNames()
    const scanner = new PayloadScanner(names)
    const columns = new ReadingColumns()
    const prng = new Prng(71)
    let hint = -1
    for (let round = 0; round < 300; round++) {
      const value = prng.between(0, 10 ** prng.between(0, 9))
      const payload = bytesOf({ ts: TS, a: value, b: 'x'.repeat(prng.between(0, 5)) })
      const room = prng.between(0, 40)
      const bytes = new Uint8Array(7 + payload.length + room)
      bytes.set(payload, 7)
      columns.clear()
      expect(scanner.scan(bytes, 7, 7 + payload.length, columns, hint)).toBe(2)
      expect([columns.value[0], columns.tsMs[1], columns.textSize[0]]).toEqual([value, TS, -1])
      hint = scanner.shape
      expect(hint).toBe(round === 0 ? -1 : 0)
    }
  })
})

test('shapes of the two codecs do not collide', () => {
  const scanner = new PoisonedScanner()
  const shapes = ENCODERS.map(([, bytesOf]) => {
    scanner.scan(bytesOf({ a: 1 }))
    return scanner.scan(bytesOf({ a: 1 })).shape
  })
  expect(shapes).toEqual([0, 1])
  for (const hint of shapes) {
    expect(ENCODERS.map(([, bytesOf]) => scanner.scan(bytesOf({ a: 1 }), hint).shape)).toEqual(shapes)
  }
})

test('what is neither JSON nor MessagePack is malformed, and nothing throws', () => {
  const scanner = new PoisonedScanner()
  for (let byte = 0; byte < 256; byte++) {
    for (const rest of [[], [0], [0x61, 0x3a]]) {
      expect(scanner.scan(Uint8Array.from([byte, ...rest])).result).toBeLessThanOrEqual(0)
    }
  }
  expect(scanner.scan(Uint8Array.from([0xc0])).result).toBe(PayloadError.MALFORMED)
})

test('a payload above 16 MiB is refused', () => {
  const bytes = new Uint8Array(16 * 1024 * 1024 + 100).fill(0x20)
  const scanner = new PayloadScanner(new MetricNames())
  expect(scanner.scan(bytes, 0, 16 * 1024 * 1024 + 1, new ReadingColumns(), -1)).toBe(PayloadError.TOO_LARGE)
  expect(scanner.scan(bytes, 0, 16 * 1024 * 1024, new ReadingColumns(), -1)).toBe(PayloadError.EMPTY)
})

test('every error has a text of its own', () => {
  const texts = Object.values(PayloadError).map((code) => payloadErrorText(code))
  expect(new Set(texts).size).toBe(texts.length)
  for (const text of texts) expect(text.length).toBeLessThan(100)
  expect(payloadErrorText(-99)).toBe('payload error -99')
})

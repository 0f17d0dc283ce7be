import { decode, encode } from '@msgpack/msgpack'
import { Packr } from 'msgpackr'
import { describe, expect, test } from 'vitest'
import { Prng } from '../../base/prng.ts'
import { PayloadError } from '../payload.ts'
import {
  linesOf,
  mutated,
  PoisonedScanner,
  type Reading,
  randomObject,
  readingsOf,
} from '../payload-oracle.ts'

const packr = new Packr({ useRecords: false, encodeUndefinedAsNil: true })
const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'))

/** Lines without keys that a decoder treats as special. */
function plain(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value !== 'object' || value === null)
    return typeof value === 'string' ? value.toWellFormed() : value
  const entries = Object.entries(value).filter(([key]) => key !== '__proto__')
  return Object.fromEntries(entries.map(([key, item]) => [key.toWellFormed(), plain(item)]))
}

function randomPayload(prng: Prng): unknown {
  if (prng.between(0, 3) > 0) return plain(randomObject(prng))
  return Array.from({ length: prng.between(0, 20) }, () => plain(randomObject(prng)))
}

describe('random documents, encoded by both oracles', () => {
  test.each([41, 42, 43])('seed %i', (seed) => {
    const prng = new Prng(seed)
    const learned = new PoisonedScanner()
    let hint = -1
    for (let round = 0; round < 2000; round++) {
      const payload = randomPayload(prng)
      const readings = readingsOf(payload)
      const want = readings && linesOf(readings)
      for (const bytes of [
        encode(payload),
        Uint8Array.from(packr.pack(payload)),
        encode(payload),
        encode(payload),
      ]) {
        const note = `seed ${seed} round ${round}: ${Buffer.from(bytes).toString('hex')}`
        const got = learned.scan(bytes, hint)
        expect(got.result >= 0 ? linesOf(got.readings) : undefined, note).toEqual(want)
        if (got.shape >= 0) {
          expect(Array.from(learned.columns.metric.slice(0, learned.columns.count)), note).toEqual(
            Array.from(learned.scanner.shapeMetrics(got.shape)),
          )
        }
        hint = got.repeatedShape
      }
    }
  })
})

describe('random changes', () => {
  // A decoder of objects takes more than we do: other keys, other types, deeper nesting. So: what we accept
  // it decodes to the same readings, and what it refuses we refuse; a fresh scanner agrees with one that has
  // learned.
  test.each([51, 52, 53])('seed %i', (seed) => {
    const prng = new Prng(seed)
    const learned = new PoisonedScanner()
    let hint = -1
    let accepted = 0
    for (let round = 0; round < 4000; round++) {
      const valid = encode(randomPayload(prng))
      hint = Math.max(learned.scan(valid, hint).repeatedShape, learned.scan(valid, hint).repeatedShape)
      const bytes = mutated(prng, valid)
      const note = `seed ${seed} round ${round}: ${Buffer.from(bytes).toString('hex')}`
      const got = learned.scan(bytes, hint)
      const alone = new PoisonedScanner().scan(bytes)
      expect(alone.result, note).toBe(got.result)
      expect(linesOf(alone.readings), note).toEqual(linesOf(got.readings))
      if (got.result < 0) {
        expect(learned.columns.textSizeBytes, note).toBe(0)
        continue
      }
      accepted++
      expect(linesOf(got.readings), note).toEqual(linesOf(decoded(bytes) ?? []))
    }
    expect(accepted).toBeGreaterThan(100)
  })

  function decoded(bytes: Uint8Array): Reading[] | undefined {
    return readingsOf(decode(bytes, { useBigInt64: false }))
  }
})

describe('vectors', () => {
  const value = (text: string): Scalar => {
    const { result, readings } = new PoisonedScanner().scan(hex(`81 a1 61 ${text}`))
    return result === 1 ? readings[0].value : result
  }
  type Scalar = number | string

  test.each<[string, Scalar]>([
    ['00', 0], ['7f', 127], ['ff', -1], ['e0', -32], ['c2', 0], ['c3', 1], ['cc ff', 255], ['cd ffff', 65535],
    ['ce ffffffff', 4294967295],
    ['cf 0000000100000000', 4294967296], ['cf ffffffffffffffff', 2 ** 64],
    ['cf 0020000000000001', 9007199254740992],
    ['cf 0020000000000003', 9007199254740996], ['d0 80', -128], ['d1 8000', -32768],
    ['d2 80000000', -2147483648],
    ['d3 ffffffffffffffff', -1], ['d3 8000000000000000', -(2 ** 63)], ['d3 7fffffffffffffff', 2 ** 63],
    ['d3 ffffffff00000000', -4294967296], ['ca 3fc00000', 1.5], ['ca 80000000', -0],
    ['ca 7f800000', Infinity], ['ca 7fc00000', Number.NaN],
    ['cb 3ff8000000000000', 1.5], ['cb fff0000000000000', -Infinity], ['cb 7ff8000000000000', Number.NaN],
    ['cb 8000000000000000', -0],
    ['a0', ''], ['a2 6f6b', 'ok'], ['d9 02 6f6b', 'ok'], ['da 0002 6f6b', 'ok'], ['db 00000002 6f6b', 'ok'],
    ['a3 e282ac', '€'],
    ['a3 efbbbf', '\ufeff'], ['a1 00', '\u0000'],
    ['c1', PayloadError.MALFORMED], ['c4 00', PayloadError.UNSUPPORTED_TYPE],
    ['c5 0000', PayloadError.UNSUPPORTED_TYPE],
    ['c6 00000000', PayloadError.UNSUPPORTED_TYPE], ['d4 01 00', PayloadError.UNSUPPORTED_TYPE],
    ['d6 ff 66e0a7c0', PayloadError.UNSUPPORTED_TYPE],
    ['c7 00 01', PayloadError.UNSUPPORTED_TYPE], ['c8 0000 01', PayloadError.UNSUPPORTED_TYPE],
    ['c9 00000000 01', PayloadError.UNSUPPORTED_TYPE],
    ['a1 80', PayloadError.BAD_UTF8], ['a3 eda080', PayloadError.BAD_UTF8],
    ['a2 c0af', PayloadError.BAD_UTF8], ['a2 e282', PayloadError.BAD_UTF8],
    ['00 00', PayloadError.TRAILING_BYTES], ['', PayloadError.TRUNCATED], ['cc', PayloadError.TRUNCATED],
    ['cb 3ff80000000000', PayloadError.TRUNCATED],
    ['a2 6f', PayloadError.TRUNCATED], ['d9', PayloadError.TRUNCATED],
    ['db ffffffff 61', PayloadError.TRUNCATED], ['dd ffffffff', PayloadError.TRUNCATED],
    ['df ffffffff', PayloadError.TRUNCATED], ['de 00', PayloadError.TRUNCATED],
    ['c7', PayloadError.TRUNCATED],
  ])('{a: %s}', (text, want) => expect(value(text)).toBe(want)) // biome-ignore format: a table

  test.each<[string, string[] | number]>([
    ['80', []], ['de 0000', []], ['df 00000000', []], ['90', []], ['91 80', []], ['dc 0001 80', []],
    ['dd 00000001 80', []],
    ['81 a1 61 c0', []], ['81 a1 61 90', []],
    ['81 a1 61 92 01 81 a1 62 02', ['a.0 @NaN = 1', 'a.1.b @NaN = 2']],
    ['81 d9 01 61 05', ['a @NaN = 5']], ['81 da 0001 61 05', ['a @NaN = 5']],
    ['81 db 00000001 61 05', ['a @NaN = 5']],
    ['82 a1 61 01 a1 61 02', ['a @NaN = 2']], ['82 a1 61 81 a1 78 01 a1 61 81 a1 79 02', ['a.y @NaN = 2']],
    ['82 a1 61 01 a1 61 c0', []],
    ['82 a1 61 01 d9 01 61 02', ['a @NaN = 2']], ['81 a9 5f5f70726f746f5f5f 01', ['__proto__ @NaN = 1']],
    ['82 a2 7473 ce 66e0a980 a1 61 01', ['a @1725999488000 = 1']],
    ['82 a1 61 01 a1 74 d6 ff 66e0a980', ['a @1725999488000 = 1']],
    ['82 a2 7473 d7 ff 1d6f3454 66e0a980 a1 61 01', ['a @1725999488123.4568 = 1']],
    ['82 a2 7473 c7 0c ff 075bcd15 0000000066e0a980 a1 61 01', ['a @1725999488123.4568 = 1']],
    ['82 a2 7473 c0 a1 74 05', ['t @NaN = 5']],
    ['82 a2 7473 aa 323032342d30392d3130 a1 61 01', ['a @1725926400000 = 1']],
    ['', PayloadError.EMPTY], ['91 01', PayloadError.NOT_OBJECT], ['91 90', PayloadError.NOT_OBJECT],
    ['91', PayloadError.TRUNCATED],
    ['81', PayloadError.TRUNCATED], ['81 a1', PayloadError.TRUNCATED],
    ['81 01 01', PayloadError.KEY_NOT_STRING], ['81 c4 01 61 01', PayloadError.KEY_NOT_STRING],
    ['81 c0 01', PayloadError.KEY_NOT_STRING], ['80 00', PayloadError.TRAILING_BYTES],
    ['81 a0 01', PayloadError.NAME_EMPTY], ['81 a0 c0', []],
    ['81 a1 ff 01', PayloadError.BAD_UTF8], ['81 a2 7473 c3', PayloadError.BAD_TIME],
    ['81 a2 7473 90', PayloadError.BAD_TIME],
    ['81 a2 7473 ff', PayloadError.BAD_TIME], ['81 a2 7473 ca 7fc00000', PayloadError.BAD_TIME],
    ['81 a2 7473 a1 35', PayloadError.BAD_TIME],
    ['81 a2 7473 d6 fe 66e0a980', PayloadError.UNSUPPORTED_TYPE],
    ['81 a2 7473 c7 0c ff 3b9aca00 0000000066e0a980', PayloadError.BAD_TIME],
    ['81 a2 7473 c7 0c ff 00000000 ffffffffffffffff', PayloadError.BAD_TIME],
    ['82 a2 7473 00 a1 74 d6 ff 66e0a980', PayloadError.UNSUPPORTED_TYPE],
    ['81 a2 7473 d7 ff 000000', PayloadError.TRUNCATED], ['81 a2 7473 c7 0c', PayloadError.TRUNCATED],
  ])('%s', (text, want) => {
    const scanner = new PoisonedScanner()
    for (let round = 0; round < 12; round++) {
      const got = scanner.scan(hex(text), round < 6 ? -1 : scanner.scanner.repeatedShape)
      expect(got.result < 0 ? got.result : linesOf(got.readings)).toEqual(want)
    }
  }) // biome-ignore format: a table

  test('too deep, too long', () => {
    const scanner = new PoisonedScanner()
    const nested = (depth: number): Uint8Array => hex(`81 a1 61 ${'91'.repeat(depth)} 01`)
    expect(scanner.scan(nested(31)).result).toBe(1)
    expect(scanner.scan(nested(32)).result).toBe(PayloadError.TOO_DEEP)
    expect(scanner.scan(encode({ ['x'.repeat(256)]: 1 })).result).toBe(1)
    expect(scanner.scan(encode({ ['x'.repeat(257)]: 1 })).result).toBe(PayloadError.NAME_TOO_LONG)
    expect(scanner.scan(encode({ a: { ['x'.repeat(255)]: 1 } })).result).toBe(PayloadError.NAME_TOO_LONG)
    expect(scanner.scan(encode({ ['x'.repeat(255)]: [1] })).result).toBe(PayloadError.NAME_TOO_LONG)
  })
})

test('timestamps as the oracles write them', () => {
  const prng = new Prng(61)
  const scanner = new PoisonedScanner()
  let hint = -1
  for (let round = 0; round < 2000; round++) {
    const ms = Math.floor(prng.unit() * 9e12)
    const date = new Date(prng.between(0, 1) ? ms : ms - (ms % 1000))
    for (const bytes of [
      encode({ ts: date, a: round }),
      Uint8Array.from(packr.pack({ ts: date, a: round })),
    ]) {
      const got = scanner.scan(bytes, hint)
      expect(got.readings, date.toISOString()).toEqual([{ name: 'a', tsMs: date.getTime(), value: round }])
      hint = got.shape
    }
  }
  expect(hint).toBeGreaterThanOrEqual(0)
})

test('every prefix is refused, with one code whatever follows it', () => {
  const bytes = encode({
    ts: new Date(1_726_000_000_123),
    a: 1.5,
    b: 'größe',
    c: [1, -2, { d: true }],
    e: null,
    f: 70_000,
    g: 2 ** 40,
  })
  const scanner = new PoisonedScanner()
  scanner.scan(bytes)
  const { shape } = scanner.scan(bytes)
  expect(shape).toBeGreaterThanOrEqual(0)
  for (let sizeBytes = 0; sizeBytes < bytes.length; sizeBytes++) {
    for (let round = 0; round < 12; round++) {
      const { result } = scanner.scan(bytes.slice(0, sizeBytes), round % 2 ? shape : -1)
      expect(result).toBe(sizeBytes === 0 ? PayloadError.EMPTY : PayloadError.TRUNCATED)
    }
  }
})

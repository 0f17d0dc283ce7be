import { describe, expect, test } from 'vitest'
import { Prng } from '../../base/prng.ts'
import { PayloadError } from '../payload.ts'
import { linesOf, mutated, PoisonedScanner, randomObject, readingsOf } from '../payload-oracle.ts'

const encode = (text: string): Uint8Array => new TextEncoder().encode(text)
const BOM_KEPT = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** What JSON.parse and the reference make of the bytes; undefined for a rejection by either. */
function expected(bytes: Uint8Array): string[] | undefined {
  try {
    const readings = readingsOf(JSON.parse(BOM_KEPT.decode(bytes)))
    return readings && linesOf(readings)
  } catch {
    return undefined
  }
}

/**
 * Random JSON text of a value, with white space, escapes, and numbers in forms that JSON.stringify never
 * writes.
 */
function jsonText(prng: Prng, value: unknown): string {
  const space = (): string => [' ', '\n', '\t\r', '', '', '', '', ''][prng.between(0, 7)]
  const members = (parts: string[], open: string, close: string): string =>
    `${open}${space()}${parts.join(`${space()},${space()}`)}${space()}${close}`
  if (Array.isArray(value))
    return members(
      value.map((item) => jsonText(prng, item)),
      '[',
      ']',
    )
  if (typeof value === 'object' && value !== null) {
    const parts = Object.entries(value).map(
      ([key, item]) => `${stringText(prng, key)}${space()}:${space()}${jsonText(prng, item)}`,
    )
    if (parts.length > 0 && prng.between(0, 9) === 0) parts.push(parts[0])
    return members(parts, '{', '}')
  }
  if (typeof value === 'string') return stringText(prng, value)
  if (typeof value === 'number') return numberText(prng, value)
  return String(value)
}

function stringText(prng: Prng, value: string): string {
  if (prng.between(0, 3) > 0) return JSON.stringify(value)
  let text = ''
  for (let i = 0; i < value.length; i++) text += `\\u${value.charCodeAt(i).toString(16).padStart(4, '0')}`
  return `"${text}"`
}

function numberText(prng: Prng, value: number): string {
  const forms = [
    () => JSON.stringify(value),
    () => JSON.stringify(value),
    () => value.toExponential(),
    () => value.toExponential(prng.between(0, 20)).toUpperCase(),
    () => (Math.abs(value) < 1e21 ? value.toFixed(prng.between(0, 25)) : String(value)),
  ]
  return forms[prng.between(0, forms.length - 1)]()
}

describe('random documents against JSON.parse', () => {
  test.each([11, 12, 13, 14])('seed %i', (seed) => {
    const prng = new Prng(seed)
    const learned = new PoisonedScanner()
    let hint = -1
    let accepted = 0
    for (let round = 0; round < 2000; round++) {
      const payload =
        prng.between(0, 4) > 0
          ? randomObject(prng)
          : Array.from({ length: prng.between(0, 4) }, () => randomObject(prng))
      const text = jsonText(prng, payload)
      const valid = encode(text)
      // Again and again, so that shapes are learned and followed; then with changes, along the learned shapes
      // too.
      const inputs = [valid, valid, valid, mutated(prng, valid), mutated(prng, valid)]
      for (const bytes of inputs) {
        const want = expected(bytes)
        const note = `seed ${seed} round ${round}: ${Buffer.from(bytes).toString()}`
        const got = learned.scan(bytes, hint)
        expect(got.result >= 0 ? linesOf(got.readings) : undefined, note).toEqual(want)
        expect(learned.columns.count, note).toBe(Math.max(got.result, 0))
        if (want === undefined) expect(learned.columns.textSizeBytes, note).toBe(0)
        else accepted++
        if (got.shape >= 0) {
          expect(Array.from(learned.columns.metric.slice(0, learned.columns.count)), note).toEqual(
            Array.from(learned.scanner.shapeMetrics(got.shape)),
          )
        }
        hint = prng.between(0, 9) === 0 ? prng.between(-1, 100) : got.repeatedShape
        if (round % 4 > 0) continue
        const alone = new PoisonedScanner().scan(bytes)
        expect(alone.result, note).toBe(got.result)
        expect(linesOf(alone.readings), note).toEqual(linesOf(got.readings))
      }
    }
    expect(accepted).toBeGreaterThan(3000)
  })
})

describe('values in a learned slot', () => {
  const values = [
    '0',
    '-0',
    '1',
    '-1',
    '9',
    '10',
    '123',
    '1234',
    '12345',
    '12345678',
    '123456789012345',
    '9007199254740993',
    '12345678901234567890',
    '0.5',
    '-0.25',
    '21.37',
    '1013.25',
    '0.1234',
    '0.12345',
    '123.456789',
    '0.30000000000000004',
    '1e3',
    '1E+3',
    '25e-1',
    '1e400',
    '-1e400',
    '1e-400',
    '5e-324',
    '2.2250738585072014e-308',
    '1.7976931348623157e308',
    'true',
    'false',
    '""',
    '"ok"',
    '"gr\\u00f6\\n"',
    '"日本"',
    '"\\ud83d\\ude00"',
    '"\\ud83d"',
    '"\\ude00\\ud83d"',
    'null',
    '[1,2]',
    '{"x":1}',
    '[]',
    '{}',
  ]
  const broken = [
    '01',
    '-',
    '-01',
    '+1',
    '.5',
    '1.',
    '1.e1',
    '1e',
    '1e+',
    '--1',
    '0x1',
    'NaN',
    'Infinity',
    'tru',
    'True',
    'falsy',
    'nul',
    '"',
    '"\\x"',
    '"\\u12g4"',
    '"\t"',
    '',
    '1 2',
    "'a'",
    '12345678901234567890123.',
    '00000000000000000000000',
    '1_000',
  ]
  test.each([...values, ...broken])('%s', (value) => {
    const { scan } = learnedScan()
    for (const text of [
      `{"ts":1726000000123,"x":${value},"y":2}`,
      `{"ts":1726000000123,"x":1,"y":${value}}`,
    ]) {
      const got = scan(encode(text))
      expect(got.result >= 0 ? linesOf(got.readings) : undefined, text).toEqual(expected(encode(text)))
    }
  })

  function learnedScan() {
    const scanner = new PoisonedScanner()
    const example = encode('{"ts":1726000000123,"x":1,"y":2}')
    scanner.scan(example)
    const { shape } = scanner.scan(example)
    expect(shape).toBeGreaterThanOrEqual(0)
    return { scan: (bytes: Uint8Array) => scanner.scan(bytes, shape) }
  }
})

describe('the grammar', () => {
  const accepted = [
    '{}', '[]', ' { } ', '\t\r\n[ ]\n', '[{}]', '[{},{}]', '{"a":1}',
    '{ "a" : 1 , "b" : [ 1 , { "c" : [ ] } ] }',
    '{"\\u0061":1}', '{"a":1,"\\u0061":2}', '{"a":{"x":1},"a":{"y":2}}', '{"a":1,"a":null}',
    '{"a":null,"a":1}',
    '{"a":[1,2,3],"b":0,"a":[4]}', '{"a":{"x":1,"x":{"z":3}},"b":1,"a":{"x":{"z":4,"z":5}}}',
    '{"a":1,"b":2,"a":"x"}',
    '{"__proto__":{"x":1},"__proto__":2}', '{"a.b":1,"a":{"b":2}}', '{"\\ud800":1,"\\ud801":2}',
    '{"a":{"":1}}', '{"":{"a":1}}',
    '{"":null}', '{"ts":1,"ts":1726000000}', '{"ts":"bad","ts":null,"a":1}', '{"t":5,"ts":1726000000,"a":1}',
    '{"timestamp":true,"time":{"x":1},"t":"text","ts":0,"a":1}', '{"ts":null,"t":21.5}',
    '{"time":1726000000.25,"a":-0}',
    '{"ts":"2024-09-10T20:26:40.123Z","a":1}', '{"ts":"2024\\u002d09-10","a":1}', '{"time":1e9,"a":1E9}',
    '{"a":"\u007f\u2028"}',
  ] // biome-ignore format: a table
  const rejected = [
    '', ' ', '1', 'null', '"a"', 'true', '[1]', '[[]]', '[{},1]', '{', '[', '{"a"', '{"a":', '{"a":1',
    '{"a":1,', '{"a":1,}',
    '[{},]', '[,{}]', '{,}', '{"a":1 "b":2}', '{"a" 1}', '{a:1}', "{'a':1}", '{"a":1}}', '{"a":1} x', '[{}]]',
    '[{} {}]', '\ufeff{}',
    '{"a":1}\u00a0', '\u0000{}', '{"a":1}\u0000', '{"a":"\u0001"}', '{"a\n":1}', '{"a":"\\', '{"a":"\\u',
    '{"a":"\\ud83d\\u', '{"a":[1,]}',
    '{"a":[1 2]}', '{"a":[1}', '{"a":{1:2}}', '{"a":{"b":1]}', '{1:2}', '{null:1}', '{"ts":true}',
    '{"ts":[]}', '{"ts":{}}', '{"ts":""}',
    '{"ts":"yesterday"}', '{"ts":-1}', '{"ts":1e19}', '{"t":"21","a":1}', '{"":1}', '{"a":1}/**/', '//\n{}',
    '{"a":truefalse}',
  ] // biome-ignore format: a table
  test.each(accepted)('accepts %j', (text) => check(encode(text), true))
  test.each(rejected)('rejects %j', (text) => check(encode(text), false))

  test.each([
    ['80', 'continuation alone'],
    ['c0af', 'overlong'],
    ['e080af', 'overlong'],
    ['f08080af', 'overlong'],
    ['c2', 'cut off'],
    ['e282', 'cut off'],
    ['f09f98', 'cut off'],
    ['eda080', 'surrogate'],
    ['f4908080', 'above U+10FFFF'],
    ['f8888080', 'five bytes'],
    ['ff', 'no lead'],
    ['c220', 'bad second'],
    ['e28220', 'bad third'],
    ['f09f9820', 'bad fourth'],
  ])('rejects UTF-8 %s: %s', (hex) => {
    const bad = Buffer.from(hex, 'hex')
    check(Buffer.concat([encode('{"a":"'), bad, encode('"}')]), false)
    check(Buffer.concat([encode('{"'), bad, encode('":1}')]), false)
    check(Buffer.concat([encode('{"a":1}'), bad]), false)
    check(Buffer.concat([encode('{"a":'), bad, encode('}')]), false)
  })

  function check(bytes: Uint8Array, isAccepted: boolean): void {
    const want = expected(bytes)
    expect(want !== undefined).toBe(isAccepted)
    const scanner = new PoisonedScanner()
    for (let round = 0; round < 12; round++) {
      const got = scanner.scan(bytes, round < 6 ? -1 : got0(scanner))
      expect(got.result >= 0 ? linesOf(got.readings) : undefined).toEqual(want)
    }
  }

  function got0(scanner: PoisonedScanner): number {
    return scanner.scanner.repeatedShape
  }
})

test('every prefix of a payload is refused, with one code whatever follows it', () => {
  const text =
    '{"ts":1726000000123,"temp":-21.375e1,"s":"gr\\u00f6\\ud83d\\ude00ße","a":[1,{"b":true}],"n":null}'
  const bytes = encode(text)
  const scanner = new PoisonedScanner()
  scanner.scan(bytes)
  const { shape } = scanner.scan(bytes)
  expect(shape).toBeGreaterThanOrEqual(0)
  for (let sizeBytes = 0; sizeBytes < bytes.length; sizeBytes++) {
    const codes = new Set<number>()
    for (let round = 0; round < 12; round++) {
      codes.add(scanner.scan(bytes.slice(0, sizeBytes), round % 2 ? shape : -1).result)
    }
    expect([...codes], text.slice(0, sizeBytes)).toHaveLength(1)
    expect([...codes][0]).toBeLessThan(0)
  }
})

test('errors say what is wrong', () => {
  const codes: [string, number][] = [
    ['', PayloadError.EMPTY],
    [' \n', PayloadError.EMPTY],
    ['5', PayloadError.NOT_OBJECT],
    ['[[]]', PayloadError.NOT_OBJECT],
    ['hello', PayloadError.MALFORMED],
    ['{"a":1', PayloadError.TRUNCATED],
    ['{"a":12', PayloadError.TRUNCATED],
    ['{"a":1.', PayloadError.TRUNCATED],
    ['{"a":1.x}', PayloadError.MALFORMED],
    ['{"a":tr', PayloadError.TRUNCATED],
    ['{"a":1}x', PayloadError.TRAILING_BYTES],
    ['{"ts":"noon"}', PayloadError.BAD_TIME],
    ['{"":1}', PayloadError.NAME_EMPTY],
    [`{"${'x'.repeat(257)}":1}`, PayloadError.NAME_TOO_LONG],
    [`{"a":{"${'x'.repeat(255)}":1}}`, PayloadError.NAME_TOO_LONG],
    [`{"${'x'.repeat(255)}":[1]}`, PayloadError.NAME_TOO_LONG],
    [`{"${'x'.repeat(256)}":{"a":1}}`, PayloadError.NAME_TOO_LONG],
    [`{"${'x'.repeat(253)}😀":1}`, PayloadError.NAME_TOO_LONG],
    [`{"${'x'.repeat(253)}\\ud83d\\ude00":1}`, PayloadError.NAME_TOO_LONG],
    [`{"a":${'['.repeat(32)}1${']'.repeat(32)}}`, PayloadError.TOO_DEEP],
  ]
  for (const [text, code] of codes) expect(new PoisonedScanner().scan(encode(text)).result, text).toBe(code)
  expect(new PoisonedScanner().scan(encode(`{"${'x'.repeat(256)}":1}`)).result).toBe(1)
  expect(new PoisonedScanner().scan(encode(`{"${'x'.repeat(252)}\\ud83d\\ude00":1}`)).result).toBe(1)
  expect(new PoisonedScanner().scan(encode(`{"${'x'.repeat(254)}":[1]}`)).result).toBe(1)
  expect(new PoisonedScanner().scan(encode(`{"a":${'['.repeat(31)}1${']'.repeat(31)}}`)).result).toBe(1)
})

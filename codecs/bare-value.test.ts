/** Bare payloads against JSON.parse and a MessagePack library, whatever lies around them in memory. */
import { encode } from '@msgpack/msgpack'
import { describe, expect, test } from 'vitest'
import { Prng } from '../base/prng.ts'
import { BARE_SIZE_BYTES_MAX } from './bare-value.ts'
import { ReadingColumns } from './columns.ts'
import { MetricNames } from './metric-names.ts'
import { PayloadCodec, PayloadError, PayloadScanner } from './payload.ts'

const METRIC = 7
type Got = number | string | null | { error: number }

/** The value; null for none. */
function scan(payload: string | Uint8Array, codec: PayloadCodec = PayloadCodec.AUTO, noise = 0x39): Got {
  const bytes = typeof payload === 'string' ? new TextEncoder().encode(payload) : payload
  const memory = new Uint8Array(bytes.length + 80).fill(noise)
  memory.set(bytes, 40)
  const columns = new ReadingColumns(1)
  const scanner = new PayloadScanner(new MetricNames())
  const result = scanner.scanNamed(memory, 40, 40 + bytes.length, columns, -1, codec, METRIC)
  expect(columns.count).toBe(Math.max(result, 0))
  if (result <= 0) {
    expect(columns.textSizeBytes).toBe(0)
    return result === 0 ? null : { error: result }
  }
  expect([columns.metric[0], columns.tsMs[0]]).toEqual([METRIC, Number.NaN])
  if (columns.textSize[0] < 0) return columns.value[0]
  expect(columns.value[0]).toBeNaN()
  return new TextDecoder().decode(columns.text.subarray(0, columns.textSizeBytes))
}

describe('JSON', () => {
  test.each([
    '0',
    '-0',
    '21.5',
    '1e300',
    '-12345678901234567890',
    '5e-324',
    ' \n42\t',
    'true',
    'false',
    'null',
  ])('%j', (text) => {
    const value = JSON.parse(text)
    expect(scan(text, PayloadCodec.JSON)).toBe(typeof value === 'boolean' ? Number(value) : value)
    expect(scan(text)).toBe(typeof value === 'boolean' ? Number(value) : value)
  })

  test.each(['""', '"on"', '"größe \\u00e4 \\n \\ud83d\\ude00"', ' "x" '])('%s', (text) => {
    expect(scan(text, PayloadCodec.JSON)).toBe(JSON.parse(text))
  })

  test.each([
    ['', PayloadError.EMPTY],
    ['  ', PayloadError.EMPTY],
    ['ON', PayloadError.MALFORMED],
    ['01', PayloadError.MALFORMED],
    ['21.', PayloadError.MALFORMED],
    ['21.5 C', PayloadError.TRAILING_BYTES],
    ['"a', PayloadError.TRUNCATED],
    ['"a"b', PayloadError.TRAILING_BYTES],
    ['truely', PayloadError.MALFORMED],
    ['{"a":', PayloadError.TRUNCATED],
  ])('refused: %j', (text, error) => {
    expect(scan(text, PayloadCodec.JSON)).toEqual({ error })
  })
})

describe('plain text', () => {
  test.each(['ON', 'truely', '21.5 C', '01', 'nan', '2024-01-01', 'größe', '-'])('%j', (text) => {
    expect(scan(` ${text}\n`)).toBe(text)
  })

  test('is refused when it is binary, or a broken string or object', () => {
    expect(scan('a\u0000b')).toEqual({ error: PayloadError.MALFORMED })
    expect(scan(Uint8Array.of(0x61, 0xff))).toEqual({ error: PayloadError.BAD_UTF8 })
    expect(scan('"a')).toEqual({ error: PayloadError.TRUNCATED })
    expect(scan('[1')).toEqual({ error: expect.any(Number) })
    expect(scan('x'.repeat(BARE_SIZE_BYTES_MAX))).toHaveLength(BARE_SIZE_BYTES_MAX)
    expect(scan('x'.repeat(BARE_SIZE_BYTES_MAX + 1))).toEqual({ error: PayloadError.TOO_LARGE })
  })
})

describe('MessagePack', () => {
  const values = [0, 5, 53, -1, 300, -70_000, 2 ** 40, 1.5, true, false, null, '', 'on', 'größe'.repeat(20)]
  test.each(values)('%j', (value) => {
    const bytes = encode(value)
    expect(scan(bytes, PayloadCodec.MSGPACK)).toBe(typeof value === 'boolean' ? Number(value) : value)
    for (let size = 0; size < bytes.length; size++) {
      const error = size === 0 ? PayloadError.EMPTY : PayloadError.TRUNCATED
      expect(scan(bytes.slice(0, size), PayloadCodec.MSGPACK)).toEqual({ error })
    }
    const longer = Uint8Array.of(...bytes, 0x20)
    expect(scan(longer, PayloadCodec.MSGPACK)).toEqual({ error: expect.any(Number) })
  })

  test('refused: binary, extensions, bytes that stand for nothing', () => {
    expect(scan(encode(new Uint8Array(3)), PayloadCodec.MSGPACK)).toEqual({
      error: PayloadError.UNSUPPORTED_TYPE,
    })
    expect(scan(encode(new Date(0)), PayloadCodec.MSGPACK)).toEqual({ error: PayloadError.UNSUPPORTED_TYPE })
    expect(scan(Uint8Array.of(0xc1), PayloadCodec.MSGPACK)).toEqual({ error: PayloadError.MALFORMED })
  })
})

test('objects on a topic that names a metric are objects, of the codec that the stream has', () => {
  const names = new MetricNames()
  const scanOf = (bytes: Uint8Array, codec: PayloadCodec): number => {
    const columns = new ReadingColumns(1)
    return new PayloadScanner(names).scanNamed(bytes, 0, bytes.length, columns, -1, codec, METRIC)
  }
  const json = new TextEncoder().encode(' {"a":1,"b":2}')
  const packed = encode({ a: 1, b: 2 })
  expect([scanOf(json, PayloadCodec.AUTO), scanOf(json, PayloadCodec.JSON)]).toEqual([2, 2])
  expect([scanOf(packed, PayloadCodec.AUTO), scanOf(packed, PayloadCodec.MSGPACK)]).toEqual([2, 2])
  expect(scanOf(json, PayloadCodec.MSGPACK)).toBeLessThan(0)
  expect(scanOf(packed, PayloadCodec.JSON)).toBeLessThan(0)
})

test('what lies behind a payload changes nothing', () => {
  const seed = 4
  const prng = new Prng(seed)
  const letters = '0123456789.-+eE"tfnulrabc \\{}[]'
  for (let round = 0; round < 5000; round++) {
    const text = Array.from(
      { length: prng.between(0, 8) },
      () => letters[prng.between(0, letters.length - 1)],
    )
    const codec = prng.between(0, 2) as PayloadCodec
    const payload = text.join('')
    const got = scan(payload, codec, 0x39)
    expect(scan(payload, codec, 0x22), `seed ${seed} ${payload}`).toEqual(got)
    if (codec !== PayloadCodec.JSON || !isScalar(payload)) continue
    const value = JSON.parse(payload)
    expect(got, payload).toEqual(typeof value === 'boolean' ? Number(value) : value)
  }
})

function isScalar(text: string): boolean {
  try {
    const value = JSON.parse(text)
    return typeof value !== 'object' || value === null
  } catch {
    return false
  }
}

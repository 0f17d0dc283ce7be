import { describe, expect, test } from 'vitest'
import { Prng } from '../../base/prng.ts'
import { OVERREAD_BYTES, scanNumber } from './number.ts'

const out = new Float64Array(1)

/** Scans the text followed by `after`; the number, or NaN for a refusal. */
function scan(text: string, after: string): number {
  const bytes = new Uint8Array(text.length + 1 + OVERREAD_BYTES).fill(0x39)
  new TextEncoder().encodeInto(text + after, bytes)
  const end = text.length + after.length
  const next = scanNumber(new DataView(bytes.buffer), 0, end, out, 0)
  return next === text.length ? out[0] : Number.NaN
}

function check(text: string): void {
  for (const after of [',', '}', ' ']) {
    if (!Object.is(scan(text, after), JSON.parse(text)))
      expect(scan(text, after), text).toBe(JSON.parse(text))
  }
}

/** `count` random digits, the first not 0. */
function digits(prng: Prng, count: number): string {
  let text = String(prng.between(1, 9))
  while (text.length < count) text += prng.between(0, 9)
  return text
}

describe('bit for bit as JSON.parse', () => {
  test('random doubles in their shortest form, and with 17 digits', () => {
    const prng = new Prng(21)
    const bits = new DataView(new ArrayBuffer(8))
    for (let round = 0; round < 100_000; round++) {
      bits.setUint32(0, prng.u32())
      bits.setUint32(4, prng.u32())
      const value = bits.getFloat64(0)
      if (!Number.isFinite(value)) continue
      check(String(value))
      check(value.toPrecision(17))
    }
  })

  test('random doubles of the size that sensors give', () => {
    const prng = new Prng(22)
    for (let round = 0; round < 100_000; round++) {
      const value = (prng.unit() - 0.5 + prng.unit() / 2 ** 32) * 10 ** prng.between(-8, 14)
      check(String(value))
      check(value.toFixed(prng.between(0, 20)))
    }
  })

  test('every count of digits before and after the dot', () => {
    const prng = new Prng(23)
    for (let round = 0; round < 20; round++) {
      for (let whole = 1; whole < 25; whole++) {
        for (let fraction = 0; fraction < 25; fraction++) {
          const text = digits(prng, whole) + (fraction > 0 ? `.${digits(prng, fraction)}` : '')
          check(text)
          check(`-${text}`)
          check(`${text}e${prng.between(-40, 40)}`)
          if (fraction > 0) check(`0.${'0'.repeat(whole)}${digits(prng, fraction)}`)
        }
      }
    }
  })

  test('halfway between two doubles, and a little to either side', () => {
    const prng = new Prng(24)
    for (let round = 0; round < 30_000; round++) {
      const mantissa = (BigInt(prng.between(2 ** 20, 2 ** 21 - 1)) << 32n) | BigInt(prng.u32())
      const halfway = mantissa * 2n + 1n
      const shift = prng.between(2, 10)
      // halfway / 2^shift, written out in full.
      const text = String(halfway * 5n ** BigInt(shift)).padStart(shift + 1, '0')
      const decimal = `${text.slice(0, -shift)}.${text.slice(-shift)}`
      check(decimal)
      check(decimal.slice(0, -1))
      check(`${decimal}1`)
      check(String(halfway))
      check(String(halfway * 10n ** BigInt(prng.between(0, 22))))
      check(`${halfway}e-${prng.between(1, 22)}`)
    }
  })

  test.each([
    '0', '-0', '-0.0', '0e5', '-0e-5', '0.000', '9007199254740991', '9007199254740992', '9007199254740993',
    '9007199254740993.0',
    '18014398509481985', '9223372036854775807', '18446744073709551615', '9999999999999999999',
    '99999999999999999999', '1e22', '1e23',
    '8.5e22', '1e-22', '1e-23', '5e-324', '2.4703282292062327e-324', '2.4703282292062328e-324',
    '1.7976931348623158e308', '1e308',
    '1.7976931348623159e308', '1e309', '-1e309', '1e99999999999999999999', '1e-99999999999999999999',
    '0e99999999999999999999',
    '0.1', '0.2', '0.30000000000000004', '1.7976931348623157E+308', '123456789012345678901234567890',
    '0.000000000000000000000000001',
    `1${'0'.repeat(400)}`, `0.${'0'.repeat(400)}1`, `${'1'.repeat(400)}e-400`, `1${'0'.repeat(300)}e-300`,
  ])('%s', check) // biome-ignore format: a table
})

test.each([
  '', '-', '+1', '.', '.1', '-.1', '1.', '-1.', '1..2', '1.2.3', '01', '-01', '00', '0123', '01.5', '1e',
  '1e+', '1e-', '1.e3', '1.5e', 'e5',
  '1e1.5', '1e1e1', '--1', '0x10', '1_0', 'Infinity', 'NaN', '0000000000000000000001',
  '012345678901234567890', '-00000000000000000000',
  '12345678901234567890.', '123456789012345678.e1', '1a', '1-', '½', '1,5',
])('refuses %j', (text) => {
  expect(() => JSON.parse(text)).toThrow()
  for (const after of [',', '}', ' ', '']) expect(scan(text, after)).toBeNaN()
}) // biome-ignore format: a table

test('a number that reaches the end is reported as reaching it', () => {
  for (const text of [
    '1',
    '12',
    '1234',
    '12345678901234567',
    '1.5',
    '1.2345678901234567890123',
    '1e5',
    '-0',
  ]) {
    const bytes = new Uint8Array(text.length + OVERREAD_BYTES).fill(0x39)
    new TextEncoder().encodeInto(text, bytes)
    const next = scanNumber(new DataView(bytes.buffer), 0, text.length, out, 0)
    expect(next).toBeGreaterThanOrEqual(text.length)
  }
})

import { describe, expect, test } from 'vitest'
import { Prng } from '../base/prng.ts'
import { epochToMs, isoToMs, secondsToMs } from './event-time.ts'

function iso(text: string): number {
  const bytes = new TextEncoder().encode(`9${text}9`)
  const out = new Float64Array(1)
  return isoToMs(bytes, 1, bytes.length - 1, out, 0) ? out[0] : Number.NaN
}

describe('epoch numbers', () => {
  test.each([
    [0, 0], [-0, 0], [1, 1000], [1726000000, 1_726_000_000_000], [1726000000.123, 1_726_000_000_123],
    [7_258_118_399, 7_258_118_399_000],
    [9_999_999_999, 9_999_999_999_000], [1e10, 1e10], [1_726_000_000_123, 1_726_000_000_123],
    [1_726_000_000_123.25, 1_726_000_000_123.25],
    [7_258_118_399_999, 7_258_118_399_999], [1e13, 1e10], [1_726_000_000_123_456, 1_726_000_000_123.456],
    [7_258_118_399_999_999, 7_258_118_399_999.999], [1e16, 1e10], [1726000000123456e3, 1_726_000_000_123.456],
    [1726000000123e6, 1_726_000_000_123], [72581184e11, 7_258_118_400_000],
  ])('%d is %d ms', (epoch, ms) => expect(epochToMs(epoch)).toBe(ms)) // biome-ignore format: a table

  test.each([-1, -1e-300, 1e19, 1e300, Infinity, -Infinity, Number.NaN])('%d is no time', (epoch) => {
    expect(epochToMs(epoch)).toBeNaN()
  })

  test('every unit means the same instant up to 2200, from 1970 or, but for seconds, April 1970', () => {
    const prng = new Prng(31)
    for (let round = 0; round < 10_000; round++) {
      const ms = 1e10 + Math.floor(prng.unit() * (Date.UTC(2200, 0) - 1e10))
      // A double of seconds tells microseconds apart until 2106.
      if (ms < 2 ** 32 * 1e3) expect(epochToMs(ms / 1e3)).toBe(ms)
      expect(epochToMs(ms)).toBe(ms)
      expect(epochToMs(ms * 1e3)).toBe(ms)
      expect(Math.abs(epochToMs(ms * 1e6) - ms)).toBeLessThan(ms < 2 ** 41 ? 1e-9 : 0.002)
      const seconds = Math.floor(prng.unit() * (Date.UTC(2200, 0) / 1e3))
      expect(epochToMs(seconds)).toBe(seconds * 1e3)
    }
  })
})

describe('ISO 8601', () => {
  test.each([
    ['1970-01-01', 0],
    ['2024-02-29', Date.UTC(2024, 1, 29)],
    ['2000-02-29T00:00Z', Date.UTC(2000, 1, 29)],
    ['2024-09-10T20:26:40Z', 1_726_000_000_000],
    ['2024-09-10t20:26:40z', 1_726_000_000_000],
    ['2024-09-10 20:26:40', 1_726_000_000_000],
    ['2024-09-10T20:26:40', 1_726_000_000_000],
    ['2024-09-10T20:26', 1_725_999_960_000],
    ['2024-09-10T20:26Z', 1_725_999_960_000],
    ['2024-09-10T22:26:40+02:00', 1_726_000_000_000],
    ['2024-09-10T22:26:40+0200', 1_726_000_000_000],
    ['2024-09-10T22:26:40+02', 1_726_000_000_000],
    ['2024-09-10T22:26+02:00', 1_725_999_960_000],
    ['2024-09-10T15:56:40-04:30', 1_726_000_000_000],
    ['2024-09-10T20:26:40-00:00', 1_726_000_000_000],
    ['2024-09-10T20:26:40.1Z', 1_726_000_000_100],
    ['2024-09-10T20:26:40,25Z', 1_726_000_000_250],
    ['2024-09-10T20:26:40.123', 1_726_000_000_123],
    ['2024-09-10T20:26:40.123456Z', 1_726_000_000_123.456],
    ['2024-09-10T20:26:40.123456789+00:00', 1_726_000_000_123.4568],
    ['2016-12-31T23:59:60Z', Date.UTC(2017, 0, 1)],
    ['2024-12-31T24:00', Date.UTC(2025, 0, 1)],
    ['1969-12-31T20:00-05:00', 3_600_000],
    ['2200-01-01T00:00:00Z', Date.UTC(2200, 0, 1)],
    ['2286-11-20T17:46:39.999Z', 9_999_999_999_999],
  ])('%s', (text, ms) => expect(iso(text)).toBe(ms))

  test.each([
    '', '2024', '2024-09', '2024-09-1', '2024-9-10', '20240910', '2024-W37-2', '2024-254', '24-09-10',
    '+002024-09-10', '-2024-09-10',
    '2024-00-10', '2024-13-10', '2024-09-00', '2024-09-31', '2023-02-29', '2100-02-29', '2024-02-30',
    '2024/09/10', '2024-09-10T',
    '2024-09-10T2', '2024-09-10T20', '2024-09-10T20:', '2024-09-10T20:2', '2024-09-10T2026',
    '2024-09-10T25:00', '2024-09-10T20:60',
    '2024-09-10T20:26:', '2024-09-10T20:26:4', '2024-09-10T20:26:61', '2024-09-10T20:26:40.',
    '2024-09-10T20:26:40.Z', '2024-09-10Z',
    '2024-09-10T20:26:40.1234567890Z', '2024-09-10T20:26:40ZZ', '2024-09-10T20:26:40+',
    '2024-09-10T20:26:40+2', '2024-09-10T20:26:40+24:00',
    '2024-09-10T20:26:40+02:60', '2024-09-10T20:26:40+02-00', '2024-09-10T20:26:40+2:00',
    '2024-09-10T20:26:40 02:00', ' 2024-09-10',
    '2024-09-10 ', '2024-09-10X20:26:40Z', '2024-09-10T24:00:01', '2024-09-10T24:01', '2024-09-10T24:00:00.1',
    '2O24-09-10', '2024-09-1O',
    '1969-12-31', '1969-12-31T23:59:59Z', '1968-12-31', '0000-01-01', '1970-01-01T00:00+00:01',
    '2286-11-20T17:46:40Z', '9999-12-31',
    '2024-09-10T-1:00', '2024-09-10T20:-1', '2024-09-10T20:26:40.-1',
  ])('%j is no time', (text) => expect(iso(text)).toBeNaN()) // biome-ignore format: a table

  test('equals Date.parse for random instants, offsets and fractions', () => {
    const prng = new Prng(32)
    for (let round = 0; round < 20_000; round++) {
      const instant = new Date(Math.floor(prng.unit() * 9e12)).toISOString()
      expect(iso(instant)).toBe(Date.parse(instant))
      const sign = prng.between(0, 1) ? '+' : '-'
      const two = (max: number): string => String(prng.between(0, max)).padStart(2, '0')
      const local = `${instant.slice(0, -1)}${sign}${two(23)}:${two(59)}`
      const want = Date.parse(local)
      expect(iso(local), local).toBe(want >= 0 ? want : Number.NaN)
    }
  })
})

test('seconds and nanoseconds', () => {
  expect(secondsToMs(1_726_000_000, 123_456_789)).toBe(1_726_000_000_123.4568)
  expect(secondsToMs(0, 0)).toBe(0)
  for (const [seconds, nanos] of [
    [-1, 0],
    [1e10, 0],
    [2 ** 34, 0],
    [1, 1e9],
  ])
    expect(secondsToMs(seconds, nanos)).toBeNaN()
})

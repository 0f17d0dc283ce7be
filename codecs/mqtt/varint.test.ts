import { expect, test } from 'vitest'
import { readVarint, VARINT_INCOMPLETE, VARINT_MALFORMED, varintSize, writeVarint } from './varint.ts'

// Table 1-1 of MQTT 5.0 (2.4 of 3.1.1): the borders of each size.
const TABLE: [number, number[]][] = [
  [0, [0x00]],
  [127, [0x7f]],
  [128, [0x80, 0x01]],
  [16_383, [0xff, 0x7f]],
  [16_384, [0x80, 0x80, 0x01]],
  [2_097_151, [0xff, 0xff, 0x7f]],
  [2_097_152, [0x80, 0x80, 0x80, 0x01]],
  [268_435_455, [0xff, 0xff, 0xff, 0x7f]],
  // The example in the text: 321 = 65 + 2 x 128.
  [321, [0xc1, 0x02]],
]

test.each(TABLE)('%i', (value, encoded) => {
  const bytes = Uint8Array.from([9, ...encoded, 9])
  const end = 1 + encoded.length
  expect(readVarint(bytes, 1, end)).toBe(value)
  for (let short = 1; short < end; short++) expect(readVarint(bytes, 1, short)).toBe(VARINT_INCOMPLETE)
  const out = new Uint8Array(encoded.length + 2).fill(9)
  expect(writeVarint(out, 1, value)).toBe(end)
  expect(out).toEqual(bytes)
  expect(varintSize(value)).toBe(encoded.length)
})

test.each([
  [[0x80, 0x80, 0x80, 0x80]],
  [[0xff, 0xff, 0xff, 0xff, 0x01]],
  [[0x80, 0x00]],
  [[0x81, 0x80, 0x00]],
  [[0x80, 0x80, 0x80, 0x00]],
])('%j is malformed', (encoded) => {
  expect(readVarint(Uint8Array.from(encoded), 0, encoded.length)).toBe(VARINT_MALFORMED)
})

import { expect, test } from 'vitest'
import { Prng } from '../../base/prng.ts'
import { previewOf, printable, printableJson } from './printable.ts'

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text)

test.each([
  ['plain {"t":1}', 'plain {"t":1}'],
  ['\x1b[2J\x1b]0;title\x07', '\\x1b[2J\\x1b]0;title\\x07'],
  ['a\nb\r\tc', 'a\\nb\\r\\tc'],
  ['c1: \x9b2J', 'c1: \\x9b2J'],
  ['right \u202eleft\u2066', 'right \\u202eleft\\u2066'],
  ['tag \u{e0041}', 'tag \\u{e0041}'],
  ['grüße 測定 😀', 'grüße 測定 😀'],
])('text %j', (text, expected) => {
  expect(printable(text)).toBe(expected)
  expect(previewOf(utf8(text), 100)).toBe(expected)
})

test('bytes that are no UTF-8 are shown one by one; a character cut at the end is left out', () => {
  expect(previewOf(Uint8Array.of(0x82, 0xa1, 0x74, 0x01, 0xff), 100)).toBe('\\x82\\xa1t\\x01\\xff')
  const bytes = utf8('abc測')
  expect([4, 5, 6].map((size) => previewOf(bytes.subarray(0, size), 100))).toEqual(['abc', 'abc', 'abc測'])
  expect(previewOf(utf8('x'.repeat(50)), 10)).toBe(`${'x'.repeat(9)}…`)
  expect(previewOf(new Uint8Array(0), 10)).toBe('')
})

test('whatever the bytes, nothing in a preview or in JSON steers a terminal, and JSON keeps the text', () => {
  const seed = 11
  const prng = new Prng(seed)
  for (let round = 0; round < 2000; round++) {
    const bytes = Uint8Array.from({ length: prng.between(0, 40) }, () => prng.between(0, 255))
    const lossy = new TextDecoder().decode(bytes)
    for (const shown of [previewOf(bytes, 60), printable(lossy), printableJson({ lossy })]) {
      expect(shown, `seed ${seed}, round ${round}`).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u)
    }
    expect(JSON.parse(printableJson({ lossy }))).toEqual({ lossy })
  }
})

import { expect, test } from 'vitest'
import { Prng } from '../../base/prng.ts'
import { copyOf, decodeText, encodeText, isTextValid } from './text.ts'

/** What the platform says, and U+0000, which only MQTT forbids. */
function isValidByPlatform(bytes: Uint8Array): boolean {
  try {
    return !new TextDecoder('utf-8', { fatal: true }).decode(bytes).includes('\0')
  } catch {
    return false
  }
}

function isValid(...bytes: number[]): boolean {
  // The byte after the end would complete a sequence that is cut off.
  return isTextValid(Uint8Array.from([0xf0, ...bytes, 0x80]), 1, 1 + bytes.length)
}

test('the example of section 1.5.4: A and U+2A6D4', () => {
  const bytes = Uint8Array.of(0x41, 0xf0, 0xaa, 0x9b, 0x94)
  expect(isTextValid(bytes, 0, 5)).toBe(true)
  expect(decodeText(bytes, 0, 5)).toBe('A\u{2a6d4}')
  expect(encodeText('A\u{2a6d4}')).toEqual(bytes)
})

test('U+FEFF is a character and is kept ([MQTT-1.5.4-3])', () => {
  expect(isValid(0xef, 0xbb, 0xbf)).toBe(true)
  expect(decodeText(Uint8Array.of(0xef, 0xbb, 0xbf, 0x61), 0, 4)).toBe('\ufeffa')
})

test('U+0000, surrogates, overlong forms and what is above U+10FFFF are refused', () => {
  for (const bytes of [
    [0x61, 0x00],
    [0xed, 0xa0, 0x80],
    [0xed, 0xbf, 0xbf],
    [0xc0, 0x80],
    [0xc1, 0xbf],
    [0xe0, 0x9f, 0xbf],
    [0xf0, 0x8f, 0xbf, 0xbf],
    [0xf4, 0x90, 0x80, 0x80],
    [0xf5, 0x80, 0x80, 0x80],
    [0x80],
    [0xc3],
    [0xe2, 0x82],
    [0xf0, 0x9f, 0x98],
  ]) {
    expect(isValid(...bytes), bytes.join()).toBe(false)
  }
})

test('every code point but U+0000 and the surrogates is valid', () => {
  for (let codePoint = 1; codePoint <= 0x10ffff; codePoint += codePoint < 0x11000 ? 1 : 97) {
    if (codePoint >= 0xd800 && codePoint <= 0xdfff) continue
    const bytes = encodeText(String.fromCodePoint(codePoint))
    if (!isTextValid(bytes, 0, bytes.length)) expect.fail(`U+${codePoint.toString(16)} is refused`)
  }
})

test('random bytes are judged as the platform judges them', () => {
  const leads = [
    0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc1, 0xc2, 0xdf, 0xe0, 0xed, 0xef, 0xf0, 0xf4,
  ]
  const prng = new Prng(7)
  for (let round = 0; round < 30_000; round++) {
    const bytes = Uint8Array.from(
      { length: prng.between(0, 6) },
      () => leads[prng.between(0, leads.length - 1)],
    )
    if (isTextValid(bytes, 0, bytes.length) !== isValidByPlatform(bytes)) {
      expect.fail(`seed 7: ${Buffer.from(bytes).toString('hex')}`)
    }
  }
})

test('a copy of part of a Buffer shares nothing with it', () => {
  const bytes = Buffer.from('abcd')
  const copy = copyOf(bytes, 1, 3)
  bytes.fill(0)
  expect(copy).toEqual(Uint8Array.of(0x62, 0x63))
})

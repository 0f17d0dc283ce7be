/**
 * The UTF-8 strings of MQTT ([MQTT-1.5.4]): well-formed, without U+0000; U+FEFF is a character like others
 * and is kept.
 */
import { assert } from '../../base/assert.ts'

const decoder = new TextDecoder('utf-8', { ignoreBOM: true })
const encoder = new TextEncoder()

/** Whether bytes[start, end) is well-formed UTF-8 (Unicode, table 3-7) without U+0000. */
// hot: per message
export function isTextValid(bytes: Uint8Array, start: number, end: number): boolean {
  let offset = start
  while (offset < end) {
    const byte = bytes[offset]
    if (byte < 0x80) {
      if (byte === 0) return false
      offset++
      continue
    }
    const size = sequenceSize(bytes, offset, end)
    if (size === 0) return false
    offset += size
  }
  return true
}

/** Size of the well-formed sequence of two to four bytes at `offset`; 0 when there is none. */
export function sequenceSize(bytes: Uint8Array, offset: number, end: number): number {
  const lead = bytes[offset]
  if (lead < 0xc2 || lead > 0xf4) return 0
  const size = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4
  if (end - offset < size) return 0
  // The second byte's range shuts out overlong forms, surrogates and what is above U+10FFFF.
  const second = bytes[offset + 1]
  const secondMin = lead === 0xe0 ? 0xa0 : lead === 0xf0 ? 0x90 : 0x80
  const secondMax = lead === 0xed ? 0x9f : lead === 0xf4 ? 0x8f : 0xbf
  if (second < secondMin || second > secondMax) return 0
  for (let i = 2; i < size; i++) if ((bytes[offset + i] & 0xc0) !== 0x80) return 0
  return size
}

/** The text in bytes that `isTextValid` has accepted. */
export function decodeText(bytes: Uint8Array, start: number, end: number): string {
  return decoder.decode(bytes.subarray(start, end))
}

/** The text as UTF-8, at most 65,535 bytes, as a string of MQTT must be. */
export function encodeText(text: string): Uint8Array {
  const bytes = encoder.encode(text)
  assert(bytes.length <= 0xffff, 'a string of MQTT has at most 65,535 bytes')
  return bytes
}

/** A copy of bytes[start, end). `slice` would not do: that of a Buffer is a view. */
export function copyOf(bytes: Uint8Array, start: number, end: number): Uint8Array {
  return new Uint8Array(bytes.subarray(start, end))
}

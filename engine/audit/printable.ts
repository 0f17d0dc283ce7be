/** Text and bytes that devices sent, made safe for a terminal: nothing that steers it, or turns text around, is left. */
import { cutToWidth } from '../store/text-width.ts'

const NAMES: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' }
/** Controls, line and paragraph separators, and what is invisible or changes the direction of text. */
const UNSAFE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

export function printable(text: string): string {
  return text.replaceAll(UNSAFE, (unsafe) => NAMES[unsafe] ?? escaped(unsafe.codePointAt(0) ?? 0))
}

/** The start of a payload in at most `widthMax` columns: as text when it is UTF-8, else ASCII and \xNN. */
export function previewOf(payload: Uint8Array, widthMax: number): string {
  return cutToWidth(printableBytes(payload), widthMax)
}

/** JSON that may be printed to a terminal: it escapes the C0 controls itself, and here the others. */
export function printableJson(value: unknown): string {
  return JSON.stringify(value).replaceAll(UNSAFE, (unsafe) =>
    [...unsafe]
      .flatMap((character) => character.split(''))
      .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
      .join(''),
  )
}

function printableBytes(payload: Uint8Array): string {
  try {
    return printable(decoder.decode(withoutCutCharacter(payload)))
  } catch {
    return Array.from(payload, (byte) =>
      byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : escaped(byte),
    ).join('')
  }
}

/** A preview may end within a character: what is left of it goes. */
function withoutCutCharacter(bytes: Uint8Array): Uint8Array {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const byte = bytes[bytes.length - back]
    if ((byte & 0xc0) === 0x80) continue
    const size = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1
    return size > back ? bytes.subarray(0, bytes.length - back) : bytes
  }
  return bytes
}

function escaped(code: number): string {
  if (code < 0x100) return `\\x${code.toString(16).padStart(2, '0')}`
  return code < 0x10000 ? `\\u${code.toString(16).padStart(4, '0')}` : `\\u{${code.toString(16)}}`
}

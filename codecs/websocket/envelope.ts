/**
 * The envelope of a plain WebSocket frame: a map of exactly `seq` and `data`, in either order, as JSON or
 * MessagePack. It is cut by offsets; `data` is passed over, not parsed: what it holds is the payload
 * decoder's affair. Owner: the gateway's thread.
 */
import { skipJsonValue, skipSpace } from './json-skip.ts'
import { skipMsgpackValue } from './msgpack-skip.ts'

export const EnvelopeFault = {
  NONE: 0,
  /** Not a map of the two keys and nothing else. */
  NOT_AN_ENVELOPE: 1,
  /** `seq` is not a whole number from 0 to 2^53 - 1. */
  SEQ_INVALID: 2,
} as const
export type EnvelopeFault = (typeof EnvelopeFault)[keyof typeof EnvelopeFault]

/** What was cut. Reused from frame to frame. */
export class Envelope {
  seq = 0
  /** The bytes of the value of `data`. */
  dataStart = 0
  dataEnd = 0
}

const OPEN = 0x7b
const CLOSE = 0x7d
const COLON = 0x3a
const COMMA = 0x2c
const ZERO = 0x30
const NINE = 0x39

/** `"seq"` and `"data"`, quotes included. */
const JSON_SEQ = Uint8Array.of(0x22, 0x73, 0x65, 0x71, 0x22)
const JSON_DATA = Uint8Array.of(0x22, 0x64, 0x61, 0x74, 0x61, 0x22)

/** Cuts the JSON envelope in bytes[start, end). */
// hot: per message
export function cutJsonEnvelope(bytes: Uint8Array, start: number, end: number, out: Envelope): EnvelopeFault {
  let offset = skipSpace(bytes, start, end)
  if (offset === end || bytes[offset] !== OPEN) return EnvelopeFault.NOT_AN_ENVELOPE
  let hasSeq = false
  let hasData = false
  for (let keys = 0; keys < 2; keys++) {
    offset = skipSpace(bytes, offset + 1, end)
    const isSeq = !hasSeq && isAt(bytes, offset, end, JSON_SEQ)
    if (!isSeq && (hasData || !isAt(bytes, offset, end, JSON_DATA))) return EnvelopeFault.NOT_AN_ENVELOPE
    offset = skipSpace(bytes, offset + (isSeq ? JSON_SEQ.length : JSON_DATA.length), end)
    if (offset === end || bytes[offset] !== COLON) return EnvelopeFault.NOT_AN_ENVELOPE
    offset = skipSpace(bytes, offset + 1, end)
    const valueStart = offset
    if (isSeq) {
      hasSeq = true
      offset = readJsonSeq(bytes, offset, end, out)
      if (offset < 0) return EnvelopeFault.SEQ_INVALID
    } else {
      hasData = true
      offset = skipJsonValue(bytes, offset, end)
      if (offset < 0) return EnvelopeFault.NOT_AN_ENVELOPE
      out.dataStart = valueStart
      out.dataEnd = offset
    }
    offset = skipSpace(bytes, offset, end)
    if (offset === end || bytes[offset] !== (keys === 0 ? COMMA : CLOSE)) return EnvelopeFault.NOT_AN_ENVELOPE
  }
  return skipSpace(bytes, offset + 1, end) === end ? EnvelopeFault.NONE : EnvelopeFault.NOT_AN_ENVELOPE
}

/** Cuts the MessagePack envelope in bytes[start, end). */
// hot: per message
export function cutMsgpackEnvelope(
  bytes: Uint8Array,
  start: number,
  end: number,
  out: Envelope,
): EnvelopeFault {
  let offset = afterMapOfTwo(bytes, start, end)
  let hasSeq = false
  let hasData = false
  for (let keys = 0; keys < 2; keys++) {
    const key = offset < 0 ? -1 : readMsgpackKey(bytes, offset, end)
    if (key < 0) return EnvelopeFault.NOT_AN_ENVELOPE
    const isSeq = (key & 1) === 1
    if (isSeq ? hasSeq : hasData) return EnvelopeFault.NOT_AN_ENVELOPE
    offset += key >> 1
    const valueStart = offset
    if (isSeq) {
      hasSeq = true
      offset = readMsgpackSeq(bytes, offset, end, out)
      if (offset < 0) return EnvelopeFault.SEQ_INVALID
    } else {
      hasData = true
      offset = skipMsgpackValue(bytes, offset, end)
      if (offset < 0) return EnvelopeFault.NOT_AN_ENVELOPE
      out.dataStart = valueStart
      out.dataEnd = offset
    }
  }
  return offset === end ? EnvelopeFault.NONE : EnvelopeFault.NOT_AN_ENVELOPE
}

function isAt(bytes: Uint8Array, offset: number, end: number, wanted: Uint8Array): boolean {
  if (end - offset < wanted.length) return false
  for (let i = 0; i < wanted.length; i++) if (bytes[offset + i] !== wanted[i]) return false
  return true
}

/** Digits, no sign, fraction, exponent or leading zero. Returns the offset after them, or -1. */
function readJsonSeq(bytes: Uint8Array, start: number, end: number, out: Envelope): number {
  let offset = start
  let value = 0
  for (; offset < end && bytes[offset] >= ZERO && bytes[offset] <= NINE; offset++) {
    value = value * 10 + (bytes[offset] - ZERO)
    if (value > Number.MAX_SAFE_INTEGER) return -1
  }
  if (offset === start || (bytes[start] === ZERO && offset - start > 1)) return -1
  const next = offset < end ? bytes[offset] : COMMA
  if (next === 0x2e || next === 0x65 || next === 0x45) return -1 // . e E
  out.seq = value
  return offset
}

/** A map of two entries in any of its three lengths; the offset after its head, or -1. */
function afterMapOfTwo(bytes: Uint8Array, start: number, end: number): number {
  if (start < end && bytes[start] === 0x82) return start + 1
  if (end - start >= 3 && bytes[start] === 0xde)
    return bytes[start + 1] === 0 && bytes[start + 2] === 2 ? start + 3 : -1
  if (end - start < 5 || bytes[start] !== 0xdf) return -1
  const hasTwo =
    bytes[start + 1] === 0 && bytes[start + 2] === 0 && bytes[start + 3] === 0 && bytes[start + 4] === 2
  return hasTwo ? start + 5 : -1
}

/**
 * `seq` or `data` as a string of any length format: its size times two, plus one for `seq`; -1 for anything
 * else.
 */
function readMsgpackKey(bytes: Uint8Array, start: number, end: number): number {
  let offset = start + 1
  let size = -1
  const head = start < end ? bytes[start] : 0
  if (head >= 0xa0 && head <= 0xbf) {
    size = head & 0x1f
  } else if (head >= 0xd9 && head <= 0xdb) {
    const sizeBytes = 1 << (head - 0xd9)
    if (end - offset < sizeBytes) return -1
    size = 0
    for (let i = 0; i < sizeBytes; i++) size = size * 256 + bytes[offset + i]
    offset += sizeBytes
  }
  if (size === 3 && isAt(bytes, offset, end, SEQ)) return (offset + 3 - start) * 2 + 1
  if (size === 4 && isAt(bytes, offset, end, DATA)) return (offset + 4 - start) * 2
  return -1
}

const SEQ = JSON_SEQ.subarray(1, 4)
const DATA = JSON_DATA.subarray(1, 5)

const scratch = new DataView(new ArrayBuffer(8))

/**
 * Any integer format, or a float that is whole (how some encoders write large numbers). Offset after it, or
 * -1.
 */
function readMsgpackSeq(bytes: Uint8Array, start: number, end: number, out: Envelope): number {
  const head = start < end ? bytes[start] : 0xc0
  if (head <= 0x7f) {
    out.seq = head
    return start + 1
  }
  const size = NUMBER_SIZES.get(head) ?? 0
  if (size === 0 || end - start - 1 < size) return -1
  for (let i = 0; i < size; i++) scratch.setUint8(i, bytes[start + 1 + i])
  let value = 0
  if (head === 0xca) value = scratch.getFloat32(0)
  else if (head === 0xcb) value = scratch.getFloat64(0)
  else {
    if (head >= 0xd0 && scratch.getInt8(0) < 0) return -1
    for (let i = 0; i < size; i++) value = value * 256 + bytes[start + 1 + i]
  }
  if (!Number.isSafeInteger(value) || value < 0) return -1
  out.seq = value
  return start + 1 + size
}

/** Size of a number's bytes behind its head: float 32 and 64, uint 8 to 64, int 8 to 64. */
const NUMBER_SIZES = new Map([
  [0xca, 4],
  [0xcb, 8],
  [0xcc, 1],
  [0xcd, 2],
  [0xce, 4],
  [0xcf, 8],
  [0xd0, 1],
  [0xd1, 2],
  [0xd2, 4],
  [0xd3, 8],
])

/**
 * JSON numbers to doubles, bit for bit what JSON.parse gives. Called on the shard's thread for every value.
 *
 * Three ways, each exact: up to 15 digits, four at a time, as an integer divided by a power of ten (both exact doubles, so the
 * one division rounds correctly: Clinger 1990); up to 19 digits and |exponent| <= 22 with a certified correction; and
 * Number() for the rest. Reads up to OVERREAD_BYTES past `end`, so that many must exist in the view; they never matter,
 * because a number that reaches `end` is reported as reaching it.
 */
import { PayloadError } from '../payload-error.ts'

export const OVERREAD_BYTES = 32

const EXACT_MAX = 9_007_199_254_740_992
const POWERS = new Float64Array(23)
for (let i = 0; i < POWERS.length; i++) POWERS[i] = Number(`1e${i}`)

const MINUS = 0x2d
const DOT = 0x2e
const ZERO = 0x30

/** Bits set from the first byte of `digits` (bytes XOR '0', first byte lowest) that is not 0..9 on; 0 when all four are. */
function nonDigits(digits: number): number {
  return ((digits + 0x76767676) | digits) & 0x80808080
}

/** Four decimal digits, first in the lowest byte, to the number they write: pairs, then the pair of pairs. */
function fourDigits(digits: number): number {
  return Math.imul((Math.imul(digits, 2561) >>> 8) & 0x00ff00ff, 6_553_601) >>> 16
}

/** How many bytes stand before the lowest set one of a non-zero `nonDigits` mask. */
function leadingDigits(mask: number): number {
  return (31 - Math.clz32(mask & -mask)) >> 3
}

/**
 * Scans the number at view[start, end) into out[index]. Returns the offset after it (which may exceed `end`: the caller
 * compares) or MALFORMED.
 */
// hot: per value
export function scanNumber(
  view: DataView,
  start: number,
  end: number,
  out: Float64Array,
  index: number,
): number {
  const isNegative = view.getUint8(start) === MINUS
  const first = isNegative ? start + 1 : start
  let offset = first
  let mantissa = 0
  let digits = view.getInt32(offset, true) ^ 0x30303030
  let mask = nonDigits(digits)
  const isZeroFirst = (digits & 0xff) === 0
  while (mask === 0) {
    mantissa = mantissa * 10_000 + fourDigits(digits)
    offset += 4
    if (offset - first > 16) return scanLongNumber(view, start, end, out, index)
    digits = view.getInt32(offset, true) ^ 0x30303030
    mask = nonDigits(digits)
  }
  let count = leadingDigits(mask)
  if (count > 0) {
    mantissa = mantissa * POWERS[count] + fourDigits(digits << (32 - 8 * count))
    offset += count
  }
  const wholeCount = offset - first
  if (wholeCount === 0 || (isZeroFirst && wholeCount > 1)) return PayloadError.MALFORMED
  let next = view.getUint8(offset)
  let fractionCount = 0
  if (next === DOT) {
    const firstFraction = ++offset
    digits = view.getInt32(offset, true) ^ 0x30303030
    mask = nonDigits(digits)
    while (mask === 0) {
      mantissa = mantissa * 10_000 + fourDigits(digits)
      offset += 4
      if (offset - first > 17) return scanLongNumber(view, start, end, out, index)
      digits = view.getInt32(offset, true) ^ 0x30303030
      mask = nonDigits(digits)
    }
    count = leadingDigits(mask)
    if (count > 0) {
      mantissa = mantissa * POWERS[count] + fourDigits(digits << (32 - 8 * count))
      offset += count
    }
    fractionCount = offset - firstFraction
    if (fractionCount === 0) return PayloadError.MALFORMED
    next = view.getUint8(offset)
  }
  if ((next | 0x20) === 0x65 || mantissa >= EXACT_MAX) return scanLongNumber(view, start, end, out, index)
  if (fractionCount > 0) mantissa /= POWERS[fractionCount]
  out[index] = isNegative ? -mantissa : mantissa
  return offset
}

/** As scanNumber, digit by digit, for long mantissas and exponents. */
function scanLongNumber(
  view: DataView,
  start: number,
  end: number,
  out: Float64Array,
  index: number,
): number {
  let offset = start
  const isNegative = view.getUint8(offset) === MINUS
  if (isNegative) offset++
  const isZeroFirst = view.getUint8(offset) === ZERO
  // The first ten significant digits, the next nine, and how many there are in all.
  let high = 0
  let low = 0
  let significant = 0
  let exponent = 0
  let isFraction = false
  let runStart = offset
  for (; offset < end; offset++) {
    const byte = view.getUint8(offset)
    const digit = byte - ZERO
    if (digit >= 0 && digit <= 9) {
      if (isFraction) exponent--
      if (significant === 0 && digit === 0) continue
      if (significant < 10) high = high * 10 + digit
      else if (significant < 19) low = low * 10 + digit
      significant++
    } else if (byte === DOT && !isFraction) {
      if (offset === runStart || (isZeroFirst && offset - runStart > 1)) return PayloadError.MALFORMED
      isFraction = true
      runStart = offset + 1
    } else break
  }
  if (offset === runStart || (!isFraction && isZeroFirst && offset - runStart > 1))
    return PayloadError.MALFORMED
  if (offset < end && (view.getUint8(offset) | 0x20) === 0x65) {
    const after = skipExponent(view, offset + 1, end)
    if (after < 0) return after
    exponent += exponentValue(view, offset + 1, after)
    offset = after
  }
  const magnitude = significant <= 19 ? scaled(high, low, significant, exponent) : NaN
  out[index] = magnitude >= 0 ? (isNegative ? -magnitude : magnitude) : numberOfText(view, start, offset)
  return offset
}

/** The offset after an exponent's sign and digits. */
function skipExponent(view: DataView, start: number, end: number): number {
  let offset = start
  if (offset < end && (view.getUint8(offset) === 0x2b || view.getUint8(offset) === MINUS)) offset++
  const firstDigit = offset
  for (; offset < end; offset++) {
    const byte = view.getUint8(offset)
    if (byte < ZERO || byte > 0x39) break
  }
  return offset === firstDigit ? PayloadError.MALFORMED : offset
}

/** The exponent written in [start, end), saturated far outside what a double holds. */
function exponentValue(view: DataView, start: number, end: number): number {
  let value = 0
  let offset = start
  const sign = view.getUint8(offset)
  if (sign === 0x2b || sign === MINUS) offset++
  for (; offset < end; offset++) value = Math.min(value * 10 + view.getUint8(offset) - ZERO, 99_999_999)
  return sign === MINUS ? -value : value
}

/**
 * The double nearest to the up to 19 digits times 10^exponent, or NaN where this cannot tell. The first ten digits are in
 * `high`, the others in `low`.
 */
function scaled(high: number, low: number, significant: number, exponent: number): number {
  if (significant === 0) return 0
  if (exponent < -22 || exponent > 22) return NaN
  // high * 10^lowDigits + low = upper * 2^16 + lower, all four terms exact.
  const shift = POWERS[significant > 10 ? significant - 10 : 0]
  const upper = Math.floor(high / 65_536) * shift * 65_536
  const lower = (high % 65_536) * shift + low
  const mantissa = upper + lower
  if (exponent === 0) return mantissa
  if (mantissa < EXACT_MAX) {
    return exponent < 0 ? mantissa / POWERS[-exponent] : mantissa * POWERS[exponent]
  }
  if (exponent > 0) return NaN
  // Knuth's two-sum gives what rounding the mantissa lost, Dekker's product what the division left; the quotient plus
  // their small correction is certain when the correction's own error cannot change how the sum rounds.
  const part = mantissa - upper
  const lost = upper - (mantissa - part) + (lower - part)
  const power = POWERS[-exponent]
  const quotient = mantissa / power
  const rest = mantissa - quotient * power - productError(quotient, power) + lost
  const correction = rest / power
  const least = quotient + correction * (1 - 2 ** -49)
  return least === quotient + correction * (1 + 2 ** -49) ? least : NaN
}

const SPLIT = 134_217_729

/** a * b - fl(a * b), exactly (Dekker 1971). */
function productError(a: number, b: number): number {
  const aWide = a * SPLIT
  const aHigh = aWide - (aWide - a)
  const aLow = a - aHigh
  const bWide = b * SPLIT
  const bHigh = bWide - (bWide - b)
  const bLow = b - bHigh
  return aLow * bLow - (a * b - aHigh * bHigh - aLow * bHigh - aHigh * bLow)
}

/** Cold: Number() of a text already known to be a JSON number. */
function numberOfText(view: DataView, start: number, end: number): number {
  const text = Buffer.alloc(end - start)
  for (let i = start; i < end; i++) text[i - start] = view.getUint8(i)
  return Number(text.toString('latin1'))
}

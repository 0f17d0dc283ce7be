/**
 * JSON numbers to doubles, bit for bit what JSON.parse gives. Called on the shard's thread for every value.
 *
 * Three ways, each exact: up to 15 digits, four at a time, as an integer divided by a power of ten (both
 * exact doubles, so the one division rounds correctly: Clinger 1990); up to 19 digits and |exponent| <= 22
 * with a certified correction; and Number() for the rest. Reads up to OVERREAD_BYTES past `end`, so that many
 * must exist in the view; they never matter, because a number that reaches `end` is reported as reaching it.
 */
import { PayloadError } from '../payload-error.ts'

export const OVERREAD_BYTES = 32

const EXACT_MAX = 9_007_199_254_740_992
const POWERS = new Float64Array(23)
for (let i = 0; i < POWERS.length; i++) POWERS[i] = Number(`1e${i}`)

const COMMA = 0x2c
const MINUS = 0x2d
const DOT = 0x2e
const ZERO = 0x30
const NINE = 0x39
const LETTER_E = 0x65
const CLOSE_BRACE = 0x7d
/** A minus XOR '0'. */
const MINUS_DIGIT = MINUS ^ ZERO

/**
 * Four decimal digits (bytes less '0', the first lowest) to the number they write: pairs, then the pair of
 * pairs.
 */
function fourDigits(digits: number): number {
  return Math.imul((Math.imul(digits, 2561) >>> 8) & 0x00ff00ff, 6_553_601) >>> 16
}

/**
 * The high bits of the bytes of `digits` (bytes XOR '0') that are not 0..9; above the first such byte,
 * perhaps others too.
 */
function otherBytes(digits: number): number {
  return ((digits + 0x76767676) | digits) & 0x80808080
}

/**
 * How many bytes of `digits` (bytes XOR '0', the first lowest) are 0..9 before one that is not. Told by
 * branches though it could be counted: a predicted branch frees the loads that follow from waiting for this
 * one (bench json).
 */
function leadingDigits(digits: number): number {
  const others = otherBytes(digits)
  if (others === 0) return 4
  if ((others & 0x80) !== 0) return 0
  return (others & 0x8000) !== 0 ? 1 : (others & 0x800000) !== 0 ? 2 : 3
}

/**
 * Scans the number at view[start, end) into out[index]. Returns the offset after it (which may exceed `end`:
 * the caller compares) or MALFORMED. Up to four digits on either side of the dot here, the others in
 * scanWideNumber.
 */
// hot: per value
export function scanNumber(
  view: DataView,
  start: number,
  end: number,
  out: Float64Array,
  index: number,
): number {
  let offset = start
  let digits = view.getInt32(offset, true) ^ 0x30303030
  const isNegative = (digits & 0xff) === MINUS_DIGIT
  if (isNegative) digits = view.getInt32(++offset, true) ^ 0x30303030
  let count = leadingDigits(digits)
  if (count === 0) return PayloadError.MALFORMED
  if (count > 1 && (digits & 0xff) === 0) return scanLongNumber(view, start, end, out, index)
  let mantissa = fourDigits(digits << (32 - 8 * count))
  offset += count
  let next = view.getUint8(offset)
  count = 0
  if (next === DOT) {
    digits = view.getInt32(offset + 1, true) ^ 0x30303030
    count = leadingDigits(digits)
    if (count === 0) return PayloadError.MALFORMED
    mantissa = mantissa * POWERS[count] + fourDigits(digits << (32 - 8 * count))
    offset += count + 1
    next = view.getUint8(offset)
  }
  if ((next >= ZERO && next <= NINE) || (next | 0x20) === LETTER_E) {
    return scanWideNumber(view, start, end, out, index)
  }
  if (count > 0) mantissa /= POWERS[count]
  out[index] = isNegative ? -mantissa : mantissa
  return offset
}

/**
 * The epoch in milliseconds as this century writes it: 13 digits, then a comma or a brace, to out[0]. Returns
 * the offset after the digits, or -1 when it is anything else, a shorter number too.
 */
// hot: per message
export function scanEpochMs(view: DataView, start: number, out: Float64Array): number {
  const first = view.getInt32(start, true) ^ 0x30303030
  const second = view.getInt32(start + 4, true) ^ 0x30303030
  const third = view.getInt32(start + 8, true) ^ 0x30303030
  const last = view.getUint8(start + 12) ^ ZERO
  const next = view.getUint8(start + 13)
  if ((otherBytes(first) | otherBytes(second) | otherBytes(third)) !== 0) return -1
  if (last > 9 || (first & 0xff) === 0 || (next !== COMMA && next !== CLOSE_BRACE)) return -1
  out[0] = (fourDigits(first) * 10_000 + fourDigits(second)) * 100_000 + (fourDigits(third) * 10 + last)
  return start + 13
}

/** As scanNumber, for up to 20 digits, four at a time. The faster one for epochs. */
// hot: per value
export function scanWideNumber(
  view: DataView,
  start: number,
  end: number,
  out: Float64Array,
  index: number,
): number {
  const isNegative = view.getUint8(start) === MINUS
  let offset = isNegative ? start + 1 : start
  let digits = view.getInt32(offset, true) ^ 0x30303030
  const isZeroFirst = (digits & 0xff) === 0
  // The first 12 to 15 digits, exact, and those after them.
  let high = 0
  let low = 0
  let lowCount = 0
  let digitCount = 0
  let fractionStart = 0
  for (;;) {
    const count = leadingDigits(digits)
    if (count > 0) {
      const value = fourDigits(digits << (32 - 8 * count))
      if (digitCount < 12) high = high * POWERS[count] + value
      else {
        low = low * POWERS[count] + value
        lowCount += count
      }
      digitCount += count
      offset += count
    }
    if (count < 4) {
      if (fractionStart > 0 || view.getUint8(offset) !== DOT) break
      if (digitCount === 0 || (isZeroFirst && digitCount > 1)) return PayloadError.MALFORMED
      fractionStart = ++offset
    } else if (digitCount > 16) return scanLongNumber(view, start, end, out, index)
    digits = view.getInt32(offset, true) ^ 0x30303030
  }
  const fractionCount = fractionStart > 0 ? offset - fractionStart : 0
  if (fractionStart === 0 ? isZeroFirst && digitCount > 1 : fractionCount === 0) return PayloadError.MALFORMED
  if (digitCount === 0) return PayloadError.MALFORMED
  if ((view.getUint8(offset) | 0x20) === LETTER_E) return scanLongNumber(view, start, end, out, index)
  const mantissa = high * POWERS[lowCount] + low
  if (mantissa < EXACT_MAX) {
    out[index] = (isNegative ? -mantissa : mantissa) / POWERS[fractionCount]
    return offset
  }
  const magnitude = quotientOf(high, POWERS[lowCount], low, POWERS[fractionCount])
  if (!(magnitude > 0)) return scanLongNumber(view, start, end, out, index)
  out[index] = isNegative ? -magnitude : magnitude
  return offset
}

/**
 * The double nearest to (high * scale + low) / power, all four whole numbers that are exact doubles, or NaN
 * where the certificate fails. Dekker's product and quick two-sum (1971) give the numerator exactly as a sum
 * of two doubles, and what the division left; the quotient plus that small correction is certain when the
 * correction's own error cannot change how the sum rounds.
 */
function quotientOf(high: number, scale: number, low: number, power: number): number {
  const product = high * scale
  const numerator = product + low
  const lost = product - numerator + low + productError(high, scale)
  if (power === 1) return numerator + lost
  const quotient = numerator / power
  const rest = numerator - quotient * power - productError(quotient, power) + lost
  const correction = rest / power
  const least = quotient + correction * (1 - 2 ** -49)
  return least === quotient + correction * (1 + 2 ** -49) ? least : NaN
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
  if (offset < end && (view.getUint8(offset) | 0x20) === LETTER_E) {
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
 * The double nearest to the up to 19 digits times 10^exponent, or NaN where this cannot tell. The first ten
 * digits are in `high`, the others in `low`.
 */
function scaled(high: number, low: number, significant: number, exponent: number): number {
  if (significant === 0) return 0
  const scale = POWERS[significant > 10 ? significant - 10 : 0]
  if (exponent <= 0) return exponent < -22 ? NaN : quotientOf(high, scale, low, POWERS[-exponent])
  const mantissa = high * scale + low
  return exponent <= 22 && mantissa < EXACT_MAX ? mantissa * POWERS[exponent] : NaN
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

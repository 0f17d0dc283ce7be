/**
 * Event times as devices write them, to milliseconds since the epoch. Pure functions, safe on any thread.
 *
 * An epoch number tells its unit by its size. Below 1e10 it is seconds (up to the year 2286), below 1e13
 * milliseconds (from 26 April 1970), below 1e16 microseconds, below 1e19 nanoseconds (both from that day on).
 * So seconds cover every time from 1970 to 2286 and the finer units all but its first 116 days, which only a
 * clock that was never set shows. The result lies in [0, 1e13) and keeps the fraction of a millisecond; a
 * time outside it is none. A double of seconds or nanoseconds is no finer than a quarter of a microsecond in
 * this century, and a little off: these two are rounded to the microsecond, so that a whole millisecond comes
 * out whole (of nanoseconds, until 2041).
 */

const SECONDS_END = 1e10
const MILLIS_END = 1e13
const MICROS_END = 1e16
const NANOS_END = 1e19
const DAY_MS = 86_400_000
const FRACTION_DIGITS_MAX = 9

/** An epoch number in s, ms, us or ns to ms; NaN when it is no sensible time. */
// hot: per message
export function epochToMs(epoch: number): number {
  if (epoch < SECONDS_END) return epoch >= 0 ? (Math.round(epoch * 1e6) + 0) / 1e3 : NaN
  if (epoch < MILLIS_END) return epoch
  if (epoch < MICROS_END) return epoch / 1e3
  return epoch < NANOS_END ? Math.round(epoch / 1e3) / 1e3 : NaN
}

/** Seconds and nanoseconds (MessagePack's timestamps) to ms; NaN when out of range. */
export function secondsToMs(seconds: number, nanos: number): number {
  const ms = seconds * 1000 + nanos / 1e6
  return nanos < 1e9 && ms >= 0 && ms < MILLIS_END ? ms : NaN
}

/**
 * ISO 8601 in bytes[start, end), extended form: a date, then optionally `T` or a space, hours and minutes,
 * seconds, a fraction of 1 to 9 digits, and `Z` or an offset (none means UTC). 24:00 ends a day; second 60 is
 * the next minute's first. Writes ms to out[index]; false when it is anything else or out of range.
 */
// hot: per message
export function isoToMs(
  bytes: Uint8Array,
  start: number,
  end: number,
  out: Float64Array,
  index: number,
): boolean {
  if (end - start < 10 || bytes[start + 4] !== 0x2d || bytes[start + 7] !== 0x2d) return false
  const century = twoDigits(bytes, start)
  const yearOfCentury = twoDigits(bytes, start + 2)
  const month = twoDigits(bytes, start + 5)
  const day = twoDigits(bytes, start + 8)
  if ((century | yearOfCentury | month | day) < 0) return false
  const days = daysFromCivil(century * 100 + yearOfCentury, month, day)
  if (days < -1) return false
  out[index] = days * DAY_MS
  if (end - start > 10 && !addTimeOfDay(bytes, start + 10, end, out, index)) return false
  return out[index] >= 0 && out[index] < MILLIS_END
}

/** Adds what follows the date to out[index]. */
function addTimeOfDay(
  bytes: Uint8Array,
  start: number,
  end: number,
  out: Float64Array,
  index: number,
): boolean {
  const separator = bytes[start]
  if (separator !== 0x54 && separator !== 0x74 && separator !== 0x20) return false
  if (end - start < 6 || bytes[start + 3] !== 0x3a) return false
  const hours = twoDigits(bytes, start + 1)
  const minutes = twoDigits(bytes, start + 4)
  if (hours < 0 || minutes < 0 || hours > 24 || minutes > 59) return false
  let seconds = 0
  let nanos = 0
  let offset = start + 6
  if (end - offset >= 3 && bytes[offset] === 0x3a) {
    seconds = twoDigits(bytes, offset + 1)
    if (seconds < 0 || seconds > 60) return false
    offset += 3
    if (offset < end && (bytes[offset] === 0x2e || bytes[offset] === 0x2c)) {
      const first = ++offset
      while (offset < end && isDigit(bytes[offset])) nanos = nanos * 10 + bytes[offset++] - 0x30
      const digits = offset - first
      if (digits === 0 || digits > FRACTION_DIGITS_MAX) return false
      for (let i = digits; i < FRACTION_DIGITS_MAX; i++) nanos *= 10
    }
  }
  if (hours === 24 && (minutes | seconds | nanos) !== 0) return false
  const zoneMinutes = zoneOffsetMinutes(bytes, offset, end)
  if (zoneMinutes === ZONE_BAD) return false
  out[index] += (hours * 60 + minutes - zoneMinutes) * 60_000 + seconds * 1000 + nanos / 1e6
  return true
}

const ZONE_BAD = 10_000

/** The zone in bytes[offset, end): nothing, `Z`, `+hh`, `+hhmm` or `+hh:mm`. */
function zoneOffsetMinutes(bytes: Uint8Array, offset: number, end: number): number {
  const sizeBytes = end - offset
  if (sizeBytes === 0) return 0
  const sign = bytes[offset]
  if (sizeBytes === 1) return sign === 0x5a || sign === 0x7a ? 0 : ZONE_BAD
  if (sign !== 0x2b && sign !== 0x2d) return ZONE_BAD
  const hasColon = sizeBytes === 6 && bytes[offset + 3] === 0x3a
  if (!hasColon && sizeBytes !== 3 && sizeBytes !== 5) return ZONE_BAD
  const hours = twoDigits(bytes, offset + 1)
  const minutes = sizeBytes === 3 ? 0 : twoDigits(bytes, offset + (hasColon ? 4 : 3))
  if (hours < 0 || minutes < 0 || hours > 23 || minutes > 59) return ZONE_BAD
  return sign === 0x2d ? -(hours * 60 + minutes) : hours * 60 + minutes
}

function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39
}

/** Two decimal digits as a number; negative when they are none. */
function twoDigits(bytes: Uint8Array, offset: number): number {
  const tens = bytes[offset] - 0x30
  const ones = bytes[offset + 1] - 0x30
  return tens < 0 || tens > 9 || ones < 0 || ones > 9 ? -1 : tens * 10 + ones
}

const DAYS_BEFORE_MONTH = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365]

/**
 * Days from 1970-01-01 to a date of the Gregorian calendar; -2 for a date that does not exist or lies before
 * 1969.
 */
function daysFromCivil(year: number, month: number, day: number): number {
  if (year < 1969 || month < 1 || month > 12 || day < 1) return -2
  const isLeap = year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0)
  const leapDay = isLeap && month === 2 ? 1 : 0
  if (day > DAYS_BEFORE_MONTH[month] - DAYS_BEFORE_MONTH[month - 1] + leapDay) return -2
  const past = year - 1
  const leapDays = Math.floor(past / 4) - Math.floor(past / 100) + Math.floor(past / 400) - 477
  const afterFebruary = isLeap && month > 2 ? 1 : 0
  return (year - 1970) * 365 + leapDays + DAYS_BEFORE_MONTH[month - 1] + afterFebruary + day - 1
}

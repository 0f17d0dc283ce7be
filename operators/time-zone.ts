/**
 * Offsets of an IANA time zone from UTC, from the runtime's own tables (Intl). Pure but for those tables: another version of
 * them may tell other offsets.
 */

/** The range of a JavaScript date. */
const TS_MS_MAX = 8.64e15
/** More than any zone was ever off UTC (Manila and Alaska before their days of change: nearly 16 h). */
const OFFSET_MS_MAX = 17 * 3_600_000

const OFFSET = /^GMT(?:([+-])(\d\d):(\d\d)(?::(\d\d))?)?$/

export class TimeZone {
  readonly name: string
  readonly #format: Intl.DateTimeFormat

  /** Throws RangeError for a name that is no time zone. */
  constructor(name: string) {
    this.name = name
    this.#format = new Intl.DateTimeFormat('en-US', { timeZone: name, timeZoneName: 'longOffset' })
  }

  /** Local time less UTC at that instant, ms; that of the nearest date beyond the range of dates. */
  offsetMs(ts: number): number {
    const text = this.#format.format(Math.max(-TS_MS_MAX, Math.min(TS_MS_MAX, ts)))
    const match = OFFSET.exec(text.slice(text.lastIndexOf(' ') + 1))
    if (match === null)
      throw new RangeError(`time zone ${this.name} has no offset in ${JSON.stringify(text)}`)
    const [, sign = '+', hours = '0', minutes = '0', seconds = '0'] = match
    const sizeMs = (Number(hours) * 3600 + Number(minutes) * 60 + Number(seconds)) * 1000
    return sign === '-' ? -sizeMs : sizeMs
  }

  /**
   * The first instant at which the clocks there show `localMs` (as if it were UTC) or later: of a time that comes twice the
   * first, for one that is skipped the instant of the change.
   */
  firstAt(localMs: number): number {
    let lowMs = localMs - OFFSET_MS_MAX
    let highMs = localMs + OFFSET_MS_MAX
    const before = this.offsetMs(lowMs)
    const after = this.offsetMs(highMs)
    if (before === after) return localMs - before
    // One change lies between. Times before it: does any of them show it?
    while (highMs - lowMs > 1) {
      const middleMs = Math.floor((lowMs + highMs) / 2)
      if (this.offsetMs(middleMs) === before) lowMs = middleMs
      else highMs = middleMs
    }
    if (localMs - before < highMs) return localMs - before
    return Math.max(highMs, localMs - this.offsetMs(highMs))
  }
}

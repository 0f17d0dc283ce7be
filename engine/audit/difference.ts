/** One place where the books and what they are about do not agree. */
export interface Difference {
  check: 'ledger' | 'samples' | 'dead_letters' | 'rollups' | 'windows' | 'points' | 'journal'
  stream: string
  /** Of rollups, windows and points, as in the column `window` or `method`. */
  window?: string
  /** The arrival minute, or the hour that windows start in; ISO 8601. */
  at: string
  expected: number
  found: number
  /** For people, one line. */
  text: string
}

/** Of one check; the others are only counted. */
export const DIFFERENCE_COUNT_MAX = 100

/** `2026-03-01 17:05` in UTC. */
export function minuteText(ms: number): string {
  return new Date(ms).toISOString().slice(0, 16).replace('T', ' ')
}

/**
 * What a detector is told to do, as plain data: the config makes it, operators and the table `anomalies` read it. Its label stands
 * in the column `detector` and, with the stream, names the detector.
 */

/** Over single series, without settings. */
export const PLAIN_DETECTORS = [
  'adaptive',
  'hampel',
  'ewma',
  'page-hinkley',
  'seasonal',
  'rate',
  'flatline',
] as const

export type DetectorKind =
  | { kind: (typeof PLAIN_DETECTORS)[number] }
  /** Null: no limit on that side. */
  | { kind: 'limits'; low: number | null; high: number | null; hysteresis: number }
  /** Overdue after so many usual intervals of the series, and never before `silenceMsMin`. */
  | { kind: 'missing'; intervals: number; silenceMsMin: number }
  /** Over readings of one device and time, of all the metrics; `limit` in normal deviations. */
  | { kind: 'multivariate'; limit: number }

export type DetectorSpec = DetectorKind & {
  /** Names of metrics, in which `*` stands for any characters; null for all. Of 'multivariate' whole names, which are its dimensions. */
  metrics: string[] | null
  /** An episode ends when nothing of note came for this long. */
  quietMs: number
  /** No new episode of a series for this long after one, unless it is more severe. */
  coolDownMs: number
}

/** To be raised when what a kind learned, or how it goes on from there, is another: what an earlier one learned is then forgotten. */
const STATE_VERSIONS: Partial<Record<DetectorSpec['kind'], number>> = { adaptive: 2 }

export function stateVersion(kind: DetectorSpec['kind']): number {
  return STATE_VERSIONS[kind] ?? 1
}

const MINUTE_MS = 60_000
const HOUR_MS = 3_600_000

/** Quiet time and cool-down of those that are left to themselves. */
export function usualTimes(kind: DetectorSpec['kind']): { quietMs: number; coolDownMs: number } {
  // These know when it is over.
  if (kind === 'limits' || kind === 'flatline') return { quietMs: MINUTE_MS, coolDownMs: 0 }
  if (kind === 'missing') return { quietMs: 0, coolDownMs: 0 }
  return { quietMs: HOUR_MS, coolDownMs: HOUR_MS }
}

/**
 * What a downsampler is told to do, as plain data: the config makes it, operators and the table `points` read it. A spec's label
 * stands in the column `method` and, with the stream, names the downsampler.
 *
 * Methods over windows choose from the readings of a window alone, so that a window can be computed anew:
 *   mean        one point at the window's start
 *   min-max     its smallest and its greatest reading
 *   m4          first, last, smallest, greatest (Jugel et al., VLDB 2014): a line chart with a pixel column per window is exact
 *   lttb        largest triangle three buckets over the window (Steinarsson 2013); first and last reading are always among them
 *   minmax-lttb the same over the extremes of `points * 2` bins (Van Der Donckt et al. 2023), in memory that does not grow
 * Compression goes on from reading to reading, and each dropped one lies within the deviation of the kept line:
 *   deadband       a staircase: the last kept value holds until a reading is further from it
 *   swinging-door  straight lines between kept readings
 */
import { durationLabel } from '../window-spec.ts'

export interface WindowPointSpec {
  method: 'mean' | 'min-max' | 'm4' | 'lttb' | 'minmax-lttb'
  widthMs: number
  /** Of a window, at most; LTTB methods alone ask, it is 0 with others. */
  points: number
}

export interface CompressionSpec {
  method: 'deadband' | 'swinging-door'
  /** Null: it follows from pointsPerHour. */
  deviation: number | null
  /** Of a series and an hour of event time, at most; null when a deviation is given. */
  pointsPerHour: number | null
  /** A reading is kept at least this often, as far as there are any and the budget allows, ms. */
  longestMs: number
}

export type PointSpec = WindowPointSpec | CompressionSpec

export const LONGEST_MS = 3_600_000

export function isCompression(spec: PointSpec): spec is CompressionSpec {
  return spec.method === 'deadband' || spec.method === 'swinging-door'
}

/** What stands in the column `method`. Two specs of one stream with the same label are the same. */
export function pointLabel(spec: PointSpec): string {
  if (!isCompression(spec))
    return [spec.method, durationLabel(spec.widthMs), ...(spec.points > 0 ? [spec.points] : [])].join(' ')
  const { method, deviation, pointsPerHour, longestMs } = spec
  const strength = deviation === null ? `${pointsPerHour}/h` : `${deviation}`
  return `${method} ${strength}${longestMs === LONGEST_MS ? '' : ` ${durationLabel(longestMs)}`}`
}

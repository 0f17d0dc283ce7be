/**
 * Compares the points of a run that has ended with what downsamplers keep of all its samples: of windows the very points, of
 * compression that its line tells of each reading within the deviation.
 */
import { isDeepStrictEqual } from 'node:util'
import type { Point } from '../../operators/downsample/downsample-fixture.ts'
import { type StoredPoint, untold } from '../../operators/downsample/kept-line.ts'
import { isCompression, type PointSpec, type WindowPointSpec } from '../../operators/downsample/point-spec.ts'
import { pointsOf } from '../../operators/downsample/points-oracle.ts'
import { numbersOf } from './sim-points.ts'
import type { SimWindows } from './sim-windows.ts'
import { SimulationError } from './simulation-error.ts'

export interface KnownDownsampler {
  label: string
  spec: PointSpec
}

/** Which downsamplers see readings of a stream's metric, by epoch: configs of a run, one after another. */
export interface Downsamplers {
  epochCount: number
  of(epoch: number, stream: string, metric: string): KnownDownsampler[]
}

/** Means are sums of one order or another. */
const ROUNDING = 1e-12

/** Returns how many points there are. */
export function judgePoints(windows: SimWindows, downsamplers: Downsamplers): number {
  let count = 0
  for (const series of windows.series) {
    const [stream, , metric] = series.split(' ')
    for (const { label, spec } of downsamplers.of(downsamplers.epochCount - 1, stream, metric)) {
      const { since, isNew } = sinceWhen(label, downsamplers, stream, metric)
      const samples = windows.samplesOf(series)
      const seen = numbersOf(samples.filter((sample) => sample.series >= since))
      const found = windows.points.newest(series, label)
      count += found.length
      const about = `${series} ${label}`
      if (isCompression(spec)) {
        const [reading] = untold(spec, seen, found)
        if (reading !== undefined) fail(`${about}: ${reading.value} at ${reading.ts} is told by nothing`)
      } else {
        const isSeen = (startMs: number) =>
          since === 0 || seen.some(({ ts }) => Math.floor(ts / spec.widthMs) * spec.widthMs === startMs)
        judgeWindows(about, spec, numbersOf(samples), found, isSeen, isNew)
      }
    }
  }
  return count
}

function judgeWindows(
  about: string,
  spec: WindowPointSpec,
  samples: readonly Point[],
  found: readonly StoredPoint[],
  isSeen: (startMs: number) => boolean,
  isNew: boolean,
): void {
  const startOf = ({ ts }: Point) => Math.floor(ts / spec.widthMs) * spec.widthMs
  const wanted = Map.groupBy(pointsOf(spec, samples), startOf)
  const stored = Map.groupBy(found, startOf)
  for (const startMs of new Set([...wanted.keys(), ...stored.keys()])) {
    const points = (stored.get(startMs) ?? []).sort((a, b) => a.ts - b.ts || a.value - b.value)
    if (!isSeen(startMs) && (points.length === 0 || !isNew)) continue
    if (!areSame(points, wanted.get(startMs) ?? []))
      fail(`${about} ${startMs}: ${tell(points)} instead of ${tell(wanted.get(startMs) ?? [])}`)
  }
}

function areSame(points: readonly StoredPoint[], wanted: readonly Point[]): boolean {
  return (
    isDeepStrictEqual(
      points.map(({ ts }) => ts),
      wanted.map(({ ts }) => ts),
    ) && points.every(({ value }, i) => Math.abs(value - wanted[i].value) <= ROUNDING * Math.abs(value))
  )
}

/** The epoch from which on it was there as it is now; new, when it was not there before. */
function sinceWhen(
  label: string,
  { epochCount, of }: Downsamplers,
  stream: string,
  metric: string,
): { since: number; isNew: boolean } {
  const isThere = Array.from({ length: epochCount }, (_, epoch) =>
    of(epoch, stream, metric).some((other) => other.label === label),
  )
  const since = isThere.lastIndexOf(false) + 1
  return { since, isNew: !isThere.slice(0, since).includes(true) }
}

function tell(points: readonly Point[]): string {
  return points.map(({ ts, value }) => `${value} at ${ts}`).join(', ') || 'none'
}

function fail(message: string): never {
  throw new SimulationError(`points ${message}`)
}

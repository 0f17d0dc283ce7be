/** Whether a line that was kept tells of the readings that were dropped: for the audit, and for tests. Pure. */
import type { CompressionSpec } from './point-spec.ts'

interface Point {
  ts: number
  value: number
}

/** A point as the table has it. */
export interface StoredPoint extends Point {
  deviation: number
  isLate: boolean
}

/**
 * Those of the readings that are neither points, nor as near to the kept line as was said. What follows the last point of a line with a
 * budget is told by nothing; neither is it where `isOpen`, for a door may still be swinging.
 */
export function untold<Reading extends Point>(
  spec: CompressionSpec,
  readings: readonly Reading[],
  points: readonly StoredPoint[],
  isOpen = false,
): Reading[] {
  const known = new Set(points.map(keyOf))
  const line = points.filter(({ isLate }) => !isLate).sort(compare)
  const isTold = spec.method === 'deadband' ? isOnStep : isOnLine
  const { pointsPerHour, method } = spec
  return readings.filter((reading) => {
    if (known.has(keyOf(reading))) return false
    const after = firstAfter(line, reading)
    const isBehind = after > 0 && (after === line.length || Number.isNaN(line[after].deviation))
    const isUnbound =
      pointsPerHour !== null || (isOpen && method === 'swinging-door' && after === line.length)
    return !(isBehind && isUnbound) && !isTold(spec, reading, line, after)
  })
}

function keyOf({ ts, value }: Point): string {
  return `${ts} ${value}`
}

function compare(a: Point, b: Point): number {
  return a.ts - b.ts || a.value - b.value
}

/** The place in the line of the first point that is after the reading; its length when there is none. */
function firstAfter(line: readonly StoredPoint[], reading: Point): number {
  let low = 0
  let high = line.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (compare(line[middle], reading) > 0) high = middle
    else low = middle + 1
  }
  return low
}

function isOnStep(
  { deviation }: CompressionSpec,
  { value }: Point,
  line: readonly StoredPoint[],
  after: number,
): boolean {
  if (after === 0) return false
  const allowed = deviation ?? line[after].deviation
  return Math.abs(value - line[after - 1].value) <= allowed * (1 + Number.EPSILON)
}

/** On one of the straight lines over its time: at a point's own there are several. */
function isOnLine(
  { deviation }: CompressionSpec,
  reading: Point,
  line: readonly StoredPoint[],
  after: number,
): boolean {
  let first = after
  while (first > 0 && line[first - 1].ts === reading.ts) first--
  for (let i = Math.max(first, 1); i < line.length && line[i - 1].ts <= reading.ts; i++) {
    const isNear = isNearLine(deviation ?? line[i].deviation, reading, line[i - 1], line[i])
    if (isNear && !Number.isNaN(line[i].deviation)) return true
  }
  return false
}

function isNearLine(allowed: number, { ts, value }: Point, a: Point, b: Point): boolean {
  if (a.ts === b.ts) return value >= a.value - allowed && value <= b.value + allowed
  const share = (ts - a.ts) / (b.ts - a.ts)
  const rounding = (Math.abs(a.value) + Math.abs(b.value)) * 1e-14
  return Math.abs(a.value + (b.value - a.value) * share - value) <= allowed + rounding
}

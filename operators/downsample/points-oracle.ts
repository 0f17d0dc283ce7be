/** For tests: what downsamplers keep of readings, from the definitions. */
import type { Point } from './downsample-fixture.ts'
import type { WindowPointSpec } from './point-spec.ts'

/** Of all windows, in order. */
export function pointsOf(spec: WindowPointSpec, readings: readonly Point[]): Point[] {
  const windows = Map.groupBy(sorted(readings), ({ ts }) => Math.floor(ts / spec.widthMs))
  return [...windows.values()].flatMap((own) => pointsOfWindow(spec, own))
}

/** `readings` are all of the window, in the order (ts, value). */
export function pointsOfWindow(spec: WindowPointSpec, readings: readonly Point[]): Point[] {
  const { method, widthMs, points } = spec
  const least = (list: readonly Point[]) => list.reduce((a, b) => (b.value < a.value ? b : a))
  const greatest = (list: readonly Point[]) => list.reduce((a, b) => (b.value > a.value ? b : a))
  const first = readings[0]
  const last = readings[readings.length - 1]
  switch (method) {
    case 'mean': {
      const mean = exactSum(readings.map(({ value }) => value)) / readings.length
      return [{ ts: Math.floor(first.ts / widthMs) * widthMs, value: mean }]
    }
    case 'min-max':
      return inOrder([least(readings), greatest(readings)])
    case 'm4':
      return inOrder([first, least(readings), greatest(readings), last])
    case 'lttb':
      return inOrder(triangles(readings, points))
    case 'minmax-lttb': {
      const binMs = Math.ceil(widthMs / (points * 2))
      const bins = Map.groupBy(readings.slice(1, -1), ({ ts }) => Math.floor(ts / binMs))
      const extremes = [...bins.values()].flatMap((bin) =>
        least(bin).value === greatest(bin).value ? [bin[0]] : sorted([least(bin), greatest(bin)]),
      )
      return inOrder(triangles(readings.length === 1 ? [first] : [first, ...extremes, last], points))
    }
  }
}

function sorted(points: readonly Point[]): Point[] {
  return [...points].sort((a, b) => a.ts - b.ts || a.value - b.value)
}

/** Each once. */
function inOrder(points: readonly Point[]): Point[] {
  return sorted(points).filter(
    ({ ts, value }, i, all) => i === 0 || ts !== all[i - 1].ts || value !== all[i - 1].value,
  )
}

/** Rounded once: sums of pairs, until they lose nothing (Shewchuk). */
function exactSum(values: readonly number[]): number {
  let partials: number[] = []
  for (const value of values) {
    let x = value
    const rest: number[] = []
    for (const y of partials) {
      const sum = x + y
      const part = sum - x
      const error = x - (sum - part) + (y - part)
      if (error !== 0) rest.push(error)
      x = sum
    }
    partials = [...rest, x]
  }
  return partials.reduce((sum, x) => sum + x, 0)
}

function triangles(points: readonly Point[], pointsMax: number): Point[] {
  const { length } = points
  if (length <= pointsMax) return [...points]
  const every = (length - 2) / (pointsMax - 2)
  const edge = (bucket: number) => Math.min(Math.floor(bucket * every) + 1, length)
  const chosen = [points[0]]
  for (let bucket = 0; bucket < pointsMax - 2; bucket++) {
    const before = chosen[chosen.length - 1]
    const next = points.slice(edge(bucket + 1), edge(bucket + 2))
    const meanMs = next.reduce((sum, { ts }) => sum + ts, 0) / next.length
    const mean = next.reduce((sum, { value }) => sum + value, 0) / next.length
    const area = ({ ts, value }: Point) =>
      Math.abs((before.ts - meanMs) * (value - before.value) - (before.ts - ts) * (mean - before.value))
    const own = points.slice(edge(bucket), edge(bucket + 1))
    chosen.push(own.reduce((a, b) => (area(b) > area(a) ? b : a)))
  }
  return [...chosen, points[length - 1]]
}

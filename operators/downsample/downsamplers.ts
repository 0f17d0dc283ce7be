/** From a spec to the downsampler that does it. */
import type { OrderedMemory } from '../ordered-memory.ts'
import type { OrderedOperator } from '../ordered-operator.ts'
import { WindowSettingsError } from '../window-plan.ts'
import { Deadband } from './deadband.ts'
import { ExtremePanes, MeanPanes } from './plain-panes.ts'
import { DEVIATION_MIN } from './point-budget.ts'
import type { PointPanes } from './point-panes.ts'
import { type CompressionSpec, isCompression, type PointSpec, type WindowPointSpec } from './point-spec.ts'
import { SwingingDoor } from './swinging-door.ts'
import { LttbPanes, MinMaxLttbPanes } from './triangle-panes.ts'
import { type PointOutput, WindowPoints } from './window-points.ts'

/** Of a window, and of the time between two points. */
export const POINT_SPAN_MS_MAX = 366 * 86_400_000
/** Of a window: they must fit into one block of memory when they are shown. */
export const POINTS_MAX = 10_000
export const POINTS_PER_HOUR_MAX = 3_600_000

/** `index` names it in points, `amendmentIndex` among all that ask for amendments. */
export function makeDownsampler(
  spec: PointSpec,
  index: number,
  amendmentIndex: number,
  output: PointOutput,
  memory: OrderedMemory,
  idleTimeoutMs: number,
): OrderedOperator {
  if (!isCompression(spec))
    return new WindowPoints(spec.widthMs, makePanes(spec, memory), index, amendmentIndex, output, memory)
  if (spec.method === 'deadband') return new Deadband(spec, index, output)
  return new SwingingDoor(spec, index, output, idleTimeoutMs)
}

/** Throws WindowSettingsError. */
export function checkPointSpec(path: string, spec: PointSpec): void {
  if (!isCompression(spec)) {
    checkWhole(`${path}.widthMs`, spec.widthMs, 1, POINT_SPAN_MS_MAX)
    if (spec.method.endsWith('lttb')) checkWhole(`${path}.points`, spec.points, 3, POINTS_MAX)
    return
  }
  checkWhole(`${path}.longestMs`, spec.longestMs, 1, POINT_SPAN_MS_MAX)
  const { method, deviation, pointsPerHour } = spec
  if (pointsPerHour !== null) checkWhole(`${path}.pointsPerHour`, pointsPerHour, 1, POINTS_PER_HOUR_MAX)
  if ((deviation === null) === (pointsPerHour === null))
    throw new WindowSettingsError(`${path}: either a deviation or pointsPerHour`)
  const smallest = smallestDeviation(method)
  if (deviation !== null && !(deviation >= smallest && deviation <= Number.MAX_VALUE))
    throw new WindowSettingsError(`${path}.deviation: ${deviation} is not a number from ${smallest} on`)
}

export function smallestDeviation(method: CompressionSpec['method']): number {
  return method === 'deadband' ? 0 : DEVIATION_MIN
}

function makePanes(spec: WindowPointSpec, memory: OrderedMemory): PointPanes {
  switch (spec.method) {
    case 'mean':
      return new MeanPanes()
    case 'min-max':
      return new ExtremePanes(false)
    case 'm4':
      return new ExtremePanes(true)
    case 'lttb':
      return new LttbPanes(spec.points, memory)
    case 'minmax-lttb':
      return new MinMaxLttbPanes(spec.widthMs, spec.points, memory)
  }
}

function checkWhole(path: string, value: number, min: number, max: number): void {
  if (Number.isSafeInteger(value) && value >= min && value <= max) return
  throw new WindowSettingsError(`${path}: ${value} is not a whole number of ${min} to ${max}`)
}

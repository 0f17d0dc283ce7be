/**
 * Settings of ordered windows, checked once when they are made, and as numbers, so that a saved state tells which it belongs to.
 */
import { checkPointSpec } from './downsample/downsamplers.ts'
import type { PointSpec } from './downsample/point-spec.ts'
import { WindowSettingsError } from './window-plan.ts'
import { type WindowSpec, windowAggregates, windowLabel } from './window-spec.ts'

export interface OrderedSettings {
  /** Those with aggregates for the table `windows`; an operator's index in rows is the spec's here. */
  specs: readonly WindowSpec[]
  /** Those for the table `points`; none when left out. */
  downsamplers?: readonly PointSpec[]
  latenessMs: number
  idleTimeoutMs: number
  /** Readings further ahead of their arrival never come here, nor came in an earlier life. */
  aheadGuardMs: number
  /** Series silent for this long lose their state; seven days by default. */
  forgetMs?: number
  /** Amendments leave this often, joined by then; every ten seconds by default. */
  amendEveryMs?: number
  /** Room for readings that are held, in all; 16 million by default, 16 bytes each. */
  heldMax?: number
  /** Room for what windows keep of readings (values, panes, states), in doubles; 64 million by default. */
  keptMax?: number
}

/** To be raised when the saved layout changes, or a constant or rule that decides which rows come next. */
const STATE_VERSION = 4
const FORGET_MS = 7 * 86_400_000
const AMEND_EVERY_MS = 10_000
const HELD_MAX = 16_000_000
const KEPT_MAX = 64_000_000
const ROOM_MAX = 1_000_000_000
/** Of widths, hops and gaps. */
const SPAN_MS_MAX = 366 * 86_400_000
/** Hopping windows that hold one reading. */
const WINDOWS_OPEN_MAX = 10_000
const COUNT_SIZE_MAX = 1_000_000_000

/** With what was left out; throws WindowSettingsError. */
export function completeSettings(settings: OrderedSettings): Required<OrderedSettings> {
  const { forgetMs = FORGET_MS, amendEveryMs = AMEND_EVERY_MS } = settings
  const { heldMax = HELD_MAX, keptMax = KEPT_MAX, downsamplers = [] } = settings
  const complete = { ...settings, downsamplers, forgetMs, amendEveryMs, heldMax, keptMax }
  for (const name of ['latenessMs', 'idleTimeoutMs', 'aheadGuardMs', 'forgetMs', 'amendEveryMs'] as const) {
    checkWhole(name, complete[name], 0, Number.MAX_SAFE_INTEGER)
  }
  for (const name of ['heldMax', 'keptMax'] as const) checkWhole(name, complete[name], 1, ROOM_MAX)
  for (const [index, spec] of settings.specs.entries()) checkSpec(`specs[${index}]`, spec)
  for (const [index, spec] of downsamplers.entries()) checkPointSpec(`downsamplers[${index}]`, spec)
  return complete
}

/** Equal for equal settings, and only for them. */
export function settingsNumbers(settings: Required<OrderedSettings>): Float64Array {
  const { latenessMs, idleTimeoutMs, aheadGuardMs, forgetMs, amendEveryMs, heldMax, keptMax } = settings
  const timesMs = [latenessMs, idleTimeoutMs, aheadGuardMs, forgetMs, amendEveryMs]
  const specs = settings.specs.map((spec) => [windowLabel(spec), windowAggregates(spec), spec.earlyMs])
  const bytes = new TextEncoder().encode(JSON.stringify([...specs, ...settings.downsamplers]))
  return Float64Array.of(STATE_VERSION, ...timesMs, heldMax, keptMax, ...bytes)
}

function checkSpec(path: string, spec: WindowSpec): void {
  if (windowAggregates(spec).length === 0) {
    throw new WindowSettingsError(`${path}.aggregates: none of them needs readings in order`)
  }
  if (spec.earlyMs !== null) checkWhole(`${path}.earlyMs`, spec.earlyMs, 1, SPAN_MS_MAX)
  if (spec.kind === 'count') checkWhole(`${path}.size`, spec.size, 1, COUNT_SIZE_MAX)
  if (spec.kind === 'session') checkWhole(`${path}.gapMs`, spec.gapMs, 1, SPAN_MS_MAX)
  if ('widthMs' in spec) checkWhole(`${path}.widthMs`, spec.widthMs, 1, SPAN_MS_MAX)
  if (spec.kind === 'hopping') {
    checkWhole(`${path}.hopMs`, spec.hopMs, Math.ceil(spec.widthMs / WINDOWS_OPEN_MAX), spec.widthMs)
  }
}

function checkWhole(path: string, value: number, min: number, max: number): void {
  if (Number.isSafeInteger(value) && value >= min && value <= max) return
  throw new WindowSettingsError(`${path}: ${value} is not a whole number of ${min} to ${max}`)
}

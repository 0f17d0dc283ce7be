/**
 * For tests: seeded settings and streams, with clocks of every wrong kind, odd values, ticks and gaps.
 */
import type { Prng } from '../base/prng.ts'
import type { TumblingSettings } from './tumbling-windows.ts'
import type { Step } from './window-oracle.ts'
import type { MergeableWindow } from './window-plan.ts'

const WIDTHS = [
  [10_000, 60_000],
  [1000],
  [60_000, 10_000, 30_000, 20_000],
  [10_000, 15_000, 30_000, 45_000],
  [7, 49, 5],
]
export const BASE_MS = 1_700_000_000_000

export function makeSettings(prng: Prng): TumblingSettings {
  const pick = <T>(list: T[]): T => list[prng.between(0, list.length - 1)]
  return {
    widthsMs: pick(WIDTHS),
    latenessMs: pick([0, 3, 5000, 10_000, 61_000]),
    idleTimeoutMs: pick([0, 5000, 30_000]),
    panesMax: pick([1, 7, 200, 4_000_000]),
  }
}

const AGGREGATES = ['variance', 'distinct', 'quantiles'] as const
const ZONES = ['UTC', 'Europe/Berlin', 'Asia/Kolkata', 'Africa/Monrovia', 'Pacific/Apia', 'America/St_Johns']

/** Windows of all kinds, with and without early results and extras. */
export function makeAllKinds(prng: Prng): TumblingSettings {
  const pick = <T>(list: readonly T[]): T => list[prng.between(0, list.length - 1)]
  const maybe = <T>(list: readonly T[]): T[] => (prng.unit() < 0.5 ? [pick(list)] : [])
  const timeZone = pick(ZONES)
  const kinds: MergeableWindow[] = [
    ...maybe([60_000, 30_000, 7000]).map(
      (widthMs) => ({ kind: 'hopping', widthMs, hopMs: pick([1000, widthMs, 5000]) }) as const,
    ),
    ...maybe([25_000, 600_000]).map((widthMs) => ({ kind: 'hopping', widthMs, hopMs: 10_000 }) as const),
    ...maybe(['day'] as const).map((unit) => ({ kind: 'calendar', unit, timeZone }) as const),
    ...maybe(['week', 'month'] as const).map((unit) => ({ kind: 'calendar', unit, timeZone }) as const),
    ...maybe([3_600_000, 900_000]).map((widthMs) => ({ kind: 'tumbling', widthMs }) as const),
  ]
  const windows = kinds.map((window) => {
    const aggregates = prng.unit() < 0.3 ? AGGREGATES.filter(() => prng.unit() < 0.5) : []
    return {
      ...window,
      aggregates,
      earlyMs: prng.unit() < 0.3 ? pick([window.kind === 'hopping' ? 60_000 : 10_000, 60_000]) : null,
    }
  })
  const settings = makeSettings(prng)
  return {
    ...settings,
    widthsMs: windows.length === 0 ? settings.widthsMs : pick([[], [10_000], [1000], [10_000, 60_000]]),
    windows,
    sumErrors: prng.unit() < 0.2,
    hoppingPanesMax: pick([1, 700, 1_000_000]),
    forgetAfterMs: pick([settings.idleTimeoutMs, 60_000, 7 * 86_400_000]),
  }
}

/** How a series tells the time, given the true one. */
const CLOCKS: ((trueMs: number, prng: Prng) => number)[] = [
  (trueMs) => trueMs,
  (trueMs, prng) => trueMs - prng.between(0, 25_000),
  (trueMs, prng) => trueMs - prng.between(0, 3_600_000),
  (trueMs) => trueMs + 86_400_000,
  (trueMs) => trueMs - 86_400_000 + (trueMs - BASE_MS) * 50,
  (trueMs, prng) => trueMs - BASE_MS - prng.between(0, 40_000),
  (trueMs, prng) => 8.6e15 + prng.between(0, 100_000) + (trueMs - BASE_MS),
  (trueMs) => (trueMs - BASE_MS) * 37,
  (trueMs) => Date.UTC(2011, 11, 30, 8) + (trueMs - BASE_MS) * 20,
  (_, prng) => -8.63e15 + prng.between(0, 100_000),
  (trueMs) => Math.floor(trueMs / 30_000) * 30_000,
  (trueMs, prng) => trueMs + prng.unit(),
  (trueMs) => Math.ceil(trueMs / 49) * 49 * (1 - 2 ** -52),
  (trueMs, prng) => (prng.unit() < 0.1 ? trueMs + prng.between(0, 600_000) : trueMs),
  (trueMs, prng) => (prng.unit() < 0.01 ? pickOddTime(prng) : trueMs),
]

function pickOddTime(prng: Prng): number {
  return [Number.NaN, Infinity, -Infinity, 1e300, 0, -0, 8.64e15, -8.64e15, -1e-7][prng.between(0, 8)]
}

function pickValue(prng: Prng): number {
  const kind = prng.between(0, 19)
  if (kind === 0) return [Number.NaN, Infinity, -Infinity][prng.between(0, 2)]
  if (kind < 8) return prng.between(-3, 3)
  return prng.normal() * 10 ** prng.between(-5, 9)
}

export function makeSteps(prng: Prng, count: number): Step[] {
  const seriesCount = prng.between(1, 24)
  const clocks = Array.from({ length: seriesCount }, () => CLOCKS[prng.between(0, CLOCKS.length - 1)])
  const steps: Step[] = []
  let nowMs = BASE_MS
  for (let step = 0; step < count; step++) {
    const kind = prng.unit()
    nowMs += kind < 0.01 ? prng.between(10_000, 200_000) : prng.between(0, 2000)
    if (kind < 0.005) steps.push({ gapMs: prng.between(0, 100_000) })
    else if (kind < 0.1) steps.push({ tickMs: nowMs })
    else {
      const readings = Array.from({ length: prng.between(0, 12) }, () => {
        const series = prng.between(0, seriesCount - 1)
        return { series, ts: clocks[series](nowMs, prng), value: pickValue(prng) }
      })
      if (prng.unit() < 0.1) readings.push(...readings.slice(0, 3))
      steps.push({ arrivalMs: nowMs, readings })
    }
  }
  return steps
}

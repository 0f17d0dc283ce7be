/**
 * For tests: seeded settings and streams, with clocks of every wrong kind, odd values, ticks and gaps.
 */
import type { Prng } from '../base/prng.ts'
import type { TumblingSettings } from './tumbling-windows.ts'
import type { Step } from './window-oracle.ts'

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
    aheadGuardMs: pick([0, 20_000, 300_000]),
    panesMax: pick([1, 7, 200, 4_000_000]),
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

/**
 * For tests: seeded settings and streams for ordered windows, with clocks of every wrong kind, odd values, counters, texts, ticks
 * and gaps; and how a stream is played.
 */
import type { Prng } from '../base/prng.ts'
import { ReadingColumns } from '../codecs/columns.ts'
import type { OrderedReading } from './ordered-oracle.ts'
import type { OrderedSettings } from './ordered-settings.ts'
import type { OrderedWindows } from './ordered-windows.ts'
import type { Aggregate, WindowSpec } from './window-spec.ts'

export type OrderedStep =
  | { arrivalMs: number; readings: OrderedReading[] }
  | { tickMs: number }
  | { gapMs: number }

export const BASE_MS = 1_700_000_000_000
const ALL: Aggregate[] = [
  ...(['count', 'sum', 'min', 'max', 'mean', 'first', 'last', 'variance', 'distinct', 'quantiles'] as const),
  ...(['time_weighted_mean', 'increase', 'rate', 'states'] as const),
]

const pick = <T>(prng: Prng, list: readonly T[]): T => list[prng.between(0, list.length - 1)]

export function makeSettings(prng: Prng, kinds: readonly WindowSpec['kind'][]): OrderedSettings {
  const specs = kinds.map((kind) => makeSpec(prng, kind))
  return {
    specs,
    latenessMs: pick(prng, [0, 3, 2000, 10_000, 60_000]),
    idleTimeoutMs: pick(prng, [0, 5000, 30_000]),
    aheadGuardMs: pick(prng, [0, 20_000, 300_000]),
    forgetMs: pick(prng, [0, 20_000, 120_000, 86_400_000]),
    amendEveryMs: pick(prng, [0, 1000, 10_000]),
    heldMax: pick(prng, [1, 40, 1_000_000]),
    keptMax: pick(prng, [200, 64_000_000, 64_000_000]),
  }
}

function makeSpec(prng: Prng, kind: WindowSpec['kind']): WindowSpec {
  const isAll = prng.unit() < 0.4
  const some = ALL.filter(() => isAll || prng.unit() < 0.4)
  const isAligned = kind === 'tumbling' || kind === 'hopping' || kind === 'calendar'
  const needed = isAligned
    ? pick(prng, ['time_weighted_mean', 'increase', 'rate', 'states'] as const)
    : 'count'
  const aggregates = ALL.filter((name) => name === needed || some.includes(name))
  const rest = { aggregates, earlyMs: pick(prng, [null, 3000, 20_000]) }
  switch (kind) {
    case 'session':
      return { kind, gapMs: pick(prng, [1, 700, 5000, 30_000]), ...rest }
    case 'count':
      return { kind, size: pick(prng, [1, 2, 3, 7, 50]), ...rest }
    case 'sliding':
      return { kind, widthMs: pick(prng, [1, 1000, 5000, 60_000]), ...rest }
    case 'tumbling':
      return { kind, widthMs: pick(prng, [1, 1000, 10_000, 60_000]), ...rest }
    case 'hopping': {
      const [widthMs, hopMs] = pick(prng, [
        [10_000, 1000],
        [7000, 3000],
        [60_000, 60_000],
        [6, 4],
      ] as const)
      return { kind, widthMs, hopMs, ...rest }
    }
    case 'calendar':
      return { kind, unit: pick(prng, ['day', 'week', 'month'] as const), timeZone: 'Europe/Berlin', ...rest }
  }
}

/** How a series tells the time, given the true one. */
const CLOCKS: ((trueMs: number, prng: Prng) => number)[] = [
  (trueMs) => trueMs,
  (trueMs, prng) => trueMs - prng.between(0, 5000),
  (trueMs, prng) => trueMs - prng.between(0, 60_000),
  (trueMs, prng) => trueMs - (prng.unit() < 0.1 ? prng.between(0, 3_600_000) : 0),
  (trueMs) => trueMs - 86_400_000 + (trueMs - BASE_MS) * 50,
  (trueMs, prng) => trueMs - BASE_MS - prng.between(0, 40_000),
  (trueMs, prng) => (prng.unit() < 0.02 ? prng.between(0, 1_000_000) : trueMs),
  (trueMs, prng) => (prng.unit() < 0.05 ? trueMs - 10 * 365.25 * 86_400_000 : trueMs),
  (_, prng) => -2_000_000_000_000 + prng.between(0, 100_000),
  (trueMs) => Math.floor(trueMs / 3000) * 3000,
  (trueMs, prng) => trueMs + prng.unit(),
  (trueMs, prng) => (prng.unit() < 0.1 ? trueMs + prng.between(0, 400_000) : trueMs),
  (trueMs, prng) => (prng.unit() < 0.01 ? pick(prng, [Number.NaN, Infinity, 1e300, 8e15, 0, -0]) : trueMs),
]

/** What a series tells. */
const VALUES: ((prng: Prng, count: number) => number | string)[] = [
  (prng) => prng.normal() * 10 ** prng.between(-3, 5),
  (prng) => prng.between(-3, 3),
  (prng) => prng.between(0, 1),
  (prng, count) => (count % 37) * 5 + prng.between(0, 4),
  (prng) => pick(prng, ['on', 'off', 'fault', '', 'ö']),
  (prng) => (prng.unit() < 0.5 ? prng.between(0, 2) : pick(prng, ['a', 'ab', 'b'])),
  (prng) => (prng.unit() < 0.1 ? pick(prng, [Number.NaN, Infinity, -Infinity, -0]) : prng.between(-2, 2)),
  (prng) => (prng.unit() < 0.1 ? `${prng.between(0, 90)}` : `${'x'.repeat(prng.between(200, 300))}`),
]

/** Readings that are further ahead of their arrival than the guard are left out, as the engine does. */
export function makeSteps(prng: Prng, count: number, aheadGuardMs: number): OrderedStep[] {
  const seriesCount = prng.between(1, 10)
  const clocks = Array.from({ length: seriesCount }, () => pick(prng, CLOCKS))
  const values = Array.from({ length: seriesCount }, () => pick(prng, VALUES))
  const pauseMs = pick(prng, [200, 2000])
  const steps: OrderedStep[] = []
  let nowMs = BASE_MS
  for (let step = 0; step < count; step++) {
    const kind = prng.unit()
    nowMs += kind < 0.01 ? prng.between(10_000, 200_000) : prng.between(0, pauseMs)
    if (kind < 0.005) steps.push({ gapMs: prng.between(0, 100_000) })
    else if (kind < 0.12) steps.push({ tickMs: nowMs })
    else {
      const readings = Array.from({ length: prng.between(0, 6) }, () => {
        const series = prng.between(0, seriesCount - 1)
        return { series, ts: clocks[series](nowMs, prng), value: values[series](prng, step) }
      }).filter(({ ts }) => !(Math.floor(ts) > nowMs + aheadGuardMs))
      if (prng.unit() < 0.1) readings.push(...readings.slice(0, 3))
      steps.push({ arrivalMs: nowMs, readings })
    }
  }
  return steps
}

export function pushReadings(windows: OrderedWindows, readings: OrderedReading[], arrivalMs: number): void {
  const columns = new ReadingColumns(readings.length + 1)
  const series = Int32Array.from(readings, (reading) => reading.series)
  for (const [row, { ts, value }] of readings.entries()) {
    columns.tsMs[row] = ts
    columns.textSize[row] = -1
    if (typeof value === 'number') {
      columns.value[row] = value
      continue
    }
    const bytes = Buffer.from(value)
    columns.reserveText(bytes.length)
    columns.text.set(bytes, columns.textSizeBytes)
    columns.value[row] = Number.NaN
    columns.textStart[row] = columns.textSizeBytes
    columns.textSize[row] = bytes.length
    columns.textSizeBytes += bytes.length
  }
  windows.push(series, columns, arrivalMs, 0, readings.length)
}

export function playStep(windows: OrderedWindows, step: OrderedStep): void {
  if ('readings' in step) pushReadings(windows, step.readings, step.arrivalMs)
  else if ('tickMs' in step) windows.tick(step.tickMs)
  else windows.gap(step.gapMs)
}

/** Detections against their definition: the detector and its episodes over each series' readings in event-time order. */
import { describe, expect, test } from 'vitest'
import { Prng } from '../../base/prng.ts'
import { ReadingColumns } from '../../codecs/columns.ts'
import { StateReader } from '../../codecs/state.ts'
import { createDetection } from './create-detection.ts'
import type { Detection } from './detection.ts'
import { type DetectorSpec, PLAIN_DETECTORS, usualTimes } from './detector-spec.ts'
import { createDetector } from './detectors.ts'
import { type EpisodeRows, Episodes } from './episodes.ts'
import { MultivariateDetector } from './multivariate.ts'
import { imageOf } from './state-image.ts'

const START_MS = 1_750_000_000_000
const TIMES = { latenessMs: 5000, idleTimeoutMs: 20_000, aheadGuardMs: 300_000 }
const SERIES = 6

interface Reading {
  series: number
  ts: number
  value: number
}
type Step = { arrivalMs: number; readings: Reading[] } | { tickMs: number } | { gapMs: number }

function specOf(kind: DetectorSpec['kind'], quietMs = usualTimes(kind).quietMs): DetectorSpec {
  const rest = { metrics: null, quietMs, coolDownMs: usualTimes(kind).coolDownMs }
  if (kind === 'limits') return { kind, low: -8, high: 8, hysteresis: 1, ...rest, quietMs: 3000 }
  if (kind === 'missing') return { kind, intervals: 2.5, silenceMsMin: 0, ...rest }
  if (kind === 'multivariate') return { kind, limit: 3, ...rest, metrics: ['a', 'b', 'c'], quietMs: 9000 }
  return { kind, ...rest, quietMs: 9000, coolDownMs: 5000 }
}

const KINDS = [...PLAIN_DETECTORS, 'limits', 'missing', 'multivariate'] as const
const shapeOf = (prng: Prng, i: number): number =>
  Math.sin(i / 40) * 3 + prng.normal() + (prng.unit() < 0.01 ? 30 : 0) + (i % 900 > 870 ? 12 : 0)

/** Series that take turns, out of order within the lateness, some behind it, with pauses, ticks, gaps and what is no number. */
function stepsOf(prng: Prng, count: number): Step[] {
  const steps: Step[] = []
  let nowMs = START_MS
  for (let i = 0; i < count; i++) {
    const kind = prng.unit()
    nowMs += prng.unit() < 0.01 ? prng.between(1000, 60_000) : prng.between(0, 1500)
    if (kind < 0.003) steps.push({ gapMs: prng.between(1, 600_000) })
    else if (kind < 0.2) steps.push({ tickMs: nowMs })
    else {
      const back = prng.unit() < 0.01 ? 20_000 : 4000
      const ts = nowMs - prng.between(0, back)
      const readings = Array.from({ length: prng.between(0, SERIES) }, (_, series) => ({
        series,
        ts: prng.unit() < 0.05 ? ts - 1 : ts,
        value: prng.unit() < 0.01 ? Number.NaN : shapeOf(prng, i),
      }))
      steps.push({ arrivalMs: nowMs, readings })
    }
  }
  return steps
}

function play(detection: Detection, step: Step, cut = Number.POSITIVE_INFINITY): void {
  if ('gapMs' in step) detection.gap(step.gapMs)
  else if ('tickMs' in step) detection.tick(step.tickMs)
  else {
    const { readings, arrivalMs } = step
    const columns = new ReadingColumns(SERIES + 1)
    const series = Int32Array.from(readings, (reading) => reading.series)
    for (const [row, { ts, value }] of readings.entries()) {
      columns.tsMs[row] = ts
      columns.value[row] = value
      columns.textSize[row] = -1
    }
    const middle = Math.min(cut, readings.length)
    detection.push(series, columns, arrivalMs, 0, middle)
    detection.push(series, columns, arrivalMs, middle, readings.length)
  }
}

function taken(rows: EpisodeRows): string[] {
  const texts = Array.from({ length: rows.count }, (_, row) => {
    const { series, state, severity, startMs, tsMs, value, score, expectedLow, expectedHigh } = rows
    const numbers = [startMs, tsMs, value, score, expectedLow, expectedHigh].map((column) => column[row])
    return [series[row], state[row], severity[row], ...numbers].join()
  })
  rows.clear()
  return texts
}

function copyOf(detection: Detection, spec: DetectorSpec): Detection {
  const copy = createDetection(spec, TIMES)
  copy.learned.load(new StateReader(imageOf(detection.learned)))
  if (detection.held !== null) copy.held?.load(new StateReader(imageOf(detection.held)))
  return copy
}

describe.each(KINDS)('%s', (kind) => {
  const spec = specOf(kind)

  test('saved and loaded at any step, and cut anywhere, it says the same', () => {
    for (let seed = 1; seed <= 3; seed++) {
      const prng = new Prng(seed)
      const steps = stepsOf(prng, 2500)
      const plain = createDetection(spec, TIMES)
      let other = createDetection(spec, TIMES)
      const said: string[] = []
      const saidToo: string[] = []
      for (const step of steps) {
        play(plain, step)
        said.push(...taken(plain.rows))
        play(other, step, prng.between(0, SERIES))
        saidToo.push(...taken(other.rows))
        if (prng.unit() < 0.01) other = copyOf(other, spec)
      }
      for (const detection of [plain, other]) {
        detection.flush()
        expect(detection.isOpen, `seed ${seed}`).toBe(false)
      }
      expect([...saidToo, ...taken(other.rows)], `seed ${seed}`).toEqual([...said, ...taken(plain.rows)])
      expect(other.skipped).toBe(plain.skipped)
      expect(imageOf(other.learned)).toEqual(imageOf(plain.learned))
    }
  })
})

/** Readings in order of event time, the later of two values of a vector's time last; none that came too late. */
function inOrder(steps: readonly Step[], isOrdered: boolean): Reading[] {
  const readings = steps.flatMap((step) => ('readings' in step ? step.readings : []))
  const finite = readings.filter(({ value }) => Number.isFinite(value))
  return isOrdered ? finite.sort((a, b) => a.ts - b.ts || a.value - b.value) : finite
}

/** Out of order, but never so late that the buffer has let go of what comes after. */
function gentleSteps(prng: Prng, count: number, readingsOf: (i: number, ts: number) => Reading[]): Step[] {
  return Array.from({ length: count }, (_, i) => {
    const arrivalMs = START_MS + i * 1000
    const ts = arrivalMs - 1000 * prng.between(0, TIMES.latenessMs / 1000 - 1)
    return { arrivalMs, readings: readingsOf(i, ts) }
  })
}

test.each(['adaptive', 'flatline', 'limits'] as const)(
  '%s equals the detector over sorted readings',
  (kind) => {
    for (let seed = 1; seed <= 5; seed++) {
      const prng = new Prng(seed)
      const spec = specOf(kind)
      const steps = gentleSteps(prng, 3000, (i, ts) => {
        const value = i % 700 > 650 ? 4 : shapeOf(prng, i)
        return Array.from({ length: prng.between(1, SERIES) }, (_, series) => ({ series, ts, value }))
      })
      const detection = createDetection(spec, TIMES)
      for (const step of steps) play(detection, step)
      detection.flush()
      const limits = spec.kind === 'limits' ? { low: -8, high: 8, hysteresis: 1 } : {}
      const detector = createDetector(kind, limits)
      if (detector === undefined) throw new Error(kind)
      const episodes = new Episodes({ quietMs: spec.quietMs, coolDownMs: spec.coolDownMs })
      for (const { series, ts, value } of inOrder(steps, true)) {
        const score = detector.take(series, ts, value)
        episodes.take(series, ts, value, score, detector.expectedLow, detector.expectedHigh)
      }
      expect(episodes.rows.count, `seed ${seed}`).toBeGreaterThan(0)
      expect(taken(detection.rows).sort(), `seed ${seed}`).toEqual(taken(episodes.rows).sort())
      expect(detection.episodesOpen).toBe(episodes.open)
    }
  },
)

test('multivariate equals the detector over complete vectors in order, however their metrics come', () => {
  let seen = 0
  for (let seed = 1; seed <= 5; seed++) {
    const prng = new Prng(seed)
    const spec = specOf('multivariate')
    const steps: Step[] = []
    const vectors: { device: number; ts: number; values: number[] }[] = []
    for (let i = 0; i < 2000; i++) {
      const arrivalMs = START_MS + i * 1000
      for (let device = 0; device < 2; device++) {
        const shared = prng.normal()
        const values = [shared, -shared + 0.1 * prng.normal(), prng.normal()]
        if (prng.unit() < 0.01) values[1] = shared * 4
        const isWhole = prng.unit() < 0.95
        const ts = arrivalMs - prng.between(0, 900)
        const dimensions = [0, 1, 2].filter((dimension) => isWhole || dimension !== 1)
        if (isWhole) vectors.push({ device, ts, values })
        // In two messages, the second one later.
        const cut = prng.between(0, 3)
        const reading = (dimension: number) => ({
          series: device * 3 + dimension,
          ts,
          value: values[dimension],
        })
        steps.push({ arrivalMs, readings: dimensions.slice(0, cut).map(reading) })
        steps.push({ arrivalMs: arrivalMs + 3000, readings: dimensions.slice(cut).map(reading) })
      }
    }
    const at = (step: Step) => ('arrivalMs' in step ? step.arrivalMs : 0)
    const detection = createDetection(spec, TIMES)
    for (const step of steps.sort((a, b) => at(a) - at(b))) play(detection, step)
    detection.flush()
    const detector = new MultivariateDetector({ dimensions: 3, limit: 3 })
    const episodes = new Episodes({ quietMs: spec.quietMs, coolDownMs: spec.coolDownMs })
    for (const { device, ts, values } of vectors) {
      const score = detector.take(device, ts, Float64Array.from(values))
      episodes.take(device * 3, ts, (3 * score) / (1 - score), score, 0, 3)
    }
    seen += episodes.rows.count
    expect(taken(detection.rows).sort(), `seed ${seed}`).toEqual(taken(episodes.rows).sort())
  }
  expect(seen).toBeGreaterThan(0)
})

describe('missing', () => {
  const regular = (detection: Detection, fromMs: number, count: number) => {
    for (let i = 0; i < count; i++) {
      const arrivalMs = fromMs + i * 1000
      play(detection, { arrivalMs, readings: [{ series: 0, ts: 5, value: 1 }] })
      detection.tick(arrivalMs)
    }
    return fromMs + (count - 1) * 1000
  }

  test('a tick raises, the next reading clears', () => {
    const detection = createDetection(specOf('missing'), TIMES)
    const lastMs = regular(detection, START_MS, 100)
    for (let i = 1; i <= 10; i++) detection.tick(lastMs + i * 1000)
    expect(detection.awaitsTime).toBe(false)
    expect(taken(detection.rows)).toEqual([`0,1,2,${lastMs + 2500},${lastMs + 2500},2.5,0.8,0,2.5`])
    regular(detection, lastMs + 60_000, 1)
    expect(taken(detection.rows)).toEqual([`0,3,2,${lastMs + 2500},${lastMs + 60_000},2.5,0.8,0,2.5`])
    expect(detection.awaitsTime).toBe(true)
  })

  test.each([
    ['down', (detection: Detection) => detection.gap(3_600_000)],
    ['at a standstill', () => {}],
  ])('an engine that was %s raises nothing by that', (_, pass) => {
    const detection = createDetection(specOf('missing'), TIMES)
    const lastMs = regular(detection, START_MS, 100)
    pass(detection)
    // What had waited in a ring comes before the tick.
    play(detection, { arrivalMs: lastMs + 10, readings: [{ series: 0, ts: 5, value: 1 }] })
    for (let i = 0; i < 59; i++) detection.tick(lastMs + 3_600_000 + i * 1000)
    expect(taken(detection.rows)).toEqual([])
    for (let i = 59; i < 70; i++) detection.tick(lastMs + 3_600_000 + i * 1000)
    expect(taken(detection.rows).length).toBe(1)
  })
})

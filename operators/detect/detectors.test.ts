/** What all detectors over one series share, and what each of them is for. */
import { describe, expect, test } from 'vitest'
import { Prng } from '../../base/prng.ts'
import { StateReader } from '../../codecs/state.ts'
import { createDetector, DETECTOR_NAMES } from './detectors.ts'
import { FixedLimitsDetector } from './fixed-limits.ts'
import { HampelDetector } from './hampel.ts'
import { RateDetector } from './rate-of-change.ts'
import { DetectorSettingsError, RAISE_SCORE, type SeriesDetector } from './series-detector.ts'
import { imageOf } from './state-image.ts'

const START_MS = 1_741_000_000_000
const STEP_MS = 300_000
const DAY = 288

/** A daily rhythm of 10 around 50 with noise of deviation 1. */
function rhythm(readings: number, seed: number, isSeasonal = true): Float64Array {
  const prng = new Prng(seed)
  return Float64Array.from({ length: readings }, (_, i) => {
    const season = isSeasonal ? 10 * Math.sin((2 * Math.PI * i) / DAY) : 0
    return 50 + season + prng.normal()
  })
}

function make(name: string): SeriesDetector {
  const detector = createDetector(name, { low: 0, high: 100, hysteresis: 1 })
  if (detector === undefined) throw new Error(name)
  return detector
}

function scoresOf(detector: SeriesDetector, values: ArrayLike<number>, series = 0): Float64Array {
  return Float64Array.from(values, (value, i) => detector.take(series, START_MS + i * STEP_MS, value))
}

function isRaised(scores: Float64Array, from: number, to: number): boolean {
  return scores.subarray(from, to).some((score) => score >= RAISE_SCORE)
}

describe.each(DETECTOR_NAMES)('%s', (name) => {
  test('constant series are quiet', () => {
    for (const level of [0, 45, 1e-9, 99.9]) {
      const scores = scoresOf(make(name), new Float64Array(4000).fill(level))
      expect(scores.every((score) => score === 0)).toBe(true)
    }
  })

  test('scores lie in [0, 1] whatever comes, and nothing spoils what follows', () => {
    const seed = 7
    const prng = new Prng(seed)
    const strange = [Number.NaN, Infinity, -Infinity, 1e308, -1e308, 1e149, 5e-324, 0, -0, Number.MAX_VALUE]
    const detector = make(name)
    let tsMs = START_MS
    for (let i = 0; i < 20_000; i++) {
      tsMs += prng.between(-1, 5) * 60_000
      const isStrange = i < 15_000 && prng.unit() < 0.05
      const value = isStrange ? strange[prng.between(0, strange.length - 1)] : 20 + prng.normal()
      const score = detector.take(0, isStrange && prng.unit() < 0.1 ? Number.NaN : tsMs, value)
      expect(score >= 0 && score <= 1, `seed ${seed}, reading ${i}: ${score}`).toBe(true)
      expect(
        detector.expectedLow <= detector.expectedHigh ||
          Number.isNaN(detector.expectedLow + detector.expectedHigh),
        `${i}`,
      ).toBe(true)
    }
    expect(detector.skipped).toBeGreaterThan(0)
  })

  test('saved and loaded at any reading, it goes on bit for bit', () => {
    const values = rhythm(3000, 3)
    values[2500] += 30
    const whole = make(name)
    const expected = scoresOf(whole, values)
    for (const cut of [0, 1, 700, 2499, 2501]) {
      const first = make(name)
      for (let i = 0; i < cut; i++) first.take(0, START_MS + i * STEP_MS, values[i])
      const second = make(name)
      second.load(new StateReader(imageOf(first)))
      for (let i = cut; i < values.length; i++) {
        expect(second.take(0, START_MS + i * STEP_MS, values[i])).toBe(expected[i])
      }
      expect(imageOf(second)).toEqual(imageOf(whole))
    }
  })

  test('series do not touch one another', () => {
    const alone = scoresOf(make(name), rhythm(2000, 5))
    const shared = make(name)
    const values = rhythm(2000, 5)
    const others = rhythm(2000, 6)
    values.forEach((value, i) => {
      const tsMs = START_MS + i * STEP_MS
      for (const other of [0, 255, 256, 700]) shared.take(other, tsMs, others[i] * other)
      expect(shared.take(257, tsMs, value)).toBe(alone[i])
    })
  })

  test('readings that are late or equal in time are taken in stride', () => {
    const detector = make(name)
    scoresOf(detector, rhythm(100, 1))
    const last = START_MS + 99 * STEP_MS
    expect(detector.take(0, last - 1, 1e6)).toBe(0)
    expect(detector.skipped).toBe(1)
    expect(detector.take(0, last, 50)).toBeLessThanOrEqual(1)
  })

  test('a state of other settings is refused', () => {
    const other = DETECTOR_NAMES[(DETECTOR_NAMES.indexOf(name) + 1) % DETECTOR_NAMES.length]
    expect(() => make(other).load(new StateReader(imageOf(make(name))))).toThrow(DetectorSettingsError)
  })
})

describe('what each is for', () => {
  test.each(['adaptive', 'hampel', 'ewma', 'rate'])('%s finds a spike', (name) => {
    const values = rhythm(6 * DAY, 11, false)
    values[5 * DAY] += 40
    const scores = scoresOf(make(name), values)
    expect(isRaised(scores, 5 * DAY, 5 * DAY + 1)).toBe(true)
  })

  test.each(['adaptive', 'page-hinkley'])('%s finds a lasting shift', (name) => {
    const values = rhythm(6 * DAY, 12, false)
    for (let i = 5 * DAY; i < values.length; i++) values[i] += 4
    const scores = scoresOf(make(name), values)
    expect(isRaised(scores, 5 * DAY, 5 * DAY + 36)).toBe(true)
  })

  test.each(['adaptive', 'seasonal'])('%s finds the day of a night', (name) => {
    const values = rhythm(8 * DAY, 13)
    for (let i = 7 * DAY + 36; i < 7 * DAY + 108; i++) values[i] -= 20
    const scores = scoresOf(make(name), values)
    expect(isRaised(scores, 7 * DAY + 36, 7 * DAY + 108)).toBe(true)
  })

  test.each(['adaptive', 'flatline'])('%s finds a stuck sensor, also the second time', (name) => {
    const values = rhythm(8 * DAY, 14)
    for (const start of [5 * DAY, 7 * DAY]) values.fill(values[start], start, start + 24)
    const scores = scoresOf(make(name), values)
    for (const start of [5 * DAY, 7 * DAY]) expect(isRaised(scores, start, start + 24)).toBe(true)
  })

  test('hampel and a sorted window agree', () => {
    const detector = new HampelDetector({ limit: 8 })
    const values = rhythm(500, 15)
    values.forEach((value, i) => {
      const before = [...values.subarray(Math.max(0, i - 31), i)].sort((a, b) => a - b)
      detector.take(0, START_MS + i, value)
      if (i < 31) return
      const median = before[15]
      const distances = before.map((x) => Math.abs(x - median)).sort((a, b) => a - b)
      expect(detector.expectedHigh).toBeCloseTo(median + 8 * 1.4826 * distances[15], 9)
    })
  })

  test('rate is told per second, from a limit or from what is usual', () => {
    const fixed = new RateDetector({ perSecondMax: 2 })
    expect(fixed.take(0, 0, 10)).toBe(0)
    expect(fixed.take(0, 1000, 12)).toBe(0.5)
    expect(fixed.take(0, 1000, 12)).toBe(0)
    expect(fixed.take(0, 3000, 13)).toBeCloseTo(0.2, 12)
    expect([fixed.expectedLow, fixed.expectedHigh]).toEqual([8, 16])
  })

  test('fixed limits hold an alert until the value is back inside by the hysteresis', () => {
    const limits = new FixedLimitsDetector({ low: 0, high: 10, hysteresis: 1 })
    const raised = [5, 10, 10.1, 9.5, 9.1, 9, 9.5, -0.1, 0.5, 1].map(
      (v, i) => limits.take(0, i, v) >= RAISE_SCORE,
    )
    expect(raised).toEqual([false, false, true, true, true, false, false, true, true, false])
    expect(limits.take(0, 99, 20)).toBeCloseTo(0.75, 12)
    expect(() => new FixedLimitsDetector({ low: 0, high: 1, hysteresis: 0.6 })).toThrow(DetectorSettingsError)
  })
})

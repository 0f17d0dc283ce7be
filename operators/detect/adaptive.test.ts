/** The default detector: rare alerts on ordinary series of all kinds and units, and no look ahead. */
import { describe, expect, test } from 'vitest'
import { Prng } from '../../base/prng.ts'
import { AdaptiveDetector } from './adaptive.ts'
import { RAISE_SCORE } from './series-detector.ts'

const START_MS = 1_741_000_000_000
const STEP_MS = 300_000
const DAYS = 20
const DAY = 288

type Shape = (i: number, prng: Prng) => number

const SHAPES: Record<string, Shape> = {
  noise: (_, prng) => prng.normal(),
  'heavy tails': (_, prng) => prng.normal() / (0.05 + prng.unit()),
  rhythm: (i, prng) => 20 * Math.sin((2 * Math.PI * i) / DAY) + prng.normal(),
  'a step each day': (i, prng) => (i % DAY < 100 ? 50 : 10) + 0.1 * prng.normal(),
  counts: (_, prng) => Math.floor(-3 * Math.log(1 - prng.unit())),
}

function alertsOf(shape: Shape, seed: number, scale = 1, offset = 0): number {
  const detector = new AdaptiveDetector()
  const prng = new Prng(seed)
  let alerts = 0
  for (let i = 0; i < DAYS * DAY; i++) {
    const score = detector.take(0, START_MS + i * STEP_MS, offset + scale * shape(i, prng))
    if (score >= RAISE_SCORE) alerts++
  }
  return alerts
}

describe('ordinary series', () => {
  test.each(Object.keys(SHAPES))('%s: few alerts', (name) => {
    let alerts = 0
    for (let seed = 1; seed <= 10; seed++) alerts += alertsOf(SHAPES[name], seed)
    expect(alerts / (10 * DAYS)).toBeLessThan(0.25)
  })

  test.each(Object.keys(SHAPES))('%s: no alert in the first two days, when all is new', (name) => {
    for (let seed = 1; seed <= 10; seed++) {
      const detector = new AdaptiveDetector()
      const prng = new Prng(seed)
      for (let i = 0; i < 2 * DAY; i++) {
        const score = detector.take(0, START_MS + i * STEP_MS, SHAPES[name](i, prng))
        expect(score, `seed ${seed}, reading ${i}`).toBeLessThan(RAISE_SCORE)
      }
    }
  })

  test('the unit makes no difference', () => {
    const plain = alertsOf(SHAPES['heavy tails'], 3)
    for (const scale of [2 ** -30, 2 ** 30]) expect(alertsOf(SHAPES['heavy tails'], 3, scale)).toBe(plain)
  })
})

test('the expected range holds nearly all readings, and follows the day', () => {
  const detector = new AdaptiveDetector()
  const prng = new Prng(21)
  let inside = 0
  let width = 0
  for (let i = 0; i < DAYS * DAY; i++) {
    const value = SHAPES.rhythm(i, prng)
    detector.take(0, START_MS + i * STEP_MS, value)
    if (i < 2 * DAY) continue
    if (value >= detector.expectedLow && value <= detector.expectedHigh) inside++
    width += detector.expectedHigh - detector.expectedLow
  }
  expect(inside / ((DAYS - 2) * DAY)).toBeGreaterThan(0.98)
  expect(width / ((DAYS - 2) * DAY)).toBeLessThan(20)
})

test('what follows changes no score', () => {
  const run = (end: number) => {
    const detector = new AdaptiveDetector()
    const prng = new Prng(4)
    return Array.from({ length: end }, (_, i) =>
      detector.take(0, START_MS + i * STEP_MS, SHAPES.noise(i, prng)),
    )
  }
  expect(run(4000).slice(0, 2000)).toEqual(run(2000))
})

test('one event is one alert', () => {
  const detector = new AdaptiveDetector()
  const prng = new Prng(9)
  const alerts: number[] = []
  for (let i = 0; i < 8 * DAY; i++) {
    const isEvent = i >= 6 * DAY && i < 6 * DAY + 60
    const value = prng.normal() + (isEvent ? 30 : 0)
    if (detector.take(0, START_MS + i * STEP_MS, value) >= RAISE_SCORE && i >= 6 * DAY) alerts.push(i)
  }
  expect(alerts[0]).toBe(6 * DAY)
  expect(alerts.length).toBeLessThanOrEqual(3)
})

test('4 KB a series', () => {
  expect(new AdaptiveDetector().sizeBytesPerSeries).toBeLessThanOrEqual(4096)
})

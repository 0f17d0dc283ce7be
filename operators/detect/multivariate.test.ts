import { describe, expect, test } from 'vitest'
import { Prng } from '../../base/prng.ts'
import { StateReader } from '../../codecs/state.ts'
import { MultivariateDetector } from './multivariate.ts'
import { RAISE_SCORE } from './series-detector.ts'
import { imageOf } from './state-image.ts'

/** Three metrics: two that move together, and one of its own. */
function vector(prng: Prng): Float64Array {
  const shared = 10 * prng.normal()
  return Float64Array.of(100 + shared + 0.1 * prng.normal(), 5 - shared + 0.1 * prng.normal(), prng.normal())
}

function trained(readings = 2000): { detector: MultivariateDetector; prng: Prng; scores: number[] } {
  const detector = new MultivariateDetector({ dimensions: 3 })
  const prng = new Prng(17)
  const scores = Array.from({ length: readings }, (_, i) => detector.take(4, i, vector(prng)))
  return { detector, prng, scores }
}

describe('several metrics of a device', () => {
  test('what only together is strange is found, what is ordinary is not', () => {
    const { detector, scores } = trained()
    expect(scores.filter((score) => score >= RAISE_SCORE)).toEqual([])
    // Each value is ordinary by itself; that both are high never happens.
    expect(detector.take(4, 2000, Float64Array.of(110, 15, 0))).toBeGreaterThan(0.8)
    expect(detector.take(4, 2001, Float64Array.of(110, -5, 0))).toBeLessThan(RAISE_SCORE)
  })

  test('the distance is that of the inverse covariance', () => {
    const detector = new MultivariateDetector({ dimensions: 2 })
    const prng = new Prng(5)
    for (let i = 0; i < 20_000; i++) {
      const a = prng.normal()
      detector.take(0, i, Float64Array.of(a, 0.8 * a + 0.6 * prng.normal()))
    }
    // Unit variances, correlation 0.8: squared distance of (2, -2) is 40, cube-root normal deviations of 40 / 2.
    const deviations = (Math.cbrt(40 / 2) - (1 - 1 / 9)) / Math.sqrt(1 / 9)
    expect(detector.take(0, 20_000, Float64Array.of(2, -2))).toBeCloseTo(deviations / (deviations + 6), 1)
  })

  test('metrics that are copies, constant or not numbers do no harm', () => {
    const detector = new MultivariateDetector({ dimensions: 4 })
    const prng = new Prng(8)
    for (let i = 0; i < 3000; i++) {
      const a = prng.normal()
      const score = detector.take(0, i, Float64Array.of(a, a, 7, i % 50 === 0 ? Number.NaN : prng.normal()))
      expect(score >= 0 && score <= 1).toBe(true)
    }
    expect(detector.skipped).toBe(60)
    expect(detector.take(0, 2, new Float64Array(4))).toBe(0)
    expect(() => new MultivariateDetector({ dimensions: 17 })).toThrow(/dimensions/)
  })

  test('a saved state goes on bit for bit', () => {
    const { detector, prng } = trained(500)
    const loaded = new MultivariateDetector({ dimensions: 3 })
    loaded.load(new StateReader(imageOf(detector)))
    for (let i = 500; i < 600; i++) {
      const next = vector(prng)
      expect(loaded.take(4, i, next)).toBe(detector.take(4, i, next))
    }
    expect(imageOf(loaded)).toEqual(imageOf(detector))
  })
})

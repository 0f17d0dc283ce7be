import { describe, expect, test } from 'vitest'
import { Prng } from '../../base/prng.ts'
import { largestTriangles } from './lttb.ts'

/** Word for word from the paper: section 4.2 and the appendix, with arrays of points. */
function published(points: [number, number][], threshold: number): number[] {
  const length = points.length
  if (threshold >= length || threshold === 0) return points.map((_, index) => index)
  const every = (length - 2) / (threshold - 2)
  const sampled = [0]
  let a = 0
  for (let i = 0; i < threshold - 2; i++) {
    const averageStart = Math.floor((i + 1) * every) + 1
    const averageEnd = Math.min(Math.floor((i + 2) * every) + 1, length)
    const next = points.slice(averageStart, averageEnd)
    const averageX = next.reduce((sum, point) => sum + point[0], 0) / next.length
    const averageY = next.reduce((sum, point) => sum + point[1], 0) / next.length
    const from = Math.floor(i * every) + 1
    const to = Math.floor((i + 1) * every) + 1
    const [aX, aY] = points[a]
    let areaMax = -1
    for (let j = from; j < to; j++) {
      const [x, y] = points[j]
      const area = Math.abs((aX - averageX) * (y - aY) - (aX - x) * (averageY - aY)) * 0.5
      if (area > areaMax) {
        areaMax = area
        a = j
      }
    }
    sampled.push(a)
  }
  return [...sampled, length - 1]
}

function choose(points: [number, number][], pointsMax: number): number[] {
  const chosen = new Int32Array(Math.max(pointsMax, points.length))
  const doubles = Float64Array.of(Number.NaN, Number.NaN, ...points.flat())
  return [...chosen.subarray(0, largestTriangles(doubles, 2, points.length, pointsMax, chosen))]
}

describe('largest triangles', () => {
  test('are those of the published algorithm', () => {
    for (let seed = 1; seed <= 300; seed++) {
      const prng = new Prng(seed)
      const stepMax = prng.between(1, 50)
      const isCoarse = prng.unit() < 0.3
      let x = 0
      let y = 0
      const points = Array.from({ length: prng.between(0, 400) }, (): [number, number] => {
        x += prng.between(0, stepMax)
        y += prng.normal()
        return [x, isCoarse ? Math.round(y) : y]
      })
      for (const pointsMax of [3, 4, 7, 20, 100]) {
        expect(choose(points, pointsMax), `seed ${seed}`).toEqual(published(points, pointsMax))
      }
    }
  })

  test('are of every bucket one, whatever the values', () => {
    const points = Array.from({ length: 50 }, (_, i): [number, number] => [i, i % 2 === 0 ? 1e308 : -1e308])
    const chosen = choose(points, 10)
    expect(chosen).toHaveLength(10)
    expect(new Set(chosen).size).toBe(10)
  })
})

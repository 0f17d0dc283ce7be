import { expect, test } from 'vitest'
import { planFamilies } from './width-plan.ts'

test('a width is fed by the widest narrower one that divides it', () => {
  expect(planFamilies([60, 10, 30, 3600])).toEqual([
    { widthsMs: [10, 30, 60, 3600], windows: [1, 2, 0, 3], children: [[1], [2], [3], []] },
  ])
  expect(planFamilies([20, 30, 10])).toEqual([
    { widthsMs: [10, 20, 30], windows: [2, 0, 1], children: [[1, 2], [], []] },
  ])
})

test('widths that divide none take the readings themselves', () => {
  expect(planFamilies([10, 15, 25])).toEqual([
    { widthsMs: [10], windows: [0], children: [[]] },
    { widthsMs: [15], windows: [1], children: [[]] },
    { widthsMs: [25], windows: [2], children: [[]] },
  ])
})

import { describe, expect, test } from 'vitest'
import { type FamilyPlan, type MergeableWindow, planFamilies, WindowSettingsError } from './window-plan.ts'

const tumbling = (...widthsMs: number[]): MergeableWindow[] =>
  widthsMs.map((widthMs) => ({ kind: 'tumbling', widthMs }))
const calendar = (unit: 'day' | 'week' | 'month', timeZone: string, earlyMs?: number): MergeableWindow => ({
  kind: 'calendar',
  unit,
  timeZone,
  earlyMs,
})
/** What feeds what: `width>child,child` of each level, or the unit, and the hopping windows. */
const shapeOf = (families: FamilyPlan[]) =>
  families.map(({ levels }) =>
    levels.map(({ window, widthMs, calendar, children, hoppings }) => {
      const name = calendar?.unit ?? widthMs
      return `${window}:${name}>${children}${hoppings.length > 0 ? ` hops ${hoppings}` : ''}`
    }),
  )

describe('tumbling windows', () => {
  test('are fed by the widest narrower one that divides them', () => {
    expect(shapeOf(planFamilies(tumbling(60, 10, 30, 3600)))).toEqual([
      ['1:10>1', '2:30>2', '0:60>3', '3:3600>'],
    ])
    expect(shapeOf(planFamilies(tumbling(20, 30, 10)))).toEqual([['2:10>1,2', '0:20>', '1:30>']])
    expect(shapeOf(planFamilies(tumbling(10, 15, 30)))).toEqual([['0:10>'], ['1:15>1', '2:30>']])
  })

  test('that none divides take the readings themselves', () => {
    expect(shapeOf(planFamilies(tumbling(10, 15, 25)))).toEqual([['0:10>'], ['1:15>'], ['2:25>']])
  })
})

describe('hopping windows', () => {
  test('share the panes of a tumbling window, or have their own that have no rows', () => {
    const hopping: MergeableWindow = { kind: 'hopping', widthMs: 60, hopMs: 10 }
    expect(shapeOf(planFamilies([...tumbling(30, 10), hopping]))).toEqual([['1:10>1 hops 0', '0:30>']])
    expect(shapeOf(planFamilies([...tumbling(5), hopping]))).toEqual([['0:5>1', '-1:10> hops 0']])
    expect(shapeOf(planFamilies([hopping, { ...hopping, widthMs: 90 }]))).toEqual([['-1:10> hops 0,1']])
  })

  test('may be no multiple of their hop', () => {
    const [{ hoppings }] = planFamilies([{ kind: 'hopping', widthMs: 25, hopMs: 10 }])
    expect(hoppings).toMatchObject([{ paneMs: 5, length: 5, hop: 2 }])
  })
})

describe('calendar windows', () => {
  test('are fed by the widest panes up to an hour, weeks and months by days of their zone', () => {
    const windows = [
      calendar('month', 'Europe/Berlin'),
      calendar('day', 'Europe/Berlin'),
      calendar('week', 'Asia/Kolkata'),
      ...tumbling(60_000, 3_600_000, 7_200_000),
    ]
    const families = planFamilies(windows)
    expect(shapeOf(families)).toEqual([
      ['3:60000>1', '4:3600000>2,3,4', '5:7200000>', '1:day>5', '2:week>', '0:month>'],
    ])
    expect(families[0].levels.map(({ cuts }) => cuts.map(({ unit }) => unit))).toEqual([
      ['day', 'week'],
      ['day', 'week'],
      [],
      [],
      [],
      [],
    ])
  })

  test('alone take the readings themselves', () => {
    expect(shapeOf(planFamilies([calendar('day', 'UTC'), calendar('week', 'UTC')]))).toEqual([
      ['0:day>1', '1:week>'],
    ])
    expect(shapeOf(planFamilies([calendar('week', 'UTC')]))).toEqual([['0:week>']])
  })
})

test('early results are fed by what holds nothing back for longer', () => {
  const windows = [...tumbling(10_000, 3_600_000), calendar('day', 'UTC', 60_000)]
  expect(shapeOf(planFamilies(windows))).toEqual([['0:10000>1,2', '1:3600000>', '2:day>']])
  expect(shapeOf(planFamilies([{ kind: 'tumbling', widthMs: 60, earlyMs: 5 }, ...tumbling(10)]))).toEqual([
    ['1:10>'],
    ['0:60>'],
  ])
})

test('extras are kept by all that feed those who asked for them', () => {
  const windows: MergeableWindow[] = [
    ...tumbling(10, 60),
    { kind: 'tumbling', widthMs: 30, aggregates: ['count', 'variance'] },
    { kind: 'hopping', widthMs: 50, hopMs: 10, aggregates: ['quantiles'] },
  ]
  expect(planFamilies(windows, 8)[0].levels.map(({ needs }) => needs)).toEqual([13, 9, 8])
})

describe('refused:', () => {
  const hopping = (widthMs: number, hopMs: number, earlyMs?: number): MergeableWindow[] => [
    { kind: 'hopping', widthMs, hopMs, earlyMs },
  ]
  test.each([
    [[], 'at least one window is needed'],
    [tumbling(10, 20, 10), 'tumbling window 10 stands twice'],
    [tumbling(0), 'tumbling window 0: the width is not'],
    [tumbling(1.5), 'tumbling window 1.5: the width is not'],
    [hopping(10, 20), 'hopping window 10/20: the hop is not'],
    [hopping(1441, 1), 'it would have 1441 panes'],
    [hopping(60, 10, 5), 'earlyMs: a hopping window has a row each hop'],
    [[calendar('day', 'Mars/Olympus')], 'Mars/Olympus is no time zone'],
    [[calendar('day', 'UTC', 0)], 'calendar window day UTC: earlyMs: 0 is not'],
  ])('%j', (windows, message) => {
    expect(() => planFamilies(windows)).toThrow(WindowSettingsError)
    expect(() => planFamilies(windows)).toThrow(message)
  })
})

import { describe, expect, test } from 'vitest'
import { Prng } from '../base/prng.ts'
import { TumblingWindows } from './tumbling-windows.ts'
import {
  computeAtOnce,
  expectSamePanes,
  mergeRows,
  play,
  pushReadings,
  type Reading,
  type Row,
  type Step,
  takeRows,
} from './window-oracle.ts'
import { BASE_MS, makeSettings, makeSteps } from './window-streams.ts'

describe('any stream', () => {
  const seeds = Array.from({ length: 120 }, (_, index) => index + 1)

  test('its rows merge to what a batch computes', () => {
    for (const seed of seeds) {
      const prng = new Prng(seed)
      const settings = makeSettings(prng)
      const steps = makeSteps(prng, 400)
      expectSamePanes(mergeRows(play(settings, steps)), computeAtOnce(steps, settings), seed)
    }
  })

  test('other ticks and gaps make other rows that merge to the same', () => {
    for (const seed of seeds.slice(0, 40)) {
      const prng = new Prng(seed)
      const settings = makeSettings(prng)
      const steps = makeSteps(prng, 300)
      const otherSteps = steps.flatMap((step) => {
        if (!('readings' in step)) return []
        return prng.unit() < 0.3 ? [step, { tickMs: step.arrivalMs + prng.between(0, 90_000) }] : [step]
      })
      expectSamePanes(mergeRows(play(settings, otherSteps)), computeAtOnce(steps, settings), seed)
    }
  })

  test('how it is cut into pushes changes no row of a width', () => {
    for (const seed of seeds.slice(0, 40)) {
      const prng = new Prng(seed)
      const settings = { ...makeSettings(prng), panesMax: 4_000_000 }
      const steps = makeSteps(prng, 300)
      const cut = steps.flatMap((step): Step[] =>
        'readings' in step ? step.readings.map((reading) => ({ ...step, readings: [reading] })) : [step],
      )
      const whole = play(settings, steps)
      const pieces = play(settings, cut)
      for (const window of settings.widthsMs.keys()) {
        const ofWindow = (rows: Row[]) => rows.filter((row) => row[1] === window)
        expect(ofWindow(pieces), `seed ${seed}`).toEqual(ofWindow(whole))
      }
    }
  })

  test('a replay gives the same rows in the same order', () => {
    for (const seed of seeds.slice(0, 20)) {
      const prng = new Prng(seed)
      const settings = makeSettings(prng)
      const steps = makeSteps(prng, 300)
      const bytes = (rows: Row[]) => Buffer.from(Float64Array.from(rows.flat()).buffer)
      expect(bytes(play(settings, steps)).equals(bytes(play(settings, steps))), `seed ${seed}`).toBe(true)
    }
  })

  test('flushing piece by piece, and going on after it, loses nothing', () => {
    for (const seed of seeds.slice(0, 20)) {
      const prng = new Prng(seed)
      const settings = makeSettings(prng)
      const windows = new TumblingWindows(settings)
      const rows: Row[] = []
      const steps = makeSteps(prng, 300)
      for (const step of steps) {
        if ('readings' in step) pushReadings(windows, step.readings, step.arrivalMs)
        if (prng.unit() < 0.03) while (!windows.flush(3)) takeRows(windows.closed, rows)
        takeRows(windows.closed, rows)
      }
      windows.flush()
      takeRows(windows.closed, rows)
      expectSamePanes(mergeRows(rows), computeAtOnce(steps, settings), seed)
    }
  })
})

test('a series a day ahead, and one in 1970, change nothing for the others', () => {
  const settings = {
    widthsMs: [10_000, 60_000],
    latenessMs: 10_000,
    idleTimeoutMs: 30_000,
  }
  for (let seed = 1; seed <= 20; seed++) {
    const steps = makeSteps(new Prng(seed), 400)
    const strays = (nowMs: number): Reading[] => [
      { series: 30, ts: nowMs + 86_400_000, value: 1 },
      { series: 31, ts: nowMs - BASE_MS, value: 2 },
    ]
    const disturbed = steps.map((step) =>
      'readings' in step ? { ...step, readings: [...strays(step.arrivalMs), ...step.readings] } : step,
    )
    const others = play(settings, disturbed).filter((row) => row[0] < 30)
    expect(others, `seed ${seed}`).toEqual(play(settings, steps))
  }
})

describe('in order', () => {
  test('each pane leaves once, with the very reading that brings the watermark to its end', () => {
    for (let seed = 1; seed <= 40; seed++) {
      const prng = new Prng(seed)
      const settings = {
        ...makeSettings(prng),
        idleTimeoutMs: 1_000_000,
        panesMax: 4_000_000,
      }
      const windows = new TumblingWindows(settings)
      const open = new Map<string, number>()
      for (let ts = prng.between(-50_000, 50_000), i = 0; i < 1500; i++) {
        windows.tick(ts)
        pushReadings(windows, [{ series: 1, ts, value: i }], ts)
        const rows: Row[] = []
        takeRows(windows.closed, rows)
        const due: string[] = []
        for (const [key, endMs] of open) if (endMs + settings.latenessMs <= ts) due.push(key)
        expect(rows.map((row) => `${row[1]} ${row[2]}`).sort(), `seed ${seed}`).toEqual(due.sort())
        for (const key of due) open.delete(key)
        for (const [window, width] of settings.widthsMs.entries()) {
          const startMs = Math.floor(ts / width) * width + 0
          open.set(`${window} ${startMs}`, startMs + width)
        }
        expect(windows.stats, `seed ${seed}`).toMatchObject({ late: 0, skipped: 0 })
        ts += prng.unit() < 0.02 ? prng.between(0, 100_000) : prng.between(0, (3 * settings.widthsMs[0]) / 10)
      }
    }
  })

  test('narrow panes leave before the wide one they are in', () => {
    const settings = { widthsMs: [60_000, 10_000], latenessMs: 0, idleTimeoutMs: 1000 }
    const rows = play(settings, [
      {
        arrivalMs: 130_000,
        readings: [5000, 15_000, 55_000, 130_000].map((ts) => ({ series: 0, ts, value: 1 })),
      },
    ])
    expect(rows.map((row) => row.slice(1, 4))).toEqual([
      [1, 0, 1],
      [1, 10_000, 1],
      [1, 50_000, 1],
      [0, 0, 3],
      [1, 130_000, 1],
      [0, 120_000, 1],
    ])
  })
})

/** Downsamplers in a pipeline: which readings they see, what survives a snapshot and another config, and what stands in their rows. */
import { describe, expect, test } from 'vitest'
import { Prng } from '../../base/prng.ts'
import { compress, downsample, type MillraceOptions, type Operator, session, tumbling } from '../config.ts'
import { PipelineRun, type TableRow } from './pipeline-run.ts'

const EVERY_METHOD: Operator[] = [
  downsample('mean', '7s'),
  downsample('min-max', '10s'),
  downsample('m4', '1m'),
  downsample('lttb', '1m', { points: 5 }),
  downsample('minmax-lttb', '30s', { points: 3 }),
]
const LINES: Operator[] = [
  compress('deadband', { deviation: 40 }),
  compress('swinging-door', { deviation: 25 }),
  compress('swinging-door', { pointsPerHour: 200 }),
]
const ALL = [tumbling('10s'), session('5s'), ...EVERY_METHOD, ...LINES]

function optionsOf(operators: Operator[], more: Partial<MillraceOptions> = {}): MillraceOptions {
  return { streams: [{ name: 'telemetry', topic: 'devices/{device}/telemetry', operators }], ...more }
}

/** Some devices, a step every half a second, some of them late or with no number. Sums of quarters are exact. */
function play(run: PipelineRun, prng: Prng, steps: number): void {
  for (let step = 0; step < steps; step++) {
    for (let i = prng.between(1, 5); i > 0; i--) {
      const lateMs = prng.unit() < 0.8 ? prng.between(0, 4000) : prng.between(0, 100_000)
      const ts = run.arrivalMs - lateMs
      const a = (Math.floor(ts / 5000) % 100) + prng.between(0, 100) / 4
      run.send(
        `d${prng.between(0, 3)}`,
        prng.unit() < 0.1 ? { ts, note: 'on' } : { ts, a, b: prng.between(1, 3) },
      )
    }
    run.pass(prng.unit() < 0.01 ? 40_000 : 500)
    if (step % 10 === 9) run.seal()
  }
}

describe('points are those of all samples', () => {
  test('through snapshots anywhere', () => {
    for (let seed = 1; seed <= 2; seed++) {
      const prng = new Prng(seed)
      const run = new PipelineRun(optionsOf(ALL))
      for (let part = 0; part < 10; part++) {
        play(run, prng, prng.between(1, 40))
        run.restart()
      }
      run.end()
      expect(() => run.judge(), `seed ${seed}`).not.toThrow()
      const methods = new Set(run.tables.points.map(({ method }) => method))
      expect(methods.size).toBe(EVERY_METHOD.length + LINES.length)
    }
  })

  const rest = (of: number) => ALL.filter((_, index) => index !== of)
  const branches = {
    streams: [
      {
        name: 'telemetry',
        topic: 'devices/{device}/telemetry',
        branches: [{ operators: ALL }, { metrics: { include: ['a'] }, operators: [downsample('m4', '3s')] }],
      },
    ],
  }
  const CHANGES: [string, MillraceOptions, MillraceOptions][] = [
    ['a window besides', optionsOf(rest(1)), optionsOf(ALL)],
    ['a window less', optionsOf(ALL), optionsOf(rest(0))],
    ['a method less', optionsOf(ALL), optionsOf(rest(4))],
    ['a line less', optionsOf(ALL), optionsOf(rest(7))],
    ['other times', optionsOf(ALL), optionsOf(ALL, { windows: { latenessMs: 0, idleTimeoutMs: 1000 } })],
    ['a branch besides', optionsOf(ALL), branches],
  ]
  test.each(CHANGES)('under another config: %s', (_, before, after) => {
    for (let seed = 1; seed <= 3; seed++) {
      const prng = new Prng(seed)
      const run = new PipelineRun(before)
      play(run, prng, 60)
      run.restart(after)
      play(run, prng, 60)
      run.restart(before)
      play(run, prng, 60)
      run.end()
      expect(() => run.judge(), `seed ${seed}`).not.toThrow()
    }
  })
})

function pointsOf(run: PipelineRun, method: string): TableRow[] {
  return (run.tables.points ?? []).filter((row) => row.method === method)
}

test('a line goes on, whatever becomes of its neighbours, and after a clean stop', () => {
  const line = compress('swinging-door', { deviation: 5 })
  const run = new PipelineRun(optionsOf([tumbling('10s'), downsample('m4', '10s'), line]))
  const live = (count: number) => {
    for (let i = 0; i < count; i++) {
      run.send('d', { ts: run.arrivalMs, a: Math.round(Math.sin(run.arrivalMs / 20_000) * 400) / 4 + 200 })
      run.pass(1000)
    }
  }
  live(60)
  run.restart(optionsOf([session('5s'), line]))
  live(60)
  run.end()
  run.restart()
  run.pass(20_000)
  live(60)
  run.end()
  run.judge()
  const points = pointsOf(run, 'swinging-door 5')
  expect(points.length).toBeGreaterThan(10)
  expect(points.filter(({ late }) => late === 1)).toEqual([])
  expect(points.filter(({ deviation }) => Number.isNaN(Number(deviation)))).toHaveLength(1)
})

test('each takes the metrics that it is for', () => {
  const run = new PipelineRun(
    optionsOf([
      downsample('m4', '10s', { metrics: ['temp*'] }),
      compress('deadband', { deviation: 1, metrics: ['pressure'] }),
      compress('deadband', { deviation: 9, metrics: ['temperature'] }),
    ]),
  )
  for (let i = 0; i < 100; i++) {
    run.send('d', { ts: run.arrivalMs, temperature: i % 20, pressure: i % 5, other: i, note: 'x' })
    run.pass(1000)
  }
  run.end()
  run.judge()
  const kinds = new Set(run.tables.points.map(({ metric, method }) => `${metric} ${method}`))
  expect([...kinds].sort()).toEqual(['pressure deadband 1', 'temperature deadband 9', 'temperature m4 10s'])
  expect(run.pipeline.operators.pointCount).toBe(run.tables.points.length)
})

test('without raw readings, lines alone are kept; the books know the readings as filtered', () => {
  const run = new PipelineRun({
    streams: [
      {
        name: 'telemetry',
        topic: 'devices/{device}/telemetry',
        raw: false,
        operators: [compress('deadband', { deviation: 10 })],
      },
    ],
  })
  for (let i = 0; i < 200; i++) {
    run.send('d', { ts: run.arrivalMs, a: i })
    run.pass(1000)
  }
  run.end()
  expect(run.tables.samples).toBeUndefined()
  expect(run.sum('filtered')).toBe(200)
  expect(pointsOf(run, 'deadband 10').map(({ value }) => value)).toEqual(
    Array.from({ length: 19 }, (_, i) => i * 11),
  )
})

test('what came late is chosen anew, or kept beside the line', () => {
  const run = new PipelineRun(
    optionsOf([downsample('min-max', '10s'), compress('deadband', { deviation: 5 })], {
      windows: { latenessMs: 1000 },
    }),
  )
  const start = Math.ceil(run.arrivalMs / 10_000) * 10_000
  for (let i = 0; i < 30; i++) {
    run.send('d', { ts: start + i * 1000, a: i % 3 })
    run.pass(1000)
  }
  run.send('d', { ts: start + 5500, a: 50 })
  run.send('d', { ts: start + 6500, a: 1 })
  run.pass(20_000)
  run.end()
  run.judge()
  expect(run.tables.amendments).toMatchObject([{ kind: 'min-max', window: 'min-max 10s', width_ms: 10_000 }])
  const points = run.windows.points.newest('telemetry d a', 'min-max 10s')
  expect(points.some(({ ts, value }) => ts === start + 5500 && value === 50)).toBe(true)
  const late = pointsOf(run, 'deadband 5').filter((row) => row.late === 1)
  expect(late.map(({ value }) => value)).toEqual([50, 1])
})

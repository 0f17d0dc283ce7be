import { describe, expect, test } from 'vitest'
import { Prng } from '../../base/prng.ts'
import { WindowCell } from '../../operators/ordered-rows.ts'
import {
  calendar,
  count,
  derive,
  filter,
  hopping,
  type MillraceOptions,
  map,
  type Operator,
  session,
  sliding,
  tumbling,
} from '../config.ts'
import { ARRIVAL_MS } from '../steps/step-fixture.ts'
import { PipelineRun, type TableRow } from './pipeline-run.ts'

const DAY_MS = 86_400_000
const ALL = [
  ...(['count', 'sum', 'min', 'max', 'mean', 'first', 'last', 'variance', 'distinct', 'quantiles'] as const),
  ...(['time_weighted_mean', 'increase', 'rate', 'states'] as const),
]

const EVERY_KIND: Operator[] = [
  tumbling('10s', { aggregates: [...ALL], early: '5s' }),
  tumbling('1m'),
  hopping('1m', '10s', { aggregates: ['sum', 'variance', 'time_weighted_mean'] }),
  calendar('day', 'Europe/Berlin', { aggregates: ['mean', 'quantiles', 'rate'] }),
  session('5s', { aggregates: [...ALL] }),
  count(4, { aggregates: ['mean', 'distinct', 'quantiles'] }),
  sliding('8s', { aggregates: ['sum', 'min', 'increase'] }),
]

function optionsOf(operators: Operator[], more: Partial<MillraceOptions> = {}): MillraceOptions {
  return { streams: [{ name: 'telemetry', topic: 'devices/{device}/telemetry', operators }], ...more }
}

const OPTIONS = optionsOf(EVERY_KIND)

type Telling = { device: string; payload: Record<string, unknown> }

/** Values are positive quarters, as the oracle wants them: their sums are exact. */
function reading(prng: Prng, tsMs: number): Record<string, unknown> {
  const dice = prng.unit()
  const ts = Math.floor(tsMs)
  if (dice < 0.1) return { ts, mode: prng.unit() < 0.5 ? 'on' : 'off' }
  if (dice < 0.2) return { ts, mode: prng.unit() < 0.5 }
  if (dice < 0.6) return { ts, a: prng.between(1, 4000) / 4 }
  return { ts, a: prng.between(1, 4000) / 4, b: prng.between(1, 3) }
}

/** What devices tell in each of some steps. */
function makeStream(prng: Prng, steps: number, deviceCount: number): Telling[][] {
  return Array.from({ length: steps }, (_, step) =>
    Array.from({ length: prng.between(1, 6) }, () => {
      const lateMs = prng.unit() < 0.8 ? prng.between(0, 4000) : prng.between(0, 100_000)
      const tsMs = ARRIVAL_MS + step * 500 - lateMs
      return { device: `d${prng.between(0, deviceCount - 1)}`, payload: reading(prng, tsMs) }
    }),
  )
}

function play(run: PipelineRun, stream: readonly Telling[][], passMs = 500): void {
  for (const [step, tellings] of stream.entries()) {
    for (const { device, payload } of tellings) run.send(device, payload)
    run.pass(passMs)
    if (step % 10 === 9) run.seal()
  }
}

/** Rows of devices, as texts: bit for bit, but for the numbers of what is not theirs. */
function rowsWithout(run: PipelineRun, device: string): Record<string, string[]> {
  const tables = ['samples', 'rollups', 'windows', 'amendments']
  const text = (row: TableRow) =>
    JSON.stringify(row, (_, value) =>
      value instanceof Map ? [...value] : Object.is(value, -0) ? '-0' : value,
    )
  return Object.fromEntries(
    tables.map((table) => [
      table,
      (run.tables[table] ?? []).filter((row) => row.device !== device).map(text),
    ]),
  )
}

describe('one device a day ahead of 1,000', () => {
  test.each([
    ['is quarantined', 300_000],
    ['is taken where the guard allows it', 2 * DAY_MS],
  ])('%s, and leaves the rows of all others as they are without it', (_, aheadGuardMs) => {
    const play1000 = (isThere: boolean): PipelineRun => {
      const run = new PipelineRun(optionsOf(EVERY_KIND, { windows: { aheadGuardMs } }))
      const prng = new Prng(7)
      const stream = makeStream(prng, 40, 1000)
      for (let device = 0; device < 1000; device++) run.send(`d${device}`, { ts: run.arrivalMs, a: 1 })
      for (const [step, tellings] of stream.entries()) {
        if (isThere) run.send('ahead', { ts: run.arrivalMs + DAY_MS, a: step + 1, b: 1 })
        play(run, [tellings], 1000)
        if (step % 20 === 19) run.seal()
      }
      run.end()
      return run
    }
    const [without, beside] = [play1000(false), play1000(true)]
    beside.judge()
    const rows = rowsWithout(beside, 'ahead')
    for (const [table, texts] of Object.entries(rowsWithout(without, 'ahead')))
      expect(rows[table].join('\n') === texts.join('\n'), table).toBe(true)
    expect(rows.rollups.length).toBeGreaterThan(2000)
    const isTaken = aheadGuardMs > DAY_MS
    expect(beside.pipeline.quarantinedCount).toBe(isTaken ? 0 : 80)
    expect(beside.tables.samples.filter(({ device }) => device === 'ahead').length).toBe(isTaken ? 80 : 0)
  })
})

describe('any distribution of delays ends as sorted input does', () => {
  const DELAYS: Record<string, (prng: Prng) => number> = {
    none: () => 0,
    uniform: (prng) => prng.between(0, 30_000),
    exponential: (prng) => -20_000 * Math.log(1 - prng.unit()),
    'of hours for a few': (prng) => (prng.unit() < 0.05 ? prng.between(0, 4 * 3_600_000) : 0),
    'of a bus that holds all back': (prng) => (prng.unit() < 0.5 ? 600_000 : 0),
  }
  test.each(Object.keys(DELAYS))('%s', (name) => {
    for (let seed = 1; seed <= 3; seed++) {
      const prng = new Prng(seed)
      const sorted = makeStream(prng, 120, 5)
        .flat()
        .sort((a, b) => Number(a.payload.ts) - Number(b.payload.ts))
      const delayed = sorted
        .map((telling) => ({ telling, atMs: Number(telling.payload.ts) + DELAYS[name](prng) }))
        .sort((a, b) => a.atMs - b.atMs)
      const run = new PipelineRun(OPTIONS)
      run.arrivalMs = Math.max(run.arrivalMs, delayed[0].atMs)
      for (const { telling, atMs } of delayed) {
        run.pass(Math.max(0, Math.floor(atMs) - run.arrivalMs))
        run.send(telling.device, telling.payload)
        if (prng.unit() < 0.05) run.seal()
        if (prng.unit() < 0.01) run.restart()
      }
      run.end()
      expect(() => run.judge(), `seed ${seed}`).not.toThrow()
      expect(run.tables.samples.length).toBeGreaterThan(300)
    }
  })
})

describe('under another config', () => {
  const rest = (of: number) => EVERY_KIND.filter((_, index) => index !== of)
  const CHANGES: [string, MillraceOptions, MillraceOptions][] = [
    ['more operators', optionsOf(rest(2)), OPTIONS],
    ['another kind', optionsOf(EVERY_KIND.slice(0, 3)), OPTIONS],
    ['less operators', OPTIONS, optionsOf(rest(0))],
    [
      'other aggregates',
      OPTIONS,
      optionsOf([...EVERY_KIND.slice(1), tumbling('10s', { aggregates: ['count', 'rate'] })]),
    ],
    ['other times', OPTIONS, optionsOf(EVERY_KIND, { windows: { latenessMs: 0, idleTimeoutMs: 1000 } })],
    [
      'a branch besides',
      OPTIONS,
      {
        streams: [
          {
            name: 'telemetry',
            topic: 'devices/{device}/telemetry',
            branches: [
              { operators: EVERY_KIND },
              { metrics: { include: ['a'] }, operators: [session('2s')] },
            ],
          },
        ],
      },
    ],
    [
      'a stream besides',
      OPTIONS,
      {
        streams: [
          { name: 'telemetry', topic: 'devices/{device}/telemetry', operators: EVERY_KIND },
          { name: 'machines', topic: 'machines/{device}', operators: EVERY_KIND },
        ],
      },
    ],
  ]

  test.each(CHANGES)(
    '%s: windows are those of all samples that each operator has seen',
    (_, before, after) => {
      for (let seed = 1; seed <= 3; seed++) {
        const prng = new Prng(seed)
        const run = new PipelineRun(before)
        play(run, makeStream(prng, 60, 5))
        run.restart(after)
        play(run, makeStream(prng, 60, 5).map(shifted(30_000)))
        run.restart(before)
        play(run, makeStream(prng, 60, 5).map(shifted(60_000)))
        run.end()
        expect(() => run.judge(), `seed ${seed}`).not.toThrow()
      }
    },
  )

  test('an operator that did not change leaves the same rows as without the change', () => {
    for (let seed = 1; seed <= 3; seed++) {
      const before = optionsOf([tumbling('10s', { aggregates: [...ALL] }), session('5s'), count(4)])
      const playBoth = (after: MillraceOptions | undefined): TableRow[] => {
        const prng = new Prng(seed)
        const run = new PipelineRun(before)
        play(run, makeStream(prng, 60, 5))
        run.restart(after)
        play(run, makeStream(prng, 60, 5).map(shifted(30_000)))
        run.end()
        const isOld = ({ window }: TableRow) => ['10s', 'session 5s', 'count 4'].includes(String(window))
        return ['rollups', 'windows', 'amendments']
          .flatMap((table) => run.tables[table].filter(isOld))
          .map(withoutEpoch)
      }
      const more = [
        tumbling('10s', { aggregates: [...ALL] }),
        session('5s'),
        count(4),
        sliding('1s'),
        hopping('1m', '10s'),
      ]
      expect(playBoth(optionsOf(more)), `seed ${seed}`).toEqual(playBoth(undefined))
    }
  })

  test('a new operator knows that readings came before it: its first windows are computed from samples', () => {
    const run = new PipelineRun(optionsOf([tumbling('10s')]))
    for (let i = 1; i <= 3; i++) run.send('d', { ts: run.arrivalMs + i * 1000, a: i })
    run.restart(optionsOf([tumbling('10s'), session('5s', { aggregates: ['sum'] })]))
    run.send('d', { ts: run.arrivalMs + 4000, a: 4 })
    run.pass(60_000)
    run.end()
    expect(run.tables.windows).toBeUndefined()
    expect(run.tables.amendments.length).toBeGreaterThan(0)
    const newest = run.windows.newest('telemetry d a', 'session 5s')
    expect([...newest.values()].map(({ row }) => row.cells[WindowCell.sum])).toEqual([10])
    run.judge()
  })
})

function shifted(byMs: number): (tellings: Telling[]) => Telling[] {
  return (tellings) =>
    tellings.map(({ device, payload }) => ({
      device,
      payload: { ...payload, ts: Number(payload.ts) + byMs },
    }))
}

function withoutEpoch({ epoch: _, ...row }: TableRow): TableRow {
  return row
}

describe('bad input', () => {
  test('a device that invents metric names without end is refused beyond the bound, and counted', () => {
    const run = new PipelineRun(optionsOf(EVERY_KIND, { limits: { metricsPerDeviceMax: 50 } }))
    for (let i = 0; i < 3000; i++) {
      run.send('inventor', { ts: run.arrivalMs, [`m${i}`]: 1 })
      if (i % 100 === 0) run.send('honest', { ts: run.arrivalMs + i, a: 1 })
    }
    run.end()
    run.judge()
    expect(run.pipeline.series.count).toBe(51)
    expect(run.tables.dead_letters.length).toBe(2950)
    expect(run.tables.samples.filter(({ device }) => device === 'honest').length).toBe(30)
  })

  test('ten years in one gap, and back again, make no rows between', () => {
    const run = new PipelineRun(OPTIONS)
    const tenYearsMs = 10 * 365 * DAY_MS
    for (const [index, ts] of [0, 1000, 2000].entries())
      run.send('d', { ts: ARRIVAL_MS - tenYearsMs + ts, a: index + 1 })
    run.pass(1000)
    for (const [index, ts] of [0, 1000, 2000].entries()) run.send('d', { ts: ARRIVAL_MS + ts, a: index + 4 })
    run.pass(1000)
    run.send('d', { ts: ARRIVAL_MS - tenYearsMs + 3000, a: 7 })
    run.pass(tenYearsMs)
    run.send('d', { ts: ARRIVAL_MS + tenYearsMs, a: 8 })
    run.pass(1000)
    run.end()
    run.judge()
    expect(run.tables.samples.length).toBe(8)
    expect(run.tables.rollups.length).toBeLessThan(150)
    expect(run.tables.windows.length).toBeLessThan(150)
  })

  test('clocks that begin in 1970, and then are set', () => {
    const run = new PipelineRun(OPTIONS)
    for (let i = 0; i < 200; i++) {
      const isSet = i > 100
      for (const device of ['a', 'b', 'c'])
        run.send(device, { t: isSet ? run.arrivalMs : 1_000_000 + i * 500, a: 1 + (i % 7) })
      run.pass(500)
      if (i % 20 === 0) run.seal()
    }
    run.end()
    run.judge()
    expect(run.tables.samples.length).toBe(600)
  })

  test('a metric that changes its type, and what is no number', () => {
    const prng = new Prng(3)
    const run = new PipelineRun(OPTIONS)
    for (let i = 0; i < 400; i++) {
      const dice = prng.between(0, 4)
      const ts = run.arrivalMs - prng.between(0, 20_000)
      if (dice === 0) run.send('d', { ts, a: prng.between(1, 40) / 4 })
      else if (dice === 1) run.send('d', { ts, a: `on ${prng.between(0, 3)}` })
      else if (dice === 2) run.send('d', { ts, a: prng.unit() < 0.5 })
      else run.send('d', msgpack('a', dice === 3 ? Number.NaN : Number.POSITIVE_INFINITY))
      run.pass(300)
      if (i % 40 === 0) run.restart()
    }
    run.end()
    run.judge()
    expect(run.sum('accepted')).toBe(400)
  })

  test('steps that take readings out, change and add some keep the books balanced', () => {
    const run = new PipelineRun({
      streams: [
        {
          name: 'telemetry',
          topic: 'devices/{device}/telemetry',
          steps: [
            filter(({ metric, value }) => metric !== 'b' || value !== 2),
            map('a', ({ value }) => (value > 900 ? Number.NaN : value)),
            derive('c', (group) => group.value('a') + group.value('b')),
          ],
          branches: [{ operators: EVERY_KIND }, { metrics: { include: ['c'] }, operators: [sliding('2s')] }],
        },
      ],
    })
    play(run, makeStream(new Prng(5), 200, 5))
    run.end()
    run.judge()
    expect(run.sum('filtered')).toBeGreaterThan(50)
    expect(run.tables.samples.some(({ metric }) => metric === 'c')).toBe(true)
  })
})

/** {metric: value}, the number as a float 64. */
function msgpack(metric: string, value: number): Uint8Array {
  const out = Buffer.alloc(2 + metric.length + 9)
  out[0] = 0x81
  out[1] = 0xa0 | metric.length
  out.write(metric, 2, 'latin1')
  out[2 + metric.length] = 0xcb
  out.writeDoubleBE(value, 3 + metric.length)
  return out
}

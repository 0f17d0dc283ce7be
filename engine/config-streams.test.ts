/** Streams, steps and operators of a config: what is refused and with which words, and what is made of the rest. */
import { describe, expect, test } from 'vitest'
import { Prng } from '../base/prng.ts'
import {
  calendar,
  compress,
  count,
  defineConfig,
  derive,
  downsample,
  filter,
  hopping,
  map,
  type StreamOptions,
  session,
  sliding,
  tiers,
  tumbling,
} from './config.ts'
import { checkConfig } from './config-check.ts'
import { ConfigError } from './config-value.ts'

const stream = { name: 'a', topic: 'x/{device}' }

function pipelineOf(options: Partial<StreamOptions>) {
  return checkConfig({ streams: [{ ...stream, ...options }] }).pipelines[0]
}

describe('refused', () => {
  const of = (options: object) => ({ streams: [{ ...stream, ...options }] })
  const withOperator = (...operators: unknown[]) => of({ operators })
  const cases: [config: unknown, reason: string | RegExp][] = [
    [
      of({ topic: 'x/y' }),
      /^config: streams\[0\]\.topic is "x\/y", must be a topic with one level \{device\}/,
    ],
    [of({ topic: 'x/{device}/{device}' }), /^config: streams\[0\]\.topic/],
    [of({ topic: 'x/{device}/{a}/{a}' }), /^config: streams\[0\]\.topic/],
    [of({ topic: 'x/{device}/{1a}' }), /^config: streams\[0\]\.topic/],
    [of({ topic: 'x/{device}/#' }), /^config: streams\[0\]\.topic/],
    [of({ codec: 'xml' }), 'streams[0].codec is "xml", must be one of auto, json, msgpack'],
    [
      of({ metrics: { only: ['a'] } }),
      /^config: streams\[0\]\.metrics\.only .* known here are include, exclude/,
    ],
    [
      of({ metrics: { include: [] } }),
      'streams[0].metrics.include is [], must be a list with at least one entry',
    ],
    [
      of({ metrics: { exclude: ['a', 5] } }),
      /^config: streams\[0\]\.metrics\.exclude\[1\] is 5, must be a metric/,
    ],
    [of({ metrics: { units: { a: 5 } } }), 'streams[0].metrics.units.a is 5, must be a text of 1 to 64 char'],
    [of({ metrics: { units: { 'a*': 'V' } } }), /the key is "a\*", must be a metric's name .* and no \*/],
    [of({ raw: true }), 'streams[0].raw is true, must be an object'],
    [of({ raw: { retention: '30' } }), /^config: streams\[0\]\.raw\.retention is "30", must be a duration/],
    [of({ steps: [5] }), 'streams[0].steps[0] is 5, must be what filter, map or derive returns'],
    [of({ steps: [filter(5 as never)] }), 'streams[0].steps[0].fn is 5, must be a function'],
    [of({ steps: [filter((async () => true) as never)] }), /neither async nor a generator/],
    [of({ steps: [derive('a*', () => 1)] }), /^config: streams\[0\]\.steps\[0\]\.name is "a\*"/],
    [of({ steps: [derive('x'.repeat(257), () => 1)] }), /^config: streams\[0\]\.steps\[0\]\.name is "xxx/],
    [withOperator(), 'streams[0].operators is [], must be a list with at least one entry'],
    [withOperator({}), /^config: streams\[0\]\.operators\[0\] is \{\}, must be what tumbling, hopping, /],
    [
      withOperator(tumbling('10x' as never)),
      'streams[0].operators[0].width is "10x", must be a duration such',
    ],
    [
      withOperator(tumbling('1s', { aggregate: [] } as never)),
      /options\.aggregate is .* known here are aggregates/,
    ],
    [
      withOperator(tumbling('1s', { aggregates: ['avg' as never] })),
      /aggregates\[0\] is "avg", must be one of count,/,
    ],
    [
      withOperator(tumbling('1s', { aggregates: ['sum', 'sum'] })),
      /aggregates\[1\] is "sum", must be named once/,
    ],
    [withOperator(tumbling('1m', { early: '1m' })), /options\.early is "1m", must be .* from 1s to 59999ms/],
    [withOperator(tumbling('1s', { early: '1s' })), /options\.early is "1s", must be left out/],
    [
      withOperator(tumbling('1d', { retention: '2h' })),
      /retention is "2h", must be a duration .* from 1d to/,
    ],
    [
      withOperator(session('1m', { early: '1s' } as never)),
      /options\.early is "1s", must be left out; known/,
    ],
    [
      withOperator(hopping('10m', '7s')),
      /operators\[0\]\.hop is "7s", must be .* the width of 10m a whole number/,
    ],
    [withOperator(hopping('1d', '1s')), /operators\[0\]\.hop is "1s", .* at most 1440/],
    [withOperator(calendar('day', 'Berlin')), /timeZone is "Berlin", must be the name of a time zone/],
    [withOperator(calendar('day', '+02:00')), /timeZone is "\+02:00"/],
    [withOperator(calendar('day', 'europe/berlin')), /timeZone is "europe\/berlin"/],
    [withOperator(calendar('year' as never, 'UTC')), /unit is "year", must be one of day, week, month/],
    [withOperator(count(1)), /size is 1, must be a whole number from 2 to/],
    [withOperator(sliding('2d')), /width is "2d", must be .* from 1ms to 1d/],
    [
      withOperator(tumbling('60s'), tumbling('1m')),
      /operators\[1\] is .*must be left out: the branch has windows 1m/,
    ],
    [withOperator(tiers()), 'streams[0].operators[0].tiers is [], must be a list with at least one entry'],
    [withOperator(tiers('1m', '90s')), /tiers\[1\] is "90s", must be .* a multiple of the one before/],
    [withOperator(tiers('1m', 'raw for 7d')), /tiers\[1\] is "raw for 7d"/],
    [withOperator(tiers('10s for' as never)), /tiers\[0\] is "10s for"/],
    [withOperator(tiers('1d for 2h')), /tiers\[0\] is "2h", must be a duration such as .* from 1d/],
    [
      of({ operators: [tiers('raw for 7d', '1m')], raw: { retention: '7d' } }),
      /raw\.retention .* says it already/,
    ],
    [of({ operators: [tiers('raw for 1m', '1m')] }), /tiers\[0\] is "1m", must be a duration .* from 1h/],
    [
      of({ operators: [tumbling('1m')], branches: [] }),
      /branches is \[\], must be left out beside operators/,
    ],
    [of({ branches: [{}] }), 'streams[0].branches[0].operators is undefined, must be a list with at least'],
    [
      of({ raw: false, operators: [session('30s')] }),
      /raw is false, must be left out: late readings recompute/,
    ],
    [
      of({ raw: { retention: '1h' }, operators: [sliding('1h')] }),
      /retention is "1h", must be .* from 2h to/,
    ],
    [
      withOperator(downsample('m5' as never, '1m')),
      /operators\[0\]\.method is "m5", must be one of mean, min-max,/,
    ],
    [
      withOperator(downsample('m4', '2y')),
      /operators\[0\]\.width is "2y", must be a duration .* from 1ms to 366d/,
    ],
    [
      withOperator(downsample('m4', '1m', { points: 5 } as never)),
      /options\.points is 5, must be left out; known here are metrics, retention/,
    ],
    [
      withOperator(downsample('lttb', '1m', {} as never)),
      /options\.points is undefined, must be a whole number from 3 to 10000/,
    ],
    [
      withOperator(downsample('lttb', '1m', { points: 2 })),
      /options\.points is 2, must be a whole number from 3/,
    ],
    [
      withOperator(downsample('m4', '1d', { retention: '2h' })),
      /options\.retention is "2h", must be a duration .* from 1d to/,
    ],
    [
      withOperator(downsample('m4', '1m', { metrics: [] })),
      /options\.metrics is \[\], must be a list with at least/,
    ],
    [
      withOperator(downsample('m4', '1m', { metrics: [''] })),
      /options\.metrics\[0\] is "", must be a metric's name/,
    ],
    [
      withOperator(compress('zip' as never, { deviation: 1 })),
      'streams[0].operators[0].method is "zip", must be one of deadband, swinging-door',
    ],
    [
      withOperator(compress('deadband', {} as never)),
      /options is \{\}, must be an object with either deviation or/,
    ],
    [
      withOperator(compress('deadband', { deviation: 1, pointsPerHour: 5 } as never)),
      /options is \{ deviation: 1, pointsPerHour: 5 \}, must be an object with either/,
    ],
    [
      withOperator(compress('deadband', { deviation: -1 })),
      /options\.deviation is -1, must be a number from 0 on/,
    ],
    [
      withOperator(compress('swinging-door', { deviation: 0 })),
      /options\.deviation is 0, must be a number from 1e-200 on/,
    ],
    [
      withOperator(compress('deadband', { deviation: Number.POSITIVE_INFINITY })),
      /options\.deviation is Infinity, must be a number/,
    ],
    [
      withOperator(compress('deadband', { pointsPerHour: 1.5 })),
      /options\.pointsPerHour is 1.5, must be a whole number from 1 to/,
    ],
    [
      withOperator(compress('deadband', { deviation: 1, longest: '5' as never })),
      /options\.longest is "5", must be a duration/,
    ],
    [
      withOperator(downsample('m4', '60s'), downsample('m4', '1m', { metrics: ['a'] })),
      /operators\[1\] is .*must be left out: the branch has points m4 1m already/,
    ],
    [
      of({
        branches: ['a', 'b'].map((name) => ({ operators: [downsample('m4', '1m', { metrics: [name] })] })),
      }),
      /branches\[1\]\.operators\[0\]\.options is .*must be those of points m4 1m in the branch before/,
    ],
    [
      of({ raw: false, operators: [downsample('m4', '1m')] }),
      /raw is false, must be left out: late readings recompute points m4 1m from samples/,
    ],
    [
      of({ raw: { retention: '1h' }, operators: [downsample('m4', '1h')] }),
      /retention is "1h", must be .* from 2h to/,
    ],
    [
      of({
        branches: [
          { filter: () => true, operators: [compress('deadband', { deviation: 1 }), session('5s')] },
        ],
      }),
      /branches\[0\]\.filter is .*must be left out .*late readings recompute windows session 5s from samples, which/,
    ],
    [
      of({
        branches: ['2d', '7d'].map((retention) => ({ operators: [tumbling('1m', { retention } as object)] })),
      }),
      /branches\[1\]\.operators\[0\] .*must be as early and kept as long as windows 1m of branches before/,
    ],
  ]
  for (const [config, reason] of cases) {
    test(String(reason), () => {
      const message = typeof reason === 'string' ? `config: ${reason}` : reason
      expect(() => checkConfig(config)).toThrow(message)
      expect(() => checkConfig(config)).toThrow(ConfigError)
    })
  }
})

test('a stream that says nothing takes everything into the widths of the config', () => {
  const pipeline = pipelineOf({})
  expect(pipeline).toMatchObject({ codec: 'auto', isRaw: true, rawRetentionMs: null, steps: [], units: {} })
  expect(pipeline.branches).toEqual([{ selection: { include: null, exclude: [] }, filter: null }])
  expect(pipeline.operators.map(({ label }) => label)).toEqual(['10s', '1m'])
})

test('tiers are tumbling windows with a retention each', () => {
  const pipeline = pipelineOf({
    operators: [tiers('raw for 30d', '10s for 7d', '1m for 90d', '1h for 2y', '1d')],
  })
  expect(pipeline.rawRetentionMs).toBe(30 * 86_400_000)
  const days = pipeline.operators.map(({ label, retentionMs }) => [
    label,
    retentionMs && retentionMs / 86_400_000,
  ])
  expect(days).toEqual([
    ['10s', 7],
    ['1m', 90],
    ['1h', 730],
    ['1d', null],
  ])
})

test('branches that ask for the same windows share an operator that has what both asked for', () => {
  const { operators, branches } = pipelineOf({
    branches: [
      { metrics: { include: ['t*'] }, operators: [tumbling('1m', { aggregates: ['quantiles'] }), count(10)] },
      { filter: (reading) => reading.value > 0, operators: [tumbling('60s', { aggregates: ['sum'] })] },
    ],
  })
  expect(branches).toHaveLength(2)
  expect(operators.map(({ label, branches }) => [label, branches])).toEqual([
    ['1m', [0, 1]],
    ['count 10', [0]],
  ])
  expect(operators[0].spec.aggregates).toEqual(['sum', 'quantiles'])
})

test('every constructor makes the spec that it says', () => {
  const { operators } = pipelineOf({
    operators: [
      tumbling('10s', { early: '2s', retention: '7d', aggregates: ['rate', 'count'] }),
      hopping('10m', '10s'),
      calendar('week', 'Europe/Berlin'),
      session('30s'),
      count(100),
      sliding('5m'),
    ],
  })
  expect(operators.map(({ label }) => label)).toEqual([
    '10s',
    '10m/10s',
    'week Europe/Berlin',
    'session 30s',
    'count 100',
    'sliding 5m',
  ])
  expect(operators[0].spec).toEqual({
    kind: 'tumbling',
    widthMs: 10_000,
    earlyMs: 2000,
    aggregates: ['count', 'rate'],
  })
})

test('downsamplers: a method, what it is to keep, and of which metrics', () => {
  const { downsamplers, operators, isRaw } = pipelineOf({
    raw: false,
    operators: [
      compress('swinging-door', { deviation: 0.1, metrics: ['temperature'] }),
      compress('swinging-door', { deviation: 5, metrics: ['pressure*'], retention: '2y' }),
      compress('deadband', { pointsPerHour: 120, longest: '10m' }),
    ],
  })
  expect(isRaw).toBe(false)
  expect(operators).toEqual([])
  expect(downsamplers.map(({ label, metrics, retentionMs }) => [label, metrics, retentionMs])).toEqual([
    ['swinging-door 0.1', ['temperature'], null],
    ['swinging-door 5', ['pressure*'], 730 * 86_400_000],
    ['deadband 120/h 10m', null, null],
  ])
  const both = pipelineOf({
    branches: [
      { metrics: { include: ['a'] }, operators: [downsample('lttb', '60s', { points: 9 })] },
      {
        metrics: { include: ['b'] },
        operators: [downsample('lttb', '1m', { points: 9 }), downsample('m4', '1h')],
      },
    ],
  }).downsamplers
  expect(both).toEqual([
    {
      label: 'lttb 1m 9',
      spec: { method: 'lttb', widthMs: 60_000, points: 9 },
      metrics: null,
      branches: [0, 1],
      retentionMs: null,
    },
    expect.objectContaining({ label: 'm4 1h', branches: [1] }),
  ])
})

/** Types that tsc must refuse: an unused expectation of an error is one itself. */
test('the types know what is allowed', () => {
  const config = defineConfig({
    streams: [
      {
        name: 'plant',
        topic: 'plants/{plant}/{device}/{metric}',
        codec: 'json',
        metrics: { include: ['t*'], exclude: ['tmp'], units: { temperature: '°C' } },
        raw: { retention: '30d' },
        steps: [
          filter((reading) => reading.level('plant') !== 'test'),
          map('temperature', ({ value }) => (value - 32) / 1.8),
          derive('power', (m) => m.value('voltage') * m.value('current')),
        ],
        operators: [tiers('10s for 7d', '1m'), session('30s', { aggregates: ['count'] })],
      },
    ],
    windows: { latenessMs: 5000 },
  })
  expect(checkConfig(config).pipelines[0].steps).toHaveLength(3)
  const wrong: unknown[] = [
    // @ts-expect-error a duration has a unit
    tumbling('10'),
    // @ts-expect-error there is no such aggregate
    tumbling('10s', { aggregates: ['avg'] }),
    // @ts-expect-error sessions have no early results
    session('10s', { early: '1s' }),
    // @ts-expect-error so many points of a window, or how would it know
    downsample('lttb', '1m'),
    // @ts-expect-error M4 keeps four
    downsample('m4', '1m', { points: 5 }),
    // @ts-expect-error either a deviation or points per hour
    compress('deadband', { deviation: 1, pointsPerHour: 5 }),
    // @ts-expect-error one of them
    compress('deadband', { retention: '1d' }),
    // @ts-expect-error a filter says yes or no
    filter((reading) => reading.value),
    // @ts-expect-error a reading does not change
    map('a', (reading) => (reading.value = 5)),
    // @ts-expect-error a derived value is a number
    derive('a', () => '1'),
    // @ts-expect-error there is no such key
    defineConfig({ stream: [] }),
    // @ts-expect-error a stream has a topic
    defineConfig({ streams: [{ name: 'a' }] }),
    // @ts-expect-error raw is false or an object
    defineConfig({ streams: [{ name: 'a', topic: 'x/{device}', raw: true }] }),
  ]
  expect(wrong).toHaveLength(13)
})

/** Whatever a config is made of, it is taken or refused with a path that is in it, in one line. */
test('any mixture of values is taken or refused by name', () => {
  const seed = 20_261
  const prng = new Prng(seed)
  const below = (count: number) => prng.between(0, count - 1)
  const pick = (...values: unknown[]): unknown => values[below(values.length)]
  const makers: ((depth: number) => unknown)[] = [
    () => pick(undefined, null, true, 0, -1, 1.5, Number.NaN, 1e300, '', '10s', 'a', Symbol('s'), 5n),
    () => pick(filter, tumbling, () => 1, class {}),
    () =>
      pick(
        downsample('m4', '1m'),
        compress('deadband', { deviation: 1 }),
        compress('deadband', value(0) as never),
      ),
    () => pick(tumbling('10s'), hopping('1m', '10s'), session('5s'), count(5), sliding('1m')),
    () =>
      pick(
        filter(() => true),
        map('*', ({ value }) => value),
        derive('x', () => 1),
        tiers('1s', '1m'),
      ),
    () => pick(tumbling(value(0) as never), calendar(value(0) as never, 'UTC'), count(value(0) as never)),
    (depth) => (depth === 0 ? [] : Array.from({ length: below(3) }, () => value(depth - 1))),
    (depth) => (depth === 0 ? {} : someOf(depth, ['kind', 'fn', 'operators', 'metrics', 'include', 'units'])),
  ]
  const value = (depth: number): unknown => makers[below(makers.length)](depth)
  const someOf = (depth: number, keys: string[]): object =>
    Object.fromEntries(keys.filter(() => below(3) > 0).map((key) => [key, value(depth - 1)]))
  let taken = 0
  for (let round = 0; round < 4000; round++) {
    const keys = ['codec', 'metrics', 'raw', 'steps', 'operators', 'branches'].filter(() => below(4) === 0)
    const config = { streams: [{ ...stream, ...Object.fromEntries(keys.map((key) => [key, value(3)])) }] }
    try {
      checkConfig(config)
      taken++
    } catch (error) {
      expect(error, `seed ${seed} round ${round}`).toBeInstanceOf(ConfigError)
      expect((error as Error).message).toMatch(/^config: streams\[0\][^\n]*, must be [^\n]+$/)
    }
  }
  expect(taken).toBeGreaterThan(100)
})

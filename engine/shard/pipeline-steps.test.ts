/** What a stream's config makes of messages: rows, dead letters and books, against what the config says in plain words. */

import { describe, expect, test } from 'vitest'
import { Prng } from '../../base/prng.ts'
import { PaneRows } from '../../operators/pane-rows.ts'
import {
  derive,
  filter,
  type MillraceOptions,
  map,
  type ReadingGroup,
  type Step,
  type StreamOptions,
  tumbling,
} from '../config.ts'
import { ARRIVAL_MS, booksOf, lettersOf, pipelineOf, reloaded, rowsOf, send } from '../steps/step-fixture.ts'

const TS = ARRIVAL_MS - 5000
const GUARD_MS = 300_000

function configOf(stream: Partial<StreamOptions>, others: MillraceOptions = {}): MillraceOptions {
  return { streams: [{ name: 's', topic: 'x/{device}', ...stream }], ...others }
}

/** metric=value@time offset, for short expectations. */
function shortRows(pipeline: ReturnType<typeof pipelineOf>): string[] {
  return rowsOf(pipeline).map(({ metric, value, tsMs }) => `${metric}=${value}@${tsMs - TS}`)
}

describe('steps', () => {
  const run = (steps: Step[], ...payloads: unknown[]) => {
    const pipeline = pipelineOf(configOf({ steps }))
    for (const payload of payloads) send(pipeline, 'x/d1', payload)
    return pipeline
  }

  test('a filter keeps what it is true for', () => {
    const pipeline = run([filter(({ value }) => value > 1)], { ts: TS, a: 1, b: 2, c: 'text' })
    expect(shortRows(pipeline)).toEqual(['b=2@0'])
    expect(booksOf(pipeline)).toEqual({ accepted: 3, stored: 1, filtered: 2, deadLettered: 0 })
  })

  test('a map changes a value, makes texts of numbers and the other way, and NaN takes out', () => {
    const steps = [
      map('t*', ({ value }) => value * 2),
      map('state', ({ text }) => (text === 'on' ? 1 : Number.NaN)),
      map('mode', ({ value }) => ['stop', 'größe'][value]),
    ]
    const pipeline = run(steps, { ts: TS, t1: 1, t2: 2.5, state: 'on', mode: 1 }, { ts: TS, state: 'off' })
    expect(shortRows(pipeline)).toEqual(['t1=2@0', 't2=5@0', 'state=1@0', 'mode=größe@0'])
    expect(booksOf(pipeline)).toEqual({ accepted: 5, stored: 4, filtered: 1, deadLettered: 0 })
  })

  test('a derived metric is of the readings of one message and time, in whatever order they come', () => {
    const power = derive('power', (m) => m.value('u') * m.value('i'))
    const pipeline = run(
      [power],
      [
        { ts: TS + 1, u: 2 },
        { ts: TS, u: 3, i: 5 },
        { ts: TS + 1, i: 7 },
        { ts: TS + 2, u: 1 },
      ],
    )
    expect(shortRows(pipeline).slice(-2)).toEqual(['power=15@0', 'power=14@1'])
    expect(booksOf(pipeline)).toEqual({ accepted: 7, stored: 7, filtered: 0, deadLettered: 0 })
  })

  test('steps see what those before them made', () => {
    const steps = [
      derive('double', (m) => m.value('a') * 2),
      derive('four', (m) => m.value('double') * 2),
      filter(({ metric }) => metric !== 'double'),
      map('four', ({ value }) => value + 1),
    ]
    expect(shortRows(run(steps, { ts: TS, a: 1 }))).toEqual(['a=1@0', 'four=5@0'])
  })

  test('views show stream, device, times, levels and texts', () => {
    const seen: unknown[] = []
    const steps = [
      filter((r) => {
        seen.push([r.stream, r.device, r.metric, r.value, r.text, r.timeMs, r.arrivalMs, r.level('plant')])
        return true
      }),
      derive('n', (m) => {
        seen.push([
          m.stream,
          m.device,
          m.timeMs,
          m.arrivalMs,
          m.level('device'),
          m.text('b'),
          m.has('a'),
          m.has('z'),
        ])
        seen.push([m.value('z'), m.text('z'), m.value('b'), m.text('a')])
        return Number.NaN
      }),
    ]
    const pipeline = pipelineOf(configOf({ topic: 'p/{plant}/{device}/t', steps }))
    send(pipeline, 'p/nörd/d/t', { ts: TS, a: 1, b: 'x' }, { deviceLevel: 2 })
    expect(seen).toEqual([
      ['s', 'd', 'a', 1, null, TS, ARRIVAL_MS, 'nörd'],
      ['s', 'd', 'b', Number.NaN, 'x', TS, ARRIVAL_MS, 'nörd'],
      ['s', 'd', TS, ARRIVAL_MS, 'd', 'x', true, false],
      [Number.NaN, null, Number.NaN, null],
    ])
  })

  const faults: [string, Step, RegExp][] = [
    [
      'an error',
      filter(() => {
        throw new RangeError('too\nmuch')
      }),
      /^steps\[0\] filter: RangeError: too$/,
    ],
    [
      'null',
      filter(() => {
        // biome-ignore lint/style/useThrowOnlyError: users may
        throw null
      }),
      /^steps\[0\] filter: threw null$/,
    ],
    [
      'what throws when looked at',
      map('a', () => {
        throw new Proxy(
          {},
          {
            getPrototypeOf() {
              throw new Error('no')
            },
          },
        )
      }),
      /cannot be shown$/,
    ],
    [
      'a long text',
      map('a', () => {
        throw new Error('x'.repeat(1000))
      }),
      /^steps\[0\] map a: Error: x{150,}\.\.\.$/,
    ],
    ['no boolean', filter((() => 1) as never), /TypeError: returned number, not true or false$/],
    [
      'no number',
      map('a', (() => undefined) as never),
      /TypeError: returned undefined, not a number or a text$/,
    ],
    ['no level', filter((r) => r.level('plant') === ''), /RangeError: the topic has no level \{plant\}$/],
  ]
  test.each(faults)(
    'a step that throws or returns %s makes a dead letter of the message',
    (name, step, reason) => {
      if (name === 'a promise') return expect(() => pipelineOf(configOf({ steps: [step] }))).toThrow(reason)
      const pipeline = run([step], { ts: TS, a: 1, b: 2 }, { ts: TS, b: 2 })
      const [letter] = lettersOf(pipeline)
      expect(letter).toMatchObject({ topic: 'x/d1', device: 'd1', payload: `{"ts":${TS},"a":1,"b":2}` })
      expect(letter.reason).toMatch(reason)
      expect(letter.reason.length).toBeLessThanOrEqual(200)
      const books = booksOf(pipeline)
      expect(books.accepted).toBe(books.stored + books.deadLettered)
    },
  )

  test('many different errors are few reasons in one batch', () => {
    const step = filter(({ value }) => {
      throw new Error(`value ${value}`)
    })
    const pipeline = run([step], ...Array.from({ length: 1000 }, (_, a) => ({ a })))
    expect(new Set(lettersOf(pipeline).map(({ reason }) => reason)).size).toBe(65)
    pipeline.clearRows()
    send(pipeline, 'x/d1', { a: 5000 })
    expect(lettersOf(pipeline)[0].reason).toMatch(/value 5000$/)
  })
})

describe('metrics', () => {
  test('include and exclude take names with wildcards', () => {
    const pipeline = pipelineOf(configOf({ metrics: { include: ['a*', 'b.*.d'], exclude: ['*x*'] } }))
    send(pipeline, 'x/d1', { ts: TS, a: 1, ab: 2, axe: 3, b: { c: { d: 4 }, d: 5 }, c: 6 })
    expect(shortRows(pipeline)).toEqual(['a=1@0', 'ab=2@0', 'b.c.d=4@0'])
    expect(booksOf(pipeline)).toEqual({ accepted: 6, stored: 3, filtered: 3, deadLettered: 0 })
  })

  test('the topic names the metric of a bare value, and stands before those of an object', () => {
    const pipeline = pipelineOf(configOf({ topic: 'x/{device}/{metric}' }))
    for (const payload of ['21.5', 'true', '"on"', 'OFF', 'null', { c: 5, ts: TS }, [{ c: 6 }, { c: 7 }]])
      send(pipeline, 'x/d1/temp', payload)
    const rows = rowsOf(pipeline).map(({ metric, value }) => `${metric}=${value}`)
    expect(rows).toEqual(['temp=21.5', 'temp=1', 'temp=on', 'temp=OFF', 'temp.c=5', 'temp.c=6', 'temp.c=7'])
    send(pipeline, 'x/d1/-', { c: 8 })
    send(pipeline, 'x/d1/-', '8')
    send(pipeline, 'x/d1/', '8')
    expect(rowsOf(pipeline).at(-1)).toMatchObject({ metric: 'c', value: 8 })
    expect(lettersOf(pipeline).map(({ reason }) => reason)).toEqual([
      'payload is not an object of metrics, nor an array of such objects',
      'a metric has an empty name',
    ])
  })

  test('a codec takes nothing else', () => {
    const pipeline = pipelineOf(configOf({ codec: 'msgpack' }))
    send(pipeline, 'x/d1', { a: 1 })
    send(pipeline, 'x/d1', Uint8Array.of(0x81, 0xa1, 0x61, 5))
    expect(rowsOf(pipeline)).toMatchObject([{ metric: 'a', value: 5 }])
    expect(lettersOf(pipeline)).toHaveLength(1)
  })
})

describe("the bound on a device's metrics", () => {
  const config = configOf({}, { limits: { metricsPerDeviceMax: 3 } })
  const reason = 'the device has more than 3 metrics'

  test('a message that would pass it is a dead letter, whole; what the device had goes on', () => {
    const pipeline = pipelineOf(config)
    send(pipeline, 'x/d1', { a: 1, b: 2 })
    send(pipeline, 'x/d1', { a: 1, c: 3, d: 4 })
    send(pipeline, 'x/d1', { c: 3, a: 9 })
    send(pipeline, 'x/d1', { e: 3 })
    expect(lettersOf(pipeline).map((letter) => letter.reason)).toEqual([reason, reason])
    expect(rowsOf(pipeline).map(({ metric }) => metric)).toEqual(['a', 'b', 'c', 'a'])
  })

  test('one device that invents names takes nothing from others', () => {
    const pipeline = pipelineOf(config)
    for (let i = 0; i < 100_000; i++) send(pipeline, 'x/d1', { [`m${i}`]: i })
    expect(pipeline.metrics.count).toBe(3)
    send(pipeline, 'x/d2', { a: 1, b: 2, c: 3 })
    expect(rowsOf(pipeline).filter(({ device }) => device === 'd2')).toHaveLength(3)
    expect(booksOf(pipeline)).toEqual({ accepted: 100_003, stored: 6, filtered: 0, deadLettered: 99_997 })
  })

  test('names that others have brought count for a device too, whatever way its messages take', () => {
    const pipeline = pipelineOf(config)
    for (let i = 0; i < 5; i++)
      for (const device of ['d1', 'd2']) send(pipeline, `x/${device}`, { a: i, b: i })
    for (const metric of ['c', 'd']) send(pipeline, 'x/d3', { [metric]: 1 })
    for (const device of ['d1', 'd2']) {
      send(pipeline, `x/${device}`, { c: 1 })
      send(pipeline, `x/${device}`, { d: 1 })
    }
    expect(lettersOf(pipeline).map((letter) => [letter.device, letter.reason])).toEqual([
      ['d1', reason],
      ['d2', reason],
    ])
  })

  test('derived metrics count, and a snapshot keeps the count', () => {
    const steps = [derive('sum', (m) => m.value('a') + m.value('b'))]
    const bounded = configOf({ steps }, { limits: { metricsPerDeviceMax: 3 } })
    const pipeline = pipelineOf(bounded)
    send(pipeline, 'x/d1', { a: 1, b: 2 })
    pipeline.clearRows()
    const copy = reloaded(pipeline, bounded)
    for (const each of [pipeline, copy]) {
      send(each, 'x/d1', { a: 1, b: 2 })
      send(each, 'x/d1', { c: 1 })
      expect(rowsOf(each).map(({ metric }) => metric)).toEqual(['a', 'b', 'sum'])
      expect(lettersOf(each)).toMatchObject([{ reason }])
    }
  })
})

describe('quarantine', () => {
  const ahead = ARRIVAL_MS + GUARD_MS + 1
  const reason = 'quarantined: more than 300000 ms ahead of its arrival'

  test('a message whose readings are all ahead is a dead letter, whole', () => {
    const pipeline = pipelineOf(configOf({}))
    const payload = [
      { ts: ahead, a: 1 },
      { ts: ahead + 5, a: 2, b: 'x' },
    ]
    send(pipeline, 'x/d1', payload)
    expect(rowsOf(pipeline)).toEqual([])
    expect(lettersOf(pipeline)).toEqual([
      { topic: 'x/d1', device: 'd1', reason, payload: JSON.stringify(payload) },
    ])
    expect(booksOf(pipeline)).toEqual({ accepted: 1, stored: 0, filtered: 0, deadLettered: 1 })
    expect(pipeline.series.count).toBe(0)
  })

  test('else each reading that is ahead is one, with a payload that gives it again', () => {
    const pipeline = pipelineOf(configOf({}))
    send(pipeline, 'x/d1', [
      { ts: TS, a: 1 },
      { ts: ahead, 'a"': 2.5, b: 'ü' },
      { a: 3 },
      { ts: ahead - 1, a: 4 },
    ])
    expect(rowsOf(pipeline).map(({ value }) => value)).toEqual([1, 3, 4])
    const letters = lettersOf(pipeline)
    expect(letters.map(({ payload }) => JSON.parse(payload))).toEqual([
      { ts: ahead, 'a"': 2.5 },
      { ts: ahead, b: 'ü' },
    ])
    expect(letters.every((letter) => letter.reason === reason && letter.topic === 'x/d1')).toBe(true)
    expect(booksOf(pipeline)).toEqual({ accepted: 5, stored: 3, filtered: 0, deadLettered: 2 })
    const later = pipelineOf(configOf({}))
    for (const { topic, payload } of letters) send(later, topic, payload, { arrivalMs: ahead })
    expect(rowsOf(later).map(({ metric, value, tsMs }) => [metric, value, tsMs])).toEqual([
      ['a"', 2.5, ahead],
      ['b', 'ü', ahead],
    ])
  })

  test("the topic's metric is not in the payload: it comes again with the topic", () => {
    const pipeline = pipelineOf(configOf({ topic: 'x/{device}/{metric}' }))
    send(pipeline, 'x/d1/air', [
      { ts: TS, t: 1 },
      { ts: ahead, t: 2 },
    ])
    expect(rowsOf(pipeline)).toMatchObject([{ metric: 'air.t', value: 1 }])
    expect(lettersOf(pipeline)).toMatchObject([{ topic: 'x/d1/air', payload: `{"ts":${ahead},"t":2}` }])
  })

  test('when a step throws, the message is one dead letter and not some of its readings', () => {
    const pipeline = pipelineOf(
      configOf({
        steps: [
          filter(() => {
            throw new Error('no')
          }),
        ],
      }),
    )
    send(pipeline, 'x/d1', [
      { ts: TS, a: 1 },
      { ts: ahead, a: 2 },
    ])
    expect(lettersOf(pipeline)).toMatchObject([{ reason: 'steps[0] filter: Error: no' }])
    expect(booksOf(pipeline)).toEqual({ accepted: 1, stored: 0, filtered: 0, deadLettered: 1 })
  })
})

describe('branches', () => {
  const windowed = (pipeline: ReturnType<typeof pipelineOf>) => {
    pipeline.flush()
    return pipeline.operators.sets.flatMap(({ merging }) => {
      const closed = merging?.closed ?? new PaneRows()
      return Array.from({ length: closed.count }, (_, row) => {
        const metric = pipeline.series.metric[closed.series[row]]
        return `${pipeline.metrics.text(metric)} ${closed.n[row]} ${closed.sum[row]}`
      })
    })
  }
  const windows = { widths: ['1m'] }

  test('windows get what any branch takes, and samples everything', () => {
    const branches = [
      { metrics: { include: ['a'] }, operators: [tumbling('1m')] },
      { filter: ({ value }: { value: number }) => value > 5, operators: [tumbling('1m')] },
    ]
    const pipeline = pipelineOf(configOf({ branches }, { windows }))
    send(pipeline, 'x/d1', { ts: TS, a: 1, b: 2 })
    send(pipeline, 'x/d1', { ts: TS, a: 7, b: 8 })
    expect(rowsOf(pipeline)).toHaveLength(4)
    expect([...pipeline.branches.bits.slice(0, 4)]).toEqual([1, 0, 3, 2])
    expect(windowed(pipeline).sort()).toEqual(['a 2 8', 'b 1 8'])
  })

  test('raw: false has windows and no samples', () => {
    const pipeline = pipelineOf(configOf({ raw: false, operators: [tumbling('1m')] }, { windows }))
    for (const a of [1, 2, 3]) send(pipeline, 'x/d1', { ts: TS, a })
    expect(rowsOf(pipeline)).toEqual([])
    expect(booksOf(pipeline)).toEqual({ accepted: 3, stored: 0, filtered: 3, deadLettered: 0 })
    expect(windowed(pipeline)).toEqual(['a 3 6'])
  })
})

/** A step, and what it does to the readings of one message in plain words. */
interface Planned {
  step: Step
  apply(rows: Plain[]): Plain[]
}
type Plain = [metric: string, tsMs: number, value: number]

function groupsOf(rows: Plain[]): Plain[][] {
  const times = [...new Set(rows.map(([, ts]) => ts))].sort((a, b) => a - b)
  return times.map((time) => rows.filter(([, ts]) => ts === time))
}

function randomStep(prng: Prng): Planned {
  const metrics = ['a', 'b', 'c', 'ab', 'sum']
  const metric = metrics[prng.between(0, 4)]
  const limit = prng.between(0, 9)
  switch (prng.between(0, 3)) {
    case 0:
      return {
        step: filter((r) => r.value >= limit || r.metric === metric),
        apply: (rows) => rows.filter(([name, , value]) => value >= limit || name === metric),
      }
    case 1:
      return {
        step: map(`${metric[0]}*`, (r) => (r.value === limit ? Number.NaN : r.value + limit)),
        apply: (rows) =>
          rows.flatMap((row): Plain[] => {
            if (!row[0].startsWith(metric[0])) return [row]
            return row[2] === limit ? [] : [[row[0], row[1], row[2] + limit]]
          }),
      }
    default: {
      const other = metrics[prng.between(0, 4)]
      const lastOf = (group: Plain[], name: string) =>
        group.findLast((row) => row[0] === name)?.[2] ?? Number.NaN
      return {
        step: derive('sum', (m: ReadingGroup) => m.value(metric) + m.value(other) + limit),
        apply: (rows) => {
          const derived = groupsOf(rows).map((group): Plain => {
            return ['sum', group[0][1], lastOf(group, metric) + lastOf(group, other) + limit]
          })
          return [...rows, ...derived.filter(([, , value]) => !Number.isNaN(value))]
        },
      }
    }
  }
}

test('random steps over random messages do what they say', () => {
  for (let seed = 1; seed <= 300; seed++) {
    const prng = new Prng(seed)
    const planned = Array.from({ length: prng.between(0, 5) }, () => randomStep(prng))
    const include = prng.unit() < 0.3 ? ['a*', 'c'] : ['*']
    const options = configOf({ metrics: { include }, steps: planned.map(({ step }) => step) })
    let pipeline = pipelineOf(options)
    for (let round = 0; round < 8; round++) {
      const objects = Array.from({ length: prng.between(0, 4) }, () => {
        const names = ['a', 'b', 'c', 'ab'].filter(() => prng.unit() < 0.6)
        return {
          ts: TS + prng.between(0, 2),
          ...Object.fromEntries(names.map((name) => [name, prng.between(0, 9)])),
        }
      })
      const decoded = objects.flatMap(({ ts, ...metrics }) =>
        Object.entries(metrics).map(([name, value]): Plain => [name, ts, Number(value)]),
      )
      const selected = decoded.filter(([name]) => include[0] === '*' || name !== 'b')
      const wanted = planned.reduce((rows, { apply }) => apply(rows), selected)
      pipeline.clearRows()
      if (prng.unit() < 0.2) pipeline = reloaded(pipeline, options)
      send(pipeline, 'x/d1', objects)
      const got = rowsOf(pipeline).map(({ metric, tsMs, value }) => [metric, tsMs, value])
      expect(got, `seed ${seed} round ${round}`).toEqual(wanted)
      const books = booksOf(pipeline)
      expect(books.accepted, `seed ${seed}`).toBe(books.stored + books.filtered)
      expect(books.stored).toBe(wanted.length)
    }
  }
})

/** Detectors in a pipeline: which readings they see, what survives a snapshot and another config, bounds, and what leaves with a batch. */
import { describe, expect, test } from 'vitest'
import { Prng } from '../../base/prng.ts'
import { CONTROL_SIZE_BYTES, writeControl } from '../../codecs/journal/control.ts'
import { RecordKind, RecordViews } from '../../codecs/journal/record.ts'
import { detect, type MillraceOptions, type Operator, tumbling } from '../config.ts'
import { ARRIVAL_MS, pipelineOf, reloaded, send } from '../steps/step-fixture.ts'
import type { Alert } from './alert.ts'
import { alertsOf } from './alert-blocks.ts'
import { BlockBuilder } from './block-builder.ts'
import type { Pipeline } from './pipeline.ts'
import { runSlices } from './slices.ts'

const WINDOWS = { latenessMs: 2000, idleTimeoutMs: 10_000 }
const HOT = detect('limits', { name: 'hot', high: 50, hysteresis: 1, quiet: '5s' })

function optionsOf(operators: Operator[], more: Partial<MillraceOptions> = {}): MillraceOptions {
  return { streams: [{ name: 's', topic: 'x/{device}', operators }], windows: WINDOWS, ...more }
}

function take(pipeline: Pipeline): Alert[] {
  const alerts = alertsOf(pipeline, ['s', 't'])
  pipeline.clearRows()
  return alerts
}

const shortOf = ({ device, metric, detector, state, raisedMs, atMs }: Alert) =>
  `${device}.${metric} ${detector} ${state} ${raisedMs - ARRIVAL_MS} ${atMs - ARRIVAL_MS}`

/** A reading a second of each, with spells of heat, and devices that fall silent. */
function live(pipeline: Pipeline, prng: Prng, second: number): void {
  const arrivalMs = ARRIVAL_MS + second * 1000
  for (let device = 0; device < 4; device++) {
    if (device === 3 && second % 300 > 250) continue
    const heat = (second + 70 * device) % 400 > 370 ? 80 : 0
    const shared = prng.normal()
    const payload = {
      ts: arrivalMs - prng.between(0, prng.unit() < 0.02 ? 5000 : 1500),
      temperature: 20 + heat + shared,
      pressure: prng.unit() < 0.01 ? 30 : 3 - shared,
      note: 'text',
    }
    send(pipeline, `x/d${device}`, payload, { arrivalMs })
  }
  if (second % 701 === 700) gap(pipeline, 90_000)
  pipeline.tick(arrivalMs)
}

function gap(pipeline: Pipeline, durationMs: number): void {
  const views = new RecordViews(new ArrayBuffer(CONTROL_SIZE_BYTES + 64))
  const end = writeControl(views, 0, RecordKind.GAP, durationMs)
  pipeline.process(views, 0, end, 0)
}

describe('a snapshot', () => {
  const options = optionsOf([
    tumbling('10s'),
    HOT,
    detect('adaptive'),
    detect('missing', { metrics: ['temperature'] }),
    detect('multivariate', { metrics: ['pressure', 'temperature'], quiet: '10s' }),
  ])

  test('taken anywhere, the alerts and blocks that follow are the same', () => {
    for (let seed = 1; seed <= 2; seed++) {
      const run = (snapshots: Prng | null) => {
        const prng = new Prng(seed)
        let pipeline = pipelineOf(options)
        const alerts: Alert[] = []
        const blocks: string[] = []
        for (let second = 0; second < 2000; second++) {
          live(pipeline, prng, second)
          if (second % 50 !== 49) continue
          const settings = { storeId: new Uint8Array(16), shard: 0, streams: ['s'] }
          const batch = runSlices(new BlockBuilder(settings, pipeline).build(second))
          alerts.push(...batch.alerts)
          for (const { table, block } of batch.parts)
            if (table === 'anomalies') blocks.push(Buffer.from(block).toString('base64'))
          pipeline.clearRows()
          if (snapshots !== null && snapshots.unit() < 0.5) pipeline = reloaded(pipeline, options)
        }
        pipeline.flush()
        return { blocks, alerts: [...alerts, ...take(pipeline)] }
      }
      const plain = run(null)
      expect(run(new Prng(seed + 100)), `seed ${seed}`).toEqual(plain)
      for (const detector of ['hot', 'missing', 'multivariate'])
        expect(plain.alerts.filter((alert) => alert.detector === detector).length, detector).toBeGreaterThan(
          3,
        )
      expectTurns(plain.alerts)
    }
  })

  test('of another config: what a detector learned stays, whatever becomes of the others', () => {
    const changed = optionsOf([detect('flatline'), HOT], { windows: { ...WINDOWS, latenessMs: 500 } })
    const pipeline = pipelineOf(options)
    for (let i = 0; i < 5; i++) send(pipeline, 'x/d', { ts: ARRIVAL_MS + i * 1000, a: 90 })
    expect(take(pipeline).map(shortOf)).toEqual(['d.a hot raised 0 0'])
    const other = reloaded(pipeline, changed)
    for (let i = 10; i < 13; i++) send(other, 'x/d', { ts: ARRIVAL_MS + i * 1000, a: 10 })
    // Held when the config changed: the readings of the last two seconds, which nobody judges.
    expect(take(other).map(shortOf)).toEqual(['d.a hot cleared 0 6000'])
  })

  test('of another version of a detector: that one begins anew, the others go on', () => {
    const pipeline = pipelineOf(options)
    for (let i = 0; i < 5; i++) send(pipeline, 'x/d', { ts: ARRIVAL_MS + i * 1000, a: 90 })
    expect(take(pipeline).map(shortOf)).toEqual(['d.a hot raised 0 0'])
    const other = reloaded(pipeline, options, (image) => {
      const version = image.indexOf('},2]', image.indexOf('"kind":"adaptive"'))
      expect(version).toBeGreaterThan(0)
      image.write('},9]', version)
    })
    const series = (one: Pipeline) => one.detectors.all.map(({ series }) => series.count)
    expect(series(pipeline).slice(0, 2)).toEqual([1, 1])
    expect(series(other).slice(0, 2)).toEqual([1, 0])
    for (let i = 10; i < 20; i++) send(other, 'x/d', { ts: ARRIVAL_MS + i * 1000, a: 10 })
    expect(take(other).map(shortOf)).toEqual(['d.a hot cleared 0 9000'])
  })

  test('a flush, as at a clean stop, forgets nothing', () => {
    const pipeline = pipelineOf(options)
    send(pipeline, 'x/d', { ts: ARRIVAL_MS, a: 90 })
    expect(pipeline.isOpen).toBe(true)
    pipeline.flush()
    expect(pipeline.isOpen).toBe(false)
    expect(take(pipeline).map(shortOf)).toEqual(['d.a hot raised 0 0'])
    const next = reloaded(pipeline, options)
    send(next, 'x/d', { ts: ARRIVAL_MS + 1000, a: 90 })
    send(next, 'x/d', { ts: ARRIVAL_MS + 60_000, a: 10 })
    next.flush()
    expect(take(next).map(shortOf)).toEqual(['d.a hot cleared 0 6000'])
  })
})

/** Of each episode: raised, updates, cleared; one at a time. */
function expectTurns(alerts: readonly Alert[]): void {
  const open = new Map<string, Alert>()
  for (const alert of alerts) {
    const series = `${alert.device} ${alert.metric} ${alert.detector}`
    const before = open.get(series)
    if (alert.state === 'raised') expect(before, series).toBe(undefined)
    else expect(before?.raisedMs, series).toBe(alert.raisedMs)
    if (alert.state === 'cleared') open.delete(series)
    else open.set(series, alert)
  }
}

test('detectors see their metrics of their branches, and streams with the same one share it', () => {
  const streams = [
    {
      name: 's',
      topic: 's/{device}',
      branches: [
        { metrics: { include: ['a'] }, operators: [HOT] },
        { filter: ({ device }: { device: string }) => device === 'd2', operators: [HOT, tumbling('1m')] },
        { operators: [detect('limits', { name: 'cold', low: 0, metrics: ['b*'] })] },
      ],
    },
    {
      name: 't',
      topic: 't/{device}',
      operators: [detect('limits', { name: 'cold', low: 0, metrics: ['b*'] })],
    },
  ] as const
  const pipeline = pipelineOf({ streams: streams as unknown as MillraceOptions['streams'], windows: WINDOWS })
  expect(pipeline.detectors.all.length).toBe(2)
  for (const device of ['d1', 'd2']) {
    send(pipeline, `s/${device}`, { ts: ARRIVAL_MS, a: 99, b: 99, c: -1 })
    send(pipeline, `t/${device}`, { ts: ARRIVAL_MS, a: 99, b2: -1, c: -1 }, { stream: 1 })
  }
  pipeline.flush()
  expect(take(pipeline).map(shortOf)).toEqual([
    'd1.a hot raised 0 0',
    'd2.a hot raised 0 0',
    'd2.b hot raised 0 0',
    'd1.b2 cold raised 0 0',
    'd2.b2 cold raised 0 0',
  ])
})

test('series beyond the bound are refused and counted; those that are known go on, also after a restart', () => {
  const options = optionsOf([HOT, detect('multivariate', { metrics: ['a', 'b'] })], {
    limits: { detectedSeriesMax: 4 },
  })
  const pipeline = pipelineOf(options)
  for (const device of ['d1', 'd2', 'd3']) send(pipeline, `x/${device}`, { ts: ARRIVAL_MS, a: 99, b: 99 })
  expect([pipeline.detectors.seriesCount, pipeline.detectors.seriesRefused]).toEqual([8, 4])
  pipeline.flush()
  expect(take(pipeline).map(({ device, metric }) => device + metric)).toEqual(['d1a', 'd1b', 'd2a', 'd2b'])
  const next = reloaded(pipeline, options)
  send(next, 'x/d3', { ts: ARRIVAL_MS + 10_000, a: 99 })
  send(next, 'x/d1', { ts: ARRIVAL_MS + 10_000, a: 10 })
  expect(next.detectors.seriesRefused).toBe(2)
  next.flush()
  expect(take(next).map(shortOf)).toEqual(['d1.a hot cleared 0 5000'])
})

test('of an episode that changes twice in a batch the table gets the last state, and both are alerts', () => {
  const pipeline = pipelineOf(optionsOf([HOT]))
  send(pipeline, 'x/d', { ts: ARRIVAL_MS, a: 99 })
  send(pipeline, 'x/d', { ts: ARRIVAL_MS + 9000, a: 1 })
  pipeline.flush()
  const settings = { storeId: new Uint8Array(16), shard: 0, streams: ['s'] }
  const { parts, alerts } = runSlices(new BlockBuilder(settings, pipeline).build(7))
  const rows = parts
    .filter(({ table }) => table === 'anomalies')
    .map(({ rowCount, token }) => [rowCount, token])
  expect(rows).toEqual([[1, `${'00'.repeat(16)}/anomalies/0/7`]])
  expect(alerts.map(({ state }) => state)).toEqual(['raised', 'cleared'])
})

test('a reading that is late is not judged, but counted', () => {
  const pipeline = pipelineOf(optionsOf([HOT]))
  send(pipeline, 'x/d', { ts: ARRIVAL_MS, a: 1 })
  send(pipeline, 'x/d', { ts: ARRIVAL_MS - 1000, a: 99 })
  send(pipeline, 'x/d', { ts: ARRIVAL_MS - 2001, a: 99 })
  expect(pipeline.detectors.skipped).toBe(1)
  pipeline.flush()
  expect(take(pipeline).map(shortOf)).toEqual(['d.a hot raised -1000 -1000'])
})

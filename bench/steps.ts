/** What a stream's steps cost beside decoding and windows: one shard's pipeline, 1,000 devices, two metrics a message. */
import { assert } from '../base/assert.ts'
import { hashBytes } from '../base/hash.ts'
import {
  alignRecord,
  MessageRoute,
  messageRecordSize,
  RecordViews,
  writeMessageRecord,
} from '../codecs/journal/record.ts'
import { derive, filter, map, type StreamOptions } from '../engine/config.ts'
import { checkConfig } from '../engine/config-check.ts'
import { Pipeline } from '../engine/shard/pipeline.ts'
import type { Bench, BenchSize, Measure } from './bench.ts'

const DEVICE_COUNT = 1000
const METRIC_COUNT = 2
const START_MS = 1_750_000_000_000
const STREAM = { name: 'plant', topic: 'plants/{plant}/{device}/data' }

const CASES: Record<string, Partial<StreamOptions>> = {
  'no steps': {},
  'metrics with wildcards': { metrics: { include: ['volt*', 'current'] } },
  filter: { steps: [filter((reading) => reading.value > -1)] },
  'filter by a level of the topic': { steps: [filter((reading) => reading.level('plant') !== 'test')] },
  'map of one metric': { steps: [map('voltage', (reading) => reading.value * 1.5)] },
  'derived metric': { steps: [derive('power', (group) => group.value('voltage') * group.value('current'))] },
}

/** A second of the fleet, as it stands in a journal. */
function fleetSecond(second: number): { views: RecordViews; size: number } {
  const views = new RecordViews(new ArrayBuffer(DEVICE_COUNT * 256 + 64))
  const route = new MessageRoute()
  let offset = 0
  for (let device = 0; device < DEVICE_COUNT; device++) {
    const topic = Buffer.from(`plants/north/device-${String(device).padStart(4, '0')}/data`)
    const ts = START_MS + second * 1000
    const voltage = 220 + ((device * 7 + second * 13) % 997) / 100
    const payload = Buffer.from(
      `{"ts":${ts},"voltage":${voltage.toFixed(2)},"current":${(device % 9) + 1}.5}`,
    )
    route.deviceStart = 13
    route.deviceSize = 11
    route.deviceHash = hashBytes(topic, 13, 24)
    const size = messageRecordSize(topic.length, payload.length)
    writeMessageRecord(views, offset, route, 0, ts, 0, 0, topic, 0, topic.length, payload, 0, payload.length)
    offset += alignRecord(size)
  }
  return { views, size: offset }
}

function pipelineOf(options: Partial<StreamOptions>): Pipeline {
  const config = checkConfig({ streams: [{ ...STREAM, ...options }] })
  const streams = [{ stream: config.streams[0], pipeline: config.pipelines[0] }]
  return new Pipeline({ ...config.windows, widthsMs: [10_000, 60_000], inFlightMax: 1024, streams })
}

function nanosecondsPerReading(
  options: Partial<StreamOptions>,
  seconds: ReturnType<typeof fleetSecond>[],
): number {
  const pipeline = pipelineOf(options)
  const warmupCount = seconds.length >> 2
  let spentMs = 0
  seconds.forEach(({ views, size }, second) => {
    const startMs = performance.now()
    pipeline.process(views, 0, size, 0)
    if (second >= warmupCount) spentMs += performance.now() - startMs
    pipeline.tick(START_MS + second * 1000)
    pipeline.clearRows()
  })
  assert(pipeline.deadLetterCount === 0, 'steps throw nothing')
  return (spentMs * 1e6) / ((seconds.length - warmupCount) * DEVICE_COUNT * METRIC_COUNT)
}

export const bench: Bench = {
  name: 'steps',
  about:
    'decoding, steps and windows of one shard, per decoded reading; 1,000 devices, two metrics a message',
  async run(size: BenchSize): Promise<Measure[]> {
    const seconds = Array.from({ length: size === 'small' ? 8 : 400 }, (_, second) => fleetSecond(second))
    const roundCount = size === 'small' ? 1 : 5
    return Object.entries(CASES).map(([name, options]) => {
      const rounds = Array.from({ length: roundCount }, () => nanosecondsPerReading(options, seconds))
      return { name, value: Math.min(...rounds), unit: 'ns/reading' }
    })
  },
}

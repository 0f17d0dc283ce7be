/**
 * The whole way on one thread, sockets and disk left out: MQTT bytes are cut into records in a ring, the records become
 * columns, windows and Native blocks. Ten thousand devices, two metrics a message, a message a second each.
 */
import { assert } from '../base/assert.ts'
import { hashBytes } from '../base/hash.ts'
import { MessageRoute, messageRecordSize, writeMessageRecord } from '../codecs/journal/record.ts'
import { cutFrames, Frames } from '../codecs/mqtt/frame.ts'
import {
  PublishFields,
  publishHeader,
  publishSize,
  readPublish,
  writePublish,
} from '../codecs/mqtt/publish.ts'
import { createRing, RingConsumer, RingProducer } from '../engine/ring/ring.ts'
import { BlockBuilder } from '../engine/shard/block-builder.ts'
import { Pipeline } from '../engine/shard/pipeline.ts'
import { runSlices } from '../engine/shard/slices.ts'
import type { Bench, BenchSize, Measure } from './bench.ts'

const DEVICE_COUNT = 10_000
const METRIC_COUNT = 2
const START_MS = 1_750_000_000_000
const READ_SIZE_BYTES = 65_536
const ROWS_MAX = 100_000
const PACKET_SIZE_BYTES_MAX = 1 << 20

const WINDOWS = {
  widthsMs: [10_000, 60_000],
  latenessMs: 10_000,
  idleTimeoutMs: 30_000,
  aheadGuardMs: 300_000,
  inFlightMax: 1024,
}

/** The packets that the fleet sends in one second, one after another. */
function fleetSecond(second: number): Uint8Array {
  const text = new TextEncoder()
  const nothing = new Uint8Array(0)
  const bytes = new Uint8Array(DEVICE_COUNT * 128)
  let offset = 0
  for (let device = 0; device < DEVICE_COUNT; device++) {
    const topic = text.encode(`devices/device-${String(device).padStart(5, '0')}/telemetry`)
    const temperature = (20 + ((device * 7 + second * 13) % 997) / 100).toFixed(2)
    const payload = text.encode(
      `{"ts":${START_MS + second * 1000},"temperature":${temperature},"humidity":${40 + ((device + second) % 50)}.5}`,
    )
    const size = publishSize(4, 1, topic.length, 0, payload.length)
    assert(offset + size <= bytes.length, 'the buffer holds the fleet')
    const header = publishHeader(1, false, false)
    const id = (device % 65_535) + 1
    offset = writePublish(
      bytes,
      offset,
      4,
      header,
      id,
      topic,
      0,
      topic.length,
      nothing,
      0,
      0,
      payload,
      0,
      payload.length,
    )
  }
  return bytes.slice(0, offset)
}

interface Spent {
  gatewayMs: number
  pipelineMs: number
  blocksMs: number
  blockCount: number
}

class OneThread {
  readonly spent: Spent = { gatewayMs: 0, pipelineMs: 0, blocksMs: 0, blockCount: 0 }
  readonly pipeline = new Pipeline(WINDOWS)
  #memory = createRing(1 << 22)
  #producer = new RingProducer(this.#memory)
  #consumer = new RingConsumer(this.#memory)
  #frames = new Frames(1024)
  #fields = new PublishFields()
  #route = new MessageRoute()
  #builder = new BlockBuilder(
    { storeId: new Uint8Array(16), shard: 0, streams: ['telemetry'] },
    this.pipeline,
  )
  #position = 0

  run(bytes: Uint8Array, arrivalMs: number): void {
    for (let offset = 0; offset < bytes.length; ) {
      const startMs = performance.now()
      offset = this.#receive(bytes, offset, Math.min(bytes.length, offset + READ_SIZE_BYTES), arrivalMs)
      const receivedMs = performance.now()
      this.#process()
      const processedMs = performance.now()
      if (this.pipeline.rowCount >= ROWS_MAX) this.seal()
      this.spent.gatewayMs += receivedMs - startMs
      this.spent.pipelineMs += processedMs - receivedMs
      this.spent.blocksMs += performance.now() - processedMs
    }
    this.pipeline.tick(arrivalMs)
  }

  seal(): void {
    runSlices(this.#builder.build(++this.spent.blockCount))
    this.pipeline.clearRows()
  }

  #receive(bytes: Uint8Array, start: number, end: number, arrivalMs: number): number {
    const frames = this.#frames
    const fields = this.#fields
    const route = this.#route
    const producer = this.#producer
    const next = cutFrames(bytes, start, end, PACKET_SIZE_BYTES_MAX, frames)
    for (let i = 0; i < frames.count; i++) {
      readPublish(bytes, frames.header[i], frames.bodyStart[i], frames.bodyEnd[i], 4, fields)
      const { topicStart, topicEnd, payloadStart, payloadEnd } = fields
      route.deviceStart = 8
      route.deviceSize = topicEnd - topicStart - 18
      route.deviceHash = hashBytes(bytes, topicStart + 8, topicStart + 8 + route.deviceSize)
      const size = messageRecordSize(topicEnd - topicStart, payloadEnd - payloadStart)
      const at = producer.claim(size)
      assert(at >= 0, 'the ring has room for a read')
      writeMessageRecord(
        producer.views,
        at,
        route,
        2,
        arrivalMs,
        fields.packetId,
        1,
        bytes,
        topicStart,
        topicEnd,
        bytes,
        payloadStart,
        payloadEnd,
      )
      producer.commit(size)
    }
    producer.publish()
    return next
  }

  #process(): void {
    for (;;) {
      const start = this.#consumer.offset()
      const size = this.#consumer.take(1 << 20)
      if (size === 0) break
      this.pipeline.process(this.#consumer.views, start, start + size, this.#position)
      this.#position += size
    }
    this.#consumer.release(this.#consumer.position)
  }
}

export const bench: Bench = {
  name: 'pipeline',
  about: 'MQTT bytes to Native blocks on one thread, windows of 10 s and 1 min included; 10,000 devices',
  async run(size: BenchSize): Promise<Measure[]> {
    const secondCount = size === 'small' ? 4 : 90
    const warmupCount = size === 'small' ? 1 : 30
    const thread = new OneThread()
    let measuredMs = 0
    for (let second = 0; second < secondCount; second++) {
      const bytes = fleetSecond(second)
      if (second === warmupCount) Object.assign(thread.spent, { gatewayMs: 0, pipelineMs: 0, blocksMs: 0 })
      const startMs = performance.now()
      thread.run(bytes, START_MS + second * 1000)
      if (second >= warmupCount) measuredMs += performance.now() - startMs
    }
    thread.seal()
    assert(
      thread.pipeline.readingCount === secondCount * DEVICE_COUNT * METRIC_COUNT,
      'every reading is decoded',
    )
    const readings = (secondCount - warmupCount) * DEVICE_COUNT * METRIC_COUNT
    const { gatewayMs, pipelineMs, blocksMs } = thread.spent
    const perReading = (ms: number) => (ms * 1e6) / readings
    return [
      {
        name: 'bytes to Native blocks',
        value: readings / (measuredMs / 1000),
        unit: 'readings/s',
        atLeast: 1_500_000,
      },
      { name: 'of it framing and ring', value: perReading(gatewayMs), unit: 'ns/reading' },
      { name: 'of it decoding and windows', value: perReading(pipelineMs), unit: 'ns/reading' },
      { name: 'of it blocks', value: perReading(blocksMs), unit: 'ns/reading' },
    ]
  },
}

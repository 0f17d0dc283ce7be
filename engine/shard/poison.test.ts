import { expect, test } from 'vitest'
import { AssertionError } from '../../base/assert.ts'
import { ManualClock } from '../../base/clock.ts'
import { hashBytes } from '../../base/hash.ts'
import { Prng } from '../../base/prng.ts'
import {
  alignRecord,
  MessageRoute,
  messageRecordSize,
  type RecordViews,
  writeMessageRecord,
} from '../../codecs/journal/record.ts'
import { Journal } from '../journal/journal.ts'
import { Doorbell } from '../ring/doorbell.ts'
import { createRing, RingConsumer, RingProducer } from '../ring/ring.ts'
import { SimDisk } from '../simulation/sim-disk.ts'
import { Pipeline } from './pipeline.ts'
import { Shard } from './shard.ts'

const WINDOWS = {
  widthsMs: [10_000],
  latenessMs: 10_000,
  idleTimeoutMs: 30_000,
  aheadGuardMs: 300_000,
  inFlightMax: 64,
}
const utf8 = (text: string) => new TextEncoder().encode(text)

/** A fault of ours: some payloads end the thread. */
class FaultyPipeline extends Pipeline {
  override process(views: RecordViews, start: number, end: number, position: number): void {
    for (let offset = start; offset < end; offset += alignRecord(views.u32[offset >>> 2])) {
      const text = Buffer.from(views.bytes.subarray(offset, offset + views.u32[offset >>> 2])).toString()
      const isDeadly = text.includes('deadly') && !this.skips.has(position + (offset - start))
      if (isDeadly) throw new AssertionError('a payload that we did not think of')
    }
    super.process(views, start, end, position)
  }
}

test('a message that ends the engine again and again is skipped and becomes a dead letter; all others are stored', async () => {
  const disk = new SimDisk()
  const clock = new ManualClock(1_700_000_000_000)
  const stored: string[] = []
  const letters: string[] = []
  const owner = { storeId: new Uint8Array(16), shard: 0, shardCount: 1 }

  function start(): { shard: Shard; publish: (payload: string) => void } {
    const memory = createRing(1 << 16)
    const producer = new RingProducer(memory)
    const pipeline = new FaultyPipeline(WINDOWS)
    const shard = new Shard({
      disk,
      owner,
      rings: [new RingConsumer(memory)],
      gatewayBells: [new Doorbell(Doorbell.memory())],
      journal: new Journal(disk, { ...owner, segmentSizeBytes: 65_536, sizeBytesMax: 1 << 20 }),
      pipeline,
      blocks: {
        // biome-ignore lint/correctness/useYield: one slice
        *build(mark) {
          const { readings, deadLetters } = pipeline
          for (let row = 0; row < readings.count; row++)
            stored.push(pipeline.metrics.text(readings.metric[row]))
          letters.push(...deadLetters.reason)
          return {
            mark,
            parts: [
              { table: 'samples', columns: [], block: new Uint8Array(1), token: `${mark}`, rowCount: 1 },
            ],
            alerts: [],
            rowCount: 1,
            sizeBytes: 1,
          }
        },
        recycle() {},
      },
      batch: { rowsMax: 1000, sizeBytesMax: 1 << 20, ageMsMax: 1000 },
      snapshotIntervalBytes: 65_536,
      sink: { target: { insert: async () => {} }, prng: new Prng(1), clock },
      clock,
      alert: () => {},
      wake: () => {},
      report: ({ message }) => {
        throw new Error(message)
      },
    })
    const publish = (payload: string) => {
      const [name, bytes, route] = [utf8('d1'), utf8(payload), new MessageRoute()]
      route.deviceSize = name.length
      route.deviceHash = hashBytes(name, 0, name.length)
      const size = messageRecordSize(name.length, bytes.length)
      const offset = producer.claim(size)
      writeMessageRecord(
        producer.views,
        offset,
        route,
        0,
        clock.nowMs(),
        0,
        1,
        name,
        0,
        name.length,
        bytes,
        0,
        bytes.length,
      )
      producer.commit(size)
      producer.publish()
    }
    return { shard, publish }
  }

  /** Steps until everything is stored; false when it dies on the way. */
  async function liveOn(shard: Shard): Promise<boolean> {
    shard.drain(true)
    for (let turn = 0; turn < 50 && (turn < 3 || !shard.isDrained); turn++) {
      clock.advance(300)
      try {
        shard.step()
      } catch (error) {
        expect(error).toBeInstanceOf(AssertionError)
        return false
      }
      await new Promise((resolve) => setImmediate(resolve))
    }
    expect(shard.isDrained).toBe(true)
    return true
  }

  const first = start()
  for (const payload of ['{"a":1}', '{"b":1}', '{"deadly":1}', '{"c":1}', '{"deadly":2}', '{"d":1}'])
    first.publish(payload)
  let deathCount = 0
  for (let { shard } = first; !(await liveOn(shard)); { shard } = start()) {
    await new Promise((resolve) => setImmediate(resolve))
    deathCount++
    expect(deathCount).toBeLessThan(12)
  }
  expect(deathCount).toBeGreaterThanOrEqual(6) // three for each of the two
  expect(stored.sort()).toEqual(['a', 'b', 'c', 'd'])
  expect(letters).toEqual(Array(2).fill('skipped: it ended the engine again and again'))
})

/** Orders of events that the simulation has met once in a thousand runs, step by step. */
import { expect, test } from 'vitest'
import { ManualClock } from '../../base/clock.ts'
import { hashBytes } from '../../base/hash.ts'
import { Prng } from '../../base/prng.ts'
import {
  MessageRoute,
  messageRecordSize,
  RecordFlag,
  writeMessageRecord,
} from '../../codecs/journal/record.ts'
import { Journal } from '../journal/journal.ts'
import { Doorbell } from '../ring/doorbell.ts'
import { createRing, RingConsumer, RingProducer } from '../ring/ring.ts'
import { SimDisk } from '../simulation/sim-disk.ts'
import { BlockBuilder } from './block-builder.ts'
import { Pipeline } from './pipeline.ts'
import { Shard } from './shard.ts'

const WINDOWS = { widthsMs: [10_000], latenessMs: 10_000, idleTimeoutMs: 30_000, aheadGuardMs: 300_000 }
const OWNER = { storeId: new Uint8Array(16), shard: 0, shardCount: 1 }
const NAME = Buffer.from('d1')

/** Takes a block once per token, and answers only what it is told to. */
class Store {
  readonly blocks = new Map<string, string>()
  #waiting: { token: string; answer: () => void }[] = []

  insert(_table: string, _columns: readonly string[], block: Uint8Array, token: string): Promise<void> {
    const bytes = Buffer.from(block).toString('latin1')
    expect(this.blocks.get(token) ?? bytes, token).toBe(bytes)
    this.blocks.set(token, bytes)
    return new Promise((resolve) => this.#waiting.push({ token, answer: resolve }))
  }

  /** Answers what waits up to that mark. */
  answer(markMax: number): void {
    const isDue = ({ token }: { token: string }) => Number(token.split('/').at(-1)) <= markMax
    for (const { answer } of this.#waiting.filter(isDue)) answer()
    this.#waiting = this.#waiting.filter((request) => !isDue(request))
  }
}

class Life {
  readonly clock: ManualClock
  readonly shard: Shard
  readonly journal: Journal
  readonly producer: RingProducer
  readonly #disk: SimDisk

  constructor(disk: SimDisk, store: Store, clock: ManualClock, snapshotIntervalBytes: number) {
    this.#disk = disk
    this.clock = clock
    const memory = createRing(1 << 16)
    const pipeline = new Pipeline({ ...WINDOWS, inFlightMax: 64 })
    this.producer = new RingProducer(memory)
    this.journal = new Journal(disk, { ...OWNER, segmentSizeBytes: 4096, sizeBytesMax: 16_384 })
    this.shard = new Shard({
      disk,
      owner: OWNER,
      rings: [new RingConsumer(memory)],
      gatewayBells: [new Doorbell(Doorbell.memory())],
      journal: this.journal,
      pipeline,
      blocks: new BlockBuilder({ ...OWNER, streams: ['s'] }, pipeline),
      batch: { rowsMax: 1000, sizeBytesMax: 1 << 20, ageMsMax: 1000 },
      snapshotIntervalBytes,
      sink: { target: store, prng: new Prng(1), clock },
      clock,
      alert: () => {},
      wake: () => {},
      report: () => {},
    })
  }

  publish(value: number): void {
    const payload = Buffer.from(`{"v":${value}}`)
    const size = messageRecordSize(NAME.length, payload.length)
    const offset = this.producer.claim(size)
    const route = new MessageRoute()
    route.deviceSize = NAME.length
    route.deviceHash = hashBytes(NAME, 0, NAME.length)
    const { views } = this.producer
    const now = this.clock.nowMs()
    const end = payload.length
    writeMessageRecord(
      views,
      offset,
      route,
      RecordFlag.QOS_1,
      now,
      1,
      1,
      NAME,
      0,
      NAME.length,
      payload,
      0,
      end,
    )
    this.producer.commit(size)
    this.producer.publish()
  }

  async step(afterMs = 0, isSettled = true): Promise<void> {
    this.clock.advance(afterMs)
    this.shard.step()
    if (isSettled) this.#disk.settle()
    await new Promise((resolve) => setImmediate(resolve))
  }
}

function makeDisk(): SimDisk {
  const disk = new SimDisk()
  disk.isSyncManual = true
  return disk
}

test('a flush right behind a batch that is confirmed is sent again as it was', async () => {
  const disk = makeDisk()
  const store = new Store()
  const clock = new ManualClock(1_700_000_000_000)
  const life = new Life(disk, store, clock, 1)
  disk.settle() // its reserve
  life.publish(1)
  await life.step(0, false) // appended, and its sync is under way
  await life.step(2000, false) // so the batch and the flush behind it end at the same position
  life.shard.drain(true)
  for (let round = 0; round < 4; round++) await life.step()
  for (let round = 0; round < 8; round++) {
    store.answer(1)
    await life.step()
  }
  disk.kill()
  const tokens = [...store.blocks.keys()]
  expect(tokens.filter((token) => token.endsWith('/2'))).toEqual([`${'00'.repeat(16)}/rollups/0/2`])
  const next = new Life(disk, store, clock, 1)
  next.shard.drain(true)
  for (let round = 0; round < 60 && !next.shard.isDrained; round++) {
    store.answer(2)
    await next.step(100)
  }
  expect(next.shard.isDrained).toBe(true)
  expect([...store.blocks.keys()]).toEqual(tokens)
})

test('a journal at its bound is emptied once all is stored, though the snapshot interval is not over', async () => {
  const store = new Store()
  const life = new Life(makeDisk(), store, new ManualClock(1_700_000_000_000), 1 << 20)
  for (let value = 1, round = 0; round < 2000 && value <= 1000; round++) {
    if (life.producer.position - life.producer.durable() < 1000) life.publish(value++)
    await life.step(20)
    store.answer(Number.POSITIVE_INFINITY)
  }
  for (let round = 0; round < 200; round++) {
    await life.step(100)
    store.answer(Number.POSITIVE_INFINITY)
  }
  expect(life.journal.isFull).toBe(false)
  expect(life.producer.durable()).toBe(life.producer.position)
})

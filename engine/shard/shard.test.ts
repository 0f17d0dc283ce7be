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
import { createRing, isReached, RingConsumer, RingProducer } from '../ring/ring.ts'
import { SimDisk } from '../simulation/sim-disk.ts'
import type { SealedBatch } from '../sink/sealed-batch.ts'
import { Pipeline } from './pipeline.ts'
import { Shard } from './shard.ts'

/** `SEED=7 RUNS=10000 npm test -- engine/shard/shard` runs others, and more. */
const SEED = Number(process.env.SEED ?? 1)
const RUNS = Number(process.env.RUNS ?? 40)
const START_MS = 1_700_000_000_000
const WINDOWS = {
  widthsMs: [10_000, 60_000],
  latenessMs: 10_000,
  idleTimeoutMs: 30_000,
  aheadGuardMs: 300_000,
  inFlightMax: 1024,
}

/** ClickHouse as far as a shard sees it: takes a block once per token, fails when told to, outlives the engine. */
class SimStore {
  readonly tokens = new Map<string, string>()
  readonly samples: number[] = []
  readonly rollups = new Map<string, number>()
  isAway = false

  async insert(_table: string, _columns: readonly string[], block: Uint8Array, token: string): Promise<void> {
    if (this.isAway) throw new Error('away')
    const known = this.tokens.get(token)
    if (known !== undefined) {
      expect(Buffer.from(block).toString(), token).toBe(known)
      return
    }
    this.tokens.set(token, Buffer.from(block).toString())
    const rows = JSON.parse(Buffer.from(block).toString())
    this.samples.push(...rows.samples)
    for (const [key, count] of rows.rollups) this.rollups.set(key, (this.rollups.get(key) ?? 0) + count)
  }
}

function buildPlainly(pipeline: Pipeline, mark: number): SealedBatch {
  const { readings, windows } = pipeline
  const samples = Array.from(readings.value.subarray(0, readings.count))
  const rollups = Array.from({ length: windows.closed.count }, (_, row) => {
    const { series, window, startMs, n } = windows.closed
    const device = new TextDecoder().decode(pipeline.devices.name(pipeline.series.device[series[row]]))
    return [`${device} ${window[row]} ${startMs[row]}`, n[row]]
  })
  const block = Buffer.from(JSON.stringify({ samples, rollups: rollups.sort() }))
  const part = { table: 'samples', columns: [], block, token: `0 ${mark}`, rowCount: pipeline.rowCount }
  return { mark, parts: [part], rowCount: pipeline.rowCount, sizeBytes: block.length }
}

/** One life of an engine: a gateway's end of a ring, a shard, and the disk and the store that outlive it. */
class Life {
  readonly clock: ManualClock
  readonly producer: RingProducer
  readonly shard: Shard
  /** What waits for its acknowledgement, in the order of the ring. */
  readonly unacknowledged: { message: Message; end: number }[] = []
  readonly connection: number
  isDead = false
  #disk: SimDisk

  constructor(disk: SimDisk, store: SimStore, clock: ManualClock, prng: Prng) {
    this.#disk = disk
    this.clock = clock
    this.connection = prng.u32()
    const memory = createRing(1 << 16)
    this.producer = new RingProducer(memory)
    const owner = { storeId: new Uint8Array(16), shard: 0, shardCount: 1 }
    this.shard = new Shard({
      disk,
      owner,
      rings: [new RingConsumer(memory)],
      gatewayBells: [new Doorbell(Doorbell.memory())],
      journal: new Journal(disk, { ...owner, segmentSizeBytes: 16_384, sizeBytesMax: 1 << 20 }),
      pipeline: new Pipeline(WINDOWS),
      blocks: { build: buildPlainly },
      batch: { rowsMax: 60, sizeBytesMax: 1 << 20, ageMsMax: 1000 },
      snapshotIntervalBytes: 20_000,
      sink: { target: { insert: (...call) => this.#insert(store, ...call) }, prng, clock },
      clock,
      wake: () => {},
      report: ({ code, message }) => {
        if (!/^(STORE_REFUSES|JOURNAL_WRITE|JOURNAL_SYNC|SNAPSHOT)$/.test(code)) throw new Error(message)
        if (!/away|ENOSPC|EIO|again/.test(message)) throw new Error(message)
      },
    })
  }

  /** A reply to a dead engine reaches nobody. */
  async #insert(store: SimStore, ...call: Parameters<SimStore['insert']>): Promise<void> {
    await store.insert(...call)
    if (this.isDead) await new Promise(() => {})
  }

  publish(message: Message, isDup: boolean): boolean {
    const name = utf8(message.device)
    const payload = utf8(JSON.stringify({ ts: message.tsMs, seq: message.sequence }))
    const size = messageRecordSize(name.length, payload.length)
    const offset = this.producer.claim(size)
    if (offset < 0) return false
    const route = new MessageRoute()
    route.deviceSize = name.length
    route.deviceHash = hashBytes(name, 0, name.length)
    route.clientHash = route.deviceHash
    const { views } = this.producer
    const flags = RecordFlag.QOS_1 | (isDup ? RecordFlag.DUP : 0)
    const id = (message.sequence % 500) + 1
    const at = this.clock.nowMs()
    writeMessageRecord(
      views,
      offset,
      route,
      flags,
      at,
      id,
      this.connection,
      name,
      0,
      name.length,
      payload,
      0,
      payload.length,
    )
    this.producer.commit(size)
    this.unacknowledged.push({ message, end: this.producer.position })
    this.producer.publish()
    return true
  }

  takeAcknowledged(): Message[] {
    const durable = this.producer.durable()
    const acknowledged: Message[] = []
    for (; this.unacknowledged.length > 0 && isReached(durable, this.unacknowledged[0].end); ) {
      acknowledged.push(this.unacknowledged.splice(0, 1)[0].message)
    }
    return acknowledged
  }

  async step(): Promise<void> {
    this.shard.step()
    this.#disk.settle()
    await new Promise((resolve) => setImmediate(resolve))
  }
}

interface Message {
  sequence: number
  device: string
  tsMs: number
}

const utf8 = (text: string) => new TextEncoder().encode(text)

/** Devices publish through five lives of an engine; what a life did not acknowledge is sent again with DUP in the next one. */
async function live(
  seed: number,
): Promise<{ acknowledged: Set<number>; sent: Message[]; store: SimStore; last: Life; restart: () => Life }> {
  const prng = new Prng(seed)
  const disk = new SimDisk()
  disk.isSyncManual = true
  const store = new SimStore()
  const clock = new ManualClock(START_MS)
  const acknowledged = new Set<number>()
  const sent: Message[] = []
  let again: Message[] = []
  for (let life = 0; life < 5; life++) {
    disk.writeFault = null
    disk.syncFault = null
    const engine = new Life(disk, store, clock, prng)
    for (let turn = prng.between(5, 80); turn > 0; turn--) {
      store.isAway = prng.unit() < (life % 2 === 0 ? 0.05 : 0.6)
      disk.writeFault = prng.unit() < 0.03 ? new Error('ENOSPC') : null
      disk.syncFault = prng.unit() < 0.03 ? new Error('EIO') : null
      again = again.filter((message) => !engine.publish(message, true))
      for (let burst = prng.between(0, 40); burst > 0; burst--) {
        const device = `d${prng.between(0, 9)}`
        const message = { sequence: sent.length, device, tsMs: clock.nowMs() - prng.between(0, 90_000) }
        if (engine.publish(message, false)) sent.push(message)
      }
      clock.advance(prng.between(0, 3000))
      if (prng.unit() < 0.9) await engine.step()
      for (const { sequence } of engine.takeAcknowledged()) acknowledged.add(sequence)
    }
    again = [...engine.unacknowledged.map(({ message }) => message), ...again]
    engine.isDead = true
    disk.crash(prng)
    clock.advance(prng.between(0, 100_000))
  }
  disk.writeFault = null
  disk.syncFault = null
  store.isAway = false
  const restart = () => new Life(disk, store, clock, prng)
  return { acknowledged, sent, store, last: restart(), restart }
}

test('through crashes, power cuts, disk faults and an absent store, what was acknowledged is one row and counts once', async () => {
  for (let seed = SEED; seed < SEED + RUNS; seed++) {
    const { acknowledged, sent, store, last, restart } = await live(seed)
    last.shard.drain()
    for (let turn = 0; turn < 3000 && !last.shard.isDrained; turn++) {
      last.clock.advance(200)
      await last.step()
    }
    expect(last.shard.isDrained, `seed ${seed}`).toBe(true)
    expect(new Set(store.samples).size, `seed ${seed}: no row twice`).toBe(store.samples.length)
    const stored = new Set(store.samples)
    expect(
      [...acknowledged].filter((sequence) => !stored.has(sequence)),
      `seed ${seed}: nothing is lost`,
    ).toEqual([])
    expect(Object.fromEntries([...store.rollups].sort()), `seed ${seed}: rollups`).toEqual(
      rollupsOf(store.samples, sent),
    )
    const closing = last.shard.close()
    await last.step()
    await closing
    expect(restart().shard.follower.backlogSizeBytes, `seed ${seed}: nothing to replay`).toBe(0)
  }
}, 600_000)

function rollupsOf(samples: number[], sent: Message[]): Record<string, number> {
  const counts = new Map<string, number>()
  for (const sequence of samples) {
    const message = sent[sequence]
    WINDOWS.widthsMs.forEach((widthMs, window) => {
      const key = `${message.device} ${window} ${Math.floor(message.tsMs / widthMs) * widthMs}`
      counts.set(key, (counts.get(key) ?? 0) + 1)
    })
  }
  return Object.fromEntries([...counts].sort())
}

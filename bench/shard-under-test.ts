/**
 * For benches: a shard on this thread, as engine/shard/shard-thread.ts puts one together, fed with the records of a
 * fleet through a ring. Ten thousand devices on a hundred connections, two metrics a message, a message a second
 * each. Time stands in the records and on a clock of its own, so that equal rounds do equal work.
 */
import { ManualClock } from '../base/clock.ts'
import { hashBytes } from '../base/hash.ts'
import { Prng } from '../base/prng.ts'
import {
  alignRecord,
  MessageRoute,
  messageRecordSize,
  RecordFlag,
  RecordViews,
  writeMessageRecord,
} from '../codecs/journal/record.ts'
import type { JournalDisk } from '../engine/journal/disk.ts'
import { Journal } from '../engine/journal/journal.ts'
import { Doorbell } from '../engine/ring/doorbell.ts'
import { createRing, RingConsumer, RingProducer } from '../engine/ring/ring.ts'
import { BlockBuilder } from '../engine/shard/block-builder.ts'
import { Pipeline } from '../engine/shard/pipeline.ts'
import { Shard } from '../engine/shard/shard.ts'
import type { StoreTarget } from '../engine/store/target.ts'

export const DEVICE_COUNT = 10_000
export const METRIC_COUNT = 2
export const START_MS = 1_750_000_000_000
/** The engine's own: engine/config.ts. */
export const ROWS_MAX = 500_000

const CONNECTION_COUNT = 100
const SEGMENT_SIZE_BYTES = 64 << 20
const RING_SIZE_BYTES = 16 << 20
const RECORD_SIZE_BYTES_MAX = 256
const OWNER = { storeId: new Uint8Array(16), shard: 0, shardCount: 1 }
const WINDOWS = {
  widthsMs: [10_000, 60_000],
  latenessMs: 10_000,
  idleTimeoutMs: 30_000,
  aheadGuardMs: 300_000,
  inFlightMax: 1024,
}

/** What the fleet sends in one second, as records, in pieces that a shard takes in one append. */
export function fleetSecond(second: number, pieceSizeBytes: number): Uint8Array[] {
  const text = new TextEncoder()
  const views = new RecordViews(new ArrayBuffer(DEVICE_COUNT * RECORD_SIZE_BYTES_MAX))
  const route = new MessageRoute()
  const arrivalMs = START_MS + second * 1000
  const pieces: Uint8Array[] = []
  let start = 0
  let offset = 0
  for (let device = 0; device < DEVICE_COUNT; device++) {
    const name = `device-${String(device).padStart(5, '0')}`
    const topic = text.encode(`devices/${name}/telemetry`)
    const temperature = (20 + ((device * 7 + second * 13) % 997) / 100).toFixed(2)
    const humidity = `${40 + ((device + second) % 50)}.5`
    const payload = text.encode(`{"ts":${arrivalMs},"temperature":${temperature},"humidity":${humidity}}`)
    route.deviceStart = 8
    route.deviceSize = name.length
    route.deviceHash = hashBytes(topic, 8, 8 + name.length)
    const connection = device % CONNECTION_COUNT
    route.clientHash = Math.imul(connection + 1, 0x9e3779b1)
    const perSecond = DEVICE_COUNT / CONNECTION_COUNT
    const id = ((second * perSecond + Math.floor(device / CONNECTION_COUNT)) % 65_535) + 1
    const size = alignRecord(messageRecordSize(topic.length, payload.length))
    if (offset + size - start > pieceSizeBytes) {
      pieces.push(views.bytes.slice(start, offset))
      start = offset
    }
    writeMessageRecord(
      views,
      offset,
      route,
      RecordFlag.QOS_1,
      arrivalMs,
      id,
      connection,
      topic,
      0,
      topic.length,
      payload,
      0,
      payload.length,
    )
    offset += size
  }
  pieces.push(views.bytes.slice(start, offset))
  return pieces
}

export function createPipeline(): { pipeline: Pipeline; blocks: BlockBuilder } {
  const pipeline = new Pipeline(WINDOWS)
  const settings = { storeId: OWNER.storeId, shard: 0, streams: ['telemetry'] }
  return { pipeline, blocks: new BlockBuilder(settings, pipeline) }
}

export class ShardUnderTest {
  readonly clock: ManualClock
  readonly journal: Journal
  readonly pipeline: Pipeline
  readonly shard: Shard
  #producer: RingProducer
  #input: Uint8Array[] = []
  #next = 0
  #isWoken = false
  #isDone: () => boolean = () => false
  #done: () => void = () => {}

  /** Its clock begins at `startMs`; what the journal on `disk` holds is recovered. */
  constructor(disk: JournalDisk, target: Pick<StoreTarget, 'insert'>, startMs: number) {
    const memory = createRing(RING_SIZE_BYTES)
    const { pipeline, blocks } = createPipeline()
    this.pipeline = pipeline
    this.clock = new ManualClock(startMs)
    this.#producer = new RingProducer(memory)
    this.journal = new Journal(disk, {
      ...OWNER,
      segmentSizeBytes: SEGMENT_SIZE_BYTES,
      sizeBytesMax: Number.MAX_SAFE_INTEGER,
    })
    this.shard = new Shard({
      disk,
      owner: OWNER,
      rings: [new RingConsumer(memory)],
      gatewayBells: [new Doorbell(Doorbell.memory())],
      journal: this.journal,
      pipeline,
      blocks,
      batch: { rowsMax: ROWS_MAX, sizeBytesMax: 32 << 20, ageMsMax: Number.MAX_SAFE_INTEGER },
      snapshotIntervalBytes: SEGMENT_SIZE_BYTES,
      sink: { target, prng: new Prng(1), clock: this.clock },
      clock: this.clock,
      alert: () => {},
      wake: () => this.#wake(),
      report: ({ code, message, isOver }) => {
        if (isOver !== true) throw new Error(`${code}: ${message}`)
      },
    })
  }

  /** Lets the shard take one piece with each append; resolves when all are durable and nothing is left to do. */
  take(pieces: Uint8Array[]): Promise<void> {
    this.#input = pieces
    this.#next = 0
    return this.#runUntil(() => !this.#isWoken && this.shard.intake.isIdle && this.#next === pieces.length)
  }

  /** Resolves when all that was found on the disk is processed. */
  untilLive(): Promise<void> {
    return this.#runUntil(() => this.shard.follower.isLive)
  }

  close(): Promise<void> {
    return this.shard.close()
  }

  #runUntil(isDone: () => boolean): Promise<void> {
    this.#isDone = isDone
    this.#wake()
    return new Promise((resolve) => {
      this.#done = resolve
    })
  }

  #wake(): void {
    if (this.#isWoken) return
    this.#isWoken = true
    setImmediate(this.#run)
  }

  readonly #run = (): void => {
    this.#isWoken = false
    if (this.journal.isFull) {
      setTimeout(this.#run, 1) // until its reserve is there
      return
    }
    if (this.shard.intake.isIdle && this.#next < this.#input.length) this.#publish(this.#input[this.#next++])
    this.shard.step()
    if (this.#isDone()) this.#done()
  }

  /** A whole piece counts as one record here: one copy, which costs next to nothing per message. */
  #publish(piece: Uint8Array): void {
    const offset = this.#producer.claim(piece.length)
    if (offset < 0) throw new Error('the ring is full')
    this.#producer.views.bytes.set(piece, offset)
    this.#producer.commit(piece.length)
    this.#producer.publish()
  }
}

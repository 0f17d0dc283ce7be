/** A shard's thread in the simulation: the product's Shard over a simulated disk and store. */
import { Journal } from '../journal/journal.ts'
import { Doorbell } from '../ring/doorbell.ts'
import { RingConsumer } from '../ring/ring.ts'
import { BlockBuilder } from '../shard/block-builder.ts'
import { Pipeline } from '../shard/pipeline.ts'
import { Shard } from '../shard/shard.ts'
import { STREAMS } from './books.ts'
import { SimThread } from './sim-thread.ts'
import { SimulationError } from './simulation-error.ts'
import type { World } from './world.ts'

/** Batches sealed and not yet in the store. A drain may seal what is left beyond that. */
const OPEN_BATCH_COUNT_MAX = 4
/** Faults that are the disk's and the store's, not the engine's. */
const EXPECTED_REPORTS = new Set([
  'STORE_REFUSES',
  'ROW_REFUSED',
  'JOURNAL_WRITE',
  'JOURNAL_SYNC',
  'SNAPSHOT',
  'DISK_FULL',
])

export class SimShard extends SimThread {
  readonly shard: Shard
  readonly #journal: Journal
  readonly #rings: RingConsumer[]
  #isDraining = false
  #closesWindows = true
  /** Batches that were sealed and are not confirmed. */
  #openCount = 0

  /** Throws what the disk throws, and JournalError. */
  constructor(
    world: World,
    index: number,
    rings: SharedArrayBuffer[],
    gatewayBells: SharedArrayBuffer[],
    bell: SharedArrayBuffer,
  ) {
    super(world.clock, bell)
    const { settings, clock, disks, prng, trace, store, config } = world
    const { segmentSizeBytes, journalSizeBytesMax, snapshotIntervalBytes, batch, receiveMaximum } = settings
    const owner = { storeId: new Uint8Array(16).fill(7), shard: index, shardCount: settings.shardCount }
    const disk = disks[index]
    this.#rings = rings.map((memory) => new RingConsumer(memory))
    const pipeline = new Pipeline({
      ...config.windows,
      inFlightMax: receiveMaximum,
      streams: config.streams.map((stream, index) => ({ stream, pipeline: config.pipelines[index] })),
    })
    const streams = STREAMS.map(({ name }) => name)
    const builder = new BlockBuilder({ storeId: owner.storeId, shard: index, streams }, pipeline)
    this.#journal = new Journal(disk, { ...owner, segmentSizeBytes, sizeBytesMax: journalSizeBytesMax })
    this.shard = new Shard({
      disk,
      owner,
      rings: this.#rings,
      gatewayBells: gatewayBells.map((memory) => new Doorbell(memory)),
      journal: this.#journal,
      pipeline,
      blocks: {
        build: (mark) => {
          trace.note('shard', index, 'seals', mark, 'of', pipeline.rowCount, 'rows')
          this.#onSealed()
          return builder.build(mark)
        },
        recycle: (batch) => {
          this.#openCount--
          builder.recycle(batch)
        },
      },
      batch,
      snapshotIntervalBytes,
      sink: { target: store, prng, clock },
      clock,
      alert: (alerts) => world.alerts.push(...alerts),
      wake: () => {
        this.isWoken = true
      },
      report: ({ code, message, isOver = false }) => {
        trace.note('shard', index, code, isOver ? 'is over' : message)
        if (!isOver) trace.tally(code)
        if (!EXPECTED_REPORTS.has(code))
          throw new SimulationError(`shard ${index} reports ${code}: ${message}`)
      },
    })
  }

  get isDrained(): boolean {
    return this.shard.isDrained && this.#rings.every((ring) => ring.available() === 0)
  }

  /** Once its rings are empty, as the thread does it. */
  drain(closesWindows: boolean): void {
    // Else it counts as drained, as it was asked to be before, until it runs.
    if (this.isDrained) this.shard.drain(closesWindows)
    this.#isDraining = true
    this.#closesWindows = closesWindows
    this.isWoken = true
  }

  protected work(): number {
    if (this.#isDraining && this.#rings.every((ring) => ring.available() === 0))
      this.shard.drain(this.#closesWindows)
    return this.shard.step()
  }

  protected look(): void {
    if (!this.#journal.isSyncing && this.#rings.some((ring) => ring.available() > 0)) this.shard.step()
  }

  #onSealed(): void {
    this.#openCount++
    const countMax = OPEN_BATCH_COUNT_MAX + (this.#isDraining ? 1 : 0)
    if (this.#openCount > countMax) throw new SimulationError(`${this.#openCount} batches are open`)
  }
}

/**
 * A shard on its thread: opens its journal, connects its sink, and calls the step machine when the bell rings, a sync
 * ends, an insert ends, or time has come.
 */
import { systemClock } from '../../base/clock.ts'
import { Prng } from '../../base/prng.ts'
import { type BatchConfig, DEFAULT_CONFIG } from '../config.ts'
import type { ConfigLayout } from '../config-layout.ts'
import { EngineError } from '../engine-error.ts'
import { NodeDisk } from '../journal/disk.ts'
import { Journal } from '../journal/journal.ts'
import { JournalError } from '../journal/segment-recovery.ts'
import { Doorbell } from '../ring/doorbell.ts'
import { RingConsumer } from '../ring/ring.ts'
import { StepLoop } from '../ring/step-loop.ts'
import { connectStore, type StoreAddress } from '../store/target.ts'
import type { Alert } from './alert.ts'
import { BlockBuilder } from './block-builder.ts'
import { Pipeline } from './pipeline.ts'
import type { PipelineStream } from './pipeline-stream.ts'
import { Shard } from './shard.ts'

/** A drain waits no longer than this for a ClickHouse that takes nothing. */
const HOPELESS_DRAIN_MS = 3000

export interface ShardSetup {
  index: number
  shardCount: number
  storeId: Uint8Array
  generation: number
  journalPath: string
  journalSizeBytesMax: number
  segmentSizeBytes: number
  /** By gateway. */
  rings: SharedArrayBuffer[]
  gatewayBells: SharedArrayBuffer[]
  bell: SharedArrayBuffer
  store: StoreAddress
  /** What becomes of readings; functions are in the config file. */
  layout: ConfigLayout
  configFile: string | null
  /** Whether readings came before the journal begins. */
  hasPast: boolean
  batch: BatchConfig
  /** Unacknowledged messages of one client. */
  inFlightMax: number
}

/** Counts are since the start. */
export interface ShardStatus {
  messages: number
  readings: number
  deadLetters: number
  /** Messages that an earlier connection of their client had brought already. */
  duplicates: number
  rowsStored: number
  devices: number
  series: number
  windowsOpen: number
  readingsLate: number
  /** That downsamplers told. */
  points: number
  readingsAhead: number
  /** Changes of episodes that were told. */
  alerts: number
  episodesOpen: number
  /** Series that detectors learn, and those that they have no room for. */
  detectedSeries: number
  detectedSeriesRefused: number
  /** Readings that detectors did not judge: late, incomplete, or no numbers. */
  readingsNotJudged: number
  backlogSizeBytes: number
  journalSizeBytes: number
  isLive: boolean
  isJournalFull: boolean
  syncs: number
  syncTotalUs: number
  inserts: number
  insertRetries: number
}

export type ShardReport =
  /** The journal is open. */
  | { kind: 'ready' }
  | { kind: 'status'; status: ShardStatus }
  /** The mark of their batch is durable. */
  | { kind: 'alerts'; alerts: readonly Alert[] }
  | { kind: 'fault'; code: string; message: string; isOver: boolean }

export interface ShardControl {
  status(): ShardStatus
  /**
   * Resolves once everything taken is in ClickHouse, open windows too when asked for, or false when that took longer than
   * `timeoutMs`. Open windows that are kept are in a snapshot, and the shard takes no more; without room for one they are closed.
   */
  drain(timeoutMs: number, closesWindows: boolean): Promise<boolean>
  stop(): Promise<void>
}

/** Reports `ready`. Throws EngineError when the journal's files can't be gone on with. */
export function startShard(
  setup: ShardSetup,
  streams: readonly PipelineStream[],
  report: (message: ShardReport) => void,
): ShardControl {
  try {
    const control = openShard(setup, streams, report)
    report({ kind: 'ready' })
    return control
  } catch (error) {
    throw openingError(setup.journalPath, error as NodeJS.ErrnoException)
  }
}

/** Ours are left as they are: they are no fault of the files. */
function openingError(path: string, error: NodeJS.ErrnoException): Error {
  if (error instanceof JournalError) {
    const advice = 'restore it from a copy, or begin anew with another --data DIR'
    return new EngineError(
      error.code,
      `the journal in ${path} can't be read: ${error.message}; ${advice}`,
      error,
    )
  }
  if (error.syscall === undefined) return error
  return new EngineError(
    'JOURNAL_UNUSABLE',
    `the journal in ${path} can't be opened: ${error.message}`,
    error,
  )
}

function openShard(
  setup: ShardSetup,
  streams: readonly PipelineStream[],
  report: (message: ShardReport) => void,
): ShardControl {
  let alertCount = 0
  let wasFull = false
  const bell = new Doorbell(setup.bell)
  const rings = setup.rings.map((memory) => new RingConsumer(memory))
  const target = connectStore(setup.store)
  const { layout, inFlightMax, hasPast } = setup
  const { windows, metricsPerDeviceMax } = layout
  const { detectedSeriesMax = DEFAULT_CONFIG.limits.detectedSeriesMax } = layout
  const pipeline = new Pipeline({
    ...windows,
    inFlightMax,
    metricsPerDeviceMax,
    detectedSeriesMax,
    hasPast,
    streams,
  })
  const owner = { storeId: setup.storeId, shard: setup.index, shardCount: setup.shardCount }
  const disk = new NodeDisk(setup.journalPath)
  const { segmentSizeBytes, journalSizeBytesMax } = setup
  const journal = new Journal(disk, { ...owner, segmentSizeBytes, sizeBytesMax: journalSizeBytesMax })
  const shard = new Shard({
    disk,
    owner,
    rings,
    gatewayBells: setup.gatewayBells.map((memory) => new Doorbell(memory)),
    journal,
    pipeline,
    blocks: new BlockBuilder(
      {
        storeId: setup.storeId,
        generation: setup.generation,
        shard: setup.index,
        streams: layout.streams.map(({ name }) => name),
        rawRetentionMs: streams.map(({ pipeline }) => pipeline.rawRetentionMs),
      },
      pipeline,
    ),
    batch: setup.batch,
    snapshotIntervalBytes: segmentSizeBytes,
    sink: { target, prng: new Prng(setup.index + 1), clock: systemClock },
    clock: systemClock,
    wake: () => loop.wake(),
    alert: (alerts) => {
      alertCount += alerts.length
      report({ kind: 'alerts', alerts })
    },
    report: (fault) => report({ kind: 'fault', isOver: false, ...fault }),
  })

  const loop = new StepLoop(bell, {
    step: () => shard.step(),
    hasWork: () => !journal.isSyncing && rings.some((ring) => ring.available() > 0),
  })

  const reportFull = () => {
    if (wasFull || pipeline.detectors.seriesRefused === 0) return
    wasFull = true
    const message = `detectors have room for ${detectedSeriesMax} series per shard (limits.detectedSeriesMax): others are not judged`
    report({ kind: 'fault', code: 'DETECTORS_FULL', message, isOver: false })
  }

  const status = (): ShardStatus => {
    reportFull()
    return {
      messages: pipeline.messageCount,
      readings: pipeline.readingCount,
      deadLetters: pipeline.deadLetterCount,
      duplicates: pipeline.duplicateCount,
      rowsStored: shard.follower.batches.rowsStored,
      devices: pipeline.devices.count,
      series: pipeline.series.count,
      windowsOpen: pipeline.operators.openCount,
      readingsLate: pipeline.operators.lateCount,
      points: pipeline.operators.pointCount,
      readingsAhead: pipeline.quarantinedCount,
      alerts: alertCount,
      episodesOpen: pipeline.detectors.episodesOpen,
      detectedSeries: pipeline.detectors.seriesCount,
      detectedSeriesRefused: pipeline.detectors.seriesRefused,
      readingsNotJudged: pipeline.detectors.skipped,
      backlogSizeBytes: shard.follower.backlogSizeBytes,
      journalSizeBytes: journal.sizeBytes,
      isLive: shard.follower.isLive,
      isJournalFull: journal.isFull,
      syncs: shard.intake.syncCount,
      syncTotalUs: shard.intake.syncTotalUs,
      inserts: shard.sink.insertCount,
      insertRetries: shard.sink.retryCount,
    }
  }

  async function drainShard(deadlineMs: number, closesWindows: boolean): Promise<boolean> {
    shard.drain(closesWindows)
    const hopelessMs = systemClock.nowMs() + HOPELESS_DRAIN_MS
    while (!shard.isDrained && systemClock.nowMs() < deadlineMs) {
      if (shard.sink.isTroubled && systemClock.nowMs() > hopelessMs) break
      await pause(5)
    }
    return shard.isDrained
  }

  loop.wake()
  return {
    status,
    async drain(timeoutMs, closesWindows) {
      const deadlineMs = systemClock.nowMs() + timeoutMs
      while (rings.some((ring) => ring.available() > 0) && systemClock.nowMs() < deadlineMs) await pause(5)
      if (!(await drainShard(deadlineMs, closesWindows))) return false
      if (closesWindows) return true
      loop.isPaused = true // time goes on, and with it what another config would have to replay
      if (await shard.finish()) return true
      loop.isPaused = false
      return drainShard(deadlineMs, true)
    },
    async stop() {
      loop.stop()
      while (journal.isSyncing) await pause(1)
      await shard.close()
      await target.close()
    },
  }
}

function pause(durationMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, durationMs))
}

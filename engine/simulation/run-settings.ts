/** What a seed decides before a run begins: the engine's shape and bounds, its devices, and which faults it meets. */
import type { Prng } from '../../base/prng.ts'
import type { BatchConfig } from '../config.ts'
import { STREAMS } from './books.ts'
import type { ClientSettings } from './sim-client.ts'
import { DEFAULT_PIPELINES, drawPipelines, type SimPipelines } from './sim-pipelines.ts'
import type { SessionSettings } from './sim-session.ts'
import type { StoreFault } from './sim-store.ts'

export const DISK_FAULTS = ['no-room', 'sync-fails'] as const
const STORE_FAULTS = ['away', 'too-many-parts', 'reply-lost', 'late-commit'] as const satisfies StoreFault[]
const DEATHS = ['kill', 'power-cut', 'stop'] as const

export type DiskFault = (typeof DISK_FAULTS)[number]
export type Death = (typeof DEATHS)[number]

export interface RunSettings {
  shardCount: number
  gatewayCount: number
  segmentSizeBytes: number
  journalSizeBytesMax: number
  snapshotIntervalBytes: number
  receiveMaximum: number
  batch: BatchConfig
  clients: ClientSettings[]
  sessions: SessionSettings[]
  lives: number
  /** What happens in one life, at most. */
  turnsMax: number
  deaths: Death[]
  diskFaults: DiskFault[]
  storeFaults: StoreFault[]
  /** Of turns: how many begin or end a fault, or cut a connection. */
  faultShare: number
  isRefusing: boolean
  /** The clock is also set back at times. */
  isClockUnsteady: boolean
  isCacheKept: boolean
  /** Of each shard's disk; some are smaller than the journal may become. Steps towards refused rows would fill such a one. */
  diskSizeBytesMax: number
  pace: Pace
  /** Whether windows that do not merge may be asked for. */
  areOperatorsOrdered: boolean
  pipelines: SimPipelines
  /** Of starts: how many are under another config than the one before. */
  changeShare: number
}

export const ACTORS = ['device', 'network', 'gateway', 'shard', 'disk', 'store'] as const
export type Actor = (typeof ACTORS)[number]

/** How often who gets a turn: upper ends of their shares of [0, 1). */
export type Pace = { actor: Actor; end: number }[]

/** What snapshots of a run take: two, one that is being written, and the reserve for it; and those with sketches in the windows. */
const STATE_SIZE_BYTES_MAX = 80_000
const SKETCHES_SIZE_BYTES_MAX = 240_000

/** Each run meets some of the faults and not others: some need the absence of others to do harm. */
export function drawSettings(prng: Prng): RunSettings {
  const isRefusing = prng.unit() < 0.3
  const isDiskSmall = !isRefusing && prng.unit() < 0.4
  const areOperatorsOrdered = !isRefusing && !isDiskSmall
  const areWindowsPlain = prng.unit() < 0.6
  const stateSizeBytesMax = areWindowsPlain ? STATE_SIZE_BYTES_MAX : SKETCHES_SIZE_BYTES_MAX
  const gatewayCount = prng.between(1, 2)
  const receiveMaximum = prng.between(4, 80)
  const segmentSizeBytes = 1024 * prng.between(4, 32)
  return {
    shardCount: prng.between(1, 3),
    gatewayCount,
    segmentSizeBytes,
    journalSizeBytesMax: segmentSizeBytes * prng.between(3, 40),
    snapshotIntervalBytes: prng.between(2000, segmentSizeBytes),
    receiveMaximum,
    batch: {
      rowsMax: prng.between(10, 120),
      sizeBytesMax: prng.between(8_000, 100_000),
      ageMsMax: prng.between(200, 2000),
    },
    clients: Array.from({ length: prng.between(1, 5) }, (_, index) =>
      drawClient(prng, index, receiveMaximum),
    ),
    sessions: Array.from({ length: prng.unit() < 0.5 ? 0 : prng.between(1, 2) }, (_, index) => ({
      session: `s${index}`,
      device: `w${index}`,
      stream: prng.between(0, STREAMS.length - 1),
      windowMax: prng.between(1, receiveMaximum),
    })),
    lives: prng.between(1, 6),
    turnsMax: prng.between(50, 700),
    deaths: some(prng, DEATHS),
    diskFaults: some(prng, DISK_FAULTS),
    storeFaults: some(prng, STORE_FAULTS),
    faultShare: prng.unit() * 0.1,
    isRefusing,
    isClockUnsteady: prng.unit() < 0.2,
    isCacheKept: prng.unit() < 0.5,
    pace: drawPace(prng),
    diskSizeBytesMax: isDiskSmall
      ? stateSizeBytesMax + segmentSizeBytes * prng.between(3, 9)
      : Number.POSITIVE_INFINITY,
    // A refused sample is in no window that is recomputed, and a small disk holds no state of such windows.
    areOperatorsOrdered,
    pipelines: areWindowsPlain ? DEFAULT_PIPELINES : drawPipelines(prng, areOperatorsOrdered),
    changeShare: (areWindowsPlain && isDiskSmall) || prng.unit() < 0.5 ? 0 : prng.unit() * 0.7,
  }
}

function drawPace(prng: Prng): Pace {
  const weights = ACTORS.map((actor) => (actor === 'network' ? 2 : 1) * (0.2 + prng.unit()))
  const total = weights.reduce((sum, weight) => sum + weight, 0)
  let end = 0
  return ACTORS.map((actor, index) => {
    end += weights[index] / total
    return { actor, end }
  })
}

function drawClient(prng: Prng, index: number, receiveMaximum: number): ClientSettings {
  const windowMax = prng.between(1, receiveMaximum)
  return {
    id: `c${index}`,
    version: prng.unit() < 0.5 ? 4 : 5,
    windowMax,
    packetIdMax: prng.unit() < 0.7 ? windowMax + prng.between(0, 3) : 65_535,
    isEager: prng.unit() < 0.3,
    exactlyOnceShare: prng.unit() < 0.5 ? 0 : prng.unit(),
    devices: Array.from({ length: prng.between(1, 4) }, (_, device) => ({
      name: `d${index}-${device}`,
      stream: prng.between(0, STREAMS.length - 1),
    })),
  }
}

/** Each with a chance of a half; for deaths, one at least. */
function some<T>(prng: Prng, all: readonly T[]): T[] {
  const chosen = all.filter(() => prng.unit() < 0.5)
  return chosen.length > 0 ? chosen : [all[prng.between(0, all.length - 1)]]
}

/** What outlives an engine in the simulation, and what its parts share. */
import type { ManualClock } from '../../base/clock.ts'
import type { Prng } from '../../base/prng.ts'
import type { MillraceConfig } from '../config.ts'
import type { Alert } from '../shard/alert.ts'
import type { RunSettings } from './run-settings.ts'
import type { SimDisk } from './sim-disk.ts'
import type { SimStore } from './sim-store.ts'
import type { Trace } from './trace.ts'

export interface World {
  settings: RunSettings
  prng: Prng
  clock: ManualClock
  /** By shard. */
  disks: readonly SimDisk[]
  store: SimStore
  trace: Trace
  /** What shards told, in all lives. */
  alerts: Alert[]
  /** What becomes of readings, in the life to come. */
  config: MillraceConfig
}

/** Readings further ahead of their arrival become dead letters. */
export const AHEAD_GUARD_MS = 300_000

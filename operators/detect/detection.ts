/**
 * A detector and its episodes over the readings of a branch, as an engine runs it: readings come as they arrive, rows of
 * episodes leave. Pure and deterministic: no clock, no input or output; how the readings of one arrival are cut into pushes changes
 * nothing. One owner: the shard's thread.
 */
import type { Stateful } from '../../codecs/state.ts'
import type { OrderedReadings } from '../ordered-windows.ts'
import type { EpisodeRows } from './episodes.ts'

export interface DetectionTimes {
  latenessMs: number
  idleTimeoutMs: number
  aheadGuardMs: number
}

export interface Detection {
  /** State that is worth keeping under any times; and the readings that are held, under these times only. */
  readonly learned: Stateful
  readonly held: Stateful | null
  /** The owner takes and clears them. */
  readonly rows: EpisodeRows
  /** Readings are held that a flush would judge. */
  readonly isOpen: boolean
  /** Whether ticks change anything. */
  readonly awaitsTime: boolean
  /** Episodes that are open. */
  readonly episodesOpen: number
  /** Readings that were not judged: not finite, behind what was judged already, or incomplete. */
  readonly skipped: number
  /**
   * Takes the rows [start, end), all arrived at `arrivalMs`. Series are dense numbers; of several metrics, device * dimensions +
   * dimension.
   */
  push(series: Int32Array, readings: OrderedReadings, arrivalMs: number, start: number, end: number): void
  tick(nowMs: number): void
  gap(durationMs: number): void
  /** Judges what is held; nothing learned is lost. */
  flush(): void
}

/**
 * What a pane keeps besides its record: sketches, moments and sums live in pools, a slot each, so that panes without them pay
 * nothing. One owner: the shard's thread. Invariant: a slot's content does not depend on which number it has, nor (floating
 * sums and moments: but for rounding) on the order in which values and other slots went into it.
 *
 * Rows: when a pane leaves, its owner calls `appendRow(slot)` on each pool beside `PaneRows.append`, so that row r of the panes is
 * row r of every pool's `rows`; appendRow(0) is for a pane without a slot. `clearRows` comes with `PaneRows.clear`. A pool's
 * `rows` has the columns that its aggregate is stored as; references to them are stale after appendRow. Rows are no state: a
 * snapshot is taken when the batch has taken them.
 */
import type { Stateful } from '../codecs/state.ts'

export interface SlotPool extends Stateful {
  /** An empty slot, a number from 1 up. */
  take(): number
  /** The slot's memory is for others again. */
  give(slot: number): void
  /** Adds a finite number. */
  add(slot: number, x: number): void
  /** Adds what is in `from`, which stays as it is. */
  merge(into: number, from: number): void
  /** Appends what is in the slot to `rows`; the slot stays as it is. 0 appends an empty row. */
  appendRow(slot: number): void
  /** Of the rows, about as they will be stored uncompressed: what a batch is bounded by, beside its rows. */
  readonly rowsSizeBytes: number
  /** Forgets the rows, keeps the memory. */
  clearRows(): void
  /** Forgets all slots, not the rows; keeps the memory. */
  clear(): void
}

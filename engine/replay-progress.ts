/**
 * How far an engine is with what a start found in its journal, from the shards' figures once a second. Until the shards
 * are live first; one that falls behind later, because ClickHouse is away, replays nothing.
 */

/** Shards report one after the other: only so many looks without a replay in a row mean that there is none any more. */
const IDLE_LOOKS = 3

export interface ReplayStep {
  doneBytes: number
  totalBytes: number
}

export class ReplayProgress {
  #totalBytes = 0
  #shown = -1
  #idleLooks = 0

  /** What to tell, or null when there is nothing new; the last one has `doneBytes` = `totalBytes`. */
  look(shards: readonly { isLive: boolean; backlogSizeBytes: number }[]): ReplayStep | null {
    if (this.#idleLooks >= IDLE_LOOKS || shards.length === 0) return null
    let backlogBytes = 0
    for (const shard of shards) if (!shard.isLive) backlogBytes += shard.backlogSizeBytes
    this.#idleLooks = shards.every((shard) => shard.isLive) ? this.#idleLooks + 1 : 0
    this.#totalBytes = Math.max(this.#totalBytes, backlogBytes) // grows while devices send faster than it replays
    const doneBytes = this.#totalBytes - backlogBytes
    if (this.#totalBytes === 0 || (this.#idleLooks > 0 && this.#shown === doneBytes)) return null
    this.#shown = doneBytes
    return { doneBytes, totalBytes: this.#totalBytes }
  }
}

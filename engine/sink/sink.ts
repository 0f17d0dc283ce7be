/**
 * Brings a shard's sealed batches to ClickHouse, in order, one insert at a time, and never gives one up: a failed
 * insert is tried again, with the same token, after a pause that doubles up to its bound, with jitter. Owned by the
 * shard's thread. It holds what the shard gives it, which is bounded there.
 */
import type { Prng } from '../../base/prng.ts'
import type { StoreTarget } from '../store/target.ts'
import type { SealedBatch } from './sealed-batch.ts'

const PAUSE_MS_MIN = 100
const PAUSE_MS_MAX = 10_000

export interface SinkSettings {
  target: Pick<StoreTarget, 'insert'>
  prng: Prng
}

export interface SinkEvents {
  onConfirmed(batch: SealedBatch): void
  /** ClickHouse does not take an insert; said once until one succeeds. */
  onTrouble(error: Error): void
  onRecovered(): void
  /** Something changed: step the sink's owner. */
  wake(): void
}

export class Sink {
  insertCount = 0
  retryCount = 0
  #settings: SinkSettings
  #events: SinkEvents
  #queue: SealedBatch[] = []
  #partIndex = 0
  #isInserting = false
  #pauseMs = 0
  #retryAtMs = 0

  constructor(settings: SinkSettings, events: SinkEvents) {
    this.#settings = settings
    this.#events = events
  }

  get isTroubled(): boolean {
    return this.#pauseMs > 0
  }

  /** Takes a batch whose mark is durable. */
  send(batch: SealedBatch): void {
    this.#queue.push(batch)
  }

  /** Starts the next insert if one may start; returns when to call again at the latest, ms, or Infinity. */
  step(nowMs: number): number {
    if (this.#isInserting || this.#queue.length === 0) return Number.POSITIVE_INFINITY
    if (nowMs < this.#retryAtMs) return this.#retryAtMs
    const batch = this.#queue[0]
    const part = batch.parts[this.#partIndex]
    this.#isInserting = true
    this.#settings.target.insert(part.table, part.columns, part.block, part.token).then(
      () => this.#onInserted(batch),
      (error: Error) => this.#onFailed(error, nowMs),
    )
    return Number.POSITIVE_INFINITY
  }

  #onInserted(batch: SealedBatch): void {
    this.#isInserting = false
    this.insertCount++
    if (this.#pauseMs > 0) {
      this.#pauseMs = 0
      this.#retryAtMs = 0
      this.#events.onRecovered()
    }
    this.#partIndex++
    if (this.#partIndex === batch.parts.length) {
      this.#partIndex = 0
      this.#queue.shift()
      this.#events.onConfirmed(batch)
    }
    this.#events.wake()
  }

  #onFailed(error: Error, nowMs: number): void {
    this.#isInserting = false
    this.retryCount++
    if (this.#pauseMs === 0) this.#events.onTrouble(error)
    this.#pauseMs = Math.min(PAUSE_MS_MAX, Math.max(PAUSE_MS_MIN, this.#pauseMs * 2))
    this.#retryAtMs = nowMs + this.#pauseMs * (0.5 + this.#settings.prng.unit() / 2)
    this.#events.wake()
  }
}

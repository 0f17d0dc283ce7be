/**
 * Brings a shard's sealed batches to ClickHouse, in order, one insert at a time, and never gives one up: a failed
 * insert is tried again, with the same token, after a pause that doubles up to its bound, with jitter. Owned by the
 * shard's thread. It holds what the shard gives it, which is bounded there.
 *
 * What an amendment has ClickHouse compute may be beyond its bounds every time. Since that may also pass, it is tried a few
 * times before it counts as refused.
 */
import type { Clock } from '../../base/clock.ts'
import type { Prng } from '../../base/prng.ts'
import { StoreError, type StoreTarget } from '../store/target.ts'
import type { BatchPart, SealedBatch } from './sealed-batch.ts'

const PAUSE_MS_MIN = 100
const PAUSE_MS_MAX = 10_000
/** The books and the dead letters have no rows to give up. */
const SPLIT_TABLES = new Set(['samples', 'rollups', 'windows', 'points', 'amendments', 'anomalies'])
/** Too much memory, time, rows or bytes. */
const BOUND_CODES = new Set([158, 159, 241, 307, 396])
const BOUND_TRIES_MAX = 6
/** While there is something to cut. */
const BOUND_TRIES_MAX_OF_MANY = 2
/** A request that got no answer took long. */
const TRIES_OF_TIMEOUT = 3

export interface SinkSettings {
  target: Pick<StoreTarget, 'insert'>
  prng: Prng
  clock: Clock
}

export interface SinkEvents {
  onConfirmed(batch: SealedBatch): void
  /**
   * ClickHouse refuses a row of the part. Nothing more is sent until the owner has put other parts in its place, and says
   * `resume`.
   */
  onRefused(batch: SealedBatch, part: BatchPart, error: StoreError): void
  /** ClickHouse does not take an insert; said when that begins, and when the reason is another one. */
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
  /** How often the part was beyond a bound of ClickHouse's. */
  #boundTries = 0
  #isInserting = false
  #isHeld = false
  #pauseMs = 0
  #trouble: string | null = null
  #retryAtMs = 0

  constructor(settings: SinkSettings, events: SinkEvents) {
    this.#settings = settings
    this.#events = events
  }

  get isTroubled(): boolean {
    return this.#pauseMs > 0
  }

  /** Takes a batch whose mark is durable; one without parts is done when its turn comes. */
  send(batch: SealedBatch): void {
    this.#queue.push(batch)
  }

  /** After `onRefused`: the batch has other parts where the refused one was. */
  resume(): void {
    this.#isHeld = false
  }

  /** Starts the next insert if one may start; returns when to call again at the latest, ms, or Infinity. */
  step(nowMs: number): number {
    if (this.#isInserting || this.#isHeld || this.#queue.length === 0) return Number.POSITIVE_INFINITY
    if (nowMs < this.#retryAtMs) return this.#retryAtMs
    const batch = this.#queue[0]
    if (batch.parts.length === 0) {
      this.#queue.shift()
      this.#events.onConfirmed(batch)
      return nowMs
    }
    const part = batch.parts[this.#partIndex]
    this.#isInserting = true
    this.#settings.target.insert(part.table, part.columns, part.block, part.token).then(
      () => this.#onInserted(batch),
      (error: Error) => this.#onFailed(batch, part, error),
    )
    return Number.POSITIVE_INFINITY
  }

  #onInserted(batch: SealedBatch): void {
    this.#isInserting = false
    this.insertCount++
    if (this.#pauseMs > 0) {
      this.#pauseMs = 0
      this.#retryAtMs = 0
      this.#trouble = null
      this.#events.onRecovered()
    }
    this.#partIndex++
    this.#boundTries = 0
    if (this.#partIndex === batch.parts.length) {
      this.#partIndex = 0
      this.#queue.shift()
      this.#events.onConfirmed(batch)
    }
    this.#events.wake()
  }

  #onFailed(batch: SealedBatch, part: BatchPart, error: Error): void {
    this.#isInserting = false
    if (error instanceof StoreError && SPLIT_TABLES.has(part.table) && this.#isRefusal(part, error)) {
      this.#isHeld = true
      this.#boundTries = 0
      this.#events.onRefused(batch, part, error)
      return
    }
    this.retryCount++
    if (error.message !== this.#trouble) this.#events.onTrouble(error)
    this.#trouble = error.message
    this.#pauseMs = Math.min(PAUSE_MS_MAX, Math.max(PAUSE_MS_MIN, this.#pauseMs * 2))
    this.#retryAtMs = this.#settings.clock.nowMs() + this.#pauseMs * (0.5 + this.#settings.prng.unit() / 2)
    this.#events.wake()
  }

  #isRefusal(part: BatchPart, { code, exceptionCode }: StoreError): boolean {
    if (part.table !== 'amendments') return code === 'ROW_REFUSED'
    if (code === 'TIMEOUT') this.#boundTries += TRIES_OF_TIMEOUT
    else if (BOUND_CODES.has(exceptionCode)) this.#boundTries++
    const triesMax = part.rowCount > 1 ? BOUND_TRIES_MAX_OF_MANY : BOUND_TRIES_MAX
    return code === 'ROW_REFUSED' || this.#boundTries >= triesMax
  }
}

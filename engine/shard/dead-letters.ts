/**
 * Messages that could not be decoded, whole, as columns: what a batch writes into the table `dead_letters`. Owned by
 * the shard's thread; emptied with every batch.
 */
import { RECORD_HEADER_SIZE_BYTES, type RecordViews } from '../../codecs/journal/record.ts'
import { copied } from './typed-arrays.ts'

export class DeadLetters {
  count = 0
  arrivalMs = new Float64Array(64)
  stream = new Int32Array(64)
  position = new Float64Array(64)
  reason: string[] = []
  /** Device, topic and payload of each row, one after another in `bytes`. */
  deviceStart = new Int32Array(64)
  deviceSize = new Int32Array(64)
  topicStart = new Int32Array(64)
  topicSize = new Int32Array(64)
  payloadStart = new Int32Array(64)
  payloadSize = new Int32Array(64)
  bytes: Uint8Array = new Uint8Array(4096)
  sizeBytes = 0

  /** The message of the record at `offset`, which stands at `position` in the journal. */
  add(views: RecordViews, offset: number, position: number, reason: string): void {
    const end = offset + views.u32[offset >>> 2]
    const topicStart = offset + RECORD_HEADER_SIZE_BYTES
    this.#add(views, offset, position, reason, this.#copy(views.bytes, topicStart, end))
  }

  /** As `add`, with another payload. */
  addPayload(
    views: RecordViews,
    offset: number,
    position: number,
    reason: string,
    payload: Uint8Array,
  ): void {
    const topicStart = offset + RECORD_HEADER_SIZE_BYTES
    const start = this.#copy(views.bytes, topicStart, topicStart + views.u16[(offset >>> 1) + 3])
    this.#copy(payload, 0, payload.length)
    this.#add(views, offset, position, reason, start)
  }

  /** Topic and payload stand in `bytes` from `start` to its end. */
  #add({ u16, f64 }: RecordViews, offset: number, position: number, reason: string, start: number): void {
    const row = this.count
    if (row === this.arrivalMs.length) this.#grow()
    const half = offset >>> 1
    const topicSize = u16[half + 3]
    this.arrivalMs[row] = f64[(offset >>> 3) + 1]
    this.stream[row] = u16[half + 13]
    this.position[row] = position
    this.reason.push(reason)
    this.deviceStart[row] = start + u16[half + 10]
    this.deviceSize[row] = u16[half + 11]
    this.topicStart[row] = start
    this.topicSize[row] = topicSize
    this.payloadStart[row] = start + topicSize
    this.payloadSize[row] = this.sizeBytes - start - topicSize
    this.count++
  }

  /** Takes back all but the first `count` letters. */
  truncate(count: number, sizeBytes: number): void {
    this.count = count
    this.sizeBytes = sizeBytes
    this.reason.length = count
  }

  clear(): void {
    this.count = 0
    this.sizeBytes = 0
    this.reason.length = 0
  }

  #copy(source: Uint8Array, start: number, end: number): number {
    const needed = this.sizeBytes + (end - start)
    if (needed > this.bytes.length) {
      this.bytes = copied(this.bytes, new Uint8Array(Math.max(needed, this.bytes.length * 2)))
    }
    const at = this.sizeBytes
    this.bytes.set(source.subarray(start, end), at)
    this.sizeBytes = needed
    return at
  }

  #grow(): void {
    const capacity = this.arrivalMs.length * 2
    this.arrivalMs = copied(this.arrivalMs, new Float64Array(capacity))
    this.position = copied(this.position, new Float64Array(capacity))
    this.stream = copied(this.stream, new Int32Array(capacity))
    this.deviceStart = copied(this.deviceStart, new Int32Array(capacity))
    this.deviceSize = copied(this.deviceSize, new Int32Array(capacity))
    this.topicStart = copied(this.topicStart, new Int32Array(capacity))
    this.topicSize = copied(this.topicSize, new Int32Array(capacity))
    this.payloadStart = copied(this.payloadStart, new Int32Array(capacity))
    this.payloadSize = copied(this.payloadSize, new Int32Array(capacity))
  }
}

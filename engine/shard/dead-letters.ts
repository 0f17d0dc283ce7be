/**
 * Messages that could not be decoded, whole, as columns: what a batch writes into the table `dead_letters`. Owned by
 * the shard's thread; emptied with every batch.
 */
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

  /** `topicEnd` is where the payload starts; it ends at `end`. */
  add(
    source: Uint8Array,
    topicStart: number,
    topicEnd: number,
    end: number,
    message: { arrivalMs: number; stream: number; deviceStart: number; deviceSize: number; position: number },
    reason: string,
  ): void {
    const row = this.count
    if (row === this.arrivalMs.length) this.#grow()
    const start = this.#copy(source, topicStart, end)
    this.arrivalMs[row] = message.arrivalMs
    this.stream[row] = message.stream
    this.position[row] = message.position
    this.reason.push(reason)
    this.deviceStart[row] = start + message.deviceStart
    this.deviceSize[row] = message.deviceSize
    this.topicStart[row] = start
    this.topicSize[row] = topicEnd - topicStart
    this.payloadStart[row] = start + (topicEnd - topicStart)
    this.payloadSize[row] = end - topicEnd
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

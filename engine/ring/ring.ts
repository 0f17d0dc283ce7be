/**
 * Single-producer single-consumer ring of records in shared memory: one per (gateway, shard).
 * The gateway's thread owns the producer, the shard's thread the consumer. Records are contiguous: one that does not
 * fit before the ring's end goes to its start, behind a pad record. After Agrona's OneToOneRingBuffer.
 *
 *   offset  type  word                                        writer
 *        0  i32   tail: end of what is published              producer
 *      128  i32   durable: end of what is synced and free     consumer
 *      256        records, a power of two of bytes
 *
 * Positions count bytes, run freely and wrap at 2^32; differences are taken with `| 0`.
 */
import { assert } from '../../base/assert.ts'
import {
  alignRecord,
  RECORD_ALIGNMENT_BYTES,
  RecordViews,
  writePadRecord,
} from '../../codecs/journal/record.ts'

const TAIL_WORD = 0
const DURABLE_WORD = 128 / 4
const DATA_OFFSET = 256

const RING_SIZE_BYTES_MIN = 1 << 16
const RING_SIZE_BYTES_MAX = 1 << 30

/** Memory for a ring of `sizeBytes` of records: a power of two between RING_SIZE_BYTES_MIN and _MAX. */
export function createRing(sizeBytes: number): SharedArrayBuffer {
  assert(
    sizeBytes >= RING_SIZE_BYTES_MIN &&
      sizeBytes <= RING_SIZE_BYTES_MAX &&
      (sizeBytes & (sizeBytes - 1)) === 0,
    `ring size ${sizeBytes} is not a power of two in range`,
  )
  return new SharedArrayBuffer(DATA_OFFSET + sizeBytes)
}

/** The largest record a ring takes: a quarter of it, so that a pad never starves the ring. */
function ringRecordSizeMax(memory: SharedArrayBuffer): number {
  return (memory.byteLength - DATA_OFFSET) >>> 2
}

export class RingProducer {
  readonly views: RecordViews
  readonly recordSizeMax: number
  /** End of the last committed record; what an acknowledgement waits for. */
  position: number
  #words: Int32Array
  #size: number
  #published: number
  #durable: number

  constructor(memory: SharedArrayBuffer) {
    this.#words = new Int32Array(memory, 0, DATA_OFFSET / 4)
    this.#size = memory.byteLength - DATA_OFFSET
    this.views = new RecordViews(memory, DATA_OFFSET, this.#size)
    this.recordSizeMax = ringRecordSizeMax(memory)
    this.position = Atomics.load(this.#words, TAIL_WORD)
    this.#published = this.position
    this.#durable = Atomics.load(this.#words, DURABLE_WORD)
  }

  /** Where in `views` a record of `sizeBytes` may be written; -1 when the ring is full. */
  // hot: per message
  claim(sizeBytes: number): number {
    const size = this.#size
    const needed = alignRecord(sizeBytes)
    const offset = this.position & (size - 1)
    const room = size - offset
    const total = needed <= room ? needed : room + needed
    if (((this.position - this.#durable) | 0) + total > size) {
      this.#durable = Atomics.load(this.#words, DURABLE_WORD)
      if (((this.position - this.#durable) | 0) + total > size) return -1
    }
    if (needed <= room) return offset
    writePadRecord(this.views, offset, room)
    this.position = (this.position + room) | 0
    return 0
  }

  /** Takes the claimed record in; it is seen by the consumer after `publish`. */
  // hot: per message
  commit(sizeBytes: number): void {
    this.position = (this.position + alignRecord(sizeBytes)) | 0
  }

  /** Shows the consumer all that was committed; false when there was nothing new. Then ring the shard's bell. */
  // hot: per batch
  publish(): boolean {
    if (this.position === this.#published) return false
    this.#published = this.position
    Atomics.store(this.#words, TAIL_WORD, this.position)
    return true
  }

  /** The durable position; an acknowledgement for `end` may go when isReached(durable(), end). */
  // hot: per batch
  durable(): number {
    this.#durable = Atomics.load(this.#words, DURABLE_WORD)
    return this.#durable
  }
}

/** Whether a position that runs freely has come to `end`. */
export function isReached(position: number, end: number): boolean {
  return ((position - end) | 0) >= 0
}

export class RingConsumer {
  readonly views: RecordViews
  /** End of what was taken. */
  position: number
  #words: Int32Array
  #size: number

  constructor(memory: SharedArrayBuffer) {
    this.#words = new Int32Array(memory, 0, DATA_OFFSET / 4)
    this.#size = memory.byteLength - DATA_OFFSET
    this.views = new RecordViews(memory, DATA_OFFSET, this.#size)
    this.position = Atomics.load(this.#words, DURABLE_WORD)
  }

  /** Bytes published and not yet taken. */
  // hot: per batch
  available(): number {
    return (Atomics.load(this.#words, TAIL_WORD) - this.position) | 0
  }

  /**
   * Takes up to `sizeBytesMax` contiguous bytes of whole records: returns their size, they start at `offset()`.
   * With more to take behind the ring's end, call again.
   */
  // hot: per batch
  take(sizeBytesMax: number): number {
    const available = this.available()
    if (available === 0) return 0
    const offset = this.position & (this.#size - 1)
    let taken = Math.min(available, this.#size - offset)
    if (taken > sizeBytesMax) taken = this.#wholeRecords(offset, sizeBytesMax)
    this.position = (this.position + taken) | 0
    return taken
  }

  offset(): number {
    return this.position & (this.#size - 1)
  }

  /** Says that everything up to `position` is durable and its space free. Then ring the gateway's bell. */
  release(position: number): void {
    Atomics.store(this.#words, DURABLE_WORD, position)
  }

  /** At least one record, however large. */
  #wholeRecords(offset: number, sizeBytesMax: number): number {
    const { u32 } = this.views
    let size = 0
    for (;;) {
      const next = alignRecord(u32[(offset + size) >>> 2])
      assert(next >= RECORD_ALIGNMENT_BYTES, 'a ring holds a record without a size')
      if (size > 0 && size + next > sizeBytesMax) return size
      size += next
      if (size >= sizeBytesMax) return size
    }
  }
}

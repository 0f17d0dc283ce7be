/**
 * Numbers, texts and bytes one after another, for what is rare: bodies of session records, sessions in snapshots. Little
 * endian; the reader mirrors the writer.
 */
import { assert } from '../../base/assert.ts'

const CAPACITY_BYTES_MIN = 256

export class FieldWriter {
  #bytes = new Uint8Array(CAPACITY_BYTES_MIN)
  #view = new DataView(this.#bytes.buffer)
  #end = 0

  get sizeBytes(): number {
    return this.#end
  }

  u8(value: number): this {
    const at = this.#take(1) // which may replace the view
    this.#view.setUint8(at, value)
    return this
  }

  u32(value: number): this {
    const at = this.#take(4) // which may replace the view
    this.#view.setUint32(at, value, true)
    return this
  }

  f64(value: number): this {
    const at = this.#take(8) // which may replace the view
    this.#view.setFloat64(at, value, true)
    return this
  }

  bytes(value: Uint8Array): this {
    this.u32(value.length)
    const at = this.#take(value.length)
    this.#bytes.set(value, at)
    return this
  }

  text(value: string): this {
    return this.bytes(Buffer.from(value))
  }

  /** What was written; the writer begins anew. */
  finish(): Uint8Array {
    const bytes = this.#bytes.slice(0, this.#end)
    this.#end = 0
    return bytes
  }

  /** Makes room; returns where it starts. */
  #take(sizeBytes: number): number {
    const start = this.#end
    this.#end += sizeBytes
    if (this.#end > this.#bytes.length) {
      const bytes = new Uint8Array(Math.max(this.#bytes.length * 2, this.#end))
      bytes.set(this.#bytes.subarray(0, start))
      this.#bytes = bytes
      this.#view = new DataView(bytes.buffer)
    }
    return start
  }
}

export class FieldReader {
  #bytes: Uint8Array
  #view: DataView
  #offset: number
  #end: number

  constructor(bytes: Uint8Array, start = 0, end = bytes.length) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    this.#offset = start
    this.#end = end
  }

  get isAtEnd(): boolean {
    return this.#offset === this.#end
  }

  u8(): number {
    return this.#view.getUint8(this.#take(1))
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4), true)
  }

  f64(): number {
    return this.#view.getFloat64(this.#take(8), true)
  }

  /** A copy. */
  bytes(): Uint8Array {
    const sizeBytes = this.u32()
    const start = this.#take(sizeBytes)
    return this.#bytes.slice(start, start + sizeBytes)
  }

  text(): string {
    const sizeBytes = this.u32()
    const start = this.#take(sizeBytes)
    // Shared memory can't be decoded in place.
    return Buffer.from(this.#bytes.subarray(start, start + sizeBytes)).toString()
  }

  #take(sizeBytes: number): number {
    const start = this.#offset
    this.#offset += sizeBytes
    assert(this.#offset <= this.#end, 'fields end early')
    return start
  }
}

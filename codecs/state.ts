/**
 * State as it lies in a snapshot: sections of numbers or of one typed array, read in the order in which they were written.
 * A writer only gathers views of the owner's memory, so that nothing is copied; the owner must not change it until the
 * views are written. The reader's bytes were checked by whoever read them (engine/journal/snapshots.ts).
 *
 *   section   0 u32 element type   4 u32 0   8 f64 size in bytes   16 data, padded with zeros to a multiple of 8
 */
import { assert } from '../base/assert.ts'

const ElementType = { u8: 1, u16: 2, i32: 3, f64: 4, state: 5 } as const
type ElementType = (typeof ElementType)[keyof typeof ElementType]

const HEADER_SIZE_BYTES = 16
const PADDING = new Uint8Array(8)

/** What keeps state between batches: saves it, and takes it back into a fresh instance made with the same settings. */
export interface Stateful {
  save(out: StateWriter): void
  load(from: StateReader): void
}

export class StateWriter {
  /** What is to be written, one after another. */
  readonly parts: Uint8Array[] = []
  sizeBytes = 0

  numbers(...values: number[]): void {
    this.#section(ElementType.f64, new Uint8Array(Float64Array.from(values).buffer))
  }

  f64(array: Float64Array, count = array.length): void {
    this.#section(ElementType.f64, bytesOf(array, count))
  }

  i32(array: Int32Array, count = array.length): void {
    this.#section(ElementType.i32, bytesOf(array, count))
  }

  u16(array: Uint16Array, count = array.length): void {
    this.#section(ElementType.u16, bytesOf(array, count))
  }

  u8(array: Uint8Array, count = array.length): void {
    this.#section(ElementType.u8, bytesOf(array, count))
  }

  /** A state within this one, which a reader may pass over. */
  state(of: Stateful): void {
    const inner = new StateWriter()
    of.save(inner)
    this.#header(ElementType.state, inner.sizeBytes)
    this.parts.push(...inner.parts)
    this.sizeBytes += inner.sizeBytes
  }

  #header(type: ElementType, sizeBytes: number): void {
    const header = new ArrayBuffer(HEADER_SIZE_BYTES)
    new Uint32Array(header)[0] = type
    new Float64Array(header)[1] = sizeBytes
    this.parts.push(new Uint8Array(header))
    this.sizeBytes += HEADER_SIZE_BYTES
  }

  #section(type: ElementType, data: Uint8Array): void {
    this.#header(type, data.length)
    if (data.length > 0) this.parts.push(data) // zlib takes no bytes at all for the beginning of a new checksum
    const padding = -data.length & 7
    if (padding > 0) this.parts.push(PADDING.subarray(0, padding))
    this.sizeBytes += data.length + padding
  }
}

export class StateReader {
  readonly #bytes: Uint8Array
  #offset = 0

  /** The bytes must start at a multiple of 8 of their buffer. */
  constructor(bytes: Uint8Array) {
    assert(bytes.byteOffset % 8 === 0, 'state is aligned')
    this.#bytes = bytes
  }

  get isAtEnd(): boolean {
    return this.#offset === this.#bytes.length
  }

  numbers(count: number): Float64Array {
    const values = this.f64()
    assert(values.length === count, 'state has another number of values')
    return values
  }

  /** Copies, as all below: the caller may keep them and change them. */
  f64(): Float64Array {
    return new Float64Array(this.#section(ElementType.f64))
  }

  i32(): Int32Array {
    return new Int32Array(this.#section(ElementType.i32))
  }

  u16(): Uint16Array {
    return new Uint16Array(this.#section(ElementType.u16))
  }

  u8(): Uint8Array {
    return new Uint8Array(this.#section(ElementType.u8))
  }

  /** What `StateWriter.state` wrote; its bytes are shared. */
  state(): StateReader {
    return new StateReader(this.#take(ElementType.state))
  }

  #section(type: ElementType): ArrayBuffer {
    const bytes = this.#take(type)
    const copy = new ArrayBuffer(bytes.length)
    new Uint8Array(copy).set(bytes)
    return copy
  }

  #take(type: ElementType): Uint8Array {
    const { buffer, byteOffset, length } = this.#bytes
    assert(this.#offset + HEADER_SIZE_BYTES <= length, 'state ends early')
    const at = byteOffset + this.#offset
    const sizeBytes = new Float64Array(buffer, at + 8, 1)[0]
    const start = this.#offset + HEADER_SIZE_BYTES
    assert(new Uint32Array(buffer, at, 1)[0] === type, 'state has another type here')
    assert(sizeBytes >= 0 && start + sizeBytes <= length, 'state ends early')
    this.#offset = start + sizeBytes + (-sizeBytes & 7)
    return this.#bytes.subarray(start, start + sizeBytes)
  }
}

function bytesOf(array: Float64Array | Int32Array | Uint16Array | Uint8Array, count: number): Uint8Array {
  assert(count <= array.length, 'no more is saved than there is')
  return new Uint8Array(array.buffer, array.byteOffset, count * array.BYTES_PER_ELEMENT)
}

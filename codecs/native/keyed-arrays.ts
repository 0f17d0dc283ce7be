/**
 * Runs of keys with a value each, as the data of a Tuple(Array(key), Array(value)): what sumMap and maxMap merge. An array column is
 * each row's end (UInt64) and then all elements. One owner, like the block writer it serves; its buffers only grow.
 */
import { assert } from '../../base/assert.ts'

/** Row r has entries start[r] .. start[r] + size[r] - 1. Keys are whole, values whole and below 2^53. */
export interface KeyedRuns {
  readonly start: Int32Array
  readonly size: Int32Array
  readonly keys: Int32Array
  readonly values: Float64Array
}

const WIDTHS = { UInt8: 1, UInt16: 2, Int32: 4, UInt64: 8 } as const
type ElementType = keyof typeof WIDTHS

export class KeyedArrays {
  #words = new Int32Array(0)
  #halves = new Uint16Array(0)
  #bytes = new Uint8Array(0)

  /** The ends and the elements of one of the tuple's arrays; valid until the next call. */
  encode(
    { start, size }: KeyedRuns,
    elements: Int32Array | Float64Array,
    type: ElementType,
    order: Int32Array | null,
    rowCount: number,
  ): Uint8Array {
    let entryCount = 0
    for (let row = 0; row < rowCount; row++) entryCount += size[order === null ? row : order[row]]
    const sizeBytes = rowCount * 8 + entryCount * WIDTHS[type]
    assert(sizeBytes < 2 ** 31, 'the arrays of a block are smaller than 2 GiB')
    this.#reserve(sizeBytes)
    let end = 0
    for (let row = 0; row < rowCount; row++) {
      const index = order === null ? row : order[row]
      this.#writeElements(elements, start[index], size[index], type, rowCount, end)
      end += size[index]
      this.#words[2 * row] = end
      this.#words[2 * row + 1] = 0
    }
    return this.#bytes.subarray(0, sizeBytes)
  }

  #writeElements(
    elements: Int32Array | Float64Array,
    start: number,
    size: number,
    type: ElementType,
    rowCount: number,
    at: number,
  ): void {
    if (type === 'UInt64') {
      const words = this.#words
      for (let i = 0; i < size; i++) {
        const value = elements[start + i]
        const high = Math.floor(value * 2 ** -32)
        words[2 * (rowCount + at + i)] = value - high * 2 ** 32
        words[2 * (rowCount + at + i) + 1] = high
      }
      return
    }
    const out = type === 'UInt8' ? this.#bytes : type === 'UInt16' ? this.#halves : this.#words
    const first = (rowCount * 8) / WIDTHS[type] + at
    for (let i = 0; i < size; i++) out[first + i] = elements[start + i]
  }

  #reserve(sizeBytes: number): void {
    if (sizeBytes <= this.#bytes.length) return
    const buffer = new ArrayBuffer(Math.ceil(Math.max(sizeBytes, this.#bytes.length * 2) / 8) * 8)
    this.#words = new Int32Array(buffer)
    this.#halves = new Uint16Array(buffer)
    this.#bytes = new Uint8Array(buffer)
  }
}

/** The element types of `Tuple(Array(K), Array(V))`, also inside a SimpleAggregateFunction. */
export function elementTypesOf(type: string): [key: ElementType, value: ElementType] {
  const [, key, value] = /Tuple\(Array\((\w+)\), Array\((\w+)\)\)/.exec(type) ?? []
  assert(key in WIDTHS && value in WIDTHS, `keyed arrays are no column of type ${type}`)
  return [key as ElementType, value as ElementType]
}

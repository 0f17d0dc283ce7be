/**
 * Cuts rows out of a Native block that block-writer.ts made: for a batch of which ClickHouse refuses a row. Knows the
 * column types that we write, and no others.
 */
import { assert } from '../../base/assert.ts'
import {
  readString,
  readValue,
  readVarint,
  rowStart,
  type Shape,
  shapesOf,
  sliceRows,
} from './column-shapes.ts'

const KEY_TYPES = ['UInt8', 'UInt16', 'UInt32']

/** A column of a block as offsets: where its rows lie in the block's bytes. */
interface ColumnPlace {
  name: string
  /** From the name's length on, with the type, and for a dictionary its strings and up to the count of rows. */
  headStart: number
  headEnd: number
  /** Where the strings that the keys stand for begin; -1 in a column without a dictionary. */
  stringsStart: number
  parts: { shape: Shape; offset: number }[]
}

/** Rows [start, end) of the block, as a block of their own. */
export function sliceBlock(block: Uint8Array, start: number, end: number): Uint8Array {
  const { rowCount, columns } = new BlockPlan(block)
  assert(start >= 0 && start < end && end <= rowCount, 'a slice has rows, and the block has them')
  const bytes: Uint8Array[] = [varint(columns.length), varint(end - start)]
  for (const { headStart, headEnd, stringsStart, parts } of columns) {
    bytes.push(block.subarray(headStart, headEnd))
    if (stringsStart >= 0) bytes.push(uint64(end - start))
    for (const { shape, offset } of parts)
      bytes.push(...sliceRows(block, shape, offset, rowCount, [start, end]))
  }
  return Buffer.concat(bytes)
}

/**
 * The values of one row by column name: texts, numbers, times as ISO 8601, and lists as JSON. What lies in a second part, as
 * a tuple's second element, comes as `name_value`.
 */
export function describeRow(block: Uint8Array, row: number): Record<string, string | number> {
  const { rowCount, columns } = new BlockPlan(block)
  assert(row >= 0 && row < rowCount, 'the block has the row')
  const values: Record<string, string | number> = {}
  for (const { name, stringsStart, parts } of columns) {
    for (const [index, { shape, offset }] of parts.entries()) {
      const value = readValue(block, shape, offset, rowCount, row)
      const label = index === 0 ? name : `${name}_value`
      if (stringsStart >= 0) values[label] = readString(block, stringAt(block, stringsStart, Number(value)))
      else values[label] = typeof value === 'object' ? JSON.stringify(value) : value
    }
  }
  return values
}

class BlockPlan {
  readonly rowCount: number
  readonly columns: ColumnPlace[] = []
  #block: Uint8Array
  #offset = 0

  constructor(block: Uint8Array) {
    this.#block = block
    const columnCount = this.#varint()
    this.rowCount = this.#varint()
    for (let index = 0; index < columnCount; index++) this.columns.push(this.#column())
    assert(this.#offset === block.length, 'a block ends with its last column')
  }

  #column(): ColumnPlace {
    const headStart = this.#offset
    const name = this.#string()
    const type = this.#string()
    if (type === 'LowCardinality(String)') return this.#dictionaryColumn(name, headStart)
    const headEnd = this.#offset
    return { name, headStart, headEnd, stringsStart: -1, parts: this.#parts(shapesOf(type)) }
  }

  #dictionaryColumn(name: string, headStart: number): ColumnPlace {
    const view = new DataView(this.#block.buffer, this.#block.byteOffset, this.#block.byteLength)
    const keyType = KEY_TYPES[view.getUint8(this.#offset + 8) & 3]
    const keyCount = view.getUint32(this.#offset + 16, true)
    const stringsStart = this.#offset + 24
    const headEnd = stringAt(this.#block, stringsStart, keyCount)
    this.#offset = headEnd + 8
    return { name, headStart, headEnd, stringsStart, parts: this.#parts(shapesOf(keyType)) }
  }

  #parts(shapes: Shape[]): { shape: Shape; offset: number }[] {
    return shapes.map((shape) => {
      const offset = this.#offset
      this.#offset = rowStart(this.#block, shape, offset, this.rowCount, this.rowCount)
      return { shape, offset }
    })
  }

  #string(): string {
    const start = this.#offset
    this.#offset = stringAt(this.#block, start, 1)
    return readString(this.#block, start)
  }

  #varint(): number {
    const [value, next] = readVarint(this.#block, this.#offset)
    this.#offset = next
    return value
  }
}

/** The offset of the string number `index` in a run of strings that starts at `offset`. */
function stringAt(bytes: Uint8Array, offset: number, index: number): number {
  return rowStart(bytes, { kind: 'strings' }, offset, index, index)
}

function varint(value: number): Uint8Array {
  const bytes: number[] = []
  let rest = value
  for (; rest >= 0x80; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80)
  return Uint8Array.from([...bytes, rest])
}

function uint64(value: number): Uint8Array {
  return new Uint8Array(BigUint64Array.of(BigInt(value)).buffer)
}

/**
 * Cuts rows out of a Native block that block-writer.ts made: for a batch of which ClickHouse refuses a row. Knows the
 * column types that we write, and no others.
 */
import { assert } from '../../base/assert.ts'

const TEXT = new TextDecoder()

/** A column of a block as offsets: where its rows lie in the block's bytes. */
interface ColumnPlace {
  name: string
  /** From the name's length on, with the type, and for LowCardinality the dictionary and up to the count of rows. */
  headStart: number
  headEnd: number
  kind: 'fixed' | 'pair' | 'string' | 'dictionary'
  type: string
  dataStart: number
  /** Bytes per row, or of a key. */
  width: number
  /** For `dictionary`: where the keys' strings start. */
  stringsStart: number
}

/** Rows [start, end) of the block, as a block of their own. */
export function sliceBlock(block: Uint8Array, start: number, end: number): Uint8Array {
  const { rowCount, columns } = new BlockPlan(block)
  assert(start >= 0 && start < end && end <= rowCount, 'a slice has rows, and the block has them')
  const parts: Uint8Array[] = [varint(columns.length), varint(end - start)]
  for (const column of columns) {
    const { dataStart, width } = column
    parts.push(block.subarray(column.headStart, column.headEnd))
    if (column.kind === 'dictionary') parts.push(uint64(end - start))
    if (column.kind === 'string') {
      parts.push(block.subarray(stringAt(block, dataStart, start), stringAt(block, dataStart, end)))
      continue
    }
    parts.push(block.subarray(dataStart + start * width, dataStart + end * width))
    if (column.kind === 'pair') {
      const second = dataStart + rowCount * width
      parts.push(block.subarray(second + start * width, second + end * width))
    }
  }
  return Buffer.concat(parts)
}

/** The values of one row by column name: texts, numbers, and times as ISO 8601. */
export function describeRow(block: Uint8Array, row: number): Record<string, string | number> {
  const { rowCount, columns } = new BlockPlan(block)
  assert(row >= 0 && row < rowCount, 'the block has the row')
  const view = new DataView(block.buffer, block.byteOffset, block.byteLength)
  const values: Record<string, string | number> = {}
  for (const column of columns) {
    const { name, kind, dataStart, width, type } = column
    const at = dataStart + row * width
    if (kind === 'string') values[name] = readString(block, stringAt(block, dataStart, row))
    else if (kind === 'dictionary') {
      const key = width === 1 ? block[at] : width === 2 ? view.getUint16(at, true) : view.getUint32(at, true)
      values[name] = readString(block, stringAt(block, column.stringsStart, key))
    } else values[name] = readNumber(view, type, at)
    if (kind === 'pair') values[`${name}_value`] = view.getFloat64(dataStart + (rowCount + row) * width, true)
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
    const fullType = this.#string()
    const type = /^SimpleAggregateFunction\(\w+, (.*)\)$/.exec(fullType)?.[1] ?? fullType
    if (type === 'LowCardinality(String)') return this.#dictionaryColumn(name, type, headStart)
    const dataStart = this.#offset
    const column = { name, type, headStart, headEnd: dataStart, dataStart, stringsStart: 0 }
    if (type === 'String') {
      this.#offset = stringAt(this.#block, dataStart, this.rowCount)
      return { ...column, kind: 'string', width: 0 }
    }
    const isPair = type.startsWith('Tuple(')
    const width = type === 'UInt32' || type === 'DateTime' ? 4 : 8
    this.#offset += this.rowCount * width * (isPair ? 2 : 1)
    return { ...column, kind: isPair ? 'pair' : 'fixed', width }
  }

  #dictionaryColumn(name: string, type: string, headStart: number): ColumnPlace {
    const view = new DataView(this.#block.buffer, this.#block.byteOffset, this.#block.byteLength)
    const width = 1 << (view.getUint8(this.#offset + 8) & 3)
    const keyCount = view.getUint32(this.#offset + 16, true)
    const stringsStart = this.#offset + 24
    const headEnd = stringAt(this.#block, stringsStart, keyCount)
    const dataStart = headEnd + 8
    this.#offset = dataStart + this.rowCount * width
    return { name, type, headStart, headEnd, kind: 'dictionary', width, dataStart, stringsStart }
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

function readNumber(view: DataView, type: string, at: number): string | number {
  if (type.startsWith('DateTime64') || type.startsWith('Tuple('))
    return isoTime(Number(view.getBigInt64(at, true)))
  if (type === 'DateTime') return isoTime(view.getUint32(at, true) * 1000)
  if (type === 'Float64') return view.getFloat64(at, true)
  if (type === 'UInt32') return view.getUint32(at, true)
  return Number(view.getBigInt64(at, true))
}

function isoTime(ms: number): string {
  return new Date(ms).toISOString()
}

/** The offset of the string number `index` in a run of strings that starts at `offset`. */
function stringAt(bytes: Uint8Array, offset: number, index: number): number {
  let at = offset
  for (let count = 0; count < index; count++) {
    const [size, next] = readVarint(bytes, at)
    at = next + size
  }
  return at
}

function readString(bytes: Uint8Array, offset: number): string {
  const [size, start] = readVarint(bytes, offset)
  return TEXT.decode(bytes.subarray(start, start + size))
}

function readVarint(bytes: Uint8Array, offset: number): [value: number, next: number] {
  let value = 0
  let at = offset
  for (let shift = 0; ; shift += 7) {
    const byte = bytes[at++]
    value |= (byte & 0x7f) << shift
    if (byte < 0x80) return [value >>> 0, at]
  }
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

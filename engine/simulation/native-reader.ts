/**
 * Reads blocks of ClickHouse's Native format back into columns, by the format's description and not by the writer's
 * code: what the simulated store does in ClickHouse's place. Only the types that Millrace's tables have.
 */

export type NativeValue = string | number
/** By name; a tuple's second element comes as `name.value`. */
export type NativeColumns = Map<string, NativeValue[]>

export interface NativeBlock {
  rowCount: number
  columns: NativeColumns
}

export class NativeReader {
  #bytes: Uint8Array = new Uint8Array(0)
  #view: DataView = new DataView(new ArrayBuffer(0))
  #offset = 0

  /** Throws RangeError or Error when the bytes are not one whole block. */
  read(bytes: Uint8Array): NativeBlock {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    this.#offset = 0
    const columnCount = this.#varint()
    const rowCount = this.#varint()
    const columns: NativeColumns = new Map()
    for (let column = 0; column < columnCount; column++) {
      const name = this.#text()
      this.#column(name, valueType(this.#text()), rowCount, columns)
    }
    if (this.#offset !== bytes.length) throw new Error('bytes follow a block')
    return { rowCount, columns }
  }

  #column(name: string, type: string, rowCount: number, columns: NativeColumns): void {
    const many = (read: () => NativeValue) => Array.from({ length: rowCount }, read)
    if (type === 'LowCardinality(String)') columns.set(name, this.#lowCardinality(rowCount))
    else if (type.startsWith('Tuple(')) {
      columns.set(
        name,
        many(() => this.#uint(8)),
      )
      columns.set(
        `${name}.value`,
        many(() => this.#float()),
      )
    } else if (type === 'Float64')
      columns.set(
        name,
        many(() => this.#float()),
      )
    else if (type === 'String')
      columns.set(
        name,
        many(() => this.#text()),
      )
    else if (type === 'UInt32' || type === 'DateTime')
      columns.set(
        name,
        many(() => this.#uint(4)),
      )
    else if (/^(DateTime64\(3\)|U?Int64)$/.test(type))
      columns.set(
        name,
        many(() => this.#uint(8)),
      )
    else throw new Error(`a column of type ${type}`)
  }

  #lowCardinality(rowCount: number): string[] {
    if (rowCount === 0) return []
    if (this.#uint(8) !== 1) throw new Error('another version of dictionaries')
    const flags = this.#uint(8)
    const keys = Array.from({ length: this.#uint(8) }, () => this.#text())
    if (this.#uint(8) !== rowCount) throw new Error('a dictionary column of another size')
    return Array.from({ length: rowCount }, () => keys[this.#uint(1 << (flags & 0xff))])
  }

  #varint(): number {
    let value = 0
    for (let shift = 0; ; shift += 7) {
      const byte = this.#view.getUint8(this.#offset++)
      value |= (byte & 0x7f) << shift
      if (byte < 0x80) return value
    }
  }

  /** As Latin-1: whatever the bytes, no two texts become one. */
  #text(): string {
    const size = this.#varint()
    const start = this.#offset
    this.#offset += size
    if (this.#offset > this.#bytes.length) throw new RangeError('a string beyond the end')
    const bytes = this.#bytes.subarray(start, this.#offset)
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1')
  }

  #float(): number {
    this.#offset += 8
    return this.#view.getFloat64(this.#offset - 8, true)
  }

  /** Eight bytes come as signed ones. */
  #uint(sizeBytes: number): number {
    const at = this.#offset
    this.#offset += sizeBytes
    if (sizeBytes === 8) return this.#view.getInt32(at + 4, true) * 2 ** 32 + this.#view.getUint32(at, true)
    if (sizeBytes === 4) return this.#view.getUint32(at, true)
    return sizeBytes === 2 ? this.#view.getUint16(at, true) : this.#view.getUint8(at)
  }
}

/** What an aggregate function's column holds. */
function valueType(type: string): string {
  return /^SimpleAggregateFunction\(\w+, (.*)\)$/.exec(type)?.[1] ?? type
}

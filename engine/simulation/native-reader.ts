/**
 * Reads blocks of ClickHouse's Native format back into columns, by the format's description and not by the writer's
 * code: what the simulated store does in ClickHouse's place. Only the types that Millrace's tables have.
 */

/** A map comes as a Map, a state of varPopStable as [count, mean, sum of squared differences]. */
export type NativeValue = string | number | number[] | Map<string, number>
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
    const elements = /^Tuple\((.*), (.*)\)$/.exec(type)
    if (elements === null) {
      columns.set(name, this.#values(type, rowCount))
      return
    }
    columns.set(name, this.#values(elements[1], rowCount))
    columns.set(`${name}.value`, this.#values(elements[2], rowCount))
  }

  #values(named: string, rowCount: number): NativeValue[] {
    const type = named.replace(/^\w+ /, '') // elements of a tuple may have names
    if (type === 'LowCardinality(String)') return this.#lowCardinality(rowCount)
    const array = /^Array\((.*)\)$/.exec(type)
    if (array !== null) {
      const ends = this.#many(rowCount, () => this.#uint(8))
      const all = this.#many(ends.at(-1) ?? 0, () => this.#scalar(array[1]) as number)
      return ends.map((end, row) => all.slice(row === 0 ? 0 : ends[row - 1], end))
    }
    if (type === 'Map(String, Float64)') {
      const ends = this.#many(rowCount, () => this.#uint(8))
      const keys = this.#many(ends.at(-1) ?? 0, () => this.#text())
      const all = keys.map((key) => [key, this.#float()] as const)
      return ends.map((end, row) => new Map(all.slice(row === 0 ? 0 : ends[row - 1], end)))
    }
    return this.#many(rowCount, () => this.#scalar(type))
  }

  #many<T>(count: number, read: () => T): T[] {
    return Array.from({ length: count }, read)
  }

  #scalar(type: string): NativeValue {
    switch (type) {
      case 'Float64':
        return this.#float()
      case 'String':
        return this.#text()
      case 'UInt8':
        return this.#uint(1)
      case 'UInt16':
        return this.#uint(2)
      case 'Int32':
        return this.#uint(4) | 0
      case 'UInt32':
      case 'DateTime':
        return this.#uint(4)
      case 'UInt64':
      case 'Int64':
      case 'DateTime64(3)':
        return this.#uint(8)
      case 'AggregateFunction(varPopStable, Float64)':
        return [this.#varint(), this.#float(), this.#float()]
      default:
        throw new Error(`a column of type ${type}`)
    }
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

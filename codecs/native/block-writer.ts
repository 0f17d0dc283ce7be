/**
 * Writes blocks of ClickHouse's Native format (https://clickhouse.com/docs/interfaces/formats/Native, the
 * form without block info that HTTP uses): varint columns, varint rows, then per column its name, type and
 * data. One writer belongs to one thread and is used block after block; its buffers only grow.
 *
 * A column is written by one call, or piece by piece: `beginColumn`, then `add...` until all its rows are there.
 *
 * Fixed-width values are gathered into an aligned scratch array and copied from there as a whole: half the
 * cost of a DataView write per value (`npm run bench -- native`). Typed arrays have the machine's byte order,
 * which must be little-endian, as ClickHouse's is.
 */
import { assert } from '../../base/assert.ts'
import { writeDateTimes } from './date-time.ts'
import { DictionaryKeys } from './dictionary-keys.ts'
import { elementTypesOf, KeyedArrays, type KeyedRuns } from './keyed-arrays.ts'

/**
 * Which rows a column takes, in which order; null for all from the first on. Indexes may be left out or
 * repeated.
 */
export type RowOrder = Int32Array | null

const BUFFER_SIZE_BYTES_MIN = 1 << 16
/** Blocks of this size leave with the writer's memory, smaller ones as copies. */
const TAKEN_SIZE_BYTES_MIN = 1 << 16
/** Buffers that came back and wait for blocks. */
const FREE_COUNT_MAX = 3
/** A small block leaves large buffers to large blocks. */
const EXCESS_MAX = 4
/** A buffer that is made is so much larger than was expected: the next block of its kind may be, too. */
const HEADROOM = 1.25
const VARINT_SIZE_BYTES_MAX = 5
const VARINT_SIZE_BYTES_MAX_64 = 8
/** Up to here a loop copies faster than `set`. */
const LOOP_COPY_SIZE_BYTES_MAX = 32
/** A dictionary up to this size is written whole, without looking which of it is in use. */
const WHOLE_DICTIONARY_COUNT_MAX = 64
const DICTIONARY_VERSION = 1
/** Flag beside the key type: the dictionary follows as additional keys of this block. */
const HAS_ADDITIONAL_KEYS = 0x200

assert(new Uint8Array(Uint16Array.of(1).buffer)[0] === 1, 'the Native format needs a little-endian machine')

export class BlockWriter {
  #bytes: Uint8Array = new Uint8Array(BUFFER_SIZE_BYTES_MIN)
  readonly #free: Uint8Array[] = []
  readonly #lent = new WeakSet<ArrayBufferLike>()
  #sizeBytes = 0
  #rowCount = 0
  #columnsLeft = 0
  /** Of the column that was begun last. */
  #valuesLeft = 0
  #scratch: ArrayBuffer = new ArrayBuffer(0)
  #scratchFloat64 = new Float64Array(0)
  #scratchInt32 = new Int32Array(0)
  #scratchUint16 = new Uint16Array(0)
  #scratchUint8 = new Uint8Array(0)
  readonly #keys = new DictionaryKeys()
  readonly #keyedArrays = new KeyedArrays()
  readonly #headers = new Map<string, Uint8Array>()

  /**
   * Starts a block; exactly `columnCount` columns of `rowCount` rows must follow. With a size that it will not pass, by
   * and large, its memory is made at once.
   */
  begin(columnCount: number, rowCount: number, expectedSizeBytes = 0): void {
    this.#sizeBytes = 0
    this.#rowCount = rowCount
    this.#columnsLeft = columnCount
    this.#valuesLeft = 0
    this.#takeMemory(expectedSizeBytes)
    this.#reserve(2 * VARINT_SIZE_BYTES_MAX)
    this.#writeVarint(columnCount)
    this.#writeVarint(rowCount)
    if (this.#scratchInt32.length < rowCount * 2) this.#growScratch(rowCount)
  }

  /** The block. The bytes are the writer's own, and valid until the next `begin`. */
  finish(): Uint8Array {
    assert(this.#columnsLeft === 0 && this.#valuesLeft === 0, 'a block ended before its last column')
    return this.#bytes.subarray(0, this.#sizeBytes)
  }

  /** The block, to be kept: a large one takes the writer's memory along, which saves a copy, until it is `recycle`d. */
  take(): Uint8Array {
    const block = this.finish()
    if (block.length < TAKEN_SIZE_BYTES_MIN) return block.slice()
    this.#lent.add(block.buffer)
    this.#bytes = new Uint8Array(BUFFER_SIZE_BYTES_MIN)
    return block
  }

  /** Nobody reads the block any more: its memory is for another one. */
  recycle({ buffer }: Uint8Array): void {
    if (!this.#lent.delete(buffer)) return
    if (this.#free.push(new Uint8Array(buffer)) > FREE_COUNT_MAX) this.#free.shift()
  }

  /** A column that comes in pieces: `valueCount` values for each row, those of all rows one after another. */
  beginColumn(name: string, type: string, valueCount = 1): void {
    this.#beginColumn(name, type)
    this.#valuesLeft = this.#rowCount * valueCount
  }

  /** The next rows of a DateTime64(3). */
  addDateTimes(ms: Float64Array, order: Int32Array): void {
    this.#takeValues(order.length)
    this.#writeDateTimes(ms, order, order.length)
  }

  /** The next rows of a Float64. */
  addFloat64(values: Float64Array, order: Int32Array): void {
    this.#takeValues(order.length)
    this.#writeFloat64(values, order, order.length)
  }

  /** The next rows of a UInt64, from whole numbers 0 .. 2^53. */
  addUint64(values: Float64Array, order: Int32Array): void {
    this.#takeValues(order.length)
    this.#writeWholes(values, order, order.length)
  }

  /** The next rows of a String, from ranges of an arena; a size of 0 or less is an empty string. */
  addStrings(arena: Uint8Array, starts: Int32Array, sizes: Int32Array, order: Int32Array): void {
    this.#takeValues(order.length)
    this.#writeStrings(arena, starts, sizes, order, order.length)
  }

  /**
   * DateTime64(3) from milliseconds since the epoch: floored to whole ones, clamped to the years 1900 .. 2299
   * that the type can hold; NaN becomes the epoch.
   */
  dateTime64(name: string, ms: Float64Array, order: RowOrder, type = 'DateTime64(3)'): void {
    this.#beginColumn(name, type)
    this.#checkRows(name, ms, order)
    this.#writeDateTimes(ms, order, this.#rowCount)
  }

  /** Float64, or a SimpleAggregateFunction over it. */
  float64(name: string, values: Float64Array, order: RowOrder, type = 'Float64'): void {
    this.#beginColumn(name, type)
    this.#checkRows(name, values, order)
    this.#writeFloat64(values, order, this.#rowCount)
  }

  /**
   * A Tuple(DateTime64(3), Float64), or a SimpleAggregateFunction over one: its elements are columns in turn.
   */
  dateTime64AndFloat64(
    name: string,
    type: string,
    ms: Float64Array,
    values: Float64Array,
    order: RowOrder,
  ): void {
    this.#beginColumn(name, type)
    this.#checkRows(name, ms, order)
    this.#checkRows(name, values, order)
    this.#writeDateTimes(ms, order, this.#rowCount)
    this.#writeFloat64(values, order, this.#rowCount)
  }

  /**
   * A Tuple(Array(K), Array(V)) from runs of keys and values, K and V among UInt8, UInt16, Int32 and UInt64; or a
   * SimpleAggregateFunction over one.
   */
  keyedArrays(name: string, type: string, runs: KeyedRuns, order: RowOrder): void {
    const [keyType, valueType] = elementTypesOf(type)
    this.#beginColumn(name, type)
    this.#checkRows(name, runs.size, order)
    this.#append(this.#keyedArrays.encode(runs, runs.keys, keyType, order, this.#rowCount))
    this.#append(this.#keyedArrays.encode(runs, runs.values, valueType, order, this.#rowCount))
  }

  /**
   * AggregateFunction(varPopStable, Float64) from count, mean and the sum of squared differences from it: states as
   * ClickHouse writes them, a varint and two floats.
   */
  varianceStates(name: string, n: Float64Array, mean: Float64Array, m2: Float64Array, order: RowOrder): void {
    this.#beginColumn(name, 'AggregateFunction(varPopStable, Float64)')
    this.#checkRows(name, m2, order)
    const rowCount = this.#rowCount
    const floats = this.#scratchFloat64
    this.#reserve(rowCount * (VARINT_SIZE_BYTES_MAX_64 + 16))
    for (let row = 0; row < rowCount; row++) {
      const index = order === null ? row : order[row]
      this.#writeVarint64(n[index])
      floats[0] = mean[index]
      floats[1] = m2[index]
      for (let byte = 0; byte < 16; byte++) this.#bytes[this.#sizeBytes++] = this.#scratchUint8[byte]
    }
  }

  /** Map(String, Float64): row r has entries start[r] .. start[r] + size[r] - 1, whose keys are asked for in UTF-8. */
  map(
    name: string,
    start: Int32Array,
    size: Int32Array,
    keyOf: (entry: number) => Uint8Array,
    values: Float64Array,
    order: RowOrder,
  ): void {
    this.#beginColumn(name, 'Map(String, Float64)')
    this.#checkRows(name, size, order)
    const rowCount = this.#rowCount
    let entryCount = 0
    for (let row = 0; row < rowCount; row++) {
      entryCount += size[order === null ? row : order[row]]
      this.#writeUint64(entryCount)
    }
    const ordered = new Float64Array(entryCount)
    let count = 0
    for (let row = 0; row < rowCount; row++) {
      const index = order === null ? row : order[row]
      for (let entry = start[index]; entry < start[index] + size[index]; entry++) {
        const key = keyOf(entry)
        this.#reserve(key.length + VARINT_SIZE_BYTES_MAX)
        this.#writeString(key, 0, key.length)
        ordered[count++] = values[entry]
      }
    }
    this.#append(new Uint8Array(ordered.buffer))
  }

  /** UInt32 from whole numbers below 2^32. */
  uint32(name: string, values: ArrayLike<number>, order: RowOrder, type = 'UInt32'): void {
    this.#beginColumn(name, type)
    this.#checkRows(name, values, order)
    const rowCount = this.#rowCount
    const out = this.#scratchInt32
    if (order === null) for (let row = 0; row < rowCount; row++) out[row] = values[row]
    else for (let row = 0; row < rowCount; row++) out[row] = values[order[row]]
    this.#appendScratch(rowCount * 4)
  }

  uint8(name: string, values: Uint8Array, order: RowOrder): void {
    this.#beginColumn(name, 'UInt8')
    this.#checkRows(name, values, order)
    const rowCount = this.#rowCount
    const out = this.#scratchUint8
    for (let row = 0; row < rowCount; row++) out[row] = values[order === null ? row : order[row]]
    this.#appendScratch(rowCount)
  }

  /** UInt64 from whole numbers 0 .. 2^53. */
  uint64(name: string, values: Float64Array, order: RowOrder, type = 'UInt64'): void {
    this.#beginColumn(name, type)
    this.#checkRows(name, values, order)
    this.#writeWholes(values, order, this.#rowCount)
  }

  /** String from ranges of an arena; a size of 0 or less is an empty string. */
  string(name: string, arena: Uint8Array, starts: Int32Array, sizes: Int32Array, order: RowOrder): void {
    this.#beginColumn(name, 'String')
    this.#checkRows(name, sizes, order)
    this.#writeStrings(arena, starts, sizes, order, this.#rowCount)
  }

  /**
   * LowCardinality(String) from a dictionary of UTF-8 strings and each row's index in it. Only entries in use
   * are written, unless the dictionary is small. Without indices every row has the entry 0.
   */
  lowCardinality(
    name: string,
    dictionary: readonly Uint8Array[],
    indices: Int32Array | null,
    order: RowOrder,
  ): void {
    this.#beginColumn(name, 'LowCardinality(String)')
    if (indices !== null) this.#checkRows(name, indices, order)
    const rowCount = this.#rowCount
    if (rowCount === 0) return
    const isWhole = indices === null || dictionary.length <= WHOLE_DICTIONARY_COUNT_MAX
    const keyCountMax = indices === null ? 1 : Math.min(dictionary.length, isWhole ? Infinity : rowCount)
    assert(keyCountMax > 0, `column ${name} has rows and an empty dictionary`)
    const keySizeLog2 = keyCountMax <= 0x100 ? 0 : keyCountMax <= 0x1_0000 ? 1 : 2
    let keyCount = keyCountMax
    if (indices === null) this.#scratchUint8.fill(0, 0, rowCount)
    else if (isWhole) this.#gatherKeys(indices, order, keySizeLog2)
    else {
      keyCount = this.#keys.assign(dictionary.length, indices, order, rowCount)
      this.#gatherKeys(this.#keys.keyOfRow, null, keySizeLog2)
    }
    this.#writeUint64(DICTIONARY_VERSION)
    this.#writeUint64(HAS_ADDITIONAL_KEYS | keySizeLog2)
    this.#writeUint64(keyCount)
    for (let key = 0; key < keyCount; key++) {
      const entry = dictionary[isWhole ? key : this.#keys.entryOfKey[key]]
      this.#reserve(entry.length + VARINT_SIZE_BYTES_MAX)
      this.#writeString(entry, 0, entry.length)
    }
    this.#writeUint64(rowCount)
    this.#appendScratch(rowCount << keySizeLog2)
  }

  /**
   * Keys to the scratch memory in their size; a loop for each, because one for all would run at half the
   * speed. Only small dictionaries, whose keys are bytes, come with an order.
   */
  #gatherKeys(keys: Int32Array, order: RowOrder, keySizeLog2: number): void {
    const rowCount = this.#rowCount
    const bytes = this.#scratchUint8
    const words = this.#scratchUint16
    if (order !== null) for (let row = 0; row < rowCount; row++) bytes[row] = keys[order[row]]
    else if (keySizeLog2 === 0) for (let row = 0; row < rowCount; row++) bytes[row] = keys[row]
    else if (keySizeLog2 === 1) for (let row = 0; row < rowCount; row++) words[row] = keys[row]
    else this.#scratchInt32.set(keys.subarray(0, rowCount))
  }

  #writeDateTimes(ms: Float64Array, order: RowOrder, rowCount: number): void {
    writeDateTimes(this.#scratchFloat64, this.#scratchInt32, ms, order, rowCount)
    this.#appendScratch(rowCount * 8)
  }

  #writeFloat64(values: Float64Array, order: RowOrder, rowCount: number): void {
    if (order === null) {
      this.#append(new Uint8Array(values.buffer, values.byteOffset, rowCount * 8))
      return
    }
    const out = this.#scratchFloat64
    for (let row = 0; row < rowCount; row++) out[row] = values[order[row]]
    this.#appendScratch(rowCount * 8)
  }

  #writeWholes(values: Float64Array, order: RowOrder, rowCount: number): void {
    const out = this.#scratchInt32
    for (let row = 0; row < rowCount; row++) {
      const value = values[order === null ? row : order[row]]
      const high = Math.floor(value * 2 ** -32)
      out[2 * row] = value - high * 2 ** 32
      out[2 * row + 1] = high
    }
    this.#appendScratch(rowCount * 8)
  }

  #writeStrings(
    arena: Uint8Array,
    starts: Int32Array,
    sizes: Int32Array,
    order: RowOrder,
    rowCount: number,
  ): void {
    // Its sign bit is set once any size is positive: most batches have no text at all.
    let anyText = 0
    if (order === null) for (let row = 0; row < rowCount; row++) anyText |= -sizes[row]
    else for (let row = 0; row < rowCount; row++) anyText |= -sizes[order[row]]
    if (anyText >= 0) {
      this.#reserve(rowCount)
      this.#bytes.fill(0, this.#sizeBytes, this.#sizeBytes + rowCount)
      this.#sizeBytes += rowCount
      return
    }
    let textSizeBytes = 0
    for (let row = 0; row < rowCount; row++)
      textSizeBytes += Math.max(0, sizes[order === null ? row : order[row]])
    this.#reserve(textSizeBytes + rowCount * VARINT_SIZE_BYTES_MAX)
    for (let row = 0; row < rowCount; row++) {
      const index = order === null ? row : order[row]
      this.#writeString(arena, starts[index], Math.max(0, sizes[index]))
    }
  }

  #takeValues(count: number): void {
    assert(count <= this.#valuesLeft, 'a column has more rows than its block')
    this.#valuesLeft -= count
  }

  #checkRows(name: string, values: ArrayLike<number>, order: RowOrder): void {
    const count = (order ?? values).length
    assert(count >= this.#rowCount, `column ${name} has ${count} values for ${this.#rowCount} rows`)
  }

  #beginColumn(name: string, type: string): void {
    assert(this.#valuesLeft === 0, `a column ended before its last row, ahead of ${name}`)
    assert(this.#columnsLeft > 0, `column ${name} is one too many for its block`)
    this.#columnsLeft--
    const id = `${name}\0${type}`
    let header = this.#headers.get(id)
    if (header === undefined) {
      header = columnHeader(name, type)
      this.#headers.set(id, header)
    }
    this.#append(header)
  }

  #append(bytes: Uint8Array): void {
    this.#reserve(bytes.length)
    this.#bytes.set(bytes, this.#sizeBytes)
    this.#sizeBytes += bytes.length
  }

  #appendScratch(sizeBytes: number): void {
    this.#append(this.#scratchUint8.subarray(0, sizeBytes))
  }

  /** A varint size and the bytes; room must have been made. */
  #writeString(source: Uint8Array, start: number, size: number): void {
    this.#writeVarint(size)
    const bytes = this.#bytes
    const offset = this.#sizeBytes
    if (size > LOOP_COPY_SIZE_BYTES_MAX) bytes.set(source.subarray(start, start + size), offset)
    else for (let i = 0; i < size; i++) bytes[offset + i] = source[start + i]
    this.#sizeBytes = offset + size
  }

  #writeVarint(value: number): void {
    let rest = value
    while (rest >= 0x80) {
      this.#bytes[this.#sizeBytes++] = (rest & 0x7f) | 0x80
      rest >>>= 7
    }
    this.#bytes[this.#sizeBytes++] = rest
  }

  /** A whole number up to 2^53 as a varint; room must have been made. */
  #writeVarint64(value: number): void {
    let rest = value
    for (; rest >= 2 ** 31; rest = Math.floor(rest / 128))
      this.#bytes[this.#sizeBytes++] = (rest % 128) | 0x80
    this.#writeVarint(rest)
  }

  /** A whole number below 2^31 in 8 bytes. */
  #writeUint64(value: number): void {
    this.#reserve(8)
    const bytes = this.#bytes
    for (let i = 0; i < 8; i++) bytes[this.#sizeBytes + i] = i < 4 ? value >>> (8 * i) : 0
    this.#sizeBytes += 8
  }

  /** Memory for a block of that size: what came back, so that batch after batch makes no work for the collector. */
  #takeMemory(sizeBytes: number): void {
    if (sizeBytes <= this.#bytes.length) return
    const index = this.#free.findIndex(
      ({ length }) => length >= sizeBytes && length <= sizeBytes * EXCESS_MAX,
    )
    if (index >= 0) this.#bytes = this.#free.splice(index, 1)[0]
    else this.#bytes = new Uint8Array(Math.ceil(sizeBytes * HEADROOM))
  }

  #reserve(extraSizeBytes: number): void {
    const needed = this.#sizeBytes + extraSizeBytes
    if (needed <= this.#bytes.length) return
    const grown = new Uint8Array(Math.max(needed, this.#bytes.length * 2))
    grown.set(this.#bytes.subarray(0, this.#sizeBytes))
    this.#bytes = grown
  }

  #growScratch(rowCount: number): void {
    this.#scratch = new ArrayBuffer(rowCount * 16)
    this.#scratchFloat64 = new Float64Array(this.#scratch)
    this.#scratchInt32 = new Int32Array(this.#scratch)
    this.#scratchUint16 = new Uint16Array(this.#scratch)
    this.#scratchUint8 = new Uint8Array(this.#scratch)
  }
}

function columnHeader(name: string, type: string): Uint8Array {
  const parts = [name, type].map((text) => {
    const bytes = new TextEncoder().encode(text)
    assert(bytes.length < 0x4000, 'a column name or type is shorter than 16 KiB')
    const size = bytes.length < 0x80 ? [bytes.length] : [(bytes.length & 0x7f) | 0x80, bytes.length >>> 7]
    return [...size, ...bytes]
  })
  return Uint8Array.from(parts.flat())
}

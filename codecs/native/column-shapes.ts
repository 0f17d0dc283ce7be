/**
 * How the data of a column lies in a Native block, for the types that block-writer.ts writes: one or two parts after another, each with
 * all rows. Offsets in, offsets and values out; nothing is checked, for the blocks are our own.
 */

export type Shape =
  | { kind: 'fixed'; width: number; type: string }
  | { kind: 'strings' }
  /** States of varPopStable: a varint and two floats. */
  | { kind: 'states' }
  /** Each row's end (UInt64), then the parts of all elements. */
  | { kind: 'arrays'; elements: Shape[] }

export type Value = string | number | Value[]

const TEXT = new TextDecoder()
const WIDTHS: Record<string, number> = { UInt8: 1, UInt16: 2, UInt32: 4, Int32: 4, DateTime: 4 }

export function shapesOf(type: string): Shape[] {
  const inner = /^SimpleAggregateFunction\(\w+, (.*)\)$/.exec(type)?.[1] ?? type
  if (inner === 'String') return [{ kind: 'strings' }]
  if (inner.startsWith('AggregateFunction(')) return [{ kind: 'states' }]
  const map = /^Map\((.*), (.*)\)$/.exec(inner)
  if (map !== null) return [{ kind: 'arrays', elements: [...shapesOf(map[1]), ...shapesOf(map[2])] }]
  const tuple = /^Tuple\((.*), (.*)\)$/.exec(inner)
  if (tuple !== null) return [...shapesOf(tuple[1]), ...shapesOf(tuple[2])]
  const array = /^Array\((.*)\)$/.exec(inner)
  if (array !== null) return [{ kind: 'arrays', elements: shapesOf(array[1]) }]
  const scalar = inner.slice(inner.lastIndexOf(' ') + 1) // elements of a tuple may have names
  return [{ kind: 'fixed', width: WIDTHS[scalar] ?? 8, type: scalar }]
}

/** Where row `row` of the part that starts at `offset` begins; for row `rowCount`, where the part ends. */
export function rowStart(
  bytes: Uint8Array,
  shape: Shape,
  offset: number,
  rowCount: number,
  row: number,
): number {
  if (shape.kind === 'fixed') return offset + row * shape.width
  if (shape.kind === 'arrays') {
    let at = offset + rowCount * 8
    if (row < rowCount) return at
    const elementCount = endOf(bytes, offset, rowCount)
    for (const element of shape.elements) at = rowStart(bytes, element, at, elementCount, elementCount)
    return at
  }
  let at = offset
  for (let count = 0; count < row; count++) {
    const [size, next] = readVarint(bytes, at)
    at = next + (shape.kind === 'states' ? 16 : size)
  }
  return at
}

/** The rows [start, end) of a part, as the bytes of a part of their own. */
export function sliceRows(
  bytes: Uint8Array,
  shape: Shape,
  offset: number,
  rowCount: number,
  [start, end]: readonly [number, number],
): Uint8Array[] {
  if (shape.kind !== 'arrays') {
    const from = rowStart(bytes, shape, offset, rowCount, start)
    return [bytes.subarray(from, rowStart(bytes, shape, offset, rowCount, end))]
  }
  const range = [endOf(bytes, offset, start), endOf(bytes, offset, end)] as const
  const ends = Array.from({ length: end - start }, (_, i) => endOf(bytes, offset, start + i + 1) - range[0])
  const parts: Uint8Array[] = [new Uint8Array(BigUint64Array.from(ends, BigInt).buffer)]
  const elementCount = endOf(bytes, offset, rowCount)
  let at = offset + rowCount * 8
  for (const element of shape.elements) {
    parts.push(...sliceRows(bytes, element, at, elementCount, range))
    at = rowStart(bytes, element, at, elementCount, elementCount)
  }
  return parts
}

/** The value of a row: a text, a number, a time as ISO 8601, or a list (of lists, for elements of several parts). */
export function readValue(
  bytes: Uint8Array,
  shape: Shape,
  offset: number,
  rowCount: number,
  row: number,
): Value {
  const at = rowStart(bytes, shape, offset, rowCount, row)
  if (shape.kind === 'strings') return readString(bytes, at)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (shape.kind === 'fixed') return readNumber(view, shape.type, at)
  if (shape.kind === 'states') {
    const [n, next] = readVarint(bytes, at)
    return [n, view.getFloat64(next, true), view.getFloat64(next + 8, true)]
  }
  const [start, end] = [endOf(bytes, offset, row), endOf(bytes, offset, row + 1)]
  const elementCount = endOf(bytes, offset, rowCount)
  let place = offset + rowCount * 8
  const lists = shape.elements.map((element) => {
    const from = place
    place = rowStart(bytes, element, from, elementCount, elementCount)
    return Array.from({ length: end - start }, (_, i) =>
      readValue(bytes, element, from, elementCount, start + i),
    )
  })
  return lists.length === 1 ? lists[0] : lists
}

export function readString(bytes: Uint8Array, offset: number): string {
  const [size, start] = readVarint(bytes, offset)
  return TEXT.decode(bytes.subarray(start, start + size))
}

export function readVarint(bytes: Uint8Array, offset: number): [value: number, next: number] {
  let value = 0
  let at = offset
  for (let unit = 1; ; unit *= 128) {
    const byte = bytes[at++]
    value += (byte & 0x7f) * unit
    if (byte < 0x80) return [value, at]
  }
}

/** Where the elements of the first `row` rows of an array part end, as a number of elements. */
function endOf(bytes: Uint8Array, offset: number, row: number): number {
  if (row === 0) return 0
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(offset + (row - 1) * 8, true)
}

function readNumber(view: DataView, type: string, at: number): string | number {
  if (type.startsWith('DateTime64')) return isoTime(Number(view.getBigInt64(at, true)))
  if (type === 'DateTime') return isoTime(view.getUint32(at, true) * 1000)
  if (type === 'Float64') return view.getFloat64(at, true)
  if (type === 'UInt8') return view.getUint8(at)
  if (type === 'UInt16') return view.getUint16(at, true)
  if (type === 'UInt32') return view.getUint32(at, true)
  if (type === 'Int32') return view.getInt32(at, true)
  return Number(view.getBigInt64(at, true))
}

function isoTime(ms: number): string {
  return new Date(ms).toISOString()
}

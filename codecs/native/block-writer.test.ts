import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Session } from 'chdb'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Prng } from '../../base/prng.ts'
import { BlockWriter } from './block-writer.ts'
import { clampDateTimeMs, DATE_TIME_MS_MAX, DATE_TIME_MS_MIN } from './date-time.ts'

// A live ClickHouse is the only judge of the bytes: it reads what we write, and writes what we compare with.
let directory: string
let session: Session

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'millrace-native-'))
  session = new Session(join(directory, 'data'))
  session.query('CREATE DATABASE t ENGINE = Atomic')
})

afterAll(() => {
  session.close()
  rmSync(directory, { recursive: true, force: true })
})

const encoder = new TextEncoder()

/** Creates a table of these columns and inserts the block into it. */
function insert(columns: string, block: Uint8Array): void {
  session.query('DROP TABLE IF EXISTS t.x SYNC')
  session.query(`CREATE TABLE t.x (${columns}) ENGINE = Memory`)
  const path = join(directory, 'block')
  writeFileSync(path, block)
  session.query(`INSERT INTO t.x FROM INFILE '${path}' COMPRESSION 'none' FORMAT Native`)
}

/** The table as ClickHouse itself writes it: in one block. */
async function nativeBytes(): Promise<Uint8Array> {
  const result = await session.queryAsync('SELECT * FROM t.x', { format: 'Native' })
  return result.bytes()
}

function rows<Row>(sql = 'SELECT * FROM t.x'): Row[] {
  const text = session.query(sql, 'JSONCompactEachRow')
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Row)
}

/**
 * Blocks of one LowCardinality(String) column, read by the format's description and not by the writer's code.
 */
function readLowCardinality(bytes: Uint8Array): string[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const values: string[] = []
  let offset = 0
  const varint = (): number => {
    let value = 0
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[offset++]
      value |= (byte & 0x7f) << shift
      if (byte < 0x80) return value
    }
  }
  const text = (): string => {
    const size = varint()
    offset += size
    return new TextDecoder().decode(bytes.subarray(offset - size, offset))
  }
  const uint = (sizeBytes: number): number => {
    offset += sizeBytes
    if (sizeBytes === 8) return Number(view.getBigUint64(offset - 8, true))
    if (sizeBytes === 4) return view.getUint32(offset - 4, true)
    return sizeBytes === 2 ? view.getUint16(offset - 2, true) : view.getUint8(offset - 1)
  }
  while (offset < bytes.length) {
    expect(varint()).toBe(1)
    const rowCount = varint()
    expect([text(), text()]).toEqual(['name', 'LowCardinality(String)'])
    expect(uint(8)).toBe(1)
    const flags = uint(8)
    expect(flags & 0x200).toBe(0x200)
    const keys = Array.from({ length: uint(8) }, text)
    expect(uint(8)).toBe(rowCount)
    for (let row = 0; row < rowCount; row++) values.push(keys[uint(1 << (flags & 0xff))])
  }
  return values
}

function shuffled(count: number, prng: Prng): Int32Array {
  const order = Int32Array.from({ length: count }, (_, i) => i)
  for (let i = count - 1; i > 0; i--) {
    const j = prng.between(0, i)
    const kept = order[i]
    order[i] = order[j]
    order[j] = kept
  }
  return order
}

/** A string column's arena of these values. */
function arenaOf(values: readonly string[]): { arena: Uint8Array; starts: Int32Array; sizes: Int32Array } {
  const encoded = values.map((value) => encoder.encode(value))
  const starts = new Int32Array(values.length)
  let end = 0
  encoded.forEach((bytes, i) => {
    starts[i] = end
    end += bytes.length
  })
  return {
    arena: Uint8Array.from(encoded.flatMap((bytes) => [...bytes])),
    starts,
    sizes: Int32Array.from(encoded, (bytes) => bytes.length),
  }
}

describe('plain columns are byte for byte what ClickHouse writes', () => {
  const seed = 20_240_701
  for (const count of [0, 1, 2, 127, 128, 1000, 20_000]) {
    for (const isOrdered of [false, true]) {
      test(`${count} rows, ${isOrdered ? 'permuted' : 'as they are'} (seed ${seed})`, async () => {
        const prng = new Prng(seed + count)
        const order = isOrdered ? shuffled(count, prng) : null
        const special = [Number.NaN, Infinity, -Infinity, -0, 0, 5e-324, 1.7976931348623157e308, 0.1]
        const ms = Float64Array.from({ length: count }, () => prng.between(-1e9, 1e9) * 900 + prng.unit())
        const values = Float64Array.from({ length: count }, (_, i) => special[i] ?? prng.normal())
        const wholes = Float64Array.from({ length: count }, (_, i) =>
          i === 1 ? 2 ** 53 : prng.u32() * 2 ** 20 + i,
        )
        const small = Uint32Array.from({ length: count }, (_, i) => (i === 0 ? 0xffff_ffff : prng.u32()))
        const texts = Array.from({ length: count }, (_, i) =>
          i % 3 === 0 ? '' : '\u00e9\u{1f30a}x\0'.repeat(prng.between(0, 40)),
        )
        const { arena, starts, sizes } = arenaOf(texts)
        const writer = new BlockWriter()
        writer.begin(7, count)
        writer.dateTime64('ms', ms, order)
        writer.float64('value', values, order)
        writer.uint64('whole', wholes, order)
        writer.uint32('small', small, order)
        writer.uint8('flag', Uint8Array.from(small), order)
        writer.string('text', arena, starts, sizes, order)
        writer.dateTime64AndFloat64('pair', 'Tuple(ts DateTime64(3), value Float64)', ms, values, order)
        const block = writer.finish()
        const tuple = 'pair Tuple(ts DateTime64(3), value Float64)'
        insert(
          `ms DateTime64(3), value Float64, whole UInt64, small UInt32, flag UInt8, text String, ${tuple}`,
          block,
        )
        if (count === 0) {
          expect(rows()).toEqual([])
          return
        }
        expect(Buffer.compare(block, await nativeBytes())).toBe(0)
        const at = (i: number): number => (order === null ? i : order[i])
        const back = rows<[string, string, number, number, string]>(
          'SELECT toString(toUnixTimestamp64Milli(ms)), toString(whole), small, flag, text FROM t.x',
        )
        back.forEach((row, i) => {
          const source = at(i)
          expect(row).toEqual([
            String(Math.floor(ms[source])),
            String(BigInt(wholes[source])),
            small[source],
            small[source] % 256,
            texts[source],
          ])
        })
      })
    }
  }
})

test('times are floored, and clamped to what DateTime64(3) can hold', () => {
  const times = [
    ...[0, 0.5, -0.5, -1, -1.0001, 999.999, 1_700_000_000_123.9, -62_135_596_800_000],
    ...[
      DATE_TIME_MS_MIN,
      DATE_TIME_MS_MIN - 1,
      DATE_TIME_MS_MAX,
      DATE_TIME_MS_MAX + 0.9,
      DATE_TIME_MS_MAX + 1,
    ],
    ...[
      2 ** 51,
      2 ** 52,
      2 ** 53,
      1e300,
      -(2 ** 51),
      -(2 ** 52),
      -1e300,
      Infinity,
      -Infinity,
      Number.NaN,
      5e-324,
    ],
  ]
  const writer = new BlockWriter()
  writer.begin(1, times.length)
  writer.dateTime64('ms', Float64Array.from(times), null)
  insert('ms DateTime64(3)', writer.finish())
  const stored = rows<[string]>('SELECT toString(toUnixTimestamp64Milli(ms)) FROM t.x').map(([text]) =>
    Number(text),
  )
  const expected = times.map((ms) =>
    Number.isNaN(ms) ? 0 : Math.min(Math.max(Math.floor(ms), DATE_TIME_MS_MIN), DATE_TIME_MS_MAX),
  )
  expect(stored.map((ms) => ms + 0)).toEqual(expected.map((ms) => ms + 0))
  expect(times.map((ms) => clampDateTimeMs(ms) + 0)).toEqual(expected.map((ms) => ms + 0))
  const texts = rows<[string]>(
    'SELECT toString(min(ms)) FROM t.x UNION ALL SELECT toString(max(ms)) FROM t.x',
  )
  expect(texts.flat().sort()).toEqual(['1900-01-01 00:00:00.000', '2299-12-31 23:59:59.999'])
})

test('any time in range, and the words beside its edges, come back as written', () => {
  const prng = new Prng(7)
  const edges = [
    0,
    DATE_TIME_MS_MIN,
    DATE_TIME_MS_MAX,
    2 ** 41,
    2 ** 43,
    -(2 ** 41),
    2424 * 2 ** 32,
    -514 * 2 ** 32,
  ]
  const times = [
    ...edges.flatMap((edge) => [-2, -1, 0, 1, 2].map((step) => edge + step)),
    ...Array.from(
      { length: 5000 },
      () => DATE_TIME_MS_MIN + prng.unit() * (DATE_TIME_MS_MAX - DATE_TIME_MS_MIN),
    ),
  ]
  const writer = new BlockWriter()
  writer.begin(1, times.length)
  writer.dateTime64('ms', Float64Array.from(times), null)
  insert('ms DateTime64(3)', writer.finish())
  const stored = rows<[string]>('SELECT toString(toUnixTimestamp64Milli(ms)) FROM t.x').map(([text]) =>
    Number(text),
  )
  expect(stored).toEqual(times.map(clampDateTimeMs))
})

describe('LowCardinality(String)', () => {
  for (const count of [1, 2, 64, 65, 255, 256, 257, 65_535, 65_536, 65_537]) {
    test(`${count} dictionary entries`, async () => {
      const prng = new Prng(count)
      const names = Array.from({ length: count }, (_, i) => (i === 1 ? '\u00fc\u{1f9ed}' : `device-${i}`))
      const extra = 500
      const indices = Int32Array.from({ length: count + extra }, (_, i) =>
        i < count ? i : prng.between(0, count - 1),
      )
      const writer = new BlockWriter()
      writer.begin(1, indices.length)
      writer.lowCardinality(
        'name',
        names.map((name) => encoder.encode(name)),
        indices,
        null,
      )
      const block = writer.finish().slice()
      insert('name LowCardinality(String)', block)
      expect(rows<[string]>().map(([name]) => name)).toEqual(Array.from(indices, (index) => names[index]))
      // ClickHouse writes the empty string into its dictionaries and splits blocks as it likes: compare what
      // they say.
      const written = readLowCardinality(await nativeBytes())
      expect(written).toEqual(readLowCardinality(block))
      expect(written.length).toBe(indices.length)
    })
  }

  test('a large dictionary of which a block uses little, the empty string, and a permutation', () => {
    const prng = new Prng(11)
    const dictionary = Array.from({ length: 200_000 }, (_, i) => encoder.encode(i === 5 ? '' : `d${i}`))
    const writer = new BlockWriter()
    // Twice: the second block must not see keys of the first.
    for (const [count, round] of [
      [3000, 0],
      [100, 1],
      [0, 2],
    ]) {
      const indices = Int32Array.from({ length: count }, () =>
        prng.unit() < 0.1 ? 5 : prng.between(0, 199_999),
      )
      const order = shuffled(count, prng)
      writer.begin(2, count)
      writer.lowCardinality('name', dictionary, indices, order)
      writer.uint32('round', new Uint32Array(count).fill(round), order)
      const block = writer.finish()
      expect(block.length).toBeLessThan(150 + count * 20)
      insert('name LowCardinality(String), round UInt32', block)
      const expected = Array.from(order, (row) => [indices[row] === 5 ? '' : `d${indices[row]}`, round])
      expect(rows()).toEqual(expected)
    }
  })

  test('one value for all rows, and long values', () => {
    const long = 'x'.repeat(70_000)
    const writer = new BlockWriter()
    writer.begin(2, 300)
    writer.lowCardinality('stream', [encoder.encode('telemetry')], null, null)
    writer.lowCardinality('long', [encoder.encode(long), encoder.encode('y')], new Int32Array(300), null)
    insert('stream LowCardinality(String), long LowCardinality(String)', writer.finish())
    expect(rows('SELECT stream, length(long), count() FROM t.x GROUP BY ALL')).toEqual([
      ['telemetry', 70_000, 300],
    ])
  })
})

test('aggregate columns merge what blocks bring', () => {
  const columns =
    'count SimpleAggregateFunction(sum, UInt64), low SimpleAggregateFunction(min, Float64), ' +
    'first SimpleAggregateFunction(min, Tuple(ts DateTime64(3), value Float64))'
  const writer = new BlockWriter()
  writer.begin(3, 3)
  writer.uint64('count', Float64Array.of(1, 2, 3), null, 'SimpleAggregateFunction(sum, UInt64)')
  writer.float64('low', Float64Array.of(3, -1, 2), null, 'SimpleAggregateFunction(min, Float64)')
  const first = 'SimpleAggregateFunction(min, Tuple(ts DateTime64(3), value Float64))'
  writer.dateTime64AndFloat64('first', first, Float64Array.of(9, 5, 5.9), Float64Array.of(1, 7, 3), null)
  insert(columns, writer.finish())
  const merged =
    'SELECT sum(count), min(low), min(first).value, toUnixTimestamp64Milli(min(first).ts) FROM t.x'
  expect(rows(merged)).toEqual([[6, -1, 3, 5]])
})

describe('arrays, maps and states are byte for byte what ClickHouse writes', () => {
  const quantiles = 'Tuple(Array(Int32), Array(UInt64))'
  const registers = 'Tuple(Array(UInt16), Array(UInt8))'
  const columns = `n UInt64, quantiles ${quantiles}, registers ${registers}, states Map(String, Float64),
    variance AggregateFunction(varPopStable, Float64)`
  const seed = 41
  for (const [count, sizeMax] of [
    [0, 0],
    [1, 0],
    [3, 1],
    [500, 40],
    [20, 1000],
  ]) {
    for (const isOrdered of [false, true]) {
      test(`${count} rows of up to ${sizeMax}, ${isOrdered ? 'permuted' : 'as they are'}`, async () => {
        const prng = new Prng(seed + count)
        const size = Int32Array.from({ length: count }, () => prng.between(0, sizeMax))
        const start = size.map((_, row) => size.subarray(0, row).reduce((sum, one) => sum + one, 0))
        const entryCount = size.reduce((sum, one) => sum + one, 0)
        const keys = Int32Array.from({ length: entryCount }, () => prng.u32())
        const values = Float64Array.from({ length: entryCount }, (_, i) => prng.u32() * 2 ** (i % 22))
        const small = keys.map((key) => key & 0xffff)
        const smaller = values.map((value) => value % 256)
        const countOf = (row: number): number => [row, 127, 128, 2 ** 31, 2 ** 53][row % 5]
        const counts = Float64Array.from({ length: count }, (_, row) => countOf(row))
        const mean = Float64Array.from({ length: count }, () => prng.normal())
        const m2 = Float64Array.from({ length: count }, () => prng.unit())
        const order = isOrdered ? shuffled(count, prng) : null
        const writer = new BlockWriter()
        const write = (): Uint8Array => {
          writer.begin(5, count)
          writer.uint64('n', counts, order)
          writer.keyedArrays('quantiles', quantiles, { start, size, keys, values }, order)
          writer.keyedArrays('registers', registers, { start, size, keys: small, values: smaller }, order)
          const keyOf = (entry: number) => encoder.encode(`s${'\u00e9'.repeat(entry % 70)}${entry}`)
          writer.map('states', start, size, keyOf, values, order)
          writer.varianceStates('variance', counts, mean, m2, order)
          return writer.finish()
        }
        const block = write().slice()
        expect(write()).toEqual(block)
        insert(columns, block)
        if (count === 0) return
        expect(Buffer.compare(block, await nativeBytes())).toBe(0)
        const found = rows<[number[], string[], Record<string, number>, number, number]>(
          `SELECT quantiles.1, arrayMap(x -> toString(x), quantiles.2), states, length(registers.1),
            finalizeAggregation(variance) FROM t.x`,
        )
        for (const [row, [foundKeys, foundValues, states, registerCount, variance]] of found.entries()) {
          const at = order === null ? row : order[row]
          const range = [start[at], start[at] + size[at]] as const
          expect(foundKeys).toEqual([...keys.subarray(...range)])
          expect(foundValues).toEqual(Array.from(values.subarray(...range), String))
          expect(Object.values(states)).toEqual([...values.subarray(...range)])
          expect(registerCount).toBe(size[at])
          expect(variance).toBe(counts[at] === 0 ? null : m2[at] / counts[at])
        }
      })
    }
  }

  test('other types of arrays are refused', () => {
    const writer = new BlockWriter()
    const none = new Int32Array(0)
    const runs = { start: none, size: none, keys: none, values: new Float64Array(0) }
    writer.begin(1, 0)
    expect(() => writer.keyedArrays('x', 'Tuple(Array(String), Array(UInt8))', runs, null)).toThrow(
      /keyed arrays are no column of type Tuple\(Array\(String/,
    )
  })
})

test('an order may leave rows out: a batch in pieces', () => {
  const writer = new BlockWriter()
  const values = Float64Array.of(10, 11, 12, 13)
  for (const piece of [Int32Array.of(3, 1), Int32Array.of(0), Int32Array.of(2, 2, 2)]) {
    writer.begin(1, piece.length)
    writer.float64('value', values, piece)
    insert('value Float64', writer.finish())
    expect(rows()).toEqual(Array.from(piece, (row) => [values[row]]))
  }
})

test('texts marked as absent are empty strings', () => {
  const writer = new BlockWriter()
  writer.begin(2, 2)
  const arena = encoder.encode('word')
  writer.string('a', arena, Int32Array.of(0, 0), Int32Array.of(-1, -1), null)
  writer.string('b', arena, Int32Array.of(0, 0), Int32Array.of(-1, 4), null)
  insert('a String, b String', writer.finish())
  expect(rows()).toEqual([
    ['', ''],
    ['', 'word'],
  ])
})

test('a block with a column missing, one too many, or too short is our own fault', () => {
  const writer = new BlockWriter()
  writer.begin(2, 1)
  writer.float64('a', Float64Array.of(1), null)
  expect(() => writer.finish()).toThrow(/before its last column/)
  writer.begin(1, 2)
  expect(() => writer.float64('a', Float64Array.of(1), null)).toThrow(/1 values for 2 rows/)
  writer.begin(0, 0)
  expect(() => writer.float64('a', Float64Array.of(1), null)).toThrow(/one too many/)
  writer.begin(1, 1)
  expect(() => writer.lowCardinality('a', [], Int32Array.of(0), null)).toThrow(/empty dictionary/)
})

test('a column in pieces is the column as a whole, whatever the pieces', () => {
  const prng = new Prng(5)
  const arena = encoder.encode('some words in a row')
  for (let round = 0; round < 50; round++) {
    const rowCount = prng.between(1, 200)
    const order = Int32Array.from({ length: rowCount }, () => prng.between(0, rowCount - 1))
    const numbers = Float64Array.from(order, () => prng.between(0, 2 ** 40))
    const starts = Int32Array.from(order, () => prng.between(0, 10))
    const sizes = Int32Array.from(order, () => (round % 2 === 0 ? -1 : prng.between(-1, 5)))
    const writer = new BlockWriter()
    writer.begin(5, rowCount)
    writer.dateTime64('ms', numbers, order)
    writer.float64('value', numbers, order)
    writer.uint64('n', numbers, order)
    writer.string('text', arena, starts, sizes, order)
    writer.dateTime64AndFloat64('both', 'Tuple(DateTime64(3), Float64)', numbers, numbers, order)
    const whole = writer.take()
    const inPieces = (add: (rows: Int32Array) => void) => {
      for (let start = 0; start < rowCount; ) {
        const end = Math.min(rowCount, start + prng.between(1, 60))
        add(order.subarray(start, end))
        start = end
      }
    }
    writer.begin(5, rowCount, prng.between(0, 10_000))
    writer.beginColumn('ms', 'DateTime64(3)')
    inPieces((rows) => writer.addDateTimes(numbers, rows))
    writer.beginColumn('value', 'Float64')
    inPieces((rows) => writer.addFloat64(numbers, rows))
    writer.beginColumn('n', 'UInt64')
    inPieces((rows) => writer.addUint64(numbers, rows))
    writer.beginColumn('text', 'String')
    inPieces((rows) => writer.addStrings(arena, starts, sizes, rows))
    writer.beginColumn('both', 'Tuple(DateTime64(3), Float64)', 2)
    inPieces((rows) => writer.addDateTimes(numbers, rows))
    inPieces((rows) => writer.addFloat64(numbers, rows))
    expect(writer.take()).toEqual(whole)
  }
})

test('a block that was taken stays as it is when the writer goes on', () => {
  for (const rowCount of [1, 20_000]) {
    const writer = new BlockWriter()
    const blocks = [1, 2].map((value) => {
      writer.begin(1, rowCount)
      writer.float64('value', new Float64Array(rowCount).fill(value), null)
      return writer.take()
    })
    expect(new DataView(blocks[0].buffer).getFloat64(blocks[0].length - 8, true)).toBe(1)
    expect(blocks[0].length).toBe(blocks[1].length)
  }
})

test('pieces that are too many, or too few, are our own fault', () => {
  const writer = new BlockWriter()
  writer.begin(2, 2)
  writer.beginColumn('a', 'Float64')
  writer.addFloat64(Float64Array.of(1), Int32Array.of(0))
  expect(() => writer.beginColumn('b', 'Float64')).toThrow(/before its last row/)
  expect(() => writer.addFloat64(Float64Array.of(1), Int32Array.of(0, 0))).toThrow(/more rows/)
})

test('memory that came back serves the next block of its size, and nobody else’s', () => {
  const writer = new BlockWriter()
  const write = (value: number, rowCount: number) => {
    writer.begin(1, rowCount, rowCount * 9)
    writer.float64('value', new Float64Array(rowCount).fill(value), null)
    return writer.take()
  }
  const first = write(1, 20_000)
  const second = write(2, 20_000)
  expect(second.buffer).not.toBe(first.buffer)
  writer.recycle(first)
  writer.recycle(first) // said twice
  const kept = Buffer.from(second)
  const third = write(3, 20_000)
  expect(third.buffer).toBe(first.buffer)
  expect(write(4, 20_000).buffer).not.toBe(first.buffer)
  expect(Buffer.compare(second, kept)).toBe(0)
  writer.recycle(second.slice()) // a copy of somebody else’s
  expect(write(5, 20_000).buffer).not.toBe(second.buffer)
  expect(new DataView(third.buffer).getFloat64(third.length - 8, true)).toBe(3)
})

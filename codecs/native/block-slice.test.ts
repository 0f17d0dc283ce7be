import { expect, test } from 'vitest'
import { Prng } from '../../base/prng.ts'
import { describeRow, sliceBlock } from './block-slice.ts'
import { BlockWriter } from './block-writer.ts'

const utf8 = (text: string) => new TextEncoder().encode(text)
const PAIR = 'SimpleAggregateFunction(min, Tuple(ts DateTime64(3), value Float64))'

/** A block of every column kind with values that follow from the row number, and what its rows say. */
function makeBlock(
  prng: Prng,
  rowCount: number,
): { block: Uint8Array; rows: Record<string, string | number>[] } {
  const texts = Array.from({ length: rowCount }, () => 'é'.repeat(prng.between(0, 90)))
  const arena = utf8(texts.join(''))
  const sizes = Int32Array.from(texts, (text) => utf8(text).length)
  const starts = new Int32Array(rowCount)
  for (let row = 1; row < rowCount; row++) starts[row] = starts[row - 1] + sizes[row - 1]
  const devices = Array.from({ length: prng.between(1, 700) }, (_, index) => `device-${index}`)
  const deviceOf = Int32Array.from({ length: rowCount }, () => prng.between(0, devices.length - 1))
  const ms = Float64Array.from({ length: rowCount }, () => prng.between(-1e9, 1e9) * 1000)
  const values = Float64Array.from({ length: rowCount }, () => prng.normal())
  const counts = Float64Array.from({ length: rowCount }, () => prng.u32() * 1000)
  const writer = new BlockWriter()
  const runSize = Int32Array.from({ length: rowCount }, () => prng.between(0, 5))
  const runStart = runSize.map((_, row) => runSize.subarray(0, row).reduce((sum, size) => sum + size, 0))
  const keys = Int32Array.from({ length: rowCount * 5 }, () => prng.between(-1e6, 1e6))
  const weights = Float64Array.from(keys, () => prng.u32() * 1000)
  const runs = { start: runStart, size: runSize, keys, values: weights }
  const registers = {
    ...runs,
    keys: keys.map((key) => key & 0xffff),
    values: weights.map((one) => one % 256),
  }
  const stateOf = (entry: number): string => 'ü'.repeat(entry % 90)
  writer.begin(11, rowCount)
  writer.lowCardinality('device', devices.map(utf8), deviceOf, null)
  writer.dateTime64('ts', ms, null)
  writer.float64('value', values, null)
  writer.string('text', arena, starts, sizes, null)
  writer.uint64('count', counts, null, 'SimpleAggregateFunction(sum, UInt64)')
  writer.uint32(
    'minute',
    Uint32Array.from({ length: rowCount }, (_, row) => row * 60),
    null,
    'DateTime',
  )
  writer.dateTime64AndFloat64('first', PAIR, ms, values, null)
  writer.keyedArrays(
    'bins',
    'SimpleAggregateFunction(sumMap, Tuple(Array(Int32), Array(UInt64)))',
    runs,
    null,
  )
  writer.keyedArrays('registers', 'Tuple(Array(UInt16), Array(UInt8))', registers, null)
  writer.map('states', runStart, runSize, (entry) => utf8(stateOf(entry)), weights, null)
  writer.varianceStates('variance', counts, values, weights, null)
  const runOf = (row: number, list: Int32Array | Float64Array): string =>
    JSON.stringify([...list.subarray(runStart[row], runStart[row] + runSize[row])])
  const statesOf = (row: number): string => {
    const entries = Array.from({ length: runSize[row] }, (_, i) => runStart[row] + i)
    return JSON.stringify([entries.map(stateOf), entries.map((entry) => weights[entry])])
  }
  const rows = texts.map((text, row) => ({
    device: devices[deviceOf[row]],
    ts: new Date(ms[row]).toISOString(),
    value: values[row],
    text,
    count: counts[row],
    minute: new Date(row * 60_000).toISOString(),
    first: new Date(ms[row]).toISOString(),
    first_value: values[row],
    bins: runOf(row, keys),
    bins_value: runOf(row, weights),
    registers: runOf(row, registers.keys),
    registers_value: runOf(row, registers.values),
    states: statesOf(row),
    variance: JSON.stringify([counts[row], values[row], weights[row]]),
  }))
  return { block: writer.finish().slice(), rows }
}

test('slices hold their rows and no others, however often they are cut', () => {
  for (let seed = 1; seed <= 60; seed++) {
    const prng = new Prng(seed)
    let { block, rows } = makeBlock(prng, prng.between(1, 600))
    expect(sliceBlock(block, 0, rows.length), `seed ${seed}`).toEqual(Buffer.from(block))
    for (let cut = 0; cut < 4 && rows.length > 1; cut++) {
      const start = prng.between(0, rows.length - 1)
      const end = prng.between(start + 1, rows.length)
      block = sliceBlock(block, start, end)
      rows = rows.slice(start, end)
      const found = rows.map((_, row) => describeRow(block, row))
      expect(found, `seed ${seed}`).toEqual(rows)
    }
  }
})

test('rows that are not there are refused', () => {
  const { block } = makeBlock(new Prng(1), 3)
  expect(() => sliceBlock(block, 0, 4)).toThrow(/the block has them/)
  expect(() => sliceBlock(block, 2, 2)).toThrow(/a slice has rows/)
  expect(() => describeRow(block, 3)).toThrow(/has the row/)
})

/**
 * Why the windows keep a series in a record of one cache line, and touch records ahead of their use: the same
 * accumulating loop over both layouts, three series a message, messages in random order.
 */
import { Prng } from '../base/prng.ts'
import type { Bench, BenchSize, Measure } from './bench.ts'
import { compare } from './harness.ts'

const METRICS = 3
const STRIDE = 8
const BLOCK_ROWS = 96

interface Load {
  series: Int32Array
  value: Float64Array
  /** Of the next pass over the series; every pass is one tick later. */
  tsMs: number
}

function makeLoad(messages: number): Load {
  const prng = new Prng(messages)
  const order = Int32Array.from({ length: messages }, (_, index) => index)
  for (let i = messages - 1; i > 0; i--) {
    const other = prng.between(0, i)
    const one = order[i]
    order[i] = order[other]
    order[other] = one
  }
  const series = Int32Array.from({ length: messages * METRICS }, (_, row) => {
    return order[Math.floor(row / METRICS)] * METRICS + (row % METRICS)
  })
  return { series, value: Float64Array.from(series, () => prng.normal()), tsMs: 1 }
}

function addToRecords(records: Float64Array, load: Load, start: number, end: number): void {
  const { series, value, tsMs } = load
  for (let row = start; row < end; row++) {
    const at = series[row] * STRIDE
    const x = value[row]
    if (!(tsMs > records[at + 6] && tsMs < records[at] && x - x === 0)) continue
    records[at + 1] += 1
    records[at + 2] += x
    if (x < records[at + 3]) records[at + 3] = x
    if (x > records[at + 4]) records[at + 4] = x
    records[at + 5] = x
    records[at + 6] = tsMs
    records[at + 7] = tsMs
  }
}

function touch(records: Float64Array, series: Int32Array, start: number, end: number): number {
  let sum = 0
  for (let row = start; row < end; row++) sum += records[series[row] * STRIDE]
  return sum
}

function addToArrays(arrays: Float64Array[], load: Load): void {
  const { series, value, tsMs } = load
  const [limit, n, sum, min, max, last, lastTs, seen] = arrays
  for (let row = 0; row < series.length; row++) {
    const one = series[row]
    const x = value[row]
    if (!(tsMs > lastTs[one] && tsMs < limit[one] && x - x === 0)) continue
    n[one] += 1
    sum[one] += x
    if (x < min[one]) min[one] = x
    if (x > max[one]) max[one] = x
    last[one] = x
    lastTs[one] = tsMs
    seen[one] = tsMs
  }
}

/** Nanoseconds per reading of each way, at that many series. */
async function measure(messages: number, size: BenchSize) {
  const load = makeLoad(messages)
  const count = load.series.length
  const records = new Float64Array(count * STRIDE)
  for (let at = 0; at < records.length; at += STRIDE) records[at] = Number.MAX_VALUE
  const arrays = Array.from({ length: STRIDE }, () => new Float64Array(count))
  arrays[0].fill(Number.MAX_VALUE)
  let touchedSum = 0
  const candidates = {
    records: () => addToRecords(records, load, 0, count),
    touchedRecords: () => {
      for (let start = 0; start < count; start += BLOCK_ROWS) {
        const end = Math.min(count, start + BLOCK_ROWS)
        touchedSum += touch(records, load.series, start, end)
        addToRecords(records, load, start, end)
      }
    },
    arrays: () => addToArrays(arrays, load),
  }
  const advancing = (work: () => void) => () => {
    load.tsMs++
    work()
  }
  const ns = await compare(
    {
      records: advancing(candidates.records),
      touchedRecords: advancing(candidates.touchedRecords),
      arrays: advancing(candidates.arrays),
    },
    { operations: count, size },
  )
  if (!(touchedSum > 0)) throw new Error('nothing was touched')
  return ns
}

async function run(size: BenchSize): Promise<Measure[]> {
  const few = await measure(3333, size)
  const many = await measure(size === 'full' ? 333_333 : 10_000, size)
  return [
    { name: '10,000 series, records', value: few.records, unit: 'ns/reading' },
    { name: '10,000 series, records touched ahead', value: few.touchedRecords, unit: 'ns/reading' },
    { name: '10,000 series, eight arrays', value: few.arrays, unit: 'ns/reading' },
    { name: '1,000,000 series, records', value: many.records, unit: 'ns/reading' },
    { name: '1,000,000 series, records touched ahead', value: many.touchedRecords, unit: 'ns/reading' },
    { name: '1,000,000 series, eight arrays', value: many.arrays, unit: 'ns/reading' },
    {
      name: '1,000,000 series, records touched ahead',
      value: many.arrays / many.touchedRecords,
      unit: 'times faster than eight arrays',
      atLeast: 1.5,
    },
  ]
}

export const bench: Bench = {
  name: 'window-layout',
  about: 'memory layout of the state that windows keep per series',
  run,
}

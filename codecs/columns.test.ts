import { expect, test } from 'vitest'
import { Prng } from '../base/prng.ts'
import { ReadingColumns } from './columns.ts'

interface Reading {
  metric: number
  tsMs: number
  value: number
  text: string
}

const encoder = new TextEncoder()
const decoder = new TextDecoder()

function append(columns: ReadingColumns, reading: Reading): void {
  const text = encoder.encode(reading.text)
  columns.reserve(1)
  columns.reserveText(text.length)
  const row = columns.count++
  columns.metric[row] = reading.metric
  columns.tsMs[row] = reading.tsMs
  columns.value[row] = reading.value
  columns.textStart[row] = columns.textSizeBytes
  columns.textSize[row] = reading.text === '' ? -1 : text.length
  columns.text.set(text, columns.textSizeBytes)
  columns.textSizeBytes += text.length
}

function readingOf(columns: ReadingColumns, row: number): Reading {
  const start = columns.textStart[row]
  const text = decoder.decode(columns.text.subarray(start, start + Math.max(columns.textSize[row], 0)))
  return { metric: columns.metric[row], tsMs: columns.tsMs[row], value: columns.value[row], text }
}

test('rows and texts survive growth from any first capacity', () => {
  for (const capacity of [0, 1, 2, 1000]) {
    const seed = 5 + capacity
    const prng = new Prng(seed)
    const columns = new ReadingColumns(capacity)
    const readings = Array.from({ length: 3_000 }, (_, i) => ({
      metric: prng.between(0, 65_535),
      tsMs: i % 7 === 0 ? Number.NaN : prng.unit() * 2e12,
      value: prng.normal(),
      text: i % 3 === 0 ? 'ü'.repeat(prng.between(1, 40)) : '',
    }))
    for (const reading of readings) append(columns, reading)
    expect(columns.count).toBe(readings.length)
    expect(readings.map((_, row) => readingOf(columns, row))).toEqual(readings)
  }
})

test('reserve makes all columns as long as one another, at least doubled, and never shorter', () => {
  const columns = new ReadingColumns(16)
  columns.count = 10
  columns.reserve(6)
  expect(columns.capacity).toBe(16)
  columns.reserve(7)
  expect(columns.capacity).toBe(32)
  columns.reserve(1_000)
  expect(columns.capacity).toBe(1_010)
  const { metric, tsMs, value, textStart, textSize } = columns
  expect([metric, tsMs, value, textStart, textSize].map((column) => column.length)).toEqual(
    Array(5).fill(1_010),
  )
})

test('reserveText makes room for a text larger than double', () => {
  const columns = new ReadingColumns()
  columns.text.fill(7)
  columns.textSizeBytes = columns.text.length
  const keptBytes = columns.text.length
  columns.reserveText(0)
  expect(columns.text.length).toBe(keptBytes)
  columns.reserveText(100_000)
  expect(columns.text.length).toBe(keptBytes + 100_000)
  expect(columns.text.subarray(0, keptBytes).every((byte) => byte === 7)).toBe(true)
})

test('clear keeps the memory', () => {
  const columns = new ReadingColumns(4)
  for (let i = 0; i < 100; i++) append(columns, { metric: i, tsMs: i, value: i, text: 'x'.repeat(100) })
  const { metric, text } = columns
  columns.clear()
  expect([columns.count, columns.textSizeBytes]).toEqual([0, 0])
  columns.reserve(100)
  columns.reserveText(10_000)
  expect(columns.metric).toBe(metric)
  expect(columns.text).toBe(text)
})

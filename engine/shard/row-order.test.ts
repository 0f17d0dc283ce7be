import { expect, test } from 'vitest'
import { hashBytes } from '../../base/hash.ts'
import { Prng } from '../../base/prng.ts'
import { MetricNames } from '../../codecs/metric-names.ts'
import { DeviceTable } from './device-table.ts'
import { RowOrder } from './row-order.ts'
import { SeriesTable } from './series-table.ts'
import { runSlices } from './slices.ts'

const STREAMS = ['telemetry', 'alarms', 'état']
const utf8 = (text: string) => new TextEncoder().encode(text)
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes)

/** Names that share beginnings, and some beyond ASCII. */
function randomName(prng: Prng): string {
  return (
    ['a', 'aa', 'ab', 'b', 'ä', 'z'][prng.between(0, 5)] +
    (prng.unit() < 0.5 ? String(prng.between(0, 20)) : '')
  )
}

test('rows come in the order of (stream, device, metric, key), ties as they came, and the dictionaries name them', () => {
  for (let seed = 1; seed <= 100; seed++) {
    const prng = new Prng(seed)
    const devices = new DeviceTable(1000, 2)
    const series = new SeriesTable(10_000, 2)
    const metrics = new MetricNames()
    const order = new RowOrder(devices, series, metrics, STREAMS)
    for (let batch = 0; batch < 4; batch++) {
      const count = prng.between(0, 400)
      const seriesOfRow = new Int32Array(count)
      const key = new Float64Array(count)
      const rows = Array.from({ length: count }, (_, row) => {
        const stream = prng.between(0, STREAMS.length - 1)
        const device = randomName(prng)
        const metric = randomName(prng)
        const name = utf8(device)
        const deviceIndex = devices.find(stream, hashBytes(name, 0, name.length), name, 0, name.length)
        seriesOfRow[row] = series.find(deviceIndex, metrics.intern(utf8(metric), 0, utf8(metric).length))
        key[row] = prng.between(-3, 3)
        return { row, stream: STREAMS[stream], device, metric, key: key[row] }
      })
      runSlices(order.sort(seriesOfRow, count))
      runSlices(order.sortRuns(key))
      const expected = [...rows].sort(
        (a, b) =>
          Buffer.compare(utf8(a.stream), utf8(b.stream)) ||
          Buffer.compare(utf8(a.device), utf8(b.device)) ||
          Buffer.compare(utf8(a.metric), utf8(b.metric)) ||
          a.key - b.key ||
          a.row - b.row,
      )
      const found = Array.from({ length: count }, (_, place) => ({
        row: order.order[place],
        stream: STREAMS[order.streamIndices[place]],
        device: text(order.deviceDictionary[order.deviceIndices[place]]),
        metric: text(order.metricDictionary[order.metricIndices[place]]),
        key: key[order.order[place]],
      }))
      expect(found, `seed ${seed}`).toEqual(expected)
    }
  }
})

test('tables that are full say so, and a run of series is in a row or not at all', () => {
  const devices = new DeviceTable(2, 1)
  const find = (name: string) =>
    devices.find(0, hashBytes(utf8(name), 0, name.length), utf8(name), 0, name.length)
  expect([find('a'), find('b'), find('a'), find('c'), find('b')]).toEqual([0, 1, 0, -1, 1])
  const series = new SeriesTable(5, 1)
  expect(series.findRun(0, Int32Array.of(3, 1))).toBe(0)
  expect(series.find(0, 1)).toBe(1)
  expect(series.findRun(0, Int32Array.of(3, 1))).toBe(0)
  expect(series.findRun(0, Int32Array.of(1, 2))).toBe(-1)
  expect(series.findRun(0, Int32Array.of(1, 3))).toBe(-1)
  expect(series.findRun(1, Int32Array.of(1, 2, 3, 4))).toBe(-1)
  expect(series.findRun(1, Int32Array.of(1, 2, 3))).toBe(2)
  expect(series.find(2, 0)).toBe(-1)
})

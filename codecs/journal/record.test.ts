import { expect, test } from 'vitest'
import { Prng } from '../../base/prng.ts'
import {
  alignRecord,
  MessageRoute,
  messageRecordSize,
  RECORD_HEADER_SIZE_BYTES,
  RecordKind,
  RecordViews,
  writeMessageRecord,
} from './record.ts'

test('a record holds its topic and payload, wherever they came from and however long they are, and touches nothing else', () => {
  for (let seed = 1; seed <= 2000; seed++) {
    const prng = new Prng(seed)
    const source = Uint8Array.from({ length: 700 }, () => prng.between(0, 255))
    const topicStart = prng.between(0, 50)
    const topicEnd = topicStart + prng.between(0, 150)
    const payloadStart = prng.between(0, 300)
    const payloadEnd = payloadStart + prng.between(0, 300)
    const size = messageRecordSize(topicEnd - topicStart, payloadEnd - payloadStart)
    const views = new RecordViews(new SharedArrayBuffer(2048))
    views.bytes.fill(0xee)
    const offset = 8 * prng.between(0, 60)
    const route = new MessageRoute()
    route.deviceHash = prng.u32()
    writeMessageRecord(
      views,
      offset,
      route,
      2,
      1234.5,
      7,
      9,
      source,
      topicStart,
      topicEnd,
      source,
      payloadStart,
      payloadEnd,
    )
    const body = offset + RECORD_HEADER_SIZE_BYTES
    const end = offset + size
    const expected = [...source.subarray(topicStart, topicEnd), ...source.subarray(payloadStart, payloadEnd)]
    expect([...views.bytes.subarray(body, end)], `seed ${seed}`).toEqual(expected)
    expect(views.u32[offset >>> 2]).toBe(size)
    expect(views.bytes[offset + 4]).toBe(RecordKind.MQTT_PUBLISH)
    expect(views.f64[(offset >>> 3) + 1]).toBe(1234.5)
    expect(views.u32[(offset >>> 2) + 4]).toBe(route.deviceHash)
    const padding = views.bytes.subarray(end, offset + alignRecord(size))
    expect([...padding].every((byte) => byte === 0)).toBe(true)
    expect(views.bytes[offset + alignRecord(size)]).toBe(0xee)
    if (offset > 0) expect(views.bytes[offset - 1]).toBe(0xee)
  }
})

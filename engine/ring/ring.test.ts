import { expect, test } from 'vitest'
import { Prng } from '../../base/prng.ts'
import {
  alignRecord,
  MessageRoute,
  messageRecordSize,
  RecordKind,
  writeMessageRecord,
} from '../../codecs/journal/record.ts'
import { createRing, isReached, RingConsumer, RingProducer } from './ring.ts'

function publish(
  producer: RingProducer,
  route: MessageRoute,
  payload: Uint8Array,
  sequence: number,
): boolean {
  const size = messageRecordSize(0, payload.length)
  const offset = producer.claim(size)
  if (offset < 0) return false
  writeMessageRecord(
    producer.views,
    offset,
    route,
    0,
    0,
    0,
    sequence,
    payload,
    0,
    0,
    payload,
    0,
    payload.length,
  )
  producer.commit(size)
  return true
}

test('whatever the interleaving, the consumer sees every record once, whole and in order', () => {
  for (let seed = 1; seed <= 20; seed++) {
    const prng = new Prng(seed)
    const memory = createRing(1 << 16)
    const producer = new RingProducer(memory)
    const consumer = new RingConsumer(memory)
    const route = new MessageRoute()
    let written = 0
    let read = 0
    while (read < 3000) {
      if (prng.unit() < 0.5) {
        const payload = new Uint8Array(prng.between(0, prng.unit() < 0.05 ? 16_000 : 200)).fill(
          written & 0xff,
        )
        if (publish(producer, route, payload, written)) written++
        if (prng.unit() < 0.5) producer.publish()
      } else {
        for (;;) {
          const start = consumer.offset()
          const size = consumer.take(prng.between(8, 40_000))
          if (size === 0) break
          for (let at = start; at < start + size; ) {
            const recordSize = consumer.views.u32[at >>> 2]
            if (consumer.views.bytes[at + 4] !== RecordKind.PAD) {
              expect(consumer.views.f64[(at >>> 3) + 4], `seed ${seed}`).toBe(read)
              for (let i = at + 40; i < at + recordSize; i++) {
                if (consumer.views.bytes[i] !== (read & 0xff))
                  throw new Error(`seed ${seed}: record ${read} is torn`)
              }
              read++
            }
            at += alignRecord(recordSize)
          }
          if (prng.unit() < 0.7) consumer.release(consumer.position)
        }
        if (prng.unit() < 0.3) consumer.release(consumer.position)
      }
    }
    expect(read).toBeLessThanOrEqual(written)
  }
})

test('a full ring refuses, and takes records again once space is released', () => {
  const memory = createRing(1 << 16)
  const producer = new RingProducer(memory)
  const consumer = new RingConsumer(memory)
  const payload = new Uint8Array(1000)
  let count = 0
  while (publish(producer, new MessageRoute(), payload, count)) count++
  producer.publish()
  expect(count).toBe(Math.floor((1 << 16) / 1040))
  while (consumer.take(1 << 20) > 0);
  expect(publish(producer, new MessageRoute(), payload, count)).toBe(false)
  consumer.release(consumer.position)
  expect(publish(producer, new MessageRoute(), payload, count)).toBe(true)
})

test('positions that wrap at 2^32 still compare', () => {
  expect(isReached(0x7fffffff, 0x7ffffff0)).toBe(true)
  expect(isReached(-0x7ffffff0, 0x7ffffff0)).toBe(true)
  expect(isReached(0x7ffffff0, -0x7ffffff0)).toBe(false)
})

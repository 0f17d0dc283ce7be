import { describe, expect, test } from 'vitest'
import { Prng } from '../../base/prng.ts'
import { PacketType } from '../../codecs/mqtt/packet.ts'
import { AckQueue, answerOf, NO_ANSWER, NO_LANE } from './ack-queue.ts'
import { DeliveryOutcome, Message } from './delivery.ts'
import { Fifo } from './fifo.ts'
import { Awaited, Outbox } from './outbox.ts'
import { ReceivedIds } from './received-ids.ts'
import { TopicRoute, TopicRouter } from './topic-router.ts'
import { isOriginAllowed } from './web-origin.ts'

const SEED = Number(process.env.SEED ?? 11)

test('a Fifo is an array, only cheaper', () => {
  const random = new Prng(SEED)
  const fifo = new Fifo<number>()
  const array: number[] = []
  for (let step = 0; step < 50_000; step++) {
    // Long runs, so that the queue grows over its bound for moving and comes back to nothing.
    if (random.between(0, 9) < (step % 10_000 < 5000 ? 7 : 3)) {
      fifo.push(step)
      array.push(step)
    } else {
      expect(fifo.peek()).toBe(array[0])
      expect(fifo.shift()).toBe(array.shift())
    }
    expect(fifo.count).toBe(array.length)
  }
})

describe('AckQueue', () => {
  const kinds = [PacketType.PUBACK, PacketType.PUBREC, PacketType.PUBCOMP]

  test('gives out what an array would, in pieces of any size', () => {
    const random = new Prng(SEED)
    const queue = new AckQueue()
    const model: { end: number; lane: number; bytes: number[]; isMessage: boolean; isReturning: boolean }[] =
      []
    const durable = Int32Array.of(0x7fffff00, -5, 0) // the first two wrap on the way
    const ends = [...durable]
    let packetId = 0
    for (let step = 0; step < 3000; step++) {
      for (let i = random.between(0, 20); i > 0; i--) {
        const lane = [0, 1, 2, NO_LANE][random.between(0, 3)]
        if (lane !== NO_LANE) ends[lane] = (ends[lane] + random.between(8, 500)) | 0
        packetId = (packetId % 65_535) + 1
        const end = lane === NO_LANE ? 0 : ends[lane]
        const type = kinds[random.between(0, 2)]
        const reason = random.between(0, 4) === 0 ? 0x90 + random.between(0, 3) : 0
        const isSilent = random.between(0, 9) === 0
        queue.push(end, isSilent ? NO_ANSWER : answerOf(type, packetId, reason), lane, step)
        const body = [packetId >> 8, packetId & 255, ...(reason === 0 ? [] : [reason])]
        model.push({
          end,
          lane,
          bytes: isSilent ? [] : [type << 4, body.length, ...body],
          isMessage: !isSilent && type !== PacketType.PUBCOMP && reason === 0,
          isReturning: !isSilent && type !== PacketType.PUBREC && reason === 0,
        })
      }
      expect(queue.returningCount, `SEED=${SEED}`).toBe(model.filter(({ isReturning }) => isReturning).length)
      const moved = random.between(0, 2)
      const gap = (ends[moved] - durable[moved]) | 0
      durable[moved] = (durable[moved] + random.between(0, gap)) | 0
      const out = new Uint8Array(random.between(1, 30) * 5)
      let recorded = 0
      const size = queue.take(durable, out, { record: (_, count) => (recorded += count) })
      const expected: number[] = []
      let messages = 0
      for (let taken = 0; taken < out.length / 5 && model.length > 0; taken++) {
        const { end, lane, bytes, isMessage } = model[0]
        if (lane !== NO_LANE && ((durable[lane] - end) | 0) < 0) break
        expected.push(...bytes)
        if (isMessage) messages++
        model.shift()
      }
      expect([...out.subarray(0, size)], `SEED=${SEED}`).toEqual(expected)
      expect(recorded).toBe(messages)
      expect(queue.count).toBe(model.length)
    }
  })
})

test('ReceivedIds is a map, only smaller', () => {
  const random = new Prng(SEED)
  const ids = new ReceivedIds()
  const model = new Map<number, number>()
  for (let step = 0; step < 100_000; step++) {
    const id = random.between(0, 1) === 0 ? random.between(1, 40) : random.between(1, 65_535)
    if (random.between(0, 2) === 0) {
      ids.delete(id)
      model.delete(id)
    } else {
      const lane = [0, 1, NO_LANE][random.between(0, 2)]
      ids.add(id, lane)
      model.set(id, lane)
    }
    const asked = random.between(1, 65_535)
    for (const packetId of [id, asked]) {
      expect(ids.laneOf(packetId)).toBe(model.get(packetId) ?? -1)
      expect(ids.has(packetId)).toBe(model.has(packetId))
    }
    expect(ids.count).toBe(model.size)
  }
})

describe('Outbox', () => {
  function messageOf(payload: string, qos: number): Message {
    const message = new Message()
    message.topic = Buffer.from('t')
    message.topicEnd = 1
    message.bytes = Buffer.from(payload)
    message.payloadEnd = payload.length
    message.qos = qos
    return message
  }

  test('keeps order, window and bounds, whatever comes and goes', () => {
    const random = new Prng(SEED)
    const bounds = { countMax: 40, sizeBytesMax: 20_000, windowMax: 5, packetSizeBytesMax: 0 }
    const outbox = new Outbox(4, bounds)
    const delivery = { qos: 1, isRetainKept: false, identifiers: [] } as unknown as Parameters<
      Outbox['push']
    >[1]
    const model: { payload: string; qos: number }[] = []
    const unacknowledged: number[] = []
    for (let step = 0; step < 20_000; step++) {
      const action = random.between(0, 3)
      if (action < 2) {
        const qos = random.between(0, 1)
        const payload = `${step}:`.padEnd(random.between(0, 40) ** 2, 'x')
        const size = 5 + payload.length + qos * 2 + (5 + payload.length > 127 ? 1 : 0)
        const isTaken = outbox.push(messageOf(payload, qos), delivery, 0) === DeliveryOutcome.QUEUED
        const hasRoom = model.length < bounds.countMax && outbox.sizeBytes <= bounds.sizeBytesMax
        if (isTaken) model.push({ payload, qos })
        else
          expect(model.length === bounds.countMax || outbox.sizeBytes + size > bounds.sizeBytesMax - 2).toBe(
            true,
          )
        expect(hasRoom || !isTaken).toBe(true)
      } else if (action === 2) {
        let run = outbox.takeRun(0) ?? new Uint8Array(0)
        while (run.length > 0) {
          const { payload, qos } = model.shift()!
          const bodyAt = run[1] < 128 ? 2 : 3
          const bodySize = run[1] < 128 ? run[1] : (run[1] & 127) + run[2] * 128
          expect(run[0], `SEED=${SEED}`).toBe(0x30 | (qos << 1))
          if (qos === 1) unacknowledged.push((run[bodyAt + 3] << 8) | run[bodyAt + 4])
          const got = Buffer.from(run.subarray(bodyAt + 3 + qos * 2, bodyAt + bodySize)).toString()
          expect(got).toBe(payload)
          run = run.subarray(bodyAt + bodySize)
        }
        expect(new Set(unacknowledged).size).toBe(unacknowledged.length)
        expect(unacknowledged.length).toBeLessThanOrEqual(bounds.windowMax)
        if (model.length > 0 && unacknowledged.length < bounds.windowMax)
          expect(outbox.count).toBe(model.length)
      } else if (unacknowledged.length > 0) {
        const [packetId] = unacknowledged.splice(random.between(0, unacknowledged.length - 1), 1)
        outbox.answered(packetId, Awaited.NOTHING)
      }
      expect(outbox.count).toBe(model.length)
    }
  })
})

describe('TopicRouter', () => {
  const streams = [
    { name: 'a', topic: 'devices/{device}/telemetry' },
    { name: 'b', topic: 'plants/+/{device}' },
    { name: 'c', topic: '{device}' },
    { name: 'd', topic: 'sites/{plant}/{device}/{metric}' },
  ]

  test.each([
    ['devices/x/telemetry', 0, 'x'],
    ['devices/é/telemetry', 0, 'é'],
    ['plants//x', 1, 'x'],
    ['plants/1/x', 1, 'x'],
    ['x', 2, 'x'],
    ['devices', 2, 'devices'],
    [`devices/${'d'.repeat(128)}/telemetry`, 0, 'd'.repeat(128)],
    [`devices/${'d'.repeat(129)}/telemetry`, -1, ''],
    ['devices//telemetry', -1, ''],
    ['sites/north/x/temperature', 3, 'x'],
    ['sites//x/', 3, 'x'],
    ['sites/north/x', -1, ''],
    ['sites/north/x/a/b', -1, ''],
    ['devices/x/telemetry/', -1, ''],
    ['devices/x/telemetr', -1, ''],
    ['devices/x/telemetryy', -1, ''],
    ['plants/1/x/y', -1, ''],
    ['plants/1/', -1, ''],
    ['/x', -1, ''],
    ['device/x/telemetry', -1, ''],
  ])('%s goes to stream %i, device %j', (topic, stream, device) => {
    const bytes = Buffer.from(`noise${topic}noise`)
    const route = new TopicRoute()
    route.setTopic(bytes, 5, bytes.length - 5)
    new TopicRouter(streams, 3).resolve(route)
    expect(route.isMatched ? route.stream : -1).toBe(stream)
    if (stream < 0) return
    const start = route.deviceStart
    expect(Buffer.from(route.topic.slice(start, start + route.deviceSize)).toString()).toBe(device)
    expect(route.shard).toBe(route.deviceHash % 3)
  })

  test('makes the topic of a device that came without one', () => {
    const router = new TopicRouter(streams, 1)
    const topicOf = (stream: number, device: string): string | null => {
      const route = router.routeOf(stream, device)
      return route === null ? null : Buffer.from(route.topic.slice(0, route.topicSize)).toString()
    }
    expect(topicOf(0, 'x')).toBe('devices/x/telemetry')
    expect(topicOf(1, 'x')).toBe('plants/-/x')
    expect(topicOf(3, 'x')).toBe('sites/-/x/-')
    for (const device of ['', 'a/b', '+', '#', 'a\u0000', 'd'.repeat(129)])
      expect(topicOf(0, device)).toBe(null)
  })
})

test.each([
  ['', '127.0.0.1:8083', true],
  ['http://127.0.0.1:8080', '127.0.0.1:8083', true],
  ['http://localhost:8080', 'localhost:8083', true],
  ['http://[::1]:8080', '[::1]:8083', true],
  ['http://192.168.1.5', '192.168.1.5:8083', true],
  ['http://localhost', '127.0.0.1:8083', false],
  ['https://elsewhere.example', '127.0.0.1:8083', false],
  ['https://rebound.example', 'rebound.example:8083', false],
  ['null', '127.0.0.1:8083', false],
  ['http://127.0.0.1:8080', '', false],
])('Origin %j for Host %j: %s', (origin, host, isAllowed) => {
  expect(isOriginAllowed(origin, host)).toBe(isAllowed)
})

import { describe, expect, test } from 'vitest'
import { hashBytes } from '../../base/hash.ts'
import { Prng } from '../../base/prng.ts'
import {
  connectPacket,
  encode,
  type Harness,
  type MemoryClient,
  makeHarness,
  publishPacket,
} from './gateway-harness.ts'

const SEED = Number(process.env.SEED ?? 20261)
const TOPIC = 'devices/a/telemetry'

function packetIds(client: MemoryClient): number[] {
  return client
    .received()
    .filter(({ cmd }) => cmd === 'puback')
    .map(({ messageId }) => messageId ?? 0)
}

/** A stream of random PUBLISHes, with pings between; payloads up to 3 KB and now and then one of 40 KB. */
function randomStream(random: Prng, version: 4 | 5, count: number): Buffer {
  const packets = Array.from({ length: count }, (_, i) => {
    if (random.between(0, 19) === 0) return { cmd: 'pingreq' as const }
    const size = random.between(0, 29) === 0 ? 40_000 : random.between(0, 60) ** 2
    const topic = random.between(0, 9) === 0 ? 'other/topic' : `devices/${random.between(0, 9)}/telemetry`
    return publishPacket(topic, 'x'.repeat(size), random.between(0, 1) * ((i % 1000) + 1))
  })
  return encode(version, connectPacket({ version }), ...packets)
}

function takeAll(harness: Harness, bytes: Buffer, sizes: () => number): object {
  const client = harness.accept()
  for (let offset = 0; offset < bytes.length; ) {
    const size = Math.min(sizes(), bytes.length - offset)
    client.sendBytes(bytes.subarray(offset, offset + size), size % 3 === 0 ? 16 << 10 : 0)
    offset += size
    harness.sync()
  }
  const { messagesReceived, unmatched } = harness.gateway.status()
  const records = harness.shards.map(({ records }) => records.map((record) => ({ ...record, sequence: 0 })))
  return {
    records,
    messagesReceived,
    unmatched,
    answers: client.received().map(({ cmd, messageId }) => [cmd, messageId]),
  }
}

describe('bytes to records', () => {
  test.each([4, 5] as const)(
    'however the bytes arrive, the same records and answers (MQTT %i)',
    (version) => {
      const random = new Prng(SEED + version)
      const bytes = randomStream(random, version, 400)
      const whole = takeAll(makeHarness({ shards: 3, ringSizeBytes: 1 << 21 }), bytes, () => 65_536)
      for (let round = 0; round < 5; round++) {
        const sizeMax = random.between(2, 5000)
        const chunked = takeAll(makeHarness({ shards: 3, ringSizeBytes: 1 << 21 }), bytes, () =>
          random.between(1, sizeMax),
        )
        expect(sortAnswers(chunked), `SEED=${SEED}`).toEqual(sortAnswers(whole))
      }
    },
  )

  test('one byte at a time', () => {
    const bytes = encode(
      4,
      connectPacket(),
      publishPacket(TOPIC, 'x'.repeat(20_000), 1),
      publishPacket(TOPIC, 'y', 2),
    )
    const harness = makeHarness({ ringSizeBytes: 1 << 20 })
    takeAll(harness, bytes, () => 1)
    expect(harness.shards[0].records.map(({ payload }) => payload.length)).toEqual([20_000, 1])
  })

  test('a record carries the device, the client, the packet identifier and the time of its read', () => {
    const harness = makeHarness({ streams: [{ name: 'plants', topic: 'plants/+/{device}/data' }] })
    const client = harness.connect({ clientId: 'north' })
    harness.clock.advance(1234)
    client.send({ ...publishPacket('plants/7/pump-3/data', '{}', 77), dup: true } as ReturnType<
      typeof publishPacket
    >)
    harness.sync()
    expect(harness.shards[0].records).toEqual([
      {
        kind: 1,
        flags: 2 | 8,
        topic: 'plants/7/pump-3/data',
        device: 'pump-3',
        stream: 0,
        packetId: 77,
        arrivalMs: 1_700_000_001_234,
        clientHash: hashBytes(Buffer.from('north'), 0, 5),
        sequence: client.connection.number,
        payload: '{}',
      },
    ])
  })

  test('a topic alias stands for its topic', () => {
    const harness = makeHarness()
    const client = harness.connect({ version: 5 })
    for (const [topic, topicAlias] of [
      ['devices/a/telemetry', 1],
      ['devices/b/telemetry', 16],
      ['', 1],
      ['', 16],
      ['devices/c/telemetry', 1],
      ['', 1],
    ] as const) {
      client.send({ ...publishPacket(topic, 'x'), properties: { topicAlias } } as ReturnType<
        typeof publishPacket
      >)
    }
    harness.sync()
    expect(harness.shards[0].records.map(({ device }) => device)).toEqual(['a', 'b', 'a', 'b', 'c', 'c'])
  })

  test('a device is always on the same shard, and devices spread over the shards', () => {
    const harness = makeHarness({ shards: 4 })
    const client = harness.connect()
    for (let i = 0; i < 200; i++) client.publish(`devices/${i % 50}/telemetry`, '1')
    harness.sync()
    const devices = harness.shards.map(({ records }) => new Set(records.map(({ device }) => device)))
    expect(devices.reduce((sum, { size }) => sum + size, 0)).toBe(50)
    expect(Math.min(...devices.map(({ size }) => size))).toBeGreaterThan(4)
  })
})

/** PUBACKs and PINGRESPs may pass each other, each kind keeps its order. */
function sortAnswers(result: object): object {
  const { answers, ...rest } = result as { answers: [string, number][] }
  const of = (cmd: string): unknown => answers.filter(([name]) => name === cmd)
  return { ...rest, pubacks: of('puback'), pings: of('pingresp') }
}

describe('acknowledgements', () => {
  test('leave in the order of the PUBLISHes, whatever the order in which shards become durable', () => {
    const random = new Prng(SEED)
    for (let round = 0; round < 20; round++) {
      const harness = makeHarness({ shards: 4 })
      const clients = [harness.connect({ clientId: 'a' }), harness.connect({ clientId: 'b' })]
      const sent: number[][] = [[], []]
      const got: number[][] = [[], []]
      for (let step = 0; step < 60; step++) {
        const which = random.between(0, 1)
        const packets = Array.from({ length: random.between(1, 8) }, () => {
          const id = sent[which].push(sent[which].length + 1)
          const topic =
            random.between(0, 5) === 0 ? 'no/stream' : `devices/${random.between(0, 30)}/telemetry`
          return publishPacket(topic, 'x', id)
        })
        clients[which].send(...packets)
        const shard = harness.shards[random.between(0, 3)]
        shard.take()
        shard.release(random.between(0, shard.unreleased))
        harness.gateway.step()
        for (const i of [0, 1]) got[i].push(...packetIds(clients[i]))
        for (const i of [0, 1]) expect(got[i], `SEED=${SEED}`).toEqual(sent[i].slice(0, got[i].length))
      }
      harness.sync()
      for (const i of [0, 1]) got[i].push(...packetIds(clients[i]))
      expect(got, `SEED=${SEED}`).toEqual(sent)
    }
  })

  test('never leave before the sync, and leave in one write', () => {
    const harness = makeHarness()
    const client = harness.connect()
    client.send(...Array.from({ length: 50 }, (_, i) => publishPacket(TOPIC, '{}', i + 1)))
    harness.shards[0].take()
    harness.gateway.step()
    expect(client.received()).toEqual([])
    const { writeCount } = client.transport
    harness.shards[0].release()
    harness.gateway.step()
    expect(packetIds(client).length).toBe(50)
    expect(client.transport.writeCount - writeCount).toBe(1)
    expect(harness.gateway.status().acknowledged).toBe(50)
  })

  test('wait in the queue while the client does not read, and none is lost', () => {
    const harness = makeHarness()
    const client = harness.connect()
    client.transport.isStuck = true
    client.send({ cmd: 'pingreq' }) // its answer stays in the socket
    for (let i = 1; i <= 100; i++) client.publish(TOPIC, '{}', i)
    harness.sync()
    expect(client.transport.writeCount).toBe(2)
    client.transport.unstick()
    client.connection.drained()
    expect(packetIds(client)).toEqual(Array.from({ length: 100 }, (_, i) => i + 1))
  })

  test('a topic that no stream takes is acknowledged in its turn and counted', () => {
    const harness = makeHarness()
    const client = harness.connect()
    client.publish('no/stream', 'x', 1)
    expect(packetIds(client)).toEqual([1])
    client.send(publishPacket(TOPIC, 'x', 2), publishPacket('no/stream', 'x', 3))
    expect(packetIds(client)).toEqual([])
    harness.sync()
    expect(packetIds(client)).toEqual([2, 3])
    expect(harness.gateway.status().unmatched).toBe(2)
  })

  test('3.1.1: beyond the bound the socket is not read until some have left', () => {
    const harness = makeHarness({ limits: { receiveMaximum: 10 } })
    const client = harness.connect()
    client.send(...Array.from({ length: 35 }, (_, i) => publishPacket(TOPIC, '{}', i + 1)))
    expect(client.transport.isPaused).toBe(true)
    expect(harness.gateway.status().pausedConnections).toBe(1)
    harness.shards[0].take()
    expect(harness.shards[0].records.length).toBe(10)
    harness.sync()
    expect(packetIds(client)).toEqual(Array.from({ length: 35 }, (_, i) => i + 1))
    expect(client.transport.isPaused).toBe(false)
    expect(harness.gateway.status().pausedConnections).toBe(0)
  })
})

test('3.1.1: messages that need no sync do not wait for one when there are more than the bound', () => {
  const harness = makeHarness({ limits: { receiveMaximum: 10 } })
  const client = harness.connect()
  client.send(...Array.from({ length: 35 }, (_, i) => publishPacket('no/stream', 'x', i + 1)))
  expect(packetIds(client)).toEqual(Array.from({ length: 35 }, (_, i) => i + 1))
  expect(client.transport.isPaused).toBe(false)
})

describe('a full ring', () => {
  test('pauses those who write to it and loses nothing', () => {
    const random = new Prng(SEED)
    const harness = makeHarness({ shards: 2, limits: { receiveMaximum: 20_000 } })
    const clients = Array.from({ length: 5 }, (_, i) => harness.connect({ clientId: `c${i}` }))
    const sent = clients.map(() => 0)
    const got: number[][] = clients.map(() => [])
    let pausedMax = 0
    for (let step = 0; step < 300; step++) {
      const which = random.between(0, 4)
      const client = clients[which]
      if (!client.transport.isPaused) {
        const packets = Array.from({ length: random.between(1, 20) }, () => {
          const payload = 'p'.repeat(random.between(0, 1500))
          return publishPacket(`devices/${random.between(0, 9)}/telemetry`, payload, ++sent[which])
        })
        client.send(...packets)
      }
      if (random.between(0, 9) === 0) {
        const shard = harness.shards[random.between(0, 1)]
        shard.take()
        shard.release(random.between(0, shard.unreleased))
        harness.gateway.step()
      }
      for (const [i, other] of clients.entries()) got[i].push(...packetIds(other))
      pausedMax = Math.max(pausedMax, harness.gateway.context.counters.pausedConnections)
    }
    expect(pausedMax, `SEED=${SEED}`).toBeGreaterThan(0)
    harness.sync()
    for (const [i, client] of clients.entries()) {
      got[i].push(...packetIds(client))
      expect(got[i], `SEED=${SEED}`).toEqual(Array.from({ length: sent[i] }, (_, n) => n + 1))
      expect(client.transport.isPaused).toBe(false)
    }
    const records = harness.shards.flatMap((shard) => shard.records)
    expect(records.length).toBe(sent.reduce((sum, count) => sum + count))
    expect(harness.gateway.status().pausedConnections).toBe(0)
  })

  test('goes to those who waited first', () => {
    const harness = makeHarness({ limits: { receiveMaximum: 20_000 } })
    const clients = ['a', 'b', 'c'].map((clientId) => harness.connect({ clientId }))
    const fill = 'x'.repeat(9000)
    for (let i = 0; i < 7; i++) clients[0].publish(TOPIC, fill, i + 1)
    clients[0].publish(TOPIC, fill, 8) // 64 KiB are full
    clients[1].publish(TOPIC, 'b', 1)
    clients[2].publish(TOPIC, 'c', 1)
    expect(clients.map(({ transport }) => transport.isPaused)).toEqual([true, true, true])
    harness.sync()
    expect(harness.shards[0].records.slice(7).map(({ payload }) => payload[0])).toEqual(['x', 'b', 'c'])
  })

  test('for longer than a second turns new clients away, and keep-alive waits', () => {
    const harness = makeHarness()
    const client = harness.connect({ keepalive: 1 })
    const fill = 'x'.repeat(9000)
    for (let i = 0; i < 8; i++) client.publish(TOPIC, fill)
    expect(client.transport.isPaused).toBe(true)
    expect(harness.connect({ clientId: 'early' }).transport.isClosed).toBe(false)
    harness.pass(10)
    expect(client.transport.isClosed).toBe(false)
    for (const version of [4, 5] as const) {
      const late = harness.accept()
      late.sendBytes(encode(version, connectPacket({ version, clientId: 'late' })))
      const [connack] = late.transport.packets(version)
      expect(connack).toMatchObject(version === 5 ? { reasonCode: 0x89 } : { returnCode: 3 })
      expect(late.transport.isClosed).toBe(true)
    }
    harness.sync()
    expect(client.transport.isPaused).toBe(false)
    harness.connect({ clientId: 'late' })
    expect(harness.gateway.status().disconnectsByReason).toEqual({ 'server-busy': 2 })
  })

  test('a connection that closes while it waits is forgotten', () => {
    const harness = makeHarness()
    const [first, second] = ['a', 'b'].map((clientId) => harness.connect({ clientId }))
    const fill = 'x'.repeat(9000)
    for (let i = 0; i < 8; i++) first.publish(TOPIC, fill)
    second.publish(TOPIC, 'kept')
    first.connection.closed()
    harness.sync()
    expect(harness.shards[0].records.length).toBe(8)
    expect(harness.gateway.status().pausedConnections).toBe(0)
  })
})

describe('a drain', () => {
  test('acknowledges what was taken, takes nothing more, and says so', () => {
    const harness = makeHarness()
    const [old, modern] = [harness.connect({ clientId: 'a' }), harness.connect({ version: 5, clientId: 'b' })]
    old.publish(TOPIC, '1', 1)
    modern.publish(TOPIC, '2', 1)
    harness.gateway.beginDrain()
    old.publish(TOPIC, '3', 2)
    expect(harness.gateway.isDrained).toBe(false)
    expect(harness.gateway.accept(old.transport)).toBe(null)
    harness.sync()
    expect(harness.gateway.isDrained).toBe(true)
    harness.gateway.endAll()
    expect(packetIds(old)).toEqual([1])
    expect(modern.received()).toMatchObject([{ cmd: 'puback' }, { cmd: 'disconnect', reasonCode: 0x8b }])
    expect(old.transport.isClosed && modern.transport.isClosed).toBe(true)
    expect(harness.shards[0].records.length).toBe(2)
  })
})

import type { Packet } from 'mqtt-packet'
import { describe, expect, test } from 'vitest'
import { Prng } from '../../base/prng.ts'
import { RecordFlag, RecordKind } from '../../codecs/journal/record.ts'
import { type MemoryClient, makeHarness, publishPacket } from './gateway-harness.ts'

const SEED = Number(process.env.SEED ?? 5)
const TOPIC = 'devices/a/telemetry'

function exactlyOnce(topic: string, payload: string, messageId: number, dup = false): Packet {
  return { cmd: 'publish', topic, payload, qos: 2, messageId, dup, retain: false }
}

function pubrel(messageId: number): Packet {
  return { cmd: 'pubrel', messageId }
}

/** `pubrec 5`, or `pubrec 5 0x91`. */
function answers(client: MemoryClient): string[] {
  return client.received().map((packet) => {
    const {
      cmd,
      messageId,
      reasonCode = 0,
    } = packet as { cmd: string; messageId?: number; reasonCode?: number }
    return `${cmd} ${messageId}${reasonCode === 0 ? '' : ` 0x${reasonCode.toString(16)}`}`
  })
}

describe.each([4, 5] as const)('QoS 2 from a client (protocol level %i)', (version) => {
  test('PUBREC waits for the message, PUBCOMP for the release, in the shard that has the message', () => {
    const harness = makeHarness({ shards: 2 })
    const client = harness.connect({ version })
    client.send(exactlyOnce(TOPIC, 'once', 7))
    expect(answers(client)).toEqual([])
    harness.sync()
    expect(answers(client)).toEqual(['pubrec 7'])
    client.send(pubrel(7))
    harness.gateway.step()
    expect(answers(client)).toEqual([])
    harness.sync()
    expect(answers(client)).toEqual(['pubcomp 7'])
    const records = harness.shards.flatMap((shard) => shard.records)
    expect(records).toMatchObject([
      { kind: RecordKind.MQTT_PUBLISH, flags: RecordFlag.QOS_2, packetId: 7, payload: 'once' },
      { kind: RecordKind.MQTT_PUBREL, flags: 0, packetId: 7, topic: '', payload: '' },
    ])
    expect(records[1].clientHash).toBe(records[0].clientHash)
    expect(records[1].sequence).toBe(records[0].sequence)
    expect(harness.shards.filter((shard) => shard.records.length > 0)).toHaveLength(1)
    expect(harness.gateway.status()).toMatchObject({ messagesReceived: [0, 0, 1], acknowledged: 1 })
  })

  test('what is sent again before its release is answered and neither stored nor delivered again', () => {
    const harness = makeHarness()
    const listener = harness.connect({ clientId: 'listener' })
    listener.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: '#', qos: 0 }] })
    listener.received()
    const client = harness.connect({ version })
    client.send(exactlyOnce(TOPIC, 'one', 1), exactlyOnce(TOPIC, 'one', 1, true))
    harness.sync()
    client.send(exactlyOnce(TOPIC, 'one', 1, true), pubrel(1), pubrel(1), exactlyOnce(TOPIC, 'two', 1))
    harness.sync()
    const unknown = version === 5 ? 'pubcomp 1 0x92' : 'pubcomp 1'
    expect(answers(client)).toEqual(['pubrec 1', 'pubrec 1', 'pubrec 1', 'pubcomp 1', unknown, 'pubrec 1'])
    const published = harness.shards[0].records.filter(({ kind }) => kind === RecordKind.MQTT_PUBLISH)
    expect(published.map(({ payload }) => payload)).toEqual(['one', 'two'])
    expect(listener.received().map((packet) => `${(packet as { payload: Buffer }).payload}`)).toEqual([
      'one',
      'two',
    ])
  })

  test('a message that no stream takes goes through the same steps', () => {
    const harness = makeHarness()
    const client = harness.connect({ version })
    client.send(exactlyOnce('elsewhere', 'x', 1), pubrel(1))
    harness.gateway.step()
    expect(answers(client)).toEqual(['pubrec 1', 'pubcomp 1'])
    expect(harness.gateway.status()).toMatchObject({ unmatched: 1, recordsWritten: 0 })
  })

  test('a PUBREL of an identifier that is not known reaches every shard before its PUBCOMP', () => {
    const harness = makeHarness({ shards: 3 })
    const client = harness.connect({ version })
    client.send(pubrel(9))
    for (const shard of harness.shards) {
      expect(answers(client)).toEqual([])
      shard.take()
      expect(shard.records).toMatchObject([{ kind: RecordKind.MQTT_PUBREL, packetId: 9 }])
      shard.release()
      harness.gateway.step()
    }
    expect(answers(client)).toEqual([version === 5 ? 'pubcomp 9 0x92' : 'pubcomp 9'])
  })

  test('with a full ring a PUBREL waits in its turn, and what follows it', () => {
    const harness = makeHarness({ ringSizeBytes: 1 << 16 })
    const client = harness.connect({ version })
    client.send(exactlyOnce(TOPIC, 'x', 1))
    harness.sync()
    const other = harness.connect({ clientId: 'other' })
    for (let i = 0; i < 6; i++) other.send(publishPacket(TOPIC, 'y'.repeat(12_000)))
    client.send(pubrel(1), publishPacket(TOPIC, 'z', 2))
    expect([other, client].map(({ transport }) => transport.isPaused)).toEqual([true, true])
    harness.sync()
    expect(answers(client)).toEqual(['pubrec 1', 'pubcomp 1', 'puback 2'])
    expect(harness.shards[0].records.map(({ payload }) => payload[0])).toEqual([...'xyyyyyy', undefined, 'z'])
  })

  test('PUBACKs and PUBRECs leave in the order of the PUBLISHes, whatever becomes durable first', () => {
    const random = new Prng(SEED)
    const harness = makeHarness({ shards: 3, limits: { receiveMaximum: 200 } })
    const client = harness.connect({ version })
    const expected: string[] = []
    const got: string[] = []
    let unreleased: number[] = []
    let nextId = 1
    for (let round = 0; round < 200; round++) {
      for (let i = random.between(0, 8); i > 0; i--) {
        const id = nextId++
        const qos = random.between(1, 2) as 1 | 2
        client.send({ ...exactlyOnce(`devices/${random.between(0, 9)}/telemetry`, 'x', id), qos } as Packet)
        expected.push(qos === 1 ? `puback ${id}` : `pubrec ${id}`)
        if (qos === 2) unreleased.push(id)
      }
      for (const shard of harness.shards) {
        shard.take()
        shard.release(random.between(0, shard.unreleased))
      }
      harness.gateway.step()
      const now = answers(client)
      got.push(...now)
      const recorded = new Set(now)
      const released = unreleased.filter((id) => recorded.has(`pubrec ${id}`))
      for (const id of released) {
        client.send(pubrel(id))
        expected.push(`pubcomp ${id}`)
      }
      unreleased = unreleased.filter((id) => !released.includes(id))
    }
    harness.sync()
    got.push(...answers(client))
    expect(got, `SEED=${SEED}`).toEqual(expected.slice(0, got.length))
    expect(got.length).toBeGreaterThan(expected.length - 50)
  })
})

describe('the receive maximum', () => {
  const limits = { receiveMaximum: 4 }

  test('MQTT 5: counts QoS 1 until PUBACK and QoS 2 until PUBCOMP', () => {
    const harness = makeHarness({ limits })
    const client = harness.connect({ version: 5 })
    client.send(exactlyOnce(TOPIC, 'a', 1), exactlyOnce(TOPIC, 'b', 2), publishPacket(TOPIC, 'c', 3))
    harness.sync()
    client.send(pubrel(1)) // in flight until its PUBCOMP: 1, 2
    client.send(publishPacket(TOPIC, 'd', 4), publishPacket(TOPIC, 'e', 5))
    expect(client.transport.isClosed).toBe(false)
    harness.sync() // in flight: 2
    for (const id of [6, 7, 8]) client.send(exactlyOnce(TOPIC, 'f', id))
    harness.sync()
    expect(client.transport.isClosed).toBe(false)
    client.received()
    client.send(exactlyOnce(TOPIC, 'f', 8, true)) // no other message
    client.send(publishPacket(TOPIC, 'one too many', 9))
    expect(client.received()).toMatchObject([{ cmd: 'pubrec' }, { cmd: 'disconnect', reasonCode: 0x93 }])
  })

  test('MQTT 5: an identifier in use is refused, and is free then', () => {
    const harness = makeHarness({ limits })
    const client = harness.connect({ version: 5 })
    client.send(exactlyOnce(TOPIC, 'a', 1), publishPacket(TOPIC, 'b', 1), exactlyOnce(TOPIC, 'c', 1))
    client.send(exactlyOnce(TOPIC, 'd', 1))
    harness.sync()
    expect(answers(client)).toEqual(['pubrec 1', 'puback 1 0x91', 'pubrec 1 0x91', 'pubrec 1'])
    expect(harness.shards[0].records.map(({ payload }) => payload)).toEqual(['a', 'd'])
  })

  test('3.1.1: a client may leave as many unreleased as there are identifiers', () => {
    const harness = makeHarness({ limits, ringSizeBytes: 1 << 24 })
    const client = harness.connect()
    const ids = Array.from({ length: 65_535 }, (_, i) => i + 1)
    for (let i = 0; i < ids.length; i += 1000) {
      client.send(...ids.slice(i, i + 1000).map((id) => exactlyOnce(TOPIC, '{}', id)))
      harness.sync()
    }
    expect(answers(client)).toEqual(ids.map((id) => `pubrec ${id}`))
    client.send(...ids.slice(0, 100).map(pubrel))
    harness.sync()
    expect(answers(client)).toHaveLength(100)
  })

  test('PUBRELs of nothing are taken no faster than they become durable', () => {
    const harness = makeHarness({ limits })
    const client = harness.connect({ version: 5 })
    client.send(...Array.from({ length: 50 }, (_, i) => pubrel(i + 1)))
    expect(client.transport.isPaused).toBe(true)
    harness.shards[0].take()
    expect(harness.shards[0].records.length).toBeLessThan(10)
    harness.sync()
    expect(answers(client)).toHaveLength(50)
  })
})

import type { Packet } from 'mqtt-packet'
import { describe, expect, test } from 'vitest'
import { type MemoryClient, makeHarness, makePair, publishPacket } from './gateway-harness.ts'

const TOPIC = 'devices/a/telemetry'

interface SubscribeOptions {
  qos?: 0 | 1 | 2
  nl?: boolean
  rap?: boolean
  identifier?: number
}

function subscribePacket(topic: string, { qos = 1, nl, rap, identifier }: SubscribeOptions = {}): Packet {
  const subscriptions = [{ topic, qos, nl: nl ?? false, rap: rap ?? false, rh: 0 as const }]
  const properties = identifier === undefined ? undefined : { subscriptionIdentifier: identifier }
  return { cmd: 'subscribe', messageId: 9, subscriptions, properties }
}

function messages(
  client: MemoryClient,
): { topic: string; payload: string; qos: number; messageId?: number }[] {
  return client.received().flatMap((packet) => {
    if (packet.cmd !== 'publish') return []
    const { topic, payload, qos, messageId } = packet
    return [{ topic, payload: payload.toString(), qos, messageId }]
  })
}

describe('subscribing', () => {
  test.each([4, 5] as const)('answers each filter for itself (MQTT %i)', (version) => {
    const harness = makeHarness()
    const client = harness.connect({ version })
    const filters = ['a/#', '+/b', 'bad#', '$share/g/a', '#/a']
    const subscriptions = filters.map((topic, i) => ({ topic, qos: Math.min(i, 2) as 0 | 1 | 2 }))
    client.send({ cmd: 'subscribe', messageId: 3, subscriptions })
    const granted = version === 5 ? [0, 1, 0x8f, 2, 0x8f] : [0, 1, 0x80, 2, 0x80]
    harness.sync() // the shared one is the session thread's
    expect(client.received()).toMatchObject([{ cmd: 'suback', messageId: 3, granted }])
    client.send({ cmd: 'unsubscribe', messageId: 4, unsubscriptions: ['a/#', 'never', 'bad#'] })
    const [unsuback] = client.received()
    expect(unsuback).toMatchObject({ cmd: 'unsuback', messageId: 4 })
    if (version === 5) expect(unsuback).toMatchObject({ granted: [0, 0x11, 0x8f] })
  })

  test('brings messages at once, before they are durable, at the lower QoS', () => {
    const harness = makeHarness()
    const [publisher, low, high] = ['p', 'low', 'high'].map((clientId) => harness.connect({ clientId }))
    low.send(subscribePacket('devices/#', { qos: 0 }))
    high.send(subscribePacket('devices/+/telemetry', { qos: 2 }))
    low.received()
    high.received()
    publisher.send(
      publishPacket(TOPIC, 'one'),
      publishPacket(TOPIC, 'two', 5),
      publishPacket('no/one', 'three', 6),
    )
    expect(messages(low)).toMatchObject([
      { payload: 'one', qos: 0 },
      { payload: 'two', qos: 0 },
    ])
    expect(messages(high)).toMatchObject([
      { payload: 'one', qos: 0 },
      { payload: 'two', qos: 1, messageId: 1 },
    ])
    expect(publisher.received()).toEqual([])
    expect(harness.gateway.status().delivered).toBe(4)
  })

  test('with overlapping filters brings a message once, with the highest QoS and all identifiers', () => {
    const harness = makeHarness()
    const client = harness.connect({ version: 5 })
    client.send(subscribePacket('devices/#', { qos: 0, identifier: 7 }))
    client.send(subscribePacket(TOPIC, { qos: 1, identifier: 300 }))
    client.received()
    client.publish(TOPIC, 'x', 1)
    const [message, ...others] = client.received()
    expect(message).toMatchObject({ cmd: 'publish', qos: 1 })
    const identifiers = (message as { properties: { subscriptionIdentifier: number[] } }).properties
      .subscriptionIdentifier
    expect([...identifiers].sort((a, b) => a - b)).toEqual([7, 300])
    expect(others).toEqual([])
  })

  test('again with the same filter replaces the options; unsubscribing ends it', () => {
    const harness = makeHarness()
    const client = harness.connect()
    client.send(subscribePacket('#', { qos: 0 }))
    client.publish(TOPIC, '1', 1)
    client.send(subscribePacket('#', { qos: 1 }))
    client.publish(TOPIC, '2', 2)
    client.send({ cmd: 'unsubscribe', messageId: 4, unsubscriptions: ['#'] })
    client.publish(TOPIC, '3', 3)
    expect(messages(client).map(({ payload, qos }) => [payload, qos])).toEqual([
      ['1', 0],
      ['2', 1],
    ])
  })

  test('MQTT 5: no local, retain as published, and properties without the topic alias', () => {
    const harness = makeHarness()
    const client = harness.connect({ version: 5, clientId: 'a' })
    const old = harness.connect({ clientId: 'b' })
    client.send(subscribePacket('#', { nl: true, rap: true }))
    client.received()
    client.publish(TOPIC, 'own')
    expect(client.received()).toEqual([])
    old.send({ ...publishPacket('x', 'kept'), retain: true } as Packet)
    expect(client.received()).toMatchObject([{ retain: true }])
    const other = harness.connect({ version: 5, clientId: 'c' })
    const properties = {
      topicAlias: 3,
      contentType: 'text',
      messageExpiryInterval: 60,
      userProperties: { k: 'v' },
    }
    other.send({ ...publishPacket('x', 'y'), properties } as Packet)
    const [message] = client.received() as { properties: object }[]
    expect(message.properties).toEqual({
      contentType: 'text',
      messageExpiryInterval: 60,
      userProperties: { k: 'v' },
    })
  })

  test('MQTT 5: a message larger than the client takes is dropped, its receive maximum is kept to', () => {
    const harness = makeHarness()
    const client = harness.connect({
      version: 5,
      clientId: 'a',
      properties: { receiveMaximum: 2, maximumPacketSize: 200 },
    })
    const other = harness.connect({ clientId: 'b' })
    client.send(subscribePacket('#'))
    client.received()
    other.publish(TOPIC, 'x'.repeat(200), 1)
    for (let i = 0; i < 5; i++) other.publish(TOPIC, `${i}`, i + 2)
    const first = messages(client)
    expect(first.map(({ payload }) => payload)).toEqual(['0', '1'])
    client.send({ cmd: 'puback', messageId: first[0].messageId })
    const second = messages(client)
    expect(second.map(({ payload }) => payload)).toEqual(['2'])
    client.send(
      { cmd: 'puback', messageId: second[0].messageId },
      { cmd: 'puback', messageId: first[1].messageId },
    )
    expect(messages(client).map(({ payload }) => payload)).toEqual(['3', '4'])
    expect(harness.gateway.status().deliveryDropped).toEqual({ full: 0, tooLarge: 1, expired: 0 })
  })

  test('ends with the connection', () => {
    const harness = makeHarness()
    const client = harness.connect({ clientId: 'a' })
    client.send(subscribePacket('#'))
    client.connection.closed()
    harness.connect({ clientId: 'b' }).publish(TOPIC, 'x')
    expect(harness.gateway.status()).toMatchObject({ delivered: 0, deliveryDropped: { full: 0 } })
    expect(harness.gateway.context.exchange.hasSubscriptions).toBe(false)
  })
})

test('a subscriber to # that does not read holds up to its bounds, and ingest goes on', () => {
  const harness = makeHarness({
    limits: { subscriberQueueCountMax: 100, subscriberQueueSizeBytesMax: 50_000, receiveMaximum: 20_000 },
  })
  const slow = harness.connect({ clientId: 'slow' })
  const publisher = harness.connect({ clientId: 'publisher' })
  slow.send(subscribePacket('#', { qos: 0 }))
  slow.received()
  slow.transport.isStuck = true
  for (let i = 0; i < 2000; i++) {
    publisher.publish(TOPIC, `${i}`.padStart(1000), i + 1)
    harness.sync()
  }
  expect(publisher.received().length).toBe(2000)
  expect(slow.transport.bufferedBytes).toBeLessThan(2000)
  slow.transport.unstick()
  slow.connection.drained()
  const got = messages(slow).map(({ payload }) => Number(payload))
  expect(got.length).toBeGreaterThan(40)
  expect(got.length).toBeLessThan(60)
  expect(got).toEqual(got.toSorted((a, b) => a - b))
  const { delivered, deliveryDropped } = harness.gateway.status()
  expect(delivered).toBe(got.length)
  expect(delivered + deliveryDropped.full).toBe(2000)
  publisher.publish(TOPIC, 'after', 1)
  expect(messages(slow).map(({ payload }) => payload)).toEqual(['after'])
})

describe('two gateways', () => {
  test('deliver to each other, and a SUBACK waits until both know', () => {
    const { both, pump } = makePair()
    pump()
    const subscriber = both[0].connect({ clientId: 's', version: 5 })
    const publisher = both[1].connect({ clientId: 'p', version: 5 })
    subscriber.send(subscribePacket('devices/#', { qos: 1, identifier: 4 }))
    expect(subscriber.received()).toEqual([])
    pump()
    expect(subscriber.received()).toMatchObject([{ cmd: 'suback' }])
    const properties = { topicAlias: 1, contentType: 'c', messageExpiryInterval: 5 }
    publisher.send({ ...publishPacket(TOPIC, 'x', 3), properties } as Packet)
    publisher.send(publishPacket('other', 'y'))
    pump()
    expect(subscriber.received()).toMatchObject([
      {
        topic: TOPIC,
        qos: 1,
        payload: Buffer.from('x'),
        properties: { contentType: 'c', messageExpiryInterval: 5, subscriptionIdentifier: 4 },
      },
    ])
    subscriber.send({ cmd: 'unsubscribe', messageId: 4, unsubscriptions: ['devices/#'] })
    pump()
    publisher.publish(TOPIC, 'z')
    pump()
    expect(messages(subscriber)).toEqual([])
    expect(both[1].gateway.context.exchange.hasSubscriptions).toBe(false)
  })

  test('a gateway that starts later is told what there is', () => {
    const { both, pump } = makePair()
    const subscriber = both[0].connect({ clientId: 's' })
    subscriber.send(subscribePacket('#'))
    pump()
    both[1].gateway.context.exchange.peers[0].post({ kind: 'hello' }) // as it did when it started
    pump()
    both[1].connect({ clientId: 'p' }).publish(TOPIC, 'x')
    pump()
    expect(messages(subscriber).length).toBe(1)
  })

  test('messages beyond the ring between them are dropped and counted, in order otherwise', () => {
    const { both, pump } = makePair({ limits: { subscriberQueueCountMax: 10_000 } })
    const subscriber = both[0].connect({ clientId: 's' })
    subscriber.send(subscribePacket('#', { qos: 0 }))
    pump()
    subscriber.received()
    const publisher = both[1].connect({ clientId: 'p' })
    for (let i = 0; i < 100; i++) publisher.publish('x', `${i}`.padStart(1000))
    pump()
    const got = messages(subscriber).map(({ payload }) => Number(payload))
    expect(got).toEqual(got.map((_, i) => i))
    expect(got.length + both[1].gateway.status().deliveryDropped.full).toBe(100)
    expect(got.length).toBeGreaterThan(50)
    publisher.publish('x', 'after')
    pump()
    expect(messages(subscriber).map(({ payload }) => payload)).toEqual(['after'])
  })

  test.each([0, 1])('of one client identifier the later connection stays (first on gateway %i)', (first) => {
    const { both, pump } = makePair()
    const old = both[first].connect({ clientId: 'same', version: 5 })
    const other = both[first].connect({ clientId: 'other' })
    const young = both[1 - first].connect({ clientId: 'same', version: 5 })
    pump()
    expect(old.received()).toMatchObject([{ cmd: 'disconnect', reasonCode: 0x8e }])
    expect(young.transport.isClosed || other.transport.isClosed).toBe(false)
    expect(both[first].gateway.status().disconnectsByReason).toEqual({ 'session-taken-over': 1 })
  })

  test('also when both connect before either gateway hears of it, and on one gateway', () => {
    const { both, pump } = makePair()
    const clients = [0, 1, 1, 0].map((index) => both[index].connect({ clientId: 'same' }))
    pump()
    expect(clients.map(({ transport }) => transport.isClosed)).toEqual([true, true, true, false])
  })
})

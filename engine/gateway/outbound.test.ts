import type { Packet } from 'mqtt-packet'
import { describe, expect, test } from 'vitest'
import { Prng } from '../../base/prng.ts'
import { type Harness, type MemoryClient, makeHarness, makePair, publishPacket } from './gateway-harness.ts'

const SEED = Number(process.env.SEED ?? 12)

interface Received {
  cmd: string
  topic: string
  payload: Buffer
  qos: number
  dup: boolean
  messageId: number
  reasonCode?: number
  properties?: Record<string, unknown>
}

function received(client: MemoryClient): Received[] {
  return client.received() as unknown as Received[]
}

function payloads(client: MemoryClient): string[] {
  return received(client).flatMap(({ cmd, payload }) => (cmd === 'publish' ? [payload.toString()] : []))
}

function subscribe(client: MemoryClient, topic = '#', qos: 0 | 1 | 2 = 2): void {
  client.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic, qos, nl: true }] })
  client.received()
}

function message(topic: string, payload: string, messageId: number, properties = {}): Packet {
  const qos = messageId === 0 ? 0 : 2
  return { cmd: 'publish', topic, payload, qos, messageId, dup: false, retain: false, properties }
}

function pairOf(harness: Harness, version: 4 | 5, properties = {}): [MemoryClient, MemoryClient] {
  return [
    harness.connect({ clientId: 'subscriber', version, properties }),
    harness.connect({ clientId: 'publisher', version: 5 }),
  ]
}

describe.each([4, 5] as const)('QoS 2 to a subscriber (protocol level %i)', (version) => {
  test('takes PUBLISH, PUBREC, PUBREL and PUBCOMP, and grants what was asked for', () => {
    const harness = makeHarness()
    const [subscriber, publisher] = pairOf(harness, version)
    subscriber.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: '#', qos: 2 }] })
    expect(subscriber.received()).toMatchObject([{ cmd: 'suback', granted: [2] }])
    publisher.send(message('a', 'x', 5))
    expect(received(subscriber)).toMatchObject([{ cmd: 'publish', qos: 2, messageId: 1, dup: false }])
    subscriber.send({ cmd: 'pubrec', messageId: 1 }, { cmd: 'pubrec', messageId: 1 })
    expect(received(subscriber)).toMatchObject([
      { cmd: 'pubrel', messageId: 1 },
      { cmd: 'pubrel', messageId: 1 },
    ])
    subscriber.send({ cmd: 'pubcomp', messageId: 1 })
    publisher.send(message('a', 'y', 6))
    expect(received(subscriber)).toMatchObject([{ cmd: 'publish', messageId: 2 }])
  })

  test('PUBRELs go out in the order of the PUBRECs, in one write', () => {
    const harness = makeHarness()
    const [subscriber, publisher] = pairOf(harness, version)
    subscribe(subscriber)
    for (let i = 1; i <= 20; i++) publisher.send(message('a', `${i}`, i))
    const ids = received(subscriber).map(({ messageId }) => messageId)
    const { writeCount } = subscriber.transport
    subscriber.send(...ids.toReversed().map((messageId): Packet => ({ cmd: 'pubrec', messageId })))
    expect(subscriber.transport.writeCount).toBe(writeCount + 1)
    expect(received(subscriber).map(({ messageId }) => messageId)).toEqual(ids.toReversed())
  })

  test('what a PUBREC is not about is released all the same; answers to other steps are refused', () => {
    const harness = makeHarness()
    const [subscriber, publisher] = pairOf(harness, version)
    subscribe(subscriber)
    subscriber.send(
      { cmd: 'pubrec', messageId: 77 },
      { cmd: 'pubcomp', messageId: 78 },
      { cmd: 'puback', messageId: 79 },
    )
    expect(received(subscriber)).toMatchObject([
      { cmd: 'pubrel', messageId: 77, ...(version === 5 ? { reasonCode: 0x92 } : {}) },
    ])
    publisher.send(message('a', 'x', 5))
    subscriber.received()
    subscriber.send({ cmd: 'puback', messageId: 1 })
    expect(subscriber.transport.isClosed).toBe(true)
    expect(harness.gateway.status().disconnectsByReason).toEqual({ 'protocol-error': 1 })
  })
})

test('MQTT 5: the window counts QoS 1 until PUBACK and QoS 2 until PUBCOMP, or a PUBREC that says no', () => {
  const harness = makeHarness()
  const [subscriber, publisher] = pairOf(harness, 5, { receiveMaximum: 2 })
  subscribe(subscriber)
  publisher.send(message('a', '1', 1), publishPacket('a', '2', 2), message('a', '3', 3), message('a', '4', 4))
  publisher.send(message('a', '5', 5), message('a', 'free', 0))
  expect(payloads(subscriber)).toEqual(['1', '2'])
  subscriber.send({ cmd: 'pubrec', messageId: 1 })
  expect(payloads(subscriber)).toEqual([])
  subscriber.send({ cmd: 'pubcomp', messageId: 1 })
  expect(payloads(subscriber)).toEqual(['3'])
  subscriber.send({ cmd: 'puback', messageId: 2 })
  expect(payloads(subscriber)).toEqual(['4'])
  subscriber.send({ cmd: 'pubrec', messageId: 3, reasonCode: 0x97 })
  expect(payloads(subscriber)).toEqual(['5', 'free'])
})

describe('MQTT 5: message expiry', () => {
  test('what is left is forwarded, what is over is dropped and counted', () => {
    const harness = makeHarness()
    const [subscriber, publisher] = pairOf(harness, 5, { receiveMaximum: 1 })
    subscribe(subscriber)
    const expiring = (payload: string, id: number, messageExpiryInterval: number): Packet =>
      message('a', payload, id, { messageExpiryInterval, contentType: 'c', userProperties: { k: 'v' } })
    publisher.send(
      expiring('now', 1, 10),
      expiring('short', 2, 3),
      expiring('long', 3, 100),
      message('a', 'ever', 4),
    )
    publisher.send(expiring('short too', 5, 0), message('a', 'last', 6))
    expect(received(subscriber)).toMatchObject([{ properties: { messageExpiryInterval: 10 } }])
    harness.pass(5)
    const releaseAll = (id: number): Received[] => {
      subscriber.send({ cmd: 'pubrec', messageId: id }, { cmd: 'pubcomp', messageId: id })
      return received(subscriber).filter(({ cmd }) => cmd === 'publish')
    }
    const [long] = releaseAll(1)
    expect(long.payload.toString()).toBe('long')
    expect(long.properties).toEqual({
      messageExpiryInterval: 95,
      contentType: 'c',
      userProperties: { k: 'v' },
    })
    const [ever] = releaseAll(2)
    expect(ever.payload.toString()).toBe('ever')
    expect(ever.properties).toBeUndefined()
    expect(releaseAll(3).map(({ payload }) => payload.toString())).toEqual(['last'])
    expect(harness.gateway.status()).toMatchObject({ delivered: 4, deliveryDropped: { expired: 2, full: 0 } })
  })

  test('crosses gateways, also an interval of all ones, and none stays none', () => {
    const { both, pump } = makePair()
    const subscriber = both[0].connect({ clientId: 's', version: 5 })
    subscribe(subscriber, '#', 0)
    pump()
    subscriber.received()
    const publisher = both[1].connect({ clientId: 'p', version: 5 })
    for (const messageExpiryInterval of [0, 7, 0xffff_ffff, undefined]) {
      publisher.send(
        message('a', 'x', 0, messageExpiryInterval === undefined ? {} : { messageExpiryInterval }),
      )
    }
    pump()
    const intervals = received(subscriber).map(({ properties }) => properties?.messageExpiryInterval)
    expect(intervals).toEqual([0, 7, 0xffff_ffff, undefined])
  })
})

describe('MQTT 5: topic aliases to a subscriber', () => {
  test('stand for topics that it was told, never beyond its maximum, and no message goes to a wrong topic', () => {
    const random = new Prng(SEED)
    for (let round = 0; round < 20; round++) {
      const topicAliasMaximum = random.between(1, 40)
      const maximumPacketSize = random.between(0, 1) === 0 ? undefined : random.between(60, 200)
      const harness = makeHarness()
      const [subscriber, publisher] = pairOf(harness, 5, {
        topicAliasMaximum,
        maximumPacketSize,
        receiveMaximum: 3,
      })
      subscribe(subscriber)
      const sent: string[] = []
      const got: string[] = []
      const known = new Map<number, string>()
      let shortened = 0
      const take = (): void => {
        for (const { cmd, topic, payload, properties, messageId, qos } of received(subscriber)) {
          if (cmd !== 'publish') continue
          const alias = properties?.topicAlias as number | undefined
          if (alias !== undefined) expect(alias <= topicAliasMaximum && alias > 0).toBe(true)
          if (topic === '') shortened++
          if (alias !== undefined && topic !== '') known.set(alias, topic)
          got.push(`${topic === '' ? known.get(alias!) : topic} ${payload}`)
          if (qos === 1) subscriber.send({ cmd: 'puback', messageId })
        }
      }
      for (let i = 1; i <= 300; i++) {
        const topic = ['a', 'ab/c', 'a/longer/topic', `plant/${random.between(0, 50)}/x`][
          random.between(0, 3)
        ]
        const payload = `${i}`.padEnd(random.between(1, 40))
        const properties =
          random.between(0, 1) === 0 ? {} : { userProperties: { i: `${i}` }, messageExpiryInterval: 2 }
        const qos = random.between(0, 1) as 0 | 1
        publisher.send({ ...message(topic, payload, i, properties), qos } as Packet)
        sent.push(`${topic} ${payload}`)
        if (random.between(0, 4) === 0) take()
      }
      harness.sync()
      for (let before = -1; got.length > before; ) {
        before = got.length
        take()
      }
      const { tooLarge } = harness.gateway.status().deliveryDropped
      expect(got.length, `SEED=${SEED}`).toBe(sent.length - tooLarge)
      expect(got).toEqual(sent.filter((text) => got.includes(text)))
      expect(shortened).toBeGreaterThan(20)
    }
  })

  test('3.1.1 and clients that take none get topics', () => {
    for (const version of [4, 5] as const) {
      const harness = makeHarness()
      const [subscriber, publisher] = pairOf(harness, version)
      subscribe(subscriber)
      for (let i = 1; i <= 3; i++) publisher.send(message('a/topic', 'x', i))
      expect(received(subscriber).map(({ topic }) => topic)).toEqual(['a/topic', 'a/topic', 'a/topic'])
    }
  })
})

test('MQTT 5: request and response: everything a publisher says of its message arrives, in order', () => {
  const harness = makeHarness()
  const [subscriber, publisher] = pairOf(harness, 5)
  subscribe(subscriber)
  const properties = {
    payloadFormatIndicator: true,
    contentType: 'text/plain',
    responseTopic: 'answers/to/me',
    correlationData: Buffer.from([0, 1, 255]),
    userProperties: { b: ['2', '1'], a: '3' },
  }
  publisher.send(message('a', 'x', 1, properties))
  expect(received(subscriber)[0].properties).toEqual(properties)
})

/** PUBLISH and what its receiver answers (3.3 to 3.7, 4.3, 4.6, 4.7): topics, QoS, order, properties. */
import type { Packet } from 'mqtt-packet'
import { describe, expect } from 'vitest'
import { makeHarness } from '../gateway/gateway-harness.ts'
import { field, ILL_FORMED, NULL_CHARACTER, noProperties, packet } from './bytes.ts'
import { freshName, type Peer, type Received, type Version } from './peer.ts'
import { startServer } from './server.ts'
import { shows } from './shows.ts'

const server = startServer()

/** What these bytes from a connected client lead to: the end, with at most a DISCONNECT before it. */
async function expectEnded(version: Version, bytes: Uint8Array): Promise<Received | undefined> {
  const peer = await server.connect(version)
  peer.write(bytes)
  const packets = await peer.ended()
  if (version === 4) expect(packets).toEqual([])
  else expect(packets).toEqual([expect.objectContaining({ cmd: 'disconnect' })])
  return packets[0]
}

function publishBytes(
  version: Version,
  header: number,
  topic: string | Uint8Array,
  id: number | null,
): Buffer {
  const packetId = id === null ? [] : [id >> 8, id & 0xff]
  return packet(header, field(topic), packetId, noProperties(version), Buffer.from('x'))
}

/** A subscriber to one topic, and somebody who publishes to it. */
async function pair(version: Version, qos: 0 | 1 | 2): Promise<{ topic: string; from: Peer; to: Peer }> {
  const topic = freshName('topic')
  const to = await server.connect(version)
  await to.subscribe(topic, qos)
  return { topic, from: await server.connect(version), to }
}

describe('the packet', () => {
  shows('QoS 3 ends the connection', { v4: '3.3.1-4', v5: '3.3.1-4' }, async (version) => {
    const disconnect = await expectEnded(version, publishBytes(version, 0x36, 'a', 1))
    if (version === 5) expect(disconnect?.reasonCode).toBe(0x81)
  })
  shows('QoS 0 has no DUP', { v4: '3.3.1-2', v5: '3.3.1-2' }, async (version) => {
    await expectEnded(version, publishBytes(version, 0x38, 'a', null))
  })
  shows('above QoS 0 the identifier is not 0', { v4: '2.3.1-1', v5: '2.2.1-3' }, async (version) => {
    for (const header of [0x32, 0x34]) await expectEnded(version, publishBytes(version, header, 'a', 0))
  })
  shows('PUBREL has flags 2', { v4: '3.6.1-1 2.2.2-2', v5: '3.6.1-1' }, async (version) => {
    for (const header of [0x60, 0x63]) await expectEnded(version, packet(header, [0, 1]))
  })
  shows('a topic is UTF-8', { v4: '3.3.2-1 1.5.3-1', v5: '3.3.2-1' }, async (version) => {
    for (const topic of ILL_FORMED) await expectEnded(version, publishBytes(version, 0x30, topic, null))
  })
  shows('a topic has no U+0000', { v4: '4.7.3-2 1.5.3-2', v5: '4.7.3-2' }, async (version) => {
    await expectEnded(version, publishBytes(version, 0x30, NULL_CHARACTER, null))
  })
  shows('a topic has a character', { v4: '4.7.3-1', v5: '4.7.3-1' }, async (version) => {
    await expectEnded(version, publishBytes(version, 0x30, '', null))
  })
  shows('a topic has no wildcards', { v4: '3.3.2-2 4.7.1-1', v5: '3.3.2-2 4.7.0-1' }, async (version) => {
    for (const topic of ['a/#', 'a/+/b', '+', 'a#']) {
      await expectEnded(version, publishBytes(version, 0x30, topic, null))
    }
  })
  shows('a response topic is UTF-8 without wildcards', { v5: '3.3.2-13 3.3.2-14' }, async (version) => {
    for (const text of [...ILL_FORMED, Buffer.from('a/#')]) {
      const properties = [0x08, ...field(text)]
      await expectEnded(
        version,
        packet(0x30, field('a'), [properties.length, ...properties], Buffer.from('x')),
      )
    }
  })
  shows('a content type is UTF-8', { v5: '3.3.2-19' }, async (version) => {
    for (const text of ILL_FORMED) {
      const properties = [0x03, ...field(text)]
      await expectEnded(
        version,
        packet(0x30, field('a'), [properties.length, ...properties], Buffer.from('x')),
      )
    }
  })
  shows('a client sends no subscription identifier', { v5: '3.3.4-6' }, async (version) => {
    const disconnect = await expectEnded(version, packet(0x30, field('a'), [2, 0x0b, 1], Buffer.from('x')))
    expect(disconnect?.reasonCode).toBe(0x82)
  })
})

describe('what comes out', () => {
  shows(
    'a topic of any characters, as it was',
    { v4: '1.5.3-3 4.7.3-4 3.3.2-3', v5: '1.5.4-3 4.7.3-4 3.3.2-3' },
    async (version) => {
      const decomposed = `${freshName('t')}/a\u030a/\ufeffb`
      const from = await server.connect(version)
      const to = await server.connect(version)
      const other = await server.connect(version)
      await to.subscribe(decomposed, 0)
      await other.subscribe(decomposed.normalize('NFC'), 0)
      await from.publish(decomposed, 'x')
      expect((await to.next('publish')).topic).toBe(decomposed)
      expect(await other.untilPing()).toEqual([])
    },
  )
  shows('a topic of many bytes', { v4: '4.7.3-3', v5: '4.7.3-3' }, async (version) => {
    const topic = `${freshName('long')}/${'x'.repeat(4000)}`
    const to = await server.connect(version)
    await to.subscribe(topic, 0)
    await (await server.connect(version)).publish(topic, 'x')
    expect((await to.next('publish')).topic).toBe(topic)
  })
  shows(
    'QoS 0 has no identifier and no DUP',
    { v4: '2.3.1-5 4.3.1-1 7.1.1-1', v5: '2.2.1-2 4.3.1-1 2.2.2-1 4.2.0-1' },
    async (version) => {
      const { topic, from, to } = await pair(version, 0)
      await from.publish(topic, 'x')
      const message = await to.next('publish')
      expect(message).toMatchObject({ qos: 0, dup: false, retain: false })
      expect(message.messageId).toBeUndefined()
      expect(message.length).toBe(2 + topic.length + (version === 5 ? 1 : 0) + 1)
    },
  )
  shows(
    'QoS is the lesser of both',
    { v4: '3.8.4-6 3.3.4-1 7.0.0-2', v5: '3.8.4-8 3.3.4-1 3.2.2-9 3.2.2-10' },
    async (version) => {
      for (const granted of [0, 1, 2] as const) {
        const { topic, from, to } = await pair(version, granted)
        for (const qos of [0, 1, 2] as const) {
          await from.publish(topic, `${qos}`, qos)
          expect((await to.message()).qos).toBe(Math.min(qos, granted))
        }
      }
    },
  )
  shows(
    'DUP of what came in means nothing',
    { v4: '3.3.1-3 4.3.2-1', v5: '3.3.1-3 4.3.2-2' },
    async (version) => {
      const { topic, from, to } = await pair(version, 1)
      await from.publish(topic, 'x', 1, { dup: true })
      expect(await to.message()).toMatchObject({ dup: false, qos: 1 })
    },
  )
  shows(
    'identifiers are free ones',
    { v4: '2.3.1-4 4.3.2-1 4.3.3-1', v5: '2.2.1-4 4.3.2-1 4.3.2-3 4.3.3-1 4.3.3-2' },
    async (version) => {
      const topic = freshName('topic')
      const to = await server.connect(version)
      await to.subscribe(topic, 2)
      const from = await server.connect(version)
      for (let i = 0; i < 10; i++) await from.publish(topic, `${i}`, i % 2 === 0 ? 1 : 2)
      const messages: Received[] = []
      while (messages.length < 10) messages.push(await to.next('publish'))
      const ids = messages.map(({ messageId }) => messageId)
      expect(new Set(ids).size).toBe(10)
      expect(ids).not.toContain(0)
      expect(messages.every(({ dup }) => dup === false)).toBe(true)
    },
  )
  shows(
    'in the order in which a client sent them',
    { v4: '4.6.0-5 4.6.0-6 4.5.0-1', v5: '4.6.0-5 4.6.0-6 4.5.0-1' },
    async (version) => {
      for (const qos of [0, 1, 2] as const) {
        const { topic, from, to } = await pair(version, qos)
        for (let i = 0; i < 50; i++) {
          const messageId = qos === 0 ? undefined : i + 1
          from.send({
            cmd: 'publish',
            topic,
            payload: `${i}`,
            qos,
            messageId,
            dup: false,
            retain: false,
          } as Packet)
        }
        const payloads: string[] = []
        while (payloads.length < 50) {
          const { cmd, payload, messageId } = (await to.anything())!
          if (cmd === 'pubrel') continue
          payloads.push(String(payload))
          if (qos > 0) to.send({ cmd: qos === 1 ? 'puback' : 'pubrec', messageId } as Packet)
        }
        expect(payloads).toEqual(Array.from({ length: 50 }, (_, i) => `${i}`))
      }
    },
  )
})

describe('QoS 1 in', () => {
  shows(
    'gets PUBACK with its identifier, and the identifier is free',
    { v4: '2.3.1-6 4.3.2-2', v5: '2.2.1-5 4.3.2-4 4.3.2-5 3.4.2-1' },
    async (version) => {
      const { topic, from, to } = await pair(version, 0)
      for (const dup of [false, true]) {
        await from.publish(topic, 'same', 1, { messageId: 77, dup })
        expect(await to.payload()).toBe('same')
      }
    },
  )
})

describe('QoS 2 in', () => {
  const send = (peer: Peer, topic: string, payload: string, messageId: number, dup = false): void =>
    peer.send({ cmd: 'publish', topic, payload, qos: 2, messageId, dup, retain: false } as Packet)

  shows(
    'is delivered once until PUBREL, then means a new message',
    { v4: '4.3.3-2 2.3.1-6', v5: '4.3.3-8 4.3.3-10 4.3.3-11 4.3.3-12 3.5.2-1 3.7.2-1 2.2.1-5' },
    async (version) => {
      const { topic, from, to } = await pair(version, 0)
      for (const round of ['first', 'second']) {
        send(from, topic, round, 9)
        expect((await from.next('pubrec')).messageId).toBe(9)
        send(from, topic, round, 9, true)
        expect((await from.next('pubrec')).messageId).toBe(9)
        from.send({ cmd: 'pubrel', messageId: 9 } as Packet)
        expect((await from.next('pubcomp')).messageId).toBe(9)
        expect(await to.payload()).toBe(round)
        expect(await to.untilPing()).toEqual([])
      }
    },
  )
  shows('PUBREL of an identifier that is not known', { v5: '3.7.2-1' }, async (version) => {
    const peer = await server.connect(version)
    peer.send({ cmd: 'pubrel', messageId: 4711 } as Packet)
    expect(await peer.next('pubcomp')).toMatchObject({ messageId: 4711, reasonCode: 0x92 })
  })
  shows('goes on though the message has expired', { v5: '4.3.3-13' }, async (version) => {
    const { topic, from, to } = await pair(version, 2)
    await from.publish(topic, 'soon gone', 2, { properties: { messageExpiryInterval: 1 } })
    const message = await to.next('publish')
    await new Promise((resolve) => setTimeout(resolve, 1500))
    to.send({ cmd: 'pubrec', messageId: message.messageId } as Packet)
    await to.next('pubrel')
    to.send({ cmd: 'pubcomp', messageId: message.messageId } as Packet)
    expect(await to.untilPing()).toEqual([])
  })
})

describe('QoS 2 out', () => {
  shows(
    'PUBREC gets PUBREL with its identifier',
    { v4: '4.3.3-1 2.3.1-6', v5: '4.3.3-4 4.3.3-3 3.6.2-1' },
    async (version) => {
      const { topic, from, to } = await pair(version, 2)
      await from.publish(topic, 'x', 2)
      const { messageId, qos } = await to.next('publish')
      expect(qos).toBe(2)
      to.send({ cmd: 'pubrec', messageId } as Packet)
      const pubrel = await to.next('pubrel')
      expect(pubrel.messageId).toBe(messageId)
      if (version === 5) expect(pubrel.reasonCode ?? 0).toBe(0)
      to.send({ cmd: 'pubcomp', messageId } as Packet)
      expect(await to.untilPing()).toEqual([])
    },
  )
  shows('PUBREC of a failure ends the exchange', { v5: '4.4.0-2 4.3.3-9' }, async (version) => {
    const { topic, from, to } = await pair(version, 2)
    await from.publish(topic, 'refused', 2)
    const { messageId } = await to.next('publish')
    to.send({ cmd: 'pubrec', messageId, reasonCode: 0x97 } as Packet)
    expect(await to.untilPing()).toEqual([])
    await from.publish(topic, 'next', 2)
    expect(await to.payload()).toBe('next')
  })
})

describe('flow control', () => {
  shows(
    'what a client may have unacknowledged',
    { v5: '3.3.4-9 3.3.4-10 4.9.0-1 4.9.0-2 4.9.0-3' },
    async (version) => {
      const topic = freshName('topic')
      const to = await server.connect(version, { properties: { receiveMaximum: 2 } })
      await to.subscribe(topic, 2)
      const from = await server.connect(version)
      for (let i = 0; i < 5; i++) await from.publish(topic, `${i}`, i === 1 ? 2 : 1)
      const first = [await to.next('publish'), await to.next('publish')]
      expect(await to.untilPing()).toEqual([]) // PINGRESP does not wait for the quota, PUBLISH does
      to.send({ cmd: 'puback', messageId: first[0].messageId } as Packet)
      const third = await to.next('publish')
      expect(String(third.payload)).toBe('2')
      to.send({ cmd: 'pubrec', messageId: first[1].messageId } as Packet)
      await to.next('pubrel')
      expect(await to.untilPing()).toEqual([])
      to.send({ cmd: 'pubcomp', messageId: first[1].messageId } as Packet)
      expect(String((await to.next('publish')).payload)).toBe('3')
    },
  )
  shows('what a client may send unacknowledged', { v5: '3.3.4-7' }, async (version) => {
    const peer = await server.connect(version)
    const receiveMaximum = Number(peer.connack?.properties?.receiveMaximum)
    expect(receiveMaximum).toBeGreaterThan(0)
    const topic = freshName('topic')
    const publishes: Buffer[] = []
    for (let id = 1; id <= receiveMaximum + 1; id++) publishes.push(publishBytes(version, 0x34, topic, id))
    peer.write(Buffer.concat(publishes)) // none is released
    const packets = await peer.ended()
    expect(packets.at(-1)).toMatchObject({ cmd: 'disconnect', reasonCode: 0x93 })
  })
  shows("a packet beyond the server's maximum", { v5: '3.2.2-15' }, async (version) => {
    const peer = await server.connect(version)
    const sizeMax = Number(peer.connack?.properties?.maximumPacketSize)
    expect(sizeMax).toBeGreaterThan(0)
    peer.write([0x30, 0xff, 0xff, 0xff, 0x7f])
    expect(await peer.ended()).toEqual([expect.objectContaining({ cmd: 'disconnect', reasonCode: 0x95 })])
  })
})

describe('properties', () => {
  shows(
    'are forwarded as they came',
    { v5: '3.3.2-4 3.3.2-15 3.3.2-16 3.3.2-17 3.3.2-18 3.3.2-20' },
    async (version) => {
      const { topic, from, to } = await pair(version, 1)
      const userProperties = { z: ['1', '2'], a: 'between' }
      await from.publish(topic, 'x', 1, {
        properties: {
          payloadFormatIndicator: true,
          responseTopic: 'answers/here',
          correlationData: Buffer.from([0, 1, 254]),
          contentType: 'text/plain',
          userProperties,
        },
      })
      expect((await to.message()).properties).toEqual({
        payloadFormatIndicator: true,
        responseTopic: 'answers/here',
        correlationData: Buffer.from([0, 1, 254]),
        contentType: 'text/plain',
        userProperties: expect.objectContaining(userProperties),
      })
    },
  )
  shows('user properties keep their order', { v5: '3.3.2-18' }, async (version) => {
    const { topic, to } = await pair(version, 0)
    const pairs = ['b', 'a', 'b', 'c'].flatMap((name, i) => [0x26, ...field(name), ...field(`${i}`)])
    const from = await server.connect(version)
    from.write(packet(0x30, field(topic), [pairs.length, ...pairs], Buffer.from('x')))
    const { properties } = await to.message()
    expect(Object.entries(properties?.userProperties as object)).toEqual([
      ['b', ['0', '2']],
      ['a', '1'],
      ['c', '3'],
    ])
  })
  shows('topic aliases of clients', { v5: '3.3.2-7 3.3.2-8 3.3.2-12 3.2.2-17' }, async (version) => {
    const from = await server.connect(version)
    const aliasMax = Number(from.connack?.properties?.topicAliasMaximum)
    expect(aliasMax).toBeGreaterThan(0)
    const to = await server.connect(version)
    const name = freshName('aliased')
    await to.subscribe(`${name}/+`, 0)
    for (let alias = 1; alias <= aliasMax; alias++) {
      await from.publish(`${name}/${alias}`, 'named', 0, { properties: { topicAlias: alias } })
      await from.publish('', 'by number', 0, { properties: { topicAlias: alias } })
    }
    for (let alias = 1; alias <= aliasMax; alias++) {
      for (const payload of ['named', 'by number']) {
        const message = await to.next('publish')
        expect([message.topic, String(message.payload)]).toEqual([`${name}/${alias}`, payload])
      }
    }
    const another = await server.connect(version)
    another.send({
      cmd: 'publish',
      topic: '',
      payload: 'x',
      qos: 0,
      dup: false,
      retain: false,
      properties: { topicAlias: 1 },
    } as Packet)
    expect((await another.ended()).map(({ cmd }) => cmd)).toEqual(['disconnect'])
    for (const alias of [0, aliasMax + 1]) {
      const disconnect = await expectEnded(
        version,
        packet(0x30, field('a'), [3, 0x23, alias >> 8, alias & 0xff], Buffer.from('x')),
      )
      expect([0x82, 0x94]).toContain(disconnect?.reasonCode)
    }
  })
  shows('topic aliases of the server', { v5: '3.1.2-26 3.1.2-27 3.3.2-11' }, async (version) => {
    for (const topicAliasMaximum of [0, 2]) {
      const to = await server.connect(version, { properties: { topicAliasMaximum } })
      const name = freshName('aliases')
      await to.subscribe(`${name}/+`, 0)
      const from = await server.connect(version)
      for (const i of [0, 1, 2, 0, 1, 2]) await from.publish(`${name}/${i}`, `${i}`)
      const topics = new Map<number, string>()
      for (const i of [0, 1, 2, 0, 1, 2]) {
        const { topic, payload, properties } = await to.next('publish')
        const alias = properties?.topicAlias as number | undefined
        if (alias !== undefined) {
          expect(alias).toBeGreaterThan(0)
          expect(alias).toBeLessThanOrEqual(topicAliasMaximum)
          if (topic !== '') topics.set(alias, String(topic))
        }
        expect(topic === '' ? topics.get(Number(alias)) : topic).toBe(`${name}/${i}`)
        expect(String(payload)).toBe(`${i}`)
      }
    }
  })
  shows('a message that is too large for a client', { v5: '3.1.2-24 3.1.2-25' }, async (version) => {
    const topic = freshName('topic')
    const to = await server.connect(version, { properties: { maximumPacketSize: 200, receiveMaximum: 1 } })
    await to.subscribe(topic, 1)
    const from = await server.connect(version)
    await from.publish(topic, 'x'.repeat(500), 1)
    await from.publish(topic, 'small', 1)
    expect(await to.payload()).toBe('small')
  })
  shows(
    "of acknowledgements keep to the client's size",
    {
      v5: '3.2.2-19 3.2.2-20 3.4.2-2 3.4.2-3 3.5.2-2 3.5.2-3 3.6.2-2 3.6.2-3 3.7.2-2 3.7.2-3 3.9.2-1 3.9.2-2 3.11.2-1 3.11.2-2',
    },
    async (version) => {
      const topic = freshName('topic')
      const maximumPacketSize = 100
      const peer = await server.connect(version, { properties: { maximumPacketSize } })
      await peer.subscribe(topic, 2)
      const answers = [peer.connack]
      peer.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'a/#/b', qos: 1 }] } as Packet)
      answers.push(await peer.next('suback'))
      peer.send({ cmd: 'unsubscribe', messageId: 2, unsubscriptions: ['a/#/b', freshName()] } as Packet)
      answers.push(await peer.next('unsuback'))
      const publish = { cmd: 'publish', topic: freshName('unheard'), payload: 'x', dup: false, retain: false }
      peer.send({ ...publish, qos: 1, messageId: 3 } as Packet)
      answers.push(await peer.next('puback'))
      peer.send({ ...publish, qos: 2, messageId: 4 } as Packet)
      answers.push(await peer.next('pubrec'))
      for (const messageId of [4, 999]) {
        peer.send({ cmd: 'pubrel', messageId } as Packet)
        answers.push(await peer.next('pubcomp'))
      }
      await (await server.connect(version)).publish(topic, 'x', 2)
      const { messageId } = await peer.next('publish')
      peer.send({ cmd: 'pubrec', messageId } as Packet)
      answers.push(await peer.next('pubrel'))
      for (const answer of answers) expect(2 + Number(answer?.length)).toBeLessThanOrEqual(maximumPacketSize)
    },
  )
  shows('problem information only when asked for', { v5: '3.1.2-29' }, async (version) => {
    const peer = await server.connect(version, { properties: { requestProblemInformation: false } })
    peer.send({ cmd: 'pubrel', messageId: 999 } as Packet)
    const pubcomp = await peer.next('pubcomp')
    peer.send({
      cmd: 'subscribe',
      messageId: 1,
      subscriptions: [{ topic: 'a/#/b', qos: 1 }],
    } as Packet)
    const suback = await peer.next('suback')
    for (const { properties } of [pubcomp, suback]) {
      expect(properties?.reasonString).toBeUndefined()
      expect(properties?.userProperties).toBeUndefined()
    }
  })
  shows('response information only when asked for', { v5: '3.1.2-28' }, async (version) => {
    const peer = await server.connect(version, { properties: { requestResponseInformation: false } })
    expect(peer.connack?.properties?.responseInformation).toBeUndefined()
  })
})

describe('DISCONNECT', () => {
  shows('has no reserved bits', { v4: '3.14.1-1', v5: '3.14.1-1' }, async (version) => {
    const disconnect = await expectEnded(version, packet(0xe1))
    if (version === 5) expect(disconnect?.reasonCode).toBe(0x81)
  })
  shows(
    'ends the connection, and nothing follows',
    { v5: '3.14.4-1 3.14.4-2 3.14.2-2 3.14.2-1 3.14.2-3 3.14.2-4' },
    async (version) => {
      const peer = await server.connect(version, { properties: { maximumPacketSize: 60 } })
      peer.sendConnect()
      peer.send({ cmd: 'pingreq' })
      const [disconnect, ...rest] = await peer.ended()
      expect(disconnect).toMatchObject({ cmd: 'disconnect', reasonCode: 0x82 })
      expect(2 + Number(disconnect.length)).toBeLessThanOrEqual(60)
      expect(disconnect.properties?.sessionExpiryInterval).toBeUndefined()
      expect(rest).toEqual([])
    },
  )
  shows('of a code that there is not', { v5: '3.14.2-1' }, async (version) => {
    await expectEnded(version, packet(0xe0, [0x77, 0]))
  })
  shows('of a client: nothing after it is taken', { v4: '3.14.4-1 3.14.4-2' }, async (version) => {
    const { topic, to } = await pair(version, 0)
    const peer = await server.connect(version)
    peer.write(Buffer.concat([packet(0xe0), publishBytes(version, 0x30, topic, null)]))
    await peer.ended()
    await (await server.connect(version)).publish(topic, 'last')
    expect(await to.payload()).toBe('last')
  })
})

shows('PINGREQ gets PINGRESP', { v4: '3.12.4-1', v5: '3.12.4-1' }, async (version) => {
  const peer = await server.connect(version)
  peer.send({ cmd: 'pingreq' })
  await peer.next('pingresp')
})

shows('answers that nobody reads end the connection, and no other', { v4: '4.8.0-2' }, async (version) => {
  // Over memory: a kernel would take megabytes first.
  const harness = makeHarness({ limits: { bufferedSizeBytesMax: 64 << 10 } })
  const deaf = harness.connect({ version, clientId: 'deaf' })
  const other = harness.connect({ version, clientId: 'other' })
  deaf.transport.isStuck = true
  for (let i = 0; i < 100_000 && !deaf.transport.isClosed; i++) deaf.send({ cmd: 'pingreq' })
  expect(deaf.transport.isClosed).toBe(true)
  other.send({ cmd: 'pingreq' })
  expect(other.received().map(({ cmd }) => cmd)).toEqual(['pingresp'])
})

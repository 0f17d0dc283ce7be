/** Sessions and what is kept for them (3.1.2, 4.1, 4.3 to 4.5). The engine is killed in between where it says so. */
import type { Packet } from 'mqtt-packet'
import { describe, expect } from 'vitest'
import { type ConnectOptions, freshName, type Peer, type Received, type Version } from './peer.ts'
import { startServer } from './server.ts'
import { shows } from './shows.ts'

const server = startServer()

/** What asks for a session that is kept. */
function kept(version: Version, expiryS = 3600): ConnectOptions {
  return version === 5 ? { clean: false, properties: { sessionExpiryInterval: expiryS } } : { clean: false }
}

/** A client with a kept session that subscribes to a topic of its own. */
async function subscriber(
  version: Version,
  qos: 0 | 1 | 2 = 1,
): Promise<{ peer: Peer; topic: string; back: () => Promise<Peer> }> {
  const clientId = freshName('kept')
  const topic = freshName('topic')
  const peer = await server.connect(version, { ...kept(version), clientId })
  await peer.subscribe(topic, qos)
  return { peer, topic, back: () => server.connect(version, { ...kept(version), clientId }) }
}

async function publish(
  version: Version,
  topic: string,
  payload: string,
  qos: 0 | 1 | 2 = 1,
  options = {},
): Promise<void> {
  const from = await server.connect(version)
  await from.publish(topic, payload, qos, options)
  await from.disconnect()
}

describe('session present', () => {
  shows(
    'says whether there is one',
    {
      v4: '3.1.2-4 3.1.4-3 3.2.2-1 3.2.2-2 3.2.2-3 3.1.2-6',
      v5: '3.1.2-4 3.1.2-5 3.1.2-6 3.1.4-4 3.2.2-2 3.2.2-3 3.1.2-23',
    },
    async (version) => {
      const clientId = freshName('present')
      const connects: [boolean, boolean][] = [
        [false, false], // there was none
        [false, true],
        [true, false], // discarded
        [false, false],
        [false, true],
      ]
      for (const [clean, isPresent] of connects) {
        const peer = await server.connect(version, { ...(clean ? { clean } : kept(version)), clientId })
        expect(peer.connack?.sessionPresent).toBe(isPresent)
        await peer.disconnect()
      }
    },
  )
  shows('a clean session keeps no subscription', { v4: '3.1.2-6', v5: '3.1.2-4' }, async (version) => {
    const { peer, topic } = await subscriber(version)
    await peer.disconnect()
    const clean = await server.connect(version, { clientId: peer.clientId })
    await publish(version, topic, 'unheard')
    expect(await clean.untilPing()).toEqual([])
  })
  shows('a session ends after its expiry', { v5: '4.1.0-2 4.1.0-1' }, async (version) => {
    const clientId = freshName('expires')
    const first = await server.connect(version, { ...kept(version, 1), clientId })
    await new Promise((resolve) => setTimeout(resolve, 1500)) // longer than the interval, but connected
    await first.disconnect()
    const second = await server.connect(version, { ...kept(version, 1), clientId })
    expect(second.connack?.sessionPresent).toBe(true)
    await second.disconnect()
    await new Promise((resolve) => setTimeout(resolve, 3000))
    const third = await server.connect(version, { ...kept(version, 1), clientId })
    expect(third.connack?.sessionPresent).toBe(false)
  })
})

describe('messages of one who is away', () => {
  shows(
    'are kept in order, at their QoS',
    { v4: '3.1.2-5 4.5.0-1 4.1.0-1 4.1.0-2', v5: '3.1.2-23 4.5.0-1' },
    async (version) => {
      const { peer, topic, back } = await subscriber(version, 2)
      await peer.disconnect()
      for (let i = 0; i < 10; i++) await publish(version, topic, `${i}`, i % 2 === 0 ? 1 : 2)
      const returned = await back()
      expect(returned.connack?.sessionPresent).toBe(true)
      for (let i = 0; i < 10; i++) {
        const message = await returned.message()
        expect(String(message.payload)).toBe(`${i}`)
        expect(message).toMatchObject({ qos: i % 2 === 0 ? 1 : 2, dup: false })
      }
    },
  )
  shows('of other topics are not', { v4: '3.3.2-3', v5: '3.3.2-3' }, async (version) => {
    const { peer, topic, back } = await subscriber(version)
    await peer.drop()
    await publish(version, `${topic}/below`, 'other')
    await publish(version, topic, 'mine')
    expect(await (await back()).payload()).toBe('mine')
  })
  shows('expire', { v5: '3.3.2-5 3.3.2-6' }, async (version) => {
    const { peer, topic, back } = await subscriber(version)
    await peer.disconnect()
    await publish(version, topic, 'gone', 1, { properties: { messageExpiryInterval: 1 } })
    await publish(version, topic, 'there', 1, { properties: { messageExpiryInterval: 100 } })
    await new Promise((resolve) => setTimeout(resolve, 2500))
    const message = await (await back()).message()
    expect(String(message.payload)).toBe('there')
    expect(message.properties?.messageExpiryInterval).toBeGreaterThan(80)
    expect(message.properties?.messageExpiryInterval).toBeLessThanOrEqual(98)
  })
})

describe('what was not acknowledged', () => {
  shows(
    'is sent again in order, with DUP and its identifier',
    { v4: '3.3.1-1 4.4.0-1 4.6.0-1 2.3.1-3 4.3.2-1', v5: '3.3.1-1 4.4.0-1 4.3.2-3' },
    async (version) => {
      const { peer, topic, back } = await subscriber(version, 1)
      for (let i = 0; i < 5; i++) await publish(version, topic, `${i}`)
      const first: Received[] = []
      while (first.length < 5) first.push(await peer.next('publish'))
      expect(await peer.untilPing()).toEqual([]) // not before a reconnect
      await peer.drop()
      const returned = await back()
      const second: Received[] = []
      while (second.length < 5) second.push(await returned.message())
      expect(second.map(({ messageId }) => messageId)).toEqual(first.map(({ messageId }) => messageId))
      expect(second.map(({ payload }) => String(payload))).toEqual(['0', '1', '2', '3', '4'])
      expect(second.every(({ dup }) => dup === true)).toBe(true)
      await returned.untilPing()
      await returned.disconnect()
      expect(await (await back()).untilPing()).toEqual([])
    },
  )
  shows(
    'of QoS 2 goes on where it stood',
    { v4: '4.4.0-1 4.3.3-1', v5: '4.4.0-1 4.3.3-5 4.3.3-6 4.3.3-7' },
    async (version) => {
      const { peer, topic, back } = await subscriber(version, 2)
      await publish(version, topic, 'x', 2, version === 5 ? { properties: { messageExpiryInterval: 1 } } : {})
      const { messageId } = await peer.next('publish')
      await peer.drop()
      await new Promise((resolve) => setTimeout(resolve, 1500)) // expires, after it was sent
      const second = await back()
      expect(await second.next('publish')).toMatchObject({ messageId, dup: true })
      second.send({ cmd: 'pubrec', messageId } as Packet)
      expect((await second.next('pubrel')).messageId).toBe(messageId)
      await second.drop()
      const third = await back()
      expect((await third.next('pubrel')).messageId).toBe(messageId)
      third.send({ cmd: 'pubcomp', messageId } as Packet)
      expect(await third.untilPing()).toEqual([])
    },
  )
  shows('but was refused is not sent again', { v5: '4.4.0-2' }, async (version) => {
    const { peer, topic, back } = await subscriber(version, 2)
    for (const qos of [1, 2] as const) {
      await publish(version, topic, 'x', qos)
      const { messageId } = await peer.next('publish')
      peer.send({ cmd: qos === 1 ? 'puback' : 'pubrec', messageId, reasonCode: 0x83 } as Packet)
    }
    await peer.untilPing()
    await peer.drop()
    expect(await (await back()).untilPing()).toEqual([])
  })
})

describe('what a client did not see acknowledged', () => {
  shows('of QoS 2 is not delivered twice', { v4: '4.3.3-2', v5: '4.3.3-10' }, async (version) => {
    const clientId = freshName('sender')
    const topic = freshName('topic')
    const to = await server.connect(version)
    await to.subscribe(topic, 0)
    const publishOnce = (dup: boolean) =>
      ({ cmd: 'publish', topic, payload: 'x', qos: 2, messageId: 5, dup, retain: false }) as Packet
    const first = await server.connect(version, { ...kept(version), clientId })
    first.send(publishOnce(false))
    await first.next('pubrec')
    await first.drop()
    const second = await server.connect(version, { ...kept(version), clientId })
    second.send(publishOnce(true))
    expect((await second.next('pubrec')).messageId).toBe(5)
    second.send({ cmd: 'pubrel', messageId: 5 } as Packet)
    expect((await second.next('pubcomp')).messageId).toBe(5)
    expect(await to.payload()).toBe('x')
    expect(await to.untilPing()).toEqual([])
  })
})

describe('retained messages', () => {
  const retain = { retain: true }

  shows(
    'come with a new subscription, the last of each topic',
    { v4: '3.3.1-5 3.3.1-6 3.3.1-7 3.3.1-8 3.1.2-7', v5: '3.3.1-5 3.3.1-9 3.2.2-13' },
    async (version) => {
      const name = freshName('retained')
      await publish(version, `${name}/a`, 'old', 1, retain)
      await publish(version, `${name}/a`, 'new', 0, retain)
      await publish(version, `${name}/b`, 'b', 2, retain)
      await publish(version, `${name}/c/d`, 'deep', 1, retain)
      const to = await server.connect(version)
      await to.subscribe(`${name}/+`, 2)
      const messages = [await to.message(), await to.message()]
      expect(messages.map(({ topic, payload, qos }) => [topic, String(payload), qos]).sort()).toEqual([
        [`${name}/a`, 'new', 0],
        [`${name}/b`, 'b', 2],
      ])
      expect(messages.every(({ retain }) => retain === true)).toBe(true)
      expect(await to.untilPing()).toEqual([])
    },
  )
  shows(
    'come with RETAIN 0 to those who subscribe already',
    { v4: '3.3.1-9 3.3.1-12', v5: '3.3.1-12 3.3.1-13 3.3.1-8' },
    async (version) => {
      const topic = freshName('live')
      const to = await server.connect(version)
      await to.subscribe(topic, 1)
      const published = version === 5 ? await server.connect(version) : null
      await published?.subscribe(topic, 1, { rap: true })
      await publish(version, topic, 'kept', 1, retain)
      await publish(version, topic, 'passing', 1)
      expect([await to.message(), await to.message()].map(({ retain }) => retain)).toEqual([false, false])
      if (published !== null) {
        expect((await published.message()).retain).toBe(true)
        expect((await published.message()).retain).toBe(false)
      }
      const late = await server.connect(version)
      await late.subscribe(topic, 1)
      expect(String((await late.message()).payload)).toBe('kept')
    },
  )
  shows('go with an empty one', { v4: '3.3.1-10 3.3.1-11', v5: '3.3.1-6 3.3.1-7' }, async (version) => {
    const topic = freshName('emptied')
    await publish(version, topic, 'x', 1, retain)
    const to = await server.connect(version)
    await to.subscribe(topic, 1)
    await to.message()
    await publish(version, topic, '', 1, retain)
    expect(await to.payload()).toBe('')
    const late = await server.connect(version)
    await late.subscribe(topic, 1)
    await publish(version, topic, 'only this', 1)
    expect(await late.payload()).toBe('only this')
  })
  shows('come again with an equal filter', { v4: '3.8.4-3', v5: '3.8.4-4 3.3.1-9' }, async (version) => {
    const topic = freshName('again')
    await publish(version, topic, 'x', 1, retain)
    const to = await server.connect(version)
    for (let round = 0; round < 2; round++) {
      await to.subscribe(topic, 1)
      expect(await to.payload()).toBe('x')
    }
  })
  shows('as retain handling asks', { v5: '3.3.1-10 3.3.1-11' }, async (version) => {
    const topic = freshName('handling')
    await publish(version, topic, 'x', 1, retain)
    const to = await server.connect(version)
    await to.subscribe(topic, 1, { rh: 2 })
    await to.subscribe(topic, 1, { rh: 1 })
    await publish(version, topic, 'marker')
    expect(await to.payload()).toBe('marker')
    const other = await server.connect(version)
    await other.subscribe(topic, 1, { rh: 1 })
    expect(await other.payload()).toBe('x')
  })
})

describe('wills', () => {
  const will = (topic: string, options = {}) => ({
    topic,
    payload: Buffer.from('gone'),
    qos: 1 as const,
    retain: false,
    ...options,
  })

  shows(
    'are published when a connection ends without a word',
    {
      v4: '3.1.2-8 3.1.2-16 3.1.3-1 3.1.2-10 3.1.2-24',
      v5: '3.1.2-7 3.1.2-8 3.1.2-14 3.1.3-1 3.1.2-10 3.1.2-22 3.2.2-12',
    },
    async (version) => {
      const topic = freshName('will')
      const to = await server.connect(version)
      await to.subscribe(topic, 2)
      const peer = await server.connect(version, {
        will: will(topic, { qos: 2 }),
        username: 'me',
        password: Buffer.from('secret'),
      } as ConnectOptions)
      await peer.drop()
      const message = await to.message()
      expect(message).toMatchObject({ topic, qos: 2, retain: false })
      expect(String(message.payload)).toBe('gone')
      await server.connect(version, { will: will(topic), keepalive: 1 } as ConnectOptions) // then silent
      expect(await to.payload()).toBe('gone')
      const late = await server.connect(version)
      await late.subscribe(topic, 1)
      await publish(version, topic, 'not retained')
      expect(await late.payload()).toBe('not retained')
    },
  )
  shows('may be retained', { v4: '3.1.2-17', v5: '3.1.2-15' }, async (version) => {
    const topic = freshName('will')
    const to = await server.connect(version)
    await to.subscribe(topic, 1)
    await (await server.connect(version, { will: will(topic, { retain: true }) } as ConnectOptions)).drop()
    await to.message()
    const late = await server.connect(version)
    await late.subscribe(topic, 1)
    expect(await late.message()).toMatchObject({ topic, retain: true })
  })
  shows(
    'go with DISCONNECT',
    { v4: '3.14.4-3 3.1.2-10 3.1.2-12', v5: '3.14.4-3 3.1.2-10' },
    async (version) => {
      const topic = freshName('will')
      const to = await server.connect(version)
      await to.subscribe(topic, 1)
      await (await server.connect(version, { will: will(topic) } as ConnectOptions)).disconnect()
      await (await server.connect(version)).drop()
      await publish(version, topic, 'the first')
      expect(await to.payload()).toBe('the first')
    },
  )
  shows('come with DISCONNECT 0x04', { v5: '3.1.2-8' }, async (version) => {
    const topic = freshName('will')
    const to = await server.connect(version)
    await to.subscribe(topic, 1)
    const peer = await server.connect(version, { will: will(topic) } as ConnectOptions)
    await peer.disconnect({ reasonCode: 0x04 })
    expect(await to.payload()).toBe('gone')
  })
  shows('wait for their delay, or for the client', { v5: '3.1.2-8 3.1.3-9' }, async (version) => {
    const topic = freshName('will')
    const to = await server.connect(version)
    await to.subscribe(topic, 1)
    const options = {
      ...kept(version),
      clientId: freshName('delayed'),
      will: will(topic, { properties: { willDelayInterval: 2 } }),
    } as ConnectOptions
    await (await server.connect(version, options)).drop()
    const back = await server.connect(version, options)
    await new Promise((resolve) => setTimeout(resolve, 3000))
    expect(await to.untilPing()).toEqual([])
    await back.drop()
    const startMs = performance.now()
    expect(await to.payload()).toBe('gone')
    expect(performance.now() - startMs).toBeGreaterThan(1500)
  })
  shows('keep the order of their user properties', { v5: '3.1.3-10' }, async (version) => {
    const topic = freshName('will')
    const to = await server.connect(version)
    await to.subscribe(topic, 1)
    const userProperties = { z: 'first', a: ['second', 'third'], m: 'last' }
    const peer = await server.connect(version, {
      will: will(topic, { properties: { userProperties } }),
    } as ConnectOptions)
    await peer.drop()
    const properties = (await to.message()).properties?.userProperties as object
    expect(JSON.stringify(Object.entries(properties))).toBe(JSON.stringify(Object.entries(userProperties)))
  })
})

describe('shared subscriptions', () => {
  shows('their filters', { v5: '4.8.2-1 4.8.2-2' }, async (version) => {
    const peer = await server.connect(version)
    for (const filter of ['$share/a', '$share//a', '$share/a+b/c', '$share/a#/c', '$share/group/']) {
      const answer = await peer.subscribe(filter, 1).catch(() => null)
      expect(answer?.[0] ?? 0x8f).toBe(0x8f)
    }
    expect(await peer.subscribe('$share/group/a/+', 1)).toEqual([1])
  })
  shows('one member gets each message, at its QoS', { v5: '4.8.2-3' }, async (version) => {
    const topic = freshName('shared')
    const members = [await server.connect(version), await server.connect(version)]
    await members[0].subscribe(`$share/group/${topic}`, 0)
    await members[1].subscribe(`$share/group/${topic}`, 2)
    for (let i = 0; i < 10; i++) await publish(version, topic, `${i}`, 2)
    const heard: string[] = []
    const qos = [new Set<unknown>(), new Set<unknown>()]
    const deadlineMs = performance.now() + 10_000
    while (heard.length < 10 && performance.now() < deadlineMs) {
      for (const [i, member] of members.entries()) {
        for (const packet of await member.untilPing()) {
          if (packet.cmd !== 'publish') continue
          heard.push(String(packet.payload))
          qos[i].add(packet.qos)
          if (packet.qos === 2) member.send({ cmd: 'pubrec', messageId: packet.messageId } as Packet)
        }
      }
    }
    expect(heard.sort()).toEqual(Array.from({ length: 10 }, (_, i) => `${i}`))
    expect([...qos[0]]).toEqual([0])
    expect([...qos[1]]).toEqual([2])
  })
  shows('QoS 2 stays with its member', { v5: '4.8.2-4 4.8.2-5' }, async (version) => {
    const topic = freshName('shared')
    const options = { ...kept(version), clientId: freshName('member') }
    const member = await server.connect(version, options)
    await member.subscribe(`$share/group/${topic}`, 2)
    await publish(version, topic, 'mine', 2)
    const { messageId } = await member.next('publish')
    const other = await server.connect(version)
    await other.subscribe(`$share/group/${topic}`, 2)
    await member.drop()
    const back = await server.connect(version, options)
    expect(await back.next('publish')).toMatchObject({ messageId, dup: true })
    const clean = await server.connect(version, { clientId: options.clientId }) // its session ends
    await publish(version, topic, 'marker', 2)
    expect(await other.payload()).toBe('marker')
    expect(await clean.untilPing()).toEqual([])
  })
  shows('a refused message goes to nobody else', { v5: '4.8.2-6' }, async (version) => {
    const topic = freshName('shared')
    const first = await server.connect(version)
    await first.subscribe(`$share/group/${topic}`, 1)
    await publish(version, topic, 'refused')
    const { messageId } = await first.next('publish')
    const second = await server.connect(version)
    await second.subscribe(`$share/group/${topic}`, 1)
    first.send({ cmd: 'puback', messageId, reasonCode: 0x83 } as Packet)
    await first.untilPing()
    await first.disconnect()
    await publish(version, topic, 'marker')
    expect(await second.payload()).toBe('marker')
  })
})

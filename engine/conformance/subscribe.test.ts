/** SUBSCRIBE and UNSUBSCRIBE (3.8 to 3.11, 4.7). */
import type { Packet } from 'mqtt-packet'
import { describe, expect } from 'vitest'
import { field, ILL_FORMED, noProperties, packet } from './bytes.ts'
import { freshName, type Peer, type Version } from './peer.ts'
import { startServer } from './server.ts'
import { shows } from './shows.ts'

const server = startServer()
const SUBSCRIBE = 0x82
const UNSUBSCRIBE = 0xa2

async function expectEnded(version: Version, bytes: Uint8Array, reasonCode: number): Promise<void> {
  const peer = await server.connect(version)
  peer.write(bytes)
  const packets = await peer.ended()
  expect(packets).toEqual(version === 5 ? [expect.objectContaining({ cmd: 'disconnect', reasonCode })] : [])
}

async function unsubscribe(peer: Peer, ...filters: string[]): Promise<number[]> {
  const messageId = peer.nextId()
  peer.send({ cmd: 'unsubscribe', messageId, unsubscriptions: filters } as Packet)
  const unsuback = await peer.next('unsuback')
  expect(unsuback.messageId).toBe(messageId)
  return (unsuback.granted ?? []) as number[]
}

describe('the packets', () => {
  shows('have flags 2', { v4: '3.8.1-1 3.10.1-1', v5: '3.8.1-1 3.10.1-1' }, async (version) => {
    const body = [[0, 1], noProperties(version), field('a')]
    await expectEnded(version, packet(0x80, ...body, [0]), 0x81)
    await expectEnded(version, packet(0xa0, ...body), 0x81)
  })
  shows('have a filter', { v4: '3.8.3-3 3.10.3-2', v5: '3.8.3-2 3.10.3-2' }, async (version) => {
    for (const header of [SUBSCRIBE, UNSUBSCRIBE]) {
      await expectEnded(version, packet(header, [0, 1], noProperties(version)), 0x82)
    }
  })
  shows('have an identifier', { v4: '2.3.1-1' }, async (version) => {
    await expectEnded(version, packet(SUBSCRIBE, [0, 0], noProperties(version), field('a'), [0]), 0x82)
    await expectEnded(version, packet(UNSUBSCRIBE, [0, 0], noProperties(version), field('a')), 0x82)
  })
  shows('have filters in UTF-8', { v4: '3.8.3-1 3.10.3-1', v5: '3.8.3-1 3.10.3-1' }, async (version) => {
    for (const filter of ILL_FORMED) {
      await expectEnded(version, packet(SUBSCRIBE, [0, 1], noProperties(version), field(filter), [0]), 0x81)
      await expectEnded(version, packet(UNSUBSCRIBE, [0, 1], noProperties(version), field(filter)), 0x81)
    }
  })
  shows('have options without reserved bits', { v4: '3.8.3-4', v5: '3.8.3-5' }, async (version) => {
    for (const options of version === 5 ? [0x40, 0x80, 0x03] : [0x04, 0x80, 0x03]) {
      const peer = await server.connect(version)
      peer.write(packet(SUBSCRIBE, [0, 1], noProperties(version), field('a'), [options]))
      expect((await peer.ended()).filter(({ cmd }) => cmd !== 'disconnect')).toEqual([])
    }
  })
})

describe('answers', () => {
  shows(
    'are one code for each filter, in their order',
    {
      v4: '2.3.1-7 3.8.4-1 3.8.4-2 3.8.4-4 3.8.4-5 3.9.3-1 3.9.3-2 3.8.3-2',
      v5: '2.2.1-6 3.8.4-1 3.8.4-2 3.8.4-5 3.8.4-6 3.8.4-7 3.9.3-1 3.9.3-2',
    },
    async (version) => {
      const name = freshName('several')
      const peer = await server.connect(version)
      const wanted = [`${name}/+`, `${name}/#/no`, `${name}/a`, `${name}/b`]
      peer.send({
        cmd: 'subscribe',
        messageId: 4321,
        subscriptions: wanted.map((topic, i) => ({ topic, qos: (i % 3) as 0 | 1 | 2 })),
      } as Packet)
      const suback = await peer.next('suback')
      expect(suback.messageId).toBe(4321)
      expect(suback.granted).toEqual([0, version === 5 ? 0x8f : 0x80, 2, 0])
    },
  )
  shows(
    'to UNSUBSCRIBE',
    { v4: '2.3.1-7 3.10.4-4 3.10.4-5 3.10.4-6', v5: '3.10.4-4 3.10.4-5 3.10.4-6 3.11.3-1 3.11.3-2' },
    async (version) => {
      const peer = await server.connect(version)
      const [known, unknown] = [freshName('known'), freshName('unknown')]
      await peer.subscribe(known, 0)
      const codes = await unsubscribe(peer, unknown, known, unknown)
      if (version === 5) expect(codes).toEqual([0x11, 0, 0x11])
      await (await server.connect(version)).publish(known, 'x')
      expect(await peer.untilPing()).toEqual([])
    },
  )
})

describe('filters', () => {
  const taken = ['#', 'a/#', '+', '+/a', 'a/+/b', '/', 'a//b', '$SYS/#']
  const refused = ['a#', 'a/#/b', '#/a', 'a+', '+a/b', '##']

  shows('with # and +', { v4: '4.7.1-2 4.7.1-3', v5: '4.7.1-1 4.7.1-2' }, async (version) => {
    const peer = await server.connect(version)
    const codes = async (filters: string[]): Promise<number[]> => {
      const messageId = peer.nextId()
      const subscriptions = filters.map((topic) => ({ topic, qos: 0 as const }))
      peer.send({ cmd: 'subscribe', messageId, subscriptions } as Packet)
      for (;;) {
        const packet = await peer.anything()
        if (packet?.cmd === 'suback') return packet.granted as number[]
        expect(packet?.cmd).toBe('publish') // of $SYS, or of other tests
      }
    }
    expect(await codes(taken)).toEqual(taken.map(() => 0))
    const granted = await codes(refused)
    expect(granted).toEqual(refused.map(() => (version === 5 ? 0x8f : 0x80)))
  })
  shows('may be refused when empty', { v4: '4.7.3-1', v5: '4.7.3-1' }, async (version) => {
    const peer = await server.connect(version)
    peer.write(packet(SUBSCRIBE, [0, 1], noProperties(version), field(''), [0]))
    const answer = await peer.anything()
    if (answer?.cmd === 'suback') expect((answer.granted as number[])[0]).toBeGreaterThanOrEqual(0x80)
    else expect(answer?.cmd ?? 'ended').toBe(version === 5 ? 'disconnect' : 'ended')
  })
  shows('that begin with a wildcard do not match $', { v4: '4.7.2-1', v5: '4.7.2-1' }, async (version) => {
    const wild = await server.connect(version)
    for (const filter of ['#', '+/#', '+/broker/#']) await wild.subscribe(filter, 0)
    const named = await server.connect(version)
    await named.subscribe('$SYS/#', 0)
    expect((await named.next('publish')).topic).toMatch(/^\$SYS\//)
    const ofSystem = (await wild.untilPing()).filter(({ topic }) => topic?.startsWith('$'))
    expect(ofSystem).toEqual([])
  })
  shows('match as section 4.7 says', { v4: '3.3.2-3', v5: '3.3.2-3' }, async (version) => {
    const name = freshName('levels')
    const cases: [string, string[]][] = [
      ['/+', ['/a']],
      ['/#', ['', '/a', '/a/b', '//']],
      ['/+/+', ['/a/b', '//']],
      ['/a/+', ['/a/b']],
    ]
    const from = await server.connect(version)
    for (const [suffix, matched] of cases) {
      const to = await server.connect(version)
      await to.subscribe(`${name}${suffix}`, 0)
      for (const topic of ['', '/a', '/a/b', '//']) await from.publish(`${name}${topic}`, topic || '-')
      const topics = (await to.untilPing()).map(({ topic }) => String(topic).slice(name.length))
      expect(topics).toEqual(matched)
    }
  })
  shows(
    'that overlap bring one message',
    { v4: '3.3.5-1', v5: '3.3.4-2 3.3.4-3 3.3.4-4 3.3.4-5' },
    async (version) => {
      const name = freshName('overlap')
      const to = await server.connect(version)
      const identifier = (subscriptionIdentifier: number) => (version === 5 ? { subscriptionIdentifier } : {})
      await to.subscribe(`${name}/#`, 0, {}, identifier(7))
      await to.subscribe(`${name}/a`, 2, {}, identifier(8))
      await to.subscribe(`${name}/+`, 1, {})
      await (await server.connect(version)).publish(`${name}/a`, 'x', 2)
      const message = await to.message()
      expect(message.qos).toBe(2)
      if (version === 5) {
        expect([message.properties?.subscriptionIdentifier].flat().sort()).toEqual([7, 8])
      }
      expect(await to.untilPing()).toEqual([])
    },
  )
})

describe('changes', () => {
  shows('an equal filter replaces', { v4: '3.8.4-3', v5: '3.8.4-3' }, async (version) => {
    const topic = freshName('replaced')
    const to = await server.connect(version)
    await to.subscribe(topic, 0)
    await to.subscribe(topic, 1)
    await (await server.connect(version)).publish(topic, 'x', 1)
    expect((await to.message()).qos).toBe(1)
    expect(await to.untilPing()).toEqual([])
  })
  shows('nothing is missed meanwhile', { v4: '3.8.4-3', v5: '3.8.4-4' }, async (version) => {
    const topic = freshName('uninterrupted')
    const to = await server.connect(version)
    await to.subscribe(topic, 0)
    const from = await server.connect(version)
    const heard: string[] = []
    for (let i = 0; i < 20; i++) {
      from.send({ cmd: 'publish', topic, payload: `${i}`, qos: 0, dup: false, retain: false } as Packet)
      const messageId = to.nextId()
      to.send({ cmd: 'subscribe', messageId, subscriptions: [{ topic, qos: 0 }] } as Packet)
    }
    await from.untilPing()
    for (const { cmd, payload } of await to.untilPing()) if (cmd === 'publish') heard.push(String(payload))
    while (heard.length < 20) heard.push(await to.payload())
    expect(heard).toEqual(Array.from({ length: 20 }, (_, i) => `${i}`))
  })
  shows(
    'UNSUBSCRIBE takes the very filter',
    { v4: '3.10.4-1 3.10.4-2', v5: '3.10.4-1 3.10.4-2' },
    async (version) => {
      const name = freshName('exact')
      const to = await server.connect(version)
      await to.subscribe(`${name}/+`, 0)
      await unsubscribe(to, `${name}/a`, `${name}/#`)
      const from = await server.connect(version)
      await from.publish(`${name}/a`, 'still')
      expect(await to.payload()).toBe('still')
      await unsubscribe(to, `${name}/+`)
      await from.publish(`${name}/a`, 'no more')
      expect(await to.untilPing()).toEqual([])
    },
  )
  shows('what was begun is completed', { v4: '3.10.4-3', v5: '3.10.4-3' }, async (version) => {
    const topic = freshName('begun')
    const to = await server.connect(version)
    await to.subscribe(topic, 2)
    await (await server.connect(version)).publish(topic, 'x', 2)
    const { messageId } = await to.next('publish')
    await unsubscribe(to, topic)
    to.send({ cmd: 'pubrec', messageId } as Packet)
    expect((await to.next('pubrel')).messageId).toBe(messageId)
    to.send({ cmd: 'pubcomp', messageId } as Packet)
    expect(await to.untilPing()).toEqual([])
  })
  shows('no local', { v5: '3.8.3-3' }, async (version) => {
    const topic = freshName('own')
    const peer = await server.connect(version)
    await peer.subscribe(topic, 1, { nl: true })
    await peer.publish(topic, 'mine', 1)
    await (await server.connect(version)).publish(topic, 'theirs', 1)
    expect(await peer.payload()).toBe('theirs')
  })
  shows('no local on a shared subscription', { v5: '3.8.3-4' }, async (version) => {
    const peer = await server.connect(version)
    peer.write(packet(SUBSCRIBE, [0, 1], [0], field('$share/group/a'), [0x04]))
    expect(await peer.ended()).toEqual([expect.objectContaining({ cmd: 'disconnect', reasonCode: 0x82 })])
  })
})

import type { Packet } from 'mqtt-packet'
import { describe, expect, test } from 'vitest'
import { VERSION } from '../version.ts'
import {
  connectPacket,
  type Harness,
  type MemoryClient,
  makeHarness,
  makePair,
  publishPacket,
} from './gateway-harness.ts'

interface Value {
  topic: string
  text: string
  retain: boolean
  identifier?: number
}

function values(client: MemoryClient): Value[] {
  return client.received().flatMap((packet) => {
    if (packet.cmd !== 'publish') return []
    const { topic, payload, retain, properties } = packet
    return [
      { topic, text: payload.toString(), retain, identifier: properties?.subscriptionIdentifier as number },
    ]
  })
}

function subscribe(client: MemoryClient, topic: string, more: object = {}, identifier?: number): void {
  const subscriptions = [{ topic, qos: 1 as const, rh: 0 as const, ...more }]
  const properties = identifier === undefined ? undefined : { subscriptionIdentifier: identifier }
  client.send({ cmd: 'subscribe', messageId: 1, subscriptions, properties })
}

function textOf(found: readonly Value[], name: string): string | undefined {
  return found.findLast(({ topic }) => topic === `$SYS/broker/${name}`)?.text
}

describe('$SYS', () => {
  test('gives the present values at once, retained, and then those that have changed', () => {
    const harness = makeHarness()
    const client = harness.connect({ version: 5 })
    const other = harness.connect({ clientId: 'other' })
    other.publish('devices/a/telemetry', '{}')
    other.publish('nowhere', '{}', 1)
    harness.pass(3)
    subscribe(client, '$SYS/#', {}, 7)
    const first = values(client)
    expect(first.map(({ topic }) => topic).toSorted()).toEqual(
      [
        ...['version', 'uptime', 'clients/connected', 'connections/accepted', 'connections/refused'],
        ...['messages/received', 'messages/sent', 'messages/dropped', 'messages/unmatched'],
        ...['bytes/received', 'bytes/sent', 'subscriptions/count'],
      ]
        .map((name) => `$SYS/broker/${name}`)
        .toSorted(),
    )
    expect(first.every(({ retain, identifier }) => retain && identifier === 7)).toBe(true)
    expect(textOf(first, 'version')).toBe(`millrace ${VERSION}`)
    expect(textOf(first, 'uptime')).toBe('3 seconds')
    expect(textOf(first, 'clients/connected')).toBe('2')
    expect(textOf(first, 'messages/received')).toBe('2')
    expect(textOf(first, 'messages/unmatched')).toBe('1')
    expect(textOf(first, 'subscriptions/count')).toBe('1')
    harness.pass(17)
    values(client)
    other.send({ cmd: 'disconnect' } as Packet)
    harness.pass(10)
    const changed = values(client)
    expect(textOf(changed, 'clients/connected')).toBe('1')
    expect(textOf(changed, 'uptime')).toBe('30 seconds')
    expect(changed.every(({ retain }) => !retain)).toBe(true)
    for (const name of ['version', 'messages/received', 'connections/accepted'])
      expect(textOf(changed, name)).toBeUndefined()
  })

  test.each([
    ['$SYS/broker/+/connected', {}, 1],
    ['$SYS/broker/clients/connected', { rap: true }, 1],
    ['$SYS/broker/bytes/#', {}, 2],
    ['$SYS/#', { rh: 2 }, 0],
    ['$SYSTEM/#', {}, 0],
    ['#', {}, 0],
    ['+/broker/version', {}, 0],
  ])('%s %j gets %i values at once', (filter, more, count) => {
    const client = makeHarness().connect({ version: 5 })
    subscribe(client, filter, more)
    expect(values(client)).toHaveLength(count)
  })

  test('retain handling 1: only with a new subscription', () => {
    const client = makeHarness().connect({ version: 5 })
    for (const count of [1, 0]) {
      subscribe(client, '$SYS/broker/version', { rh: 1 })
      expect(values(client)).toHaveLength(count)
    }
  })

  test('is the same on every gateway', () => {
    const { both, pump } = makePair()
    pump()
    const pass = (seconds: number): void => {
      for (let i = 0; i < seconds; i++) {
        for (const harness of both) harness.pass(1)
        pump()
      }
    }
    const [one, two] = both.map((harness: Harness, i) => harness.connect({ clientId: `c${i}` }))
    both[1].connect({ clientId: 'third' }).send(publishPacket('x', 'y'))
    pump()
    for (const client of [one, two]) subscribe(client, '$SYS/broker/clients/connected')
    pass(20)
    for (const client of [one, two]) expect(textOf(values(client), 'clients/connected')).toBe('3')
  })

  test('is not a topic to publish to, nor one of a will', () => {
    const harness = makeHarness()
    const client = harness.connect({ version: 5 })
    client.publish('$SYS/broker/version', 'mine')
    expect(client.received()).toMatchObject([{ cmd: 'disconnect', reasonCode: 0x90 }])
    const other = harness.accept()
    Object.assign(other, { version: 5 })
    const will = {
      topic: '$SYS/broker/version',
      payload: Buffer.from('mine'),
      qos: 0 as const,
      retain: false,
    }
    other.send({ ...connectPacket({ version: 5 }), will } as Packet)
    expect(other.received()).toMatchObject([{ cmd: 'connack', reasonCode: 0x90 }])
  })
})

import type { Packet } from 'mqtt-packet'
import { describe, expect, test } from 'vitest'
import { connectPacket, type MemoryClient, makeHarness } from '../gateway-harness.ts'

interface Answer {
  cmd: string
  reasonCode: number
  properties?: Record<string, unknown>
}

/** What a CONNECT with those fields is answered; the client stays for more. */
function connect(
  fields: object,
  limits = {},
): { client: MemoryClient; answer: Answer; pass: (s: number) => void } {
  const harness = makeHarness({ limits, ringSizeBytes: 1 << 20 })
  const client = harness.accept()
  Object.assign(client, { version: 5 })
  client.send({ ...connectPacket({ version: 5 }), ...fields } as Packet)
  const [answer] = client.received() as unknown as Answer[]
  return { client, answer, pass: harness.pass }
}

describe('MQTT 5: CONNACK', () => {
  test('says what the server takes, with no Maximum QoS: all of them', () => {
    const { answer } = connect({}, { receiveMaximum: 77, packetSizeBytesMax: 10_000 })
    expect(answer).toMatchObject({
      reasonCode: 0,
      properties: {
        receiveMaximum: 77,
        maximumPacketSize: 10_000,
        topicAliasMaximum: 16,
        wildcardSubscriptionAvailable: true,
        subscriptionIdentifiersAvailable: true,
      },
    })
    for (const name of [
      'maximumQoS',
      'assignedClientIdentifier',
      'serverKeepAlive',
      'responseInformation',
      'reasonString',
    ])
      expect(answer.properties).not.toHaveProperty(name)
  })

  test.each([
    [0, 60, 60],
    [61, 60, 60],
    [60, 60, undefined],
    [5, 60, undefined],
    [0, 0, undefined],
    [65_535, 0, undefined],
  ])(
    'a keep alive of %i s with at most %i allowed: Server Keep Alive %s',
    (keepalive, keepAliveMaxS, expected) => {
      expect(connect({ keepalive }, { keepAliveMaxS }).answer.properties?.serverKeepAlive).toBe(expected)
    },
  )

  test('the connection lives by the Server Keep Alive', () => {
    const { client, pass } = connect({ keepalive: 600 }, { keepAliveMaxS: 4 })
    pass(7)
    expect(client.transport.isClosed).toBe(false)
    pass(2)
    expect(client.received()).toMatchObject([
      {
        cmd: 'disconnect',
        reasonCode: 0x8d,
        properties: { reasonString: expect.stringContaining('keep alive') },
      },
    ])
  })

  test('gives response information to who asks for it, and can', () => {
    const properties = { requestResponseInformation: true }
    expect(connect({ properties }).answer.properties?.responseInformation).toBe('devices/client/responses')
    const { answer } = connect({ properties, clientId: 'a/+' })
    expect(answer).toMatchObject({ reasonCode: 0 })
    expect(answer.properties).not.toHaveProperty('responseInformation')
  })

  test('an assigned identifier is told', () => {
    const { answer } = connect({ clientId: '' })
    expect(answer.properties?.assignedClientIdentifier).toMatch(/^auto-/)
  })

  test('says why not in words, unless they are not wanted or do not fit', () => {
    const refused = (properties: object): Answer =>
      connect({ properties: { authenticationMethod: 'GS2-KRB5', ...properties } }).answer
    const words = { reasonString: 'there is no enhanced authentication' }
    expect(refused({})).toMatchObject({ cmd: 'connack', reasonCode: 0x8c, properties: words })
    expect(refused({ maximumPacketSize: 100 }).properties).toEqual(words)
    expect(refused({ maximumPacketSize: 20 }).properties).toBeUndefined()
    expect(refused({ requestProblemInformation: false }).properties).toBeUndefined()
  })

  test('a CONNECT that cannot be read is told what is wrong with it', () => {
    const harness = makeHarness()
    const client = harness.accept()
    Object.assign(client, { version: 5 })
    client.sendBytes(Buffer.from('100d00044d515454050300000000' + '00', 'hex'))
    expect(client.received()).toMatchObject([
      { cmd: 'connack', reasonCode: 0x81, properties: { reasonString: 'CONNECT has its reserved flag set' } },
    ])
  })
})

describe('MQTT 5: DISCONNECT', () => {
  const alias = (topicAlias: number): Packet => ({
    cmd: 'publish',
    topic: 'a',
    payload: '',
    qos: 0,
    dup: false,
    retain: false,
    properties: { topicAlias },
  })
  const words = { reasonString: 'the topic alias is above the maximum' }

  test.each([
    ['in words', {}, words],
    ['without, when the client does not want them', { requestProblemInformation: false }, undefined],
    ['without, when the client takes no packet of that size', { maximumPacketSize: 30 }, undefined],
    ['with, when it takes just that', { maximumPacketSize: 43 }, words],
  ])('says why %s', (_, properties, expected) => {
    const { client } = connect({ properties })
    client.send(alias(17))
    const [answer] = client.received() as unknown as Answer[]
    expect(answer).toMatchObject({ cmd: 'disconnect', reasonCode: 0x94 })
    expect(answer.properties).toEqual(expected)
  })

  test('names the packet that cannot be read', () => {
    const { client } = connect({})
    client.sendBytes(Buffer.from('820300010000'.slice(0, 10), 'hex'))
    expect(client.received()).toMatchObject([
      { cmd: 'disconnect', reasonCode: 0x82, properties: { reasonString: 'SUBSCRIBE has no topic filter' } },
    ])
  })
})

describe('MQTT 5: SUBACK', () => {
  test.each([
    ['in words', {}, { reasonString: 'a#b is no topic filter, or has too many levels' }],
    ['without, when the client does not want them', { requestProblemInformation: false }, undefined],
    ['without, when the client takes no packet of that size', { maximumPacketSize: 40 }, undefined],
  ])('says why a filter is refused %s', (_, properties, expected) => {
    const { client } = connect({ properties })
    const subscriptions = ['a', 'a#b'].map((topic) => ({ topic, qos: 0 as const }))
    client.send({ cmd: 'subscribe', messageId: 1, subscriptions })
    const [answer] = client.received() as unknown as Answer[]
    expect(answer).toMatchObject({ cmd: 'suback', granted: [0, 0x8f] })
    expect(answer.properties).toEqual(expected)
  })

  test('a filter as long as can be is told in part', () => {
    const { client } = connect({})
    client.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'é'.repeat(32_700), qos: 0 }] })
    const [answer] = client.received() as unknown as Answer[]
    expect(answer).toMatchObject({ cmd: 'suback', granted: [0x8f] })
    expect(answer.properties?.reasonString).toMatch(/^é{200} is no topic filter/)
  })
})

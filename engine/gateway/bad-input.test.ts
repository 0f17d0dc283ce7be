import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Prng } from '../../base/prng.ts'
import { encode, type Harness, type MemoryClient, makeHarness, publishPacket } from './gateway-harness.ts'

const SEED = Number(process.env.SEED ?? 5)
const TOPIC = 'devices/a/telemetry'

let harness: Harness
let neighbour: MemoryClient

beforeEach(() => {
  harness = makeHarness({ limits: { receiveMaximum: 10, bufferedSizeBytesMax: 64 << 10 } })
  neighbour = harness.connect({ clientId: 'neighbour' })
})

/** Whatever the other one did, this one publishes and is acknowledged. */
afterEach(() => {
  neighbour.publish('devices/neighbour/telemetry', 'still here', 7)
  harness.sync()
  expect(neighbour.received()).toMatchObject([{ cmd: 'puback', messageId: 7 }])
  expect(neighbour.transport.isClosed).toBe(false)
  expect(harness.shards[0].records.at(-1)?.payload).toBe('still here')
  expect(harness.gateway.status()).toMatchObject({ connections: 1, pausedConnections: 0 })
})

function bytesOf(hex: string): Buffer {
  return Buffer.from(hex.replaceAll(' ', ''), 'hex')
}

/** What an open connection may not send, and the code that MQTT 5 has for it. */
const refused: [string, string, number, string][] = [
  ['a second CONNECT', '10 0f 0004 4d515454 05 02 0000 00 0002 6162', 0x82, 'protocol-error'],
  ['a packet type that does not exist', '00 00', 0x81, 'malformed-packet'],
  ['reserved bits', 'c1 00', 0x81, 'malformed-packet'],
  ['a SUBSCRIBE with reserved bits', '80 09 0001 00 0003 612f62 00', 0x81, 'malformed-packet'],
  ['QoS 3', '36 08 0003 612f62 0001 00', 0x81, 'malformed-packet'],
  ['DUP with QoS 0', '38 06 0003 612f62 00', 0x81, 'malformed-packet'],
  ['packet identifier 0', '32 08 0003 612f62 0000 00', 0x82, 'protocol-error'],
  ['an empty topic', '30 03 0000 00', 0x82, 'protocol-error'],
  ['a wildcard in a topic', '30 06 0003 612f23 00', 0x90, 'topic-name-invalid'],
  ['a topic that is not UTF-8', '30 06 0003 61ff62 00', 0x90, 'topic-name-invalid'],
  ['a topic with U+0000', '30 06 0003 610062 00', 0x90, 'topic-name-invalid'],
  ['a topic of the server', '30 08 0005 2453595361 00', 0x90, 'topic-name-invalid'],
  ['a topic longer than its packet', '30 04 0009 6162', 0x81, 'malformed-packet'],
  ['a topic alias of 0', '30 09 0003 612f62 03 230000', 0x82, 'protocol-error'],
  ['a topic alias beyond the maximum', '30 09 0003 612f62 03 230011', 0x94, 'topic-alias-invalid'],
  ['a topic alias that was never given', '30 06 0000 03 230002', 0x82, 'protocol-error'],
  ['a length of five bytes', '30 ff ff ff ff 01', 0x81, 'malformed-packet'],
  ['a packet that is too large', '30 ff ff ff 7f', 0x95, 'packet-too-large'],
  ['a CONNACK', '20 03 00 00 00', 0x82, 'protocol-error'],
  ['a PUBREL of identifier 0', '62 02 0000', 0x82, 'protocol-error'],
  ['a PUBREL with the flags of a PUBREC', '60 02 0001', 0x81, 'malformed-packet'],
  ['a PUBREL with a reason that it cannot have', '62 03 0001 10', 0x81, 'malformed-packet'],
  ['AUTH', 'f0 00', 0x82, 'protocol-error'],
  ['a SUBSCRIBE without a filter', '82 03 0001 00', 0x82, 'protocol-error'],
  ['a filter that is not UTF-8', '82 09 0001 00 0003 61ff62 00', 0x81, 'malformed-packet'],
  ['a PINGREQ with a body', 'c0 01 00', 0x81, 'malformed-packet'],
]

describe('an open connection', () => {
  test.each(refused)('MQTT 5: %s', (_, hex, reasonCode, name) => {
    const client = harness.connect({ version: 5, clientId: 'bad' })
    client.sendBytes(bytesOf(hex))
    expect(client.received()).toMatchObject([{ cmd: 'disconnect', reasonCode }])
    expect(client.transport.isClosed).toBe(true)
    expect(harness.gateway.status().disconnectsByReason).toEqual({ [name]: 1 })
  })

  test('3.1.1 is closed without a word', () => {
    const client = harness.connect({ clientId: 'bad' })
    client.sendBytes(bytesOf('36 07 0003 612f62 0001'))
    expect(client.received()).toEqual([])
    expect(client.transport.isClosed).toBe(true)
    expect(harness.gateway.status().disconnectsByReason).toEqual({ 'malformed-packet': 1 })
  })

  test('what comes before the fault is taken, what comes after is not', () => {
    const client = harness.connect({ version: 5, clientId: 'bad' })
    const good = encode(5, publishPacket(TOPIC, 'good'))
    client.sendBytes(Buffer.concat([good, bytesOf('c1 00'), good]))
    client.sendBytes(good)
    harness.sync()
    expect(harness.shards[0].records.length).toBe(1)
  })

  test('MQTT 5: more unacknowledged messages than the receive maximum', () => {
    const client = harness.connect({ version: 5, clientId: 'bad' })
    client.send(...Array.from({ length: 11 }, (_, i) => publishPacket(TOPIC, '{}', i + 1)))
    expect(client.received()).toMatchObject([{ cmd: 'disconnect', reasonCode: 0x93 }])
  })

  test('keep-alive: one and a half times the interval, whatever the clock does', () => {
    const client = harness.connect({ version: 5, clientId: 'quiet', keepalive: 4 })
    harness.clock.advance(3_600_000)
    harness.gateway.step()
    harness.pass(5)
    client.send({ cmd: 'pingreq' })
    harness.pass(7)
    expect(client.received()).toMatchObject([{ cmd: 'pingresp' }])
    harness.pass(2)
    expect(client.received()).toMatchObject([{ cmd: 'disconnect', reasonCode: 0x8d }])
  })

  test('a client that never reads its PINGRESPs is let go', () => {
    const client = harness.connect({ clientId: 'deaf' })
    client.transport.isStuck = true
    const pings = Buffer.concat(Array.from({ length: 1000 }, () => bytesOf('c0 00')))
    for (let i = 0; i < 40; i++) client.sendBytes(pings)
    expect(client.transport.isClosed).toBe(true)
    expect(client.transport.bufferedBytes).toBeLessThan(70_000)
    expect(harness.gateway.status().disconnectsByReason).toEqual({ 'slow-reader': 1 })
  })

  test('a transport that cannot be paused may fill what it may hold, and no more', () => {
    const client = harness.connect({ clientId: 'fast' })
    const bytes = encode(4, publishPacket(TOPIC, 'x'.repeat(10_000)))
    for (let i = 0; i < 60; i++) client.sendBytes(bytes)
    expect(client.transport.closeCode).toBe(1013)
    expect(harness.gateway.status().disconnectsByReason).toEqual({ overrun: 1 })
    harness.sync()
  })
})

/** First packets that are refused, what MQTT 5 is told, and under which name they are counted. */
const refusedConnects: [string, string, number | null, string][] = [
  ['a wrong protocol name', '10 0d 0004 4d515451 05 02 0000 00 0000', null, 'unsupported-protocol-version'],
  [
    'a protocol level to come',
    '10 0d 0004 4d515454 06 02 0000 00 0000',
    0x84,
    'unsupported-protocol-version',
  ],
  ['a reserved flag', '10 0d 0004 4d515454 05 03 0000 00 0000', 0x81, 'malformed-packet'],
  ['an identifier that is not UTF-8', '10 0e 0004 4d515454 05 02 0000 00 0001 ff', 0x81, 'malformed-packet'],
  ['bytes behind the end', '10 0e 0004 4d515454 05 02 0000 00 0000 00', 0x81, 'malformed-packet'],
  ['a short one', '10 08 0004 4d515454 05 02', 0x81, 'malformed-packet'],
  [
    'a method of authentication',
    '10 13 0004 4d515454 05 02 0000 06 150003 616263 0000',
    0x8c,
    'bad-authentication-method',
  ],
]

describe('a first packet', () => {
  test.each(refusedConnects)('%s', (_, hex, reasonCode, name) => {
    const client = harness.accept()
    client.sendBytes(bytesOf(hex))
    const answers = client.transport.packets(5)
    expect(answers).toMatchObject(reasonCode === null ? [] : [{ cmd: 'connack', reasonCode }])
    expect(client.transport.isClosed).toBe(true)
    expect(harness.gateway.status()).toMatchObject({ connectsRefused: 1, disconnectsByReason: { [name]: 1 } })
  })

  test('3.1.1 with neither an identifier nor a clean session is refused with 2', () => {
    const client = harness.accept()
    client.sendBytes(bytesOf('10 0c 0004 4d515454 04 00 0000 0000'))
    expect(client.received()).toMatchObject([{ cmd: 'connack', returnCode: 2 }])
    expect(client.transport.isClosed).toBe(true)
  })

  test('a PUBLISH before CONNECT, HTTP, TLS, noise', () => {
    const random = new Prng(SEED)
    const noise = Buffer.from(Array.from({ length: 500 }, () => random.between(0, 255)))
    noise[0] = 0x55
    noise[1] = 0x03
    const firsts = [
      encode(4, publishPacket(TOPIC, '{}')),
      Buffer.from('GET / HTTP/1.1\r\n\r\n'.padEnd(80)),
      noise,
    ]
    firsts.push(bytesOf('16 0301 0005 010000fc').subarray(0, 8))
    for (const first of firsts) {
      const client = harness.accept()
      client.sendBytes(first)
      expect(client.received()).toEqual([])
      harness.pass(12) // what still looks like the start of a packet runs into the time for CONNECT
      expect(client.transport.isClosed).toBe(true)
    }
    harness.sync()
    expect(harness.shards[0].records).toEqual([])
  })

  test('that claims 100 MB is refused before anything is kept for it', () => {
    const client = harness.accept()
    client.sendBytes(bytesOf('10 80 c2 d7 2f 0004'))
    expect(client.transport.isClosed).toBe(true)
    expect(harness.gateway.status().disconnectsByReason).toEqual({ 'packet-too-large': 1 })
  })

  test('that does not come, or does not end, is waited for as long as the limit says', () => {
    const [silent, endless] = [harness.accept(), harness.accept()]
    endless.sendBytes(bytesOf('10 90 4e 0004 4d515454'))
    for (let i = 0; i < 10; i++) {
      harness.pass(1)
      endless.sendBytes(bytesOf('00'))
      expect(silent.transport.isClosed || endless.transport.isClosed, `after ${i} s`).toBe(false)
    }
    harness.pass(2)
    expect(silent.transport.isClosed && endless.transport.isClosed).toBe(true)
    expect(harness.gateway.status().disconnectsByReason).toEqual({ 'connect-timeout': 2 })
  })
})

test('random bytes after CONNECT never throw, and end only the connection they came by', () => {
  const random = new Prng(SEED)
  for (let round = 0; round < 500; round++) {
    const version = random.between(0, 1) === 0 ? 4 : 5
    const client = harness.connect({ version, clientId: 'noise' })
    const valid = encode(version, publishPacket(TOPIC, 'payload', 5), {
      cmd: 'subscribe',
      messageId: 6,
      subscriptions: [{ topic: 'a/b', qos: 1 }],
    })
    const bytes = Buffer.concat([valid, valid])
    for (let i = random.between(1, 6); i > 0; i--)
      bytes[random.between(0, bytes.length - 1)] = random.between(0, 255)
    client.sendBytes(bytes)
    harness.sync()
    client.connection.closed()
  }
  harness.sync()
})

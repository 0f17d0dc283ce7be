import { describe, expect, test } from 'vitest'
import { ReasonCode } from '../../../codecs/mqtt/packet.ts'
import {
  connectPacket,
  encode,
  type Harness,
  type MemoryClient,
  makeHarness,
  publishPacket,
} from '../gateway-harness.ts'
import { type ConnectAttempt, PENDING } from './connect-attempt.ts'
import { CONNECT_STAGES } from './connect-stages.ts'

const TOPIC = 'devices/a/telemetry'

/** A gateway whose CONNECTs wait, before the session is opened, until they are told to proceed. */
function makeWaiting(): { harness: Harness; attempts: ConnectAttempt[]; cancelled: ConnectAttempt[] } {
  const attempts: ConnectAttempt[] = []
  const cancelled: ConnectAttempt[] = []
  const wait = (attempt: ConnectAttempt): number => {
    attempts.push(attempt)
    attempt.onCancel = () => cancelled.push(attempt)
    return PENDING
  }
  const [limits, authenticate, openSession] = CONNECT_STAGES
  const stages = [limits, authenticate, wait, openSession]
  return { harness: makeHarness({ stages, limits: { connectTimeoutMs: 5000 } }), attempts, cancelled }
}

function commands(client: MemoryClient): string[] {
  return client.received().map(({ cmd }) => cmd)
}

describe('a CONNECT that has to wait', () => {
  const stream = encode(4, connectPacket(), publishPacket(TOPIC, 'one', 1), publishPacket(TOPIC, 'two', 2))
  const connectSize = encode(4, connectPacket()).length

  test.each([
    ['all in one read', [stream.length]],
    ['CONNECT alone', [connectSize, stream.length]],
    ['cut within a packet', [connectSize + 3, connectSize + 9, stream.length]],
    ['byte by byte', Array.from(stream, (_, i) => i + 1)],
  ])('holds what follows it, in order: %s', (_, ends) => {
    const { harness, attempts } = makeWaiting()
    const client = harness.accept()
    let start = 0
    for (const end of ends) {
      client.sendBytes(stream.subarray(start, end))
      start = end
    }
    harness.sync()
    expect(client.transport.isPaused).toBe(true)
    expect(client.received()).toEqual([])
    expect(harness.shards[0].records).toEqual([])
    expect(harness.gateway.status()).toMatchObject({ connections: 0, pausedConnections: 0 })
    attempts[0].proceed(0)
    harness.sync()
    expect(commands(client)).toEqual(['connack', 'puback', 'puback'])
    expect(harness.shards[0].records.map(({ payload }) => payload)).toEqual(['one', 'two'])
    expect(client.transport.isPaused).toBe(false)
    expect(harness.gateway.status()).toMatchObject({ connections: 1, pausedConnections: 0 })
  })

  test('is told why it is refused, and what it sent meanwhile is dropped', () => {
    const { harness, attempts } = makeWaiting()
    const client = harness.accept()
    client.sendBytes(stream)
    attempts[0].proceed(ReasonCode.NOT_AUTHORIZED)
    harness.sync()
    expect(client.received()).toMatchObject([{ cmd: 'connack', returnCode: 5 }])
    expect(client.transport.isClosed).toBe(true)
    expect(harness.shards[0].records).toEqual([])
    expect(harness.gateway.status()).toMatchObject({ connectsRefused: 1, connectsAccepted: 0 })
  })

  test('may send so much meanwhile, and no more', () => {
    const { harness } = makeWaiting()
    const client = harness.accept()
    client.sendBytes(encode(4, connectPacket()))
    for (let i = 0; i < 100 && !client.transport.isClosed; i++) client.sendBytes(new Uint8Array(8192))
    expect(client.transport.isClosed).toBe(true)
    expect(harness.gateway.status().disconnectsByReason).toMatchObject({ overrun: 1 })
  })

  test('is cancelled when the connection is lost; an answer that comes later means nothing', () => {
    const { harness, attempts, cancelled } = makeWaiting()
    const client = harness.accept()
    client.sendBytes(stream)
    client.connection.closed()
    expect(cancelled).toEqual(attempts)
    attempts[0].proceed(0)
    harness.sync()
    expect(client.received()).toEqual([])
    expect(harness.gateway.status()).toMatchObject({ connections: 0, connectsAccepted: 0 })
  })

  test('ends with the time for CONNECT', () => {
    const { harness, cancelled } = makeWaiting()
    const client = harness.accept()
    client.sendBytes(stream)
    harness.pass(7)
    expect(client.transport.isClosed).toBe(true)
    expect(cancelled).toHaveLength(1)
  })

  test('leaves the client identifier to a CONNECT that came after it', () => {
    const { harness, attempts } = makeWaiting()
    const [first, second] = [harness.accept(), harness.accept()]
    first.send(connectPacket())
    second.send(connectPacket())
    attempts[1].proceed(0)
    attempts[0].proceed(0)
    expect(commands(second)).toEqual(['connack'])
    expect(commands(first)).toEqual([])
    expect(first.transport.isClosed).toBe(true)
    expect(second.transport.isClosed).toBe(false)
    const third = harness.accept()
    third.send(connectPacket())
    attempts[2].proceed(0)
    expect(second.transport.isClosed).toBe(true)
  })
})

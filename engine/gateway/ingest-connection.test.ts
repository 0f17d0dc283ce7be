import { describe, expect, test } from 'vitest'
import { hashBytes } from '../../base/hash.ts'
import { UNKNOWN } from '../registry/gateway-identities.ts'
import { type Harness, makeHarness } from './gateway-harness.ts'
import type { IngestConnection, IngestTransport } from './ingest-connection.ts'

class MemoryWebSocket implements IngestTransport {
  readonly peer = { address: '192.0.2.1', identity: null }
  bufferedBytes = 0
  closeCode = 0
  readonly sent: string[] = []

  sendText(text: string): void {
    this.sent.push(text)
  }

  sendBinary(bytes: Uint8Array): void {
    this.sent.push(Buffer.from(bytes).toString('hex'))
  }

  close(code: number): void {
    this.closeCode = code
  }
}

function open(harness: Harness, device = 'a'): { connection: IngestConnection; socket: MemoryWebSocket } {
  const socket = new MemoryWebSocket()
  const route = harness.gateway.context.router.routeOf(0, device)
  const connection = harness.gateway.acceptIngest(socket, {
    route: route!,
    session: 'session',
    granted: UNKNOWN,
  })
  if (connection === null) throw new Error('refused')
  return { connection, socket }
}

const frame = (seq: number, data = '{}'): Uint8Array => Buffer.from(`{"seq":${seq},"data":${data}}`)

describe('a plain WebSocket connection', () => {
  test('acknowledges what is durable, the last of it only', () => {
    const harness = makeHarness()
    const { connection, socket } = open(harness)
    for (const seq of [1, 2, 5, 9]) connection.receive(frame(seq), false)
    const [shard] = harness.shards
    shard.take()
    expect(shard.records[0]).toMatchObject({
      kind: 2,
      flags: 2,
      topic: 'devices/a/telemetry',
      device: 'a',
      payload: '{}',
      clientHash: hashBytes(Buffer.from('session'), 0, 7),
    })
    expect(shard.records.map(({ sequence }) => sequence)).toEqual([1, 2, 5, 9])
    harness.gateway.step()
    expect(socket.sent).toEqual([])
    shard.release(3)
    harness.gateway.step()
    shard.release(1)
    harness.gateway.step()
    expect(socket.sent).toEqual(['{"ack":5}', '{"ack":9}'])
    expect(harness.gateway.status()).toMatchObject({ acknowledged: 4, messagesReceived: [0, 4, 0] })
  })

  test('tells a slow reader the latest once it reads again', () => {
    const harness = makeHarness()
    const { connection, socket } = open(harness)
    socket.bufferedBytes = 100
    for (const seq of [1, 2, 3]) {
      connection.receive(frame(seq), false)
      harness.sync()
    }
    expect(socket.sent).toEqual([])
    socket.bufferedBytes = 0
    connection.drained()
    expect(socket.sent).toEqual(['{"ack":3}'])
  })

  test('holds what comes while the ring is full, in order, and lets go of one that sends too much', () => {
    const harness = makeHarness()
    const [patient, greedy] = [open(harness, 'a'), open(harness, 'b')]
    const fill = JSON.stringify('x'.repeat(9000))
    for (let seq = 1; seq <= 20; seq++) patient.connection.receive(frame(seq, fill), false)
    for (let seq = 1; seq <= 60; seq++) greedy.connection.receive(frame(seq, fill), false)
    expect(greedy.socket.closeCode).toBe(1013)
    expect(harness.gateway.status()).toMatchObject({
      pausedConnections: 1,
      disconnectsByReason: { overrun: 1 },
    })
    harness.sync()
    expect(harness.shards[0].records.map(({ sequence }) => sequence)).toEqual(
      Array.from({ length: 20 }, (_, i) => i + 1),
    )
    expect(patient.socket.sent.at(-1)).toBe('{"ack":20}')
    expect(harness.gateway.status().pausedConnections).toBe(0)
    harness.pass(2)
  })

  test('waits when too much is unacknowledged', () => {
    const harness = makeHarness({ limits: { receiveMaximum: 3 } })
    const { connection, socket } = open(harness)
    for (let seq = 1; seq <= 10; seq++) connection.receive(frame(seq), false)
    harness.shards[0].take()
    expect(harness.shards[0].records.length).toBe(3)
    harness.sync()
    expect(harness.shards[0].records.length).toBe(10)
    expect(socket.sent.at(-1)).toBe('{"ack":10}')
  })

  test('a fault in what was held ends the connection, after what came before it', () => {
    const harness = makeHarness({ limits: { receiveMaximum: 1 } })
    const { connection, socket } = open(harness)
    for (const seq of [1, 2, 2, 3]) connection.receive(frame(seq), false)
    harness.sync()
    expect(harness.shards[0].records.map(({ sequence }) => sequence)).toEqual([1, 2])
    expect(socket.closeCode).toBe(1008)
    expect(harness.gateway.status()).toMatchObject({ connections: 0, pausedConnections: 0 })
  })

  test('is refused while the rings have been full for a second, and during a drain', () => {
    const harness = makeHarness()
    const { connection } = open(harness)
    const fill = JSON.stringify('x'.repeat(9000))
    for (let seq = 1; seq <= 8; seq++) connection.receive(frame(seq, fill), false)
    harness.pass(2)
    expect(() => open(harness)).toThrow('refused')
    harness.sync()
    open(harness)
    harness.gateway.beginDrain()
    expect(() => open(harness)).toThrow('refused')
  })
})

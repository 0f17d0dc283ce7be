/** The session thread's work over a disk that fails, and through crashes: what is acknowledged is there again. */

import type { Packet } from 'mqtt-packet'
import { describe, expect, test } from 'vitest'
import { type MemoryClient, makeHarness } from '../gateway/gateway-harness.ts'

function kinds(packets: readonly Packet[]): string[] {
  return packets.map(({ cmd }) => cmd)
}

function payloads(packets: readonly Packet[]): string[] {
  return packets.flatMap((packet) => (packet.cmd === 'publish' ? [packet.payload.toString()] : []))
}

const KEPT = { version: 5, properties: { sessionExpiryInterval: 3600 } } as const

function subscribe(client: MemoryClient, topic: string): void {
  client.send({ cmd: 'subscribe', messageId: 9, subscriptions: [{ topic, qos: 1 }] })
}

describe('on a disk that does not answer', () => {
  test('no CONNACK of a kept session, no SUBACK, no PUBACK of what it wants; others go on', () => {
    const harness = makeHarness()
    const kept = harness.open({ ...KEPT, clientId: 'kept' })
    expect(kept.received()).toEqual([])
    harness.sync()
    expect(kinds(kept.received())).toEqual(['connack'])
    subscribe(kept, 'jobs/#')
    harness.gateway.step()
    expect(kept.received()).toEqual([])
    harness.sync()
    expect(kinds(kept.received())).toEqual(['suback'])

    const writer = harness.connect({ clientId: 'writer' })
    harness.sessions.disk.syncFault = new Error('EIO')
    writer.publish('jobs/1', 'job', 1)
    writer.publish('elsewhere', 'x', 2)
    harness.sync()
    expect(writer.received()).toEqual([]) // in order: the second waits behind the first
    expect(kept.received()).toEqual([])
    const other = harness.connect({ clientId: 'other' })
    other.publish('devices/d/telemetry', '{"a":1}', 3)
    harness.sync()
    expect(kinds(other.received())).toEqual(['puback'])

    harness.sessions.disk.syncFault = null
    harness.pass(1)
    harness.sync()
    expect(kinds(writer.received())).toEqual(['puback', 'puback'])
    expect(payloads(kept.received())).toEqual(['job'])
  })

  test('a full ring stops the reading of whom it concerns, and goes on in order', () => {
    const harness = makeHarness({ ringSizeBytes: 1 << 20 })
    const kept = harness.open({ ...KEPT, clientId: 'kept' })
    harness.sync()
    subscribe(kept, 'jobs/#')
    harness.sync()
    kept.received()
    const writer = harness.connect({ clientId: 'writer' })
    const payload = 'x'.repeat(60_000)
    let next = 1
    const send = () => {
      while (next <= 100 && !writer.transport.isPaused) writer.publish('jobs/1', `${next} ${payload}`, next++)
    }
    send()
    expect(next).toBeLessThan(100)
    const acknowledged: number[] = []
    const heard: string[] = []
    for (let pass = 0; pass < 400 && heard.length < 100; pass++) {
      harness.sync()
      send()
      for (const packet of writer.received())
        if (packet.cmd === 'puback') acknowledged.push(packet.messageId ?? 0)
      for (const packet of kept.received()) {
        if (packet.cmd !== 'publish') continue
        heard.push(packet.payload.toString().split(' ')[0])
        kept.send({ cmd: 'puback', messageId: packet.messageId })
      }
    }
    const ids = Array.from({ length: 100 }, (_, index) => index + 1)
    expect(acknowledged).toEqual(ids)
    expect(heard).toEqual(ids.map(String))
    expect(writer.transport.isPaused).toBe(false)
  })
})

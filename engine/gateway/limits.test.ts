/** What one client may take of a gateway: each limit holds, has its counter, and leaves the others alone. */
import { once } from 'node:events'
import { describe, expect, test } from 'vitest'
import type { LimitsConfig } from '../config.ts'
import { Admission } from './admission.ts'
import { ConnectionCounts } from './connection-counts.ts'
import {
  connectPacket,
  encode,
  type Harness,
  MemoryClient,
  makeHarness,
  publishPacket,
} from './gateway-harness.ts'
import { TrustedProxies } from './proxy-stage.ts'
import { binaryFrame, openSocket, runGateway, UPGRADE_TO_MQTT, until } from './socket-harness.ts'
import { TcpDoor } from './tcp-door.ts'

const TOPIC = 'devices/a/telemetry'

describe('a budget of messages', () => {
  const budget = { deviceMessagesPerSMax: 10 }

  /** Sends as soon as it is read, for so long; returns how many messages were taken. */
  function flood(harness: Harness, client: MemoryClient, seconds: number, perRead: number): number {
    const bytes = encode(4, ...Array.from({ length: perRead }, () => publishPacket(TOPIC, '{}')))
    const before = harness.shards[0].records.length
    for (let elapsedMs = 0; elapsedMs < seconds * 1000; elapsedMs += 100) {
      if (!client.transport.isPaused) client.sendBytes(bytes)
      harness.clock.advance(100)
      harness.sync()
    }
    return harness.shards[0].records.length - before
  }

  test.each([2, 7, 50, 600])('holds in the long run with %i messages a read, and refuses none', (perRead) => {
    const harness = makeHarness({ limits: budget })
    const client = harness.connect()
    const taken = flood(harness, client, 200, perRead)
    expect(taken).toBeGreaterThanOrEqual(200 * 10 - 2)
    expect(taken).toBeLessThanOrEqual(200 * 10 + 10 + perRead)
    expect(client.transport.isClosed).toBe(false)
    expect(harness.gateway.status().readsSlowed).toBeGreaterThan(0)
    expect(harness.gateway.status().pausedConnections).toBe(client.transport.isPaused ? 1 : 0)
  })

  test('acknowledges all that it takes, in order, and answers no error', () => {
    const harness = makeHarness({ limits: budget })
    const client = harness.connect({ version: 5 })
    const count = 40
    client.send(...Array.from({ length: count }, (_, i) => publishPacket(TOPIC, `${i}`, i + 1)))
    harness.sync()
    expect(client.transport.isPaused).toBe(true)
    for (let i = 0; i < 50; i++) {
      harness.clock.advance(100)
      harness.sync()
    }
    const answers = client.received()
    expect(answers.map(({ messageId }) => messageId)).toEqual(Array.from({ length: count }, (_, i) => i + 1))
    for (const answer of answers) expect(answer).toMatchObject({ cmd: 'puback' })
    expect(client.transport.isPaused).toBe(false)
    expect(harness.gateway.status()).toMatchObject({ pausedConnections: 0, readsSlowed: 1 })
  })

  test("is one connection's: another one is read meanwhile", () => {
    const harness = makeHarness({ limits: budget })
    const [greedy, modest] = [
      harness.connect({ clientId: 'greedy' }),
      harness.connect({ clientId: 'modest' }),
    ]
    greedy.send(...Array.from({ length: 500 }, () => publishPacket(TOPIC, '{}')))
    modest.publish(TOPIC, '{}', 1)
    harness.sync()
    expect(greedy.transport.isPaused).toBe(true)
    expect(modest.transport.isPaused).toBe(false)
    expect(modest.received()).toMatchObject([{ cmd: 'puback', messageId: 1 }])
  })

  test('is not charged with what others sent before it came', () => {
    const harness = makeHarness({ limits: budget })
    for (let i = 0; i < 5; i++) {
      const client = harness.connect({ clientId: `c${i}` })
      for (let count = 0; count < 10; count++) client.publish(TOPIC, '{}')
      expect(client.transport.isPaused).toBe(false)
    }
    expect(harness.gateway.status().readsSlowed).toBe(0)
  })

  test('keep-alive is suspended while it is waited for', () => {
    const harness = makeHarness({ limits: budget })
    const client = harness.connect({ keepalive: 2 })
    client.send(...Array.from({ length: 300 }, () => publishPacket(TOPIC, '{}')))
    harness.sync()
    harness.pass(20)
    expect(client.transport.isPaused).toBe(true)
    expect(client.transport.isClosed).toBe(false)
    harness.pass(20)
    expect(client.transport.isClosed).toBe(true)
    expect(harness.gateway.status()).toMatchObject({
      disconnectsByReason: { 'keep-alive-timeout': 1 },
      pausedConnections: 0,
    })
  })

  test('a ring that is full at the same time: goes on when both have room', () => {
    const harness = makeHarness({ limits: budget, ringSizeBytes: 1 << 16 })
    const client = harness.connect()
    client.send(...Array.from({ length: 60 }, () => publishPacket(TOPIC, 'x'.repeat(1200), 0)))
    expect(client.transport.isPaused).toBe(true)
    for (let i = 0; i < 100; i++) {
      harness.clock.advance(100)
      harness.gateway.step() // the budget is paid, the ring is still full
    }
    expect(client.transport.isPaused).toBe(true)
    for (let i = 0; i < 100; i++) {
      harness.clock.advance(100)
      harness.sync()
    }
    expect(client.transport.isPaused).toBe(false)
    expect(harness.shards[0].records).toHaveLength(60)
    expect(harness.gateway.status().pausedConnections).toBe(0)
  })
})

test('a budget of bytes holds in the long run', () => {
  const harness = makeHarness({ limits: { deviceBytesPerSMax: 10_000 } })
  const client = harness.connect()
  const bytes = encode(4, publishPacket(TOPIC, 'x'.repeat(3000)))
  let sent = 0
  for (let i = 0; i < 1000; i++) {
    if (!client.transport.isPaused) {
      client.sendBytes(bytes)
      sent += bytes.length
    }
    harness.clock.advance(100)
    harness.sync()
  }
  expect(sent).toBeGreaterThan(990_000)
  expect(sent).toBeLessThan(1_020_000)
})

describe('connections', () => {
  test('in all, of every gateway together', () => {
    const limits = { connectionsMax: 3 } as LimitsConfig
    const memory = ConnectionCounts.memory()
    const [one, two] = [0, 1].map(() => new Admission(limits, new ConnectionCounts(memory)))
    expect([one, two, one].map((gateway) => gateway.admit('192.0.2.1'))).toEqual([null, null, null])
    expect(two.admit('192.0.2.2')).toMatchObject({ name: 'too-many-connections' })
    one.leave('192.0.2.1')
    expect(two.admit('192.0.2.2')).toBe(null)
  })

  test('of one address, and of one network of IPv6', () => {
    const harness = makeHarness({ limits: { connectionsPerAddressMax: 2 } })
    const open = (address: string) => new MemoryClient(harness.gateway, 4, address)
    const first = open('192.0.2.1')
    open('192.0.2.1')
    expect(() => open('192.0.2.1')).toThrow()
    open('192.0.2.2')
    for (const address of ['2001:db8::1', '2001:db8:0:0:ffff::2']) open(address)
    expect(() => open('2001:db8::3')).toThrow()
    open('2001:db8:0:1::1')
    expect(harness.gateway.status()).toMatchObject({
      connectsRefused: 2,
      disconnectsByReason: { 'too-many-from-address': 2 },
    })
    first.connection.closed()
    open('192.0.2.1')
  })

  test("of an address that a load balancer tells: the client's counts, not its own", () => {
    const harness = makeHarness({ limits: { connectionsPerAddressMax: 1 } })
    for (const address of ['198.51.100.1', '198.51.100.2']) {
      const { transport } = new MemoryClient(harness.gateway, 4, '192.0.2.1')
      expect(harness.gateway.readdress(transport.peer, address)).toBe(null)
    }
    const third = new MemoryClient(harness.gateway, 4, '192.0.2.1')
    const refusal = harness.gateway.readdress(third.transport.peer, '198.51.100.2')
    expect(refusal).toMatchObject({ name: 'too-many-from-address' })
    third.connection.closed()
    new MemoryClient(harness.gateway, 4, '192.0.2.1')
  })

  test('a second: those beyond wait unread, in turn, and what would wait too long is refused', async () => {
    const limits = { connectsPerSMax: 20, connectTimeoutMs: 500 }
    const harness = makeHarness({ limits })
    const door = new TcpDoor(harness.gateway, null, new TrustedProxies([]))
    const { port } = await door.listen({ host: '127.0.0.1', port: 0 })
    const sockets = await Promise.all(Array.from({ length: 30 }, () => openSocket(port)))
    for (const socket of sockets) socket.resume()
    await until(() => harness.gateway.context.clients.size >= 12, 'those that may come')
    const refused = sockets.filter(({ closed }) => closed).length
    expect(refused).toBeGreaterThan(0)
    const { disconnectsByReason, connectsQueued } = harness.gateway.status()
    expect(disconnectsByReason).toEqual({ 'connection-rate-exceeded': refused })
    expect(connectsQueued).toBeGreaterThanOrEqual(10)
    expect(harness.gateway.context.clients.size + refused).toBe(30)
    door.stopAccepting()
    door.destroyAll()
    await until(() => sockets.every(({ closed }) => closed), 'all ends')
  })
})

describe('levels of topics', () => {
  const limits = { topicLevelsMax: 3 }

  test('a topic with more is refused', () => {
    const harness = makeHarness({ limits })
    const client = harness.connect({ version: 5 })
    client.publish('a/b/c', '{}')
    expect(client.received()).toEqual([])
    client.publish('a/b/c/d', '{}')
    expect(client.received()).toMatchObject([{ cmd: 'disconnect', reasonCode: 0x90 }])
  })

  test('a filter with more is refused, and the others of its packet are not', () => {
    const harness = makeHarness({ limits })
    const client = harness.connect({ version: 5 })
    const subscriptions = ['a/+/#', 'a/b/c/#'].map((topic) => ({ topic, qos: 1 as const }))
    client.send({ cmd: 'subscribe', messageId: 1, subscriptions })
    expect(client.received()).toMatchObject([{ cmd: 'suback', granted: [1, 0x8f] }])
  })
})

test('bytes that wait: so many beyond a packet, received or to be sent', () => {
  const harness = makeHarness({
    limits: { bufferedSizeBytesMax: 8192, packetSizeBytesMax: 4096, receiveMaximum: 1 },
  })
  const eager = harness.connect({ clientId: 'eager' })
  const deaf = harness.connect({ clientId: 'deaf', version: 5 })
  deaf.transport.isStuck = true
  for (let i = 1; i <= 20; i++) eager.sendBytes(encode(4, publishPacket(TOPIC, 'x'.repeat(1000), i)))
  for (let i = 0; i < 5000; i++) deaf.send({ cmd: 'pingreq' })
  for (const client of [eager, deaf]) expect(client.transport.closeCode).toBe(1013)
  expect(deaf.transport.bufferedBytes).toBeLessThan(8300)
  deaf.transport.unstick()
  expect(deaf.received().at(-1)).toMatchObject({ cmd: 'disconnect', reasonCode: 0x89 })
  expect(harness.gateway.status().disconnectsByReason).toEqual({ overrun: 1, 'slow-reader': 1 })
})

test('a WebSocket that reads nothing is closed once so many bytes wait for it', async () => {
  const running = await runGateway()
  const socket = await openSocket(running.webSocketPort)
  socket.write(UPGRADE_TO_MQTT)
  await once(socket, 'data')
  socket.pause()
  const pings = Buffer.alloc(100_000, Buffer.from([0xc0, 0]))
  socket.write(binaryFrame(encode(5, connectPacket({ version: 5 }))))
  const timer = setInterval(() => {
    if (socket.writableLength < 1 << 20) socket.write(binaryFrame(pings))
  }, 1)
  await until(() => running.control.status().disconnectsByReason['slow-reader'] === 1, 'its end')
  clearInterval(timer)
  socket.destroy()
  await running.stop()
})

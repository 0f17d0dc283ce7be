/**
 * A gateway without sockets: from the bytes of a read to records in the ring and answers in a buffer, for
 * telemetry that nobody subscribes to. What every feature of MQTT costs those who do not use it shows here.
 */
import mqtt, { type Packet } from 'mqtt-packet'
import { assert } from '../base/assert.ts'
import { systemClock } from '../base/clock.ts'
import { DEFAULT_CONFIG } from '../engine/config.ts'
import { Gateway } from '../engine/gateway/gateway-core.ts'
import type { Transport } from '../engine/gateway/transport.ts'
import { openIdentities } from '../engine/registry/open-identities.ts'
import { Doorbell } from '../engine/ring/doorbell.ts'
import { createRing, RingConsumer } from '../engine/ring/ring.ts'
import { SessionsFixture } from '../engine/sessions/sessions-fixture.ts'
import type { Bench, BenchSize, Measure } from './bench.ts'
import { compare } from './harness.ts'

const MESSAGE_COUNT = 600
const PAYLOAD = '{"t":21.5,"h":40.25}'.padEnd(60)

class CountingTransport implements Transport {
  readonly peer = { address: '192.0.2.1', identity: null }
  readonly bufferedBytes = 0
  sizeBytes = 0
  isClosed = false

  write(bytes: Uint8Array): boolean {
    this.sizeBytes += bytes.length
    return true
  }

  close(): void {
    this.isClosed = true
  }

  pause(): void {}
  resume(): void {}
}

/** One pass: a read of MESSAGE_COUNT messages, their sync, and with QoS 2 their release and its sync. */
function intakeOf(protocolVersion: 4 | 5, qos: 0 | 1 | 2): () => void {
  const ring = createRing(1 << 20)
  const consumer = new RingConsumer(ring)
  let number = 0
  const gateway = new Gateway({
    index: 0,
    rings: [ring],
    shardBells: [new Doorbell(Doorbell.memory())],
    streams: DEFAULT_CONFIG.streams,
    limits: DEFAULT_CONFIG.limits,
    clock: systemClock,
    elapsedUs: () => performance.now() * 1000,
    takeNumber: () => ++number,
    peers: [],
    identities: openIdentities(),
    sessions: new SessionsFixture([Doorbell.memory()], systemClock).linkOptions(0),
  })
  const transport = new CountingTransport()
  const connection = gateway.accept(transport)
  assert(connection !== null, 'there is room for one')
  const encode = (packet: Packet): Buffer => mqtt.generate(packet, { protocolVersion })
  const receive = (bytes: Uint8Array): void => connection.receive(bytes, 0, bytes.length, 0)
  const sync = (): void => {
    while (consumer.take(1 << 20) > 0);
    consumer.release(consumer.position)
    gateway.step()
  }
  receive(encode({ cmd: 'connect', protocolId: 'MQTT', protocolVersion, clientId: 'bench', clean: true }))
  const ids = Array.from({ length: MESSAGE_COUNT }, (_, i) => i + 1)
  const topic = 'devices/device-0042/telemetry'
  const messages = Buffer.concat(
    ids.map((messageId) =>
      encode({ cmd: 'publish', topic, payload: PAYLOAD, qos, messageId, dup: false, retain: false }),
    ),
  )
  const releases = Buffer.concat(ids.map((messageId) => encode({ cmd: 'pubrel', messageId })))
  return () => {
    const before = transport.sizeBytes
    receive(messages)
    sync()
    if (qos === 2) {
      receive(releases)
      sync()
    }
    assert(transport.sizeBytes - before === MESSAGE_COUNT * 4 * qos, 'every message is answered')
    assert(!transport.isClosed, 'and none is refused')
  }
}

export const bench: Bench = {
  name: 'intake',
  about: `a read of ${MESSAGE_COUNT} PUBLISHes of one topic, no subscribers: bytes to records and answers`,
  async run(size: BenchSize): Promise<Measure[]> {
    const ns = await compare(
      {
        qos0: intakeOf(4, 0),
        qos1: intakeOf(4, 1),
        qos2: intakeOf(4, 2),
        qos0v5: intakeOf(5, 0),
        qos1v5: intakeOf(5, 1),
      },
      { operations: MESSAGE_COUNT, size },
    )
    return [
      { name: 'QoS 0, 3.1.1', value: ns.qos0, unit: 'ns/message' },
      { name: 'QoS 1 and its PUBACK, 3.1.1', value: ns.qos1, unit: 'ns/message' },
      { name: 'QoS 2 and all four packets, 3.1.1', value: ns.qos2, unit: 'ns/message' },
      { name: 'QoS 0, 5.0', value: ns.qos0v5, unit: 'ns/message' },
      { name: 'QoS 1 and its PUBACK, 5.0', value: ns.qos1v5, unit: 'ns/message' },
    ]
  },
}

/**
 * For tests: a Gateway over transports in memory, with shards that do as they are told and a clock that
 * stands still.
 */
import { generate, type Packet, parser } from 'mqtt-packet'
import { ManualClock } from '../../base/clock.ts'
import { alignRecord, RECORD_HEADER_SIZE_BYTES, RecordKind } from '../../codecs/journal/record.ts'
import { DEFAULT_CONFIG, type LimitsConfig, type StreamConfig } from '../config.ts'
import type { GatewayIdentities } from '../registry/gateway-identities.ts'
import { openIdentities } from '../registry/open-identities.ts'
import { Doorbell } from '../ring/doorbell.ts'
import { createRing, RingConsumer } from '../ring/ring.ts'
import { SessionsFixture } from '../sessions/sessions-fixture.ts'
import type { ConnectStage } from './connect/connect-attempt.ts'
import { Gateway } from './gateway-core.ts'
import type { Peer } from './peer.ts'
import type { PeerMessage } from './peer-link.ts'
import type { Transport } from './transport.ts'

export interface StoredRecord {
  kind: number
  flags: number
  topic: string
  device: string
  stream: number
  packetId: number
  arrivalMs: number
  clientHash: number
  sequence: number
  payload: string
}

/** A shard that only keeps what it is given. */
export class KeepingShard {
  readonly records: StoredRecord[] = []
  #consumer: RingConsumer
  /** Ends of the records taken and not yet released. */
  #ends: number[] = []

  constructor(ring: SharedArrayBuffer) {
    this.#consumer = new RingConsumer(ring)
  }

  /** Takes everything that is published; none of it is durable yet. */
  take(): void {
    const consumer = this.#consumer
    for (;;) {
      let offset = consumer.offset()
      let position = consumer.position
      const size = consumer.take(1 << 30)
      if (size === 0) return
      const end = offset + size
      while (offset < end) {
        const recordSize = consumer.views.u32[offset >>> 2]
        if (consumer.views.bytes[offset + 4] !== RecordKind.PAD) this.records.push(this.#read(offset))
        position = (position + alignRecord(recordSize)) | 0
        offset += alignRecord(recordSize)
        this.#ends.push(position)
      }
    }
  }

  get unreleased(): number {
    return this.#ends.length
  }

  /** Makes the first `count` of what was taken durable. */
  release(count = this.#ends.length): void {
    const ends = this.#ends.splice(0, count)
    if (ends.length > 0) this.#consumer.release(ends[ends.length - 1])
  }

  #read(offset: number): StoredRecord {
    const { bytes, u16, u32, f64 } = this.#consumer.views
    const size = u32[offset >>> 2]
    const half = offset >>> 1
    const topicStart = offset + RECORD_HEADER_SIZE_BYTES
    const topicEnd = topicStart + u16[half + 3]
    const deviceStart = topicStart + u16[half + 10]
    const text = (start: number, end: number): string => Buffer.from(bytes.slice(start, end)).toString()
    return {
      kind: bytes[offset + 4],
      flags: bytes[offset + 5],
      topic: text(topicStart, topicEnd),
      device: text(deviceStart, deviceStart + u16[half + 11]),
      stream: u16[half + 13],
      packetId: u16[half + 12],
      arrivalMs: f64[(offset >>> 3) + 1],
      clientHash: u32[(offset >>> 2) + 7],
      sequence: f64[(offset >>> 3) + 4],
      payload: text(topicEnd, offset + size),
    }
  }
}

/** A socket in memory. `isStuck` makes it keep what is written, as when the peer does not read. */
export class MemoryTransport implements Transport {
  readonly peer: Peer
  isStuck = false
  isPaused = false
  closeCode: number | null = null
  writeCount = 0
  bufferedBytes = 0
  #written: Buffer[] = []
  #stuck: Buffer[] = []

  constructor(address = '192.0.2.1') {
    this.peer = { address, identity: null }
  }

  get isClosed(): boolean {
    return this.closeCode !== null
  }

  write(bytes: Uint8Array): boolean {
    this.writeCount++
    const copy = Buffer.from(bytes)
    if (!this.isStuck) {
      this.#written.push(copy)
      return true
    }
    this.bufferedBytes += bytes.length
    this.#stuck.push(copy)
    return false
  }

  /** Drops what was written, stuck or not. */
  forget(): void {
    this.isStuck = false
    this.bufferedBytes = 0
    this.#written = []
    this.#stuck = []
  }

  unstick(): void {
    this.isStuck = false
    this.bufferedBytes = 0
    this.#written.push(...this.#stuck.splice(0))
  }

  close(code = 1000): void {
    this.closeCode = code
  }

  pause(): void {
    this.isPaused = true
  }

  resume(): void {
    this.isPaused = false
  }

  /** What has left since the last call, parsed by mqtt-packet. */
  packets(version: 4 | 5 = 4): Packet[] {
    const packets: Packet[] = []
    const reader = parser({ protocolVersion: version })
    reader.on('packet', (packet) => packets.push(packet))
    reader.on('error', (error) => {
      throw error
    })
    reader.parse(Buffer.concat(this.#written.splice(0)))
    return packets
  }
}

export interface HarnessOptions {
  shards?: number
  limits?: Partial<LimitsConfig>
  streams?: StreamConfig[]
  ringSizeBytes?: number
  stages?: readonly ConnectStage[]
  identities?: GatewayIdentities
}

export interface Harness {
  gateway: Gateway
  /** Of all gateways of a pair. */
  sessions: SessionsFixture
  shards: KeepingShard[]
  clock: ManualClock
  /** Makes all that was written durable, and lets the gateway see it. */
  sync(): void
  /** So many seconds pass, each with a step. */
  pass(seconds: number): void
  connect(options?: ClientOptions): MemoryClient
  /** Sends CONNECT, and does not wait for what is to be on disk before its answer. */
  open(options: ClientOptions): MemoryClient
  accept(): MemoryClient
}

export interface ClientOptions {
  version?: 4 | 5
  clientId?: string
  keepalive?: number
  properties?: Record<string, number>
}

/** A client in memory; `send` encodes by mqtt-packet. */
export class MemoryClient {
  readonly transport: MemoryTransport
  readonly version: 4 | 5
  readonly connection: NonNullable<ReturnType<Gateway['accept']>>

  constructor(gateway: Gateway, version: 4 | 5, address?: string) {
    this.transport = new MemoryTransport(address)
    this.version = version
    const connection = gateway.accept(this.transport)
    if (connection === null) throw new Error('the gateway is full')
    this.connection = connection
  }

  /** Bytes in one read; the gateway may not keep hold of them. */
  sendBytes(bytes: Uint8Array, headroomSizeBytes = 0): void {
    const memory = new Uint8Array(headroomSizeBytes + bytes.length)
    memory.set(bytes, headroomSizeBytes)
    this.connection.receive(memory, headroomSizeBytes, memory.length, headroomSizeBytes)
    memory.fill(0xee)
  }

  send(...packets: Packet[]): void {
    this.sendBytes(encode(this.version, ...packets))
  }

  publish(topic: string, payload: string, messageId = 0): void {
    this.send(publishPacket(topic, payload, messageId))
  }

  received(): Packet[] {
    return this.transport.packets(this.version)
  }
}

export function encode(version: 4 | 5, ...packets: Packet[]): Buffer {
  return Buffer.concat(packets.map((packet) => generate(packet, { protocolVersion: version })))
}

export function publishPacket(topic: string, payload: string, messageId = 0): Packet {
  const qos = messageId > 0 ? 1 : 0
  return { cmd: 'publish', topic, payload, qos, messageId, dup: false, retain: false }
}

export function connectPacket(options: ClientOptions = {}): Packet {
  const { version = 4, clientId = 'client', keepalive = 0, properties } = options
  return {
    cmd: 'connect',
    protocolId: 'MQTT',
    protocolVersion: version,
    clean: true,
    clientId,
    keepalive,
    ...(version === 5 ? { properties } : {}),
  }
}

export function makeHarness(
  options: HarnessOptions = {},
  peers: GatewayPeers = NO_PEERS,
  clock = new ManualClock(START_MS),
  sessions = new SessionsFixture([Doorbell.memory()], clock),
): Harness {
  const { shards: shardCount = 1, streams = DEFAULT_CONFIG.streams, ringSizeBytes = 1 << 16 } = options
  const rings = Array.from({ length: shardCount }, () => createRing(ringSizeBytes))
  const setup = {
    index: peers.index,
    rings,
    shardBells: rings.map(() => new Doorbell(Doorbell.memory())),
    streams,
    limits: { ...DEFAULT_CONFIG.limits, ...options.limits },
    clock,
    elapsedUs: () => clock.nowMs() * 1000,
    takeNumber: peers.takeNumber,
    peers: peers.links,
    identities: options.identities ?? openIdentities(),
    sessions: sessions.linkOptions(peers.index),
  }
  const gateway = new Gateway(setup, options.stages)
  const shards = rings.map((ring) => new KeepingShard(ring))
  sessions.step()
  gateway.step()
  return {
    gateway,
    sessions,
    shards,
    clock,
    sync() {
      do {
        for (const shard of shards) {
          shard.take()
          shard.release()
        }
        sessions.step()
      } while (gateway.step())
    },
    pass(seconds) {
      for (let i = 0; i < seconds; i++) {
        clock.advance(1000)
        sessions.step()
        gateway.step()
      }
    },
    accept: () => new MemoryClient(gateway, 4),
    open(client) {
      const made = new MemoryClient(gateway, client.version ?? 4)
      made.send(connectPacket(client))
      return made
    },
    connect(client = {}) {
      const made = this.open(client)
      const [connack] = made.received()
      if (connack?.cmd !== 'connack') throw new Error('the gateway did not accept the client')
      return made
    },
  }
}

interface GatewayPeers {
  index: number
  takeNumber: () => number
  links: ConstructorParameters<typeof Gateway>[0]['peers']
}

const START_MS = 1_700_000_000_000
let numbers = 0
const takeNumber = (): number => ++numbers
const NO_PEERS: GatewayPeers = { index: 0, takeNumber, links: [] }

/** Two gateways that are each other's peer; `pump` carries their messages across until all is quiet. */
export function makePair(options: HarnessOptions = {}): { both: [Harness, Harness]; pump: () => void } {
  const rings = [createRing(1 << 16), createRing(1 << 16)]
  const queues: PeerMessage[][] = [[], []]
  const clock = new ManualClock(START_MS)
  const sessions = new SessionsFixture([Doorbell.memory(), Doorbell.memory()], clock)
  const make = (index: number): Harness => {
    const peers = {
      index,
      takeNumber,
      links: [
        {
          index: 1 - index,
          post: (message: PeerMessage) => queues[1 - index].push(structuredClone(message)),
          inbound: rings[index],
          outbound: rings[1 - index],
          bell: new Doorbell(Doorbell.memory()),
        },
      ],
    }
    return makeHarness(options, peers, clock, sessions)
  }
  const both: [Harness, Harness] = [make(0), make(1)]
  const pump = (): void => {
    for (let isQuiet = false; !isQuiet; ) {
      isQuiet = true
      sessions.step()
      for (const index of [0, 1]) {
        const message = queues[index].shift()
        if (message !== undefined) both[index].gateway.handlePeer(0, message)
        if (message !== undefined || both[index].gateway.step()) isQuiet = false
      }
    }
  }
  return { both, pump }
}

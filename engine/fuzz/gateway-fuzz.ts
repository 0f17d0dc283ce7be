/**
 * One fuzzing run, made by its seed: clients of both versions send packets that are almost right to a gateway
 * in memory, cut and joined anyhow, connect and vanish. Whatever comes, the gateway throws nothing, its books
 * stay right, and a neighbour is served.
 */
import mqtt from 'mqtt-packet'
import { Prng } from '../../base/prng.ts'
import { mutatePacket } from '../../codecs/mqtt/packet-mutation.ts'
import { SamplePackets } from '../../codecs/mqtt/sample-packets.ts'
import {
  type ClientOptions,
  connectPacket,
  encode,
  type Harness,
  MemoryClient,
  makeHarness,
  publishPacket,
} from '../gateway/gateway-harness.ts'

export const MUTATIONS_PER_RUN = 2000
const SAMPLES = 60
const CLIENTS = 4
const SYNC_EVERY = 40
const NEIGHBOUR_ID = 'neighbour'
const LIMITS = {
  receiveMaximum: 20,
  packetSizeBytesMax: 4096,
  connectTimeoutMs: 3000,
  topicLevelsMax: 8,
  bufferedSizeBytesMax: 16 << 10,
}
/** What begins or ends a connection comes seldom, or hardly anything else would be looked at. */
const ENDS = new Set(['connect', 'disconnect', 'auth'])
const ENDS_CHANCE = 0.05
/** Topics of up to three levels are somebody's. */
const STREAMS = ['{device}', '+/{device}', '+/+/{device}'].map((topic, i) => ({ name: `s${i}`, topic }))
const BUDGETS = { deviceMessagesPerSMax: 50, deviceBytesPerSMax: 4096, connectionsPerAddressMax: 50 }

export interface FuzzTally {
  mutations: number
  /** Connections that the gateway ended, and messages that it took. */
  ended: number
  records: number
}

export class FuzzFailure extends Error {
  readonly code = 'FUZZ'
}

/** Throws FuzzFailure, which tells the bytes that were sent last. */
export function fuzzGateway(seed: number): FuzzTally {
  const run = new FuzzRun(seed)
  try {
    return run.run()
  } catch (error) {
    const about = error instanceof FuzzFailure ? error.message : (error as Error).stack
    throw new FuzzFailure(`seed ${seed}: ${about}\nsent last: ${run.lastSent}`, { cause: error })
  }
}

class FuzzRun {
  #prng: Prng
  #version: 4 | 5
  #harness: Harness
  #samples: Buffer[]
  #clients: MemoryClient[] = []
  #neighbour: MemoryClient
  #last: Uint8Array = new Uint8Array(0)
  #tally: FuzzTally = { mutations: 0, ended: 0, records: 0 }

  constructor(seed: number) {
    const prng = new Prng(seed)
    this.#prng = prng
    this.#version = prng.unit() < 0.5 ? 4 : 5
    const limits = prng.unit() < 0.3 ? { ...LIMITS, ...BUDGETS } : LIMITS
    this.#harness = makeHarness({ limits, shards: prng.between(1, 2), streams: STREAMS })
    const source = new SamplePackets(prng)
    this.#samples = Array.from({ length: SAMPLES }, () => this.#sample(source)).filter(
      (packet) => packet.length < 1000,
    )
    this.#neighbour = this.#harness.connect({ clientId: NEIGHBOUR_ID })
  }

  #sample(source: SamplePackets): Buffer {
    let packet = source.fromClient(this.#version)
    while (ENDS.has(packet.cmd) && this.#prng.unit() > ENDS_CHANCE) packet = source.fromClient(this.#version)
    return mqtt.generate(packet, { protocolVersion: this.#version })
  }

  get lastSent(): string {
    return Buffer.from(this.#last).toString('hex')
  }

  run(): FuzzTally {
    const prng = this.#prng
    for (let count = 0; count < MUTATIONS_PER_RUN; count++) {
      const place = prng.between(0, CLIENTS - 1)
      const client = this.#clientAt(place)
      this.#send(client, this.#next())
      if (client.transport.isClosed) this.#tally.ended++
      if (prng.unit() < 0.01) client.transport.isStuck = true
      if (prng.unit() < 0.01) this.#vanish(place)
      if (count % SYNC_EVERY === 0) this.#passTime()
    }
    this.#finish()
    return this.#tally
  }

  /** A client that is there, by its CONNECT or without one. */
  #clientAt(place: number): MemoryClient {
    const known = this.#clients[place]
    if (known !== undefined && !known.transport.isClosed) return known
    const client = new MemoryClient(this.#harness.gateway, this.#version, `192.0.2.${place}`)
    this.#clients[place] = client
    const options: ClientOptions = { version: this.#version, clientId: `c${this.#prng.between(0, 5)}` }
    if (this.#prng.unit() < 0.9) client.send(connectPacket(options))
    return client
  }

  /** One packet, or some in a row, with the last byte missing now and then. */
  #next(): Uint8Array {
    const prng = this.#prng
    const packets: Uint8Array[] = []
    do {
      const sample = this.#samples[prng.between(0, this.#samples.length - 1)]
      packets.push(mutatePacket(sample, prng))
      this.#tally.mutations++
    } while (prng.unit() < 0.3)
    const bytes = packets.length === 1 ? packets[0] : Buffer.concat(packets)
    return prng.unit() < 0.02 ? bytes.subarray(0, -1) : bytes
  }

  #send(client: MemoryClient, bytes: Uint8Array): void {
    const prng = this.#prng
    this.#last = bytes
    if (prng.unit() < 0.8) {
      client.sendBytes(bytes, prng.between(0, 64))
      return
    }
    const cut = prng.between(0, bytes.length)
    client.sendBytes(bytes.subarray(0, cut), prng.between(0, 64))
    client.sendBytes(bytes.subarray(cut), prng.between(0, 64))
  }

  #vanish(place: number): void {
    this.#clients[place]?.connection.closed()
    delete this.#clients[place]
  }

  #passTime(): void {
    const { clock, shards } = this.#harness
    clock.advance(this.#prng.between(0, 2000))
    if (this.#prng.unit() < 0.8) this.#harness.sync()
    else this.#harness.gateway.step()
    for (const shard of shards) this.#tally.records += shard.records.splice(0).length
    for (const { transport } of this.#clients.filter(Boolean)) transport.forget()
  }

  /** The neighbour is served, and once all have left nothing is left of them. */
  #finish(): void {
    const { gateway, shards } = this.#harness
    for (let place = 0; place < CLIENTS; place++) this.#vanish(place)
    if (this.#neighbour.transport.isClosed)
      this.#neighbour = this.#harness.connect({ clientId: NEIGHBOUR_ID })
    this.#neighbour.transport.forget()
    this.#neighbour.sendBytes(encode(4, publishPacket('neighbour', 'still here', 7)))
    this.#harness.sync()
    check(
      this.#neighbour.received().some(({ messageId }) => messageId === 7),
      'the neighbour has no PUBACK',
    )
    check(
      shards.some(({ records }) => records.at(-1)?.payload === 'still here'),
      "the neighbour's message is not stored",
    )
    const { connections, pausedConnections } = gateway.status()
    check(connections === 1, `${connections} connections are counted, one is there`)
    check(pausedConnections === 0, `${pausedConnections} connections are counted as paused, none is there`)
    const { clients, clientsById, slowed, exchange } = gateway.context
    check(clients.size === 1 && clientsById.size === 1, 'a client is known that has left')
    check(slowed.count === 0, 'a client is slowed that has left')
    check(exchange.ownCount === 0, 'a subscription is left of a client that has left')
  }
}

function check(isRight: boolean, otherwise: string): void {
  if (!isRight) throw new FuzzFailure(otherwise)
}

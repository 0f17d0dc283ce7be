/**
 * One life of an engine on one thread: gateways, rings, shards, journals and sinks as the product has them, and woken as
 * the product wakes its threads: by a bell, by something that ended, or because time has come. What throws ends it, as it
 * ends the product's process.
 */
import { DEFAULT_CONFIG } from '../config.ts'
import { Gateway } from '../gateway/gateway-core.ts'
import type { IngestConnection, IngestTransport } from '../gateway/ingest-connection.ts'
import type { PeerMessage } from '../gateway/peer-link.ts'
import { UNKNOWN } from '../registry/gateway-identities.ts'
import { openIdentities } from '../registry/open-identities.ts'
import { Doorbell } from '../ring/doorbell.ts'
import { createRing } from '../ring/ring.ts'
import { SessionsFixture } from '../sessions/sessions-fixture.ts'
import { STREAMS } from './books.ts'
import type { SimHost } from './sim-device.ts'
import { SimShard } from './sim-shard.ts'
import type { SimSocket } from './sim-socket.ts'
import { SimThread } from './sim-thread.ts'
import { SimulationError } from './simulation-error.ts'
import type { Trace } from './trace.ts'
import type { World } from './world.ts'

const RING_SIZE_BYTES = 1 << 16
const GATEWAY_STEP_INTERVAL_MS = 250
/** Numbers of connections of one life of the engine; above them stands which life it is. */
const LIFE_CONNECTIONS = 2 ** 32

interface Wiring {
  /** By gateway and shard. */
  rings: SharedArrayBuffer[][]
  /** By gateway and gateway: messages to subscribers. */
  peerRings: SharedArrayBuffer[][]
  gatewayBells: SharedArrayBuffer[]
  shardBells: SharedArrayBuffer[]
  sessions: SessionsFixture
}

export class SimEngine implements SimHost {
  readonly sockets: SimSocket[] = []
  readonly shards: SimShard[]
  readonly gateways: SimGateway[]
  #world: World

  /** Throws what the disks throw, and JournalError. */
  constructor(world: World) {
    this.#world = world
    const { shardCount, gatewayCount } = world.settings
    const gatewayBells = times(gatewayCount, () => Doorbell.memory())
    const wiring = {
      rings: times(gatewayCount, () => times(shardCount, () => createRing(RING_SIZE_BYTES))),
      peerRings: times(gatewayCount, () => times(gatewayCount, () => createRing(RING_SIZE_BYTES))),
      gatewayBells,
      // The simulated clients have no sessions: nobody runs them.
      sessions: new SessionsFixture(gatewayBells, world.clock),
      shardBells: times(shardCount, () => Doorbell.memory()),
    }
    this.shards = times(shardCount, (index) => {
      const rings = wiring.rings.map((ofGateway) => ofGateway[index])
      return new SimShard(world, index, rings, wiring.gatewayBells, wiring.shardBells[index])
    })
    this.gateways = []
    const post = (from: number, to: number, message: PeerMessage) => this.gateways[to]?.post(from, message)
    const epoch = world.prng.between(1, 2 ** 20 - 1)
    let connectionCount = 0
    const takeNumber = () => epoch * LIFE_CONNECTIONS + ++connectionCount
    for (let index = 0; index < gatewayCount; index++) {
      this.gateways.push(new SimGateway(world, index, wiring, post, takeNumber))
    }
  }

  get nowMs(): number {
    return this.#world.clock.nowMs()
  }

  get trace(): Trace {
    return this.#world.trace
  }

  /** The devices' way in. */
  open(socket: SimSocket, clientId: string): boolean {
    const thread = this.#anyGateway()
    const connection = thread.gateway.accept(socket)
    this.trace.note(clientId, 'connects to gateway', thread.index)
    if (connection === null) return false
    socket.connection = connection
    this.sockets.push(socket)
    return true
  }

  openIngest(
    transport: IngestTransport,
    stream: number,
    device: string,
    session: string,
  ): IngestConnection | null {
    const { gateway } = this.#anyGateway()
    const route = gateway.context.router.routeOf(stream, device)
    if (route === null) throw new SimulationError(`no route to ${device}`)
    return gateway.acceptIngest(transport, { route, session, granted: UNKNOWN })
  }

  get threads(): readonly SimThread[] {
    return [...this.gateways, ...this.shards]
  }

  beginDrain(): void {
    for (const { gateway } of this.gateways) gateway.beginDrain()
  }

  get areGatewaysDrained(): boolean {
    return this.gateways.every(({ gateway }) => gateway.isDrained)
  }

  /** After the gateways; all windows are closed, or kept for another config. */
  drainShards(closesWindows = true): void {
    for (const shard of this.shards) shard.drain(closesWindows)
  }

  get isDrained(): boolean {
    return this.shards.every((shard) => shard.isDrained)
  }

  /** What a start has to replay. */
  get backlogSizeBytes(): number {
    return this.shards.reduce((sum, { shard }) => sum + shard.follower.backlogSizeBytes, 0)
  }

  /** Once drained with windows open: whether the next start finds all of them. */
  async finish(): Promise<boolean> {
    const finished = await Promise.all(this.shards.map(({ shard }) => shard.finish()))
    return finished.every(Boolean)
  }

  /** Once drained, or as it stands. */
  async close(): Promise<void> {
    await Promise.all(this.shards.map(({ shard }) => shard.close()))
  }

  #anyGateway(): SimGateway {
    return this.gateways[this.#world.prng.between(0, this.gateways.length - 1)]
  }
}

class SimGateway extends SimThread {
  readonly gateway: Gateway
  readonly index: number
  #inbox: { from: number; message: PeerMessage }[] = []

  constructor(
    world: World,
    index: number,
    { rings, peerRings, gatewayBells, shardBells, sessions }: Wiring,
    post: (from: number, to: number, message: PeerMessage) => void,
    takeNumber: () => number,
  ) {
    super(world.clock, gatewayBells[index])
    this.index = index
    const { clock, settings } = world
    const others = times(gatewayBells.length, (other) => other).filter((other) => other !== index)
    this.gateway = new Gateway({
      index,
      rings: rings[index],
      shardBells: shardBells.map((memory) => new Doorbell(memory)),
      streams: STREAMS,
      limits: { ...DEFAULT_CONFIG.limits, receiveMaximum: settings.receiveMaximum },
      clock,
      elapsedUs: () => clock.nowMs() * 1000,
      takeNumber,
      identities: openIdentities(),
      peers: others.map((other) => ({
        index: other,
        post: (message) => post(index, other, message),
        inbound: peerRings[other][index],
        outbound: peerRings[index][other],
        bell: new Doorbell(gatewayBells[other]),
      })),
      sessions: sessions.linkOptions(index),
    })
  }

  post(from: number, message: PeerMessage): void {
    this.#inbox.push({ from, message: structuredClone(message) })
    this.isWoken = true
  }

  protected work(): number {
    const { gateway, index } = this
    for (const { from, message } of this.#inbox.splice(0)) {
      gateway.handlePeer(from < index ? from : from - 1, message)
    }
    gateway.step()
    for (const { producer } of gateway.context.lanes) {
      const held = (producer.position - producer.durable()) | 0
      if (held < 0 || held > RING_SIZE_BYTES) throw new SimulationError(`a ring holds ${held} bytes`)
    }
    return this.nowMs + GATEWAY_STEP_INTERVAL_MS
  }

  /** The last look before it sleeps. */
  protected look(): void {
    if (this.gateway.step()) this.isWoken = true
  }
}

function times<T>(count: number, make: (index: number) => T): T[] {
  return Array.from({ length: count }, (_, index) => make(index))
}

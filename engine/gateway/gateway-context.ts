/**
 * What all connections of one gateway share. Owner: the gateway's thread. Time stands still within one read
 * or step: it is read by `setTime` and by nobody else.
 */
import { assert } from '../../base/assert.ts'
import type { Clock } from '../../base/clock.ts'
import { RECORD_HEADER_SIZE_BYTES } from '../../codecs/journal/record.ts'
import { AckFields } from '../../codecs/mqtt/ack.ts'
import { Frames } from '../../codecs/mqtt/frame.ts'
import { PublishFields } from '../../codecs/mqtt/publish.ts'
import type { LimitsConfig, StreamConfig } from '../config.ts'
import type { GatewayIdentities, IdentifiedClient } from '../registry/gateway-identities.ts'
import type { Doorbell } from '../ring/doorbell.ts'
import { NO_LANE } from './ack-queue.ts'
import { Admission } from './admission.ts'
import type { CloseReason } from './close-reason.ts'
import { ConnectionCounts } from './connection-counts.ts'
import { Exchange } from './exchange.ts'
import { GatewayCounters } from './gateway-counters.ts'
import type { PeerOptions } from './peer-link.ts'
import { SessionLink, type SessionLinkOptions } from './session-link.ts'
import { type LaneUser, ShardLane } from './shard-lane.ts'
import { SlowedClients } from './slowed-clients.ts'
import { SysTopics } from './sys-topics.ts'
import { TOPIC_SIZE_BYTES_MAX, TopicRoute, TopicRouter } from './topic-router.ts'

const FRAMES_PER_CUT = 256
const ACK_BUFFER_SIZE_BYTES = 16 << 10
/** With a ring full for this long, new clients are turned away. */
const BUSY_AFTER_MS = 1000

export interface GatewayOptions {
  index: number
  rings: readonly SharedArrayBuffer[]
  shardBells: readonly Doorbell[]
  streams: readonly StreamConfig[]
  limits: LimitsConfig
  clock: Clock
  /** A monotonic clock, microseconds; only for measuring. */
  elapsedUs: () => number
  /** The next of the engine-wide connection numbers. */
  takeNumber: () => number
  peers: readonly PeerOptions[]
  /** Shared with the other gateways; a gateway alone has its own. */
  counts?: ConnectionCounts
  /** Who clients are, and what they may. */
  identities: GatewayIdentities
  sessions: SessionLinkOptions
}

/** A connection, as far as the gateway's sweep and takeovers know it. */
export interface Client extends LaneUser, IdentifiedClient {
  /** Its place in the order of all connections; 0 before CONNECT. */
  readonly number: number
  /** Nothing is left to be acknowledged. */
  readonly isSettled: boolean
  /** Once a second. */
  sweep(): void
  end(reason: CloseReason): void
}

export class GatewayContext {
  readonly index: number
  /** By shard. */
  readonly lanes: readonly ShardLane[]
  readonly sessions: SessionLink
  /** By shard; the last one is the session thread's. */
  readonly durable: Int32Array
  readonly router: TopicRouter
  readonly counters = new GatewayCounters()
  readonly exchange: Exchange
  readonly sys: SysTopics
  readonly admission: Admission
  readonly slowed = new SlowedClients()
  readonly identities: GatewayIdentities
  readonly limits: LimitsConfig
  readonly takeNumber: () => number
  /** A whole packet, bytes: what the config allows and a ring takes. */
  readonly packetSizeBytesMax: number
  /** All that are open. */
  readonly clients = new Set<Client>()
  /** Those with a client identifier. */
  readonly clientsById = new Map<string, Client>()
  readonly frames = new Frames(FRAMES_PER_CUT)
  readonly publishFields = new PublishFields()
  readonly ackFields = new AckFields()
  /** PUBACKs are written here; replaced when a transport has kept it. */
  ackBuffer = new Uint8Array(ACK_BUFFER_SIZE_BYTES)
  readonly startMs: number
  nowMs = 0
  nowUs = 0
  /**
   * Seconds that have been swept: keep-alive is counted in these, so that a clock's jump ends no connection.
   */
  tick = 0
  isDraining = false
  #clock: Clock
  #elapsedUs: () => number

  constructor(options: GatewayOptions) {
    this.index = options.index
    this.limits = options.limits
    this.identities = options.identities
    this.takeNumber = options.takeNumber
    this.#clock = options.clock
    this.#elapsedUs = options.elapsedUs
    this.admission = new Admission(
      options.limits,
      options.counts ?? new ConnectionCounts(ConnectionCounts.memory()),
    )
    this.exchange = new Exchange(options.peers, this.counters)
    this.sys = new SysTopics(this.exchange, this.counters)
    this.setTime()
    this.startMs = this.nowMs
    assert(options.rings.length < NO_LANE, 'shards are counted in a byte')
    const durable = new Int32Array(options.rings.length + 1)
    this.durable = durable
    this.lanes = options.rings.map(
      (ring, shard) => new ShardLane(shard, ring, options.shardBells[shard], durable),
    )
    const { sessions } = options
    const sessionLane = new ShardLane(options.rings.length, sessions.ring, sessions.bell, durable)
    this.sessions = new SessionLink(options.index, sessionLane, this.exchange, sessions, () =>
      this.#publishWill(),
    )
    this.router = new TopicRouter(options.streams, options.rings.length, options.limits.topicLevelsMax)
    const lanes = [...this.lanes, sessionLane]
    const recordSizeMax = Math.min(...lanes.map((lane) => lane.producer.recordSizeMax))
    // A record may name a topic that its packet only gave by an alias.
    this.packetSizeBytesMax = Math.min(
      options.limits.packetSizeBytesMax,
      recordSizeMax - RECORD_HEADER_SIZE_BYTES - TOPIC_SIZE_BYTES_MAX,
    )
  }

  // hot: per batch
  setTime(): void {
    this.nowMs = this.#clock.nowMs()
    this.nowUs = this.#elapsedUs() >>> 0
    this.counters.nowUs = this.nowUs
  }

  /** At the end of a socket read: shows shards and subscribers what it brought. */
  // hot: per batch
  endRead(user: LaneUser): void {
    const { lanes } = this
    for (let shard = 0; shard < lanes.length; shard++) lanes[shard].endRead(user)
    this.sessions.lane.endRead(user)
    this.exchange.flush()
  }

  /** Takes in what shards and sessions have made durable or have sent; true when there was something. */
  // hot: per batch
  takeFromThreads(): boolean {
    const { lanes, sessions } = this
    let hasMoved = sessions.lane.refresh()
    for (let shard = 0; shard < lanes.length; shard++) if (lanes[shard].refresh()) hasMoved = true
    if (hasMoved) {
      for (let shard = 0; shard < lanes.length; shard++) lanes[shard].settle()
      sessions.lane.settle()
    }
    if (sessions.take()) hasMoved = true
    sessions.flush()
    return hasMoved
  }

  /** The rings have been full for too long to take in new clients. */
  get isBusy(): boolean {
    const isFull = ({ fullSinceMs }: ShardLane) =>
      fullSinceMs >= 0 && this.nowMs - fullSinceMs > BUSY_AFTER_MS
    return this.sessions.isOverrun || isFull(this.sessions.lane) || this.lanes.some(isFull)
  }

  /** Brings a will to this gateway's subscribers and the others'; sessions have it already. */
  #publishWill(): void {
    const { exchange } = this
    const { message } = exchange
    const route = new TopicRoute()
    route.setTopic(message.topic, message.topicStart, message.topicEnd)
    exchange.match(route, null)
    exchange.publish(route)
  }

  /** Gives up the acknowledgements' buffer to a transport that keeps it. */
  replaceAckBuffer(): void {
    this.ackBuffer = new Uint8Array(ACK_BUFFER_SIZE_BYTES)
  }
}

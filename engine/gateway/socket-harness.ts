/**
 * For tests: gateways on real sockets, with a shard that stores what it is given and says at once that it is
 * durable.
 */
import { connect, type Socket } from 'node:net'
import { MessageChannel, type MessagePort } from 'node:worker_threads'
import { systemClock } from '../../base/clock.ts'
import { DEFAULT_CONFIG, type LimitsConfig } from '../config.ts'
import { Doorbell } from '../ring/doorbell.ts'
import { createRing } from '../ring/ring.ts'
import { SessionsFixture } from '../sessions/sessions-fixture.ts'
import type { TlsMaterial } from '../tls/tls-material.ts'
import { ConnectionCounts } from './connection-counts.ts'
import { type GatewayControl, type GatewayReport, type GatewaySetup, startGateway } from './gateway.ts'
import { KeepingShard, type StoredRecord } from './gateway-harness.ts'

const SYNC_INTERVAL_MS = 1
const ANY_PORT = { host: '127.0.0.1', port: 0 }

export interface RunningGateway {
  control: GatewayControl
  mqttPort: number
  webSocketPort: number
  /** 0 without TLS. */
  mqttsPort: number
  wssPort: number
  /** Everything stored so far. */
  records: StoredRecord[]
  /** While true, nothing becomes durable. */
  isDiskStuck: boolean
  stop(): Promise<void>
}

/** What can be sent to a worker. */
export type PlainSetup = Omit<GatewaySetup, 'clock'>

/** The sessions of each setup, by the memory that they share with it. */
const fixtures = new WeakMap<SharedArrayBuffer, SessionsFixture>()

/** The session thread of a setup, as a step machine: clients wait for what it says. */
export function sessionsOf(setup: PlainSetup): SessionsFixture | undefined {
  return fixtures.get(setup.sessions.ring)
}

export function plainSetup(limits: Partial<LimitsConfig> = {}): PlainSetup {
  const bell = Doorbell.memory()
  const sessions = new SessionsFixture([bell], systemClock)
  const setup = {
    index: 0,
    mqtt: ANY_PORT,
    webSocket: ANY_PORT,
    mqtts: null,
    wss: null,
    tls: null,
    trustedProxies: [],
    rings: [createRing(1 << 22)],
    shardBells: [Doorbell.memory()],
    bell,
    sessions: sessions.wirings[0],
    peers: [],
    connectionCounts: ConnectionCounts.memory(),
    connectionEpoch: 0,
    streams: DEFAULT_CONFIG.streams,
    limits: { ...DEFAULT_CONFIG.limits, ...limits },
    identities: {
      access: DEFAULT_CONFIG.access,
      allowsAnonymous: true,
      isUsed: false,
      port: new MessageChannel().port1,
    },
  }
  fixtures.set(sessions.wirings[0].ring, sessions)
  return setup
}

/** Two setups that are each other's peers, on the same ports once the first has them. */
export function setupsOfTwo(): { setups: [PlainSetup, PlainSetup]; ports: [MessagePort, MessagePort] } {
  const { port1, port2 } = new MessageChannel()
  const rings = [createRing(1 << 20), createRing(1 << 20)]
  const connectionCounts = ConnectionCounts.memory()
  const setups: [PlainSetup, PlainSetup] = [plainSetup(), plainSetup()]
  const ports: [MessagePort, MessagePort] = [port1, port2]
  const sessions = new SessionsFixture([setups[0].bell, setups[1].bell], systemClock)
  for (const index of [0, 1] as const) {
    const peer = 1 - index
    Object.assign(setups[index], { index, connectionCounts, sessions: sessions.wirings[index] })
    fixtures.set(sessions.wirings[index].ring, sessions)
    setups[index].peers = [
      {
        index: peer,
        port: ports[index],
        inbound: rings[index],
        outbound: rings[peer],
        bell: setups[peer].bell,
      },
    ]
  }
  return { setups, ports }
}

/** Stores what comes by the setup's rings; returns the records and a way to stop. */
export function keepRecords(
  setup: PlainSetup,
  isStuck: () => boolean,
): { records: StoredRecord[]; stop: () => void } {
  const bell = new Doorbell(setup.bell)
  const shards = setup.rings.map((ring) => new KeepingShard(ring))
  const sessions = sessionsOf(setup)
  const timer = setInterval(() => {
    if (isStuck()) return
    sessions?.step()
    for (const shard of shards) {
      shard.take()
      if (shard.unreleased === 0) continue
      shard.release()
      bell.ring()
    }
  }, SYNC_INTERVAL_MS)
  return { records: shards[0].records, stop: () => clearInterval(timer) }
}

export interface DoorOptions {
  tls?: TlsMaterial | null
}

/** With `tls` it has all four doors. */
export async function runGateway(
  limits: Partial<LimitsConfig> = {},
  { tls = null }: DoorOptions = {},
): Promise<RunningGateway> {
  const setup = plainSetup(limits)
  if (tls !== null) Object.assign(setup, { tls, mqtts: ANY_PORT, wss: ANY_PORT })
  const keeper = keepRecords(setup, () => running.isDiskStuck)
  const running: RunningGateway = {
    control: undefined as unknown as GatewayControl,
    mqttPort: 0,
    webSocketPort: 0,
    mqttsPort: 0,
    wssPort: 0,
    records: keeper.records,
    isDiskStuck: false,
    async stop() {
      await running.control.stop()
      keeper.stop()
    },
  }
  const listening = await new Promise<GatewayReport>((resolve) => {
    running.control = startGateway({ ...setup, clock: systemClock }, (report) => {
      if (report.kind !== 'status') resolve(report)
    })
  })
  if (listening.kind !== 'listening') throw new Error(JSON.stringify(listening))
  running.mqttPort = listening.mqtt!.port
  running.webSocketPort = listening.webSocket!.port
  running.mqttsPort = listening.mqtts?.port ?? 0
  running.wssPort = listening.wss?.port ?? 0
  return running
}

export async function openSocket(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1')
  socket.on('error', () => {}) // the gateway closes some of these, that is what is tested
  await new Promise((resolve) => socket.once('connect', resolve))
  return socket
}

/** Waits until `isTrue`, for at most two minutes. */
export async function until(isTrue: () => boolean, what: string): Promise<void> {
  const giveUpMs = Date.now() + 120_000
  while (!isTrue()) {
    if (Date.now() > giveUpMs) throw new Error(`waited in vain: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

/** What opens a WebSocket that then brings MQTT, without a library that would read it. */
export const UPGRADE_TO_MQTT = [
  'GET /mqtt HTTP/1.1',
  'Host: localhost',
  'Connection: Upgrade',
  'Upgrade: websocket',
  'Sec-WebSocket-Version: 13',
  'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==',
  'Sec-WebSocket-Protocol: mqtt',
  '\r\n',
].join('\r\n')

/** A client's frame, masked with zeros. */
export function binaryFrame(payload: Uint8Array): Uint8Array {
  const size = payload.length
  const head = size < 126 ? [0x80 | size] : [0xff, 0, 0, 0, 0, size >>> 24, size >>> 16, size >>> 8, size]
  return Buffer.concat([Uint8Array.from([0x82, ...head, 0, 0, 0, 0]), payload])
}

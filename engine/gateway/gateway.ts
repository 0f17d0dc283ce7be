/**
 * Hosts a Gateway in a thread: its doors, its bell, its clock. The thread that calls `startGateway` owns all
 * of it and must `stop` it before it exits: a live uWebSockets.js app aborts the process.
 */
import type { MessagePort } from 'node:worker_threads'
import type { Clock } from '../../base/clock.ts'
import type { Address } from '../address.ts'
import type { LimitsConfig, StreamConfig } from '../config.ts'
import type { FromRegistry } from '../registry/credentials.ts'
import type { IdentityOptions } from '../registry/gateway-identities.ts'
import { GatewayIdentities } from '../registry/gateway-identities.ts'
import { Doorbell } from '../ring/doorbell.ts'
import type { TlsMaterial } from '../tls/tls-material.ts'
import { ConnectionCounts } from './connection-counts.ts'
import { requireFreePort } from './free-port.ts'
import { Gateway } from './gateway-core.ts'
import type { GatewayStatus } from './gateway-counters.ts'
import type { PeerMessage } from './peer-link.ts'
import { TrustedProxies } from './proxy-stage.ts'
import { TcpDoor } from './tcp-door.ts'
import { WebSocketDoor } from './websocket-door.ts'

export interface GatewayPeer {
  index: number
  /** Subscriptions and takeovers. */
  port: MessagePort
  /** Rings of messages to deliver: from the peer, and to it. */
  inbound: SharedArrayBuffer
  outbound: SharedArrayBuffer
  bell: SharedArrayBuffer
}

export interface GatewaySessions {
  /** To the session thread, and from it. */
  ring: SharedArrayBuffer
  deliveries: SharedArrayBuffer
  bell: SharedArrayBuffer
  filtersTaken: SharedArrayBuffer
}

export interface GatewaySetup {
  /** Gateway 0 is started first, and makes sure that its ports are nobody else's. */
  index: number
  mqtt: Address | null
  webSocket: Address | null
  /** The same doors with TLS; null where `tls` is. */
  mqtts: Address | null
  wss: Address | null
  tls: TlsMaterial | null
  /** Load balancers whose PROXY headers tell where clients are: addresses and networks. */
  trustedProxies: string[]
  /** One per shard; this gateway is the producer. */
  rings: SharedArrayBuffer[]
  /** Rung after something was published into the shard's ring. */
  shardBells: SharedArrayBuffer[]
  /** This gateway's own. */
  bell: SharedArrayBuffer
  peers: GatewayPeer[]
  sessions: GatewaySessions
  /** Of `ConnectionCounts`, for all gateways. */
  connectionCounts: SharedArrayBuffer
  /** Goes before the count in a connection's number, below 2^20: other lives of the engine have others. */
  connectionEpoch: number
  streams: StreamConfig[]
  limits: LimitsConfig
  /** Who is let in: `port` leads to the registry. */
  identities: Omit<IdentityOptions, 'post'> & { port: MessagePort }
  clock: Clock
}

/** Where the doors listen, each if there is one. */
export interface DoorAddresses {
  mqtt: Address | null
  mqtts: Address | null
  webSocket: Address | null
  wss: Address | null
}

export type GatewayReport =
  | ({ kind: 'listening' } & DoorAddresses)
  | ({ kind: 'status' } & GatewayStatus)
  | { kind: 'fault'; code: string; message: string }

export interface GatewayControl {
  status(): GatewayStatus
  /**
   * Stops accepting and reading, waits until what was taken is acknowledged (at most 5 s), closes all
   * connections.
   */
  drain(): Promise<void>
  /** TLS doors use these certificates from the next handshake on. */
  renewTls(material: TlsMaterial): Promise<void>
  /** Closes everything at once. */
  stop(): Promise<void>
}

const STATUS_INTERVAL_MS = 1000
/** For the sweep of a quiet gateway; a busy one is woken by its bell. */
const STEP_INTERVAL_MS = 250
const DRAIN_MS_MAX = 5000
const DRAIN_LOOK_MS = 5

export function startGateway(setup: GatewaySetup, report: (message: GatewayReport) => void): GatewayControl {
  const counts = new ConnectionCounts(setup.connectionCounts)
  const { port: registry, ...identityOptions } = setup.identities
  const identities = new GatewayIdentities({
    ...identityOptions,
    post: (message) => registry.postMessage(message),
  })
  const gateway = new Gateway({
    index: setup.index,
    rings: setup.rings,
    shardBells: setup.shardBells.map((memory) => new Doorbell(memory)),
    streams: setup.streams,
    limits: setup.limits,
    identities,
    clock: setup.clock,
    elapsedUs: () => performance.now() * 1000,
    takeNumber: () => setup.connectionEpoch * 2 ** 32 + counts.takeNumber(),
    counts,
    peers: setup.peers.map((peer) => ({
      index: peer.index,
      post: (message) => peer.port.postMessage(message),
      inbound: peer.inbound,
      outbound: peer.outbound,
      bell: new Doorbell(peer.bell),
    })),
    sessions: { ...setup.sessions, bell: new Doorbell(setup.sessions.bell) },
  })
  const doors = openDoors(gateway, setup)
  const sockets = [doors.mqtt, doors.mqtts].filter((door) => door !== null)
  const webSockets = [doors.webSocket, doors.wss].filter((door) => door !== null)
  const bell = new Doorbell(setup.bell)
  let isStopped = false

  for (const [place, { port }] of setup.peers.entries()) {
    port.on('message', (message: PeerMessage) => gateway.handlePeer(place, message))
  }
  registry.on('message', (message: FromRegistry) => gateway.handleRegistry(message))

  /** Works until a look after `announceSleep` finds nothing more, then sleeps until the bell is rung. */
  function wake(): void {
    if (isStopped) return
    gateway.step()
    bell.announceSleep()
    if (gateway.step()) {
      bell.cancelSleep()
      setImmediate(wake) // sockets get their turn in between
      return
    }
    bell.sleep(wake)
  }

  const stepTimer = setInterval(() => gateway.step(), STEP_INTERVAL_MS)
  const statusTimer = setInterval(() => {
    for (const door of sockets) door.sweep()
    report({ kind: 'status', ...gateway.status() })
  }, STATUS_INTERVAL_MS)

  async function listen(): Promise<void> {
    wake()
    await gateway.whenReady() // a message must not pass sessions that are not known yet
    if (isStopped) return
    const isFirst = setup.index === 0
    const mqtt = await listenAt('MQTT', '--mqtt', setup.mqtt, doors.mqtt, isFirst)
    const mqtts = await listenAt('MQTT over TLS', '--mqtts', setup.mqtts, doors.mqtts, isFirst)
    const webSocket = await listenAt('WebSocket', '--ws', setup.webSocket, doors.webSocket, isFirst)
    const wss = await listenAt('WebSocket over TLS', '--wss', setup.wss, doors.wss, isFirst)
    if (isStopped) return
    report({ kind: 'listening', mqtt, mqtts, webSocket, wss })
  }

  const listened = listen().catch((error: Error & { code?: string }) => {
    report({ kind: 'fault', code: error.code ?? 'LISTEN', message: error.message })
  })

  async function stop(): Promise<void> {
    if (isStopped) return
    isStopped = true
    gateway.giveUpWaiting()
    await listened // a door that opens after it was closed would keep the thread alive
    clearInterval(stepTimer)
    clearInterval(statusTimer)
    gateway.endAll()
    for (const door of sockets) {
      door.stopAccepting()
      door.destroyAll()
    }
    for (const door of webSockets) door.close()
    for (const { port } of setup.peers) port.close()
    registry.close()
  }

  return {
    status: () => gateway.status(),
    async drain() {
      for (const door of sockets) {
        door.stopAccepting()
        door.pauseAll()
      }
      for (const door of webSockets) door.stopAccepting()
      gateway.beginDrain()
      const giveUpMs = performance.now() + DRAIN_MS_MAX
      while (!gateway.isDrained && performance.now() < giveUpMs) {
        await new Promise((resolve) => setTimeout(resolve, DRAIN_LOOK_MS))
        gateway.step()
      }
      gateway.endAll()
      await new Promise((resolve) => setImmediate(resolve))
    },
    async renewTls(material) {
      await listened
      if (isStopped) return
      doors.mqtts?.renewTls(material)
      await doors.wss?.renewTls(material)
    },
    stop,
  }
}

interface Doors {
  mqtt: TcpDoor | null
  mqtts: TcpDoor | null
  webSocket: WebSocketDoor | null
  wss: WebSocketDoor | null
}

function openDoors(gateway: Gateway, setup: GatewaySetup): Doors {
  const { mqtt, mqtts, webSocket, wss, tls, streams } = setup
  const proxies = new TrustedProxies(setup.trustedProxies)
  return {
    mqtt: mqtt === null ? null : new TcpDoor(gateway, null, proxies),
    mqtts: mqtts === null || tls === null ? null : new TcpDoor(gateway, tls, proxies),
    webSocket: webSocket === null ? null : new WebSocketDoor(gateway, streams, null, proxies),
    wss: wss === null || tls === null ? null : new WebSocketDoor(gateway, streams, tls, proxies),
  }
}

interface Door {
  listen(address: Address): Promise<Address>
}

class ListenError extends Error {
  readonly code: string

  constructor(code: string, message: string, cause: unknown) {
    super(message, { cause })
    this.code = code
  }
}

async function listenAt(
  what: string,
  option: string,
  address: Address | null,
  door: Door | null,
  isFirst: boolean,
): Promise<Address | null> {
  if (address === null || door === null) return null
  try {
    if (isFirst && address.port !== 0) await requireFreePort(address.host, address.port)
    return await door.listen(address)
  } catch (cause) {
    const { code = 'LISTEN', message } = cause as NodeJS.ErrnoException
    const hint = `${HINTS[code] ?? message}; choose another with ${option} HOST:PORT`
    throw new ListenError(code, `${what} cannot listen on ${address.host}:${address.port}: ${hint}.`, cause)
  }
}

const HINTS: Record<string, string> = {
  EADDRINUSE: 'something else listens there',
  EACCES: 'ports below 1024 need a right that this process does not have',
  EADDRNOTAVAIL: 'this machine has no such address',
}

/**
 * Hosts a Gateway in a thread: its doors, its bell, its clock. The thread that calls `startGateway` owns all of it and must
 * `stop` it before it exits: a live uWebSockets.js app aborts the process.
 */
import type { MessagePort } from 'node:worker_threads'
import type { Clock } from '../../base/clock.ts'
import type { LimitsConfig, StreamConfig } from '../config.ts'
import { Doorbell } from '../ring/doorbell.ts'
import { Gateway } from './gateway-core.ts'
import type { GatewayStatus } from './gateway-counters.ts'
import type { PeerMessage } from './peer-link.ts'
import { TcpDoor } from './tcp-door.ts'

export interface Address {
  host: string
  /** 0 to listen on a free one. */
  port: number
}

export interface GatewayPeer {
  index: number
  /** Subscriptions and takeovers. */
  port: MessagePort
  /** Rings of messages to deliver: from the peer, and to it. */
  inbound: SharedArrayBuffer
  outbound: SharedArrayBuffer
  bell: SharedArrayBuffer
}

export interface GatewaySetup {
  index: number
  mqtt: Address | null
  webSocket: Address | null
  /** One per shard; this gateway is the producer. */
  rings: SharedArrayBuffer[]
  /** Rung after something was published into the shard's ring. */
  shardBells: SharedArrayBuffer[]
  /** This gateway's own. */
  bell: SharedArrayBuffer
  peers: GatewayPeer[]
  /** An Int32 word that counts the connections of all gateways. */
  connectionCounter: SharedArrayBuffer
  streams: StreamConfig[]
  limits: LimitsConfig
  clock: Clock
}

export type GatewayReport =
  | { kind: 'listening'; mqtt: Address | null; webSocket: Address | null }
  | ({ kind: 'status' } & GatewayStatus)
  | { kind: 'fault'; code: string; message: string }

export interface GatewayControl {
  status(): GatewayStatus
  /** Stops accepting and reading, waits until what was taken is acknowledged (at most 5 s), closes all connections. */
  drain(): Promise<void>
  /** Closes everything at once. */
  stop(): Promise<void>
}

const STATUS_INTERVAL_MS = 1000
const DRAIN_MS_MAX = 5000
const DRAIN_LOOK_MS = 5

export function startGateway(setup: GatewaySetup, report: (message: GatewayReport) => void): GatewayControl {
  const numbers = new Int32Array(setup.connectionCounter)
  const gateway = new Gateway({
    index: setup.index,
    rings: setup.rings,
    shardBells: setup.shardBells.map((memory) => new Doorbell(memory)),
    streams: setup.streams,
    limits: setup.limits,
    clock: setup.clock,
    elapsedUs: () => performance.now() * 1000,
    takeNumber: () => (Atomics.add(numbers, 0, 1) + 1) >>> 0,
    peers: setup.peers.map((peer) => ({
      index: peer.index,
      post: (message) => peer.port.postMessage(message),
      inbound: peer.inbound,
      outbound: peer.outbound,
      bell: new Doorbell(peer.bell),
    })),
  })
  const tcp = setup.mqtt === null ? null : new TcpDoor(gateway)
  const bell = new Doorbell(setup.bell)
  let isStopped = false

  for (const [place, { port }] of setup.peers.entries()) {
    port.on('message', (message: PeerMessage) => gateway.handlePeer(place, message))
  }

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

  const timer = setInterval(() => {
    gateway.step()
    tcp?.sweep()
    report({ kind: 'status', ...gateway.status() })
  }, STATUS_INTERVAL_MS)

  async function listen(): Promise<void> {
    const mqtt = setup.mqtt === null ? null : ((await tcp?.listen(setup.mqtt)) ?? null)
    if (isStopped) return
    report({ kind: 'listening', mqtt, webSocket: null })
    wake()
  }

  listen().catch((error: NodeJS.ErrnoException) => {
    report({ kind: 'fault', ...listenFault(setup.mqtt, error) })
  })

  async function stop(): Promise<void> {
    if (isStopped) return
    isStopped = true
    clearInterval(timer)
    tcp?.stopAccepting()
    tcp?.destroyAll()
    for (const { port } of setup.peers) port.close()
  }

  return {
    status: () => gateway.status(),
    async drain() {
      tcp?.stopAccepting()
      tcp?.pauseAll()
      gateway.beginDrain()
      const giveUpMs = performance.now() + DRAIN_MS_MAX
      while (!gateway.isDrained && performance.now() < giveUpMs) {
        await new Promise((resolve) => setTimeout(resolve, DRAIN_LOOK_MS))
        gateway.step()
      }
      gateway.endAll()
      await new Promise((resolve) => setImmediate(resolve))
    },
    stop,
  }
}

function listenFault(
  address: Address | null,
  error: NodeJS.ErrnoException,
): { code: string; message: string } {
  const place = address === null ? 'the port' : `${address.host}:${address.port}`
  switch (error.code) {
    case 'EADDRINUSE':
      return {
        code: error.code,
        message: `MQTT cannot listen on ${place}: it is in use. Stop what listens there, or choose another with --mqtt.`,
      }
    case 'EACCES':
      return {
        code: error.code,
        message: `MQTT may not listen on ${place}. Choose a port above 1023 with --mqtt, or run with the right to it.`,
      }
    case 'EADDRNOTAVAIL':
      return {
        code: error.code,
        message: `MQTT cannot listen on ${place}: this machine has no such address.`,
      }
    default:
      return { code: error.code ?? 'LISTEN', message: `MQTT cannot listen on ${place}: ${error.message}` }
  }
}

/**
 * The gateway as a step machine: sockets are Transports, time is handed in, `step` does what other threads
 * have made possible. Owner: the gateway's thread. gateway.ts hosts it in a real one.
 */
import type { FromRegistry } from '../registry/credentials.ts'
import { type CloseReason, CloseReasons } from './close-reason.ts'
import type { ConnectStage } from './connect/connect-attempt.ts'
import { CONNECT_STAGES } from './connect/connect-stages.ts'
import { isEarlier } from './connect/open-session.ts'
import { GatewayContext, type GatewayOptions } from './gateway-context.ts'
import type { GatewayStatus } from './gateway-counters.ts'
import { type IngestArrival, IngestConnection, type IngestTransport } from './ingest-connection.ts'
import { MqttConnection } from './mqtt-connection.ts'
import type { Peer } from './peer.ts'
import type { PeerMessage } from './peer-link.ts'
import { refuseClient } from './refusals.ts'
import type { Transport } from './transport.ts'

const SWEEP_INTERVAL_MS = 1000

export class Gateway {
  readonly context: GatewayContext
  #stages: readonly ConnectStage[]
  #sweptMs: number

  /** `stages` decide about every CONNECT. */
  constructor(options: GatewayOptions, stages: readonly ConnectStage[] = CONNECT_STAGES) {
    this.context = new GatewayContext(options)
    this.#stages = stages
    this.#sweptMs = this.context.nowMs
  }

  /** Takes in an MQTT byte stream; null when there are too many connections, and the caller closes it. */
  accept(transport: Transport): MqttConnection | null {
    if (!this.#hasRoom(transport.peer.address)) return null
    return new MqttConnection(this.context, transport, this.#stages)
  }

  /** Takes in a plain WebSocket; null when there are too many connections or the rings are full. */
  acceptIngest(transport: IngestTransport, arrival: IngestArrival): IngestConnection | null {
    if (this.#isBusy() || !this.#hasRoom(transport.peer.address)) return null
    return new IngestConnection(this.context, transport, arrival)
  }

  /**
   * Does what has become possible; true when there was something. Call it when the bell rings and once a
   * second.
   */
  // hot: per batch
  step(): boolean {
    const { context } = this
    context.setTime()
    let hasMoved = context.takeFromThreads()
    if (context.exchange.takeFromPeers()) hasMoved = true
    context.exchange.flush()
    context.slowed.step(context.nowUs)
    if (Math.abs(context.nowMs - this.#sweptMs) >= SWEEP_INTERVAL_MS) this.#sweep()
    return hasMoved
  }

  /** Takes in a message from the port of the peer with that place in the options. */
  handlePeer(place: number, message: PeerMessage): void {
    const { exchange, clientsById, sys } = this.context
    if (message.kind === 'figures') {
      sys.handle(place, message.figures)
      return
    }
    if (message.kind !== 'connected') {
      exchange.handle(exchange.peers[place], message)
      return
    }
    const client = clientsById.get(message.clientId)
    // Both gateways hear of each other's connection; the later number stays, on both.
    if (client !== undefined && isEarlier(client.number, message.number)) client.end(CloseReasons.takenOver)
  }

  /** Takes in a message of the registry. */
  handleRegistry(message: FromRegistry): void {
    this.context.setTime()
    this.context.identities.handle(message, this.context.nowMs)
  }

  /** Resolves once everything that sessions subscribe to is known. */
  whenReady(): Promise<void> {
    const { sessions } = this.context
    if (sessions.isReady) return Promise.resolve()
    return new Promise((resolve) => {
      sessions.onReady = resolve
    })
  }

  /** It is not going to be. */
  giveUpWaiting(): void {
    this.context.sessions.onReady?.()
  }

  status(): GatewayStatus {
    return this.context.counters.status(this.context.index)
  }

  /** Takes nothing more in; what was taken is still acknowledged. */
  beginDrain(): void {
    this.context.isDraining = true
  }

  /** Everything taken is acknowledged. */
  get isDrained(): boolean {
    for (const client of this.context.clients) if (!client.isSettled) return false
    return true
  }

  /** Ends all connections; clients of MQTT 5 are told that the server shuts down. */
  endAll(): void {
    for (const client of this.context.clients) client.end(CloseReasons.draining)
  }

  #hasRoom(address: string): boolean {
    const { isDraining, admission } = this.context
    const refusal = isDraining ? CloseReasons.draining : admission.admit(address)
    if (refusal !== null) this.refuse(refusal, address)
    return refusal === null
  }

  #isBusy(): boolean {
    if (!this.context.isBusy) return false
    this.refuse(CloseReasons.busy)
    return true
  }

  /** A connection turns out to come from elsewhere: null, or why that is too many. */
  readdress(peer: Peer, address: string): CloseReason | null {
    const refusal = this.context.admission.move(peer.address, address)
    if (refusal === null) peer.address = address
    return refusal
  }

  /** Counts a client that is turned away before it becomes a connection. */
  refuse(reason: CloseReason, address = ''): void {
    refuseClient(this.context, '', '', address, reason.name)
    this.context.counters.disconnected(reason)
  }

  #sweep(): void {
    const { context } = this
    this.#sweptMs = context.nowMs
    context.tick++
    context.counters.turnSecond()
    context.sys.turnSecond(context.tick)
    for (const client of context.clients) client.sweep()
    context.identities.sweep(context.nowMs)
  }
}

/**
 * A CONNECT on its way through the stages that decide about it, and what the connection goes on with. Owner:
 * the gateway's thread. Stages run one after the other, at once as long as none has to wait; the first that
 * refuses ends the attempt. Invariant: the owner hears of it once, or never when it was cancelled.
 */
import type { ConnectPacket } from '../../../codecs/mqtt/connect.ts'
import type { ProtocolVersion } from '../../../codecs/mqtt/packet.ts'
import type { Identity } from '../../registry/gateway-identities.ts'
import type { ClientSession } from '../client-session.ts'
import type { Client, GatewayContext } from '../gateway-context.ts'
import type { Peer } from '../peer.ts'

/** Of a stage: it waits, and calls `proceed` later. Not a ReasonCode. */
export const PENDING = -1

/** Returns 0 to go on, the ReasonCode of a refusal, or PENDING. */
export type ConnectStage = (attempt: ConnectAttempt, context: GatewayContext) => number

/** What a connection is known by, and what its client can take, once its CONNECT was accepted. */
export interface AcceptedConnect {
  readonly version: ProtocolVersion
  /** Once it is known whose it is, one among its device's. */
  clientId: string
  /** Where it comes from. */
  readonly address: string
  /** Null until it is known. */
  identity: Identity | null
  /** The place of the CONNECT in the order of all of the engine. */
  readonly number: number
  /** As CONNECT asks: 0 for a session that ends with the connection. */
  readonly sessionExpiryS: number
  /** What the connection lives by, 0 for no keep-alive; the client's own unless it is told another. */
  readonly keepAliveS: number
  /** What the client takes unacknowledged, and in one packet (0 for any size). */
  readonly receiveMaximum: number
  readonly packetSizeBytesMax: number
  /** Aliases that the client takes. */
  readonly topicAliasMaximum: number
  /** It wants to be told why in words (MQTT 5). */
  readonly wantsReasons: boolean
}

export interface ConnectOwner {
  /** `reasonCode` is 0, or why not. */
  connectDecided(attempt: ConnectAttempt, reasonCode: number): void
}

export class ConnectAttempt {
  readonly packet: ConnectPacket
  readonly client: Client
  /** Where it comes from, and what its certificate says. */
  readonly peer: Peer
  readonly connect: AcceptedConnect
  /** For CONNACK: an identifier that the client did not choose. */
  readonly assignedClientId: string | undefined
  /** What the session thread keeps for the client; null when it need not. */
  session: ClientSession | null = null
  /** Why it was refused, where the ReasonCode does not say it all. */
  refusal: string | null = null
  /** What the pending stage wants done when the connection ends first. */
  onCancel: (() => void) | null = null
  #context: GatewayContext
  #stages: readonly ConnectStage[]
  #owner: ConnectOwner
  #stage = 0
  #isOver = false

  constructor(
    context: GatewayContext,
    stages: readonly ConnectStage[],
    packet: ConnectPacket,
    client: Client,
    peer: Peer,
    owner: ConnectOwner,
  ) {
    const { protocolVersion: version, properties } = packet
    const number = context.takeNumber()
    this.packet = packet
    this.client = client
    this.peer = peer
    const isAssigned = packet.clientId === ''
    const assigned = `auto-${context.startMs.toString(36)}-${context.index}-${number}`
    this.assignedClientId = isAssigned ? assigned : undefined
    this.connect = {
      version,
      clientId: isAssigned ? assigned : packet.clientId,
      address: peer.address,
      identity: null,
      number,
      sessionExpiryS: properties.sessionExpiryIntervalS,
      keepAliveS: keepAliveOf(packet, context.limits.keepAliveMaxS),
      receiveMaximum: properties.receiveMaximum,
      packetSizeBytesMax: properties.maximumPacketSizeBytes,
      topicAliasMaximum: properties.topicAliasMaximum,
      wantsReasons: version === 5 && properties.requestProblemInformation,
    }
    this.#context = context
    this.#stages = stages
    this.#owner = owner
  }

  /** Runs the stages, up to one that has to wait. */
  start(): void {
    this.proceed(0)
  }

  /** The answer of the pending stage: 0 or a ReasonCode. It means nothing once the attempt is over. */
  proceed(answer: number): void {
    let result = answer
    this.onCancel = null
    while (!this.#isOver && result === 0) {
      if (this.#stage === this.#stages.length) break
      result = this.#stages[this.#stage++](this, this.#context)
    }
    if (this.#isOver || result === PENDING) return
    this.#isOver = true
    this.#owner.connectDecided(this, result)
  }

  /** The connection has ended. */
  cancel(): void {
    this.#isOver = true
    this.onCancel?.()
    this.onCancel = null
  }
}

/** 3.1.1 has no way to tell the client another. */
function keepAliveOf({ protocolVersion, keepAliveS }: ConnectPacket, maxS: number): number {
  if (protocolVersion === 4 || maxS === 0) return keepAliveS
  return keepAliveS === 0 ? maxS : Math.min(keepAliveS, maxS)
}

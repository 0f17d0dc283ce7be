/**
 * One connection's side of its session in the session thread: what it asks, and what comes back, in order. Owner: the
 * gateway's thread. Made for clients whose session is kept, that have a will, or that share a subscription; all others
 * live without one. Invariant: whoever was told of a connection is told of its end.
 */
import { ReasonCode } from '../../codecs/mqtt/packet.ts'
import {
  decodeFilters,
  decodeNumbers,
  encodeConnect,
  encodeFilters,
  encodeTexts,
  type SessionConnect,
  type SessionFilter,
} from '../../codecs/session/messages.ts'
import {
  AckKind,
  type SessionRecordFields,
  SessionRecordKind,
  sessionRecord,
} from '../../codecs/session/record.ts'
import type { Message } from './delivery.ts'
import { Fifo } from './fifo.ts'
import type { SessionLink, SessionUser } from './session-link.ts'

/** What the connection does with what comes. */
export interface SessionOwner {
  /** A message of the session; false when its client can't take it at all. */
  takeDelivery(message: Message, flags: number, packetId: number, identifiers: number[]): boolean
  /** PUBREL is to be sent. */
  takeRelease(packetId: number, isKnown: boolean): void
}

export class ClientSession implements SessionUser {
  /** 0 until CONNECTED. */
  handle = 0
  isPresent = false
  /** Of a session that was there: its subscriptions, except shared ones, and the identifiers of messages that it has not released. */
  readonly subscriptions: SessionFilter[] = []
  received: readonly number[] = []
  owner: SessionOwner | null = null
  readonly number: number
  /** Whether its subscriptions and what waits for it outlive the connection. */
  #isKept: boolean
  #expiryS: number
  #link: SessionLink
  #isClosed = false
  #onConnected: (reasonCode: number) => void
  #answers = new Fifo<(reasonCodes: number[]) => void>()

  /** Asks for the session; `onConnected` hears 0 or why not, once, unless it is closed first. */
  constructor(
    link: SessionLink,
    number: number,
    connect: SessionConnect,
    onConnected: (reasonCode: number) => void,
  ) {
    this.number = number
    this.#link = link
    this.#isKept = connect.expiryS > 0
    this.#expiryS = connect.expiryS
    this.#onConnected = onConnected
    link.attach(number, this)
    link.send(sessionRecord(SessionRecordKind.CONNECT, { number, body: encodeConnect(connect) }))
    link.flush()
  }

  get isKept(): boolean {
    return this.#isKept || this.isPresent
  }

  get expiryS(): number {
    return this.#expiryS
  }

  /** `answer` gets a reason code for each filter. */
  subscribe(
    packetId: number,
    filters: readonly SessionFilter[],
    answer: (reasonCodes: number[]) => void,
  ): void {
    this.#ask(SessionRecordKind.SUBSCRIBE, packetId, encodeFilters(filters), answer)
  }

  unsubscribe(packetId: number, filters: readonly string[], answer: (reasonCodes: number[]) => void): void {
    this.#ask(SessionRecordKind.UNSUBSCRIBE, packetId, encodeTexts(filters), answer)
  }

  // hot: per message and subscriber
  acknowledge(packetId: number, flags: AckKind): void {
    const { handle, number } = this
    this.#link.send(sessionRecord(SessionRecordKind.ACK, { flags, packetId, handle, number }))
  }

  /** The connection is gone. `expiryS` as DISCONNECT may have changed it. */
  close(forgetsWill: boolean, expiryS = this.#expiryS): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.owner = null
    this.#expiryS = expiryS
    if (this.handle === 0) return // said when its handle is known
    this.#disconnect(forgetsWill)
  }

  sessionAnswered(record: SessionRecordFields): void {
    switch (record.kind) {
      case SessionRecordKind.SUBSCRIPTION:
        this.subscriptions.push(...decodeFilters(record))
        break
      case SessionRecordKind.CONNECTED:
        this.#connected(record)
        break
      case SessionRecordKind.SUBSCRIBED:
      case SessionRecordKind.UNSUBSCRIBED:
        this.#answers.shift()?.(decodeNumbers(record))
        break
      default:
    }
  }

  // hot: per delivery
  sessionDelivers(record: SessionRecordFields, message: Message, identifiers: number[]): void {
    const { flags, packetId } = record
    const isTaken = this.owner?.takeDelivery(message, flags, packetId, identifiers) ?? true
    if (!isTaken && packetId > 0) this.acknowledge(packetId, AckKind.REFUSED)
  }

  sessionReleases(packetId: number, isKnown: boolean): void {
    this.owner?.takeRelease(packetId, isKnown)
  }

  #ask(
    kind: SessionRecordKind,
    packetId: number,
    body: Uint8Array,
    answer: (reasonCodes: number[]) => void,
  ): void {
    const { handle, number } = this
    this.#answers.push(answer)
    this.#link.send(sessionRecord(kind, { packetId, handle, number, body }))
  }

  #connected(record: SessionRecordFields): void {
    const reasonCode = record.packetId
    this.handle = record.handle
    if (reasonCode !== ReasonCode.SUCCESS) {
      this.#link.detach(this.number)
      if (!this.#isClosed) this.#onConnected(reasonCode)
      return
    }
    this.isPresent = record.flags === 1
    this.received = decodeNumbers(record)
    if (this.#isClosed) this.#disconnect(true)
    else this.#onConnected(0)
  }

  #disconnect(forgetsWill: boolean): void {
    const { handle, number } = this
    const expiryS = this.#expiryS
    const flags = forgetsWill ? 1 : 0
    this.#link.detach(number)
    this.#link.send(sessionRecord(SessionRecordKind.DISCONNECT, { flags, handle, number, expiryS }))
    this.#link.flush()
  }
}

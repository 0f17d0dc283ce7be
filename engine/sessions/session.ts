/**
 * A session as the session thread keeps it: its client, what it subscribes to, what waits for it. Owned by the session
 * thread. Invariant: whatever outlives a connection comes from journalled records alone, so that a replay rebuilds it.
 */
import type { SessionFilter, WillMessage } from '../../codecs/session/messages.ts'
import type { SessionQueue } from './session-queue.ts'
import { NEVER_MS } from './stored-message.ts'

/** Of a session: it does not end by itself. */
export const NEVER_EXPIRES_S = 0xffffffff

export class Session {
  /** What records name it by. Not used again. */
  readonly handle: number
  readonly clientId: string
  expiryS = 0
  /** Of its connection; 0 while it has none. */
  number = 0
  /** Where it is connected, or was last. */
  gateway = 0
  /** Messages of QoS 1 and 2 that its client takes unacknowledged. */
  windowMax = 0
  /** Gateways know that the client has a kept session. */
  isKnown = false
  will: WillMessage | null = null
  /** While it has no connection. */
  willAtMs = NEVER_MS
  expiresAtMs = NEVER_MS
  /** Null while it has none, as below. */
  subscriptions: Map<string, SessionSubscription> | null = null
  queue: SessionQueue | null = null
  /** Identifiers of messages of QoS 2 that its client has sent and not released. */
  received: Set<number> | null = null
  lastPacketId = 0

  constructor(handle: number, clientId: string) {
    this.handle = handle
    this.clientId = clientId
  }

  get isConnected(): boolean {
    return this.number !== 0
  }

  /** When something has to be done about it, ms. */
  get deadlineMs(): number {
    return Math.min(this.willAtMs, this.expiresAtMs)
  }
}

export interface SessionSubscription extends SessionFilter {
  session: Session
  /** Null unless it is shared. */
  group: SharedGroup | null
}

/**
 * The members of one shared subscription (`$share/{name}/{filter}`), served in turn: connected ones first, then those
 * whose session waits for them. Invariant: it has a member.
 */
export class SharedGroup {
  /** As clients name it. */
  readonly name: string
  /** The filter behind the group's name. */
  readonly filter: string
  readonly members: SessionSubscription[] = []
  /** Whose turn it is, an index into `members`. */
  turn = 0

  constructor(name: string, filter: string) {
    this.name = name
    this.filter = filter
  }

  add(member: SessionSubscription): void {
    this.members.push(member)
  }

  remove(member: SessionSubscription): void {
    const index = this.members.indexOf(member)
    this.members.splice(index, 1)
    if (index < this.turn) this.turn--
    if (this.turn >= this.members.length) this.turn = 0
  }

  /** Offers a message to one member after the other until one takes it; false when none does. */
  offer(take: (member: SessionSubscription) => boolean): boolean {
    const { members } = this
    for (const isConnected of [true, false]) {
      for (let i = 0; i < members.length; i++) {
        const index = (this.turn + i) % members.length
        const member = members[index]
        if (member.session.isConnected !== isConnected || !take(member)) continue
        this.turn = (index + 1) % members.length
        return true
      }
    }
    return false
  }
}

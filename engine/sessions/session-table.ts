/**
 * All sessions: how they begin, are resumed, lose their connection and end, with their wills and expiry. Owned by the
 * session thread. Invariant: whatever is due by time is in `deadlines`.
 */
import { hashBytes } from '../../base/hash.ts'
import type { SessionConnect } from '../../codecs/session/messages.ts'
import { SessionRecordKind, sessionRecord } from '../../codecs/session/record.ts'
import { Deadlines } from './deadlines.ts'
import type { FilterBook } from './filter-book.ts'
import type { MessageRouter } from './message-router.ts'
import { NEVER_EXPIRES_S, Session } from './session.ts'
import type { SessionContext } from './session-context.ts'
import { NEVER_MS } from './stored-message.ts'

const STALE_DEADLINES_MIN = 1024

export interface SessionTableParts {
  context: SessionContext
  filters: FilterBook
  router: MessageRouter
  /** The session's will is to be published; it has one. */
  onWill: (session: Session) => void
}

export class SessionTable {
  #parts: SessionTableParts
  #byClient = new Map<string, Session>()
  #byHandle = new Map<number, Session>()
  #deadlines = new Deadlines()
  #lastHandle = 0

  constructor(parts: SessionTableParts) {
    this.#parts = parts
  }

  get count(): number {
    return this.#byClient.size
  }

  get connectedCount(): number {
    return this.#countOf(({ isConnected }) => isConnected)
  }

  /** Wills of clients that are gone, and whose delay is not over. */
  get willsPending(): number {
    return this.#countOf(({ willAtMs }) => willAtMs !== NEVER_MS)
  }

  get lastHandle(): number {
    return this.#lastHandle
  }

  /** In the order in which they began. */
  get sessions(): IterableIterator<Session> {
    return this.#byHandle.values()
  }

  get nextDeadlineMs(): number {
    return this.#deadlines.nextMs
  }

  find(handle: number): Session | undefined {
    return this.#byHandle.get(handle)
  }

  /** The session of that handle, if that connection is its own. */
  findOf(handle: number, number: number): Session | undefined {
    const session = this.#byHandle.get(handle)
    return session?.number === number ? session : undefined
  }

  /** The client's session and whether it was there; null when there are too many. */
  connect(number: number, connect: SessionConnect): { session: Session; isPresent: boolean } | null {
    const { clientId, isClean, expiryS } = connect
    const old = this.#byClient.get(clientId)
    if (old?.isConnected) this.#takeOver(old, isClean)
    if (old !== undefined && isClean) this.end(old)
    const isPresent = old !== undefined && !isClean
    if (!isPresent && this.count >= this.#parts.context.limits.sessionsMax) return null
    const session = isPresent ? old : this.#begin(clientId)
    session.number = number
    session.gateway = connect.gateway
    session.expiryS = expiryS
    session.windowMax = connect.windowMax
    session.will = connect.will // that of an earlier connection is not sent any more ([MQTT-3.1.3-9])
    session.willAtMs = NEVER_MS
    session.expiresAtMs = NEVER_MS
    if (expiryS > 0 && !session.isKnown) {
      session.isKnown = true
      this.#tellKnown(session)
    }
    return { session, isPresent }
  }

  /** Whether the client has a session that belongs to a later connection than that. */
  isOutdated(number: number, clientId: string): boolean {
    const session = this.#byClient.get(clientId)
    return session?.isConnected === true && ((number - session.number) | 0) < 0
  }

  /** The session's connection is gone; its will is sent after its delay, unless it is to be forgotten. */
  disconnect(session: Session, forgetsWill: boolean): void {
    const { context, router } = this.#parts
    session.number = 0
    if (forgetsWill) session.will = null
    router.disconnect(session)
    if (session.expiryS === 0) {
      this.end(session)
      return
    }
    const { nowMs } = context
    if (session.expiryS !== NEVER_EXPIRES_S) session.expiresAtMs = nowMs + session.expiryS * 1000
    if (session.will !== null) {
      const { delayS } = session.will
      if (delayS === 0) this.#sendWill(session)
      else session.willAtMs = nowMs + delayS * 1000
    }
    this.#await(session)
  }

  /** Ends a session; a will that still waits is sent ([MQTT-3.1.3-9]). */
  end(session: Session): void {
    const { context, filters, router } = this.#parts
    session.number = 0
    for (const subscription of session.subscriptions?.values() ?? []) filters.remove(subscription)
    session.subscriptions = null
    router.end(session)
    this.#byClient.delete(session.clientId)
    this.#byHandle.delete(session.handle)
    if (session.will !== null) this.#sendWill(session)
    if (session.isKnown) {
      const flags = 1
      context.output?.tell(sessionRecord(SessionRecordKind.KNOWN, { flags, handle: hashOf(session) }))
    }
  }

  /** All connections are lost. */
  disconnectAll(): void {
    const lost = [...this.sessions].filter(({ isConnected }) => isConnected)
    for (const session of lost) session.number = 0 // before the first will is sent to any of them
    for (const session of lost) this.disconnect(session, false)
  }

  /** Does what has become due. */
  expire(): void {
    const { nowMs } = this.#parts.context
    while (this.#deadlines.nextMs <= nowMs) {
      const session = this.#byHandle.get(this.#deadlines.shift())
      if (session === undefined) continue
      if (session.willAtMs <= nowMs) this.#sendWill(session)
      if (session.expiresAtMs <= nowMs) this.end(session)
    }
  }

  /** After a replay, in which nothing was told. */
  tellAll(): void {
    for (const session of this.sessions) if (session.isKnown) this.#tellKnown(session)
  }

  /** Takes a session in, from a snapshot. */
  restore(session: Session): void {
    this.#byClient.set(session.clientId, session)
    this.#byHandle.set(session.handle, session)
    if (!session.isConnected) this.#await(session)
  }

  restoreLastHandle(handle: number): void {
    this.#lastHandle = handle
  }

  #countOf(test: (session: Session) => boolean): number {
    let count = 0
    for (const session of this.sessions) if (test(session)) count++
    return count
  }

  #begin(clientId: string): Session {
    const session = new Session(++this.#lastHandle, clientId)
    this.#byClient.set(clientId, session)
    this.#byHandle.set(session.handle, session)
    return session
  }

  /** Another connection of the client: the will of the old one is sent now, or not at all if the session goes on. */
  #takeOver(session: Session, endsSession: boolean): void {
    const { router } = this.#parts
    session.number = 0
    router.disconnect(session)
    if (session.will !== null && session.will.delayS === 0 && !endsSession) this.#sendWill(session)
  }

  #sendWill(session: Session): void {
    this.#parts.onWill(session)
    session.will = null
    session.willAtMs = NEVER_MS
  }

  #await(session: Session): void {
    const deadlines = this.#deadlines
    if (session.willAtMs !== NEVER_MS) deadlines.add(session.willAtMs, session.handle)
    if (session.expiresAtMs !== NEVER_MS) deadlines.add(session.expiresAtMs, session.handle)
    if (deadlines.count < STALE_DEADLINES_MIN + 4 * this.count) return
    deadlines.clear()
    for (const { isConnected, handle, willAtMs, expiresAtMs } of this.sessions) {
      if (isConnected) continue
      if (willAtMs !== NEVER_MS) deadlines.add(willAtMs, handle)
      if (expiresAtMs !== NEVER_MS) deadlines.add(expiresAtMs, handle)
    }
  }

  #tellKnown(session: Session): void {
    const { context } = this.#parts
    context.output?.tell(sessionRecord(SessionRecordKind.KNOWN, { handle: hashOf(session) }))
  }
}

function hashOf({ clientId }: Session): number {
  const bytes = Buffer.from(clientId)
  return hashBytes(bytes, 0, bytes.length)
}

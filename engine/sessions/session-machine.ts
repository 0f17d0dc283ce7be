/**
 * What the session thread does, as a step machine: records and journalled time in, state and deliveries out. Owned by the
 * session thread. Invariant: the same records and times make the same state, byte for byte; nothing else is looked at.
 */
import { alignRecord, RecordViews } from '../../codecs/journal/record.ts'
import { ReasonCode } from '../../codecs/mqtt/packet.ts'
import {
  decodeConnect,
  decodeFilters,
  decodeTexts,
  encodeFilters,
  encodeNumbers,
  type SessionFilter,
} from '../../codecs/session/messages.ts'
import {
  readSessionRecord,
  type SessionRecord,
  SessionRecordFields,
  SessionRecordKind,
  sessionRecord,
} from '../../codecs/session/record.ts'
import type { StateReader, StateWriter } from '../../codecs/state.ts'
import { FilterBook } from './filter-book.ts'
import { deliveryOf, MessageRouter } from './message-router.ts'
import { RetainedStore } from './retained-store.ts'
import type { Session, SessionSubscription } from './session.ts'
import { SessionContext, type SessionLimits, type SessionOutput } from './session-context.ts'
import { loadSessions, saveSessions } from './session-state.ts'
import { SessionTable } from './session-table.ts'
import { messageOf, messageOfWill, payloadSizeOf, type StoredMessage, topicOf } from './stored-message.ts'

const SUBSCRIPTIONS_PER_SESSION_MAX = 1000
/** Retained messages that one subscription is sent; its queue would not take more. */
const RETAINED_PER_FILTER_MAX = 10_000

export class SessionMachine {
  readonly context: SessionContext
  readonly retained: RetainedStore
  readonly sessions: SessionTable
  readonly filters: FilterBook
  readonly router: MessageRouter
  #record = new SessionRecordFields()
  /** Of the last batch; the clock may have been set back since. */
  #lastTimeMs = 0

  constructor(limits: SessionLimits) {
    const context = new SessionContext(limits)
    this.context = context
    this.retained = new RetainedStore({
      countMax: limits.retainedCountMax,
      sizeBytesMax: limits.retainedSizeBytesMax,
    })
    this.filters = new FilterBook(context)
    this.router = new MessageRouter(context, this.filters)
    const onWill = (session: Session) => this.#publishWill(session)
    this.sessions = new SessionTable({ context, filters: this.filters, router: this.router, onWill })
  }

  /** From here on what is said leaves; all that gateways need to know of before is said now. */
  connectOutput(output: SessionOutput): void {
    this.context.output = output
    this.filters.tellAll()
    this.sessions.tellAll()
    output.tell(sessionRecord(SessionRecordKind.READY))
  }

  /** The time of a batch: goes before its records. */
  advance(timeMs: number): void {
    const { context } = this
    if (this.#lastTimeMs > 0) context.nowMs += Math.max(0, timeMs - this.#lastTimeMs)
    else context.nowMs = timeMs
    this.#lastTimeMs = timeMs
    this.sessions.expire()
  }

  /** Whether something is due when the clock shows that. */
  isDue(clockMs: number): boolean {
    return this.dueInMs(clockMs) <= 0
  }

  dueInMs(clockMs: number): number {
    const { nowMs } = this.context
    return this.sessions.nextDeadlineMs - (nowMs + Math.max(0, clockMs - this.#lastTimeMs))
  }

  /** Takes the records in [start, end). */
  // hot: per batch
  apply(views: RecordViews, start: number, end: number): void {
    const record = this.#record
    for (let offset = start; offset < end; offset += alignRecord(views.u32[offset >>> 2])) {
      if (readSessionRecord(views, offset, record)) this.#take(record)
    }
  }

  applyBytes(bytes: Uint8Array): void {
    this.apply(new RecordViews(bytes.buffer, bytes.byteOffset, bytes.length), 0, bytes.length)
  }

  save(out: StateWriter): void {
    saveSessions(out, this, this.#lastTimeMs)
  }

  load(from: StateReader): void {
    this.#lastTimeMs = loadSessions(from, this)
  }

  // hot: per record
  #take(record: SessionRecordFields): void {
    const { sessions, router } = this
    switch (record.kind) {
      case SessionRecordKind.PUBLISH:
        this.#publish(record)
        break
      case SessionRecordKind.ACK: {
        const session = sessions.findOf(record.handle, record.number)
        if (session !== undefined) router.acknowledge(session, record.packetId, record.flags)
        break
      }
      case SessionRecordKind.RELEASE:
        sessions.find(record.handle)?.received?.delete(record.packetId)
        break
      default:
        this.#takeRare(record)
    }
  }

  #takeRare(record: SessionRecordFields): void {
    const { sessions } = this
    const { handle, number } = record
    switch (record.kind) {
      case SessionRecordKind.CONNECT:
        this.#connect(record)
        return
      case SessionRecordKind.START:
        sessions.disconnectAll()
        return
      case SessionRecordKind.RETAINED:
        this.#answerRetained(record)
        return
      default:
    }
    const session = sessions.findOf(handle, number)
    if (session === undefined) return // another connection has taken it over, or it has ended
    switch (record.kind) {
      case SessionRecordKind.SUBSCRIBE:
        this.#subscribe(session, record)
        break
      case SessionRecordKind.UNSUBSCRIBE:
        this.#unsubscribe(session, record)
        break
      case SessionRecordKind.DISCONNECT:
        session.expiryS = record.expiryS
        sessions.disconnect(session, record.flags === 1)
        break
      default:
    }
  }

  // hot: per message that a session wants
  #publish(record: SessionRecordFields): void {
    const publisher = record.handle === 0 ? undefined : this.sessions.find(record.handle)
    const isQos2 = ((record.flags >> 1) & 3) === 2
    if (isQos2 && publisher !== undefined) {
      publisher.received ??= new Set()
      if (publisher.received.has(record.packetId)) return
      publisher.received.add(record.packetId)
    }
    if (record.topicSize > 0) this.#route(messageOf(record, this.context.nowMs), record.handle)
  }

  #route(message: StoredMessage, publisher: number): void {
    if (message.isRetain) this.#retain(message)
    this.router.publish(message, publisher)
  }

  #retain(message: StoredMessage): void {
    const { context, retained } = this
    const topic = topicOf(message)
    if (payloadSizeOf(message) === 0) retained.delete(topic)
    else if (!retained.set(topic, message, context.nowMs)) context.dropped.retainedFull++
  }

  #publishWill(session: Session): void {
    const { will, gateway, handle } = session
    if (will === null) return
    const message = messageOfWill(will, this.context.nowMs)
    this.#route(message, handle)
    const flags = (message.qos << 1) | (message.isRetain ? 1 : 0)
    const delivery = deliveryOf(0, message, flags, 0, [], this.context.nowMs)
    this.context.output?.send(gateway, { ...delivery, kind: SessionRecordKind.WILL })
  }

  #connect(record: SessionRecordFields): void {
    const { sessions, context } = this
    const { number } = record
    const connect = decodeConnect(record)
    const answer = sessionRecord(SessionRecordKind.CONNECTED, { number })
    if (sessions.isOutdated(number, connect.clientId)) {
      context.output?.send(connect.gateway, { ...answer, packetId: ReasonCode.SESSION_TAKEN_OVER })
      return
    }
    const found = sessions.connect(number, connect)
    if (found === null) {
      context.output?.send(connect.gateway, { ...answer, packetId: ReasonCode.QUOTA_EXCEEDED })
      return
    }
    const { session, isPresent } = found
    for (const subscription of session.subscriptions?.values() ?? []) {
      if (subscription.group === null) this.#tellSubscription(session, subscription)
    }
    context.output?.send(connect.gateway, {
      ...answer,
      flags: isPresent ? 1 : 0,
      handle: session.handle,
      body: encodeNumbers(session.received ?? []),
    })
    this.router.dispatch(session)
  }

  #tellSubscription({ gateway, number }: Session, subscription: SessionSubscription): void {
    const body = encodeFilters([subscription])
    this.context.output?.send(gateway, sessionRecord(SessionRecordKind.SUBSCRIPTION, { number, body }))
  }

  #subscribe(session: Session, record: SessionRecordFields): void {
    const reasonCodes: number[] = []
    for (const filter of decodeFilters(record)) reasonCodes.push(this.#addSubscription(session, filter))
    this.#answer(session, record, SessionRecordKind.SUBSCRIBED, reasonCodes)
  }

  /** Returns the granted QoS, or why not. */
  #addSubscription(session: Session, filter: SessionFilter): number {
    session.subscriptions ??= new Map()
    const { subscriptions } = session
    const old = subscriptions.get(filter.filter)
    if (old === undefined && subscriptions.size >= SUBSCRIPTIONS_PER_SESSION_MAX)
      return ReasonCode.QUOTA_EXCEEDED
    const subscription: SessionSubscription = { ...filter, session, group: null }
    // The new one first: gateways do not see the filter go and come.
    if (!this.filters.add(subscription)) return ReasonCode.QUOTA_EXCEEDED
    if (old !== undefined) this.filters.remove(old)
    subscriptions.set(filter.filter, subscription)
    const wantsRetained = filter.retainHandling === 0 || (filter.retainHandling === 1 && old === undefined)
    if (wantsRetained && subscription.group === null) this.#sendRetained(subscription)
    return filter.qos
  }

  #sendRetained(subscription: SessionSubscription): void {
    let left = RETAINED_PER_FILTER_MAX
    this.retained.match(subscription.filter, this.context.nowMs, (message) => {
      this.router.retained(subscription, message)
      return --left > 0
    })
  }

  /** To a client without a kept session: changes nothing. */
  #answerRetained(record: SessionRecordFields): void {
    const { output, nowMs } = this.context
    if (output === null) return
    for (const { filter, qos, identifier } of decodeFilters(record)) {
      let left = RETAINED_PER_FILTER_MAX
      this.retained.match(filter, nowMs, (message) => {
        if (output.isCongested || left-- === 0) return false
        const flags = (Math.min(message.qos, qos) << 1) | 1
        const identifiers = identifier > 0 ? [identifier] : []
        output.send(record.handle, deliveryOf(record.number, message, flags, 0, identifiers, nowMs))
        return true
      })
    }
  }

  #unsubscribe(session: Session, record: SessionRecordFields): void {
    const reasonCodes = decodeTexts(record).map((filter) => {
      const subscription = session.subscriptions?.get(filter)
      if (subscription === undefined) return ReasonCode.NO_SUBSCRIPTION_EXISTED
      this.filters.remove(subscription)
      session.subscriptions?.delete(filter)
      return ReasonCode.SUCCESS
    })
    this.#answer(session, record, SessionRecordKind.UNSUBSCRIBED, reasonCodes)
  }

  #answer(
    { gateway, number }: Session,
    { packetId }: SessionRecordFields,
    kind: SessionRecord['kind'],
    reasonCodes: readonly number[],
  ): void {
    const body = encodeNumbers(reasonCodes)
    this.context.output?.sendWhenTaken(gateway, sessionRecord(kind, { packetId, number, body }))
  }
}

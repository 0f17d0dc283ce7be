/**
 * Brings messages into the queues of sessions and from there to their clients, and takes back what was acknowledged.
 * Owned by the session thread. Invariants: identifiers are given out in the order of records, so that a replay gives the
 * same; what does not fit is dropped, the newest, and counted.
 */
import { AckKind, type SessionRecord, SessionRecordKind, sessionRecord } from '../../codecs/session/record.ts'
import type { FilterBook } from './filter-book.ts'
import type { Session, SessionSubscription, SharedGroup } from './session.ts'
import type { SessionContext } from './session-context.ts'
import { ENTRY_SIZE_BYTES, type QueueEntry, SessionQueue } from './session-queue.ts'
import { remainingExpiryS, type StoredMessage, topicOf } from './stored-message.ts'

const DUP_FLAG = 8
const NO_IDENTIFIERS: readonly number[] = []

/** How one subscriber is to see a message. */
interface View {
  qos: number
  isRetain: boolean
  identifiers: readonly number[]
  groupName: string
}

export class MessageRouter {
  #context: SessionContext
  #filters: FilterBook

  constructor(context: SessionContext, filters: FilterBook) {
    this.#context = context
    this.#filters = filters
  }

  /** To all sessions that subscribe to its topic; `publisher` is the handle of its own, or 0. */
  // hot: per message that a session wants
  publish(message: StoredMessage, publisher: number): void {
    const { deliveries, groups } = this.#filters.plan(topicOf(message), publisher)
    for (const { subscription, qos, isRetainKept, identifiers } of deliveries) {
      const granted = Math.min(message.qos, qos)
      if (granted === 0) continue // the gateways bring QoS 0 to those that are connected
      const isRetain = message.isRetain && isRetainKept
      this.#add(subscription.session, message, { qos: granted, isRetain, identifiers, groupName: '' })
    }
    for (const group of groups) this.#share(group, message)
  }

  /** A retained message, to a session that has subscribed to it. */
  retained(subscription: SessionSubscription, message: StoredMessage): void {
    const { session, qos, identifier } = subscription
    const identifiers = identifier > 0 ? [identifier] : NO_IDENTIFIERS
    this.#give(session, message, {
      qos: Math.min(message.qos, qos),
      isRetain: true,
      identifiers,
      groupName: '',
    })
  }

  /** Sends what the client's window has room for: first what an earlier connection left in flight. */
  // hot: per message and subscriber
  dispatch(session: Session): void {
    const { queue } = session
    if (queue === null || !session.isConnected) return
    while (queue.hasRoomToSend(session.windowMax)) {
      const again = queue.resend.shift()
      if (again !== undefined) {
        if (queue.inflight.get(again.packetId) !== again) continue // acknowledged meanwhile
        queue.noteSent(again)
        this.#send(session, again, true)
        continue
      }
      const entry = queue.waiting.shift()
      if (entry === undefined) return
      if (entry.message.expiresAtMs <= this.#context.nowMs) {
        this.#context.dropped.expired++
        queue.forget(entry)
        this.#release(entry)
        continue
      }
      entry.packetId = queue.nextPacketId(session.lastPacketId)
      session.lastPacketId = entry.packetId
      queue.inflight.set(entry.packetId, entry)
      queue.noteSent(entry)
      this.#send(session, entry, false)
    }
  }

  /** The client's PUBACK, PUBREC, PUBCOMP, or that it can't take the message. */
  // hot: per message and subscriber
  acknowledge(session: Session, packetId: number, kind: number): void {
    const entry = session.queue?.inflight.get(packetId)
    if (entry === undefined) {
      if (kind === AckKind.PUBREC) this.#sendRelease(session, packetId, false)
      return
    }
    if (kind === AckKind.PUBREC) {
      if (entry.qos !== 2) return
      entry.isReleased = true
      this.#sendRelease(session, packetId, true)
      return
    }
    const isEnd = kind === AckKind.REFUSED || (kind === AckKind.PUBACK ? entry.qos === 1 : entry.isReleased)
    if (!isEnd) return
    session.queue?.complete(entry)
    this.#release(entry)
    this.dispatch(session)
  }

  /** The client is gone: what it had not begun to get of shared subscriptions goes to members that are there. */
  disconnect(session: Session): void {
    const { queue } = session
    if (queue === null) return
    queue.disconnect()
    for (let left = queue.waiting.count; left > 0; left--) {
      const entry = queue.waiting.shift() as QueueEntry
      const group = this.#filters.group(entry.groupName)
      const isElsewhere = group?.members.some((member) => member.session.isConnected)
      if (!isElsewhere) queue.waiting.push(entry)
      else this.#handOver(queue, entry)
    }
    if (queue.count === 0) session.queue = null
  }

  /**
   * The session ends. Its part of shared subscriptions goes to other members; not what is in flight with QoS 2, which
   * nobody else may get ([MQTT-4.8.2-5]). Its subscriptions are gone already.
   */
  end(session: Session): void {
    const { queue } = session
    session.queue = null
    if (queue === null) return
    for (const entry of queue.inflight.values()) {
      if (entry.qos === 1) this.#handOver(queue, entry)
      else this.#lose(entry)
    }
    for (let entry = queue.waiting.shift(); entry !== undefined; entry = queue.waiting.shift()) {
      this.#handOver(queue, entry)
    }
  }

  /** Puts an entry back, from a snapshot. */
  restore(queue: SessionQueue, entry: QueueEntry): void {
    queue.restore(entry)
    this.#hold(entry)
  }

  #share(group: SharedGroup, message: StoredMessage): void {
    const isTaken = group.offer(({ session, qos, isRetainKept, identifier }) => {
      const identifiers = identifier > 0 ? [identifier] : NO_IDENTIFIERS
      const isRetain = message.isRetain && isRetainKept
      return this.#give(session, message, {
        qos: Math.min(message.qos, qos),
        isRetain,
        identifiers,
        groupName: group.name,
      })
    })
    if (!isTaken) this.#context.dropped.unshared++
  }

  /** The entry leaves the queue, and goes to another member of its group if it came by one. */
  #handOver(queue: SessionQueue, entry: QueueEntry): void {
    queue.forget(entry)
    const { groupName, message } = entry
    this.#release(entry)
    const group = this.#filters.group(groupName)
    if (group !== null) this.#share(group, message)
    else this.#context.dropped.sessionEnded++
  }

  #lose(entry: QueueEntry): void {
    this.#release(entry)
    this.#context.dropped.sessionEnded++
  }

  /** A message of any QoS; one of QoS 0 is for a client that is there. */
  #give(session: Session, message: StoredMessage, view: View): boolean {
    if (view.qos > 0) return this.#add(session, message, view)
    if (!session.isConnected) return false
    this.#sendOnce(session, message, view)
    return true
  }

  /** Queues a message; false when it was dropped. */
  // hot: per message and subscriber
  #add(session: Session, message: StoredMessage, view: View): boolean {
    const context = this.#context
    const { limits, dropped } = context
    session.queue ??= new SessionQueue()
    const { queue } = session
    const sizeBytes = message.bytes.length + ENTRY_SIZE_BYTES
    if (
      queue.count >= limits.sessionQueueCountMax ||
      queue.sizeBytes + sizeBytes > limits.sessionQueueSizeBytesMax
    ) {
      dropped.queueFull++
      return false
    }
    const addedSizeBytes = message.references === 0 ? sizeBytes : ENTRY_SIZE_BYTES
    if (context.queuedSizeBytes + addedSizeBytes > limits.queuedSizeBytesMax) {
      dropped.allQueuesFull++
      return false
    }
    const entry: QueueEntry = {
      message,
      qos: view.qos,
      packetId: 0,
      isReleased: false,
      isSent: false,
      isRetain: view.isRetain,
      identifiers: view.identifiers,
      groupName: view.groupName,
    }
    queue.add(entry)
    this.#hold(entry)
    this.dispatch(session)
    return true
  }

  #hold({ message }: QueueEntry): void {
    const context = this.#context
    context.queuedCount++
    context.queuedSizeBytes += ENTRY_SIZE_BYTES
    if (message.references++ === 0) context.queuedSizeBytes += message.bytes.length
  }

  #release({ message }: QueueEntry): void {
    const context = this.#context
    context.queuedCount--
    context.queuedSizeBytes -= ENTRY_SIZE_BYTES
    if (--message.references === 0) context.queuedSizeBytes -= message.bytes.length
  }

  // hot: per message and subscriber
  #send(session: Session, entry: QueueEntry, isAgain: boolean): void {
    const { output } = this.#context
    if (output === null) return
    if (entry.isReleased) {
      this.#sendRelease(session, entry.packetId, true)
      return
    }
    const { message, qos, packetId, isRetain, identifiers } = entry
    const flags = (isAgain ? DUP_FLAG : 0) | (qos << 1) | (isRetain ? 1 : 0)
    output.send(
      session.gateway,
      deliveryOf(session.number, message, flags, packetId, identifiers, this.#context.nowMs),
    )
  }

  #sendOnce({ gateway, number }: Session, message: StoredMessage, { isRetain, identifiers }: View): void {
    const { output, nowMs } = this.#context
    output?.send(gateway, deliveryOf(number, message, isRetain ? 1 : 0, 0, identifiers, nowMs))
  }

  #sendRelease(session: Session, packetId: number, isKnown: boolean): void {
    this.#context.output?.send(
      session.gateway,
      sessionRecord(SessionRecordKind.DELIVER_RELEASE, {
        flags: isKnown ? 0 : 1,
        packetId,
        number: session.number,
      }),
    )
  }
}

/** A message for that connection; `flags` as in a PUBLISH's first byte, `packetId` 0 for the gateway to give it one. */
// hot: per message and subscriber
export function deliveryOf(
  number: number,
  message: StoredMessage,
  flags: number,
  packetId: number,
  identifiers: readonly number[],
  nowMs: number,
): SessionRecord {
  return {
    kind: SessionRecordKind.DELIVER,
    flags,
    packetId,
    number,
    handle: identifiers.length,
    topicSize: message.topicSize,
    propertiesSize: message.propertiesSize,
    expiryS: remainingExpiryS(message, nowMs),
    identifiers,
    body: message.bytes,
  }
}

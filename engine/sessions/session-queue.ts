/**
 * What waits for one session's client: messages of QoS 1 and 2 in the order in which they came. The first of them are in
 * flight, with an identifier each, until the client has acknowledged them; after a reconnect these come first, in the
 * order in which they were sent before ([MQTT-4.4.0-1], [MQTT-4.6.0-1]). Owned by the session thread.
 */
import { Fifo } from '../gateway/fifo.ts'
import type { StoredMessage } from './stored-message.ts'

export interface QueueEntry {
  message: StoredMessage
  qos: number
  /** 0 until it is in flight. */
  packetId: number
  /** PUBREC has come: from then on PUBREL is sent, not the message. */
  isReleased: boolean
  /** Counted in the window of the present connection. */
  isSent: boolean
  /** As the subscriber is to see it. */
  isRetain: boolean
  identifiers: readonly number[]
  /** The shared subscription that it came by, as clients name it; empty for none. */
  groupName: string
}

/** What an entry costs beside its message's bytes, counted into the bounds. */
export const ENTRY_SIZE_BYTES = 64

/** Lower ones are for what a gateway sends by itself: both never meet. */
const PACKET_ID_MIN = 0x8000
const PACKET_ID_MAX = 0xffff
/** Bytes in flight to one client, unless one message is larger. */
const SENT_SIZE_BYTES_MAX = 4 << 20

export class SessionQueue {
  /** By packet identifier, in the order in which they were first sent. */
  readonly inflight = new Map<number, QueueEntry>()
  /** Those in flight that the present connection has not seen yet. */
  readonly resend = new Fifo<QueueEntry>()
  readonly waiting = new Fifo<QueueEntry>()
  /** Of the present connection: in flight, and bytes of messages among them. */
  sentCount = 0
  sentSizeBytes = 0
  sizeBytes = 0

  get count(): number {
    return this.inflight.size + this.waiting.count
  }

  /** In order: first those in flight. */
  *entries(): Generator<QueueEntry> {
    yield* this.inflight.values()
    yield* this.waiting
  }

  add(entry: QueueEntry): void {
    this.waiting.push(entry)
    this.sizeBytes += entrySize(entry)
  }

  /** Puts an entry back as a snapshot has it. */
  restore(entry: QueueEntry): void {
    if (entry.packetId === 0) {
      this.add(entry)
      return
    }
    this.sizeBytes += entrySize(entry)
    this.inflight.set(entry.packetId, entry)
    if (entry.isSent) this.noteSent(entry)
    else this.resend.push(entry)
  }

  hasRoomToSend(windowMax: number): boolean {
    return this.sentCount < windowMax && this.sentSizeBytes < SENT_SIZE_BYTES_MAX
  }

  /** An identifier that is not in use; the queue is bounded to fewer. */
  nextPacketId(last: number): number {
    let packetId = last
    do packetId = packetId < PACKET_ID_MIN || packetId === PACKET_ID_MAX ? PACKET_ID_MIN : packetId + 1
    while (this.inflight.has(packetId))
    return packetId
  }

  noteSent(entry: QueueEntry): void {
    entry.isSent = true
    this.sentCount++
    this.sentSizeBytes += entry.message.bytes.length
  }

  /** Takes an entry out of flight. */
  complete(entry: QueueEntry): void {
    this.inflight.delete(entry.packetId)
    this.forget(entry)
    if (!entry.isSent) return
    this.sentCount--
    this.sentSizeBytes -= entry.message.bytes.length
  }

  /** It has left the queue. */
  forget(entry: QueueEntry): void {
    this.sizeBytes -= entrySize(entry)
  }

  /** The connection is gone: a next one gets what is in flight again, before all else. */
  disconnect(): void {
    while (this.resend.shift() !== undefined);
    for (const entry of this.inflight.values()) {
      entry.isSent = false
      this.resend.push(entry)
    }
    this.sentCount = 0
    this.sentSizeBytes = 0
  }
}

function entrySize({ message }: QueueEntry): number {
  return message.bytes.length + ENTRY_SIZE_BYTES
}

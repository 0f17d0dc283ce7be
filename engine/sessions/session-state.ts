/**
 * The session machine's state in a snapshot: messages first, once each, then retained ones, sessions and the turns of
 * shared subscriptions. Small things are copied into chunks, large messages are left where they are: nothing of what a
 * snapshot is written from changes afterwards, so the machine goes on meanwhile. Owned by the session thread.
 */
import { assert } from '../../base/assert.ts'
import { FieldReader, FieldWriter } from '../../codecs/session/fields.ts'
import { readFilter, readWill, writeFilter, writeWill } from '../../codecs/session/messages.ts'
import type { StateReader, StateWriter } from '../../codecs/state.ts'
import type { FilterBook } from './filter-book.ts'
import type { MessageRouter } from './message-router.ts'
import type { RetainedStore } from './retained-store.ts'
import { Session } from './session.ts'
import type { SessionContext } from './session-context.ts'
import { type QueueEntry, SessionQueue } from './session-queue.ts'
import type { SessionTable } from './session-table.ts'
import { type StoredMessage, topicOf } from './stored-message.ts'

const STATE_VERSION = 1
const CHUNK_SIZE_BYTES = 1 << 20
/** From here on a message is a section of its own, not copied. */
const APART_SIZE_BYTES = 4096

/** Of the session machine. */
interface SavedParts {
  context: SessionContext
  sessions: SessionTable
  retained: RetainedStore
  filters: FilterBook
  router: MessageRouter
}

export function saveSessions(out: StateWriter, machine: SavedParts, lastTimeMs: number): void {
  const { context, sessions, retained, filters } = machine
  const messages = collectMessages(machine)
  out.numbers(STATE_VERSION, context.nowMs, lastTimeMs, sessions.lastHandle)
  out.numbers(messages.size, retained.count, sessions.count, filters.groupCount)
  const chunks = new ChunkWriter(out)
  for (const message of messages.keys()) chunks.item((fields) => writeMessage(fields, message))
  const indexOf = (message: StoredMessage) => messages.get(message) as number
  for (const message of retained.messages()) chunks.item((fields) => fields.u32(indexOf(message)))
  for (const session of sessions.sessions) chunks.item((fields) => writeSession(fields, session, indexOf))
  for (const { name, turn, members } of filters.groups) {
    chunks.item((fields) => {
      fields.text(name).u32(turn).u32(members.length)
      for (const { session } of members) fields.u32(session.handle)
    })
  }
  chunks.finish()
  for (const { bytes } of messages.keys()) if (bytes.length >= APART_SIZE_BYTES) out.u8(bytes)
}

/** Into a fresh machine. Returns the time of the last batch. */
export function loadSessions(from: StateReader, machine: SavedParts): number {
  const { context, sessions, retained } = machine
  const [version, nowMs, lastTimeMs, lastHandle] = from.numbers(4)
  assert(version === STATE_VERSION, 'the sessions were saved by another version')
  const [messageCount, retainedCount, sessionCount, groupCount] = from.numbers(4)
  context.nowMs = nowMs
  sessions.restoreLastHandle(lastHandle)
  const chunks = new ChunkReader(from)
  const read: ReadMessage[] = []
  for (let i = 0; i < messageCount; i++) read.push(readMessage(chunks.item()))
  const retainedIndices = Array.from({ length: retainedCount }, () => chunks.item().u32())
  const saved = Array.from({ length: sessionCount }, () => readSession(chunks.item()))
  const groups = Array.from({ length: groupCount }, () => readGroup(chunks.item()))
  const messages = read.map(({ bytes, apartSizeBytes, ...rest }): StoredMessage => {
    const whole = apartSizeBytes === 0 ? bytes : from.u8()
    return { ...rest, bytes: whole, references: 0 }
  })
  for (const index of retainedIndices) {
    const isKept = retained.set(topicOf(messages[index]), messages[index], 0)
    if (!isKept) context.dropped.retainedFull++ // the bounds were lowered
  }
  for (const { session } of saved) sessions.restore(session)
  restoreSubscriptions(machine, saved, groups)
  for (const session of saved) restoreQueue(machine, session, messages)
  return lastTimeMs
}

/** By index in the snapshot. */
function collectMessages({ retained, sessions }: SavedParts): Map<StoredMessage, number> {
  const messages = new Map<StoredMessage, number>()
  const note = (message: StoredMessage) => {
    if (!messages.has(message)) messages.set(message, messages.size)
  }
  for (const message of retained.messages()) note(message)
  for (const { queue } of sessions.sessions) for (const { message } of queue?.entries() ?? []) note(message)
  return messages
}

type ReadMessage = Omit<StoredMessage, 'references'> & { apartSizeBytes: number }

function writeMessage(out: FieldWriter, message: StoredMessage): void {
  const { bytes, topicSize, propertiesSize, qos, isRetain, expiresAtMs } = message
  const isApart = bytes.length >= APART_SIZE_BYTES
  out
    .u32(topicSize)
    .u32(propertiesSize)
    .u8(qos)
    .u8(isRetain ? 1 : 0)
    .f64(expiresAtMs)
  out.u32(isApart ? bytes.length : 0)
  if (!isApart) out.bytes(bytes)
}

function readMessage(from: FieldReader): ReadMessage {
  const [topicSize, propertiesSize] = [from.u32(), from.u32()]
  const [qos, isRetain] = [from.u8(), from.u8() === 1]
  const [expiresAtMs, apartSizeBytes] = [from.f64(), from.u32()]
  const bytes = apartSizeBytes > 0 ? new Uint8Array(0) : from.bytes()
  return { bytes, topicSize, propertiesSize, qos, isRetain, expiresAtMs, apartSizeBytes }
}

/** An entry of a queue, before its message is at hand. */
interface ReadEntry extends Omit<QueueEntry, 'message'> {
  messageIndex: number
}

interface ReadSession {
  session: Session
  entries: ReadEntry[]
}

function writeSession(out: FieldWriter, session: Session, indexOf: (message: StoredMessage) => number): void {
  out.u32(session.handle).text(session.clientId).u32(session.expiryS)
  out
    .f64(session.number)
    .u32(session.gateway)
    .u32(session.windowMax)
    .u8(session.isKnown ? 1 : 0)
  out.f64(session.willAtMs).f64(session.expiresAtMs).u32(session.lastPacketId)
  writeWill(out, session.will)
  const { subscriptions, received, queue } = session
  out.u32(received?.size ?? 0)
  for (const packetId of received ?? []) out.u32(packetId)
  out.u32(subscriptions?.size ?? 0)
  for (const subscription of subscriptions?.values() ?? []) writeFilter(out, subscription)
  out.u32(queue?.count ?? 0)
  for (const entry of queue?.entries() ?? []) writeEntry(out, entry, indexOf(entry.message))
}

function readSession(from: FieldReader): ReadSession {
  const session = new Session(from.u32(), from.text())
  session.expiryS = from.u32()
  session.number = from.f64()
  session.gateway = from.u32()
  session.windowMax = from.u32()
  session.isKnown = from.u8() === 1
  session.willAtMs = from.f64()
  session.expiresAtMs = from.f64()
  session.lastPacketId = from.u32()
  session.will = readWill(from)
  const received = times(from.u32(), () => from.u32())
  if (received.length > 0) session.received = new Set(received)
  const filters = times(from.u32(), () => readFilter(from))
  if (filters.length > 0) {
    session.subscriptions = new Map(
      filters.map((filter) => [filter.filter, { ...filter, session, group: null }]),
    )
  }
  return { session, entries: times(from.u32(), () => readEntry(from)) }
}

const EntryBit = { RELEASED: 1, SENT: 2, RETAIN: 4 } as const

function writeEntry(out: FieldWriter, entry: QueueEntry, messageIndex: number): void {
  const { qos, packetId, isReleased, isSent, isRetain, identifiers, groupName } = entry
  const bits =
    (isReleased ? EntryBit.RELEASED : 0) | (isSent ? EntryBit.SENT : 0) | (isRetain ? EntryBit.RETAIN : 0)
  out.u32(messageIndex).u8(qos).u32(packetId).u8(bits).text(groupName)
  out.u32(identifiers.length)
  for (const identifier of identifiers) out.u32(identifier)
}

function readEntry(from: FieldReader): ReadEntry {
  const [messageIndex, qos, packetId] = [from.u32(), from.u8(), from.u32()]
  const [bits, groupName] = [from.u8(), from.text()]
  return {
    messageIndex,
    qos,
    packetId,
    isReleased: (bits & EntryBit.RELEASED) !== 0,
    isSent: (bits & EntryBit.SENT) !== 0,
    isRetain: (bits & EntryBit.RETAIN) !== 0,
    identifiers: times(from.u32(), () => from.u32()),
    groupName,
  }
}

interface ReadGroup {
  name: string
  turn: number
  handles: number[]
}

function readGroup(from: FieldReader): ReadGroup {
  return { name: from.text(), turn: from.u32(), handles: times(from.u32(), () => from.u32()) }
}

/** Shared ones by their groups, whose members stand in the order in which they came. */
function restoreSubscriptions(
  machine: SavedParts,
  saved: readonly ReadSession[],
  groups: readonly ReadGroup[],
): void {
  const { filters, sessions } = machine
  const shared = new Set(groups.map(({ name }) => name))
  for (const { session } of saved) {
    for (const subscription of session.subscriptions?.values() ?? []) {
      if (!shared.has(subscription.filter)) filters.add(subscription)
    }
  }
  for (const { name, turn, handles } of groups) {
    for (const handle of handles) {
      const subscription = sessions.find(handle)?.subscriptions?.get(name)
      assert(subscription !== undefined, 'a member of a shared subscription has it')
      filters.add(subscription)
    }
    filters.setTurn(name, turn)
  }
}

function restoreQueue(
  { router }: SavedParts,
  { session, entries }: ReadSession,
  messages: readonly StoredMessage[],
): void {
  if (entries.length === 0) return
  session.queue = new SessionQueue()
  for (const { messageIndex, ...rest } of entries) {
    router.restore(session.queue, { ...rest, message: messages[messageIndex] })
  }
}

class ChunkWriter {
  #out: StateWriter
  #fields = new FieldWriter()

  constructor(out: StateWriter) {
    this.#out = out
  }

  /** Whatever one call writes is in one chunk. */
  item(write: (fields: FieldWriter) => void): void {
    write(this.#fields)
    if (this.#fields.sizeBytes >= CHUNK_SIZE_BYTES) this.finish()
  }

  finish(): void {
    if (this.#fields.sizeBytes > 0) this.#out.u8(this.#fields.finish())
  }
}

class ChunkReader {
  #from: StateReader
  #fields = new FieldReader(new Uint8Array(0))

  constructor(from: StateReader) {
    this.#from = from
  }

  /** Where the next item begins. */
  item(): FieldReader {
    if (this.#fields.isAtEnd) this.#fields = new FieldReader(this.#from.u8())
    return this.#fields
  }
}

function times<T>(count: number, make: () => T): T[] {
  return Array.from({ length: count }, make)
}

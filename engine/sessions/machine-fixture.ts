/** For tests: a session machine that is spoken to in records, as gateways do, and what it answers. */
import { alignRecord, RecordViews } from '../../codecs/journal/record.ts'
import { FieldReader } from '../../codecs/session/fields.ts'
import {
  encodeConnect,
  encodeFilters,
  encodeTexts,
  type SessionFilter,
  type WillMessage,
} from '../../codecs/session/messages.ts'
import {
  AckKind,
  encodeSessionRecord,
  NO_EXPIRY,
  type SessionRecord,
  SessionRecordKind,
  sessionRecord,
} from '../../codecs/session/record.ts'
import { StateReader, StateWriter } from '../../codecs/state.ts'
import type { SessionLimits, SessionOutput } from './session-context.ts'
import { SessionMachine } from './session-machine.ts'

const LIMITS: SessionLimits = {
  sessionsMax: 1000,
  sessionQueueCountMax: 100,
  sessionQueueSizeBytesMax: 1 << 20,
  queuedSizeBytesMax: 1 << 24,
  retainedCountMax: 1000,
  retainedSizeBytesMax: 1 << 20,
}

/** A message as a client gets it. */
export interface Delivered {
  number: number
  topic: string
  payload: string
  qos: number
  isDup: boolean
  isRetain: boolean
  packetId: number
  identifiers: readonly number[]
  expiryS: number
}

class KeptOutput implements SessionOutput {
  readonly isCongested = false
  readonly records: SessionRecord[] = []

  send(_gateway: number, record: SessionRecord): void {
    this.records.push(record)
  }

  tell(record: SessionRecord): void {
    this.records.push(record)
  }

  sendWhenTaken(_gateway: number, record: SessionRecord): void {
    this.records.push(record)
  }

  take(kind: SessionRecordKind): SessionRecord[] {
    const found = this.records.filter((record) => record.kind === kind)
    const rest = this.records.filter((record) => record.kind !== kind)
    this.records.splice(0, this.records.length, ...rest)
    return found
  }
}

export interface ConnectOptions {
  isClean?: boolean
  expiryS?: number
  windowMax?: number
  will?: WillMessage | null
}

export interface PublishOptions {
  qos?: number
  isRetain?: boolean
  packetId?: number
  expiryS?: number
  publisher?: number
}

export class MachineFixture {
  machine: SessionMachine
  readonly output = new KeptOutput()
  timeMs = 1_800_000_000_000
  /** Everything that was fed, as a journal has it: times and records. */
  readonly journal: { timeMs: number; records: Uint8Array[] }[] = []
  #limits: SessionLimits

  constructor(limits: Partial<SessionLimits> = {}) {
    this.#limits = { ...LIMITS, ...limits }
    this.machine = new SessionMachine(this.#limits)
    this.machine.connectOutput(this.output)
    this.output.records.length = 0
  }

  /** One batch of records. */
  feed(...records: SessionRecord[]): void {
    const batch = { timeMs: this.timeMs, records: records.map(encodeSessionRecord) }
    this.journal.push(batch)
    applyBatch(this.machine, batch)
  }

  /** A tick of the journal's clock after so many seconds. */
  pass(seconds: number): void {
    this.timeMs += seconds * 1000
    this.feed()
  }

  /** Returns the handle and whether there was a session; null when refused. */
  connect(
    number: number,
    clientId: string,
    options: ConnectOptions = {},
  ): { handle: number; isPresent: boolean } | null {
    const { isClean = false, expiryS = 3600, windowMax = 10, will = null } = options
    const body = encodeConnect({ clientId, isClean, expiryS, windowMax, gateway: 0, will })
    this.feed(sessionRecord(SessionRecordKind.CONNECT, { number, body }))
    const [answer] = this.output.take(SessionRecordKind.CONNECTED)
    return answer.packetId === 0 ? { handle: answer.handle, isPresent: answer.flags === 1 } : null
  }

  disconnect(number: number, handle: number, forgetsWill = true, expiryS = 3600): void {
    const flags = forgetsWill ? 1 : 0
    this.feed(sessionRecord(SessionRecordKind.DISCONNECT, { number, handle, flags, expiryS }))
  }

  /** Returns the reason codes. */
  subscribe(
    number: number,
    handle: number,
    ...filters: (Partial<SessionFilter> & { filter: string })[]
  ): number[] {
    const body = encodeFilters(filters.map(filterOf))
    this.feed(sessionRecord(SessionRecordKind.SUBSCRIBE, { number, handle, packetId: 1, body }))
    return this.#reasonCodes(SessionRecordKind.SUBSCRIBED)
  }

  unsubscribe(number: number, handle: number, ...filters: string[]): number[] {
    const body = encodeTexts(filters)
    this.feed(sessionRecord(SessionRecordKind.UNSUBSCRIBE, { number, handle, packetId: 1, body }))
    return this.#reasonCodes(SessionRecordKind.UNSUBSCRIBED)
  }

  publish(topic: string, payload: string, options: PublishOptions = {}): void {
    this.feed(publishRecord(topic, payload, options))
  }

  acknowledge(number: number, handle: number, packetId: number, flags: AckKind = AckKind.PUBACK): void {
    this.feed(sessionRecord(SessionRecordKind.ACK, { number, handle, packetId, flags }))
  }

  delivered(): Delivered[] {
    return this.output.take(SessionRecordKind.DELIVER).map(deliveredOf)
  }

  /** Fails all the connections, as a start after a crash does. */
  start(): void {
    this.feed(sessionRecord(SessionRecordKind.START))
  }

  /** The whole state, as a snapshot has it. */
  state(machine = this.machine): Buffer {
    const out = new StateWriter()
    machine.save(out)
    return Buffer.concat(out.parts)
  }

  /** Another machine, made of a snapshot of this one. */
  restored(): SessionMachine {
    const bytes = this.state()
    const aligned = new Uint8Array(new ArrayBuffer(bytes.length))
    aligned.set(bytes)
    const machine = new SessionMachine(this.#limits)
    machine.load(new StateReader(aligned))
    return machine
  }

  /** Another machine, made of the batches from that one on. */
  replayed(from = 0, machine = new SessionMachine(this.#limits)): SessionMachine {
    for (const batch of this.journal.slice(from)) applyBatch(machine, batch)
    return machine
  }

  #reasonCodes(kind: SessionRecordKind): number[] {
    const [{ body }] = this.output.take(kind)
    const from = new FieldReader(body)
    const codes: number[] = []
    while (!from.isAtEnd) codes.push(from.u32())
    return codes
  }
}

export function publishRecord(topic: string, payload: string, options: PublishOptions = {}): SessionRecord {
  const { qos = 1, isRetain = false, packetId = 0, expiryS = NO_EXPIRY, publisher = 0 } = options
  return sessionRecord(SessionRecordKind.PUBLISH, {
    flags: (qos << 1) | (isRetain ? 1 : 0),
    packetId,
    handle: publisher,
    topicSize: Buffer.byteLength(topic),
    expiryS,
    body: Buffer.from(topic + payload),
  })
}

export function filterOf(filter: Partial<SessionFilter> & { filter: string }): SessionFilter {
  return { qos: 1, noLocal: false, isRetainKept: false, retainHandling: 0, identifier: 0, ...filter }
}

function applyBatch(
  machine: SessionMachine,
  batch: { timeMs: number; records: readonly Uint8Array[] },
): void {
  machine.advance(batch.timeMs)
  const size = batch.records.reduce((sum, record) => sum + alignRecord(record.length), 0)
  const bytes = new Uint8Array(size)
  let at = 0
  for (const record of batch.records) {
    bytes.set(record, at)
    at += alignRecord(record.length)
  }
  machine.apply(new RecordViews(bytes.buffer), 0, size)
}

export function deliveredOf(record: SessionRecord): Delivered {
  const { body, topicSize, propertiesSize, flags } = record
  const bytes = Buffer.from(body)
  return {
    number: record.number,
    topic: bytes.subarray(0, topicSize).toString(),
    payload: bytes.subarray(topicSize + propertiesSize).toString(),
    qos: (flags >> 1) & 3,
    isDup: (flags & 8) !== 0,
    isRetain: (flags & 1) !== 0,
    packetId: record.packetId,
    identifiers: record.identifiers,
    expiryS: record.expiryS,
  }
}

/**
 * Random clients over a simulated day: what each hears by the session machine is what it hears by a model of its own, and
 * at any moment a snapshot, a replay, and a replay that begins with a snapshot make the same state, byte for byte.
 */
import { describe, expect, test } from 'vitest'
import { Prng } from '../../base/prng.ts'
import { AckKind, type SessionRecord, SessionRecordKind } from '../../codecs/session/record.ts'
import { deliveredOf, MachineFixture } from './machine-fixture.ts'
import { type ModelWill, SessionModel } from './session-model.ts'

const DAY_MS = 86_400_000
const CLIENTS = ['a', 'b', 'c', 'd', 'e']
const TOPICS = ['x', 'x/y', 'x/z', 'x/y/z', 'v']
const FILTERS = ['#', 'x/#', '+', 'x/+', 'x/y', '+/+/z', 'v']

interface Connected {
  number: number
  handle: number
  /** In the order in which they were sent: packet identifier, QoS, and whether PUBREC was sent. */
  unanswered: { packetId: number; qos: number; isReleased: boolean }[]
}

class Day {
  readonly fixture = new MachineFixture({ sessionQueueCountMax: 60_000, sessionQueueSizeBytesMax: 1 << 30 })
  readonly model = new SessionModel()
  readonly connected = new Map<string, Connected>()
  #prng: Prng
  #numbers = 0
  #payloads = 0
  #packetIds = 0

  constructor(seed: number) {
    this.#prng = new Prng(seed)
    this.model.advance(this.fixture.timeMs)
  }

  /** One thing that happens, then what everyone has heard. */
  step(): void {
    const roll = this.#prng.between(0, 99)
    const client = this.#pick(CLIENTS)
    if (roll < 30) this.#publish()
    else if (roll < 45) this.#connect(client)
    else if (roll < 55) this.#disconnect(client)
    else if (roll < 68) this.#subscribe(client)
    else if (roll < 72) this.#unsubscribe(client)
    else if (roll < 92) this.#acknowledge(client)
    else if (roll < 99) this.#pass(this.#prng.between(1, 600))
    else this.#restart()
    this.compare()
  }

  compare(): void {
    const { fixture, model } = this
    const heard = new Map<number, string[]>()
    for (const record of fixture.output.records.splice(0)) this.#hear(record, heard)
    for (const client of CLIENTS) {
      const connected = this.connected.get(client)
      expect(connected === undefined ? [] : (heard.get(connected.number) ?? [])).toEqual(model.heard(client))
    }
    expect(fixture.machine.sessions.count).toBe(model.sessions.size)
    const waiting = [...model.sessions.values()].reduce((sum, session) => sum + session.waiting.length, 0)
    expect(fixture.machine.context.queuedCount).toBe(waiting)
  }

  #hear(record: SessionRecord, heard: Map<number, string[]>): void {
    if (record.kind !== SessionRecordKind.DELIVER && record.kind !== SessionRecordKind.DELIVER_RELEASE) return
    const { number, packetId } = record
    const connected = [...this.connected.values()].find((candidate) => candidate.number === number)
    expect(connected, 'nothing is sent to a connection that is gone').toBeDefined()
    const lines = heard.get(number) ?? []
    heard.set(number, lines)
    if (record.kind === SessionRecordKind.DELIVER_RELEASE) {
      lines.push('PUBREL')
      const known = connected!.unanswered.find((entry) => entry.packetId === packetId)
      if (known === undefined) connected!.unanswered.push({ packetId, qos: 2, isReleased: true })
      return
    }
    const { topic, payload, qos, isDup, isRetain } = deliveredOf(record)
    lines.push(`${topic} ${payload} q${qos}${isDup ? ' dup' : ''}${isRetain ? ' retain' : ''}`)
    if (qos === 0) return
    const isInUse = connected!.unanswered.some((entry) => entry.packetId === packetId)
    expect(isInUse, 'an identifier is not used twice at a time').toBe(false)
    connected!.unanswered.push({ packetId, qos, isReleased: false })
  }

  #publish(): void {
    const { fixture, model } = this
    const topic = this.#pick(TOPICS)
    const isRetain = this.#prng.between(0, 3) === 0
    const payload = isRetain && this.#prng.between(0, 3) === 0 ? '' : `p${++this.#payloads}`
    const qos = this.#prng.between(0, 2)
    const expiryS = this.#prng.between(0, 2) === 0 ? this.#prng.between(1, 1200) : 0xffffffff
    const expiresAtMs = expiryS === 0xffffffff ? Infinity : model.nowMs + expiryS * 1000
    const publisher = this.#pick(CLIENTS)
    const handle = this.connected.get(publisher)?.handle ?? 0
    const packetId = ++this.#packetIds // never released: each is another message
    fixture.publish(topic, payload, { qos, isRetain, expiryS, publisher: handle, packetId })
    model.publish({ topic, payload, qos, isRetain, expiresAtMs }, handle === 0 ? null : publisher)
  }

  #connect(client: string): void {
    const { fixture, model } = this
    const isClean = this.#prng.between(0, 4) === 0
    const expiryS = this.#pick([0, 60, 600, 7200])
    const will = this.#prng.between(0, 1) === 0 ? null : this.#will()
    const number = ++this.#numbers
    const isPresent = model.connect(client, isClean, expiryS * 1000, will)
    this.connected.delete(client)
    const before = fixture.output.records.length
    const options = { isClean, expiryS, windowMax: 60_000, will: will === null ? null : willMessage(will) }
    const answer = fixture.connect(number, client, options)!
    expect(fixture.output.records.length).toBeGreaterThanOrEqual(before)
    expect(answer.isPresent).toBe(isPresent)
    this.connected.set(client, { number, handle: answer.handle, unanswered: [] })
  }

  #will(): ModelWill {
    const prng = this.#prng
    return {
      topic: this.#pick(TOPICS),
      payload: `will${++this.#payloads}`,
      qos: prng.between(0, 2),
      isRetain: prng.between(0, 3) === 0,
      delayMs: this.#pick([0, 30, 900]) * 1000,
      expiryMs: prng.between(1, 1000) * 1000,
      expiresAtMs: 0,
    }
  }

  #disconnect(client: string): void {
    const connected = this.connected.get(client)
    if (connected === undefined) return
    const forgetsWill = this.#prng.between(0, 1) === 0
    const expiryS = this.model.sessions.get(client)!.expiryMs / 1000
    this.connected.delete(client)
    this.model.disconnect(client, forgetsWill)
    this.fixture.disconnect(connected.number, connected.handle, forgetsWill, expiryS)
  }

  #subscribe(client: string): void {
    const connected = this.connected.get(client)
    if (connected === undefined) return
    const filter = this.#pick(FILTERS)
    const qos = this.#prng.between(0, 2)
    const [noLocal, isRetainKept] = [this.#prng.between(0, 3) === 0, this.#prng.between(0, 1) === 0]
    const retainHandling = this.#prng.between(0, 2)
    const request = { filter, qos, noLocal, isRetainKept, retainHandling }
    expect(this.fixture.subscribe(connected.number, connected.handle, request)).toEqual([qos])
    const retained = this.fixture.output.records.filter(({ kind }) => kind === SessionRecordKind.DELIVER)
    const topics = retained.map((record) => deliveredOf(record).topic)
    this.model.subscribe(client, filter, { qos, noLocal, isRetainKept }, retainHandling, topics)
  }

  #unsubscribe(client: string): void {
    const connected = this.connected.get(client)
    if (connected === undefined) return
    const filter = this.#pick(FILTERS)
    const wasThere = this.model.unsubscribe(client, filter)
    const codes = this.fixture.unsubscribe(connected.number, connected.handle, filter)
    expect(codes).toEqual([wasThere ? 0 : 0x11])
  }

  #acknowledge(client: string): void {
    const connected = this.connected.get(client)
    if (connected === undefined || connected.unanswered.length === 0) return
    const { number, handle, unanswered } = connected
    const index = this.#prng.between(0, unanswered.length - 1)
    const entry = unanswered[index]
    this.model.acknowledge(client, index)
    const isFirst = entry.qos === 2 && !entry.isReleased
    const kind = isFirst ? AckKind.PUBREC : entry.qos === 2 ? AckKind.PUBCOMP : AckKind.PUBACK
    if (isFirst) entry.isReleased = true
    else unanswered.splice(index, 1)
    this.fixture.acknowledge(number, handle, entry.packetId, kind)
  }

  #pass(seconds: number): void {
    this.fixture.pass(seconds)
    this.model.advance(this.fixture.timeMs)
  }

  #restart(): void {
    this.connected.clear()
    this.model.restart()
    this.fixture.start()
  }

  #pick<T>(from: readonly T[]): T {
    return from[this.#prng.between(0, from.length - 1)]
  }
}

function willMessage(will: ModelWill) {
  return {
    topic: Buffer.from(will.topic),
    payload: Buffer.from(will.payload),
    properties: new Uint8Array(0),
    qos: will.qos,
    isRetain: will.isRetain,
    delayS: will.delayMs / 1000,
    expiryS: will.expiryMs / 1000,
  }
}

describe.each([1, 2, 3, 4, 5, 6])('a day of sessions, seed %i', (seed) => {
  test('clients hear what the model tells; snapshots and replays make the same state', () => {
    const day = new Day(seed)
    const startMs = day.fixture.timeMs
    let checked = 0
    while (day.fixture.timeMs - startMs < DAY_MS) {
      day.step()
      if (++checked % 500 !== 0) continue
      const state = day.fixture.state()
      const restored = day.fixture.restored()
      expect(day.fixture.state(restored)).toEqual(state)
      expect(day.fixture.state(day.fixture.replayed())).toEqual(state)
      // From here on the restored one lives on: the journal's rest is replayed on it.
      const from = day.fixture.journal.length
      for (let i = 0; i < 50; i++) day.step()
      expect(day.fixture.state(day.fixture.replayed(from, restored))).toEqual(day.fixture.state())
    }
    expect(checked).toBeGreaterThan(1000)
  })
})

/** What sessions cost: a message queued for many of them, sent and acknowledged, and a session that is idle. */
import { assert } from '../base/assert.ts'
import { alignRecord, RecordViews } from '../codecs/journal/record.ts'
import { encodeConnect, encodeFilters } from '../codecs/session/messages.ts'
import {
  AckKind,
  encodeSessionRecord,
  type SessionRecord,
  SessionRecordKind,
  sessionRecord,
} from '../codecs/session/record.ts'
import { StateWriter } from '../codecs/state.ts'
import { DEFAULT_CONFIG } from '../engine/config.ts'
import type { SessionOutput } from '../engine/sessions/session-context.ts'
import { SessionMachine } from '../engine/sessions/session-machine.ts'
import type { Bench, BenchSize, Measure } from './bench.ts'
import { costOf } from './harness.ts'

const TOPIC = 'plants/north/line-7/alerts'
const PAYLOAD = JSON.stringify({
  ts: 1_800_000_000_000,
  severity: 3,
  text: 'bearing temperature above limit',
})
const MESSAGE_COUNT = 100
const WINDOW = 1024

/** Counts what leaves, and remembers what is to be acknowledged. */
class CountingOutput implements SessionOutput {
  readonly isCongested = false
  readonly deliveries: SessionRecord[] = []
  handle = 0

  send(_gateway: number, record: SessionRecord): void {
    if (record.kind === SessionRecordKind.CONNECTED) this.handle = record.handle
    if (record.kind === SessionRecordKind.DELIVER) this.deliveries.push(record)
  }

  tell(): void {}
  sendWhenTaken(): void {}
}

/** So many sessions that subscribe to the topic, connected or not. */
function machineOf(
  sessionCount: number,
  isConnected: boolean,
): { machine: SessionMachine; output: CountingOutput; handles: number[] } {
  const output = new CountingOutput()
  const machine = new SessionMachine({
    ...DEFAULT_CONFIG.limits,
    sessionsMax: 1_000_000,
    queuedSizeBytesMax: 2 ** 32,
  })
  machine.connectOutput(output)
  machine.advance(1_800_000_000_000)
  const handles: number[] = []
  const filters = encodeFilters([
    {
      filter: 'plants/+/line-7/#',
      qos: 1,
      noLocal: false,
      isRetainKept: false,
      retainHandling: 2,
      identifier: 0,
    },
  ])
  for (let number = 1; number <= sessionCount; number++) {
    const connect = {
      clientId: `client-${number}`,
      isClean: false,
      expiryS: 3600,
      windowMax: WINDOW,
      gateway: 0,
      will: null,
    }
    feed(machine, [sessionRecord(SessionRecordKind.CONNECT, { number, body: encodeConnect(connect) })])
    const { handle } = output
    handles.push(handle)
    feed(machine, [sessionRecord(SessionRecordKind.SUBSCRIBE, { number, handle, body: filters })])
    const expiryS = 3600
    if (!isConnected)
      feed(machine, [sessionRecord(SessionRecordKind.DISCONNECT, { number, handle, expiryS, flags: 1 })])
  }
  return { machine, output, handles }
}

function feed(machine: SessionMachine, records: readonly SessionRecord[]): void {
  for (const record of records) machine.applyBytes(encodeSessionRecord(record))
}

function messages(count: number): RecordViews {
  const body = Buffer.from(TOPIC + PAYLOAD)
  const record = encodeSessionRecord(
    sessionRecord(SessionRecordKind.PUBLISH, { flags: 1 << 1, topicSize: TOPIC.length, body }),
  )
  const size = alignRecord(record.length)
  const views = new RecordViews(new ArrayBuffer(size * count))
  for (let i = 0; i < count; i++) views.bytes.set(record, i * size)
  return views
}

/** One pass: messages to connected sessions, and every one acknowledged. */
function deliveryOf(sessionCount: number): () => void {
  const { machine, output, handles } = machineOf(sessionCount, true)
  const views = messages(MESSAGE_COUNT)
  const numbers = new Map(handles.map((handle, index) => [index + 1, handle]))
  return () => {
    machine.apply(views, 0, views.bytes.length)
    assert(output.deliveries.length === MESSAGE_COUNT * sessionCount, 'each session gets each message')
    for (const { number, packetId } of output.deliveries.splice(0)) {
      machine.router.acknowledge(
        machine.sessions.findOf(numbers.get(number)!, number)!,
        packetId,
        AckKind.PUBACK,
      )
    }
    assert(machine.context.queuedCount === 0, 'all is acknowledged')
  }
}

export const bench: Bench = {
  name: 'sessions',
  about: 'messages of 110 bytes to kept sessions: queued, delivered and acknowledged; sessions that are idle',
  async run(size: BenchSize): Promise<Measure[]> {
    const wide = size === 'full' ? 100 : 10
    const idleCount = size === 'full' ? 100_000 : 2000
    const one = await delivery(1, size === 'full' ? 1000 : 10)
    const many = await delivery(wide, size === 'full' ? 30 : 2)
    const queued = await queueing(wide)
    return [
      { name: 'delivered to 1 session and acknowledged', value: one, unit: 'CPU-ns/message' },
      { name: `delivered to ${wide} sessions and acknowledged`, value: many, unit: 'CPU-ns/delivery' },
      { name: `queued for ${wide} sessions that are away`, value: queued, unit: 'CPU-ns/delivery' },
      ...(await idle(idleCount)),
    ]
  },
}

async function delivery(sessionCount: number, passCount: number): Promise<number> {
  const pass = deliveryOf(sessionCount)
  pass()
  const all = () => {
    for (let i = 0; i < passCount; i++) pass()
  }
  return (await costOf(all, passCount * MESSAGE_COUNT * sessionCount)).cpuNs
}

async function queueing(sessionCount: number): Promise<number> {
  const { machine } = machineOf(sessionCount, false)
  const views = messages(MESSAGE_COUNT)
  const fill = () => {
    for (let pass = 0; pass < 20; pass++) machine.apply(views, 0, views.bytes.length)
  }
  const { cpuNs } = await costOf(fill, 20 * MESSAGE_COUNT * sessionCount)
  assert(machine.context.queuedCount === 20 * MESSAGE_COUNT * sessionCount, 'all of it waits')
  return cpuNs
}

/** Memory of sessions with a subscription each, and what their snapshot takes. */
async function idle(count: number): Promise<Measure[]> {
  globalThis.gc?.()
  const before = process.memoryUsage().heapUsed
  const { machine } = machineOf(count, false)
  globalThis.gc?.()
  const bytes = (process.memoryUsage().heapUsed - before) / count
  const out = new StateWriter()
  const saving = await costOf(() => machine.save(out), count)
  assert(machine.sessions.count === count, 'they are all there')
  return [
    { name: `idle session among ${count}`, value: bytes, unit: 'bytes' },
    { name: 'idle session in a snapshot', value: out.sizeBytes / count, unit: 'bytes' },
    { name: 'snapshot gathered', value: saving.cpuNs, unit: 'CPU-ns/session' },
  ]
}

/**
 * What devices have sent in a run, and what they were told of it: the truth that the tables are compared with. Every
 * message has a number of its own, which its payload carries in each reading.
 */
import type { Prng } from '../../base/prng.ts'
import type { Qos } from '../../codecs/mqtt/packet.ts'

/** Readings of one message, at most; a reading's value is the message's number times this plus its place. */
export const READINGS_MAX = 8

export interface Reading {
  metric: string
  /** Null: it has none, and takes the arrival's. */
  tsMs: number | null
  /** Empty for a number. */
  text: string
  /** By steps of its stream: it is taken out; its value grows by a fraction; it is made of the one at that place, or sent. */
  isFiltered: boolean
  fraction: number
  source: number | null
}

/** What the steps of a stream do, each in its own way. */
export interface SimSteps {
  filters: boolean
  maps: boolean
  derives: boolean
}

/** A derived reading's place is so much above that of the one that it is made of. */
export const DERIVED_PLACE = 4

/** What a filter takes out: some m2. */
export function isFilteredOut(metric: string, messageNumber: number): boolean {
  return metric === 'm2' && messageNumber % 3 === 0
}

export interface Message {
  number: number
  stream: string
  device: string
  topic: string
  qos: Qos
  payload: Uint8Array
  /** Empty when the payload is none that can be decoded. */
  readings: Reading[]
  /** The earliest time at which it can arrive. */
  sentMs: number
  /** A gateway has said so. */
  isAcknowledged: boolean
}

export const STREAMS = [
  { name: 'telemetry', topic: 'devices/{device}/telemetry' },
  { name: 'machines', topic: 'plants/+/{device}/data' },
]

const METRICS = ['m0', 'm1', 'm2']

export class Books {
  readonly messages: Message[] = []
  #prng: Prng
  #isClockUnsteady: boolean
  /** By stream. */
  #steps: readonly (SimSteps | null)[]

  constructor(prng: Prng, isClockUnsteady: boolean, steps: readonly (SimSteps | null)[]) {
    this.#prng = prng
    this.#isClockUnsteady = isClockUnsteady
    this.#steps = steps
  }

  /** A new message of a device, as if written now. */
  write(device: string, stream: number, qos: Qos, nowMs: number): Message {
    const number = this.messages.length + 1
    const { name } = STREAMS[stream]
    const topic = stream === 0 ? `devices/${device}/telemetry` : `plants/north/${device}/data`
    const { payload, readings: sent } = this.#compose(number, nowMs)
    const steps = this.#steps[stream]
    const readings = sent.map((reading) => ({ ...reading, isFiltered: false, fraction: 0, source: null }))
    const message: Message = {
      number,
      stream: name,
      device,
      topic,
      qos,
      payload,
      readings: steps === null ? readings : refine(readings, number, steps),
      sentMs: this.#isClockUnsteady ? 0 : nowMs,
      isAcknowledged: false,
    }
    this.messages.push(message)
    return message
  }

  #compose(number: number, nowMs: number): { payload: Uint8Array; readings: SentReading[] } {
    const prng = this.#prng
    const dice = prng.unit()
    const tsMs = this.#time(nowMs)
    const value = number * READINGS_MAX
    const metric = METRICS[prng.between(0, METRICS.length - 1)]
    if (dice < 0.45) {
      const readings = [{ metric, tsMs, text: '' }]
      return { payload: json({ ts: tsMs, [metric]: value }), readings }
    }
    if (dice < 0.6) {
      const readings = METRICS.map((name) => ({ metric: name, tsMs, text: '' }))
      return { payload: json({ ts: tsMs, m0: value, m1: value + 1, m2: value + 2 }), readings }
    }
    if (dice < 0.7) {
      const times = [tsMs, this.#time(nowMs), this.#time(nowMs)]
      const objects = times.map((ts, place) => ({ ts, [metric]: value + place }))
      return { payload: json(objects), readings: times.map((ts) => ({ metric, tsMs: ts, text: '' })) }
    }
    if (dice < 0.8)
      return { payload: json({ [metric]: value }), readings: [{ metric, tsMs: null, text: '' }] }
    if (dice < 0.88) return { payload: msgpack(metric, value), readings: [{ metric, tsMs: null, text: '' }] }
    if (dice < 0.95) {
      const text = `t${value}.`.padEnd(prng.unit() < 0.2 ? prng.between(10, 6000) : 10, 'x')
      return { payload: json({ ts: tsMs, note: text }), readings: [{ metric: 'note', tsMs, text }] }
    }
    return { payload: Buffer.from(`{"ts":${tsMs},"m0":${value}`), readings: [] }
  }

  /** Mostly of the last minute and a half; some later than any window waits for, some from a clock that runs ahead. */
  #time(nowMs: number): number {
    const prng = this.#prng
    const dice = prng.unit()
    if (dice < 0.85) return nowMs - prng.between(0, 15_000)
    if (dice < 0.95) return nowMs - prng.between(0, 200_000)
    return nowMs + prng.between(0, 400_000)
  }
}

type SentReading = Pick<Reading, 'metric' | 'tsMs' | 'text'>

/** What the steps make of readings that are all taken; those that are quarantined are not among them, see verdict.ts. */
function refine(sent: readonly Reading[], number: number, { filters, maps, derives }: SimSteps): Reading[] {
  const readings = sent.map((reading) => ({
    ...reading,
    isFiltered: filters && isFilteredOut(reading.metric, number),
    fraction: maps && reading.metric === 'm1' ? 0.25 : 0,
  }))
  if (!derives) return readings
  for (const [source, { metric, tsMs }] of sent.entries()) {
    // Of two readings of one time the later one counts.
    const isLast = !sent.some(
      (other, place) => place > source && other.metric === 'm0' && other.tsMs === tsMs,
    )
    if (metric !== 'm0' || !isLast) continue
    readings[source + DERIVED_PLACE] = { ...readings[source], metric: 'm3', source }
  }
  return readings
}

function json(value: unknown): Uint8Array {
  return Buffer.from(JSON.stringify(value))
}

/** {metric: value}, the number as a float 64. */
function msgpack(metric: string, value: number): Uint8Array {
  const out = Buffer.alloc(2 + metric.length + 9)
  out[0] = 0x81
  out[1] = 0xa0 | metric.length
  out.write(metric, 2, 'latin1')
  out[2 + metric.length] = 0xcb
  out.writeDoubleBE(value, 3 + metric.length)
  return out
}

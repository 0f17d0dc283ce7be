/**
 * The simulated devices of the demo: what kinds there are, what they measure, and what is wrong with some of
 * them. Data and small functions; `demo.ts` runs them. Values follow from the seed and the time alone.
 */
import { Prng } from '../base/prng.ts'

/** A device's message: its payload and how many readings a server can read from it. */
export interface DemoMessage {
  payload: Buffer
  readings: number
}

type Reading = Record<string, number>

interface DeviceKind {
  kind: string
  /** Part of the fleet, in proportion to the others. */
  share: number
  periodMs: [min: number, max: number]
  codec: 'json' | 'msgpack'
  metrics: (device: DeviceState, nowMs: number) => Reading
  /** How wrong the clock is. */
  clockOffsetMs?: number
  /** Holds its readings back for so long and sends them as one array. */
  holdMs?: number
  /** One in so many payloads is not what it says. */
  malformedEvery?: number
}

interface DeviceState {
  prng: Prng
  phase: number
  base: number
  /** A disturbance that fades: added to what the device measures. */
  spike: number
}

const DAY_MS = 86_400_000
const HOUR_MS = 3_600_000
const SPIKE_EVERY = 2_000
const SPIKE_FADE = 0.8
const HELD_MAX = 100

const KINDS: DeviceKind[] = [
  { kind: 'climate', share: 200, periodMs: [400, 1000], codec: 'json', metrics: climate },
  { kind: 'machine', share: 70, periodMs: [100, 400], codec: 'msgpack', metrics: machine },
  { kind: 'meter', share: 20, periodMs: [500, 1000], codec: 'json', metrics: climate, holdMs: 20_000 },
  {
    kind: 'clock-fast',
    share: 4,
    periodMs: [1000, 1000],
    codec: 'json',
    metrics: climate,
    clockOffsetMs: 180_000,
  },
  {
    kind: 'clock-slow',
    share: 4,
    periodMs: [1000, 1000],
    codec: 'msgpack',
    metrics: climate,
    clockOffsetMs: -420_000,
  },
  { kind: 'faulty', share: 2, periodMs: [1000, 1000], codec: 'json', metrics: climate, malformedEvery: 20 },
]

const MALFORMED = ['{"temperature":21.', 'temperature=21.5', '{"temperature":21.5}}', '\u0093\u0001', '']

function climate(device: DeviceState, nowMs: number): Reading {
  const day = Math.sin((2 * Math.PI * nowMs) / DAY_MS + device.phase)
  const temperature = 15 + device.base * 10 + 5 * day + 0.2 * device.prng.normal() + 12 * device.spike
  const humidity = 55 - 12 * day + device.prng.normal()
  const battery = 100 - ((nowMs / HOUR_MS + device.base * 1000) % 1000) / 10
  return { temperature: rounded(temperature), humidity: rounded(humidity), battery: rounded(battery) }
}

function machine(device: DeviceState, nowMs: number): Reading {
  const load = 0.6 + 0.4 * Math.sin((2 * Math.PI * nowMs) / (10 * 60_000) + device.phase)
  const vibration = Math.abs(0.5 + load + 0.1 * device.prng.normal() + 4 * device.spike)
  const temperature = 40 + 20 * load + 0.5 * device.prng.normal()
  return { vibration: rounded(vibration), temperature: rounded(temperature), rpm: Math.round(1500 * load) }
}

function rounded(value: number): number {
  return Math.round(value * 1000) / 1000
}

export class DemoDevice {
  readonly name: string
  readonly #kind: DeviceKind
  readonly #state: DeviceState
  readonly #periodMs: number
  #dueMs: number
  #held: Reading[] = []
  #sendHeldMs: number
  #messages = 0

  constructor(kind: DeviceKind, number: number, seed: number, nowMs: number) {
    this.name = `${kind.kind}-${String(number).padStart(3, '0')}`
    this.#kind = kind
    const prng = new Prng(seed)
    this.#state = { prng, phase: prng.unit() * 0.5, base: prng.unit(), spike: 0 }
    this.#periodMs = prng.between(...kind.periodMs)
    this.#dueMs = nowMs + prng.between(0, this.#periodMs)
    this.#sendHeldMs = nowMs + prng.between(0, kind.holdMs ?? 0)
  }

  /** The message that is due at `nowMs`, or null. To be asked every tick. */
  next(nowMs: number): DemoMessage | null {
    if (nowMs < this.#dueMs) return null
    this.#dueMs = Math.max(this.#dueMs + this.#periodMs, nowMs - this.#periodMs)
    this.#messages++
    const { malformedEvery, holdMs, codec } = this.#kind
    if (malformedEvery !== undefined && this.#messages % malformedEvery === 0) {
      const text = MALFORMED[(this.#messages / malformedEvery) % MALFORMED.length]
      return { payload: Buffer.from(text, 'latin1'), readings: 0 }
    }
    const reading = this.#measure(nowMs)
    if (holdMs === undefined)
      return messageOf(codec === 'json' ? jsonOf(reading) : msgpackOf(reading), [reading])
    this.#held.push(reading)
    if (nowMs < this.#sendHeldMs && this.#held.length < HELD_MAX) return null
    this.#sendHeldMs = nowMs + holdMs
    const readings = this.#held
    this.#held = []
    return messageOf(jsonOf(readings), readings)
  }

  #measure(nowMs: number): Reading {
    const state = this.#state
    state.spike = state.prng.between(1, SPIKE_EVERY) === 1 ? 1 : state.spike * SPIKE_FADE
    return { ts: nowMs + (this.#kind.clockOffsetMs ?? 0), ...this.#kind.metrics(state, nowMs) }
  }
}

/** `count` devices, the kinds in proportion, each with a seed of its own. */
export function createDevices(count: number, seed: number, nowMs: number): DemoDevice[] {
  const shares = KINDS.reduce((sum, { share }) => sum + share, 0)
  const devices: DemoDevice[] = []
  let upTo = 0
  for (const kind of KINDS) {
    upTo += kind.share
    for (let number = 1; devices.length < Math.round((count * upTo) / shares); number++) {
      devices.push(new DemoDevice(kind, number, seed * 65_536 + devices.length, nowMs))
    }
  }
  return devices
}

function messageOf(payload: Buffer, readings: Reading[]): DemoMessage {
  let count = 0
  for (const reading of readings) count += Object.keys(reading).length - 1
  return { payload, readings: count }
}

function jsonOf(value: Reading | Reading[]): Buffer {
  return Buffer.from(JSON.stringify(value))
}

/** A map of short names to float64, whole numbers among them too: all that these devices say. */
export function msgpackOf(reading: Reading): Buffer {
  const entries = Object.entries(reading)
  const sizeBytes = entries.reduce((sum, [name]) => sum + 1 + Buffer.byteLength(name) + 9, 1)
  const bytes = Buffer.allocUnsafe(sizeBytes)
  let at = bytes.writeUInt8(0x80 | entries.length, 0)
  for (const [name, value] of entries) {
    at = bytes.writeUInt8(0xa0 | Buffer.byteLength(name), at)
    at += bytes.write(name, at)
    at = bytes.writeUInt8(0xcb, at)
    at = bytes.writeDoubleBE(value, at)
  }
  return bytes
}

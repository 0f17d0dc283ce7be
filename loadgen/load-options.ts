/** What a load run is asked for, what it is by default, and what makes no sense. */
import { LoadError } from './fleet.ts'
import type { FleetOptions } from './fleet-options.ts'
import type { Door, PayloadCodec } from './publish-template.ts'
import type { TelemetryPlan } from './telemetry.ts'
import type { Address } from './transport.ts'

export interface LoadOptions {
  address: Address
  /** MQTT over TCP, MQTT over WebSocket, or the plain WebSocket door. */
  door?: Door
  connections?: number
  /** At least as many as connections; by default as many. */
  devices?: number
  metrics?: number
  codec?: PayloadCodec
  qos?: 0 | 1
  protocol?: 4 | 5
  /** Messages in flight per connection. */
  window?: number
  /** Messages gathered into one write. */
  perWrite?: number
  /** Messages a second in all; 0 is flat out. */
  rate?: number
  /** The run ends after so many messages, or after so long; one of the two. */
  messages?: number
  durationMs?: number
  /** Of the device names; by default one that no other run has. */
  prefix?: string
  seed?: number
  threads?: number
  drainMs?: number
  reconnect?: boolean
  keepSession?: boolean
  login?: FleetOptions['login']
}

const WINDOW_MAX = 65_535
const PER_WRITE_MAX = 10_000
const METRICS_MAX = 200
const CONNECTIONS_MAX = 100_000
const DEVICES_MAX = 100_000_000
const THREADS_MAX = 64
const DAY_MS = 86_400_000

export interface LoadPlan {
  telemetry: TelemetryPlan
  threads: FleetOptions[]
}

/** The options of each thread's fleet. Throws LoadError that names the option. */
export function planLoad(options: LoadOptions, nowMs: number): LoadPlan {
  const door = options.door ?? 'mqtt'
  const connections = whole('connections', options.connections ?? 10, 1, CONNECTIONS_MAX)
  const devices = whole('devices', options.devices ?? connections, 1, DEVICES_MAX)
  const threadCount = Math.min(connections, whole('threads', options.threads ?? 1, 1, THREADS_MAX))
  const messages = whole('messages', options.messages ?? 0, 0, Number.MAX_SAFE_INTEGER)
  const durationMs = options.durationMs ?? (messages > 0 ? 0 : 10_000)
  const rate = options.rate ?? 0
  const qos = options.qos ?? 1
  const codec = options.codec ?? 'json'
  if (devices < connections)
    throw new LoadError(`devices (${devices}) must be at least connections (${connections})`)
  if (messages > 0 && durationMs > 0)
    throw new LoadError('messages and duration exclude each other: give one')
  if (rate < 0 || !Number.isFinite(rate))
    throw new LoadError('rate must be a number of messages/s, 0 for flat out')
  if (door === 'ws' && devices !== connections) {
    throw new LoadError('the plain WebSocket door has one device per connection: leave devices out')
  }
  if (door === 'ws' && codec !== 'json') throw new LoadError('the plain WebSocket door takes JSON only')
  const window = whole('window', options.window ?? 100, 1, WINDOW_MAX)
  const isAnswering = qos === 1 || door === 'ws'
  const perWrite = whole('per-write', options.perWrite ?? 10, 1, PER_WRITE_MAX)
  const metrics = whole('metrics', options.metrics ?? 2, 1, METRICS_MAX)
  const telemetry = {
    prefix: options.prefix ?? uniquePrefix(nowMs),
    deviceDigits: Math.max(4, String(devices - 1).length),
    devices,
    connections,
    metrics,
    seed: options.seed ?? 1,
    ...eventTimes(nowMs, devices, messages, rate),
  }
  if (!/^[A-Za-z0-9_-]{1,64}$/.test(telemetry.prefix)) {
    throw new LoadError('prefix must be 1 to 64 letters, digits, "-" or "_"')
  }
  const fleet = {
    address: options.address,
    plan: telemetry,
    format: { door, codec, qos, protocol: options.protocol ?? 4 },
    window,
    perWrite: isAnswering ? Math.min(perWrite, window) : perWrite,
    rate: rate / threadCount,
    messages,
    durationMs,
    drainMs: options.drainMs ?? 30_000,
    reconnect: options.reconnect ?? true,
    keepSession: options.keepSession ?? false,
    login: options.login ?? null,
    threads: threadCount,
  } as const
  const threads = Array.from({ length: threadCount }, (_, thread) => ({ ...fleet, thread }))
  return { telemetry, threads }
}

/**
 * Event times that no clock guard objects to: never ahead of the wall clock. At a fixed rate they follow it;
 * flat out they step by 1 ms and end about now, or start a day ago when the end is not known.
 */
function eventTimes(nowMs: number, devices: number, messages: number, rate: number) {
  if (rate > 0) return { baseMs: nowMs, stepMs: Math.max(1, Math.floor((devices * 1000) / rate)) }
  const spanMs = messages > 0 ? Math.ceil(messages / devices) : DAY_MS
  return { baseMs: nowMs - spanMs, stepMs: 1 }
}

function uniquePrefix(nowMs: number): string {
  const chance = Math.floor(Math.random() * 36 ** 3)
  return `load-${nowMs.toString(36)}${chance.toString(36).padStart(3, '0')}-`
}

function whole(name: string, value: number, min: number, max: number): number {
  if (Number.isInteger(value) && value >= min && value <= max) return value
  throw new LoadError(`${name} must be a whole number from ${min} to ${max}`)
}

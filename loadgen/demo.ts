/**
 * The demo fleet, over real MQTT connections: each recorded series is a device that sends its whole history
 * within seconds, shifted so that it ends now, and goes on with it live; and simulated devices beside them.
 * Gentle: it shares the machine with the engine. Owned by the caller's thread.
 */
import { createDevices, type DemoDevice, type DemoMessage } from './demo-devices.ts'
import { type DemoCounters, DemoLink } from './demo-link.ts'
import { LatencyHistogram } from './latency.ts'
import { type Recording, readRecordings } from './recordings.ts'
import type { Address } from './transport.ts'

export interface DemoOptions {
  mqtt: Address
  /** Simulated devices beside the recorded ones. */
  devices?: number
  seed?: number
}

export interface DemoStats extends DemoCounters {
  latencyP99Ms: number
}

export interface DemoFleet {
  stats(): DemoStats
  /** Waits a moment for what is in flight, and closes all connections. */
  stop(): Promise<void>
}

const TICK_MS = 100
const DEVICES_PER_LINK = 6
/** History is sent as arrays of readings: so many in each, so many messages a tick and device. */
const HISTORY_READINGS = 100
const HISTORY_MESSAGES_PER_TICK = 4
const LIVE_PERIOD_MS = 1000
const STOP_WAIT_MS = 2000
const STOP_POLL_MS = 20

/** A device as the ticks see it: `next` until it has nothing more for now. */
interface Source {
  name: string
  next(nowMs: number): DemoMessage | null
}

interface Lane {
  link: DemoLink
  sources: Source[]
}

/** Connects the fleet and lets it run; a server that is not there (yet) is tried again. */
export async function startDemo(options: DemoOptions): Promise<DemoFleet> {
  const nowMs = Date.now()
  const counters: DemoCounters = { connections: 0, messages: 0, readings: 0, acknowledged: 0 }
  const latency = new LatencyHistogram()
  const createLane = (name: string, sources: Source[]): Lane => ({
    link: new DemoLink(name, options.mqtt, counters, latency),
    sources,
  })
  const recorded = readRecordings().map((recording) => new RecordedDevice(recording, nowMs))
  const lanes = recorded.map((device) => createLane(`demo-${device.name}`, [device]))
  const simulated = createDevices(options.devices ?? 300, options.seed ?? 1, nowMs)
  const linkCount = Math.ceil(simulated.length / DEVICES_PER_LINK)
  for (let link = 0; link < linkCount; link++) {
    const sources: DemoDevice[] = simulated.filter((_, device) => device % linkCount === link)
    lanes.push(createLane(`demo-gateway-${link + 1}`, sources))
  }
  const timer = setInterval(() => tick(lanes), TICK_MS)
  return {
    stats: () => ({ ...counters, latencyP99Ms: latency.summary().p99Ms }),
    stop: async () => {
      clearInterval(timer)
      await closeLanes(lanes)
    },
  }
}

function tick(lanes: Lane[]): void {
  const nowMs = Date.now()
  for (const { link, sources } of lanes) {
    for (const source of sources) {
      for (let messages = 0; messages < HISTORY_MESSAGES_PER_TICK && link.isReady; messages++) {
        const message = source.next(nowMs)
        if (message === null) break
        link.publish(`devices/${source.name}/telemetry`, message.payload, message.readings)
      }
    }
    link.flush(performance.now())
  }
}

async function closeLanes(lanes: Lane[]): Promise<void> {
  await waitUntil(() => lanes.every(({ link }) => link.inFlight === 0))
  for (const { link } of lanes) link.stop()
  await waitUntil(() => lanes.every(({ link }) => link.isOver))
  for (const { link } of lanes) link.destroy()
}

async function waitUntil(isReached: () => boolean): Promise<void> {
  for (let waitedMs = 0; waitedMs < STOP_WAIT_MS && !isReached(); waitedMs += STOP_POLL_MS) {
    await new Promise((resolve) => setTimeout(resolve, STOP_POLL_MS))
  }
}

/** Replays a recording: its history first, then its values again, one a second, at the time they are sent. */
export class RecordedDevice {
  readonly name: string
  readonly #recording: Recording
  readonly #shiftMs: number
  #row = 0
  #dueMs: number

  constructor(recording: Recording, nowMs: number) {
    this.name = recording.name
    this.#recording = recording
    this.#shiftMs = nowMs - recording.tsMs[recording.tsMs.length - 1]
    this.#dueMs = nowMs
  }

  next(nowMs: number): DemoMessage | null {
    const { tsMs, value } = this.#recording
    if (this.#row < tsMs.length) {
      const end = Math.min(tsMs.length, this.#row + HISTORY_READINGS)
      const readings: { ts: number; value: number }[] = []
      for (; this.#row < end; this.#row++) {
        readings.push({ ts: tsMs[this.#row] + this.#shiftMs, value: value[this.#row] })
      }
      return { payload: Buffer.from(JSON.stringify(readings)), readings: readings.length }
    }
    if (nowMs < this.#dueMs) return null
    this.#dueMs = nowMs + LIVE_PERIOD_MS
    const reading = { ts: nowMs, value: value[this.#row++ % value.length] }
    return { payload: Buffer.from(JSON.stringify(reading)), readings: 1 }
  }
}

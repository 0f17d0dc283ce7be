/**
 * One MQTT connection of the demo fleet: its devices' messages at QoS 1, gathered into one write a tick.
 * Keeps what has no answer and publishes it anew after a lost connection. Bounded: with `IN_FLIGHT_MAX`
 * unanswered it takes no more.
 */
import { generate } from 'mqtt-packet'
import { AckReader } from './ack-reader.ts'
import type { LatencyHistogram } from './latency.ts'
import { type Address, Transport } from './transport.ts'

const IN_FLIGHT_MAX = 200
const PACKET_ID_MAX = 65_535
const KEEP_ALIVE_S = 60
const PING_AFTER_MS = 20_000
const BACKOFF_MS_MIN = 200
const BACKOFF_MS_MAX = 5_000

export interface DemoCounters {
  connections: number
  messages: number
  readings: number
  acknowledged: number
}

interface InFlight {
  packet: Uint8Array
  sentMs: number
}

export class DemoLink {
  readonly #clientId: string
  readonly #address: Address
  readonly #counters: DemoCounters
  readonly #latency: LatencyHistogram
  readonly #inFlight = new Map<number, InFlight>()
  #gathered: Uint8Array[] = []
  #transport: Transport | null = null
  #retryTimer: NodeJS.Timeout | null = null
  #failures = 0
  #nextId = 1
  #lastWriteMs = 0
  #isOpen = false
  #isStopped = false

  constructor(clientId: string, address: Address, counters: DemoCounters, latency: LatencyHistogram) {
    this.#clientId = clientId
    this.#address = address
    this.#counters = counters
    this.#latency = latency
    this.#connect()
  }

  /** Whether a message would be taken now. */
  get isReady(): boolean {
    return this.#isOpen && this.#inFlight.size < IN_FLIGHT_MAX
  }

  get inFlight(): number {
    return this.#inFlight.size
  }

  /** Adds a message to the next write; call when ready. */
  publish(topic: string, payload: Buffer, readings: number): void {
    const messageId = this.#nextId
    this.#nextId = messageId === PACKET_ID_MAX ? 1 : messageId + 1
    const packet = generate({ cmd: 'publish', topic, payload, qos: 1, messageId, dup: false, retain: false })
    this.#inFlight.set(messageId, { packet, sentMs: performance.now() })
    this.#gathered.push(packet)
    this.#counters.messages++
    this.#counters.readings += readings
  }

  /** Writes what was gathered, or a ping when there was nothing for long. */
  flush(nowMs: number): void {
    if (!this.#isOpen) return
    if (this.#gathered.length > 0) {
      this.#transport?.send(Buffer.concat(this.#gathered))
      this.#gathered = []
      this.#lastWriteMs = nowMs
    } else if (nowMs - this.#lastWriteMs > PING_AFTER_MS) {
      this.#transport?.send(generate({ cmd: 'pingreq' }))
      this.#lastWriteMs = nowMs
    }
  }

  stop(): void {
    this.#isStopped = true
    if (this.#retryTimer !== null) clearTimeout(this.#retryTimer)
    if (this.#isOpen) {
      this.#transport?.send(generate({ cmd: 'disconnect' }))
      this.#transport?.end()
    } else {
      this.#transport?.destroy()
    }
  }

  /** Closed, and not about to connect again. */
  get isOver(): boolean {
    return this.#isStopped && this.#transport === null
  }

  destroy(): void {
    this.#transport?.destroy()
  }

  #connect(): void {
    const acks = new AckReader(
      {
        onConnack: ({ reason }) => this.#onConnack(reason),
        onPuback: (packetId) => this.#onPuback(packetId),
        onPingresp: () => {},
        onDisconnect: () => {},
      },
      4,
    )
    this.#transport = new Transport(this.#address, null, {
      onOpen: () => {
        const common = { cmd: 'connect', protocolId: 'MQTT', protocolVersion: 4, clean: true } as const
        this.#transport?.send(generate({ ...common, clientId: this.#clientId, keepalive: KEEP_ALIVE_S }))
      },
      onData: (bytes, start, end) => {
        if (!acks.read(bytes, start, end)) this.#transport?.destroy('a malformed MQTT packet')
      },
      onMessageEnd: () => {},
      onClose: () => this.#onClose(),
    })
  }

  #onConnack(reason: number): void {
    if (reason !== 0) {
      this.#transport?.destroy(`CONNACK ${reason}`)
      return
    }
    this.#isOpen = true
    this.#failures = 0
    this.#counters.connections++
    this.#gathered = Array.from(this.#inFlight.values(), ({ packet }) => packet)
    this.flush(performance.now())
  }

  #onPuback(packetId: number): void {
    const message = this.#inFlight.get(packetId)
    if (message === undefined) return
    this.#inFlight.delete(packetId)
    this.#counters.acknowledged++
    this.#latency.record(performance.now() - message.sentMs, 1)
  }

  #onClose(): void {
    if (this.#isOpen) this.#counters.connections--
    this.#isOpen = false
    this.#transport = null
    if (this.#isStopped) return
    const backoffMs = Math.min(BACKOFF_MS_MAX, BACKOFF_MS_MIN * 2 ** Math.min(10, this.#failures++))
    this.#retryTimer = setTimeout(() => this.#connect(), backoffMs)
  }
}

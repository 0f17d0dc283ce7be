/**
 * The clients of a session crash run, by MQTT.js: writers that publish numbered messages and note what was acknowledged,
 * readers with kept sessions that note what they hear, and lose their connections too. Owned by the run.
 */
import mqtt, { type IClientOptions, type MqttClient } from 'mqtt'
import type { Prng } from '../../base/prng.ts'
import type { Address } from '../transport.ts'

export const QOS = [1, 2] as const
/** Publishes of one writer that are not acknowledged. */
const WINDOW = 20
const PACKET_IDENTIFIER_NOT_FOUND = 0x92
const RECONNECT_MS_MIN = 50
const RECONNECT_MS_MAX = 900

export function topicOf(qos: number, writer: number): string {
  return `crash/q${qos}/w${writer}`
}

export function stateTopicOf(writer: number): string {
  return `crash-state/w${writer}`
}

/** With a session that is kept, connected again after a while of its own; open from the first CONNACK on. */
export async function connectKept(
  address: Address,
  clientId: string,
  protocolVersion: 4 | 5,
  reconnectPeriod: number,
): Promise<MqttClient> {
  const options: IClientOptions = {
    clientId,
    protocolVersion,
    clean: false,
    resubscribe: false,
    reconnectPeriod,
    connectTimeout: 5000,
    properties: protocolVersion === 5 ? { sessionExpiryInterval: 3600 } : undefined,
  }
  const client = mqtt.connect(`mqtt://${address.host}:${address.port}`, options)
  client.on('error', () => {}) // the engine is dead, and comes back
  await new Promise((resolve) => client.once('connect', resolve))
  return client
}

export function reconnectMs(prng: Prng): number {
  return prng.between(RECONNECT_MS_MIN, RECONNECT_MS_MAX)
}

/** Publishes 1, 2, 3 ... under each QoS, and each number as its retained state, as fast as it is acknowledged. */
export class Writer {
  readonly number: number
  /** By QoS, and of the state: the last number, and how many were acknowledged. */
  readonly sent = { 1: 0, 2: 0, state: 0 }
  readonly acknowledged = { 1: 0, 2: 0, state: 0 }
  isPaused = false
  /** MQTT.js refuses what is published while it sends again what it has kept, if that is interrupted: wait for its end. */
  #isRecovering = false
  #client: MqttClient

  constructor(number: number, client: MqttClient) {
    this.number = number
    this.#client = client
    client.on('close', () => {
      this.#isRecovering = true
    })
  }

  get isSettled(): boolean {
    const { sent, acknowledged } = this
    return sent[1] === acknowledged[1] && sent[2] === acknowledged[2] && sent.state === acknowledged.state
  }

  /** Keeps its window full; to be called now and then. */
  fill(): void {
    if (this.isPaused || !this.#client.connected) return
    if (this.#isRecovering && !this.isSettled) return
    this.#isRecovering = false
    for (const qos of QOS) {
      while (this.sent[qos] - this.acknowledged[qos] < WINDOW) this.#publish(qos)
    }
    if (this.sent.state === this.acknowledged.state) {
      const text = String(++this.sent.state)
      this.#client.publish(stateTopicOf(this.number), text, { qos: 1, retain: true }, (error) => {
        if (isAnswered(error)) this.acknowledged.state++
      })
    }
  }

  close(): void {
    this.#client.end(true)
  }

  #publish(qos: 1 | 2): void {
    const text = String(++this.sent[qos])
    this.#client.publish(topicOf(qos, this.number), text, { qos }, (error) => {
      if (isAnswered(error)) this.acknowledged[qos]++
    })
  }
}

/** PUBCOMP may say that it is over already: the first one was lost in a crash. */
function isAnswered(error: (Error & { code?: number | string }) | undefined | null): boolean {
  return !error || error.code === PACKET_IDENTIFIER_NOT_FOUND
}

/** What one reader has heard of each topic, in order. */
export class Reader {
  readonly name: string
  readonly heard = new Map<string, number[]>()
  #client: MqttClient

  constructor(name: string, client: MqttClient) {
    this.name = name
    this.#client = client
    client.on('message', (topic, payload) => {
      const numbers = this.heard.get(topic) ?? []
      this.heard.set(topic, numbers)
      numbers.push(Number(payload.toString()))
    })
  }

  async subscribe(): Promise<void> {
    for (const qos of QOS) await this.#client.subscribeAsync(`crash/q${qos}/#`, { qos })
  }

  /** Cuts its connection; it comes back. */
  cut(): void {
    this.#client.stream.destroy()
  }

  close(): void {
    this.#client.end(true)
  }
}

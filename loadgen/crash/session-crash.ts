/**
 * Sessions through crashes: writers and readers with kept sessions that never stop, an engine that is killed in mid-load
 * again and again, and at the end the count: nothing acknowledged is missing, QoS 2 came exactly once, in order, and what
 * is retained is the last that was acknowledged. Everything that can be decided comes from the seed. Prints nothing.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import mqtt from 'mqtt'
import { Prng } from '../../base/prng.ts'
import type { Address } from '../transport.ts'
import { EngineUnderTest } from './engine-under-test.ts'
import { freePorts, openLog } from './program.ts'
import { connectKept, QOS, Reader, reconnectMs, stateTopicOf, topicOf, Writer } from './session-clients.ts'

export interface SessionCrashOptions {
  seed: number
  rounds: number
  gateways: number
  shards: number
  parentDirectory?: string
}

export interface SessionCrashReport {
  rounds: number
  /** Messages acknowledged, by QoS, and retained ones. */
  acknowledged: { 1: number; 2: number; state: number }
  /** Deliveries that came again, of QoS 1. */
  repeated: number
  failures: string[]
  /** Kept when something failed. */
  directory: string
}

const HOST = '127.0.0.1'
const WRITER_COUNT = 3
const READER_COUNT = 4
const FILL_MS = 5
const LOAD_MS_MIN = 100
const LOAD_MS_MAX = 600
const SETTLE_MS_MAX = 120_000

export async function runSessionCrash(
  options: SessionCrashOptions,
  onRound: (round: number) => void = () => {},
): Promise<SessionCrashReport> {
  const parent = options.parentDirectory ?? tmpdir()
  mkdirSync(parent, { recursive: true })
  const directory = mkdtempSync(join(parent, 'millrace-sessions-'))
  const prng = new Prng(options.seed)
  const [port, ws, http, store] = await freePorts(4, new Prng(options.seed + process.pid))
  const doors = { '--mqtt': port, '--ws': ws, '--http': http, '--store': store }
  const listeners = Object.entries(doors).flatMap(([name, at]) => [name, `${HOST}:${at}`])
  const threads = ['--gateways', String(options.gateways), '--shards', String(options.shards)]
  const log = openLog(join(directory, 'run.log'))
  const engine = new EngineUnderTest({
    args: ['--data', join(directory, 'data'), ...listeners, ...threads],
    httpPort: http,
    isEmbedded: true,
    log,
  })
  const clients = new SessionClients({ host: HOST, port }, prng)
  let failures: string[]
  try {
    await engine.start()
    await clients.connect()
    for (let round = 1; round <= options.rounds; round++) {
      await playRound(engine, clients, prng)
      onRound(round)
    }
    await clients.settle()
    failures = [...(await clients.check()), ...engine.unexpectedDeaths]
  } finally {
    clients.close()
    await engine.destroy()
    log.end()
  }
  if (failures.length === 0) rmSync(directory, { recursive: true, force: true })
  return { rounds: options.rounds, ...clients.count(), failures, directory }
}

/** Some load, a connection or two cut, a kill, and it is back. */
async function playRound(engine: EngineUnderTest, clients: SessionClients, prng: Prng): Promise<void> {
  await sleep(prng.between(LOAD_MS_MIN, LOAD_MS_MAX))
  clients.cut(prng.between(0, 2))
  await sleep(prng.between(0, LOAD_MS_MIN))
  await engine.kill('engine', prng.between(0, 1) === 0 ? 'engine' : 'tree')
  await engine.comeBack(prng.between(0, LOAD_MS_MIN))
}

class SessionClients {
  readonly writers: Writer[] = []
  readonly readers: Reader[] = []
  #address: Address
  #prng: Prng
  #filling: NodeJS.Timeout | undefined

  constructor(address: Address, prng: Prng) {
    this.#address = address
    this.#prng = prng
  }

  async connect(): Promise<void> {
    const connect = (name: string, index: number) =>
      connectKept(this.#address, `${name}-${index}`, index % 2 === 0 ? 4 : 5, reconnectMs(this.#prng))
    for (let i = 0; i < READER_COUNT; i++) {
      const reader = new Reader(`reader-${i}`, await connect('reader', i))
      this.readers.push(reader)
      await reader.subscribe()
    }
    for (let i = 0; i < WRITER_COUNT; i++) this.writers.push(new Writer(i, await connect('writer', i)))
    this.#filling = setInterval(() => {
      for (const writer of this.writers) writer.fill()
    }, FILL_MS)
  }

  cut(count: number): void {
    for (let i = 0; i < count; i++) this.readers[this.#prng.between(0, this.readers.length - 1)].cut()
  }

  /** Nothing more is published; resolves once all was acknowledged and heard, or when that takes too long. */
  async settle(): Promise<void> {
    for (const writer of this.writers) writer.isPaused = true
    const giveUpMs = performance.now() + SETTLE_MS_MAX
    while (!this.#isSettled && performance.now() < giveUpMs) await sleep(20)
  }

  get #isSettled(): boolean {
    const isHeard = ({ heard }: Reader) =>
      this.writers.every(({ number, sent }) =>
        QOS.every((qos) => (heard.get(topicOf(qos, number))?.at(-1) ?? 0) === sent[qos]),
      )
    return this.writers.every(({ isSettled }) => isSettled) && this.readers.every(isHeard)
  }

  /** What is wrong. */
  async check(): Promise<string[]> {
    const failures: string[] = []
    for (const writer of this.writers) {
      if (!writer.isSettled)
        failures.push(`writer ${writer.number} has messages that were never acknowledged`)
      for (const reader of this.readers) {
        for (const qos of QOS) {
          const numbers = reader.heard.get(topicOf(qos, writer.number)) ?? []
          const wrong = faultOf(numbers, writer.sent[qos], qos)
          if (wrong !== null) failures.push(`${reader.name}, QoS ${qos}, writer ${writer.number}: ${wrong}`)
        }
      }
    }
    const retained = await this.#retained()
    for (const { number, acknowledged } of this.writers) {
      const state = retained.get(stateTopicOf(number))
      if (state !== acknowledged.state)
        failures.push(`the state of writer ${number} is ${state}, and ${acknowledged.state} was acknowledged`)
    }
    return failures
  }

  count(): Pick<SessionCrashReport, 'acknowledged' | 'repeated'> {
    const acknowledged = { 1: 0, 2: 0, state: 0 }
    let repeated = 0
    for (const writer of this.writers) {
      for (const key of [1, 2, 'state'] as const) acknowledged[key] += writer.acknowledged[key]
      for (const { heard } of this.readers) {
        const numbers = heard.get(topicOf(1, writer.number)) ?? []
        repeated += numbers.length - new Set(numbers).size
      }
    }
    return { acknowledged, repeated }
  }

  close(): void {
    clearInterval(this.#filling)
    for (const client of [...this.writers, ...this.readers]) client.close()
  }

  /** By topic, as a new client is told. */
  async #retained(): Promise<Map<string, number>> {
    const { host, port } = this.#address
    const client = await mqtt.connectAsync(`mqtt://${host}:${port}`, { reconnectPeriod: 0 })
    const retained = new Map<string, number>()
    client.on('message', (topic, payload) => retained.set(topic, Number(payload.toString())))
    await client.subscribeAsync('crash-state/#', { qos: 1 })
    const giveUpMs = performance.now() + SETTLE_MS_MAX
    while (retained.size < this.writers.length && performance.now() < giveUpMs) await sleep(20)
    await client.endAsync()
    return retained
  }
}

/** What is wrong with the numbers that one reader heard; null when nothing is. */
function faultOf(numbers: readonly number[], last: number, qos: number): string | null {
  let next = 1
  for (const number of numbers) {
    if (number === next) next++
    else if (number > next) return `${next} is missing before ${number}`
    else if (qos === 2) return `${number} came again`
  }
  return next === last + 1 ? null : `it ends with ${next - 1} of ${last}`
}

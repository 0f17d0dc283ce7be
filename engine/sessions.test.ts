/** Sessions with real clients: what outlives a connection, a gateway, and the engine's death. */
import { join } from 'node:path'
import mqtt, { type IClientOptions, type IPublishPacket, type MqttClient } from 'mqtt'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { EngineProcess, temporaryDirectory } from './engine-process.ts'

const directory = temporaryDirectory()
let engine: EngineProcess
const clients: MqttClient[] = []

beforeAll(async () => {
  engine = await EngineProcess.start(['--data', join(directory.path, 'data'), '--gateways', '2'])
})

afterAll(async () => {
  await Promise.all(clients.map((client) => client.endAsync(true)))
  expect(await engine.stop()).toBe(0)
  directory.remove()
})

interface Client {
  client: MqttClient
  isPresent: boolean
  heard: IPublishPacket[]
}

/** Of a session that outlives the connection unless the options say otherwise; tries again while the engine is away. */
async function connect(clientId: string, options: IClientOptions = {}): Promise<Client> {
  const defaults: IClientOptions = {
    protocolVersion: 4,
    clean: false,
    reconnectPeriod: 100,
    resubscribe: false,
  }
  const client = mqtt.connect(`mqtt://${engine.addresses.mqtt}`, { clientId, ...defaults, ...options })
  clients.push(client)
  const heard: IPublishPacket[] = []
  client.on('message', (_topic, _payload, packet) => heard.push(packet))
  client.on('error', () => {})
  const isPresent = await new Promise<boolean>((resolve) => {
    client.once('connect', ({ sessionPresent }) => resolve(sessionPresent))
  })
  return { client, isPresent, heard }
}

async function until(isTrue: () => boolean, what: string): Promise<void> {
  const giveUpMs = Date.now() + 30_000
  while (!isTrue()) {
    if (Date.now() > giveUpMs) throw new Error(`waited in vain: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

function texts(heard: readonly IPublishPacket[]): string[] {
  return heard.map(({ payload }) => payload.toString())
}

test('a session, its subscription and what waits for it survive the death of the engine', async () => {
  const first = await connect('reader')
  expect(first.isPresent).toBe(false)
  await first.client.subscribeAsync('orders/#', { qos: 1 })
  await first.client.endAsync()
  const writer = await connect('writer', { clean: true })
  for (let i = 0; i < 20; i++) await writer.client.publishAsync('orders/new', String(i), { qos: 1 })
  await writer.client.endAsync()
  await engine.killEngine()
  const again = await connect('reader')
  expect(again.isPresent).toBe(true)
  await until(() => again.heard.length >= 20, 'what was queued')
  expect(texts(again.heard)).toEqual(Array.from({ length: 20 }, (_, i) => String(i)))
  await again.client.endAsync()
})

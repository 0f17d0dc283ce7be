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
  await writer.client.publishAsync('state/door', 'open', { qos: 1, retain: true })
  await writer.client.endAsync()
  await engine.killEngine()
  const again = await connect('reader')
  expect(again.isPresent).toBe(true)
  await until(() => again.heard.length >= 20, 'what was queued')
  expect(texts(again.heard)).toEqual(Array.from({ length: 20 }, (_, i) => String(i)))
  await again.client.subscribeAsync('state/+', { qos: 1 })
  await until(() => again.heard.length >= 21, 'what was retained')
  expect(again.heard[20]).toMatchObject({ topic: 'state/door', retain: true })
  await again.client.endAsync()
})

test.each([4, 5] as const)(
  'QoS 2 both ways, each message once (protocol level %i)',
  async (protocolVersion) => {
    const topic = `exactly/${protocolVersion}`
    const properties = { sessionExpiryInterval: 600 }
    const options = protocolVersion === 5 ? { protocolVersion, properties, clean: true } : { protocolVersion }
    const reader = await connect(`once-${protocolVersion}`, options)
    const [granted] = await reader.client.subscribeAsync(topic, { qos: 2 })
    expect(granted.qos).toBe(2)
    const writer = await connect(`twice-${protocolVersion}`, options)
    await Promise.all(
      Array.from({ length: 200 }, (_, i) => writer.client.publishAsync(topic, String(i), { qos: 2 })),
    )
    await until(() => reader.heard.length >= 200, 'all of them')
    expect(texts(reader.heard)).toEqual(Array.from({ length: 200 }, (_, i) => String(i)))
    expect(reader.heard.every(({ qos }) => qos === 2)).toBe(true)
    await Promise.all([reader.client.endAsync(), writer.client.endAsync()])
  },
)

test('QoS 0, 1 and 2 reach a kept session and a client of the moment alike, from a WebSocket too', async () => {
  const kept = await connect('kept')
  const passing = await connect('passing', { clean: true })
  for (const { client } of [kept, passing]) await client.subscribeAsync('devices/#', { qos: 2 })
  const writer = await connect('device', { clean: true })
  for (const qos of [0, 1, 2] as const) {
    await writer.client.publishAsync('devices/d/telemetry', `{"q":${qos}}`, { qos })
  }
  const socket = new WebSocket(`ws://${engine.addresses.ws}/ingest/w?session=s`)
  const acked = new Promise((resolve) => socket.addEventListener('message', ({ data }) => resolve(data)))
  await new Promise((resolve) => socket.addEventListener('open', resolve))
  socket.send('{"seq":1,"data":{"q":9}}')
  expect(await acked).toBe('{"ack":1}')
  socket.close()
  for (const { heard } of [kept, passing]) {
    await until(() => heard.length >= 4, 'all four')
    expect(texts(heard).sort()).toEqual(['{"q":0}', '{"q":1}', '{"q":2}', '{"q":9}'])
  }
  await Promise.all([kept, passing, writer].map(({ client }) => client.endAsync()))
})

test('a client that is lost leaves its will, one that says goodbye does not', async () => {
  const watcher = await connect('watcher', { clean: true })
  await watcher.client.subscribeAsync('gone/#', { qos: 1 })
  const away = await connect('away', { clean: true })
  await away.client.subscribeAsync('gone/polite', { qos: 1 })
  const will = (name: string) =>
    ({ topic: `gone/${name}`, payload: Buffer.from(name), qos: 1, retain: true }) as const
  const polite = await connect('polite', { clean: true, reconnectPeriod: 0, will: will('polite') })
  await polite.client.endAsync()
  const lost = await connect('lost', { clean: true, reconnectPeriod: 0, will: will('lost') })
  lost.client.stream.destroy()
  await until(() => watcher.heard.length > 0, 'the will')
  expect(texts(watcher.heard)).toEqual(['lost'])
  const late = await connect('late', { clean: true })
  await late.client.subscribeAsync('gone/#', { qos: 1 })
  await until(() => late.heard.length > 0, 'the will that was retained')
  expect(late.heard.map(({ topic, retain }) => [topic, retain])).toEqual([['gone/lost', true]])
  await Promise.all([watcher, away, late].map(({ client }) => client.endAsync()))
})

test('a shared subscription deals messages out, to kept sessions and others', async () => {
  const members = [
    await connect('m1', { clean: true }),
    await connect('m2'),
    await connect('m3', { clean: true }),
  ]
  for (const { client } of members) {
    const [granted] = await client.subscribeAsync('$share/crew/jobs/+', { qos: 1 })
    expect(granted.qos).toBe(1)
  }
  const writer = await connect('boss', { clean: true })
  const jobs = Array.from({ length: 60 }, (_, i) => String(i))
  await Promise.all(jobs.map((job) => writer.client.publishAsync('jobs/x', job, { qos: 1 })))
  const done = () => members.flatMap(({ heard }) => texts(heard))
  await until(() => done().length >= 60, 'every job')
  expect(done().sort()).toEqual(jobs.sort())
  for (const { heard } of members) expect(heard.length).toBe(20)
  await Promise.all([...members, writer].map(({ client }) => client.endAsync()))
})

test('a session is taken over, with what its client has not acknowledged, wherever it connects', async () => {
  const first = await connect('mover', { reconnectPeriod: 0 })
  await first.client.subscribeAsync('move/#', { qos: 1 })
  const writer = await connect('pusher', { clean: true })
  first.client.handleMessage = () => {} // it acknowledges nothing
  for (let i = 0; i < 5; i++) await writer.client.publishAsync('move/x', String(i), { qos: 1 })
  await until(() => first.heard.length > 0, 'the first of them')
  const next = await connect('mover', { reconnectPeriod: 0 })
  expect(next.isPresent).toBe(true)
  await until(() => next.heard.length >= 5, 'all that is in flight')
  expect(next.heard.map(({ payload, dup }) => [payload.toString(), dup])).toEqual(
    ['0', '1', '2', '3', '4'].map((text) => [text, true]),
  )
  await until(() => !first.client.connected, 'the older connection to end')
  await next.client.endAsync()
  await writer.client.endAsync()
})

test('MQTT 5: a session ends after its interval, and DISCONNECT may change that', async () => {
  const options = (sessionExpiryInterval: number): IClientOptions => ({
    protocolVersion: 5,
    clean: false,
    reconnectPeriod: 0,
    properties: { sessionExpiryInterval },
  })
  const short = await connect('short', options(1))
  await short.client.endAsync()
  const long = await connect('long', options(600))
  await long.client.endAsync(false, { properties: { sessionExpiryInterval: 0 } })
  expect((await connect('long', options(600))).isPresent).toBe(false)
  let isPresent = true
  for (const giveUpMs = Date.now() + 60_000; isPresent && Date.now() < giveUpMs; ) {
    await new Promise((resolve) => setTimeout(resolve, 1500))
    const again = await connect('short', options(1))
    isPresent = again.isPresent
    await again.client.endAsync()
  }
  expect(isPresent).toBe(false)
})

/** MQTT.js against a gateway and its sessions: QoS 2, aliases and lost connections, over TCP and WebSocket. */
import mqtt, { type IClientOptions, type MqttClient } from 'mqtt'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { RecordKind } from '../../codecs/journal/record.ts'
import { type RunningGateway, runGateway, until } from '../gateway/socket-harness.ts'

const TOPIC = 'devices/a/telemetry'

let running: RunningGateway
let clients: MqttClient[]

beforeEach(async () => {
  clients = []
  running = await runGateway()
})

afterEach(async () => {
  for (const client of clients) client.end(true)
  await running.stop()
})

function urlOf(scheme: 'tcp' | 'ws'): string {
  return scheme === 'tcp'
    ? `mqtt://127.0.0.1:${running.mqttPort}`
    : `ws://127.0.0.1:${running.webSocketPort}/mqtt`
}

async function connect(scheme: 'tcp' | 'ws', options: IClientOptions): Promise<MqttClient> {
  const client = await mqtt.connectAsync(urlOf(scheme), { reconnectPeriod: 0, ...options })
  client.on('error', () => {})
  clients.push(client)
  return client
}

function payloadsOf(client: MqttClient): string[] {
  const payloads: string[] = []
  client.on('message', (_, payload) => payloads.push(payload.toString()))
  return payloads
}

const cases = (['tcp', 'ws'] as const).flatMap((scheme) =>
  ([4, 5] as const).map((level) => [scheme, level] as const),
)

describe.each(cases)('MQTT.js over %s, protocol level %i', (scheme, protocolVersion) => {
  test('QoS 0, 1 and 2 to a subscriber of QoS 2', async () => {
    const subscriber = await connect(scheme, { protocolVersion })
    const heard: string[] = []
    subscriber.on('message', (_, payload, { qos, dup }) => heard.push(`${payload} ${qos} ${dup}`))
    const [granted] = await subscriber.subscribeAsync('devices/+/telemetry', { qos: 2 })
    expect(granted.qos).toBe(2)
    const publisher = await connect(scheme, { protocolVersion })
    const sent = Array.from({ length: 600 }, (_, i) => ({ payload: `{"i":${i}}`, qos: (i % 3) as 0 | 1 | 2 }))
    await Promise.all(sent.map(({ payload, qos }) => publisher.publishAsync(TOPIC, payload, { qos })))
    await until(() => heard.length === sent.length, 'the messages')
    const delivered = sent.map(({ payload, qos }) => `${payload} ${qos} false`)
    // MQTT.js hands messages of QoS 2 on with their PUBREL.
    const isExactlyOnce = (text: string): boolean => text.endsWith(' 2 false')
    expect(heard.filter(isExactlyOnce)).toEqual(delivered.filter(isExactlyOnce))
    expect(heard.filter((text) => !isExactlyOnce(text))).toEqual(
      delivered.filter((text) => !isExactlyOnce(text)),
    )
    const stored = running.records.filter(({ kind }) => kind === RecordKind.MQTT_PUBLISH)
    expect(stored.map(({ payload }) => payload)).toEqual(sent.map(({ payload }) => payload))
    expect(running.control.status()).toMatchObject({ messagesReceived: [200, 200, 200], acknowledged: 400 })
  })

  test('QoS 2 through lost connections: a kept subscriber hears every message once', async () => {
    const kept = {
      protocolVersion,
      clean: false,
      reconnectPeriod: 5,
      properties: { sessionExpiryInterval: 1000 },
    }
    const subscriber = await connect(scheme, { ...kept, clientId: 'subscriber' })
    const heard = payloadsOf(subscriber)
    await subscriber.subscribeAsync('devices/#', { qos: 2 })
    const publisher = await connect(scheme, { ...kept, clientId: 'publisher' })
    const payloads = Array.from({ length: 300 }, (_, i) => `{"i":${i}}`)
    const published: Promise<string | null>[] = []
    for (const [i, payload] of payloads.entries()) {
      // What it holds back while it sends again what is in flight, MQTT.js gives up when the connection is lost once more.
      const kept = publisher.publishAsync(TOPIC, payload, { qos: 2 }).then(() => payload)
      published.push(kept.catch(() => null))
      if (i % 60 !== 30) continue
      const before = heard.length
      await until(() => heard.length > before, 'some messages')
      publisher.stream.destroy()
      if (i % 120 === 30) subscriber.stream.destroy()
      await until(() => publisher.connected && subscriber.connected, 'the connections')
    }
    const acknowledged = (await Promise.all(published)).filter((payload) => payload !== null)
    expect(acknowledged.length).toBeGreaterThan(30)
    const isMissing = (payload: string): boolean => !heard.includes(payload)
    await until(() => !acknowledged.some(isMissing), 'the messages')
    expect(new Set(heard).size).toBe(heard.length)
  })
})

test('MQTT 5: topic aliases both ways', async () => {
  const subscriber = await connect('tcp', { protocolVersion: 5, properties: { topicAliasMaximum: 8 } })
  const heard: string[] = []
  const shortened: boolean[] = []
  subscriber.on('message', (topic, payload, packet) => {
    heard.push(`${topic} ${payload}`)
    shortened.push(packet.properties?.topicAlias !== undefined)
  })
  await subscriber.subscribeAsync('#')
  const publisher = await connect('tcp', { protocolVersion: 5, autoAssignTopicAlias: true })
  const sent = Array.from({ length: 200 }, (_, i) => [`devices/d${i % 20}/telemetry`, `{"i":${i}}`])
  await Promise.all(sent.map(([topic, payload]) => publisher.publishAsync(topic, payload, { qos: 1 })))
  await until(() => heard.length === sent.length, 'the messages')
  expect(heard).toEqual(sent.map(([topic, payload]) => `${topic} ${payload}`))
  expect(shortened.every(Boolean)).toBe(true)
})

test('MQTT 5: a request and its response', async () => {
  const responder = await connect('tcp', { protocolVersion: 5 })
  responder.on('message', (_, payload, { properties }) => {
    const { responseTopic, correlationData } = properties ?? {}
    responder.publish(responseTopic ?? '', `${payload}!`, { qos: 1, properties: { correlationData } })
  })
  await responder.subscribeAsync('requests/#')
  const asker = await connect('tcp', {
    protocolVersion: 5,
    clientId: 'asker',
    properties: { requestResponseInformation: true },
  })
  const answers: string[] = []
  asker.on('message', (topic, payload, { properties }) =>
    answers.push(`${topic} ${payload} ${properties?.correlationData}`),
  )
  const responseTopic = 'devices/asker/responses'
  await asker.subscribeAsync(responseTopic)
  const correlationData = Buffer.from('7')
  await asker.publishAsync('requests/a', 'hello', { qos: 1, properties: { responseTopic, correlationData } })
  await until(() => answers.length === 1, 'the answer')
  expect(answers).toEqual([`${responseTopic} hello! 7`])
})

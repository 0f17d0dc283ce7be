/** The clients that people have: what they publish is in ClickHouse within two seconds, and all the usual tools read it. */
import { execFile, spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { createClient } from '@clickhouse/client'
import mqtt from 'mqtt'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { EngineProcess, runMillrace, temporaryDirectory } from './engine-process.ts'

const run = promisify(execFile)
const directory = temporaryDirectory()
let engine: EngineProcess

beforeAll(async () => {
  engine = await EngineProcess.start(['--data', join(directory.path, 'data')])
})

afterAll(async () => {
  expect(await engine.stop()).toBe(0)
  directory.remove()
})

/** Whether a program that a test needs is there; under CI it has to be. */
function has(program: string): boolean {
  const isThere = spawnSync('which', [program]).status === 0
  if (!isThere && process.env.MILLRACE_CI) throw new Error(`${program} is missing, and CI must have it`)
  if (!isThere) console.warn(`SKIPPED: ${program} is not installed (apt-get install mosquitto-clients curl)`)
  return isThere
}

interface Sample {
  metric: string
  value: number
  text: string
}

async function samplesOf(device: string, count: number): Promise<Sample[]> {
  await engine.queryUntil<{ n: string }>(
    `SELECT count() AS n FROM millrace.samples WHERE device = '${device}'`,
    ({ n }) => Number(n) >= count,
  )
  return engine.query<Sample>(
    `SELECT metric, value, text FROM millrace.samples WHERE device = '${device}' ORDER BY metric`,
  )
}

describe('MQTT.js', () => {
  test.each([
    ['tcp', 4],
    ['tcp', 5],
    ['ws', 4],
    ['ws', 5],
  ] as const)('over %s, protocol level %i', async (transport, protocolVersion) => {
    const device = `mqttjs-${transport}-${protocolVersion}`
    const url = transport === 'tcp' ? `mqtt://${engine.addresses.mqtt}` : `ws://${engine.addresses.ws}/mqtt`
    const client = await mqtt.connectAsync(url, { protocolVersion, clientId: device, reconnectPeriod: 0 })
    const subscribed = await client.subscribeAsync('alerts/#', { qos: 1 })
    expect(subscribed[0].qos).toBe(1)
    await client.publishAsync(`devices/${device}/telemetry`, '{"a": 1.25, "b": {"c": true}, "note": "hi"}', {
      qos: 1,
    })
    await client.publishAsync(`devices/${device}/telemetry`, JSON.stringify([{ ts: 1700000000, a: 2 }]), {
      qos: 0,
    })
    const heard = new Promise((resolve) =>
      client.once('message', (topic, payload) => resolve(`${topic} ${payload}`)),
    )
    await client.publishAsync('alerts/fire', 'now', { qos: 1 })
    expect(await heard).toBe('alerts/fire now')
    await client.endAsync()
    expect(await samplesOf(device, 4)).toEqual([
      { metric: 'a', value: expect.any(Number), text: '' },
      { metric: 'a', value: expect.any(Number), text: '' },
      { metric: 'b.c', value: 1, text: '' },
      { metric: 'note', value: null, text: 'hi' },
    ])
  })
})

test('mosquitto_pub and mosquitto_sub', async ({ skip }) => {
  if (!has('mosquitto_pub')) skip()
  const port = engine.addresses.mqtt.split(':')[1]
  for (const version of ['mqttv311', 'mqttv5']) {
    const device = `mosquitto-${version}`
    const common = ['-h', '127.0.0.1', '-p', port, '-V', version, '-t', `devices/${device}/telemetry`]
    const hearing = run('stdbuf', [
      '-oL',
      'mosquitto_sub',
      ...common,
      '-C',
      '1',
      '-W',
      '120',
      '-q',
      '1',
      '-d',
    ])
    await new Promise<void>((resolve) => {
      hearing.child.stdout?.on('data', (text) => {
        if (String(text).includes('SUBACK')) resolve()
      })
    })
    await run('mosquitto_pub', [...common, '-q', '1', '-m', '{"temp": 21.5}'])
    expect((await hearing).stdout).toContain('\n{"temp": 21.5}\n')
    expect(await samplesOf(device, 1)).toEqual([{ metric: 'temp', value: 21.5, text: '' }])
  }
})

test('a plain WebSocket client', async () => {
  const socket = new WebSocket(`ws://${engine.addresses.ws}/ingest/websocket-1?session=s1`)
  await new Promise((resolve) => socket.addEventListener('open', resolve, { once: true }))
  const acknowledged = new Promise((resolve) => {
    socket.addEventListener('message', ({ data }) => {
      if (JSON.parse(data).ack === 2) resolve(true)
    })
  })
  socket.send('{"seq": 1, "data": {"speed": 3}}')
  socket.send('{"seq": 2, "data": {"speed": 4}}')
  expect(await acknowledged).toBe(true)
  socket.close()
  expect((await samplesOf('websocket-1', 2)).map(({ value }) => value).sort()).toEqual([3, 4])
})

test('what cannot be decoded is a dead letter, whole, and disturbs nobody', async () => {
  const client = await mqtt.connectAsync(`mqtt://${engine.addresses.mqtt}`, { reconnectPeriod: 0 })
  const bad = [
    '{"temp": 21.5',
    'hello',
    '{"ts": "yesterday", "temp": 1}',
    Buffer.from([0x81, 0xa1, 0x61, 0xc1]),
  ]
  for (const payload of bad) await client.publishAsync('devices/broken/telemetry', payload, { qos: 1 })
  await client.publishAsync('devices/broken/telemetry', '{"temp": 3}', { qos: 1 })
  await client.endAsync()
  expect(await samplesOf('broken', 1)).toEqual([{ metric: 'temp', value: 3, text: '' }])
  const letters = await engine.query<{ payload: string; reason: string; topic: string }>(
    "SELECT hex(payload) AS payload, reason, topic FROM millrace.dead_letters WHERE device = 'broken' ORDER BY position",
  )
  expect(letters.map(({ payload }) => payload)).toEqual(
    bad.map((payload) => Buffer.from(payload).toString('hex').toUpperCase()),
  )
  for (const { reason, topic } of letters) {
    expect(reason.length).toBeGreaterThan(5)
    expect(topic).toBe('devices/broken/telemetry')
  }
})

test('curl, @clickhouse/client and millrace query read the same', async ({ skip }) => {
  if (!has('curl')) skip()
  const { store } = engine.addresses
  const curl = await run('curl', ['-sS', `http://${store}/`, '-d', 'SELECT 6 * 7 AS answer'])
  expect(curl.stdout).toBe('42\n')
  const client = createClient({ url: `http://${store}` })
  const result = await client.query({
    query: 'SELECT {n: UInt8} * 7 AS answer',
    query_params: { n: 6 },
    format: 'JSONEachRow',
  })
  expect(await result.json()).toEqual([{ answer: 42 }])
  await client.close()
  const table = await runMillrace(['query', '--store', store, 'SELECT 6 * 7 AS answer'])
  expect(table).toMatchObject({ code: 0, stderr: '' })
  expect(table.stdout).toMatch(/answer[\s\S]*42/)
  const wrong = await runMillrace(['query', '--store', store, 'SELECT nothing FROM nowhere'])
  expect(wrong.code).toBe(1)
  expect(wrong.stderr).toMatch(/^millrace query: .*nowhere/)
  expect(wrong.stderr.trimEnd().split('\n')).toHaveLength(1)
})

test('health, readiness and metrics', async () => {
  const base = `http://${engine.addresses.http}`
  expect(await (await fetch(`${base}/healthz`)).text()).toBe('ok\n')
  expect((await fetch(`${base}/readyz`)).status).toBe(200)
  let metrics = ''
  while (!/^millrace_readings_total\{shard="0"\} [1-9]/m.test(metrics))
    // figures are up to a second old
    metrics = await (await fetch(`${base}/metrics`)).text()
  for (const line of metrics.trimEnd().split('\n')) {
    expect(line).toMatch(/^(# (HELP|TYPE) \w+ .+|\w+(\{[^}]*\})? -?[\d.e+-]+)$/)
  }
  expect(metrics).toMatch(/^millrace_puback_latency_seconds\{quantile="0.99"\} [\d.e-]+$/m)
  expect((await fetch(`${base}/nothing`)).status).toBe(404)
  expect((await fetch(`${base}/metrics`, { method: 'POST' })).status).toBe(405)
})

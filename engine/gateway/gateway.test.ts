import { execFile, execFileSync, spawn } from 'node:child_process'
import { createServer } from 'node:net'
import { decode, encode } from '@msgpack/msgpack'
import mqtt from 'mqtt'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { systemClock } from '../../base/clock.ts'
import { hashBytes } from '../../base/hash.ts'
import { openIdentities } from '../registry/open-identities.ts'
import { Doorbell } from '../ring/doorbell.ts'
import { type GatewayReport, startGateway } from './gateway.ts'
import { Gateway } from './gateway-core.ts'
import { connectPacket, encode as encodePackets, publishPacket } from './gateway-harness.ts'
import { TrustedProxies } from './proxy-stage.ts'
import { canShareReadBuffer } from './shared-read-buffer.ts'
import {
  keepRecords,
  openSocket,
  plainSetup,
  type RunningGateway,
  runGateway,
  until,
} from './socket-harness.ts'
import { TcpDoor } from './tcp-door.ts'

const TOPIC = 'devices/a/telemetry'
const PUBLISHER = 'mosquitto_pub'
/** By lines, or its output would wait for its end. */
const SUBSCRIBER = ['stdbuf', '-oL', 'mosquitto_sub']

interface Closed {
  code: number
}

let running: RunningGateway

beforeEach(async () => {
  running = await runGateway({ connectTimeoutMs: 1000, subscriberQueueCountMax: 10_000 })
})
afterEach(() => running.stop())

function hasMosquitto(): boolean {
  try {
    execFileSync(PUBLISHER, ['--version'], { stdio: 'ignore' })
    return true
  } catch (error) {
    // It knows no --version and fails, but it is there.
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') return true
    if (process.env.MILLRACE_CI === '1') throw new Error('mosquitto-clients is not installed')
    console.warn('SKIPPED: mosquitto-clients is not installed')
    return false
  }
}

describe.each(['tcp', 'ws'] as const)('MQTT.js over %s', (scheme) => {
  test.each([4, 5] as const)('publishes and subscribes (protocol level %i)', async (protocolVersion) => {
    const url =
      scheme === 'tcp'
        ? `mqtt://127.0.0.1:${running.mqttPort}`
        : `ws://127.0.0.1:${running.webSocketPort}/mqtt`
    const client = await mqtt.connectAsync(url, { protocolVersion, reconnectPeriod: 0 })
    const heard: string[] = []
    client.on('message', (_, payload) => heard.push(payload.toString()))
    await client.subscribeAsync('devices/+/telemetry', { qos: 1 })
    const payloads = Array.from({ length: 500 }, (_, i) =>
      JSON.stringify({ i, fill: 'x'.repeat((i * 37) % 3000) }),
    )
    await Promise.all(
      payloads.map((payload, i) => client.publishAsync(TOPIC, payload, { qos: i % 5 === 0 ? 0 : 1 })),
    )
    await until(() => heard.length === payloads.length, 'the messages subscribed to')
    await client.endAsync()
    await until(() => running.records.length === payloads.length, 'the records of QoS 0')
    expect(running.records.map(({ payload }) => payload)).toEqual(payloads)
    expect(heard).toEqual(payloads)
    await until(() => running.control.status().connections === 0, 'the end of the connection')
    expect(running.control.status()).toMatchObject({
      acknowledged: 400,
      messagesReceived: [100, 400, 0],
      disconnectsByReason: { client: 1 },
    })
  })
})

describe.skipIf(!hasMosquitto())('mosquitto', () => {
  test.each(['311', '5'])('mosquitto_pub and mosquitto_sub (MQTT %s)', async (version) => {
    const at = ['-h', '127.0.0.1', '-p', String(running.mqttPort), '-V', version, '-q', '1']
    const subscriber = spawn(SUBSCRIBER[0], [
      ...SUBSCRIBER.slice(1),
      ...at,
      '-t',
      'devices/#',
      '-C',
      '2',
      '-v',
      '-d',
    ])
    const closed = new Promise((resolve) => subscriber.on('close', resolve))
    let output = ''
    subscriber.stdout.on('data', (text) => {
      output += text
    })
    await until(() => output.includes('SUBACK'), 'the SUBACK')
    const publish = (payload: string): Promise<unknown> =>
      new Promise((resolve, reject) => {
        const args = [...at, '-t', TOPIC, '-m', payload]
        execFile(PUBLISHER, args, (error, stdout) => (error === null ? resolve(stdout) : reject(error)))
      })
    await publish('{"t":1}')
    await publish('{"t":2}')
    await closed
    expect(output).toContain(`${TOPIC} {"t":1}`)
    expect(output).toContain(`${TOPIC} {"t":2}`)
    expect(running.records.map(({ payload }) => payload)).toEqual(['{"t":1}', '{"t":2}'])
  })
})

describe('the plain WebSocket door', () => {
  const at = (path: string): string => `ws://127.0.0.1:${running.webSocketPort}${path}`

  async function open(
    path: string,
  ): Promise<{ socket: WebSocket; heard: unknown[]; closed: Promise<Closed> }> {
    const socket = new WebSocket(at(path))
    socket.binaryType = 'arraybuffer'
    const heard: unknown[] = []
    socket.onmessage = ({ data }) =>
      heard.push(typeof data === 'string' ? JSON.parse(data) : decode(data as ArrayBuffer))
    const closed = new Promise<Closed>((resolve) => {
      socket.onclose = resolve
    })
    await new Promise((resolve, reject) => {
      socket.onopen = resolve
      socket.onerror = reject
    })
    return { socket, heard, closed }
  }

  test('stores the data of JSON and MessagePack frames, and acknowledges the last', async () => {
    const { socket, heard, closed } = await open('/ingest/d%C3%A9vice%201?session=100%25&stream=telemetry')
    running.isDiskStuck = true
    for (let seq = 10; seq <= 200; seq += 10) socket.send(`{"data": {"t": ${seq}}, "seq": ${seq}}`)
    await until(() => running.control.status().recordsWritten === 20, 'the frames')
    expect(heard).toEqual([])
    running.isDiskStuck = false
    await until(() => heard.length > 0, 'an acknowledgement')
    expect(heard).toEqual([{ ack: 200 }])
    socket.send(encode({ seq: 201, data: { t: 1.5 } }))
    await until(() => heard.length > 1, 'an acknowledgement')
    expect(heard[1]).toEqual({ ack: 201 })
    socket.close()
    await closed
    const [first] = running.records
    expect(first).toMatchObject({
      kind: 2,
      device: 'dévice 1',
      topic: 'devices/dévice 1/telemetry',
      sequence: 10,
    })
    expect(first.clientHash).toBe(hashBytes(Buffer.from('100%'), 0, 4))
    expect(running.records[19].payload).toBe('{"t": 200}')
    expect(Buffer.from(running.records[20].payload).length).toBeGreaterThan(5)
    await until(() => running.control.status().connections === 0, 'the end of the connection')
  })

  test.each([
    ['what is no envelope', '{"t":1}', 1003, 'bad-frame'],
    ['a seq that is no number', '{"seq":"1","data":1}', 1003, 'bad-frame'],
    ['a seq that does not increase', '{"seq":5,"data":1}', 1008, 'bad-sequence'],
  ])('says what is wrong with %s', async (_, frame, code, reason) => {
    const { socket, heard, closed } = await open('/ingest/a?session=s')
    socket.send('{"seq":5,"data":{"t":1}}')
    socket.send(frame)
    expect((await closed).code).toBe(code)
    expect(heard.at(-1)).toMatchObject({ error: expect.any(String) })
    await until(() => running.records.length === 1, 'the good frame')
    expect(running.control.status().disconnectsByReason).toEqual({ [reason]: 1 })
  })

  test.each([
    ['/ingest/a', {}, 400],
    ['/ingest/a?session=', {}, 400],
    ['/ingest/a%2Fb?session=s', {}, 400],
    ['/ingest/%2B?session=s', {}, 400],
    ['/ingest/%FF?session=s', {}, 400],
    [`/ingest/${'d'.repeat(129)}?session=s`, {}, 400],
    ['/ingest/a?session=s&stream=none', {}, 400],
    ['/ingest/a?session=s', { origin: 'https://elsewhere.example' }, 403],
    ['/mqtt', {}, 400],
    ['/mqtt', { origin: 'https://elsewhere.example', 'sec-websocket-protocol': 'mqtt' }, 403],
    ['/', {}, 404],
  ])('%s with %j is refused', async (path, headers, status) => {
    const { request } = await import('node:http')
    const upgrade = {
      connection: 'upgrade',
      upgrade: 'websocket',
      'sec-websocket-version': '13',
      'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
      ...headers,
    }
    const answer = await new Promise<number | undefined>((resolve, reject) => {
      const { webSocketPort: port } = running
      const sent = request({ host: '127.0.0.1', port, path, headers: upgrade }, (response) => {
        response.resume()
        resolve(response.statusCode)
      })
      sent.on('upgrade', () => resolve(101))
      sent.on('error', reject)
      sent.end()
    })
    expect(answer).toBe(status)
  })

  test('a text frame at /mqtt ends the connection', async () => {
    const socket = new WebSocket(at('/mqtt'), 'mqtt')
    const closed = new Promise<Closed>((resolve) => {
      socket.onclose = resolve
    })
    socket.onopen = () => socket.send('hello')
    expect((await closed).code).toBe(1003)
  })
})

describe('bad input on real sockets', () => {
  test('a deaf reader, a silent socket, an endless packet, a claim of 100 MB: memory is bounded', async () => {
    const good = await mqtt.connectAsync(`mqtt://127.0.0.1:${running.mqttPort}`, { reconnectPeriod: 0 })
    const rssBefore = process.memoryUsage().rss
    const slow = await openSocket(running.mqttPort)
    slow.pause()
    slow.write(
      encodePackets(4, connectPacket({ clientId: 'slow' }), {
        cmd: 'subscribe',
        messageId: 1,
        subscriptions: [{ topic: '#', qos: 0 }],
      }),
    )
    const silent = await openSocket(running.mqttPort)
    silent.resume()
    const bogus = await openSocket(running.mqttPort)
    bogus.resume()
    bogus.write(Buffer.from('1080c2d72f0004', 'hex'))
    const endless = await openSocket(running.mqttPort)
    endless.resume()
    // Each of fifty claims 768 KiB and sends a byte of it.
    const claims = await Promise.all(Array.from({ length: 50 }, () => openSocket(running.mqttPort)))
    for (const [i, claim] of claims.entries()) {
      claim.resume()
      claim.write(encodePackets(4, connectPacket({ clientId: `claim${i}` })))
      claim.write(Buffer.from('3080803000', 'hex'))
    }
    endless.write(encodePackets(4, connectPacket({ clientId: 'endless' })))
    endless.write(Buffer.from('30ffffff7f', 'hex'))
    const isEnded = (socket: typeof silent): Promise<void> =>
      new Promise((resolve) => (socket.closed ? resolve() : socket.once('close', () => resolve())))
    const payload = Buffer.alloc(10_000, 0x20)
    for (let round = 0; round < 20; round++) {
      await Promise.all(Array.from({ length: 100 }, () => good.publishAsync(TOPIC, payload, { qos: 1 })))
    }
    await Promise.all([isEnded(silent), isEnded(bogus), isEnded(endless)])
    expect(running.records.length).toBe(2000)
    running.records.length = 0
    const { deliveryDropped, disconnectsByReason } = running.control.status()
    expect(deliveryDropped.full).toBeGreaterThan(0)
    expect(disconnectsByReason).toMatchObject({ 'connect-timeout': 1, 'packet-too-large': 2 })
    expect(process.memoryUsage().rss - rssBefore).toBeLessThan(150 << 20)
    for (const socket of [slow, ...claims]) socket.destroy()
    await good.endAsync()
  })

  test('a port in use is one clear line', async () => {
    const taken = createServer()
    await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve))
    const { port } = taken.address() as { port: number }
    for (const used of [port, running.mqttPort, running.webSocketPort]) {
      for (const which of ['mqtt', 'webSocket'] as const) {
        const setup = {
          ...plainSetup(),
          mqtt: null,
          webSocket: null,
          [which]: { host: '127.0.0.1', port: used },
        }
        const keeper = keepRecords(setup, () => false)
        const report = await new Promise<GatewayReport>((resolve) => {
          const control = startGateway({ ...setup, clock: systemClock }, (message) => {
            resolve(message)
            void control.stop()
          })
        })
        keeper.stop()
        const option = which === 'mqtt' ? '--mqtt' : '--ws'
        expect(report).toMatchObject({ kind: 'fault', code: 'EADDRINUSE' })
        expect((report as { message: string }).message).toContain(
          `127.0.0.1:${used}: something else listens there`,
        )
        expect((report as { message: string }).message).toContain(`${option} HOST:PORT`)
      }
    }
    taken.close()
  })
})

test('without the shared buffer the door reads by events, with the same result', async () => {
  const setup = plainSetup()
  const keeper = keepRecords(setup, () => false)
  const gateway = new Gateway({
    ...setup,
    shardBells: setup.shardBells.map((memory) => new Doorbell(memory)),
    clock: systemClock,
    elapsedUs: () => performance.now() * 1000,
    takeNumber: () => 1,
    peers: [],
    identities: openIdentities(),
    sessions: { ...setup.sessions, bell: new Doorbell(setup.sessions.bell) },
  })
  const door = new TcpDoor(gateway, null, new TrustedProxies([]))
  const { port } = await door.listen({ host: '127.0.0.1', port: 0 }, false)
  const timer = setInterval(() => gateway.step(), 1)
  const client = await mqtt.connectAsync(`mqtt://127.0.0.1:${port}`, { reconnectPeriod: 0 })
  const payloads = Array.from({ length: 300 }, (_, i) =>
    JSON.stringify({ i, fill: 'x'.repeat((i * 997) % 40_000) }),
  )
  await Promise.all(payloads.map((payload) => client.publishAsync(TOPIC, payload, { qos: 1 })))
  await client.endAsync()
  clearInterval(timer)
  keeper.stop()
  door.stopAccepting()
  door.destroyAll()
  expect(keeper.records.map(({ payload }) => payload)).toEqual(payloads)
})

test('this Node lets accepted sockets share a read buffer', async () => {
  expect(await canShareReadBuffer()).toBe(true)
})

test('a drain waits for the disk, acknowledges, and tells MQTT 5 why', async () => {
  const socket = await openSocket(running.mqttPort)
  const heard: Buffer[] = []
  socket.on('data', (bytes) => heard.push(bytes))
  running.isDiskStuck = true
  socket.write(encodePackets(5, connectPacket({ version: 5 }), publishPacket(TOPIC, '{}', 0x1234)))
  await until(() => running.control.status().recordsWritten === 1, 'the message')
  setTimeout(() => {
    running.isDiskStuck = false
  }, 50)
  await running.control.drain()
  await new Promise((resolve) => (socket.closed ? resolve(null) : socket.once('close', resolve)))
  const hex = Buffer.concat(heard).toString('hex')
  expect(hex).toMatch(/40021234e0208b1e1f001b/)
})

/** Only known devices get in, and may what they may: real clients, a real engine, devices registered while it runs. */
import { execFile } from 'node:child_process'
import { createHmac, X509Certificate } from 'node:crypto'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import { promisify } from 'node:util'
import mqtt, { type IClientOptions, type MqttClient } from 'mqtt'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { EngineProcess, runMillrace, temporaryDirectory } from './engine-process.ts'
import { makeToken, tokenDigest } from './registry/device-token.ts'
import { hashPassword } from './registry/password-hash.ts'
import { type NewDevice, Registry } from './registry/registry.ts'
import { type Pair, TestCertificates } from './tls/test-certificates.ts'

const run = promisify(execFile)
const WAIT_MS = 60_000
const SECRET = 'correct horse battery staple'
const SHARED_KEY = Buffer.alloc(32, 3)
const CONFIG = `import { defineConfig } from 'millrace'
export default defineConfig({
  access: {
    roles: {
      reader: { subscribe: ['devices/+/telemetry', '$SYS/#'] },
      everything: { publish: ['#'], subscribe: ['#'] },
      own: { publish: ['clients/{client}/#'], subscribe: ['clients/{client}/#'] },
    },
    jwt: { keys: './keys.json', issuer: 'factory' },
  },
})
`

let engine: EngineProcess
let data: string
let registry: Registry
let certificates: TestCertificates
const clients: MqttClient[] = []
const cleanups: (() => unknown)[] = []

beforeAll(async () => {
  const directory = temporaryDirectory()
  cleanups.push(directory.remove)
  data = join(directory.path, 'data')
  const config = join(directory.path, 'millrace.config.ts')
  writeFileSync(config, CONFIG.replace("'millrace'", JSON.stringify(join(import.meta.dirname, 'config.ts'))))
  const key = { kty: 'oct', alg: 'HS256', k: SHARED_KEY.toString('base64url') }
  writeFileSync(join(directory.path, 'keys.json'), JSON.stringify({ keys: [key] }))
  certificates = new TestCertificates()
  cleanups.push(() => certificates.remove())
  const server = certificates.server()
  const tls = [
    '--tls-cert',
    server.certificate,
    '--tls-key',
    server.key,
    '--tls-ca',
    certificates.authority.certificate,
  ]
  const doors = ['--mqtts', '127.0.0.1:0', ...tls, '--tls-client-cert', 'request']
  engine = await EngineProcess.start([config, '--data', data, '--gateways', '2', ...doors])
  registry = new Registry(join(data, 'registry.db'), { waitMs: 5000, isDurable: false })
})

afterEach(async () => {
  for (const client of clients.splice(0)) await client.endAsync(true)
})

afterAll(async () => {
  registry.close()
  await engine.stop()
  for (const cleanup of cleanups) cleanup()
})

let lastNumber = 0

/** A device under a name of its own. */
function register(fields: Partial<NewDevice> = {}): string {
  const name = fields.name ?? `device-${++lastNumber}`
  const standard = {
    role: 'device',
    groups: [],
    isEnabled: true,
    version: null,
    metadata: {},
    credentials: [],
  }
  registry.add([{ ...standard, ...fields, name }], Date.now())
  return name
}

function withToken(fields: Partial<NewDevice> = {}): { name: string; token: string } {
  const token = makeToken()
  const name = register({ ...fields, credentials: [{ kind: 'token', digest: tokenDigest(token) }] })
  return { name, token }
}

function withPassword(fields: Partial<NewDevice> = {}): string {
  return register({
    ...fields,
    credentials: [{ kind: 'password', digest: hashPassword(Buffer.from(SECRET)) }],
  })
}

async function connect(
  options: IClientOptions,
  url = `mqtt://${engine.addresses.mqtt}`,
): Promise<MqttClient> {
  const client = await mqtt.connectAsync(url, { reconnectPeriod: 0, protocolVersion: 5, ...options }, false)
  client.on('error', () => {})
  clients.push(client)
  return client
}

/** The code of the CONNACK that refuses; 0 when it is let in. */
async function connectCode(options: IClientOptions, url?: string): Promise<number | undefined> {
  try {
    await connect(options, url)
    return 0
  } catch (error) {
    return (error as { code?: number }).code
  }
}

/** Asks again until it is so: what a change brings comes within a second, and a busy machine takes longer. */
async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  const deadlineMs = performance.now() + WAIT_MS
  while (!(await isSo())) {
    if (performance.now() > deadlineMs) throw new Error(`it never came: ${isSo}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

/** The reason code of the server's DISCONNECT. */
function ended(client: MqttClient): Promise<number | undefined> {
  return new Promise((resolve) => {
    client.once('disconnect', ({ reasonCode }) => resolve(reasonCode))
  })
}

async function publishCode(client: MqttClient, topic: string, qos: 0 | 1 | 2 = 1): Promise<number> {
  try {
    await client.publishAsync(topic, '{"x": 1}', { qos })
    return 0
  } catch (error) {
    return (error as { code?: number }).code ?? -1
  }
}

/** What the SUBACK says; MQTT.js throws when a filter was refused. */
async function subscribeCodes(client: MqttClient, filters: string | string[]): Promise<number[]> {
  try {
    return (await client.subscribeAsync(filters, { qos: 1 })).map(({ qos }) => qos)
  } catch (error) {
    return (error as { packet: { granted: number[] } }).packet.granted
  }
}

/** The sum over gateways of `family{label}`. */
async function metric(name: string): Promise<number> {
  const [family, label] = name.replace('}', '').split('{')
  const text = await (await fetch(`http://${engine.addresses.http}/metrics`)).text()
  const lines = text.split('\n').filter((line) => line.startsWith(`${family}{`) && line.includes(label))
  return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0)
}

/** The status that an upgrade is answered with. */
function upgradeStatus(url: string, authorization?: string): Promise<number> {
  const headers = {
    connection: 'Upgrade',
    upgrade: 'websocket',
    'sec-websocket-version': '13',
    'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
    ...(authorization === undefined ? {} : { authorization }),
  }
  return new Promise((resolve, reject) => {
    const asked = request(url, { headers })
    asked.once('response', (response) => {
      response.resume()
      resolve(response.statusCode ?? 0)
    })
    asked.once('upgrade', (_, socket) => {
      socket.destroy()
      resolve(101)
    })
    asked.once('error', reject)
    asked.end()
  })
}

function jwt(claims: object): string {
  const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const signed = `${encode({ alg: 'HS256' })}.${encode(claims)}`
  return `${signed}.${createHmac('sha256', SHARED_KEY).update(signed).digest('base64url')}`
}

describe('before the first device', () => {
  test('anonymous clients are let in from this machine, and go when it is registered', async () => {
    const anonymous = await connect({})
    expect(await publishCode(anonymous, 'devices/anything/telemetry')).toBe(0)
    const [granted] = await anonymous.subscribeAsync('#', { qos: 1 })
    expect(granted.qos).toBe(1)
    const gone = ended(anonymous)
    register({ name: 'first' })
    expect(await gone).toBe(0x87)
    expect(await connectCode({})).toBe(0x87)
    expect(await connectCode({ protocolVersion: 4 })).toBe(5)
    await until(async () => (await metric('millrace_connects_refused_total{reason="anonymous"}')) >= 2)
  })
})

describe('who is let in', () => {
  test('a password: of its device alone, hashed once', async () => {
    const name = withPassword()
    await until(async () => (await connectCode({ username: name, password: SECRET })) === 0)
    const hashed = await metric('millrace_passwords_verified_total{how="hashed"}')
    for (let i = 0; i < 5; i++) expect(await connectCode({ username: name, password: SECRET })).toBe(0)
    expect(await metric('millrace_passwords_verified_total{how="hashed"}')).toBe(hashed)
    expect(await connectCode({ username: name, password: 'wrong' })).toBe(0x86)
    expect(await connectCode({ username: name, password: '' })).toBe(0x86)
    expect(await connectCode({ username: name })).toBe(0x86)
    expect(await connectCode({ username: 'nobody', password: SECRET })).toBe(0x86)
    expect(await connectCode({ username: 'first', password: SECRET })).toBe(0x86)
    expect(await connectCode({ username: name, password: 'wrong', protocolVersion: 4 })).toBe(4)
  })

  test('a token, with the name or without', async () => {
    const { name, token } = withToken()
    await until(async () => (await connectCode({ username: name, password: token })) === 0)
    expect(await connectCode({ username: '', password: token })).toBe(0)
    expect(await connectCode({ username: 'first', password: token })).toBe(0x86)
    expect(await connectCode({ username: name, password: makeToken() })).toBe(0x86)
  })

  test('a JWT, as long as it is valid', async () => {
    const name = register()
    const nowS = Math.floor(Date.now() / 1000)
    const claims = { sub: name, iss: 'factory', exp: nowS + 60 }
    await until(async () => (await connectCode({ username: name, password: jwt(claims) })) === 0)
    expect(await connectCode({ username: name, password: jwt({ ...claims, iss: 'x' }) })).toBe(0x86)
    expect(await connectCode({ username: name, password: jwt({ ...claims, exp: nowS - 60 }) })).toBe(0x86)
    expect(await connectCode({ username: 'x', password: jwt({ ...claims, sub: 'nobody' }) })).toBe(0x86)
    const short = await connect({ username: name, password: jwt({ ...claims, exp: nowS - 2 }) })
    expect(await ended(short)).toBe(0x87)
  })

  test('a certificate: registered by its fingerprint, or with the name of a device', async () => {
    const [pinned, named, unknown] = ['/CN=whatever', '/CN=x', '/CN=y'].map((subject, i) =>
      certificates.issue(subject, i === 1 ? `subjectAltName=DNS:named-${process.pid}` : undefined),
    )
    const fingerprint = new X509Certificate(readFileSync(pinned.certificate)).fingerprint256
    const digest = fingerprint.replaceAll(':', '').toLowerCase()
    const name = register({ credentials: [{ kind: 'certificate', digest }] })
    register({ name: `named-${process.pid}` })
    const certified = (pair: Pair | null) => ({
      ...(pair === null ? {} : { cert: readFileSync(pair.certificate), key: readFileSync(pair.key) }),
      ca: readFileSync(certificates.authority.certificate),
    })
    const url = `mqtts://${engine.addresses.mqtts}`
    await until(async () => (await connectCode(certified(pinned), url)) === 0)
    const client = await connect(certified(pinned), url)
    expect(await publishCode(client, `devices/${name}/telemetry`)).toBe(0)
    expect(await publishCode(client, 'devices/whatever/telemetry')).toBe(0x87)
    const other = await connect(certified(named), url)
    expect(await publishCode(other, `devices/named-${process.pid}/telemetry`)).toBe(0)
    expect(await connectCode(certified(unknown), url)).toBe(0x87)
    expect(await connectCode(certified(null), url)).toBe(0x87)
    const gone = ended(client)
    registry.change(name, { clears: ['certificate'] }, Date.now())
    expect(await gone).toBe(0x98)
  })

  test('two devices with the same client identifier do not meet', async () => {
    const [a, b] = [withToken(), withToken()]
    const one = await connect({ clientId: 'same', username: a.name, password: a.token })
    const two = await connect({ clientId: 'same', username: b.name, password: b.token })
    expect(await publishCode(one, `devices/${a.name}/telemetry`)).toBe(0)
    expect(await publishCode(two, `devices/${b.name}/telemetry`)).toBe(0)
    const takenOver = ended(one)
    await connect({ clientId: 'same', username: a.name, password: a.token })
    expect(await takenOver).toBe(0x8e)
    expect(two.connected).toBe(true)
  })

  test('mosquitto_pub, with the right password and the wrong one', async () => {
    const name = withPassword()
    const [host, port] = engine.addresses.mqtt.split(':')
    const publish = async (password: string) => {
      const topic = `devices/${name}/telemetry`
      const args = [
        '-h',
        host,
        '-p',
        port,
        '-u',
        name,
        '-P',
        password,
        '-q',
        '1',
        '-t',
        topic,
        '-m',
        '{"x": 5}',
      ]
      try {
        await run('mosquitto_pub', args)
        return 0
      } catch (error) {
        return (error as { code: number }).code
      }
    }
    await until(async () => (await publish(SECRET)) === 0)
    expect(await publish('wrong')).not.toBe(0)
    const sql = `SELECT count() AS n FROM millrace.samples WHERE device = '${name}'`
    const { n } = await engine.queryUntil<{ n: string }>(sql, (row) => Number(row.n) > 0)
    expect(Number(n)).toBe(1)
  })
})

describe('a change takes effect at once', () => {
  test('disabled, on every gateway; enabled again', async () => {
    const { name, token } = withToken()
    const open = await Promise.all(
      Array.from({ length: 12 }, (_, i) => connect({ clientId: `c${i}`, username: name, password: token })),
    )
    const codes = Promise.all(open.map(ended))
    const { code } = await runMillrace(['device', 'disable', name, '--data', data])
    expect(code).toBe(0)
    expect(new Set(await codes)).toEqual(new Set([0x98]))
    expect(await connectCode({ username: name, password: token })).toBe(0x87)
    await runMillrace(['device', 'enable', name, '--data', data])
    await until(async () => (await connectCode({ username: name, password: token })) === 0)
  })

  test.each<[string, (name: string) => void]>([
    ['removed', (name) => registry.remove([name])],
    ['another token', (name) => registry.change(name, { clears: ['token'] }, Date.now())],
    ['another role', (name) => registry.change(name, { role: 'reader' }, Date.now())],
    ['another group', (name) => registry.change(name, { groups: ['x'] }, Date.now())],
  ])('%s', async (_, change) => {
    const { name, token } = withToken()
    const client = await connect({ username: name, password: token })
    const other = withToken()
    const bystander = await connect({ username: other.name, password: other.token })
    const gone = ended(client)
    change(name)
    expect(await gone).toBe(0x98)
    expect(bystander.connected).toBe(true)
  })

  test('what is not about its rights leaves it connected', async () => {
    const { name, token } = withToken()
    const client = await connect({
      username: name,
      password: token,
      properties: { userProperties: { version: '7' } },
    })
    registry.change(
      name,
      { metadata: { site: 'x' }, credentials: [{ kind: 'token', digest: 'y' }] },
      Date.now(),
    )
    await until(() => registry.device(name)?.lastSeenMs !== null)
    expect(registry.device(name)).toMatchObject({ version: '7', metadata: { site: 'x' } })
    expect(await publishCode(client, `devices/${name}/telemetry`)).toBe(0)
  })

  test('a new password ends the old one', async () => {
    const name = withPassword()
    await until(async () => (await connectCode({ username: name, password: SECRET })) === 0)
    const digest = hashPassword(Buffer.from('another'))
    registry.change(name, { credentials: [{ kind: 'password', digest }] }, Date.now())
    await until(async () => (await connectCode({ username: name, password: 'another' })) === 0)
    expect(await connectCode({ username: name, password: SECRET })).toBe(0x86)
  })
})

describe('topics', () => {
  test('a device has what is below its name, and nothing else', async () => {
    const { name, token } = withToken()
    const client = await connect({ username: name, password: token })
    const own = `devices/${name}`
    for (const qos of [0, 1, 2] as const) expect(await publishCode(client, `${own}/telemetry`, qos)).toBe(0)
    expect(await publishCode(client, `${own}2/telemetry`)).toBe(0x87)
    expect(await publishCode(client, `${own}2/telemetry`, 2)).toBe(0x87)
    expect(await publishCode(client, 'devices/first/telemetry')).toBe(0x87)
    expect(await publishCode(client, `${own}/telemetry`)).toBe(0)
    expect(await publishCode(client, 'elsewhere', 0)).toBe(0)
    const filters = [
      `${own}/#`,
      `${own}/+`,
      own,
      `devices/+/telemetry`,
      'devices/#',
      '#',
      '+/+/telemetry',
      '$SYS/#',
    ]
    expect(await subscribeCodes(client, filters)).toEqual([1, 1, 1, 0x87, 0x87, 0x87, 0x87, 0x87])
    await until(async () => (await metric('millrace_publishes_refused_total{reason="not-authorized"}')) >= 4)
    await until(
      async () => (await metric('millrace_subscriptions_refused_total{reason="not-authorized"}')) >= 5,
    )
    const told = await engine.eventWhere(
      'refused',
      ({ what, device }) => what === 'publish' && device === name,
    )
    expect(told).toMatchObject({
      reason: 'not-authorized',
      address: '127.0.0.1',
      client: client.options.clientId,
    })
  })

  test('what was refused is not delivered either', async () => {
    const [reader, device] = [withToken({ role: 'reader' }), withToken()]
    const listener = await connect({ username: reader.name, password: reader.token })
    await listener.subscribeAsync('devices/+/telemetry')
    const heard: string[] = []
    listener.on('message', (topic) => heard.push(topic))
    const client = await connect({ username: device.name, password: device.token })
    await publishCode(client, 'devices/first/telemetry')
    await publishCode(client, `devices/${device.name}/telemetry`)
    await until(() => heard.length > 0)
    expect(heard).toEqual([`devices/${device.name}/telemetry`])
    expect(await publishCode(listener, 'devices/x/telemetry')).toBe(0x87)
  })

  test('3.1.1 is not told that a message was refused: its connection ends', async () => {
    const { name, token } = withToken()
    const client = await connect({ username: name, password: token, protocolVersion: 4 })
    await client.publishAsync('elsewhere', 'x', { qos: 0 })
    await client.publishAsync(`devices/${name}/telemetry`, '{"x": 1}', { qos: 1 })
    const closed = new Promise<void>((resolve) => client.once('close', () => resolve()))
    client.publish('elsewhere', 'x', { qos: 1 })
    await closed
    const again = await connect({ username: name, password: token, protocolVersion: 4 })
    expect(await subscribeCodes(again, ['#', `devices/${name}/#`])).toEqual([0x80, 1])
  })

  test('an alias has the right of its topic', async () => {
    const { name, token } = withToken()
    const client = await connect({ username: name, password: token })
    const publish = async (topic: string, topicAlias: number) => {
      try {
        await client.publishAsync(topic, '{"x": 1}', { qos: 1, properties: { topicAlias } })
        return 0
      } catch (error) {
        return (error as { code?: number }).code
      }
    }
    expect(await publish(`devices/${name}/telemetry`, 1)).toBe(0)
    expect(await publish('devices/first/telemetry', 2)).toBe(0x87)
    expect(await publish('', 1)).toBe(0)
    expect(await publish('', 2)).toBe(0x87)
  })

  test('a will needs the right to its topic', async () => {
    const { name, token } = withToken()
    const will = (topic: string) => ({ topic, payload: Buffer.from('x'), qos: 1 as const, retain: false })
    const as = { username: name, password: token }
    await until(async () => (await connectCode(as)) === 0)
    expect(await connectCode({ ...as, will: will('devices/first/state') })).toBe(0x87)
    expect(await connectCode({ ...as, will: will(`devices/${name}/state`) })).toBe(0)
  })

  test('of a kept session, subscriptions that are not allowed any more are given up', async () => {
    const [kept, other] = [withToken({ role: 'reader' }), withToken()]
    const as = { clientId: 'kept', username: kept.name, password: kept.token, clean: false }
    const properties = { sessionExpiryInterval: 3600 }
    const before = await connect({ ...as, properties })
    expect(await subscribeCodes(before, 'devices/+/telemetry')).toEqual([1])
    const gone = ended(before)
    registry.change(kept.name, { role: 'device' }, Date.now())
    expect(await gone).toBe(0x98)
    const again = mqtt.connect(`mqtt://${engine.addresses.mqtt}`, {
      ...as,
      properties,
      protocolVersion: 5,
      reconnectPeriod: 0,
    })
    clients.push(again)
    const heard: string[] = []
    again.on('message', (topic) => heard.push(topic))
    const isPresent = await new Promise((resolve) =>
      again.once('connect', (packet) => resolve(packet.sessionPresent)),
    )
    expect(isPresent).toBe(true)
    const own = `devices/${kept.name}/telemetry`
    expect(await subscribeCodes(again, own)).toEqual([1])
    const publisher = await connect({ username: other.name, password: other.token })
    expect(await publishCode(publisher, `devices/${other.name}/telemetry`)).toBe(0)
    expect(await publishCode(again, own)).toBe(0)
    await until(() => heard.includes(own))
    expect(heard).toEqual([own])
  })

  test('{client} is the client identifier', async () => {
    const { name, token } = withToken({ role: 'own' })
    const client = await connect({ clientId: 'me', username: name, password: token })
    expect(await publishCode(client, 'clients/me/x')).toBe(0)
    expect(await publishCode(client, 'clients/you/x')).toBe(0x87)
    const wild = await connect({ clientId: '#', username: name, password: token })
    expect(await subscribeCodes(wild, 'clients/#')).toEqual([0x87])
  })

  test('a gateway publishes for its group, as it is at the time', async () => {
    const gateway = withToken({ role: 'gateway', groups: ['hall'] })
    const member = register({ groups: ['hall'] })
    const other = register()
    const client = await connect({ username: gateway.name, password: gateway.token })
    const of = (name: string) => `devices/${name}/telemetry`
    expect(await publishCode(client, of(gateway.name))).toBe(0)
    expect(await publishCode(client, of(member))).toBe(0)
    expect(await publishCode(client, of(other))).toBe(0x87)
    registry.change(other, { groups: ['hall'] }, Date.now())
    await until(async () => (await publishCode(client, of(other))) === 0)
    expect(await subscribeCodes(client, [`devices/${member}/#`, 'devices/+/#'])).toEqual([1, 0x87])
    const gone = ended(client)
    registry.change(other, { groups: [] }, Date.now())
    expect(await gone).toBe(0x98)
    const again = await connect({ username: gateway.name, password: gateway.token })
    expect(await publishCode(again, of(other))).toBe(0x87)
  })
})

describe('the plain WebSocket', () => {
  /** The first thing that comes back: an acknowledgement, or the end. */
  function firstAnswer(path: string, headers: Record<string, string> = {}): Promise<unknown> {
    const Socket = WebSocket as unknown as new (url: string, options: object) => WebSocket
    const socket = new Socket(`ws://${engine.addresses.ws}${path}`, { headers })
    cleanups.push(() => socket.close())
    return new Promise((resolve) => {
      socket.onopen = () => socket.send('{"seq": 1, "data": {"x": 1}}')
      socket.onmessage = ({ data: text }) => resolve(JSON.parse(String(text)))
      socket.onerror = () => resolve('refused')
      socket.onclose = ({ code }) => resolve(code)
    })
  }

  test('a token in the header or in the URL, a password', async () => {
    const { name, token } = withToken()
    const path = `/ingest/${name}?session=s`
    await until(
      async () => typeof (await firstAnswer(path, { authorization: `Bearer ${token}` })) === 'object',
    )
    expect(await firstAnswer(`${path}2&token=${token}`)).toEqual({ ack: 1 })
    const device = withPassword()
    const basic = (password: string) => `Basic ${Buffer.from(`${device}:${password}`).toString('base64')}`
    const of = `/ingest/${device}?session=s`
    await until(async () => typeof (await firstAnswer(of, { authorization: basic(SECRET) })) === 'object')
    expect(await firstAnswer(of, { authorization: basic('wrong') })).toBe('refused')
  })

  test('what is refused, by HTTP', async () => {
    const { name, token } = withToken()
    const ask = (path: string, authorization?: string) =>
      upgradeStatus(`http://${engine.addresses.ws}${path}`, authorization)
    expect(await ask(`/ingest/${name}?session=s`)).toBe(401)
    expect(await ask(`/ingest/${name}?session=s`, `Bearer ${makeToken()}`)).toBe(401)
    expect(await ask(`/ingest/${name}?session=s`, 'Digest x')).toBe(400)
    expect(await ask('/ingest/first?session=s', `Bearer ${token}`)).toBe(403)
  })

  test('a disabled device is disconnected', async () => {
    const { name, token } = withToken()
    const socket = new WebSocket(`ws://${engine.addresses.ws}/ingest/${name}?session=s&token=${token}`)
    await new Promise((resolve) => {
      socket.onopen = resolve
    })
    const closed = new Promise<number>((resolve) => {
      socket.onclose = ({ code }) => resolve(code)
    })
    registry.change(name, { isEnabled: false }, Date.now())
    expect(await closed).toBe(1008)
  })
})

test('millrace load and dead-letters replay log in', async () => {
  const { name, token } = withToken({ role: 'everything' })
  const env = { MILLRACE_MQTT_USER: name, MILLRACE_MQTT_PASSWORD: token }
  const load = [
    'load',
    '--mqtt',
    engine.addresses.mqtt,
    '--messages',
    '50',
    '--connections',
    '1',
    '--drain',
    '2',
  ]
  expect((await runMillrace(load)).code).toBe(1)
  expect(await runMillrace(load, env)).toMatchObject({ code: 0, stderr: '' })
  const client = await connect({ username: name, password: token })
  await client.publishAsync('devices/broken/telemetry', 'no telemetry', { qos: 1 })
  const sql = `SELECT count() AS n FROM millrace.dead_letters WHERE device = 'broken'`
  await engine.queryUntil<{ n: string }>(sql, ({ n }) => Number(n) === 1)
  const { mqtt: door, store } = engine.addresses
  const replay = [
    'dead-letters',
    'replay',
    '--mqtt',
    door,
    '--store',
    store,
    '--device',
    'broken',
    '--look',
    '0',
  ]
  expect((await runMillrace(replay)).stderr).toMatch(/refuses the connection \(reason code 135\)/)
  expect((await runMillrace(replay, env)).stdout).toMatch(/^1 of 1 accepted/m)
})

test('a storm of connects with passwords: each is hashed once, and none of them is refused for good', async () => {
  const names = Array.from({ length: 12 }, () => withPassword())
  const before = await metric('millrace_passwords_verified_total{how="hashed"}')
  const round = () =>
    Promise.all(
      names.map(async (username) => {
        await until(async () => (await connectCode({ username, password: SECRET, clientId: username })) === 0)
      }),
    )
  await round()
  for (const client of clients.splice(0)) await client.endAsync(true)
  await round()
  expect((await metric('millrace_passwords_verified_total{how="hashed"}')) - before).toBe(names.length)
})

test('secrets are nowhere', async () => {
  const { name, token } = withToken()
  const password = 'hunter2-hunter2'
  const digest = hashPassword(Buffer.from(password))
  registry.change(name, { credentials: [{ kind: 'password', digest }] }, Date.now())
  const wrong = makeToken()
  const bad = jwt({ sub: name, iss: 'x', exp: 1 })
  await until(async () => (await connectCode({ username: name, password })) === 0)
  expect(await connectCode({ username: name, password: token })).toBe(0)
  // Also where a secret does not belong.
  for (const options of [
    { username: name, password: `${password}!` },
    { username: wrong, password: wrong },
    { username: bad, password: bad, clientId: token },
  ])
    expect(await connectCode(options)).toBe(0x86)
  const isTold = ({ reason }: Record<string, unknown>) => reason === 'token-expired'
  await engine.eventWhere('refused', isTold)
  const metrics = await (await fetch(`http://${engine.addresses.http}/metrics`)).text()
  const files = readdirSync(data, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => readFileSync(join(entry.parentPath, entry.name)))
  for (const secret of [password, SECRET, token, wrong, bad]) {
    expect(JSON.stringify(engine.events) + engine.stderr + metrics).not.toContain(secret)
    expect(files.some((bytes) => bytes.includes(secret))).toBe(false)
  }
})

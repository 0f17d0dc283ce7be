/** MQTT over TLS by real clients, with certificates that openssl made. */
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { connect as connectTcp } from 'node:net'
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from 'node:tls'
import { promisify } from 'node:util'
import mqtt, { type IClientOptions } from 'mqtt'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { systemClock } from '../../base/clock.ts'
import { openIdentities } from '../registry/open-identities.ts'
import { Doorbell } from '../ring/doorbell.ts'
import { type Pair, TestCertificates } from '../tls/test-certificates.ts'
import { loadTls } from '../tls/tls-files.ts'
import type { ClientCertificate } from '../tls/tls-material.ts'
import { CONNECT_STAGES } from './connect/connect-stages.ts'
import { Gateway } from './gateway-core.ts'
import { connectPacket, encode } from './gateway-harness.ts'
import type { Peer } from './peer.ts'
import { TrustedProxies } from './proxy-stage.ts'
import { keepRecords, plainSetup, type RunningGateway, runGateway, until } from './socket-harness.ts'
import { TcpDoor } from './tcp-door.ts'

const TOPIC = 'devices/a/telemetry'
const HAS_MOSQUITTO = await promisify(execFile)('mosquitto_pub', ['--help']).then(
  () => true,
  (error: NodeJS.ErrnoException) => error.code !== 'ENOENT',
)
if (!HAS_MOSQUITTO && process.env.MILLRACE_CI === '1') throw new Error('mosquitto_pub is not installed')

let certificates: TestCertificates
let server: Pair
let ca: string

beforeAll(() => {
  certificates = new TestCertificates()
  server = certificates.server()
  ca = readFileSync(certificates.authority.certificate, 'utf8')
})

afterAll(() => certificates.remove())

function material(pair = server, clientCertificate: ClientCertificate = 'none') {
  return loadTls(certificates.files(pair, clientCertificate)).material
}

function options(pair: Pair | null = null): IClientOptions {
  const own = pair === null ? {} : { cert: readFileSync(pair.certificate), key: readFileSync(pair.key) }
  return { ca, ...own, reconnectPeriod: 0, connectTimeout: 20_000 }
}

/** A TLS socket that has shaken hands; rejects when that fails. */
function shakeHands(port: number, more: ConnectionOptions = {}): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connectTls({ port, host: '127.0.0.1', servername: 'localhost', ca, ...more })
    socket.on('error', reject)
    socket.once('secureConnect', () => resolve(socket))
  })
}

describe('a gateway with certificates', () => {
  let running: RunningGateway

  beforeEach(async () => {
    running = await runGateway({ connectTimeoutMs: 1000 }, { tls: material() })
  })

  afterEach(() => running.stop())

  test.each(['mqtts', 'wss'] as const)('MQTT.js publishes and subscribes over %s', async (door) => {
    const url =
      door === 'mqtts' ? `mqtts://localhost:${running.mqttsPort}` : `wss://localhost:${running.wssPort}/mqtt`
    const client = await mqtt.connectAsync(url, { ...options(), protocolVersion: 5 })
    const delivered: string[] = []
    client.on('message', (_, payload) => delivered.push(payload.toString()))
    await client.subscribeAsync('devices/#', { qos: 1 })
    const fillMax = door === 'mqtts' ? 40_000 : 4000 // a WebSocket cannot be held back
    const payloads = Array.from({ length: 300 }, (_, i) =>
      JSON.stringify({ i, fill: 'x'.repeat((i * 997) % fillMax) }),
    )
    await Promise.all(payloads.map((payload) => client.publishAsync(TOPIC, payload, { qos: 1 })))
    await until(() => delivered.length === payloads.length, 'all deliveries')
    await client.endAsync()
    expect(running.records.map(({ payload }) => payload)).toEqual(payloads)
    expect(delivered).toEqual(payloads)
  })

  test.skipIf(!HAS_MOSQUITTO)('mosquitto_pub publishes, TLS 1.2 and 1.3', async () => {
    for (const version of ['tlsv1.2', 'tlsv1.3']) {
      const where = [
        '-h',
        'localhost',
        '-p',
        String(running.mqttsPort),
        '-t',
        TOPIC,
        '-q',
        '1',
        '-m',
        version,
      ]
      const tls = ['--cafile', certificates.authority.certificate, '--tls-version', version]
      await promisify(execFile)('mosquitto_pub', [...where, ...tls])
    }
    expect(running.records.map(({ payload }) => payload)).toEqual(['tlsv1.2', 'tlsv1.3'])
  })

  test('what is no handshake, or none that is good enough, is closed and counted', async () => {
    const plain = connectTcp(running.mqttsPort, '127.0.0.1')
    plain.on('error', () => {})
    plain.write(encode(4, connectPacket()))
    await until(() => plain.closed, 'the end of a plain client')
    const old = { minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1', ciphers: 'ALL@SECLEVEL=0' } as const
    await expect(shakeHands(running.mqttsPort, old)).rejects.toThrow(/protocol/i)
    await until(() => running.control.status().disconnectsByReason['tls-handshake'] === 2, 'both counted')
  })

  test('the time for CONNECT includes the handshake', async () => {
    const silent = connectTcp(running.mqttsPort, '127.0.0.1')
    const halfway = await shakeHands(running.mqttsPort)
    for (const socket of [silent, halfway]) socket.on('error', () => {}).resume()
    await until(() => silent.closed && halfway.closed, 'the end of both')
    expect(running.control.status().disconnectsByReason).toMatchObject({ 'connect-timeout': 2 })
  })

  test.each(['mqtts', 'wss'] as const)('%s: new certificates, and no connection is dropped', async (door) => {
    const port = door === 'mqtts' ? running.mqttsPort : running.wssPort
    const url = door === 'mqtts' ? `mqtts://localhost:${port}` : `wss://localhost:${port}/mqtt`
    const client = await mqtt.connectAsync(url, options())
    let isDropped = false
    client.on('close', () => {
      isDropped = true
    })
    const fingerprints: string[] = []
    for (const pair of [server, certificates.server(), certificates.server()]) {
      await running.control.renewTls(material(pair))
      const socket = await shakeHands(port)
      fingerprints.push(socket.getPeerCertificate().fingerprint256)
      socket.destroy()
      await client.publishAsync(TOPIC, '{}', { qos: 1 })
    }
    expect(new Set(fingerprints).size).toBe(3)
    expect(isDropped).toBe(false)
    await client.endAsync()
    expect(running.records).toHaveLength(3)
  })
})

describe('certificates of clients', () => {
  let gateway: Gateway
  let door: TcpDoor
  let port: number
  let peers: Peer[]
  let close: () => void

  async function open(clientCertificate: ClientCertificate): Promise<void> {
    const setup = plainSetup()
    const keeper = keepRecords(setup, () => false)
    peers = []
    gateway = new Gateway(
      {
        ...setup,
        shardBells: setup.shardBells.map((memory) => new Doorbell(memory)),
        clock: systemClock,
        elapsedUs: () => performance.now() * 1000,
        takeNumber: () => 1,
        peers: [],
        identities: openIdentities(),
        sessions: { ...setup.sessions, bell: new Doorbell(setup.sessions.bell) },
      },
      [
        ({ peer }) => {
          peers.push(peer)
          return 0
        },
        ...CONNECT_STAGES,
      ],
    )
    door = new TcpDoor(gateway, material(server, clientCertificate), new TrustedProxies([]))
    ;({ port } = await door.listen({ host: '127.0.0.1', port: 0 }))
    const timer = setInterval(() => gateway.step(), 5)
    close = () => {
      clearInterval(timer)
      keeper.stop()
      door.stopAccepting()
      door.destroyAll()
    }
  }

  afterEach(() => close())

  async function connectOnce(pair: Pair | null): Promise<void> {
    const client = await mqtt.connectAsync(`mqtts://localhost:${port}`, options(pair), false)
    await client.endAsync()
  }

  test('name the device, whatever characters and kinds of names they have', async () => {
    await open('require')
    const pairs = [
      certificates.issue(
        '/O=Plant/CN=pump-7',
        'subjectAltName=DNS:pump-7.plant,URI:urn:device:7,IP:10.0.0.7',
      ),
      certificates.issue('/CN=Grün\\, \\"laut\\" a\\/b', 'subjectAltName=email:a@b.example,DNS:pump-7'),
      certificates.issue('/O=nobody', 'subjectAltName=DNS:only-san'),
    ]
    for (const pair of pairs) await connectOnce(pair)
    expect(peers.map(({ identity }) => identity?.names)).toEqual([
      ['pump-7', 'pump-7.plant', 'urn:device:7'],
      ['Grün, "laut" a/b', 'a@b.example', 'pump-7'],
      ['only-san'],
    ])
    for (const [index, { certificate }] of pairs.entries()) {
      const args = ['x509', '-in', certificate, '-noout', '-fingerprint', '-sha256']
      const { stdout } = await promisify(execFile)('openssl', args)
      const expected = stdout.trim().split('=')[1].replaceAll(':', '').toLowerCase()
      expect(peers[index].identity?.fingerprint).toBe(expected)
      expect(peers[index].address).toBe('127.0.0.1')
    }
  })

  test('required: none, or one of another authority, is refused and counted', async () => {
    await open('require')
    const other = new TestCertificates('Somebody else')
    for (const pair of [null, other.issue('/CN=pump-7')]) await expect(connectOnce(pair)).rejects.toThrow()
    other.remove()
    expect(peers).toEqual([])
    expect(gateway.status().disconnectsByReason).toEqual({
      'certificate-missing': 1,
      'certificate-refused': 1,
    })
  })

  test('requested: none will do, a bad one will not', async () => {
    await open('request')
    await connectOnce(null)
    await connectOnce(certificates.issue('/CN=pump-7'))
    const other = new TestCertificates('Somebody else')
    await expect(connectOnce(other.issue('/CN=pump-8'))).rejects.toThrow()
    other.remove()
    expect(peers.map(({ identity }) => identity?.names ?? null)).toEqual([null, ['pump-7']])
  })

  test.each(['TLSv1.2', 'TLSv1.3'] as const)('a resumed session has its identity, %s', async (version) => {
    await open('require')
    const pair = certificates.issue('/CN=pump-7')
    const own = { cert: readFileSync(pair.certificate), key: readFileSync(pair.key), maxVersion: version }
    let session: Buffer | undefined
    const first = await shakeHands(port, own)
    first.on('session', (ticket) => {
      session = ticket
    })
    first.write(encode(4, connectPacket()))
    await until(() => peers.length === 1, 'the first CONNECT')
    if (version === 'TLSv1.2') session = first.getSession()
    await until(() => session !== undefined, 'a session')
    first.destroy()
    const second = await shakeHands(port, { ...own, session })
    second.write(encode(4, connectPacket()))
    await until(() => peers.length === 2, 'the second CONNECT')
    expect(second.isSessionReused()).toBe(true)
    second.destroy()
    expect(peers[1].identity).toEqual(peers[0].identity)
    expect(peers[1].identity?.names).toEqual(['pump-7'])
  })
})

/** The PROXY protocol on real sockets, in front of each door that takes it. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { afterEach, beforeAll, describe, expect, test } from 'vitest'
import { systemClock } from '../../base/clock.ts'
import { openIdentities } from '../registry/open-identities.ts'
import { Doorbell } from '../ring/doorbell.ts'
import { TestCertificates } from '../tls/test-certificates.ts'
import { loadTls } from '../tls/tls-files.ts'
import type { TlsMaterial } from '../tls/tls-material.ts'
import type { ConnectAttempt } from './connect/connect-attempt.ts'
import { CONNECT_STAGES } from './connect/connect-stages.ts'
import { Gateway } from './gateway-core.ts'
import { connectPacket, encode } from './gateway-harness.ts'
import { TrustedProxies } from './proxy-stage.ts'
import { binaryFrame, plainSetup, UPGRADE_TO_MQTT, until } from './socket-harness.ts'
import { TcpDoor } from './tcp-door.ts'
import { WebSocketDoor } from './websocket-door.ts'

const SIGNATURE = '0d0a0d0a000d0a515549540a'
const IPV4 = Buffer.from(`${SIGNATURE}2111000fc0000207c6336401d431075b040000`, 'hex')
const IPV6 = Buffer.from(`${SIGNATURE}21210024${'20010db8'.padEnd(31, '0')}7${'0'.repeat(32)}d431075b`, 'hex')
const LOCAL = Buffer.from(`${SIGNATURE}20000000`, 'hex')

let tls: TlsMaterial
let gateway: Gateway
let addresses: string[]
const cleanups: (() => void)[] = []

beforeAll(() => {
  const certificates = new TestCertificates()
  tls = loadTls(certificates.files(certificates.server())).material
  return () => certificates.remove()
})

afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup()
})

function noteAddress({ peer }: ConnectAttempt): number {
  addresses.push(peer.address)
  return 0
}

/** A gateway that notes where its clients say they are. */
function makeGateway(): void {
  const setup = plainSetup({ connectTimeoutMs: 2000 })
  addresses = []
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
    [noteAddress, ...CONNECT_STAGES],
  )
  const timer = setInterval(() => gateway.step(), 5)
  cleanups.push(() => clearInterval(timer))
}

async function openTcp(material: TlsMaterial | null, isShared: boolean, trusted: string[]): Promise<number> {
  makeGateway()
  const door = new TcpDoor(gateway, material, new TrustedProxies(trusted))
  const { port } = await door.listen({ host: '127.0.0.1', port: 0 }, isShared)
  cleanups.push(() => {
    door.stopAccepting()
    door.destroyAll()
  })
  return port
}

async function openWebSocket(trusted: string[]): Promise<number> {
  makeGateway()
  const door = new WebSocketDoor(gateway, plainSetup().streams, null, new TrustedProxies(trusted))
  cleanups.push(() => door.close())
  return (await door.listen({ host: '127.0.0.1', port: 0 })).port
}

/** A socket that has sent these pieces, one write each. */
async function send(port: number, ...pieces: Uint8Array[]): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true })
  socket.on('error', () => {})
  cleanups.push(() => socket.destroy())
  await once(socket, 'connect')
  for (const piece of pieces) {
    socket.write(piece)
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
  return socket
}

function bytewise(bytes: Uint8Array): Uint8Array[] {
  return Array.from(bytes, (byte) => Uint8Array.of(byte))
}

describe.each([
  ['one buffer', true],
  ['events', false],
])('MQTT behind a load balancer, read by %s', (_, isShared) => {
  const hello = encode(4, connectPacket())

  test.each([
    ['IPv4 and TLVs', IPV4, '192.0.2.7'],
    ['IPv6', IPV6, '2001:db8::7'],
    ['a health check of its own', LOCAL, '127.0.0.1'],
  ])('%s: in one piece, apart, byte by byte', async (_, header, address) => {
    const port = await openTcp(null, isShared, ['127.0.0.0/8'])
    const ways = [[Buffer.concat([header, hello])], [header, hello], bytewise(Buffer.concat([header, hello]))]
    for (const [index, pieces] of ways.entries()) {
      const socket = await send(port, ...pieces)
      const [connack] = await once(socket, 'data')
      expect([...connack]).toEqual([0x20, 2, 0, 0])
      expect(addresses).toHaveLength(index + 1)
    }
    expect(addresses).toEqual([address, address, address])
  })

  test('without a header, or with a bad one: closed and counted', async () => {
    const port = await openTcp(null, isShared, ['127.0.0.1'])
    const bad = Buffer.from(IPV4)
    bad[12] = 0x31
    const sockets = await Promise.all([send(port, hello), send(port, bad)])
    await until(() => sockets.every(({ closed }) => closed), 'the end of both')
    expect(gateway.status().disconnectsByReason).toEqual({ 'proxy-header': 2 })
  })

  test('half a header ends with the time for CONNECT, or with the socket', async () => {
    const port = await openTcp(null, isShared, ['127.0.0.1'])
    const [silent, gone] = await Promise.all([
      send(port, IPV4.subarray(0, 20)),
      send(port, IPV4.subarray(0, 20)),
    ])
    gone.destroy()
    await until(() => silent.closed, 'the end of the silent one')
    expect(gateway.status().disconnectsByReason).toEqual({ 'connect-timeout': 1, lost: 1 })
  })

  test('from an address that is not trusted a header is no MQTT', async () => {
    const port = await openTcp(null, isShared, ['10.0.0.0/8', '::1'])
    const socket = await send(port, IPV4, hello)
    await until(() => socket.closed, 'the end')
    expect(addresses).toEqual([])
    expect(gateway.status().disconnectsByReason).toEqual({ 'not-mqtt': 1 })
  })
})

test('TLS behind a load balancer: the header comes before the handshake', async () => {
  const port = await openTcp(tls, false, ['127.0.0.1'])
  const socket = await send(port, IPV4)
  const secure = connectTls({
    socket,
    servername: 'localhost',
    ca: tls.certificate,
    rejectUnauthorized: false,
  })
  await once(secure, 'secureConnect')
  secure.write(encode(4, connectPacket()))
  expect([...(await once(secure, 'data'))[0]]).toEqual([0x20, 2, 0, 0])
  expect(addresses).toEqual(['192.0.2.7'])
})

test.each([
  ['trusted', ['127.0.0.1'], '192.0.2.7'],
  ['not trusted', [], '127.0.0.1'],
])('MQTT over WebSocket behind a load balancer that is %s', async (_, trusted, address) => {
  const port = await openWebSocket(trusted)
  const socket = await send(port, IPV4, Buffer.from(UPGRADE_TO_MQTT))
  await once(socket, 'data')
  socket.write(binaryFrame(encode(4, connectPacket())))
  expect([...(await once(socket, 'data'))[0]].slice(-4)).toEqual([0x20, 2, 0, 0])
  expect(addresses).toEqual([address])
})

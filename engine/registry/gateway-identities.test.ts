/** The gateway's end of the registry, with the order of messages in the test's hands: a change may come at any moment. */
import type { Packet } from 'mqtt-packet'
import { describe, expect, test } from 'vitest'
import { DEFAULT_CONFIG } from '../config.ts'
import {
  connectPacket,
  type Harness,
  MemoryClient,
  makeHarness,
  publishPacket,
} from '../gateway/gateway-harness.ts'
import type { FromRegistry, Grant, ToRegistry, Visit } from './credentials.ts'
import type { DeviceRights } from './device.ts'
import { GatewayIdentities } from './gateway-identities.ts'

interface Setup {
  harness: Harness
  /** What the main thread was sent. */
  sent: ToRegistry[]
  tell(message: FromRegistry): void
}

function setUp({ isUsed = true, allowsAnonymous = false, connectionsMax = 100 } = {}): Setup {
  const sent: ToRegistry[] = []
  const { access } = DEFAULT_CONFIG
  const post = (message: ToRegistry) => sent.push(message)
  const identities = new GatewayIdentities({ access, allowsAnonymous, isUsed, post })
  const harness = makeHarness({ identities, limits: { connectionsMax } })
  return { harness, sent, tell: (message) => harness.gateway.handleRegistry(message) }
}

function connect({ harness }: Setup, clientId = 'c', password = 'secret'): MemoryClient {
  const client = harness.accept()
  client.send({ ...connectPacket({ clientId }), username: 'a', password: Buffer.from(password) } as Packet)
  return client
}

function questions({ sent }: Setup): number[] {
  return sent.flatMap((message) => (message.kind === 'authenticate' ? [message.id] : []))
}

const GRANT: Grant = {
  device: 'a',
  role: 'device',
  groups: [],
  credential: { kind: 'registered', id: 7 },
  validUntilMs: null,
}
const RIGHTS: DeviceRights = { name: 'a', role: 'device', groups: [], isEnabled: true, credentials: [7] }

function grant(
  id: number,
  fields: Partial<Grant> = {},
  members: Record<string, string[]> | null = null,
): FromRegistry {
  return { kind: 'verdict', id, verdict: { isGranted: true, grant: { ...GRANT, ...fields } }, members }
}

function changed(rights: DeviceRights | null, name = 'a'): FromRegistry {
  return { kind: 'changed', devices: [{ name, rights }] }
}

function codes(client: MemoryClient): (number | undefined)[] {
  return client.received().map((packet) => (packet.cmd === 'connack' ? packet.returnCode : undefined))
}

test('who is asked about waits; who was granted lately does not', () => {
  const setup = setUp()
  const first = connect(setup)
  expect(codes(first)).toEqual([])
  setup.tell(grant(questions(setup)[0]))
  expect(codes(first)).toEqual([0])
  expect(codes(connect(setup, 'another'))).toEqual([0])
  expect(codes(connect(setup, 'third', 'wrong'))).toEqual([])
  expect(questions(setup)).toHaveLength(2)
})

test('a connection that ends while it waits is nobody, whatever the verdict', () => {
  const setup = setUp()
  const client = connect(setup)
  client.connection.closed()
  setup.tell(grant(questions(setup)[0]))
  setup.harness.pass(2)
  expect(setup.sent.some(({ kind }) => kind === 'visits')).toBe(false)
  expect(setup.harness.gateway.status()).toMatchObject({ connections: 0, connectsAccepted: 0 })
})

describe('a change', () => {
  test.each<[string, DeviceRights | null]>([
    ['removed', null],
    ['disabled', { ...RIGHTS, isEnabled: false }],
    ['another role', { ...RIGHTS, role: 'gateway' }],
    ['a group', { ...RIGHTS, groups: ['g'] }],
    ['its credential gone', { ...RIGHTS, credentials: [8] }],
  ])('%s: the connection ends, and the next is asked about', (_, rights) => {
    const setup = setUp()
    const client = connect(setup)
    setup.tell(grant(questions(setup)[0]))
    setup.tell(changed(rights))
    expect(client.transport.isClosed).toBe(true)
    connect(setup)
    expect(questions(setup)).toHaveLength(2)
    expect(setup.harness.gateway.status().disconnectsByReason).toEqual({ 'administrative-action': 1 })
  })

  test('another credential besides: it stays, and is asked about when it comes again', () => {
    const setup = setUp()
    const client = connect(setup)
    setup.tell(grant(questions(setup)[0]))
    setup.tell(changed({ ...RIGHTS, credentials: [7, 8] }))
    expect(client.transport.isClosed).toBe(false)
    connect(setup, 'another')
    expect(questions(setup)).toHaveLength(2)
  })

  test('between the verdict and the session: it ends', () => {
    const setup = setUp()
    const client = setup.harness.accept()
    // A kept session is another thread's to open, so the CONNECT waits once more.
    const packet = {
      ...connectPacket({ clientId: 'c' }),
      clean: false,
      username: 'a',
      password: Buffer.from('x'),
    }
    client.send(packet as Packet)
    setup.tell(grant(questions(setup)[0]))
    expect(codes(client)).toEqual([])
    setup.tell(changed(null))
    setup.harness.sync()
    expect(client.transport.isClosed).toBe(true)
    expect(setup.harness.gateway.status().connectsAccepted).toBe(0)
  })
})

test('keys that are gone, and tokens that are over, end what came in by them', () => {
  const setup = setUp()
  const nowMs = setup.harness.clock.nowMs()
  const jwt = (key: string, validUntilMs: number) => ({
    credential: { kind: 'jwt' as const, key },
    validUntilMs,
  })
  const [one, two, three] = ['1', '2', '3'].map((name) => connect(setup, name, name))
  const [first, second, third] = questions(setup)
  setup.tell(grant(first, jwt('old', nowMs + 60_000)))
  setup.tell(grant(second, jwt('new', nowMs + 3000)))
  setup.tell(grant(third))
  setup.tell({ kind: 'keys', keys: ['new'] })
  expect([one, two, three].map(({ transport }) => transport.isClosed)).toEqual([true, false, false])
  setup.harness.pass(2)
  expect(two.transport.isClosed).toBe(false)
  setup.harness.pass(3)
  expect([two, three].map(({ transport }) => transport.isClosed)).toEqual([true, false])
  connect(setup, '2', '2')
  expect(questions(setup)).toHaveLength(4)
})

test.each([true, false])('without credentials, --allow-anonymous %s', (allowsAnonymous) => {
  const setup = setUp({ isUsed: false, allowsAnonymous })
  const { gateway } = setup.harness
  const [local, far] = ['127.0.0.1', '192.0.2.1'].map((address, i) => {
    const client = new MemoryClient(gateway, 4, address)
    client.send(connectPacket({ clientId: `c${i}` }))
    return client
  })
  expect([codes(local), codes(far)]).toEqual([[0], [allowsAnonymous ? 0 : 5]])
  setup.tell({ kind: 'used' })
  expect(local.transport.isClosed).toBe(!allowsAnonymous)
  expect(questions(setup)).toEqual([])
})

describe('members of a group', () => {
  const gateway = { role: 'gateway', groups: ['hall'] }
  const publish = (client: MemoryClient, name: string): void =>
    client.send(publishPacket(`devices/${name}/t`, 'x'))

  test('are those of the moment, also for the topic that was just used', () => {
    const setup = setUp()
    const client = connect(setup)
    setup.tell(grant(questions(setup)[0], gateway, { hall: ['a', 'b'] }))
    const refused = () => setup.harness.gateway.status().publishesRefusedByReason['not-authorized'] ?? 0
    publish(client, 'b')
    expect(refused()).toBe(0)
    publish(client, 'c')
    publish(client, 'c')
    expect(refused()).toBe(2)
    setup.tell(changed({ ...RIGHTS, name: 'c', groups: ['hall'] }, 'c'))
    publish(client, 'c')
    expect(refused()).toBe(2)
    setup.tell(changed({ ...RIGHTS, name: 'c', groups: ['hall'], isEnabled: false }, 'c'))
    expect(client.transport.isClosed).toBe(true)
  })
})

test('when a device came and went is told once a second', () => {
  const setup = setUp()
  const client = connect(setup)
  setup.tell(grant(questions(setup)[0]))
  client.connection.closed()
  setup.harness.pass(2)
  const visits = setup.sent.flatMap((message): Visit[] => (message.kind === 'visits' ? message.visits : []))
  expect(visits.map(({ device, change }) => [device, change])).toEqual([
    ['a', 1],
    ['a', -1],
  ])
})

test('who is turned away at the door is told of, too', () => {
  const setup = setUp({ connectionsMax: 1 })
  setup.harness.accept()
  expect(() => setup.harness.accept()).toThrow('the gateway is full')
  setup.harness.pass(2)
  const refusals = setup.sent.flatMap((message) => (message.kind === 'refusals' ? message.refusals : []))
  expect(refusals).toMatchObject([
    { what: 'connect', reason: 'too-many-connections', address: '192.0.2.1', count: 1 },
  ])
  expect(setup.harness.gateway.status().connectsRefusedByReason).toEqual({ 'too-many-connections': 1 })
})

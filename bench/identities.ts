/** What it costs to let a client in, by how it is known, and to decide about a topic. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MessageChannel } from 'node:worker_threads'
import mqtt from 'mqtt-packet'
import { assert } from '../base/assert.ts'
import { systemClock } from '../base/clock.ts'
import { DEFAULT_CONFIG } from '../engine/config.ts'
import { Gateway } from '../engine/gateway/gateway-core.ts'
import type { Transport } from '../engine/gateway/transport.ts'
import { Access, Role } from '../engine/registry/access.ts'
import type { FromRegistry } from '../engine/registry/credentials.ts'
import { makeToken, tokenDigest } from '../engine/registry/device-token.ts'
import { GatewayIdentities } from '../engine/registry/gateway-identities.ts'
import { hashPassword } from '../engine/registry/password-hash.ts'
import { Registry } from '../engine/registry/registry.ts'
import { RegistryKeeper } from '../engine/registry/registry-keeper.ts'
import { Doorbell } from '../engine/ring/doorbell.ts'
import { createRing } from '../engine/ring/ring.ts'
import { SessionsFixture } from '../engine/sessions/sessions-fixture.ts'
import type { Bench, BenchSize, Measure } from './bench.ts'
import { compare, costOf } from './harness.ts'

const PASSWORD = 'a password of a device'
const DECISIONS = 1000

interface Login {
  username: string
  password: string
}

/** A client that waits for its CONNACK. */
class Client implements Transport {
  readonly peer = { address: '127.0.0.1', identity: null }
  readonly bufferedBytes = 0
  readonly answered: Promise<void>
  #answer!: () => void
  #isAccepted = false

  constructor() {
    this.answered = new Promise((resolve) => {
      this.#answer = resolve
    })
  }

  get isAccepted(): boolean {
    return this.#isAccepted
  }

  write(bytes: Uint8Array): boolean {
    if (bytes[0] === 0x20) {
      this.#isAccepted = bytes[3] === 0
      this.#answer()
    }
    return true
  }

  close(): void {}
  pause(): void {}
  resume(): void {}
}

/** A gateway that has met nobody yet, and the registry that it asks. */
function openGateway(keeper: RegistryKeeper, allowsAnonymous: boolean): { gateway: Gateway; close(): void } {
  const { port1, port2 } = new MessageChannel()
  keeper.serve(port1)
  const identities = new GatewayIdentities({
    access: DEFAULT_CONFIG.access,
    allowsAnonymous,
    isUsed: keeper.isUsed,
    post: (message) => port2.postMessage(message),
  })
  let number = 0
  const gateway = new Gateway({
    index: 0,
    rings: [createRing(1 << 20)],
    shardBells: [new Doorbell(Doorbell.memory())],
    streams: DEFAULT_CONFIG.streams,
    limits: DEFAULT_CONFIG.limits,
    clock: systemClock,
    elapsedUs: () => performance.now() * 1000,
    takeNumber: () => ++number,
    peers: [],
    identities,
    sessions: new SessionsFixture([Doorbell.memory()], systemClock).linkOptions(0),
  })
  port2.on('message', (message: FromRegistry) => gateway.handleRegistry(message))
  return { gateway, close: () => port2.close() }
}

/** All of them connect, and are gone once all have their CONNACK. */
async function connectAll(gateway: Gateway, logins: readonly (Login | null)[]): Promise<void> {
  const connections = logins.map((login, i) => {
    const client = new Client()
    const connection = gateway.accept(client)
    assert(connection !== null, 'there is room')
    const bytes = mqtt.generate({
      cmd: 'connect',
      protocolId: 'MQTT',
      protocolVersion: 4,
      clientId: `client-${i}`,
      clean: true,
      keepalive: 60,
      ...login,
    } as mqtt.IConnectPacket)
    connection.receive(bytes, 0, bytes.length, 0)
    return { client, connection }
  })
  await Promise.all(connections.map(({ client }) => client.answered))
  for (const { client, connection } of connections) {
    assert(client.isAccepted, 'who is known is let in')
    connection.closed()
  }
}

async function connects(size: BenchSize): Promise<Measure[]> {
  const [tokenCount, passwordCount] = size === 'full' ? [5000, 20] : [50, 2]
  const directory = mkdtempSync(join(tmpdir(), 'millrace-bench-'))
  const path = join(directory, 'registry.db')
  const registry = new Registry(path, { waitMs: 1000, isDurable: false })
  const standard = { role: 'device', groups: [], isEnabled: true, version: null, metadata: {} }
  const withTokens = Array.from({ length: tokenCount }, (_, i) => ({
    username: `t-${i}`,
    password: makeToken(),
  }))
  const withPasswords = Array.from({ length: passwordCount }, (_, i) => ({
    username: `p-${i}`,
    password: PASSWORD,
  }))
  registry.add(
    [
      ...withTokens.map(({ username: name, password }) => {
        const credentials = [{ kind: 'token' as const, digest: tokenDigest(password) }]
        return { ...standard, name, credentials }
      }),
      ...withPasswords.map(({ username: name }) => {
        const credentials = [{ kind: 'password' as const, digest: hashPassword(Buffer.from(PASSWORD)) }]
        return { ...standard, name, credentials }
      }),
    ],
    Date.now(),
  )
  registry.close()
  const keeper = await RegistryKeeper.open(path, DEFAULT_CONFIG.access, {
    onFault: ({ message, isOver }) => assert(isOver, message),
    onRefusals: () => {},
  })
  const cost = async (gateway: Gateway, logins: readonly (Login | null)[]): Promise<number> =>
    (await costOf(() => connectAll(gateway, logins), logins.length)).cpuNs / 1000
  const [one, another] = [openGateway(keeper, true), openGateway(keeper, false)]
  const anonymous = withTokens.map(() => null)
  await connectAll(one.gateway, anonymous)
  const measures = [
    { name: 'anonymous', value: await cost(one.gateway, anonymous), unit: 'us CPU/connect' },
    { name: 'token, new to the gateway', value: await cost(one.gateway, withTokens), unit: 'us CPU/connect' },
    {
      name: 'token, that the gateway remembers',
      value: await cost(one.gateway, withTokens),
      unit: 'us CPU/connect',
    },
    { name: 'password, hashed', value: await cost(one.gateway, withPasswords), unit: 'us CPU/connect' },
    {
      name: 'password, that the engine remembers',
      value: await cost(another.gateway, withPasswords),
      unit: 'us CPU/connect',
    },
  ]
  for (const { close } of [one, another]) close()
  await keeper.close()
  rmSync(directory, { recursive: true, force: true })
  return measures
}

/** One topic, decided about again and again, as for a connection that never names the same twice in a row. */
async function decisions(size: BenchSize): Promise<Measure[]> {
  const { anonymous, device, gateway } = DEFAULT_CONFIG.access.roles
  const members = [new Set(Array.from({ length: 10_000 }, (_, i) => `device-${i}`))]
  const subject = { device: 'device-0042', client: 'c', groups: ['g'], members }
  const topic = Buffer.from('devices/device-0042/telemetry')
  const other = Buffer.from('devices/device-77/telemetry')
  const deciding = (access: Access, bytes: Uint8Array) => () => {
    for (let i = 0; i < DECISIONS; i++) assert(access.mayPublish(bytes, 0, bytes.length), 'it may')
  }
  const ns = await compare(
    {
      anonymous: deciding(new Access(new Role(anonymous), { ...subject, device: null }), topic),
      device: deciding(new Access(new Role(device), subject), topic),
      gateway: deciding(new Access(new Role(gateway), subject), other),
    },
    { operations: DECISIONS, size },
  )
  return [
    { name: 'a topic of an anonymous client', value: ns.anonymous, unit: 'ns/decision' },
    { name: 'a topic of a device', value: ns.device, unit: 'ns/decision' },
    { name: 'a topic of one of 10,000 members', value: ns.gateway, unit: 'ns/decision' },
  ]
}

export const bench: Bench = {
  name: 'identities',
  about: 'CONNECT to CONNACK with the registry in the same process, without sockets; a topic by its rule',
  async run(size: BenchSize): Promise<Measure[]> {
    return [...(await connects(size)), ...(await decisions(size))]
  },
}

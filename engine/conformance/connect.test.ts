/** CONNECT, CONNACK and the texts in them (chapters 1, 3.1 and 3.2). */
import { describe, expect } from 'vitest'
import {
  connectBytes,
  field,
  ILL_FORMED,
  NULL_CHARACTER,
  noProperties,
  packet,
  type RawConnect,
} from './bytes.ts'
import { freshName, type Version } from './peer.ts'
import { startServer } from './server.ts'
import { shows } from './shows.ts'

const server = startServer()
const Flag = { CLEAN: 0x02, WILL: 0x04, WILL_QOS: 0x08, WILL_RETAIN: 0x20, PASSWORD: 0x40, USERNAME: 0x80 }

/** The CONNECT ends the connection; CONNACK says so at most in MQTT 5. */
async function expectRefused(version: Version, raw: RawConnect): Promise<void> {
  const peer = await server.open(version)
  peer.write(connectBytes(version, peer.clientId, raw))
  const packets = await peer.ended()
  if (version === 4) expect(packets).toEqual([])
  else if (packets.length > 0) {
    expect(packets).toEqual([expect.objectContaining({ cmd: 'connack', sessionPresent: false })])
    expect(packets[0].reasonCode).toBeGreaterThanOrEqual(0x80)
  }
}

describe('the first packet', () => {
  shows('is CONNECT', { v4: '3.1.0-1', v5: '3.1.0-1' }, async (version) => {
    for (const bytes of [packet(0xc0), packet(0x30, field('a'), noProperties(version), Buffer.from('x'))]) {
      const peer = await server.open(version)
      peer.write(bytes)
      expect(await peer.ended()).toEqual([])
    }
  })

  shows(
    'a second CONNECT ends the connection',
    { v4: '3.1.0-2 4.8.0-1', v5: '3.1.0-2 3.2.0-2 4.13.1-1' },
    async (version) => {
      const peer = await server.connect(version)
      peer.sendConnect()
      const packets = await peer.ended()
      expect(packets).toEqual(
        version === 5 ? [expect.objectContaining({ cmd: 'disconnect', reasonCode: 0x82 })] : [],
      )
    },
  )

  shows(
    'the server answers CONNACK before anything else',
    { v4: '3.2.0-1 3.1.4-4', v5: '3.2.0-1 3.2.2-1 3.1.4-5' },
    async (version) => {
      const peer = await server.open(version)
      peer.sendConnect()
      peer.send({ cmd: 'pingreq' })
      expect(await peer.next('connack')).toMatchObject({ sessionPresent: false, cmd: 'connack' })
      await peer.next('pingresp')
    },
  )
})

describe('version and flags', () => {
  shows('another protocol name is not served', { v4: '3.1.2-1', v5: '3.1.2-1' }, async (version) => {
    const peer = await server.open(version)
    peer.write(connectBytes(version, peer.clientId, { name: 'MQTX' }))
    for (const { returnCode, reasonCode } of await peer.ended()) expect(returnCode ?? reasonCode).not.toBe(0)
  })

  shows(
    'another level is refused',
    { v4: '3.1.2-2 3.2.2-5', v5: '3.1.2-2 3.2.2-7 3.2.2-8 4.13.2-1' },
    async (version) => {
      const peer = await server.open(version)
      const level = version === 4 ? 3 : 6
      peer.write(connectBytes(version, peer.clientId, { level }))
      const [connack, ...rest] = await peer.ended()
      expect(connack).toMatchObject({ cmd: 'connack', sessionPresent: false })
      expect(version === 4 ? connack.returnCode : connack.reasonCode).toBe(version === 4 ? 1 : 0x84)
      expect(rest).toEqual([])
    },
  )

  shows('the reserved flag', { v4: '3.1.2-3 3.1.4-1 3.2.2-6', v5: '3.1.2-3 3.1.4-1' }, (version) =>
    expectRefused(version, { flags: Flag.CLEAN | 1 }),
  )

  shows('flags of the fixed header', { v4: '2.2.2-1 2.2.2-2', v5: '2.1.3-1' }, async (version) => {
    await expectRefused(version, { header: 0x11 })
    const peer = await server.connect(version)
    peer.write(packet(0xc1))
    expect((await peer.ended()).filter(({ cmd }) => cmd !== 'disconnect')).toEqual([])
  })
})

describe('the will', () => {
  const will = (version: Version) => [
    ...(version === 5 ? [Buffer.from([0])] : []),
    field('a/will'),
    field('gone'),
  ]

  shows('without its flag it has no QoS', { v4: '3.1.2-11 3.1.2-13', v5: '3.1.2-11' }, (version) =>
    expectRefused(version, { flags: Flag.CLEAN | Flag.WILL_QOS }),
  )
  shows('without its flag it is not retained', { v4: '3.1.2-15', v5: '3.1.2-13' }, (version) =>
    expectRefused(version, { flags: Flag.CLEAN | Flag.WILL_RETAIN }),
  )
  shows('without its flag it has no fields', { v4: '3.1.2-11' }, (version) =>
    expectRefused(version, { payload: [field(freshName()), ...will(version)] }),
  )
  shows('has no QoS 3', { v4: '3.1.2-14', v5: '3.1.2-12' }, (version) =>
    expectRefused(version, {
      flags: Flag.CLEAN | Flag.WILL | (3 * Flag.WILL_QOS),
      payload: [field(freshName()), ...will(version)],
    }),
  )
  shows('with its flag it has topic and payload', { v4: '3.1.2-9', v5: '3.1.2-9' }, async (version) => {
    await expectRefused(version, { flags: Flag.CLEAN | Flag.WILL })
    await expectRefused(version, {
      flags: Flag.CLEAN | Flag.WILL,
      payload: [field(freshName()), ...will(version).slice(0, -1)],
    })
  })
})

describe('user name and password', () => {
  shows('a flag without a user name', { v4: '3.1.2-19', v5: '3.1.2-17' }, (version) =>
    expectRefused(version, { flags: Flag.CLEAN | Flag.USERNAME }),
  )
  shows('a user name without its flag', { v4: '3.1.2-18', v5: '3.1.2-16' }, (version) =>
    expectRefused(version, { payload: [field(freshName()), field('me')] }),
  )
  shows('a flag without a password', { v4: '3.1.2-21', v5: '3.1.2-19' }, (version) =>
    expectRefused(version, {
      flags: Flag.CLEAN | Flag.USERNAME | Flag.PASSWORD,
      payload: [field(freshName()), field('me')],
    }),
  )
  shows('a password without its flag', { v4: '3.1.2-20', v5: '3.1.2-18' }, (version) =>
    expectRefused(version, {
      flags: Flag.CLEAN | Flag.USERNAME,
      payload: [field(freshName()), field('me'), field('secret')],
    }),
  )
  shows('a password alone', { v4: '3.1.2-22' }, (version) =>
    expectRefused(version, {
      flags: Flag.CLEAN | Flag.PASSWORD,
      payload: [field(freshName()), field('secret')],
    }),
  )
})

describe('texts', () => {
  const inEachField = (text: Uint8Array): RawConnect[] => [
    { payload: [field(text)] },
    { flags: Flag.CLEAN | Flag.USERNAME, payload: [field(freshName()), field(text)] },
  ]
  const asWillTopic = (version: Version, text: Uint8Array): RawConnect => ({
    flags: Flag.CLEAN | Flag.WILL,
    payload: [field(freshName()), ...(version === 5 ? [Buffer.from([0])] : []), field(text), field('gone')],
  })

  shows(
    'ill-formed UTF-8 is refused',
    { v4: '1.5.3-1 3.1.3-4 3.1.3-10 3.1.3-11', v5: '1.5.4-1 3.1.3-4 3.1.3-11 3.1.3-12' },
    async (version) => {
      for (const text of ILL_FORMED) {
        for (const raw of [...inEachField(text), asWillTopic(version, text)])
          await expectRefused(version, raw)
      }
    },
  )
  shows('U+0000 is refused', { v4: '1.5.3-2', v5: '1.5.4-2' }, async (version) => {
    for (const raw of [...inEachField(NULL_CHARACTER), asWillTopic(version, NULL_CHARACTER)]) {
      await expectRefused(version, raw)
    }
  })
  shows('both texts of a pair are checked', { v5: '1.5.7-1' }, async (version) => {
    const pair = (name: Uint8Array, value: Uint8Array) => [0x26, ...field(name), ...field(value)]
    const fine = Buffer.from('a')
    await expectRefused(version, { properties: pair(NULL_CHARACTER, fine) })
    await expectRefused(version, { properties: pair(fine, ILL_FORMED[0]) })
  })
  shows('a length is as short as can be', { v5: '1.5.5-1' }, async (version) => {
    const peer = await server.connect(version)
    peer.write([0xc0, 0x80, 0x00]) // PINGREQ with its length of 0 in two bytes
    const [answer] = await peer.ended()
    expect(answer).toMatchObject({ cmd: 'disconnect', reasonCode: 0x81 })
  })
})

describe('the client identifier', () => {
  shows('of 23 letters and digits', { v4: '3.1.3-5 3.1.3-3', v5: '3.1.3-5 3.1.3-3' }, async (version) => {
    await server.connect(version, { clientId: 'aZ09bY18cX27dW36eV45fU5' })
    await server.connect(version, { clientId: 'a' })
    await expectRefused(version, { payload: [] })
  })
  shows('when empty is replaced', { v4: '3.1.3-6', v5: '3.1.3-6 3.1.3-7 3.2.2-16' }, async (version) => {
    const peers = [
      await server.connect(version, { clientId: '' }),
      await server.connect(version, { clientId: '' }),
    ]
    for (const peer of peers) expect(await peer.untilPing()).toEqual([]) // neither took the other's place
    if (version === 4) return
    const ids = peers.map(({ connack }) => connack?.properties?.assignedClientIdentifier)
    expect(new Set(ids).size).toBe(2)
    const successor = await server.connect(version, { clientId: String(ids[0]) })
    expect(await peers[0].ended()).toEqual([expect.objectContaining({ cmd: 'disconnect', reasonCode: 0x8e })])
    await successor.untilPing()
  })
  shows('when empty has no session', { v4: '3.1.3-7 3.1.3-8 3.2.2-4' }, async (version) => {
    const peer = await server.open(version)
    peer.write(connectBytes(version, '', { flags: 0 }))
    expect(await peer.ended()).toEqual([
      expect.objectContaining({ cmd: 'connack', returnCode: 2, sessionPresent: false }),
    ])
  })
  shows('when it is refused', { v4: '3.1.3-9', v5: '3.1.3-8 3.2.2-6' }, async (version) => {
    const peer = await server.open(version)
    peer.sendConnect({ clientId: 'x'.repeat(5000) })
    const [connack, ...rest] = await peer.ended()
    expect(connack).toMatchObject({ cmd: 'connack', sessionPresent: false })
    expect(version === 4 ? connack.returnCode : connack.reasonCode).toBe(version === 4 ? 2 : 0x85)
    expect(rest).toEqual([])
  })
  shows('is one connection at a time', { v4: '3.1.4-2 3.1.3-2', v5: '3.1.4-3 3.1.3-2' }, async (version) => {
    const clientId = freshName()
    const older = await server.connect(version, { clientId })
    const newer = await server.connect(version, { clientId })
    expect(await older.ended()).toEqual(
      version === 5 ? [expect.objectContaining({ cmd: 'disconnect', reasonCode: 0x8e })] : [],
    )
    await newer.untilPing()
  })
})

shows('after a refusal nothing is processed', { v4: '3.1.4-5', v5: '3.1.4-6 3.14.0-1' }, async (version) => {
  const topic = freshName('refused')
  const subscriber = await server.connect(version)
  await subscriber.subscribe(topic, 0)
  const peer = await server.open(version)
  peer.write(
    Buffer.concat([
      connectBytes(version, 'x'.repeat(5000)),
      packet(0x30, field(topic), noProperties(version), Buffer.from('unheard')),
    ]),
  )
  expect((await peer.ended()).map(({ cmd }) => cmd)).toEqual(['connack'])
  await (await server.connect(version)).publish(topic, 'heard')
  expect(await subscriber.payload()).toBe('heard')
})

shows(
  'silence of one and a half keep-alives ends the connection',
  { v4: '3.1.2-24', v5: '3.1.2-22 3.2.2-22' },
  async (version) => {
    const peer = await server.connect(version, { keepalive: 1 })
    expect(peer.connack?.properties?.serverKeepAlive).toBeUndefined()
    const packets = await peer.ended()
    expect(packets).toEqual(
      version === 5 ? [expect.objectContaining({ cmd: 'disconnect', reasonCode: 0x8d })] : [],
    )
  },
)

describe('authentication methods', () => {
  shows(
    'one that the server does not know',
    { v5: '4.12.0-1 4.12.0-4 4.12.0-2 3.1.4-2' },
    async (version) => {
      const peer = await server.open(version)
      peer.sendConnect({
        properties: { authenticationMethod: 'NOBODY-KNOWS', authenticationData: Buffer.from('a') },
      })
      expect(await peer.ended()).toEqual([expect.objectContaining({ cmd: 'connack', reasonCode: 0x8c })])
    },
  )
  shows('without one there is no AUTH', { v5: '4.12.0-6 4.12.0-5 4.12.1-2' }, async (version) => {
    const peer = await server.connect(version)
    expect(peer.connack?.properties?.authenticationMethod).toBeUndefined()
    peer.write(packet(0xf0, [0x19, 0]))
    expect(await peer.ended()).toEqual([expect.objectContaining({ cmd: 'disconnect', reasonCode: 0x82 })])
  })
  shows('flags and codes of AUTH', { v5: '3.15.1-1 3.15.2-1 3.15.2-2 3.15.2-3' }, async (version) => {
    for (const bytes of [packet(0xf1, [0x18, 0]), packet(0xf0, [0x77, 0])]) {
      const peer = await server.connect(version)
      peer.write(bytes)
      const packets = await peer.ended() // none of ours is an AUTH, with or without a reason string
      expect(packets.map(({ cmd }) => cmd)).toEqual(['disconnect'])
      expect(packets[0].reasonCode).toBeGreaterThanOrEqual(0x81)
    }
  })
})

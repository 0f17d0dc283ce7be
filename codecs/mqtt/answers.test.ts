import { expect, test } from 'vitest'
import { Prng } from '../../base/prng.ts'
import {
  encodeAuth,
  encodeConnack,
  encodeDisconnect,
  encodeSuback,
  encodeUnsuback,
  PINGRESP,
} from './answers.ts'
import { ReasonCode } from './packet.ts'
import { comparable, parseTheirs, propertiesOfTheirs } from './packet-oracle.ts'
import type { Properties } from './property-objects.ts'
import { SamplePackets } from './sample-packets.ts'

/** What mqtt-packet reads, its properties in our names. */
function read(bytes: Uint8Array, version: 4 | 5): unknown {
  const packet = parseTheirs(bytes, version)
  if (packet === null || packet instanceof Error) throw packet ?? new Error('incomplete')
  return comparable({
    ...packet,
    properties: propertiesOfTheirs('properties' in packet ? packet.properties : {}),
  })
}

const reasonProperties = (samples: SamplePackets): Properties => ({
  reasonString: samples.text(30),
  userProperties: [
    ['a', `v${samples.text(5)}`],
    ['b', `v${samples.text(300)}`],
  ],
})

test('a CONNACK with every property, as mqtt-packet reads it', () => {
  for (let seed = 1; seed <= 50; seed++) {
    const prng = new Prng(seed)
    const samples = new SamplePackets(prng)
    const properties: Properties = {
      sessionExpiryIntervalS: prng.u32(),
      receiveMaximum: prng.between(1, 65_535),
      maximumQos: 1,
      retainAvailable: 0,
      maximumPacketSizeBytes: prng.between(1, 0xffff_ffff),
      assignedClientIdentifier: `c${samples.text(20)}`,
      topicAliasMaximum: prng.between(1, 65_535),
      wildcardSubscriptionAvailable: 1,
      subscriptionIdentifiersAvailable: 0,
      sharedSubscriptionAvailable: 0,
      serverKeepAliveS: prng.between(1, 65_535),
      responseInformation: samples.text(10),
      serverReference: samples.text(10),
      authenticationMethod: samples.text(10),
      authenticationData: Buffer.from(samples.text(10)),
      ...reasonProperties(samples),
    }
    const bytes = encodeConnack(5, { sessionPresent: true, reasonCode: 0, properties })
    expect(read(bytes, 5), `seed ${seed}`).toMatchObject(
      comparable({ cmd: 'connack', sessionPresent: true, reasonCode: 0, properties }) as object,
    )
  }
})

test('a CONNACK without properties, both versions (figure 3-8 of 3.1.1)', () => {
  expect(encodeConnack(4, { sessionPresent: true, reasonCode: 0 })).toEqual(Uint8Array.of(0x20, 2, 1, 0))
  expect(encodeConnack(5, { sessionPresent: false, reasonCode: 0x89 })).toEqual(
    Uint8Array.of(0x20, 3, 0, 0x89, 0),
  )
  expect(() => encodeConnack(5, { sessionPresent: true, reasonCode: 0x89 })).toThrow('no session')
})

test('the return codes of 3.1.1 (table 3.1)', () => {
  const codeOf = (reasonCode: number) => encodeConnack(4, { sessionPresent: false, reasonCode })[3]
  expect(codeOf(ReasonCode.UNSUPPORTED_PROTOCOL_VERSION)).toBe(1)
  expect(codeOf(ReasonCode.CLIENT_IDENTIFIER_NOT_VALID)).toBe(2)
  expect(codeOf(ReasonCode.SERVER_BUSY)).toBe(3)
  expect(codeOf(ReasonCode.SERVER_UNAVAILABLE)).toBe(3)
  expect(codeOf(ReasonCode.BAD_USER_NAME_OR_PASSWORD)).toBe(4)
  expect(codeOf(ReasonCode.NOT_AUTHORIZED)).toBe(5)
  // No return code says this: the connection is closed without a CONNACK.
  expect(encodeConnack(4, { sessionPresent: false, reasonCode: ReasonCode.MALFORMED_PACKET })).toHaveLength(0)
})

test('SUBACK and UNSUBACK', () => {
  const samples = new SamplePackets(new Prng(3))
  const properties = reasonProperties(samples)
  const codes = [0, 1, 2, 0x80, 0x87, 0x8f, 0x9e, 0xa2]
  const expected = (cmd: string, granted: number[]) =>
    comparable({ cmd, messageId: 0xfedc, granted, properties }) as object
  expect(read(encodeSuback(5, 0xfedc, codes, properties), 5)).toMatchObject(expected('suback', codes))
  expect(read(encodeUnsuback(5, 0xfedc, [0, 0x11, 0x8f], properties), 5)).toMatchObject(
    expected('unsuback', [0, 0x11, 0x8f]),
  )
  // Figures 3-26 and 3-31 of 3.1.1
  expect(encodeSuback(4, 10, [0, 2, 0x8f])).toEqual(Uint8Array.of(0x90, 5, 0, 10, 0, 2, 0x80))
  expect(encodeUnsuback(4, 10, [0, 0x11])).toEqual(Uint8Array.of(0xb0, 2, 0, 10))
})

test('DISCONNECT, AUTH and PINGRESP', () => {
  const properties = { serverReference: 'other', reasonString: 'full' }
  expect(read(encodeDisconnect(ReasonCode.USE_ANOTHER_SERVER, properties), 5)).toMatchObject({
    cmd: 'disconnect',
    reasonCode: 0x9c,
    properties,
  })
  expect(read(encodeDisconnect(ReasonCode.KEEP_ALIVE_TIMEOUT), 5)).toMatchObject({ reasonCode: 0x8d })
  const method = { authenticationMethod: 'm', authenticationData: Buffer.from('d') }
  expect(read(encodeAuth(0x18, method), 5)).toMatchObject({ cmd: 'auth', reasonCode: 0x18 })
  expect(read(PINGRESP, 4)).toMatchObject({ cmd: 'pingresp' })
})

test('a property that may not stand there, or does not fit, is our fault', () => {
  const encode = (properties: Properties) =>
    encodeConnack(5, { sessionPresent: false, reasonCode: 0, properties })
  expect(() => encode({ topicAlias: 1 })).toThrow('topicAlias')
  expect(() => encode({ receiveMaximum: 65_536 })).toThrow('fit')
  expect(() => encode({ reasonString: 'x'.repeat(65_536) })).toThrow('65,535')
  expect(() => encodeDisconnect(0, { sessionExpiryIntervalS: 1 })).toThrow('session expiry')
})

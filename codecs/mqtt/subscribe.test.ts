import { expect, test } from 'vitest'
import { readAuth, readDisconnect } from './disconnect.ts'
import { MqttError, type ProtocolVersion, ReasonCode } from './packet.ts'
import { readSubscribe, readUnsubscribe } from './subscribe.ts'
import { field, properties } from './test-bytes.ts'

const { MALFORMED_PACKET, PROTOCOL_ERROR } = ReasonCode

type Reader = (bytes: Uint8Array, start: number, end: number, version: ProtocolVersion) => unknown

/** The reason code with which the body is refused; 0 when it is not. */
function refusal(read: Reader, version: ProtocolVersion, body: number[]): number {
  try {
    read(Uint8Array.from(body), 0, body.length, version)
    return 0
  } catch (error) {
    if (!(error instanceof MqttError)) throw error
    return error.reasonCode
  }
}

test('the SUBSCRIBE of figure 3-23 (3.1.1): a/b at QoS 1, c/d at QoS 2', () => {
  const body = Uint8Array.from([0, 10, ...field('a/b'), 1, ...field('c/d'), 2])
  expect(readSubscribe(body, 0, body.length, 4)).toMatchObject({
    packetId: 10,
    subscriptionIdentifier: 0,
    filters: [
      { filter: 'a/b', qos: 1, noLocal: false },
      { filter: 'c/d', qos: 2, noLocal: false },
    ],
  })
})

test.each<[string, ProtocolVersion, number, number[]]>([
  ['no filter', 4, PROTOCOL_ERROR, [0, 1]],
  ['no filter', 5, PROTOCOL_ERROR, [0, 1, 0]],
  ['packet identifier 0', 4, PROTOCOL_ERROR, [0, 0, ...field('a'), 0]],
  ['no options', 4, MALFORMED_PACKET, [0, 1, ...field('a')]],
  ['QoS 3', 4, MALFORMED_PACKET, [0, 1, ...field('a'), 3]],
  ['reserved option bits', 4, MALFORMED_PACKET, [0, 1, ...field('a'), 4]],
  ['reserved option bits', 5, MALFORMED_PACKET, [0, 1, 0, ...field('a'), 0x40]],
  ['retain handling 3', 5, PROTOCOL_ERROR, [0, 1, 0, ...field('a'), 0x30]],
  ['no local on a shared filter', 5, PROTOCOL_ERROR, [0, 1, 0, ...field('$share/g/a'), 4]],
  ['a filter that is not UTF-8', 4, MALFORMED_PACKET, [0, 1, ...field([0xc0]), 0]],
  ['subscription identifier 0', 5, PROTOCOL_ERROR, [0, 1, ...properties(0x0b, 0), ...field('a'), 0]],
  [
    'an overlong subscription identifier',
    5,
    MALFORMED_PACKET,
    [0, 1, ...properties(0x0b, 0x81, 0), ...field('a'), 0],
  ],
  [
    'two subscription identifiers',
    5,
    PROTOCOL_ERROR,
    [0, 1, ...properties(0x0b, 1, 0x0b, 2), ...field('a'), 0],
  ],
  ['a reason string', 5, MALFORMED_PACKET, [0, 1, ...properties(0x1f, 0, 0), ...field('a'), 0]],
])('SUBSCRIBE with %s, version %i', (_, version, reasonCode, body) => {
  expect(refusal(readSubscribe, version, body)).toBe(reasonCode)
})

test.each<[string, ProtocolVersion, number, number[]]>([
  ['no filter', 4, PROTOCOL_ERROR, [0, 1]],
  ['packet identifier 0', 5, PROTOCOL_ERROR, [0, 0, 0, ...field('a')]],
  ['a filter cut off', 4, MALFORMED_PACKET, [0, 1, 0, 5, 0x61]],
  ['one byte left over', 4, MALFORMED_PACKET, [0, 1, ...field('a'), 0]],
  ['a subscription identifier', 5, MALFORMED_PACKET, [0, 1, ...properties(0x0b, 1), ...field('a')]],
])('UNSUBSCRIBE with %s, version %i', (_, version, reasonCode, body) => {
  expect(refusal(readUnsubscribe, version, body)).toBe(reasonCode)
})

test('filters that break the rules are given, as each has an answer of its own', () => {
  const body = Uint8Array.from([0, 1, ...field('a#'), 0, ...field(''), 1])
  expect(readSubscribe(body, 0, body.length, 4).filters.map(({ filter }) => filter)).toEqual(['a#', ''])
})

test('DISCONNECT may leave out its properties, or all', () => {
  expect(readDisconnect(new Uint8Array(0), 0, 0, 4)).toMatchObject({ reasonCode: 0 })
  expect(readDisconnect(new Uint8Array(0), 0, 0, 5)).toMatchObject({ reasonCode: 0 })
  expect(readDisconnect(Uint8Array.of(4), 0, 1, 5)).toMatchObject({ reasonCode: 4 })
  const body = Uint8Array.of(0, 5, 0x11, 0, 0, 0, 9)
  expect(readDisconnect(body, 0, 7, 5)).toMatchObject({ sessionExpiryIntervalS: 9 })
})

test.each<[string, ProtocolVersion, number, number[]]>([
  ['a body under 3.1.1', 4, MALFORMED_PACKET, [0]],
  ['a reason only servers give', 5, PROTOCOL_ERROR, [0x8b]],
  ['an unknown reason', 5, PROTOCOL_ERROR, [0x05]],
  ['properties cut off', 5, MALFORMED_PACKET, [0, 5, 0x11]],
  ['bytes left over', 5, MALFORMED_PACKET, [0, 0, 0]],
  ['session expiry twice', 5, PROTOCOL_ERROR, [0, 10, 0x11, 0, 0, 0, 9, 0x11, 0, 0, 0, 9]],
])('DISCONNECT with %s, version %i', (_, version, reasonCode, body) => {
  expect(refusal(readDisconnect, version, body)).toBe(reasonCode)
})

test.each<[string, number, number[]]>([
  ['success, which only servers say', PROTOCOL_ERROR, []],
  ['success, which only servers say', PROTOCOL_ERROR, [0, ...properties(0x15, 0, 1, 0x6d)]],
  ['no properties', MALFORMED_PACKET, [0x18]],
  ['no method', PROTOCOL_ERROR, [0x18, 0]],
  ['two methods', PROTOCOL_ERROR, [0x18, ...properties(0x15, 0, 1, 0x6d, 0x15, 0, 1, 0x6d)]],
  ['bytes left over', MALFORMED_PACKET, [0x19, ...properties(0x15, 0, 1, 0x6d), 0]],
])('AUTH with %s', (_, reasonCode, body) => {
  expect(refusal(readAuth, 5, body)).toBe(reasonCode)
})

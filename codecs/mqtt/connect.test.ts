import { expect, test } from 'vitest'
import { connectVersion, readConnect } from './connect.ts'
import { MqttError, ReasonCode } from './packet.ts'
import { field, properties } from './test-bytes.ts'

const { MALFORMED_PACKET, PROTOCOL_ERROR, UNSUPPORTED_PROTOCOL_VERSION, CLIENT_IDENTIFIER_NOT_VALID } =
  ReasonCode
const KEEP_ALIVE = [0, 60]
const ID = field('id')

function read(...body: number[]) {
  return readConnect(Uint8Array.from(body), 0, body.length)
}

function v4(flags: number, ...rest: number[]): number[] {
  return [...field('MQTT'), 4, flags, ...KEEP_ALIVE, ...rest]
}

function v5(flags: number, ...rest: number[]): number[] {
  return [...field('MQTT'), 5, flags, ...KEEP_ALIVE, ...rest]
}

/** CONNECT of version 5 with just these properties. */
function with5(...bytes: number[]): number[] {
  return v5(2, ...properties(...bytes), ...ID)
}

/** CONNECT of version 5 with a will of just these properties. */
function will5(...bytes: number[]): number[] {
  return v5(6, 0, ...ID, ...properties(...bytes), ...field('t'), ...field('p'))
}

test('the variable header of figure 3-6 (5.0) and a client identifier', () => {
  // User name, password, clean start; keep alive 10; session expiry interval 10.
  const body = [
    ...field('MQTT'),
    5,
    0xc2,
    0,
    10,
    5,
    0x11,
    0,
    0,
    0,
    10,
    ...ID,
    ...field('u'),
    ...field([0, 255]),
  ]
  expect(read(...body)).toMatchObject({
    protocolVersion: 5,
    clientId: 'id',
    cleanStart: true,
    keepAliveS: 10,
    username: 'u',
    password: Uint8Array.of(0, 255),
    will: null,
    properties: { sessionExpiryIntervalS: 10, receiveMaximum: 65_535, requestProblemInformation: true },
  })
})

test('a password without a user name is for MQTT 5 only', () => {
  expect(read(...v5(0x42, 0, ...ID, ...field('p')))).toMatchObject({
    username: null,
    password: Uint8Array.of(0x70),
  })
})

test('what is read shares no memory with the bytes', () => {
  const bytes = Buffer.from(
    v5(0x46, 4, 0x15, 0, 1, 0x6d, ...ID, 0, ...field('t'), ...field('will'), ...field('pass')),
  )
  const packet = readConnect(bytes, 0, bytes.length)
  bytes.fill(0)
  expect(Buffer.from(packet.password!).toString()).toBe('pass')
  expect(Buffer.from(packet.will!.payload).toString()).toBe('will')
})

const refused: [string, number, number[]][] = [
  ['protocol MQIsdp', UNSUPPORTED_PROTOCOL_VERSION, [...field('MQIsdp'), 3, 2, ...KEEP_ALIVE, ...ID]],
  ['protocol mqtt', UNSUPPORTED_PROTOCOL_VERSION, [...field('mqtt'), 4, 2, ...KEEP_ALIVE, ...ID]],
  ['level 3', UNSUPPORTED_PROTOCOL_VERSION, [...field('MQTT'), 3, 2, ...KEEP_ALIVE, ...ID]],
  ['level 6', UNSUPPORTED_PROTOCOL_VERSION, [...field('MQTT'), 6, 2, ...KEEP_ALIVE, ...ID]],
  ['a bridge, level 0x84', UNSUPPORTED_PROTOCOL_VERSION, [...field('MQTT'), 0x84, 2, ...KEEP_ALIVE, ...ID]],
  ['no body', MALFORMED_PACKET, []],
  ['the reserved flag', MALFORMED_PACKET, v4(3, ...ID)],
  ['will QoS 3', MALFORMED_PACKET, v4(0x1e, ...ID, ...field('t'), ...field('p'))],
  ['will QoS without a will', MALFORMED_PACKET, v4(0x0a, ...ID)],
  ['will retain without a will', MALFORMED_PACKET, v4(0x22, ...ID)],
  ['password without user name', MALFORMED_PACKET, v4(0x42, ...ID, ...field('p'))],
  ['an empty identifier for a kept session', CLIENT_IDENTIFIER_NOT_VALID, v4(0, ...field(''))],
  ['an identifier with U+0000', MALFORMED_PACKET, v4(2, ...field('a\0'))],
  ['an identifier with a surrogate', MALFORMED_PACKET, v4(2, ...field([0xed, 0xa0, 0x80]))],
  ['a user name that is not UTF-8', MALFORMED_PACKET, v4(0x82, ...ID, ...field([0xff]))],
  ['no user name though flagged', MALFORMED_PACKET, v4(0x82, ...ID)],
  ['a field cut off', MALFORMED_PACKET, v4(2, 0, 9, 0x61)],
  ['bytes left over', MALFORMED_PACKET, v4(2, ...ID, 0)],
  ['an empty will topic', ReasonCode.TOPIC_NAME_INVALID, v4(6, ...ID, ...field(''), ...field('p'))],
  [
    'a will topic with a wildcard',
    ReasonCode.TOPIC_NAME_INVALID,
    v4(6, ...ID, ...field('a/#'), ...field('p')),
  ],
  ['no property length', MALFORMED_PACKET, v5(2)],
  ['a property length beyond the end', MALFORMED_PACKET, v5(2, 50, ...ID)],
  ['an overlong property length', MALFORMED_PACKET, v5(2, 0x80, 0, ...ID)],
  ['an unknown property', MALFORMED_PACKET, with5(0x7f, 0)],
  ['property 0', MALFORMED_PACKET, with5(0, 0)],
  ['a property of PUBLISH', MALFORMED_PACKET, with5(0x01, 0)],
  ['a property of CONNACK', MALFORMED_PACKET, with5(0x24, 1)],
  ['a will delay outside the will', MALFORMED_PACKET, with5(0x18, 0, 0, 0, 1)],
  ['session expiry twice', PROTOCOL_ERROR, with5(0x11, 0, 0, 0, 1, 0x11, 0, 0, 0, 1)],
  ['session expiry cut off', MALFORMED_PACKET, with5(0x11, 0, 0, 0)],
  ['receive maximum 0', PROTOCOL_ERROR, with5(0x21, 0, 0)],
  ['receive maximum twice', PROTOCOL_ERROR, with5(0x21, 0, 1, 0x21, 0, 1)],
  ['maximum packet size 0', PROTOCOL_ERROR, with5(0x27, 0, 0, 0, 0)],
  ['request problem information 2', PROTOCOL_ERROR, with5(0x17, 2)],
  ['request response information 2', PROTOCOL_ERROR, with5(0x19, 2)],
  ['authentication data without a method', PROTOCOL_ERROR, with5(0x16, 0, 1, 0)],
  ['a user property that is not UTF-8', MALFORMED_PACKET, with5(0x26, 0, 1, 0x61, 0, 1, 0xff)],
  ['a user property without a value', MALFORMED_PACKET, with5(0x26, 0, 1, 0x61)],
  ['session expiry in a will', MALFORMED_PACKET, will5(0x11, 0, 0, 0, 1)],
  ['a topic alias in a will', MALFORMED_PACKET, will5(0x23, 0, 1)],
  ['payload format 2 in a will', PROTOCOL_ERROR, will5(0x01, 2)],
  ['a response topic with a wildcard', PROTOCOL_ERROR, will5(0x08, 0, 1, 0x2b)],
]

test.each(refused)('%s is refused', (_, reasonCode, body) => {
  try {
    read(...body)
  } catch (error) {
    expect(error).toBeInstanceOf(MqttError)
    expect((error as MqttError).reasonCode).toBe(reasonCode)
    return
  }
  expect.fail('was accepted')
})

test('which version a CONNECT asks for, for the answer to one that is refused', () => {
  const version = (...body: number[]) => connectVersion(Uint8Array.from(body), 0, body.length)
  expect(version(...v4(3))).toBe(4)
  expect(version(...v5(3))).toBe(5)
  expect(version(...field('MQTT'), 6)).toBe(5)
  expect(version(...field('MQIsdp'), 3)).toBe(4)
  expect(version(...field('HTTP'), 5)).toBe(0)
  expect(version(...field('MQTT'))).toBe(0)
  expect(version()).toBe(0)
})

import { expect, test } from 'vitest'
import { ACK_SIZE_BYTES_MAX, AckFields, type AckType, readAck, writeAck, writePuback } from './ack.ts'
import { PacketType, type ProtocolVersion, ReasonCode } from './packet.ts'
import { parseTheirs } from './packet-oracle.ts'

const { PUBACK, PUBREC, PUBREL, PUBCOMP } = PacketType
const { MALFORMED_PACKET, PROTOCOL_ERROR } = ReasonCode
const ALL = [PUBACK, PUBREC, PUBREL, PUBCOMP] as const

function faultOf(version: ProtocolVersion, type: AckType, ...body: number[]): number {
  return readAck(Uint8Array.from(body), 0, body.length, version, new AckFields(), type)
}

test('a PUBACK is four bytes', () => {
  const out = new Uint8Array(6)
  expect(writePuback(out, 1, 0xabcd)).toBe(5)
  expect(out).toEqual(Uint8Array.of(0, 0x40, 2, 0xab, 0xcd, 0))
})

test('what is written is what mqtt-packet reads, every type, both versions', () => {
  const reasons = { [PUBACK]: 0x87, [PUBREC]: 0x97, [PUBREL]: 0x92, [PUBCOMP]: 0x92 }
  const cmds = { [PUBACK]: 'puback', [PUBREC]: 'pubrec', [PUBREL]: 'pubrel', [PUBCOMP]: 'pubcomp' }
  for (const type of ALL) {
    for (const version of [4, 5] as const) {
      for (const reasonCode of [0, reasons[type]]) {
        const out = new Uint8Array(ACK_SIZE_BYTES_MAX)
        const end = writeAck(out, 0, type, 500, reasonCode, version)
        const expected = { cmd: cmds[type], messageId: 500, ...(version === 5 ? { reasonCode } : {}) }
        expect(parseTheirs(out.subarray(0, end), version)).toMatchObject(expected)
      }
    }
  }
})

test('a reason may be left out, so may properties', () => {
  const ack = new AckFields()
  expect(readAck(Uint8Array.of(1, 2), 0, 2, 5, ack)).toBe(0)
  expect(ack).toEqual({ packetId: 258, reasonCode: 0 })
  expect(readAck(Uint8Array.of(1, 2, 0x10), 0, 3, 5, ack)).toBe(0)
  expect(ack).toEqual({ packetId: 258, reasonCode: 0x10 })
  expect(readAck(Uint8Array.of(1, 2, 0x80, 4, 0x1f, 0, 1, 0x61), 0, 8, 5, ack)).toBe(0)
  expect(ack).toEqual({ packetId: 258, reasonCode: 0x80 })
})

test('what is refused', () => {
  for (const type of ALL) {
    expect(faultOf(4, type, 0)).toBe(MALFORMED_PACKET)
    expect(faultOf(4, type, 0, 0)).toBe(PROTOCOL_ERROR)
    expect(faultOf(4, type, 0, 1, 0)).toBe(MALFORMED_PACKET)
    expect(faultOf(5, type, 0, 1, 0x42)).toBe(MALFORMED_PACKET)
    expect(faultOf(5, type, 0, 1, 0, 1)).toBe(MALFORMED_PACKET)
    expect(faultOf(5, type, 0, 1, 0, 0, 0)).toBe(MALFORMED_PACKET)
    expect(faultOf(5, type, 0, 1, 0, 2, 0x21, 1)).toBe(MALFORMED_PACKET)
    expect(faultOf(5, type, 0, 1, 0, 6, 0x1f, 0, 0, 0x1f, 0, 0)).toBe(PROTOCOL_ERROR)
  }
  expect(faultOf(5, PUBACK, 0, 1, 0x92)).toBe(MALFORMED_PACKET)
  expect(faultOf(5, PUBREL, 0, 1, 0x92)).toBe(0)
  expect(faultOf(5, PUBREL, 0, 1, 0x10)).toBe(MALFORMED_PACKET)
})

import { generate, type Packet } from 'mqtt-packet'
import { describe, expect, test } from 'vitest'
import { Prng } from '../base/prng.ts'
import { AckReader } from './ack-reader.ts'

/** What a reader says of bytes that arrive in pieces of the given sizes. */
function readPieces(bytes: Uint8Array, protocol: 4 | 5, nextSize: () => number) {
  const events: unknown[] = []
  const reader = new AckReader(
    {
      onConnack: (connack) => events.push(['connack', connack]),
      onPuback: (packetId, reason) => events.push(['puback', packetId, reason]),
      onPingresp: () => events.push(['pingresp']),
      onDisconnect: (reason) => events.push(['disconnect', reason]),
    },
    protocol,
  )
  // All reads share one buffer, as on the sockets: what a reader keeps must be its own copy.
  const shared = new Uint8Array(bytes.length + 8)
  let isOk = true
  for (let offset = 0; offset < bytes.length && isOk; ) {
    const size = Math.min(nextSize(), bytes.length - offset)
    shared.fill(0xff)
    shared.set(bytes.subarray(offset, offset + size), 5)
    isOk = reader.read(shared, 5, 5 + size)
    offset += size
  }
  return { events, isOk }
}

const packets: Packet[] = [
  {
    cmd: 'connack',
    reasonCode: 0,
    sessionPresent: true,
    properties: { receiveMaximum: 20, reasonString: 'x'.repeat(200), userProperties: { a: 'b' } },
  },
  { cmd: 'puback', messageId: 1, reasonCode: 0 },
  { cmd: 'puback', messageId: 258, reasonCode: 0x10 },
  { cmd: 'puback', messageId: 65_535, reasonCode: 0x97, properties: { reasonString: 'quota exceeded' } },
  { cmd: 'pingresp' },
  { cmd: 'publish', topic: 'some/command', payload: 'p'.repeat(500), qos: 0, dup: false, retain: false },
  { cmd: 'puback', messageId: 2, reasonCode: 0 },
  { cmd: 'disconnect', reasonCode: 0x8b },
]
const events = [
  ['connack', { reason: 0, isSessionPresent: true, receiveMaximum: 20 }],
  ['puback', 1, 0],
  ['puback', 258, 0x10],
  ['puback', 65_535, 0x97],
  ['pingresp'],
  ['puback', 2, 0],
  ['disconnect', 0x8b],
]

describe('ack reader', () => {
  const bytes = Buffer.concat(packets.map((packet) => generate(packet, { protocolVersion: 5 })))

  test('one byte at a time, all at once, and in pieces of any size', () => {
    expect(readPieces(bytes, 5, () => 1)).toEqual({ events, isOk: true })
    expect(readPieces(bytes, 5, () => bytes.length)).toEqual({ events, isOk: true })
    const seed = Date.now() % 1_000_000
    const prng = new Prng(seed)
    for (let round = 0; round < 200; round++) {
      const most = prng.between(1, 300)
      expect(
        readPieces(bytes, 5, () => prng.between(1, most)),
        `seed ${seed}`,
      ).toEqual({ events, isOk: true })
    }
  })

  test('MQTT 3.1.1', () => {
    const connack = generate({ cmd: 'connack', returnCode: 5, sessionPresent: false })
    const reply = { reason: 5, isSessionPresent: false, receiveMaximum: 65_535 }
    expect(readPieces(connack, 4, () => 1)).toEqual({ events: [['connack', reply]], isOk: true })
  })

  test('malformed or endless packets are refused, and nothing crashes', () => {
    const malformed = [
      [0x40, 0xff, 0xff, 0xff, 0xff, 0x01],
      [0x30, 0xff, 0xff, 0xff, 0x7f],
      [0x40, 0x01, 0x05],
      [0x20, 0x00],
    ]
    for (const packet of malformed) {
      for (const size of [1, 100]) expect(readPieces(Uint8Array.from(packet), 5, () => size).isOk).toBe(false)
    }
    const seed = Date.now() % 1_000_000
    const prng = new Prng(seed)
    for (let round = 0; round < 2000; round++) {
      const noise = Uint8Array.from({ length: prng.between(1, 40) }, () => prng.between(0, 255))
      expect(
        () => readPieces(noise, prng.between(4, 5) as 4 | 5, () => prng.between(1, 9)),
        `seed ${seed}`,
      ).not.toThrow()
    }
  })
})

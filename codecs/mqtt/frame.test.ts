import mqtt from 'mqtt-packet'
import { describe, expect, test } from 'vitest'
import { Prng } from '../../base/prng.ts'
import { cutFrames, Frames } from './frame.ts'
import { type ProtocolVersion, ReasonCode } from './packet.ts'
import { comparable, plainOfTheirs, readOurs } from './packet-oracle.ts'
import { SamplePackets } from './sample-packets.ts'

const SIZE_MAX = 1 << 20

/** Feeds the stream in pieces, as a socket would, and gives each packet as it is cut. */
function feed(
  stream: Uint8Array,
  pieceSize: () => number,
  capacity: number,
  version: ProtocolVersion,
): unknown[] {
  const frames = new Frames(capacity)
  const packets: unknown[] = []
  let start = 0
  let end = 0
  while (end < stream.length) {
    end = Math.min(stream.length, end + pieceSize())
    // A buffer that ends where the bytes do, so that a read past the end finds nothing.
    const bytes = stream.slice(0, end)
    do {
      const next = cutFrames(bytes, start, end, SIZE_MAX, frames)
      expect(frames.fault).toBe(0)
      for (let i = 0; i < frames.count; i++) {
        const { header, bodyStart, bodyEnd } = frames
        packets.push(comparable(readOurs(bytes, header[i], bodyStart[i], bodyEnd[i], version)))
      }
      if (frames.needed > 0) expect(frames.needed).toBeGreaterThan(end - next)
      start = next
    } while (frames.count === frames.capacity)
  }
  expect(start).toBe(stream.length)
  return packets
}

describe('cutFrames', () => {
  test.each([4, 5] as const)(
    'random packets of version %i, in pieces of any size, are what mqtt-packet encoded',
    (version) => {
      for (let seed = 1; seed <= 60; seed++) {
        const prng = new Prng(seed * 100 + version)
        const samples = new SamplePackets(prng)
        const sent = Array.from({ length: 12 }, () => samples.fromClient(version))
        const encoded = sent.map((packet) => mqtt.generate(packet, { protocolVersion: version }))
        const stream = new Uint8Array(Buffer.concat(encoded))
        const expected = sent.map((packet) => comparable(plainOfTheirs(packet, version)))
        const about = `seed ${seed}`
        expect(
          feed(stream, () => stream.length, 100, version),
          about,
        ).toEqual(expected)
        expect(
          feed(stream, () => stream.length, 5, version),
          about,
        ).toEqual(expected)
        expect(
          feed(stream, () => 1, 3, version),
          about,
        ).toEqual(expected)
        expect(
          feed(stream, () => prng.between(1, 200), 2, version),
          about,
        ).toEqual(expected)
      }
    },
  )

  test('needed is the size of the incomplete packet as soon as its fixed header is there', () => {
    const frames = new Frames(4)
    const bytes = Uint8Array.of(0x30, 0x80, 0x01, 1, 2, 3)
    for (const [end, needed] of [
      [0, 0],
      [1, 0],
      [2, 0],
      [3, 131],
      [6, 131],
    ]) {
      expect(cutFrames(bytes, 0, end, SIZE_MAX, frames)).toBe(0)
      expect([frames.count, frames.fault, frames.needed]).toEqual([0, 0, needed])
    }
  })

  test('a packet one byte too large is refused by its fixed header alone, after those before it', () => {
    const frames = new Frames(4)
    const bytes = Uint8Array.of(0xc0, 0, 0x30, 0x80, 0x01)
    expect(cutFrames(bytes, 0, bytes.length, 130, frames)).toBe(2)
    expect([frames.count, frames.fault, frames.needed]).toEqual([1, ReasonCode.PACKET_TOO_LARGE, 0])
    expect(cutFrames(bytes, 0, bytes.length, 131, frames)).toBe(2)
    expect([frames.count, frames.fault, frames.needed]).toEqual([1, 0, 131])
  })

  test.each([
    [[0x30, 0x80, 0x80, 0x80, 0x80], 'a length that goes on after its fourth byte'],
    [[0x30, 0xff, 0xff, 0xff, 0xff, 0x7f], 'a length of five bytes'],
    [[0x30, 0x80, 0x00], 'a length longer than it need be'],
    [[0x30, 0xff, 0x80, 0x00], 'a length of three bytes for 127'],
  ])('%j is malformed: %s', (bytes) => {
    const frames = new Frames(4)
    expect(cutFrames(Uint8Array.from([0xc0, 0, ...bytes]), 0, bytes.length + 2, 0xffff_ffff, frames)).toBe(2)
    expect([frames.count, frames.fault]).toEqual([1, ReasonCode.MALFORMED_PACKET])
  })

  test('stops at the capacity and goes on from there', () => {
    const frames = new Frames(3)
    const bytes = new Uint8Array(20).map((_, i) => (i % 2 === 0 ? 0xc0 : 0))
    expect(cutFrames(bytes, 0, 20, SIZE_MAX, frames)).toBe(6)
    expect(cutFrames(bytes, 6, 20, SIZE_MAX, frames)).toBe(12)
    expect(cutFrames(bytes, 12, 20, SIZE_MAX, frames)).toBe(18)
    expect(cutFrames(bytes, 18, 20, SIZE_MAX, frames)).toBe(20)
    expect(frames.count).toBe(1)
  })
})

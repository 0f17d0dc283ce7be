import mqtt from 'mqtt-packet'
import { expect, test } from 'vitest'
import { Prng } from '../../base/prng.ts'
import { cutFrames, Frames } from './frame.ts'
import { MqttError, type ProtocolVersion } from './packet.ts'
import { mutatePacket } from './packet-mutation.ts'
import { comparable, parseTheirs, plainOfTheirs, readOurs } from './packet-oracle.ts'
import { SamplePackets } from './sample-packets.ts'

/** What comes of all packets in the bytes, with `poison` around them: the packets, then how it ended. */
function outcome(bytes: Uint8Array, poison: number, version: ProtocolVersion): unknown[] {
  const surrounded = new Uint8Array(bytes.length + 32).fill(poison)
  surrounded.set(bytes, 16)
  const end = 16 + bytes.length
  const frames = new Frames(4)
  const results: unknown[] = []
  let offset = 16
  do {
    const next = cutFrames(surrounded, offset, end, 1 << 20, frames)
    expect(next).toBeGreaterThanOrEqual(offset)
    expect(next).toBeLessThanOrEqual(end)
    for (let i = 0; i < frames.count; i++) {
      const { header, bodyStart, bodyEnd } = frames
      try {
        results.push(comparable(readOurs(surrounded, header[i], bodyStart[i], bodyEnd[i], version)))
      } catch (error) {
        if (!(error instanceof MqttError)) throw error
        results.push(error.reasonCode)
      }
    }
    offset = next
  } while (frames.count === frames.capacity)
  results.push({ consumed: offset - 16, fault: frames.fault, needed: frames.needed })
  return results
}

/** What follows a packet is not its affair, but mqtt-packet would read on. */
function firstPacketSize(bytes: Uint8Array): number {
  const frames = new Frames(1)
  return cutFrames(bytes, 0, bytes.length, 1 << 20, frames)
}

test.each([4, 5] as const)(
  'changed packets of version %i: only MqttErrors, nothing read beyond the end, no laxer than mqtt-packet',
  (version) => {
    const tally = { accepted: 0, refused: 0 }
    for (let seed = 1; seed <= 12_000; seed++) {
      const prng = new Prng(seed * 10 + version)
      const samples = new SamplePackets(prng)
      const bytes = mutatePacket(
        mqtt.generate(samples.fromClient(version), { protocolVersion: version }),
        prng,
      )
      const about = `seed ${seed}: ${Buffer.from(bytes).toString('hex')}`
      const ours = outcome(bytes, 0xff, version)
      if (JSON.stringify(ours) !== JSON.stringify(outcome(bytes, 0x00, version)))
        expect.fail(`reads beyond: ${about}`)
      if (JSON.stringify(ours) !== JSON.stringify(outcome(bytes, 0x41, version)))
        expect.fail(`reads beyond: ${about}`)
      const first = ours[0] as object | number
      const isAccepted = typeof first === 'object' && 'type' in first
      tally[isAccepted ? 'accepted' : 'refused']++
      if (!isAccepted) continue
      const theirs = parseTheirs(bytes.subarray(0, firstPacketSize(bytes)), version)
      if (theirs === null || theirs instanceof Error) {
        expect.fail(`accepted what mqtt-packet refuses (${theirs}): ${about}`)
      } else {
        expect(first, about).toEqual(comparable(plainOfTheirs(theirs, version)))
      }
    }
    // Both ways must have been taken often, or the test shows nothing.
    expect(tally.accepted).toBeGreaterThan(2000)
    expect(tally.refused).toBeGreaterThan(2000)
  },
)

test('noise: any bytes as any packet', () => {
  for (let seed = 1; seed <= 4000; seed++) {
    const prng = new Prng(seed)
    const bytes = Uint8Array.from({ length: prng.between(0, 60) }, () => prng.between(0, 255))
    const version = prng.unit() < 0.5 ? 4 : 5
    expect(outcome(bytes, 0xff, version), `seed ${seed}`).toEqual(outcome(bytes, 0x00, version))
  }
})

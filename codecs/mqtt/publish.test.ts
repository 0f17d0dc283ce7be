import { expect, test } from 'vitest'
import { Prng } from '../../base/prng.ts'
import { type ProtocolVersion, ReasonCode } from './packet.ts'
import { comparable, parseTheirs, propertiesOfTheirs } from './packet-oracle.ts'
import { PropertyPlace } from './properties.ts'
import { encodeProperties, type Properties } from './property-objects.ts'
import { PublishFields, publishHeader, publishSize, readPublish, writePublish } from './publish.ts'
import {
  SUBSCRIPTION_IDENTIFIER_SIZE_BYTES_MAX,
  writeForwardedProperties,
  writeMessageExpiry,
  writeSubscriptionIdentifier,
} from './publish-properties.ts'
import { SamplePackets } from './sample-packets.ts'
import { field, properties } from './test-bytes.ts'

const { MALFORMED_PACKET, PROTOCOL_ERROR } = ReasonCode
const NONE = new Uint8Array(0)

function faultOf(header: number, version: ProtocolVersion, body: number[]): number {
  return readPublish(Uint8Array.from(body), header, 0, body.length, version, new PublishFields())
}

function write(
  version: ProtocolVersion,
  header: number,
  packetId: number,
  topic: Uint8Array,
  encoded: Uint8Array,
  payload: Uint8Array,
): Uint8Array {
  const size = publishSize(version, (header >> 1) & 3, topic.length, encoded.length, payload.length)
  // One byte before and after, to see that neither is touched.
  const out = new Uint8Array(size + 2).fill(0xee)
  const parts = [topic, 0, topic.length, encoded, 0, encoded.length, payload, 0, payload.length] as const
  expect(writePublish(out, 1, version, header, packetId, ...parts)).toBe(size + 1)
  expect([out[0], out[size + 1]]).toEqual([0xee, 0xee])
  return out.subarray(1, size + 1)
}

test('the PUBLISH of figure 3-11 (3.1.1): a/b, packet identifier 10', () => {
  const body = Uint8Array.of(0, 3, 0x61, 0x2f, 0x62, 0, 10, 1, 2)
  const fields = new PublishFields()
  expect(readPublish(body, 0x32, 0, 9, 4, fields)).toBe(0)
  expect(fields).toMatchObject({
    qos: 1,
    topicStart: 2,
    topicEnd: 5,
    packetId: 10,
    payloadStart: 7,
    payloadEnd: 9,
  })
})

test.each<[string, number, ProtocolVersion, number, number[]]>([
  ['QoS 3', 0x36, 4, MALFORMED_PACKET, [...field('a'), 0, 1]],
  ['DUP with QoS 0', 0x38, 4, MALFORMED_PACKET, field('a')],
  ['packet identifier 0', 0x32, 4, PROTOCOL_ERROR, [...field('a'), 0, 0]],
  ['no body', 0x30, 4, MALFORMED_PACKET, []],
  ['a topic cut off', 0x30, 4, MALFORMED_PACKET, [0, 2, 0x61]],
  ['a packet identifier cut off', 0x32, 4, MALFORMED_PACKET, [...field('a'), 0]],
  ['an empty topic', 0x30, 4, PROTOCOL_ERROR, field('')],
  ['an empty topic and no alias', 0x30, 5, PROTOCOL_ERROR, [...field(''), 0]],
  ['no property length', 0x30, 5, MALFORMED_PACKET, field('a')],
  ['properties beyond the end', 0x30, 5, MALFORMED_PACKET, [...field('a'), 4, 0x23, 0, 1]],
  ['topic alias 0', 0x30, 5, PROTOCOL_ERROR, [...field('a'), ...properties(0x23, 0, 0)]],
  ['two topic aliases', 0x30, 5, PROTOCOL_ERROR, [...field('a'), ...properties(0x23, 0, 1, 0x23, 0, 1)]],
  ['a subscription identifier', 0x30, 5, PROTOCOL_ERROR, [...field('a'), ...properties(0x0b, 1)]],
  ['payload format 2', 0x30, 5, PROTOCOL_ERROR, [...field('a'), ...properties(1, 2)]],
  ['a property of CONNECT', 0x30, 5, MALFORMED_PACKET, [...field('a'), ...properties(0x21, 0, 1)]],
  ['a response topic with #', 0x30, 5, PROTOCOL_ERROR, [...field('a'), ...properties(8, 0, 1, 0x23)]],
  ['an empty response topic', 0x30, 5, PROTOCOL_ERROR, [...field('a'), ...properties(8, 0, 0)]],
  [
    'a content type that is not UTF-8',
    0x30,
    5,
    MALFORMED_PACKET,
    [...field('a'), ...properties(3, 0, 1, 0x80)],
  ],
])('%s is refused (header 0x%i, version %i)', (_, header, version, reasonCode, body) => {
  expect(faultOf(header, version, body)).toBe(reasonCode)
})

test('an alias in place of the topic, and the largest expiry', () => {
  const body = Uint8Array.from([0, 0, ...properties(0x23, 0xff, 0xfe, 0x02, 0xff, 0xff, 0xff, 0xff), 7])
  const fields = new PublishFields()
  expect(readPublish(body, 0x30, 0, body.length, 5, fields)).toBe(0)
  expect(fields).toMatchObject({ topicAlias: 0xfffe, messageExpiryIntervalS: 0xffff_ffff, packetId: 0 })
  // A field does not outlive its packet.
  const plain = Uint8Array.from([...field('a'), 0])
  expect(readPublish(plain, 0x30, 0, plain.length, 5, fields)).toBe(0)
  expect(fields).toMatchObject({ topicAlias: 0, messageExpiryIntervalS: -1 })
})

test.each([4, 5] as const)('what writePublish writes is what mqtt-packet reads, version %i', (version) => {
  for (let seed = 1; seed <= 300; seed++) {
    const prng = new Prng(seed)
    const samples = new SamplePackets(prng)
    const topic = samples.topic()
    const payload = Buffer.from(samples.text(prng.between(0, 200)))
    const qos = prng.between(0, 2) as 0 | 1 | 2
    const header = publishHeader(qos, qos > 0 && seed % 3 === 0, seed % 2 === 0)
    const given: Properties =
      seed % 4 === 0
        ? {}
        : { contentType: samples.text(9), messageExpiryIntervalS: prng.u32(), topicAlias: 1 + seed }
    const encoded = encodeProperties(given, PropertyPlace.PUBLISH)
    const packet = parseTheirs(write(version, header, seed, Buffer.from(topic), encoded, payload), version)
    expect(packet, `seed ${seed}`).toMatchObject({
      cmd: 'publish',
      topic,
      payload,
      qos,
      dup: qos > 0 && seed % 3 === 0,
      retain: seed % 2 === 0,
      ...(qos > 0 ? { messageId: seed } : {}),
    })
    const theirs = packet !== null && 'properties' in packet ? packet.properties : {}
    expect(propertiesOfTheirs(theirs), `seed ${seed}`).toEqual(version === 5 ? given : {})
  }
})

test('sizes at the borders of the length fields', () => {
  for (const size of [0, 118, 119, 120, 121, 122, 16_370, 16_375, 16_380, 70_000]) {
    const payload = new Uint8Array(size).fill(0x55)
    const packet = parseTheirs(write(5, 0x32, 65_535, Buffer.from('a/b'), NONE, payload), 5)
    expect(packet).toMatchObject({ topic: 'a/b', messageId: 65_535, payload: Buffer.from(payload) })
  }
})

test('a buffer without room is our fault, not a short packet', () => {
  const topic = Buffer.from('a')
  const out = new Uint8Array(6)
  expect(() => writePublish(out, 0, 4, 0x30, 0, topic, 0, 1, NONE, 0, 0, topic, 0, 1)).not.toThrow()
  expect(() => writePublish(out, 1, 4, 0x30, 0, topic, 0, 1, NONE, 0, 0, topic, 0, 1)).toThrow(
    'fit its buffer',
  )
  expect(() => writePublish(new Uint8Array(9), 0, 4, 0x32, 0, topic, 0, 1, NONE, 0, 0, topic, 0, 1)).toThrow(
    'packet identifier',
  )
})

test('forwarding keeps the properties but the alias, sets the expiry that is left, adds identifiers', () => {
  for (let seed = 1; seed <= 200; seed++) {
    const prng = new Prng(seed)
    const samples = new SamplePackets(prng)
    const given: Properties = {
      topicAlias: 1 + (seed % 65_535),
      messageExpiryIntervalS: seed % 2 === 0 ? 0xffff_0000 + seed : undefined,
      responseTopic: samples.topic(),
      correlationData: Buffer.from(samples.text(9)),
      userProperties: [
        ['k', samples.text(4)],
        ['a', samples.text(4)],
        ['k', samples.text(4)],
      ],
    }
    const encoded = encodeProperties(given, PropertyPlace.PUBLISH)
    const out = new Uint8Array(encoded.length + 2 * SUBSCRIPTION_IDENTIFIER_SIZE_BYTES_MAX)
    const isExpiring = seed % 2 === 0
    let at = isExpiring ? writeMessageExpiry(out, 0, 77) : 0
    at = writeForwardedProperties(out, at, encoded, 0, encoded.length)
    expect(at).toBe(encoded.length - 3)
    at = writeSubscriptionIdentifier(out, at, 268_435_455 - seed)
    at = writeSubscriptionIdentifier(out, at, seed)
    const packet = parseTheirs(write(5, 0x30, 0, Buffer.from('t'), out.subarray(0, at), NONE), 5)
    const theirs = packet !== null && 'properties' in packet ? propertiesOfTheirs(packet.properties) : {}
    const [[, k1], a, [, k2]] = given.userProperties!
    const { responseTopic, correlationData } = given
    expect(comparable(theirs), `seed ${seed}`).toEqual(
      comparable({
        messageExpiryIntervalS: isExpiring ? 77 : undefined,
        responseTopic,
        correlationData,
        userProperties: k1 === '' ? [['k', k2], a] : [['k', k1], ['k', k2], a],
        subscriptionIdentifier: [268_435_455 - seed, seed],
      }),
    )
  }
})

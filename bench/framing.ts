/**
 * Cutting and reading PUBLISH packets by offsets, against mqtt-packet's parser on the same bytes in the same
 * run.
 */
import mqtt from 'mqtt-packet'
import { assert } from '../base/assert.ts'
import { writePuback } from '../codecs/mqtt/ack.ts'
import { cutFrames, Frames } from '../codecs/mqtt/frame.ts'
import type { ProtocolVersion } from '../codecs/mqtt/packet.ts'
import { PublishFields, publishSize, readPublish, writePublish } from '../codecs/mqtt/publish.ts'
import { isTopicNameValid } from '../codecs/mqtt/topic.ts'
import type { Bench, BenchSize, Measure } from './bench.ts'
import { compare } from './harness.ts'

const BUFFER_SIZE_BYTES = 65_536
const PACKET_SIZE_BYTES = 100
const PACKET_COUNT = Math.floor(BUFFER_SIZE_BYTES / PACKET_SIZE_BYTES)
const TOPIC = 'devices/device-0042/telemetry'

/** As many packets of 100 bytes as 64 KiB hold, at QoS 1. */
function publishes(protocolVersion: ProtocolVersion): Buffer {
  const packets = Array.from({ length: PACKET_COUNT }, (_, index) => {
    const fields = {
      cmd: 'publish',
      topic: TOPIC,
      qos: 1,
      dup: false,
      retain: false,
      messageId: 1 + index,
    } as const
    const overheadSize = mqtt.generate({ ...fields, payload: '' }, { protocolVersion }).length
    const payload = '{"t":21.5}'.padEnd(PACKET_SIZE_BYTES - overheadSize)
    return mqtt.generate({ ...fields, payload }, { protocolVersion })
  })
  const bytes = Buffer.concat(packets)
  assert(bytes.length === PACKET_COUNT * PACKET_SIZE_BYTES, 'packets have 100 bytes')
  return bytes
}

/** One pass over the buffer; the sum keeps the work from being optimized away. */
function reader(bytes: Uint8Array, version: ProtocolVersion, isEveryTopicNew: boolean): () => void {
  const frames = new Frames(1024)
  const fields = new PublishFields()
  return () => {
    const next = cutFrames(bytes, 0, bytes.length, BUFFER_SIZE_BYTES, frames)
    const { count, header, bodyStart, bodyEnd } = frames
    let sum = 0
    for (let i = 0; i < count; i++) {
      if (readPublish(bytes, header[i], bodyStart[i], bodyEnd[i], version, fields) !== 0) break
      if (isEveryTopicNew && !isTopicNameValid(bytes, fields.topicStart, fields.topicEnd)) break
      sum += fields.packetId
    }
    assert(next === bytes.length && sum === (PACKET_COUNT * (PACKET_COUNT + 1)) / 2, 'every packet is read')
  }
}

function theirReader(bytes: Buffer): () => void {
  const parser = mqtt.parser({ protocolVersion: 4 })
  let sum = 0
  parser.on('packet', (packet) => {
    sum += packet.messageId ?? 0
  })
  return () => {
    sum = 0
    parser.parse(bytes)
    assert(sum === (PACKET_COUNT * (PACKET_COUNT + 1)) / 2, 'every packet is read')
  }
}

/** Writes PACKET_COUNT packets of 100 bytes to subscribers. */
function publishWriter(): () => void {
  const out = new Uint8Array(BUFFER_SIZE_BYTES)
  const topic = new TextEncoder().encode(TOPIC)
  const payload = new Uint8Array(PACKET_SIZE_BYTES - publishSize(4, 1, topic.length, 0, 0))
  return () => {
    let at = 0
    for (let id = 1; id <= PACKET_COUNT; id++) {
      at = writePublish(out, at, 4, 0x32, id, topic, 0, topic.length, out, 0, 0, payload, 0, payload.length)
    }
    assert(at === PACKET_COUNT * PACKET_SIZE_BYTES, 'packets have 100 bytes')
  }
}

function pubackWriter(): () => void {
  const out = new Uint8Array(PACKET_COUNT * 4)
  return () => {
    let at = 0
    for (let id = 1; id <= PACKET_COUNT; id++) at = writePuback(out, at, id)
    assert(at === out.length, 'a PUBACK has 4 bytes')
  }
}

export const bench: Bench = {
  name: 'framing',
  about: `64 KiB of ${PACKET_SIZE_BYTES}-byte PUBLISH packets, QoS 1, by offsets`,
  async run(size: BenchSize): Promise<Measure[]> {
    const bytes = publishes(4)
    const settings = { operations: PACKET_COUNT, size }
    const ns = await compare({ ours: reader(bytes, 4, false), theirs: theirReader(bytes) }, settings)
    const more = await compare(
      {
        version5: reader(publishes(5), 5, false),
        newTopics: reader(bytes, 4, true),
        publish: publishWriter(),
        puback: pubackWriter(),
      },
      settings,
    )
    return [
      { name: 'cutFrames and readPublish, 3.1.1', value: ns.ours, unit: 'ns/packet', atMost: 20 },
      { name: 'the same by mqtt-packet', value: ns.theirs, unit: 'ns/packet' },
      { name: 'ratio', value: ns.theirs / ns.ours, unit: 'times faster than mqtt-packet', atLeast: 30 },
      { name: 'cutFrames and readPublish, 5.0', value: more.version5, unit: 'ns/packet' },
      { name: '3.1.1 with the check of each topic (29 bytes)', value: more.newTopics, unit: 'ns/packet' },
      { name: 'writePublish, 100 bytes', value: more.publish, unit: 'ns/packet' },
      { name: 'writePuback', value: more.puback, unit: 'ns/packet' },
    ]
  },
}

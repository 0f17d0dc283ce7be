/** Oracles: mqtt-packet for packets, JSON.parse and @msgpack/msgpack for payloads. */
import { decode } from '@msgpack/msgpack'
import { generate } from 'mqtt-packet'
import { describe, expect, test } from 'vitest'
import { Prng } from '../base/prng.ts'
import { type Door, type PayloadCodec, PublishTemplate } from './publish-template.ts'
import {
  deviceName,
  devicesOfConnection,
  messagesOfDevice,
  metricName,
  SEQ_BASE,
  type TelemetryPlan,
  telemetryTsMs,
  telemetryValue,
} from './telemetry.ts'

function planOf(prng: Prng): TelemetryPlan {
  const devices = prng.between(1, 100_000)
  return {
    prefix: 'fleet-x-',
    deviceDigits: prng.between(5, 9),
    devices,
    connections: prng.between(1, devices),
    metrics: prng.between(1, 40),
    seed: prng.u32(),
    baseMs: 1_700_000_000_000 + prng.u32(),
    stepMs: prng.between(1, 5000),
  }
}

function expectedPayload(plan: TelemetryPlan, device: number, seq: number): Record<string, number> {
  const payload: Record<string, number> = { ts: telemetryTsMs(plan, seq) }
  for (let metric = 0; metric < plan.metrics; metric++) {
    payload[metricName(metric)] = telemetryValue(plan, device, seq, metric)
  }
  return payload
}

const parsePayload = (codec: PayloadCodec, bytes: Uint8Array): unknown =>
  codec === 'json' ? JSON.parse(Buffer.from(bytes).toString()) : decode(bytes, { useBigInt64: false })

describe('publish template', () => {
  const seed = Date.now() % 1_000_000

  test(`patched bytes are what mqtt-packet generates for the same message (seed ${seed})`, () => {
    const prng = new Prng(seed)
    for (let round = 0; round < 300; round++) {
      const plan = planOf(prng)
      const codec: PayloadCodec = prng.between(0, 1) ? 'json' : 'msgpack'
      const qos = prng.between(0, 1) ? 1 : 0
      const protocol = prng.between(0, 1) ? 5 : 4
      const template = new PublishTemplate(plan, { door: 'mqtt', codec, qos, protocol })
      const device = prng.between(0, plan.devices - 1)
      const seq = prng.between(0, 2_000_000)
      const messageId = prng.between(1, 65_535)
      const dup = qos === 1 && prng.between(0, 1) === 1
      const target = new Uint8Array(template.sizeBytes + 20).fill(0xee)
      target.set(template.bytes, 10)
      template.patch(target, 10, device, seq, messageId, dup)
      const patched = Buffer.from(target.slice(10, 10 + template.sizeBytes))
      const topic = `devices/${deviceName(plan, device)}/telemetry`
      const payload = patched.subarray(
        patched.indexOf(topic) + topic.length + (qos ? 2 : 0) + (protocol === 5 ? 1 : 0),
      )
      expect(parsePayload(codec, payload)).toEqual(expectedPayload(plan, device, seq))
      const packet = { cmd: 'publish', topic, payload, qos, dup, retain: false, messageId } as const
      expect(patched).toEqual(generate(packet, { protocolVersion: protocol }))
      expect([target[9], target[10 + template.sizeBytes]]).toEqual([0xee, 0xee])
    }
  })

  test('a message patched over another one is no different from one patched over the template', () => {
    const prng = new Prng(5)
    const plan = planOf(prng)
    for (const door of ['mqtt', 'ws'] as Door[]) {
      const template = new PublishTemplate(plan, { door, codec: 'json', qos: 1, protocol: 4 })
      const [used, fresh] = [template.bytes.slice(), template.bytes.slice()]
      template.patch(used, 0, plan.devices - 1, 999_999, 65_535, true)
      template.patch(used, 0, 0, 3, 7, false)
      template.patch(fresh, 0, 0, 3, 7, false)
      expect(used).toEqual(fresh)
    }
  })

  test('a frame of the plain WebSocket door', () => {
    for (const metrics of [1, 3, 60]) {
      const plan = { ...planOf(new Prng(9)), metrics }
      const template = new PublishTemplate(plan, { door: 'ws', codec: 'json', qos: 1, protocol: 4 })
      const frame = Buffer.from(template.bytes)
      template.patch(frame, 0, 4, 17, 1, false)
      const headSize = frame.length - 6 < 126 ? 6 : 8
      expect(frame[0]).toBe(0x81)
      expect(frame[1] & 0x80).toBe(0x80)
      const size = headSize === 6 ? frame[1] & 0x7f : frame.readUInt16BE(2)
      expect(size).toBe(frame.length - headSize)
      expect(JSON.parse(frame.toString('utf8', headSize))).toEqual({
        seq: SEQ_BASE + 17,
        data: expectedPayload(plan, 4, 17),
      })
    }
  })
})

describe('telemetry', () => {
  test('readings are a pure function of seed, device, seq and metric, spread over their range', () => {
    const plan = planOf(new Prng(1))
    const seen = new Set<number>()
    for (let seq = 0; seq < 10_000; seq++) {
      const value = telemetryValue(plan, 3, seq, 1)
      expect(telemetryValue({ ...plan }, 3, seq, 1)).toBe(value)
      expect(value).toBe(Number(value.toFixed(3)))
      expect(value).toBeGreaterThanOrEqual(10)
      expect(value).toBeLessThan(100)
      seen.add(value)
    }
    expect(seen.size).toBeGreaterThan(9_000)
    expect(telemetryValue(plan, 3, 1, 1)).not.toBe(telemetryValue(plan, 4, 1, 1))
    expect(telemetryValue(plan, 3, 1, 1)).not.toBe(telemetryValue(plan, 3, 1, 2))
    expect(telemetryValue({ ...plan, seed: plan.seed + 1 }, 3, 1, 1)).not.toBe(telemetryValue(plan, 3, 1, 1))
  })

  test('devices and messages are dealt out without rest', () => {
    const prng = new Prng(2)
    for (let round = 0; round < 100; round++) {
      const plan = { ...planOf(prng), devices: prng.between(1, 50) }
      plan.connections = prng.between(1, plan.devices)
      let devices = 0
      for (let connection = 0; connection < plan.connections; connection++) {
        devices += devicesOfConnection(plan, connection)
        const sent = prng.between(0, 500)
        let messages = 0
        for (let device = connection; device < plan.devices; device += plan.connections) {
          messages += messagesOfDevice(plan, device, sent)
        }
        expect(messages).toBe(sent)
      }
      expect(devices).toBe(plan.devices)
    }
  })
})

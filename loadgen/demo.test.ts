import { decode } from '@msgpack/msgpack'
import { describe, expect, test } from 'vitest'
import { RecordedDevice, startDemo } from './demo.ts'
import { createDevices, msgpackOf } from './demo-devices.ts'
import { MqttSink } from './mqtt-sink.ts'
import { readRecordings } from './recordings.ts'

const NOW_MS = Date.UTC(2026, 10, 20, 12)

function asText(payload: Buffer): string {
  return payload.toString('latin1')
}

describe('demo devices', () => {
  test('equal seeds say the same, others do not', () => {
    const sayings = (seed: number) => {
      const devices = createDevices(300, seed, NOW_MS)
      return devices.map((device) => asText(device.next(NOW_MS + 1000)?.payload ?? Buffer.from('nothing')))
    }
    expect(sayings(7)).toEqual(sayings(7))
    expect(sayings(7)).not.toEqual(sayings(8))
  })

  test('300 devices: each kind, distinct names, rates between one and ten a second', () => {
    const devices = createDevices(300, 1, NOW_MS)
    expect(new Set(devices.map(({ name }) => name)).size).toBe(300)
    const kinds = new Set(devices.map(({ name }) => name.replace(/-\d+$/, '')))
    expect([...kinds]).toEqual(['climate', 'machine', 'meter', 'clock-fast', 'clock-slow', 'faulty'])
    const messages = new Map<string, number>()
    for (let nowMs = NOW_MS; nowMs < NOW_MS + 60_000; nowMs += 100) {
      for (const device of devices) {
        if (device.next(nowMs) !== null) messages.set(device.name, (messages.get(device.name) ?? 0) + 1)
      }
    }
    for (const [name, count] of messages) {
      if (name.startsWith('meter')) expect(count).toBeLessThan(10)
      else expect(count, name).toBeGreaterThanOrEqual(59)
      expect(count, name).toBeLessThanOrEqual(600)
    }
  })

  test('what each kind says can be read, but for the faulty ones now and then', () => {
    const faults = new Map<string, number>()
    for (const device of createDevices(300, 3, NOW_MS)) {
      for (let nowMs = NOW_MS; nowMs < NOW_MS + 100_000; nowMs += 1000) {
        const message = device.next(nowMs)
        if (message === null) continue
        const { payload, readings } = message
        if (readings === 0) {
          faults.set(device.name, (faults.get(device.name) ?? 0) + 1)
          expect(() => JSON.parse(payload.toString())).toThrow()
          continue
        }
        const isJson = payload[0] === 0x7b || payload[0] === 0x5b
        const read = (isJson ? JSON.parse(payload.toString()) : decode(payload)) as Record<string, number>
        const objects = Array.isArray(read) ? (read as Record<string, number>[]) : [read]
        expect(objects.flatMap(Object.values).every(Number.isFinite)).toBe(true)
        expect(objects.reduce((sum, object) => sum + Object.keys(object).length - 1, 0)).toBe(readings)
        const offsetMs = objects[objects.length - 1].ts - nowMs
        const expected = device.name.startsWith('clock-fast')
          ? 180_000
          : device.name.startsWith('clock-slow')
            ? -420_000
            : 0
        expect(offsetMs, device.name).toBe(expected)
      }
    }
    expect([...faults.keys()]).toEqual(['faulty-001', 'faulty-002'])
    expect([...faults.values()].every((count) => count >= 4)).toBe(true)
  })

  test('MessagePack of a reading', () => {
    const reading = { ts: NOW_MS, temperature: -21.125, count: 0, huge: 1e300 }
    expect(decode(msgpackOf(reading))).toEqual(reading)
  })
})

describe('recorded devices', () => {
  test('send the whole recording, shifted to end now, then go on with it once a second', () => {
    const [recording] = readRecordings()
    const device = new RecordedDevice(recording, NOW_MS)
    const seen: { ts: number; value: number }[] = []
    while (seen.length < recording.value.length) {
      const message = device.next(NOW_MS)
      const readings = JSON.parse(message?.payload.toString() ?? 'null')
      expect(message?.readings).toBe(readings.length)
      seen.push(...readings)
    }
    expect(seen.map(({ value }) => value)).toEqual([...recording.value])
    expect(seen.at(-1)?.ts).toBe(NOW_MS)
    expect(seen[1].ts - seen[0].ts).toBe(recording.tsMs[1] - recording.tsMs[0])
    const live = [0, 100, 999, 1000, 1500, 2000].map((ms) => device.next(NOW_MS + ms)?.payload.toString())
    const liveAt = (ms: number, row: number) => `{"ts":${NOW_MS + ms},"value":${recording.value[row]}}`
    expect(live).toEqual([liveAt(0, 0), undefined, undefined, liveAt(1000, 1), undefined, liveAt(2000, 2)])
  })
})

describe('startDemo', () => {
  test('connects, publishes, comes back after a lost connection, stops cleanly', async () => {
    const topics = new Set<string>()
    const clients = new Map<string, number>()
    let seen = 0
    const sink = new MqttSink({
      connack: ({ clientId }) => {
        clients.set(clientId, (clients.get(clientId) ?? 0) + 1)
        return {}
      },
      onPublish: ({ topic }) => {
        topics.add(topic)
        return ++seen === 200 ? 'cut' : 0
      },
    })
    const port = await sink.listen()
    const demo = await startDemo({ mqtt: { host: '127.0.0.1', port }, devices: 30 })
    while (demo.stats().acknowledged < 800 || demo.stats().connections < 34) {
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    await demo.stop()
    const stats = demo.stats()
    expect(stats.connections).toBe(0)
    expect(stats.acknowledged).toBe(stats.messages)
    expect(stats.readings).toBeGreaterThan(10_000)
    expect(stats.latencyP99Ms).toBeGreaterThan(0)
    expect(clients.size).toBe(29 + 5)
    expect([...clients.values()].reduce((sum, count) => sum + count)).toBe(29 + 5 + 1)
    expect(topics.has('devices/machine_temperature_system_failure/telemetry')).toBe(true)
    await sink.close()
  })

  test('stops although nothing listens', async () => {
    const demo = await startDemo({ mqtt: { host: '127.0.0.1', port: 1 }, devices: 6 })
    await demo.stop()
    expect(demo.stats()).toMatchObject({ connections: 0, messages: 0 })
  })
})

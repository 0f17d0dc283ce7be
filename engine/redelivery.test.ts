/** A client whose engine is killed again and again sends what it has no PUBACK for with DUP: each message is one row. */
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { generate, parser } from 'mqtt-packet'
import { expect, test } from 'vitest'
import { EngineProcess, temporaryDirectory } from './engine-process.ts'

const MESSAGES = 100

function publish(id: number, dup: boolean): Buffer {
  const payload = JSON.stringify({ ts: 1_700_000_000_000 + id, seq: id })
  const fixed = { cmd: 'publish', qos: 1, retain: false } as const
  return generate({ ...fixed, topic: `devices/d${id % 7}/telemetry`, payload, dup, messageId: id })
}

/** Connects as the same client, waits for an engine that is coming back, and takes the PUBACKs. */
async function session(engine: EngineProcess, acknowledged: Set<number>): Promise<Socket> {
  const [host, port] = engine.addresses.mqtt.split(':')
  for (;;) {
    const socket = connect(Number(port), host)
    const packets = parser()
    socket.on('data', (chunk) => packets.parse(chunk))
    const isOpen = await new Promise<boolean>((resolve) => {
      socket.once('connect', () => {
        const common = { cmd: 'connect', protocolId: 'MQTT', protocolVersion: 4, keepalive: 60 } as const
        socket.write(generate({ ...common, clientId: 'c1', clean: false }))
      })
      packets.once('packet', () => resolve(true))
      socket.on('error', () => {})
      socket.once('close', () => resolve(false))
    })
    packets.on('packet', (packet) => {
      if (packet.cmd === 'puback' && packet.messageId !== undefined) acknowledged.add(packet.messageId)
    })
    if (isOpen) return socket
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

test('through two deaths of the engine', async () => {
  const directory = temporaryDirectory()
  const engine = await EngineProcess.start(['--data', join(directory.path, 'data'), '--gateways', '2'])
  const acknowledged = new Set<number>()
  const ids = Array.from({ length: MESSAGES }, (_, index) => index + 1)
  for (let life = 0; life < 3; life++) {
    const socket = await session(engine, acknowledged)
    const open = ids.filter((id) => !acknowledged.has(id))
    socket.write(Buffer.concat(open.map((id) => publish(id, life > 0))))
    if (life < 2) {
      await new Promise((resolve) => setTimeout(resolve, 30))
      await engine.killEngine()
    } else {
      while (acknowledged.size < MESSAGES) await new Promise((resolve) => setTimeout(resolve, 10))
    }
    socket.destroy()
  }
  const row = await engine.queryUntil<{ n: number }>(
    'SELECT toUInt32(count()) AS n FROM millrace.samples',
    ({ n }) => n >= MESSAGES,
  )
  await new Promise((resolve) => setTimeout(resolve, 1500))
  expect(row.n).toBe(MESSAGES)
  expect(await engine.query('SELECT toUInt32(count()) AS n FROM millrace.samples')).toEqual([{ n: MESSAGES }])
  expect(await engine.stop()).toBe(0)
  directory.remove()
})

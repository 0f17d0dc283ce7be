/**
 * A real broker between the load generator and an independent subscriber: every message arrives, with its
 * payload.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { connectAsync } from 'mqtt'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { runLoad } from './load.ts'
import type { LoadOptions } from './load-options.ts'
import { SEQ_BASE, telemetryTsMs, telemetryValue } from './telemetry.ts'

const BROKER = ['/usr/sbin/mosquitto', '/usr/local/sbin/mosquitto', '/opt/homebrew/sbin/mosquitto'].find(
  existsSync,
)
if (BROKER === undefined) {
  if (process.env.MILLRACE_CI === '1') throw new Error('mosquitto is not installed')
  console.warn('SKIPPED: load against a real broker: mosquitto is not installed')
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  return typeof address === 'object' && address !== null ? address.port : 0
}

async function waitForPort(port: number): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const socket = connect({ host: '127.0.0.1', port })
    const isOpen = await Promise.race([once(socket, 'connect'), once(socket, 'error')]).then(
      () => true,
      () => false,
    )
    socket.destroy()
    if (isOpen) return
    await sleep(50)
  }
  throw new Error(`nothing listens on ${port}`)
}

describe.skipIf(BROKER === undefined)('runLoad against mosquitto', () => {
  const directory = mkdtempSync(join(tmpdir(), 'millrace-mosquitto-'))
  let broker: ChildProcess
  let mqttPort = 0
  let wsPort = 0

  beforeAll(async () => {
    mqttPort = await freePort()
    wsPort = await freePort()
    const config = join(directory, 'mosquitto.conf')
    const listeners = [
      `listener ${mqttPort} 127.0.0.1`,
      `listener ${wsPort} 127.0.0.1`,
      'protocol websockets',
    ]
    const limits = ['allow_anonymous true', 'max_queued_messages 0', 'max_inflight_messages 0']
    writeFileSync(config, `${[...listeners, ...limits].join('\n')}\n`)
    broker = spawn(BROKER ?? '', ['-c', config], { stdio: 'ignore' })
    await waitForPort(mqttPort)
  })

  afterAll(async () => {
    broker.kill()
    await once(broker, 'exit')
    rmSync(directory, { recursive: true, force: true })
  })

  const shapes: Partial<LoadOptions>[] = [
    { qos: 1, protocol: 4 },
    { qos: 1, protocol: 5, devices: 50 },
    { qos: 0, protocol: 4, perWrite: 50 },
    { qos: 1, door: 'mqtt-ws', protocol: 5 },
    { qos: 0, door: 'mqtt-ws', devices: 30 },
  ]
  for (const shape of shapes) {
    test(`a subscriber sees each message: ${JSON.stringify(shape)}`, async () => {
      const messages = 2000
      const prefix = `run${shapes.indexOf(shape)}-`
      const subscriber = await connectAsync(`mqtt://127.0.0.1:${mqttPort}`, { protocolVersion: 5 })
      const lines: string[] = []
      const isComplete = Promise.withResolvers<void>()
      subscriber.on('message', (topic, payload) => {
        if (lines.push(`${topic} ${payload}`) === messages) isComplete.resolve()
      })
      await subscriber.subscribeAsync(`devices/+/telemetry`, { qos: 1 })
      const address = { host: '127.0.0.1', port: shape.door ? wsPort : mqttPort }
      const run = await runLoad({ connections: 10, messages, ...shape, prefix, address })
      await isComplete.promise
      await subscriber.endAsync()
      const { counters, reasons } = run.report
      const acknowledged = shape.qos === 0 ? 0 : messages
      expect(counters).toMatchObject({
        sent: messages,
        acknowledged,
        inFlight: 0,
        connectionsLost: 0,
        refused: 0,
      })
      expect(reasons).toEqual({})
      expect(new Set(lines).size).toBe(messages)
      for (const line of lines) {
        const [topic, payload] = line.split(' ')
        const device = Number(/^devices\/run\d-(\d+)\/telemetry$/.exec(topic)?.[1])
        const seq = JSON.parse(payload).seq - SEQ_BASE
        const m1 = telemetryValue(run.plan, device, seq, 1)
        expect(JSON.parse(payload)).toEqual({ ts: telemetryTsMs(run.plan, seq), seq: seq + SEQ_BASE, m1 })
      }
    })
  }
})

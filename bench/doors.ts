/**
 * What a message costs a gateway by each of its TCP doors: CPU time of this process, which holds the gateway and
 * stores nothing; who sends lives in another one. Rounds take turns, the cheapest of each counts.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { systemClock } from '../base/clock.ts'
import { type GatewayControl, type GatewayReport, startGateway } from '../engine/gateway/gateway.ts'
import { plainSetup, sessionsOf } from '../engine/gateway/socket-harness.ts'
import { Doorbell } from '../engine/ring/doorbell.ts'
import { RingConsumer } from '../engine/ring/ring.ts'
import { TestCertificates } from '../engine/tls/test-certificates.ts'
import { loadTls } from '../engine/tls/tls-files.ts'
import type { TlsMaterial } from '../engine/tls/tls-material.ts'
import type { Bench, BenchSize, Measure } from './bench.ts'
import type { DoorLoad } from './door-load.ts'

const CONNECTIONS = 20
const SHAPES = [
  { perWrite: 100, messages: 200_000 },
  { perWrite: 10, messages: 40_000 },
  { perWrite: 1, messages: 10_000 },
]
const ROUNDS: Record<BenchSize, number> = { small: 1, full: 3 }
const SMALL = 100
const TAKE_INTERVAL_MS = 2

interface OpenDoors {
  mqttPort: number
  mqttsPort: number
  stop(): Promise<void>
}

/** A gateway whose records are taken from it and thrown away. */
async function openDoors(tls: TlsMaterial): Promise<OpenDoors> {
  const address = { host: '127.0.0.1', port: 0 }
  const setup = { ...plainSetup(), webSocket: null, mqtts: address, tls }
  const consumer = new RingConsumer(setup.rings[0])
  const bell = new Doorbell(setup.bell)
  const sessions = sessionsOf(setup)
  const taking = setInterval(() => {
    sessions?.step()
    while (consumer.take(1 << 20) > 0);
    consumer.release(consumer.position)
    bell.ring()
  }, TAKE_INTERVAL_MS)
  const { promise, resolve } = Promise.withResolvers<GatewayReport>()
  const control: GatewayControl = startGateway({ ...setup, clock: systemClock }, (report) => {
    if (report.kind !== 'status') resolve(report)
  })
  const report = await promise
  if (report.kind !== 'listening') throw new Error(JSON.stringify(report))
  return {
    mqttPort: report.mqtt?.port ?? 0,
    mqttsPort: report.mqtts?.port ?? 0,
    async stop() {
      clearInterval(taking)
      await control.stop()
    },
  }
}

/** CPU us of this process per message. */
async function costOfLoad(sender: ChildProcess, load: DoorLoad): Promise<number> {
  sender.send(load)
  await once(sender, 'message')
  const before = process.cpuUsage()
  sender.send(load)
  await once(sender, 'message')
  const { user, system } = process.cpuUsage(before)
  return (user + system) / (load.connections * load.writes * load.perWrite)
}

async function run(size: BenchSize): Promise<Measure[]> {
  const certificates = new TestCertificates()
  const { material } = loadTls(certificates.files(certificates.server()))
  const running = await openDoors(material)
  const sender = fork(`${import.meta.dirname}/door-load.ts`, { stdio: ['ignore', 2, 2, 'ipc'] })
  const measures: Measure[] = []
  try {
    for (const { perWrite, messages } of SHAPES) {
      const writes = Math.ceil(messages / (size === 'small' ? SMALL : 1) / CONNECTIONS / perWrite)
      const load = { connections: CONNECTIONS, writes, perWrite }
      let plainUs = Number.POSITIVE_INFINITY
      let tlsUs = Number.POSITIVE_INFINITY
      for (let round = 0; round < ROUNDS[size]; round++) {
        plainUs = Math.min(
          plainUs,
          await costOfLoad(sender, { ...load, port: running.mqttPort, isEncrypted: false }),
        )
        tlsUs = Math.min(
          tlsUs,
          await costOfLoad(sender, { ...load, port: running.mqttsPort, isEncrypted: true }),
        )
      }
      const shape = `${perWrite} a write`
      measures.push(
        { name: `plain TCP, ${shape}`, value: plainUs, unit: 'CPU-us/message' },
        { name: `TLS 1.3, ${shape}`, value: tlsUs, unit: 'CPU-us/message' },
        { name: `TLS to plain, ${shape}`, value: tlsUs / plainUs, unit: 'times' },
      )
    }
    return measures
  } finally {
    sender.disconnect()
    await running.stop()
    certificates.remove()
  }
}

export const bench: Bench = {
  name: 'doors',
  about: `MQTT at QoS 0 over plain TCP and TLS, ${CONNECTIONS} connections, messages of 60 bytes; the gateway alone`,
  run,
}

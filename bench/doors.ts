/**
 * What a message costs a gateway by each of its TCP doors: CPU time of this process, which holds the gateway and
 * stores nothing; who sends lives in another one. Rounds take turns, the cheapest of each counts.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { runGateway } from '../engine/gateway/socket-harness.ts'
import { TestCertificates } from '../engine/tls/test-certificates.ts'
import { loadTls } from '../engine/tls/tls-files.ts'
import type { Bench, BenchSize, Measure } from './bench.ts'
import type { DoorLoad } from './door-load.ts'

const CONNECTIONS = 20
const SHAPES = [
  { perWrite: 100, messages: 400_000 },
  { perWrite: 10, messages: 100_000 },
  { perWrite: 1, messages: 20_000 },
]
const ROUNDS: Record<BenchSize, number> = { small: 1, full: 5 }
const SMALL = 100

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
  const running = await runGateway({}, { tls: material })
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

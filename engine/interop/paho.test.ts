/** Eclipse Paho C (Debian's libpaho-mqtt-dev, compiled with gcc) against a gateway, through every door. */
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type RunningGateway, runGateway } from '../gateway/socket-harness.ts'
import { TestCertificates } from '../tls/test-certificates.ts'
import { loadTls } from '../tls/tls-files.ts'

const TOPIC = 'devices/a/telemetry'
const MESSAGE_COUNT = 60
const SOURCE = fileURLToPath(new URL('./paho-client.c', import.meta.url))

const run = promisify(execFile)
const directory = mkdtempSync(join(tmpdir(), 'millrace-paho-'))
const program = join(directory, 'paho-client')

const isCompiled = await run('gcc', ['-Wall', '-Werror', '-o', program, SOURCE, '-lpaho-mqtt3cs']).then(
  () => true,
  (error: Error) => {
    if (process.env.MILLRACE_CI === '1') throw error
    console.warn('SKIPPED: gcc or libpaho-mqtt-dev is not installed')
    return false
  },
)

describe.skipIf(!isCompiled)('Paho C', () => {
  let certificates: TestCertificates
  let running: RunningGateway

  beforeAll(async () => {
    certificates = new TestCertificates()
    const { material } = loadTls(certificates.files(certificates.server(), 'none'))
    running = await runGateway({}, { tls: material })
  })

  afterAll(async () => {
    await running.stop()
    certificates.remove()
    rmSync(directory, { recursive: true })
  })

  const doors = ['tcp', 'ssl', 'ws', 'wss'] as const

  function uriOf(door: (typeof doors)[number]): string {
    const { mqttPort, mqttsPort, webSocketPort, wssPort } = running
    return {
      tcp: `tcp://127.0.0.1:${mqttPort}`,
      ssl: `ssl://localhost:${mqttsPort}`,
      ws: `ws://127.0.0.1:${webSocketPort}/mqtt`,
      wss: `wss://localhost:${wssPort}/mqtt`,
    }[door]
  }

  const cases = doors.flatMap((door) =>
    [4, 5].flatMap((version) => [0, 1, 2].map((qos) => [door, version, qos] as const)),
  )

  test.each(cases)(
    'over %s, protocol level %i, QoS %i',
    async (door, version, qos) => {
      const before = running.records.length
      const name = `${door}-${version}-${qos}`
      const authority = door === 'ssl' || door === 'wss' ? certificates.authority.certificate : '-'
      const args = [uriOf(door), version, name, TOPIC, qos, MESSAGE_COUNT, authority].map(String)
      const { stdout } = await run(program, args).catch((error) => error)
      const payloads = Array.from({ length: MESSAGE_COUNT }, (_, i) => `{"i":${i}}`)
      const properties = version === 5 ? ' response=answers/here b=2 a=1 subscription=268435455' : ''
      const heard = payloads.map((payload) => `${TOPIC} ${qos} ${payload}${properties}`)
      expect(stdout.trimEnd().split('\n')).toEqual([...heard, 'done'])
      const stored = running.records.slice(before).filter(({ topic }) => topic !== '')
      expect(stored.map(({ payload }) => payload)).toEqual(payloads)
    },
    120_000,
  )
})

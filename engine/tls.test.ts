/** TLS as users start it: both doors, their certificates replaced under a running engine, a device known by its own. */
import { copyFileSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { connect } from 'node:tls'
import mqtt from 'mqtt'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { EngineProcess, temporaryDirectory } from './engine-process.ts'
import { until } from './gateway/socket-harness.ts'
import { type Pair, TestCertificates } from './tls/test-certificates.ts'

const certificates = new TestCertificates()
const data = temporaryDirectory()
const inUse: Pair = {
  certificate: join(certificates.directory, 'server.crt'),
  key: join(certificates.directory, 'server.key'),
}
const ca = readFileSync(certificates.authority.certificate)
const device = certificates.issue('/CN=pump-7')
let engine: EngineProcess

function install({ certificate, key }: Pair): void {
  copyFileSync(certificate, inUse.certificate)
  copyFileSync(key, inUse.key)
}

/** The serial number of the certificate that a door shows now. */
async function serialAt(address: string): Promise<string> {
  const socket = connect({
    port: Number(address.split(':')[1]),
    host: '127.0.0.1',
    servername: 'localhost',
    ca,
  })
  try {
    await new Promise((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject))
    return socket.getPeerX509Certificate()?.serialNumber ?? ''
  } finally {
    socket.destroy()
  }
}

beforeAll(async () => {
  install(certificates.server())
  const files = ['--tls-cert', inUse.certificate, '--tls-key', inUse.key]
  const clients = ['--tls-client-cert', 'require', '--tls-ca', certificates.authority.certificate]
  const doors = ['--mqtts', '127.0.0.1:0', '--wss', '127.0.0.1:0', '--gateways', '2']
  engine = await EngineProcess.start(['--data', data.path, ...doors, ...files, ...clients])
})

afterAll(async () => {
  await engine.stop()
  data.remove()
  certificates.remove()
})

test('new certificates on SIGHUP: at every gateway, and no connection is dropped', async () => {
  const { mqtts, wss, pid } = engine.addresses
  const own = { cert: readFileSync(device.certificate), key: readFileSync(device.key) }
  const url = `mqtts://localhost:${mqtts?.split(':')[1]}`
  const clients = await Promise.all(
    Array.from({ length: 6 }, () => mqtt.connectAsync(url, { ca, ...own, reconnectPeriod: 0 }, false)),
  )
  let dropped = 0
  for (const client of clients) client.on('close', () => dropped++)
  const before = await serialAt(wss ?? '')
  install(certificates.server())
  process.kill(pid, 'SIGHUP')
  for (const address of [mqtts ?? '', wss ?? '']) {
    let renewed = 0 // several in a row: both gateways have been asked
    for (const giveUpMs = Date.now() + 20_000; renewed < 12 && Date.now() < giveUpMs; ) {
      renewed = (await serialAt(address)) === before ? 0 : renewed + 1
    }
    expect(renewed).toBe(12)
  }
  await Promise.all(
    clients.map((client) => client.publishAsync('devices/pump-7/telemetry', '{"x":1}', { qos: 1 })),
  )
  expect(dropped).toBe(0)
  await Promise.all(clients.map((client) => client.endAsync()))
  await until(() => dropped === clients.length, 'their own ends')
})

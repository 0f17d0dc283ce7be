import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import mqtt, { type MqttClient } from 'mqtt'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { GatewayReport } from './gateway.ts'
import type { GatewayStatus } from './gateway-counters.ts'
import type { StoredRecord } from './gateway-harness.ts'
import { keepRecords, setupsOfTwo, until } from './socket-harness.ts'

const workers: Worker[] = []
const keepers: { records: StoredRecord[]; stop: () => void }[] = []
let url = { tcp: '', ws: '' }

async function listening(worker: Worker): Promise<Extract<GatewayReport, { kind: 'listening' }>> {
  for (;;) {
    const [report] = (await once(worker, 'message')) as [GatewayReport]
    if (report.kind === 'listening') return report
    if (report.kind === 'fault') throw new Error(report.message)
  }
}

async function statuses(): Promise<GatewayStatus[]> {
  return Promise.all(
    workers.map(async (worker) => {
      worker.postMessage('status')
      const [report] = (await once(worker, 'message')) as [GatewayStatus]
      return report
    }),
  )
}

/** Two gateways in two threads on the same two ports. */
beforeAll(async () => {
  const { setups, ports } = setupsOfTwo()
  for (const index of [0, 1]) {
    keepers.push(keepRecords(setups[index], () => false))
    const worker = new Worker(new URL('./gateway-test-thread.ts', import.meta.url), {
      workerData: setups[index],
      transferList: [ports[index], setups[index].identities.port],
    })
    workers.push(worker)
    const report = await listening(worker)
    setups[1].mqtt = report.mqtt
    setups[1].webSocket = report.webSocket
    url = {
      tcp: `mqtt://127.0.0.1:${report.mqtt?.port}`,
      ws: `ws://127.0.0.1:${report.webSocket?.port}/mqtt`,
    }
  }
})

afterAll(async () => {
  for (const keeper of keepers) keeper.stop()
  await Promise.all(
    workers.map(async (worker) => {
      worker.postMessage('stop')
      const [code] = await once(worker, 'exit')
      expect(code).toBe(0)
    }),
  )
})

/** Connects until both gateways have at least two; the kernel deals connections out as it likes. */
async function connectToBoth(scheme: 'tcp' | 'ws'): Promise<MqttClient[]> {
  const clients: MqttClient[] = []
  for (let i = 0; i < 60; i++) {
    clients.push(
      await mqtt.connectAsync(url[scheme], { reconnectPeriod: 0, protocolVersion: i % 2 === 0 ? 4 : 5 }),
    )
    const connections = (await statuses()).map(({ connections }) => connections)
    if (i >= 3 && Math.min(...connections) >= 2) return clients
  }
  throw new Error('all connections went to one gateway')
}

test.each(['tcp', 'ws'] as const)(
  'every subscriber hears every publisher, in order, over %s',
  async (scheme) => {
    const clients = await connectToBoth(scheme)
    const heard = clients.map(() => new Map<string, number[]>())
    for (const [i, client] of clients.entries()) {
      client.on('message', (topic, payload) => {
        const numbers = heard[i].get(topic) ?? []
        heard[i].set(topic, numbers)
        numbers.push(Number(payload.toString()))
      })
      await client.subscribeAsync('devices/#', { qos: 1 })
    }
    const before = keepers.reduce((sum, { records }) => sum + records.length, 0)
    const publish = (i: number): Promise<unknown>[] =>
      Array.from({ length: 50 }, (_, n) =>
        clients[i].publishAsync(`devices/${i}/telemetry`, `${n}`, { qos: 1 }),
      )
    await Promise.all(clients.flatMap((_, i) => publish(i)))
    const isComplete = (topics: Map<string, number[]>): boolean =>
      topics.size === clients.length && [...topics.values()].every(({ length }) => length === 50)
    await until(() => heard.every(isComplete), 'all messages at all subscribers')
    const expected = Array.from({ length: 50 }, (_, n) => n)
    for (const topics of heard) for (const numbers of topics.values()) expect(numbers).toEqual(expected)
    const stored = keepers.reduce((sum, { records }) => sum + records.length, 0) - before
    expect(stored).toBe(clients.length * 50)
    await Promise.all(clients.map((client) => client.endAsync()))
  },
)

test('of one client identifier one connection stays, whichever thread it is on', async () => {
  const open = new Set<MqttClient>()
  for (let i = 0; i < 12; i++) {
    const client = mqtt.connect(url.tcp, { clientId: 'same', reconnectPeriod: 0 })
    client.on('close', () => open.delete(client))
    await new Promise((resolve) => client.once('connect', resolve))
    open.add(client)
  }
  await until(() => open.size === 1, 'the older connections to be closed')
  const connections = async (): Promise<number> =>
    (await statuses()).reduce((sum, status) => sum + status.connections, 0)
  const deadlineMs = performance.now() + 120_000 // the servers see a close a little later than the clients
  while ((await connections()) !== 1 && performance.now() < deadlineMs) await new Promise(setImmediate)
  expect(await connections()).toBe(1)
  for (const client of open) await client.endAsync()
})

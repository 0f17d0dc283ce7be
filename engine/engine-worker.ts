/**
 * Entry of a worker thread: runs a gateway, a shard, the sessions, or all of them. It says what it does to the main thread and does what that
 * asks for. A fault that nobody expected ends the thread, and with it the engine; the journal is the way back.
 */
import { parentPort, workerData } from 'node:worker_threads'
import { assert } from '../base/assert.ts'
import { systemClock } from '../base/clock.ts'
import {
  type GatewayControl,
  type GatewayReport,
  type GatewaySetup,
  startGateway,
} from './gateway/gateway.ts'
import {
  type SessionsControl,
  type SessionsReport,
  type SessionsSetup,
  startSessions,
} from './sessions/sessions-thread.ts'
import { loadStreams } from './shard/shard-streams.ts'
import { type ShardControl, type ShardReport, type ShardSetup, startShard } from './shard/shard-thread.ts'
import type { TlsMaterial } from './tls/tls-material.ts'

export interface WorkerSetup {
  gateway: Omit<GatewaySetup, 'clock'> | null
  shard: ShardSetup | null
  sessions: SessionsSetup | null
}

export type WorkerRequest =
  | { kind: 'drainGateway' }
  | { kind: 'renewTls'; material: TlsMaterial }
  | { kind: 'drainSessions'; timeoutMs: number }
  | { kind: 'drainShard'; timeoutMs: number; closesWindows: boolean }
  | { kind: 'stop' }

export type WorkerReport =
  | { role: 'gateway'; report: GatewayReport }
  | { role: 'shard'; report: ShardReport }
  | { role: 'sessions'; report: SessionsReport }
  | { role: 'worker'; report: { kind: 'done'; request: WorkerRequest['kind']; isDrained: boolean } }

const STATUS_INTERVAL_MS = 1000

assert(parentPort !== null, 'engine-worker.ts is the entry of a worker thread')
const port = parentPort
const setup = workerData as WorkerSetup
const send = (message: WorkerReport) => port.postMessage(message)

async function openShard(setup: ShardSetup): Promise<ShardControl> {
  const streams = await loadStreams(setup.layout, setup.configFile)
  return startShard(setup, streams, (report) => send({ role: 'shard', report }))
}

const sessions: SessionsControl | null =
  setup.sessions === null
    ? null
    : startSessions(setup.sessions, (report) => send({ role: 'sessions', report }))
const shard: ShardControl | null = setup.shard === null ? null : await openShard(setup.shard)
const gateway: GatewayControl | null =
  setup.gateway === null
    ? null
    : startGateway({ ...setup.gateway, clock: systemClock }, (report) => send({ role: 'gateway', report }))

const reporting = setInterval(() => {
  if (shard !== null) send({ role: 'shard', report: { kind: 'status', status: shard.status() } })
  if (sessions !== null) send({ role: 'sessions', report: { kind: 'status', status: sessions.status() } })
}, STATUS_INTERVAL_MS)

async function answer(request: WorkerRequest): Promise<boolean> {
  switch (request.kind) {
    case 'drainGateway':
      await gateway?.drain()
      return true
    case 'renewTls':
      await gateway?.renewTls(request.material)
      return true
    case 'drainSessions':
      return (await sessions?.drain(request.timeoutMs)) ?? true
    case 'drainShard':
      return (await shard?.drain(request.timeoutMs, request.closesWindows)) ?? true
    case 'stop':
      clearInterval(reporting)
      await gateway?.stop()
      await sessions?.stop()
      await shard?.stop()
      return true
  }
}

port.on('message', (request: WorkerRequest) => {
  void answer(request).then((isDrained) => {
    if (gateway !== null) send({ role: 'gateway', report: { kind: 'status', ...gateway.status() } })
    if (shard !== null) send({ role: 'shard', report: { kind: 'status', status: shard.status() } })
    send({ role: 'worker', report: { kind: 'done', request: request.kind, isDrained } })
    if (request.kind === 'stop') port.close()
  })
})

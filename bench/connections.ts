/**
 * What an idle connection costs, and what a storm of them does to others: 18,000 MQTT connections from another
 * process (it may have 20,000 files, as the engine may), then all of them cut at once and coming back. Meanwhile
 * a device publishes at QoS 1, and its slowest PUBACK is what others feel.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import mqtt from 'mqtt'
import { assert } from '../base/assert.ts'
import type { Bench, BenchSize, Measure } from './bench.ts'
import type { HerdReport, HerdRequest } from './connection-herd.ts'
import { type EngineUnderTest, readMetrics, startEngine, stopEngine } from './engine-under-test.ts'

const COUNTS: Record<BenchSize, number> = { small: 300, full: 18_000 }
const PUBLISH_INTERVAL_MS = 20
const SETTLE_LOOK_MS = 500
const SETTLE_MS_MAX = 15_000
const BYTES_PER_CONNECTION_MAX = 8192
const STALL_MS_MAX = 1000
const QUIET_MS = 10_000
/** How old figures at /metrics may be. */
const METRICS_AGE_MS = 1100

function residentBytes({ enginePid }: EngineUnderTest): number {
  const [, kib] = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${enginePid}/status`, 'utf8')) ?? []
  return Number(kib) * 1024
}

/** Resident memory once it does not fall any more: what connecting took for a moment is given back. */
async function settledBytes(engine: EngineUnderTest, size: BenchSize): Promise<number> {
  if (size === 'small') return residentBytes(engine)
  let lowest = residentBytes(engine)
  for (let sinceMs = 0, quiet = 0; sinceMs < SETTLE_MS_MAX && quiet < 8; sinceMs += SETTLE_LOOK_MS) {
    await sleep(SETTLE_LOOK_MS)
    const now = residentBytes(engine)
    quiet = now < lowest ? 0 : quiet + 1
    lowest = Math.min(lowest, now)
  }
  return lowest
}

async function connectHerd(herd: ChildProcess, request: HerdRequest): Promise<HerdReport> {
  herd.send(request)
  const [report] = (await once(herd, 'message')) as [HerdReport]
  return report
}

/** A device that goes on as if nothing were; `work` happens meanwhile. */
async function slowestPubackMs(engine: EngineUnderTest, work: () => Promise<unknown>): Promise<number> {
  const client = await mqtt.connectAsync(`mqtt://127.0.0.1:${engine.mqttPort}`, { reconnectPeriod: 0 })
  let slowestMs = 0
  let isOver = false
  const publishing = (async () => {
    while (!isOver) {
      const startMs = performance.now()
      await client.publishAsync('devices/other/telemetry', '{"x":1}', { qos: 1 })
      slowestMs = Math.max(slowestMs, performance.now() - startMs)
      await sleep(PUBLISH_INTERVAL_MS)
    }
  })()
  await work()
  isOver = true
  await publishing
  await client.endAsync()
  return slowestMs
}

interface Round {
  report: HerdReport
  slowestMs: number
  /** CPU time of the gateway's thread, us per connection. */
  gatewayUs: number
}

async function gatewaySeconds(engine: EngineUnderTest): Promise<number> {
  const threads = await readMetrics(engine, 'millrace_thread_cpu_seconds_total')
  return [...threads].reduce((sum, [thread, seconds]) => sum + (thread.includes('gateway') ? seconds : 0), 0)
}

/** Connects all, after those of the last round were cut. */
async function runRound(engine: EngineUnderTest, herd: ChildProcess, request: HerdRequest): Promise<Round> {
  await sleep(METRICS_AGE_MS)
  const before = await gatewaySeconds(engine)
  const round: Round = { report: { retries: 0, seconds: 0 }, slowestMs: 0, gatewayUs: 0 }
  round.slowestMs = await slowestPubackMs(engine, async () => {
    round.report = await connectHerd(herd, request)
  })
  await sleep(METRICS_AGE_MS)
  round.gatewayUs = (((await gatewaySeconds(engine)) - before) * 1e6) / request.count
  return round
}

function measuresOf(what: string, { report, slowestMs, gatewayUs }: Round, count: number): Measure[] {
  return [
    { name: what, value: count / report.seconds, unit: 'connects/s' },
    { name: `${what}: CPU of the gateway`, value: gatewayUs, unit: 'us/connection' },
    { name: `${what}: slowest PUBACK of others`, value: slowestMs, unit: 'ms', atMost: STALL_MS_MAX },
  ]
}

async function run(size: BenchSize): Promise<Measure[]> {
  const count = COUNTS[size]
  const engine = await startEngine()
  const herd = fork(`${import.meta.dirname}/connection-herd.ts`, { stdio: ['ignore', 2, 2, 'ipc'] })
  try {
    const port = engine.mqttPort
    // Brings in code and buffers that everyone shares, and shows what the machine does to one that is alone.
    const quietMs = await slowestPubackMs(engine, () => sleep(size === 'small' ? 200 : QUIET_MS))
    const before = await settledBytes(engine, size)
    const first = await runRound(engine, herd, { port, count })
    const perConnection = Math.max(1, (await settledBytes(engine, size)) - before) / count
    const storm = await runRound(engine, herd, { port, count })
    const open = [...(await readMetrics(engine, 'millrace_connections')).values()]
    const openCount = open.reduce((sum, connections) => sum + connections, 0)
    assert(openCount === count, `${openCount} of ${count} connections are open after the storm`)
    return [
      {
        name: 'memory of an idle connection',
        value: perConnection,
        unit: 'bytes',
        atMost: BYTES_PER_CONNECTION_MAX,
      },
      ...measuresOf('connect', first, count),
      ...measuresOf('all cut, and back at once', storm, count),
      { name: 'slowest PUBACK with nobody else there', value: quietMs, unit: 'ms' },
    ]
  } finally {
    herd.disconnect()
    await stopEngine(engine)
  }
}

export const bench: Bench = {
  name: 'connections',
  about:
    '18,000 idle MQTT connections from another process, then a storm of all of them; generator on the same cores',
  run,
}

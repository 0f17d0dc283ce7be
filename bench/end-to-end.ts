/**
 * The whole engine under load from outside: its processes are started as a user starts them, the load
 * generator's devices publish over real sockets at QoS 1, and CPU time is read from the kernel, thread by
 * thread, until every reading is a row that SQL can see. The load generator shares the machine, so trust CPU
 * per reading more than readings/s.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { type LoadRun, runLoad } from '../loadgen/load.ts'
import type { Bench, BenchSize, Measure } from './bench.ts'
import { type EngineUnderTest, startEngine, stopEngine } from './engine-under-test.ts'

const SHAPE = { connections: 100, window: 100, perWrite: 10, metrics: 2, qos: 1 } as const
const DEVICES = 10_000
const ROWS_WAIT_MS = 60_000
const POLL_MS = 50
/** The sink's last batch and the store's merges get so long to settle before CPU is read. */
const SETTLE_MS = 1500

/** CPU time in ns of each thread, by `process/thread`. */
type CpuTimes = Map<string, { role: string; cpuNs: number }>

/** Publishes and waits until all rows can be queried. Seconds are from the first write to the last row. */
async function publish(
  engine: EngineUnderTest,
  messages: number,
): Promise<{ run: LoadRun; rowSeconds: number }> {
  const startMs = performance.now()
  const address = { host: '127.0.0.1', port: engine.mqttPort }
  const devices = Math.min(DEVICES, messages)
  const run = await runLoad({ ...SHAPE, address, devices, messages })
  const { acknowledged } = run.report.counters
  if (acknowledged !== messages) throw new Error(`${acknowledged} of ${messages} messages were acknowledged`)
  const sql = `SELECT count() FROM millrace.samples WHERE startsWith(device, '${run.plan.prefix}')`
  const deadlineMs = performance.now() + ROWS_WAIT_MS
  for (;;) {
    const response = await fetch(engine.storeUrl, { method: 'POST', body: sql })
    const rows = Number(await response.text())
    if (rows === messages * SHAPE.metrics) break
    if (performance.now() > deadlineMs) throw new Error(`${rows} of ${messages * SHAPE.metrics} rows stored`)
    await sleep(POLL_MS)
  }
  const rowSeconds = (performance.now() - startMs) / 1000 - run.report.connectSeconds
  return { run, rowSeconds }
}

/** Threads of the engine's process and of its child, the store. Linux only; empty elsewhere. */
function readCpuTimes(enginePid: number): CpuTimes {
  const times: CpuTimes = new Map()
  if (process.platform !== 'linux') return times
  const children = readFileSync(`/proc/${enginePid}/task/${enginePid}/children`, 'utf8').trim()
  const pids = [
    enginePid,
    ...children
      .split(' ')
      .filter((pid) => pid !== '')
      .map(Number),
  ]
  for (const pid of pids) {
    for (const thread of readdirSync(`/proc/${pid}/task`)) {
      const base = `/proc/${pid}/task/${thread}`
      const isMain = Number(thread) === pid
      const name = readFileSync(`${base}/comm`, 'utf8').trim()
      const role = pid === enginePid ? (isMain ? 'engine: main thread' : 'engine') : `store: ${name}`
      const cpuNs = Number(readFileSync(`${base}/schedstat`, 'utf8').split(' ')[0])
      times.set(`${pid}/${thread}`, { role, cpuNs })
    }
  }
  return times
}

/**
 * CPU us per reading by role. The kernel does not know the engine's workers by name: the two busiest are the gateway and
 * the shard, and `gatewayNs`, which the engine tells of, says which is which.
 */
function cpuMeasures(before: CpuTimes, after: CpuTimes, gatewayNs: number, readings: number): Measure[] {
  const spent = Array.from(after, ([thread, { role, cpuNs }]) => ({
    role,
    totalNs: cpuNs,
    us: (cpuNs - (before.get(thread)?.cpuNs ?? 0)) / 1000 / readings,
  }))
  const others = spent.filter(({ role }) => role === 'engine').sort((a, b) => b.us - a.us)
  const workers = others
    .splice(0, 2)
    .sort((a, b) => Math.abs(a.totalNs - gatewayNs) - Math.abs(b.totalNs - gatewayNs))
  for (const [index, worker] of workers.entries()) worker.role = `engine: ${['gateway', 'shard'][index]}`
  for (const other of others) other.role = 'engine: sync, compiler and collector threads'
  const sums = new Map<string, number>()
  for (const { role, us } of spent) {
    for (const name of [`${role.split(':')[0]} in all`, role]) sums.set(name, (sums.get(name) ?? 0) + us)
  }
  return Array.from(sums, ([role, us]) => ({ name: `CPU, ${role}`, value: us, unit: 'us/reading' }))
    .filter(({ value }) => value >= 0.005)
    .sort((a, b) => a.name.localeCompare(b.name))
}

/** CPU time of the gateway thread as /metrics has it, at most a second old. */
async function gatewayCpuNs(engine: EngineUnderTest): Promise<number> {
  const text = await (await fetch(engine.metricsUrl)).text()
  const line = /^millrace_thread_cpu_seconds_total\{thread="gateway 0"\} (\S+)$/m.exec(text)
  return Number(line?.[1] ?? 0) * 1e9
}

async function run(size: BenchSize): Promise<Measure[]> {
  const messages = size === 'full' ? 1_000_000 : 5_000
  const engine = await startEngine()
  try {
    if (size === 'full') await publish(engine, 200_000)
    if (size === 'full') await sleep(SETTLE_MS)
    const before = readCpuTimes(engine.pid)
    const { run, rowSeconds } = await publish(engine, messages)
    if (size === 'full') await sleep(SETTLE_MS)
    const readings = messages * SHAPE.metrics
    const { report } = run
    return [
      { name: 'acknowledged', value: report.readingsPerS, unit: 'readings/s' },
      { name: 'acknowledged', value: report.messagesPerS, unit: 'messages/s' },
      { name: 'queryable as rows', value: readings / rowSeconds, unit: 'readings/s' },
      { name: 'PUBACK latency, median', value: report.latency.p50Ms, unit: 'ms' },
      { name: 'PUBACK latency, 99th percentile', value: report.latency.p99Ms, unit: 'ms' },
      ...cpuMeasures(before, readCpuTimes(engine.pid), await gatewayCpuNs(engine), readings),
      { name: 'CPU, load generator', value: report.cpuUsPerMessage / SHAPE.metrics, unit: 'us/reading' },
    ]
  } finally {
    await stopEngine(engine)
  }
}

export const bench: Bench = {
  name: 'end-to-end',
  about:
    'socket to queryable row, QoS 1: 100 connections, 100 in flight, 10 a write, 10,000 devices, 2 metrics',
  run,
}

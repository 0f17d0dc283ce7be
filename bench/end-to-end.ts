/**
 * The whole engine under load from outside: its processes are started as a user starts them, the load
 * generator's devices publish over real sockets at QoS 1, and CPU time is read from the kernel and /metrics, thread by
 * thread, until every reading is a row that SQL can see. The load generator shares the machine, so trust CPU
 * per reading more than readings/s.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { type LoadRun, runLoad } from '../loadgen/load.ts'
import type { Bench, BenchSize, Measure } from './bench.ts'
import { type EngineUnderTest, readMetrics, startEngine, stopEngine } from './engine-under-test.ts'

const SHAPE = { connections: 100, window: 100, perWrite: 10, metrics: 2, qos: 1 } as const
const DEVICES = 10_000
const ROWS_WAIT_MS = 60_000
const POLL_MS = 50
/** The sink's last batch and the store's merges get so long to settle before CPU is read. */
const SETTLE_MS = 1500

const OTHER_THREADS = 'engine: sync, compiler and collector threads'

/** CPU time so far, us, by role. */
type CpuTimes = Map<string, number>

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

/**
 * The kernel knows the engine's main thread and the store's threads; the engine tells of its workers. What is left of its
 * process are the threads that V8 and libuv keep. Of the workers alone where there is no /proc.
 */
async function readCpuTimes(engine: EngineUnderTest): Promise<CpuTimes> {
  const times: CpuTimes = new Map()
  const add = (role: string, us: number) => times.set(role, (times.get(role) ?? 0) + us)
  const workers = await readMetrics(engine, 'millrace_thread_cpu_seconds_total')
  for (const [label, seconds] of workers) {
    add(`engine: ${/"(\w+)/.exec(label)?.[1]}`, seconds * 1e6)
    if (process.platform === 'linux') add(OTHER_THREADS, -seconds * 1e6)
  }
  if (process.platform !== 'linux') return times
  const { enginePid } = engine
  const children = readFileSync(`/proc/${enginePid}/task/${enginePid}/children`, 'utf8').trim().split(' ')
  for (const pid of [enginePid, ...children.filter((child) => child !== '').map(Number)]) {
    for (const thread of readdirSync(`/proc/${pid}/task`)) {
      const base = `/proc/${pid}/task/${thread}`
      const us = Number(readFileSync(`${base}/schedstat`, 'utf8').split(' ')[0]) / 1000
      if (pid !== enginePid) add(`store: ${readFileSync(`${base}/comm`, 'utf8').trim()}`, us)
      else add(Number(thread) === pid ? 'engine: main thread' : OTHER_THREADS, us)
    }
  }
  return times
}

/** CPU us per reading, by process and by role. */
function cpuMeasures(before: CpuTimes, after: CpuTimes, readings: number): Measure[] {
  const sums = new Map<string, number>()
  for (const [role, totalUs] of after) {
    const us = (totalUs - (before.get(role) ?? 0)) / readings
    for (const name of [`${role.split(':')[0]} in all`, role]) sums.set(name, (sums.get(name) ?? 0) + us)
  }
  return Array.from(sums, ([role, us]) => ({ name: `CPU, ${role}`, value: us, unit: 'us/reading' }))
    .filter(({ value }) => value >= 0.005)
    .sort((a, b) => a.name.localeCompare(b.name))
}

async function run(size: BenchSize): Promise<Measure[]> {
  const messages = size === 'full' ? 1_000_000 : 5_000
  const engine = await startEngine()
  try {
    if (size === 'full') await publish(engine, 200_000)
    if (size === 'full') await sleep(SETTLE_MS)
    const before = await readCpuTimes(engine)
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
      ...cpuMeasures(before, await readCpuTimes(engine), readings),
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
